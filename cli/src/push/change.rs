//! The differences between local files and a deployment. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_protocol::{Connection, name::sha256};

use super::rules::RuleChanges;

/// A schedule in EventBridge Scheduler, desired or deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timetable {
    /// `cron(…)` or `rate(…)`.
    pub expression: String,
    /// IANA time zone.
    pub time_zone: String,
    /// False for a schedule that is kept but does not fire.
    pub enabled: bool,
    /// ARN of the function that the schedule invokes.
    pub function_arn: String,
    /// ARN of the role that Scheduler assumes to invoke the function.
    pub role_arn: String,
    /// ARN of the dead-letter queue.
    pub dead_letter_arn: String,
    /// The payload of the function, as JSON.
    pub input: String,
}

/// The state that the local files define.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Texts of scripts, contracts and feeds by S3 key.
    pub scripts: BTreeMap<String, String>,
    /// Workflow items by `workflow_id`.
    pub workflows: BTreeMap<String, Value>,
    /// Connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// Schedules by `workflow_id`.
    pub schedules: BTreeMap<String, Timetable>,
}

/// The state of the deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// SHA-256 by S3 key, of the scripts in [`Desired`] that exist.
    pub scripts: BTreeMap<String, String>,
    /// All workflow items by `workflow_id`.
    pub workflows: BTreeMap<String, Value>,
    /// All connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// All schedules of the group by name.
    pub schedules: BTreeMap<String, Timetable>,
    /// S3 keys of all feeds.
    pub feeds: BTreeSet<String>,
}

/// The writes and deletes of a push, and a line for each.
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
    /// S3 keys of feeds to delete; files that match only these feeds are unclaimed afterwards.
    pub feeds_gone: BTreeSet<String>,
    /// The rules of the triggers of workflows.
    pub rules: RuleChanges,
    /// One line per change, in the order in which the changes are made.
    pub lines: Vec<Line>,
    /// Number of resources that already match the files.
    pub unchanged: usize,
}

/// A change, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The operation.
    pub verb: Verb,
    /// The kind of the resource.
    pub kind: ChangeKind,
    /// Name, id or key of the resource.
    pub name: String,
    /// The difference between the deployed and the desired resource.
    pub detail: Option<String>,
}

/// The operation of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The resource does not exist in the deployment.
    Create,
    /// The deployed resource differs.
    Update,
    /// The resource is deleted.
    Delete,
}

/// The kinds of resources that a push changes.
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
    /// The rule of a workflow's trigger.
    Rule,
}

impl ChangeKind {
    /// The name of the kind, as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Script => "script",
            Self::Contract => "contract",
            Self::Feed => "feed",
            Self::Workflow => "workflow",
            Self::Schedule => "schedule",
            Self::Rule => "rule",
        }
    }
}

/// The changes that make the deployment match the files. A schedule is deleted when its workflow no longer has a
/// `schedule`; resources that no file defines are deleted only with `prune`.
pub fn changes(desired: Desired, present: &Present, prune: bool) -> Changes {
    let mut changes = Changes::default();
    if prune {
        for key in present.feeds.iter().filter(|key| !desired.scripts.contains_key(*key)) {
            changes.delete(ChangeKind::Feed, key);
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
        let of = if key.starts_with(shiftwork_protocol::keys::CONTRACTS) {
            ChangeKind::Contract
        } else if key.starts_with(shiftwork_protocol::keys::FEEDS) {
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
            changes.delete(ChangeKind::Schedule, id);
            changes.schedules_gone.insert(id.clone());
        }
    }
    if prune {
        for id in present.workflows.keys().filter(|id| !desired.workflows.contains_key(*id)) {
            changes.delete(ChangeKind::Workflow, id);
            changes.workflows_gone.insert(id.clone());
        }
        for name in present.connections.keys().filter(|name| !desired.connections.contains_key(*name)) {
            changes.delete(ChangeKind::Connection, name);
            changes.connections_gone.insert(name.clone());
        }
    }
    changes
}

impl Changes {
    /// Records a resource that must exist; returns true if it has to be written.
    fn put<T>(
        &mut self,
        kind: ChangeKind,
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
        self.lines.push(Line { verb, kind, name: name.into(), detail });
        true
    }

    fn delete(&mut self, kind: ChangeKind, name: &str) {
        self.lines.push(Line { verb: Verb::Delete, kind, name: name.into(), detail: None });
    }
}

/// True if two JSON values are equal. DynamoDB returns `1.0` as `1`, so numbers are compared by value.
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
mod tests;
