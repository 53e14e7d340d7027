//! The differences between local files and a deployment. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shiftwork_protocol::{Connection, name::sha256};

use super::{
    rules::RuleChanges,
    thing::{Kind, Record, Thing},
    unfiled::starts,
};

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
    /// Keys of all files in the folders of scripts, also of those that no job uses.
    pub script_files: BTreeSet<String>,
    /// The path of each thing's file, relative to the directory that contains the directory of workflows.
    pub files: BTreeMap<Thing, String>,
}

/// The state of the deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// SHA-256 by S3 key, of the scripts, contracts and feeds in [`Desired`] that exist.
    pub scripts: BTreeMap<String, String>,
    /// Keys of all scripts, contracts and feeds.
    pub stored: BTreeSet<String>,
    /// All workflow items by `workflow_id`.
    pub workflows: BTreeMap<String, Value>,
    /// The workflow that each feed starts, by the name of the feed.
    pub started_by_feeds: BTreeMap<String, String>,
    /// All connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// All schedules of the group by name.
    pub schedules: BTreeMap<String, Timetable>,
    /// The record of the last push of each thing that was pushed.
    pub records: BTreeMap<Thing, Record>,
}

/// What a push deletes, because no local file defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone {
    /// Things, with everything that belongs to them.
    pub things: BTreeSet<Thing>,
    /// Keys of scripts of workflows that stay.
    pub scripts: BTreeSet<String>,
}

/// The caller of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pusher {
    /// Project that the files belong to.
    pub project: Option<String>,
    /// ARN of the caller.
    pub caller: String,
    /// Time of the push.
    pub now: Timestamp,
}

/// The write of a record that a push makes before it changes the thing. It fails if the thing was pushed in the meantime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Version that the deployment must still have; `None` for no record.
    pub expected: Option<u64>,
    /// The record to write.
    pub record: Record,
}

/// The writes and deletes of a push, and a line for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// The things that change, with their new records.
    pub claims: BTreeMap<Thing, Claim>,
    /// Scripts to put.
    pub scripts: BTreeMap<String, String>,
    /// Workflows to put.
    pub workflows: BTreeMap<String, Value>,
    /// Connections to put.
    pub connections: BTreeMap<String, Connection>,
    /// Schedules to create or update.
    pub schedules: BTreeMap<String, Timetable>,
    /// Schedules to delete, of workflows that stay.
    pub schedules_gone: BTreeSet<String>,
    /// Keys of scripts to delete, of workflows that stay.
    pub scripts_gone: BTreeSet<String>,
    /// Things to delete with everything that belongs to them.
    pub things_gone: BTreeSet<Thing>,
    /// The deployed pieces that are overwritten or deleted, with the digest of their deployed content. A piece is the item
    /// of a workflow (`workflows/<id>`), a connection (`connections/<name>`) or an object of the scripts bucket (its key).
    pub replaced: BTreeMap<String, String>,
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

/// The digest of a workflow item or of a connection.
pub(super) fn digest(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    sha256(canonical(&value).to_string())
}

/// The changes that make the deployment match the files. A schedule is deleted when its workflow no longer has a
/// `schedule`. What `gone` contains is deleted.
pub fn changes(desired: Desired, present: &Present, gone: Gone, pusher: &Pusher) -> Changes {
    let mut changes = Changes::default();
    let mut touched: BTreeSet<Thing> = BTreeSet::new();
    for (name, connection) in desired.connections {
        let (thing, was) = (Thing::new(Kind::Connection, &name), present.connections.get(&name));
        if changes.put(ChangeKind::Connection, &name, was, |was| *was == connection, None) {
            changes.replace(thing.piece(), was.map(digest));
            touched.insert(thing);
            changes.connections.insert(name, connection);
        }
    }
    for (key, text) in desired.scripts {
        let hash = sha256(&text);
        let short = format!("sha256 {}", &hash[..12]);
        let (thing, was) = (Thing::of_key(&key), present.scripts.get(&key));
        let of = match thing.as_ref().map(|thing| thing.kind) {
            Some(Kind::Contract) => ChangeKind::Contract,
            Some(Kind::Feed) => ChangeKind::Feed,
            Some(Kind::Workflow | Kind::Connection) | None => ChangeKind::Script,
        };
        if changes.put(of, &key, was, |was| *was == hash, Some(short)) {
            changes.replace(key.clone(), was.cloned());
            touched.extend(thing);
            changes.scripts.insert(key, text);
        }
    }
    for (id, item) in desired.workflows.clone() {
        let (thing, was) = (Thing::new(Kind::Workflow, &id), present.workflows.get(&id));
        let detail = was.map(|was| differing_fields(was, &item));
        if changes.put(ChangeKind::Workflow, &id, was, |was| same(was, &item), detail) {
            changes.replace(thing.piece(), was.map(digest));
            touched.insert(thing);
            changes.workflows.insert(id, item);
        }
    }
    for (id, timetable) in desired.schedules.clone() {
        let was = present.schedules.get(&id);
        let detail = was.map_or_else(|| in_words(&timetable), |was| difference(was, &timetable));
        if changes.put(ChangeKind::Schedule, &id, was, |was| *was == timetable, Some(detail)) {
            touched.insert(Thing::new(Kind::Workflow, &id));
            changes.schedules.insert(id, timetable);
        }
    }
    for id in present.schedules.keys().filter(|id| !desired.schedules.contains_key(*id)) {
        if desired.workflows.contains_key(id) {
            changes.delete(ChangeKind::Schedule, id);
            touched.insert(Thing::new(Kind::Workflow, id));
            changes.schedules_gone.insert(id.clone());
        }
    }
    for thing in desired.files.keys().filter(|thing| !touched.contains(thing)).cloned().collect::<Vec<_>>() {
        let record = present.records.get(&thing);
        let is_adopted = pusher.project.is_some() && record.is_some_and(|record| record.project.is_none());
        if record.is_none() || is_adopted {
            let detail = match &pusher.project {
                Some(project) => format!("recorded for project {project}"),
                None => "recorded".into(),
            };
            let line =
                Line { verb: Verb::Update, kind: thing.kind.into(), name: thing.name.clone(), detail: Some(detail) };
            changes.lines.push(line);
            touched.insert(thing);
        }
    }
    for key in gone.scripts {
        changes.delete(ChangeKind::Script, &key);
        touched.extend(Thing::of_key(&key));
        changes.scripts_gone.insert(key);
    }
    for thing in gone.things {
        for (piece, digest) in pieces(&thing, present) {
            changes.replace(piece, Some(digest));
        }
        let starts = starts(&thing, present);
        let detail = (!starts.is_empty()).then(|| starts.join(", "));
        changes.lines.push(Line { verb: Verb::Delete, kind: thing.kind.into(), name: thing.name.clone(), detail });
        touched.insert(thing.clone());
        changes.things_gone.insert(thing);
    }
    for thing in touched {
        let was = present.records.get(&thing);
        let claim = claim(was, desired.files.get(&thing), pusher);
        changes.claims.insert(thing, claim);
    }
    changes
}

/// The record that a push writes over `was`. A push without a project keeps the project.
pub fn claim(was: Option<&Record>, file: Option<&String>, pusher: &Pusher) -> Claim {
    let record = Record {
        project: pusher.project.clone().or_else(|| was.and_then(|was| was.project.clone())),
        pushed_by: pusher.caller.clone(),
        pushed_ts: pusher.now,
        version: was.map_or(0, |was| was.version) + 1,
        file: file.cloned().or_else(|| was.map(|was| was.file.clone())).unwrap_or_default(),
    };
    Claim { expected: was.map(|was| was.version), record }
}

/// The deployed pieces of a thing that no local file defines, with their digests. The scripts of a workflow are left out:
/// they are of no use without its item.
fn pieces(thing: &Thing, present: &Present) -> Vec<(String, String)> {
    let digest = match thing.kind {
        Kind::Workflow => present.workflows.get(&thing.name).map(digest),
        Kind::Connection => present.connections.get(&thing.name).map(digest),
        Kind::Contract | Kind::Feed => present.scripts.get(&thing.piece()).cloned(),
    };
    digest.map(|digest| (thing.piece(), digest)).into_iter().collect()
}

impl From<Kind> for ChangeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Workflow => Self::Workflow,
            Kind::Feed => Self::Feed,
            Kind::Contract => Self::Contract,
            Kind::Connection => Self::Connection,
        }
    }
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

    fn replace(&mut self, piece: String, was: Option<String>) {
        if let Some(was) = was {
            self.replaced.insert(piece, was);
        }
    }

    fn delete(&mut self, kind: ChangeKind, name: &str) {
        self.lines.push(Line { verb: Verb::Delete, kind, name: name.into(), detail: None });
    }
}

/// A JSON value with one form for each number: DynamoDB returns `1.0` as `1`.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "the value is an integer below 2^53")]
            Some(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => Value::from(float as i64),
            Some(_) | None => value.clone(),
        },
        Value::Array(values) => values.iter().map(canonical).collect(),
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().map(|(name, value)| (name.clone(), canonical(value))).collect();
            sorted.into_iter().collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// True if two JSON values are equal. Numbers are compared by value.
fn same(a: &Value, b: &Value) -> bool {
    canonical(a) == canonical(b)
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
