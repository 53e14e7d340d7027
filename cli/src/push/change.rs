//! What differs between files and a deployment. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_protocol::{Connection, name::sha256};

/// How a schedule in EventBridge Scheduler has to be, or is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timetable {
    /// `cron(…)` or `rate(…)`.
    pub expression: String,
    /// IANA time zone.
    pub time_zone: String,
    /// False for one that is kept, but switched off.
    pub enabled: bool,
    /// The function that it invokes.
    pub function_arn: String,
    /// The role that it invokes it as.
    pub role_arn: String,
    /// The queue of what could not be delivered.
    pub dead_letter_arn: String,
    /// What the function is given.
    pub input: String,
}

/// What the files ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Texts by key.
    pub scripts: BTreeMap<String, String>,
    /// Items by `workflow_id`.
    pub workflows: BTreeMap<String, Value>,
    /// Connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// Schedules by `workflow_id`.
    pub schedules: BTreeMap<String, Timetable>,
}

/// What is deployed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// SHA-256 by key, of the scripts that are asked for.
    pub scripts: BTreeMap<String, String>,
    /// All items by `workflow_id`.
    pub workflows: BTreeMap<String, Value>,
    /// All connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// All schedules of the group by name.
    pub schedules: BTreeMap<String, Timetable>,
    /// Keys of all feeds.
    pub feeds: BTreeSet<String>,
}

/// What is to be written and taken away, and a line about each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Scripts to put.
    pub scripts: BTreeMap<String, String>,
    /// Workflows to put.
    pub workflows: BTreeMap<String, Value>,
    /// Connections to put.
    pub connections: BTreeMap<String, Connection>,
    /// Schedules to create or update.
    pub schedules: BTreeMap<String, Timetable>,
    /// Schedules to delete.
    pub schedules_gone: BTreeSet<String>,
    /// Workflows to delete.
    pub workflows_gone: BTreeSet<String>,
    /// Connections to delete.
    pub connections_gone: BTreeSet<String>,
    /// Feeds to take away: their files are nobody's from then on.
    pub feeds_gone: BTreeSet<String>,
    /// A line a change, in the order in which they are made.
    pub lines: Vec<Line>,
    /// How many things are as they should be.
    pub unchanged: usize,
}

/// A change in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is done.
    pub verb: Verb,
    /// To what sort of thing.
    pub sort: ChangeKind,
    /// Which one.
    pub name: String,
    /// What is different.
    pub detail: Option<String>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It was not there.
    Create,
    /// It was another.
    Update,
    /// It is taken away.
    Delete,
}

/// Sorts of things that a push changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A named connection.
    Connection,
    /// A script.
    Script,
    /// A table contract.
    Contract,
    /// A feed.
    Feed,
    /// A workflow.
    Workflow,
    /// A workflow's schedule.
    Schedule,
}

impl ChangeKind {
    /// As a line says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Script => "script",
            Self::Contract => "contract",
            Self::Feed => "feed",
            Self::Workflow => "workflow",
            Self::Schedule => "schedule",
        }
    }
}

/// What has to change. A schedule goes with its workflow's `schedule`; what no file speaks of goes only with `prune`.
pub fn changes(desired: Desired, present: &Present, prune: bool) -> Changes {
    let mut changes = Changes::default();
    if prune {
        for key in present.feeds.iter().filter(|key| !desired.scripts.contains_key(*key)) {
            changes.take_away(ChangeKind::Feed, key);
            changes.feeds_gone.insert(key.clone());
        }
    }
    for (name, connection) in desired.connections.clone() {
        if changes.put(ChangeKind::Connection, &name, present.connections.get(&name), |was| *was == connection, None) {
            changes.connections.insert(name, connection);
        }
    }
    for (key, text) in desired.scripts {
        let hash = sha256(&text);
        let short = format!("sha256 {}", &hash[..12]);
        let of = if key.starts_with(shiftwork_planner::CONTRACTS) {
            ChangeKind::Contract
        } else if key.starts_with(shiftwork_planner::FEEDS) {
            ChangeKind::Feed
        } else {
            ChangeKind::Script
        };
        if changes.put(of, &key, present.scripts.get(&key), |was| *was == hash, Some(short)) {
            changes.scripts.insert(key, text);
        }
    }
    for (id, item) in desired.workflows.clone() {
        let was = present.workflows.get(&id);
        let detail = was.map(|was| differing_fields(was, &item));
        if changes.put(ChangeKind::Workflow, &id, was, |was| same(was, &item), detail) {
            changes.workflows.insert(id, item);
        }
    }
    for (id, timetable) in desired.schedules.clone() {
        let was = present.schedules.get(&id);
        let detail = was.map_or_else(|| in_words(&timetable), |was| difference(was, &timetable));
        if changes.put(ChangeKind::Schedule, &id, was, |was| *was == timetable, Some(detail)) {
            changes.schedules.insert(id, timetable);
        }
    }

    for id in present.schedules.keys().filter(|id| !desired.schedules.contains_key(*id)) {
        if desired.workflows.contains_key(id) || prune {
            changes.take_away(ChangeKind::Schedule, id);
            changes.schedules_gone.insert(id.clone());
        }
    }
    if prune {
        for id in present.workflows.keys().filter(|id| !desired.workflows.contains_key(*id)) {
            changes.take_away(ChangeKind::Workflow, id);
            changes.workflows_gone.insert(id.clone());
        }
        for name in present.connections.keys().filter(|name| !desired.connections.contains_key(*name)) {
            changes.take_away(ChangeKind::Connection, name);
            changes.connections_gone.insert(name.clone());
        }
    }
    changes
}

impl Changes {
    /// Notes a thing that is to be there; true when it has to be written.
    fn put<T>(
        &mut self,
        sort: ChangeKind,
        name: &str,
        was: Option<&T>,
        is_same: impl FnOnce(&T) -> bool,
        detail: Option<String>,
    ) -> bool {
        let verb = match was {
            None => Verb::Create,
            Some(was) if is_same(was) => {
                self.unchanged += 1;
                return false;
            }
            Some(_) => Verb::Update,
        };
        self.lines.push(Line { verb, sort, name: name.into(), detail });
        true
    }

    fn take_away(&mut self, sort: ChangeKind, name: &str) {
        self.lines.push(Line { verb: Verb::Delete, sort, name: name.into(), detail: None });
    }
}

/// Equal JSON. DynamoDB gives `1.0` back as `1`, so numbers are compared by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => a == b,
    }
}

fn differing_fields(was: &Value, is: &Value) -> String {
    let keys =
        |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let fields: Vec<_> =
        keys(was).union(&keys(is)).filter(|key| !same(&was[key.as_str()], &is[key.as_str()])).cloned().collect();
    fields.join(", ")
}

fn in_words(timetable: &Timetable) -> String {
    let off = if timetable.enabled { "" } else { ", switched off" };
    format!("{} {}{off}", timetable.expression, timetable.time_zone)
}

fn difference(was: &Timetable, is: &Timetable) -> String {
    if in_words(was) == in_words(is) {
        let fields = [
            ("function", &was.function_arn, &is.function_arn),
            ("role", &was.role_arn, &is.role_arn),
            ("dead-letter queue", &was.dead_letter_arn, &is.dead_letter_arn),
            ("input", &was.input, &is.input),
        ];
        return fields.iter().filter(|(_, was, is)| was != is).map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    }
    format!("{} → {}", in_words(was), in_words(is))
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
