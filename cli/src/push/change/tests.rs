use std::collections::BTreeMap;

use serde_json::json;
use shiftwork_protocol::{Connection, name::sha256};

use super::{Changes, Desired, Present, Timetable, changes};

fn timetable(expression: &str) -> Timetable {
    Timetable { expression: expression.into(), time_zone: "UTC".into(), enabled: true, ..Timetable::default() }
}

fn connection(database: &str) -> Connection {
    Connection { workgroup: Some("wg".into()), database: database.into(), ..Connection::default() }
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
    }
}

/// The state of the deployment after a push of `desired`.
fn pushed(desired: &Desired) -> Present {
    Present {
        scripts: desired.scripts.iter().map(|(key, text)| (key.clone(), sha256(text))).collect(),
        workflows: desired.workflows.clone(),
        connections: desired.connections.clone(),
        schedules: desired.schedules.clone(),
        feeds: desired.scripts.keys().filter(|key| key.starts_with("feeds/")).cloned().collect(),
    }
}

fn lines(changes: &Changes) -> Vec<String> {
    let lines = changes.lines.iter().map(|line| format!("{:?} {} {}", line.verb, line.kind.as_str(), line.name));
    lines.collect()
}

#[test]
fn a_first_push_creates_everything_and_a_second_one_changes_nothing() {
    let first = changes(desired(), &Present::default(), true);
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
    let second = changes(desired(), &pushed(&desired()), true);
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
    let found = changes(desired(), &present, false);
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
}

#[test]
fn numbers_are_compared_by_value() {
    let mut present = pushed(&desired());
    let item = json!({ "workflow_id": "a", "workflow_description": "first", "parameters": { "n": { "default": 1 } } });
    present.workflows.insert("a".into(), item);
    assert!(changes(desired(), &present, false).lines.is_empty());
}

#[test]
fn a_schedule_is_deleted_with_its_definition_and_unknown_resources_only_with_prune() {
    let mut present = pushed(&desired());
    present.schedules.insert("b".into(), timetable("rate(1 day)"));
    present.schedules.insert("unknown".into(), timetable("rate(1 day)"));
    present.workflows.insert("unknown".into(), json!({ "workflow_id": "unknown" }));
    present.connections.insert("old".into(), connection("dev"));
    assert_eq!(lines(&changes(desired(), &present, false)), ["Delete schedule b"]);
    assert_eq!(
        lines(&changes(desired(), &present, true)),
        ["Delete schedule b", "Delete schedule unknown", "Delete workflow unknown", "Delete connection old"]
    );
}

#[test]
fn a_schedule_with_another_target_is_updated() {
    let mut present = pushed(&desired());
    present.schedules.insert("a".into(), Timetable { role_arn: "arn:old".into(), ..timetable("rate(1 hour)") });
    let found = changes(desired(), &present, false);
    assert_eq!(found.lines.len(), 1);
    assert_eq!(found.lines[0].detail.as_deref(), Some("role"));
}

#[test]
fn a_feed_is_deleted_only_with_prune() {
    let mut with_feed = desired();
    with_feed.scripts.insert("feeds/orders.yaml".into(), "feed: orders".into());
    let present = pushed(&with_feed);
    assert!(changes(desired(), &present, false).feeds_gone.is_empty());
    assert!(changes(desired(), &present, true).feeds_gone.contains("feeds/orders.yaml"));
    assert!(changes(with_feed, &present, true).feeds_gone.is_empty());
}
