use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shiftwork_protocol::{Connection, name::sha256};

use super::{Changes, Claim, Desired, Gone, Kind, Present, Pusher, Record, Thing, Timetable, changes, digest};

fn timetable(expression: &str) -> Timetable {
    Timetable { expression: expression.into(), time_zone: "UTC".into(), enabled: true, ..Timetable::default() }
}

fn connection(database: &str) -> Connection {
    Connection { workgroup: Some("wg".into()), database: database.into(), ..Connection::default() }
}

fn workflow(id: &str) -> Thing {
    Thing::new(Kind::Workflow, id)
}

fn desired() -> Desired {
    Desired {
        scripts: BTreeMap::from([("workflows/a/one.sql".into(), "SELECT 1".into())]),
        workflows: BTreeMap::from([
            (
                "a".into(),
                json!({ "workflow_id": "a", "workflow_description": "first", "parameters": { "n": { "default": 1.0 } } }),
            ),
            ("b".into(), json!({ "workflow_id": "b" })),
        ]),
        connections: BTreeMap::from([("reporting".into(), connection("dev"))]),
        schedules: BTreeMap::from([("a".into(), timetable("rate(1 hour)"))]),
        script_files: BTreeSet::new(),
        files: BTreeMap::from([
            (workflow("a"), "workflows/a.yaml".into()),
            (workflow("b"), "workflows/b.yaml".into()),
            (Thing::new(Kind::Connection, "reporting"), "workflows/connections.yaml".into()),
        ]),
    }
}

fn pusher(project: Option<&str>) -> Pusher {
    Pusher {
        project: project.map(Into::into),
        caller: "arn:aws:iam::123456789012:user/anna".into(),
        now: "2026-03-01T12:00:00Z".parse().unwrap(),
    }
}

fn record(project: Option<&str>, version: u64, file: &str) -> Record {
    let Pusher { project, caller, now } = pusher(project);
    Record { project, pushed_by: caller, pushed_ts: now, version, file: file.into() }
}

/// The state of the deployment after a push of `desired` for project `sales`.
fn pushed(desired: &Desired) -> Present {
    Present {
        scripts: desired.scripts.iter().map(|(key, text)| (key.clone(), sha256(text))).collect(),
        stored: desired.scripts.keys().cloned().collect(),
        workflows: desired.workflows.clone(),
        started_by_feeds: BTreeMap::new(),
        connections: desired.connections.clone(),
        schedules: desired.schedules.clone(),
        records: desired.files.iter().map(|(thing, file)| (thing.clone(), record(Some("sales"), 1, file))).collect(),
    }
}

fn compared(desired: Desired, present: &Present) -> Changes {
    changes(desired, present, Gone::default(), &pusher(Some("sales")))
}

fn lines(changes: &Changes) -> Vec<String> {
    let lines = changes.lines.iter().map(|line| format!("{:?} {} {}", line.verb, line.kind.as_str(), line.name));
    lines.collect()
}

#[test]
fn a_first_push_creates_everything_and_a_second_one_changes_nothing() {
    let first = compared(desired(), &Present::default());
    assert_eq!(
        lines(&first),
        [
            "Create connection reporting",
            "Create script workflows/a/one.sql",
            "Create workflow a",
            "Create workflow b",
            "Create schedule a"
        ]
    );
    assert!(first.replaced.is_empty());
    let second = compared(desired(), &pushed(&desired()));
    assert_eq!(second, Changes { unchanged: 5, ..Changes::default() });
}

#[test]
fn only_differing_resources_are_written_and_the_difference_is_shown() {
    let mut present = pushed(&desired());
    present.scripts.insert("workflows/a/one.sql".into(), String::new());
    present
        .workflows
        .insert("a".into(), json!({ "workflow_id": "a", "workflow_description": "old", "on_overlap": "queue" }));
    present.connections.insert("reporting".into(), connection("prod"));
    present.schedules.insert("a".into(), Timetable { enabled: false, ..timetable("rate(2 hours)") });
    let found = compared(desired(), &present);
    let details: Vec<_> = found.lines.iter().map(|line| (line.name.as_str(), line.detail.as_deref())).collect();
    assert_eq!(
        details[1..],
        [
            ("workflows/a/one.sql", Some(&*format!("sha256 {}", &sha256("SELECT 1")[..12]))),
            ("a", Some("on_overlap, parameters, workflow_description")),
            ("a", Some("rate(2 hours) UTC, switched off → rate(1 hour) UTC")),
        ]
    );
    assert_eq!(found.workflows.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(found.unchanged, 1);
    let replaced: Vec<_> = found.replaced.keys().map(String::as_str).collect();
    assert_eq!(replaced, ["connections/reporting", "workflows/a", "workflows/a/one.sql"]);
    assert_eq!(found.replaced["workflows/a"], digest(&present.workflows["a"]));
}

#[test]
fn every_changed_thing_is_claimed_with_its_next_version() {
    let mut present = pushed(&desired());
    present.scripts.insert("workflows/a/one.sql".into(), String::new());
    present.records.insert(workflow("a"), record(Some("sales"), 7, "workflows/old.yaml"));
    let claims = compared(desired(), &present).claims;
    let claim = Claim { expected: Some(7), record: record(Some("sales"), 8, "workflows/a.yaml") };
    assert_eq!(claims, BTreeMap::from([(workflow("a"), claim)]), "a script belongs to its workflow");
    let first = compared(desired(), &Present::default()).claims;
    assert_eq!(first[&workflow("b")], Claim { expected: None, record: record(Some("sales"), 1, "workflows/b.yaml") });
    assert_eq!(first.len(), 3);
}

#[test]
fn a_thing_without_a_record_or_a_project_is_recorded() {
    let mut present = pushed(&desired());
    present.records.remove(&workflow("a"));
    present.records.insert(workflow("b"), record(None, 1, "workflows/b.yaml"));
    let found = compared(desired(), &present);
    assert_eq!(lines(&found), ["Update workflow a", "Update workflow b"]);
    assert_eq!(found.claims[&workflow("b")].record, record(Some("sales"), 2, "workflows/b.yaml"));
    let without_project = changes(desired(), &present, Gone::default(), &pusher(None));
    assert_eq!(lines(&without_project), ["Update workflow a"]);
}

#[test]
fn numbers_are_compared_by_value() {
    let mut present = pushed(&desired());
    let item = json!({ "workflow_id": "a", "workflow_description": "first", "parameters": { "n": { "default": 1 } } });
    assert_eq!(digest(&item), digest(&desired().workflows["a"]));
    present.workflows.insert("a".into(), item);
    assert!(compared(desired(), &present).lines.is_empty());
}

#[test]
fn a_schedule_is_deleted_with_its_definition_and_unknown_resources_only_if_they_are_pruned() {
    let mut present = pushed(&desired());
    present.schedules.insert("b".into(), timetable("rate(1 day)"));
    present.schedules.insert("unknown".into(), timetable("rate(1 day)"));
    present.workflows.insert("unknown".into(), json!({ "workflow_id": "unknown" }));
    present.connections.insert("old".into(), connection("dev"));
    assert_eq!(lines(&compared(desired(), &present)), ["Delete schedule b"]);
    let gone = BTreeSet::from([workflow("unknown"), Thing::new(Kind::Connection, "old")]);
    let found = changes(desired(), &present, Gone { things: gone.clone(), ..Gone::default() }, &pusher(Some("sales")));
    assert_eq!(lines(&found), ["Delete schedule b", "Delete workflow unknown", "Delete connection old"]);
    assert_eq!(found.things_gone, gone);
    assert_eq!(found.replaced.keys().collect::<Vec<_>>(), ["connections/old", "workflows/unknown"]);
    assert!(gone.iter().all(|thing| found.claims.contains_key(thing)));
}

#[test]
fn contracts_and_feeds_are_deleted_if_they_are_pruned() {
    let mut present = pushed(&desired());
    for key in ["contracts/orders.yaml", "feeds/files.yaml"] {
        present.stored.insert(key.into());
        present.scripts.insert(key.into(), sha256(key));
    }
    assert!(compared(desired(), &present).lines.is_empty());
    let gone = BTreeSet::from([Thing::new(Kind::Contract, "orders"), Thing::new(Kind::Feed, "files")]);
    let found = changes(desired(), &present, Gone { things: gone, ..Gone::default() }, &pusher(Some("sales")));
    assert_eq!(lines(&found), ["Delete feed files", "Delete contract orders"]);
    assert_eq!(found.replaced["contracts/orders.yaml"], sha256("contracts/orders.yaml"));
}

#[test]
fn a_schedule_with_another_target_is_updated() {
    let mut present = pushed(&desired());
    present.schedules.insert("a".into(), Timetable { role_arn: "arn:old".into(), ..timetable("rate(1 hour)") });
    let found = compared(desired(), &present);
    assert_eq!(found.lines.len(), 1);
    assert_eq!(found.lines[0].detail.as_deref(), Some("role"));
}

#[test]
fn a_script_that_is_pruned_changes_its_workflow() {
    let gone = Gone { scripts: BTreeSet::from(["workflows/a/old.sql".into()]), ..Gone::default() };
    let found = changes(desired(), &pushed(&desired()), gone, &pusher(Some("sales")));
    assert_eq!(lines(&found), ["Delete script workflows/a/old.sql"]);
    assert_eq!(found.claims.keys().collect::<Vec<_>>(), [&workflow("a")]);
}
