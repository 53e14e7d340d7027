//! What is deployed and has no local file. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use console::style;
use serde_json::Value;
use shiftwork_feeds::Feed;
use shiftwork_protocol::{Workflow, workflow::Job};

use super::{
    change::{Desired, Present},
    thing::{Kind, Record, Thing},
};
use crate::words;

/// A deployed thing that no local file defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfiled {
    /// The thing.
    pub thing: Thing,
    /// What still starts it, such as its schedule; empty if nothing does.
    pub starts: Vec<String>,
    /// What is left of a workflow whose item does not exist any more: `schedule`, `scripts`.
    pub rests: Vec<&'static str>,
    /// The record of its last push.
    pub record: Option<Record>,
}

/// Lists what is deployed and has no local file: first the workflows that still run, then the others by kind and name.
pub fn unfiled(desired: &Desired, present: &Present) -> Vec<Unfiled> {
    let mut found: Vec<Unfiled> = deployed(present)
        .into_iter()
        .filter(|thing| !desired.files.contains_key(thing))
        .map(|thing| Unfiled {
            starts: starts(&thing, present),
            rests: rests(&thing, present),
            record: present.records.get(&thing).cloned(),
            thing,
        })
        .collect();
    found.sort_by_key(|unfiled| (unfiled.starts.is_empty(), unfiled.thing.clone()));
    found
}

/// The things that have a part in the deployment.
pub fn deployed(present: &Present) -> BTreeSet<Thing> {
    let workflows = present.workflows.keys().chain(present.schedules.keys()).map(|id| Thing::new(Kind::Workflow, id));
    let connections = present.connections.keys().map(|name| Thing::new(Kind::Connection, name));
    let stored = present.stored.iter().filter_map(|key| Thing::of_key(key));
    workflows.chain(connections).chain(stored).collect()
}

/// The workflow that each feed starts, by the name of the feed, from the texts of feeds by their keys.
pub fn started_by_feeds(texts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let started = texts.iter().filter_map(|(key, text)| {
        let thing = Thing::of_key(key).filter(|thing| thing.kind == Kind::Feed)?;
        // A feed that cannot be read starts nothing.
        let feed = Feed::read(&shiftwork_planner::read_file(key, text).ok()?).ok()?;
        Some((thing.name, feed.workflow?))
    });
    started.collect()
}

/// Names of the feeds that start a workflow.
fn feeds_of(workflow_id: &str, present: &Present) -> Vec<String> {
    present.started_by_feeds.iter().filter(|(_, id)| *id == workflow_id).map(|(feed, _)| feed.clone()).collect()
}

/// What starts a workflow: its schedule, unless it is switched off, its triggers, and feeds.
pub(super) fn starts(thing: &Thing, present: &Present) -> Vec<String> {
    if thing.kind != Kind::Workflow {
        return Vec::new();
    }
    let schedule = present.schedules.get(&thing.name).filter(|schedule| schedule.enabled);
    let schedule = schedule.map(|schedule| format!("schedule {} {}", schedule.expression, schedule.time_zone));
    let item = present.workflows.get(&thing.name);
    let triggers = item.and_then(|item| item["triggers"].as_array()).map_or(0, Vec::len);
    let triggers = (triggers > 0).then(|| words::plural(triggers, "trigger"));
    // Without the item of the workflow, a feed starts nothing.
    let feeds = item.map(|_| feeds_of(&thing.name, present)).unwrap_or_default();
    schedule.into_iter().chain(triggers).chain(feeds.into_iter().map(|feed| format!("feed {feed}"))).collect()
}

/// What is left of a workflow whose item does not exist.
fn rests(thing: &Thing, present: &Present) -> Vec<&'static str> {
    if thing.kind != Kind::Workflow || present.workflows.contains_key(&thing.name) {
        return Vec::new();
    }
    let has_schedule = present.schedules.contains_key(&thing.name);
    let has_scripts = !scripts_of(&thing.name, present).is_empty();
    [("schedule", has_schedule), ("scripts", has_scripts)]
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(rest, _)| rest)
        .collect()
}

/// Keys of the scripts of a workflow.
pub fn scripts_of<'p>(workflow_id: &str, present: &'p Present) -> Vec<&'p str> {
    let prefix = shiftwork_protocol::keys::script_key(workflow_id, "");
    present.stored.iter().filter(|key| key.starts_with(&prefix)).map(String::as_str).collect()
}

/// Keys of deployed scripts that have no file, of workflows that have one.
pub(super) fn scripts(desired: &Desired, present: &Present) -> BTreeSet<String> {
    let has_file = |key: &String| desired.scripts.contains_key(key) || desired.script_files.contains(key);
    let of_workflow = |key: &String| {
        Thing::of_key(key).is_some_and(|thing| thing.kind == Kind::Workflow && desired.files.contains_key(&thing))
    };
    present.stored.iter().filter(|key| of_workflow(key) && !has_file(key)).cloned().collect()
}

/// The deployed things, other than those in `gone`, that use a thing: the feeds that start a workflow, and the workflows that use a
/// contract, a feed or a connection.
pub fn users(thing: &Thing, present: &Present, gone: &BTreeSet<Thing>) -> Vec<Thing> {
    let uses = |item: &Value| {
        // A workflow that cannot be read cannot run, so it uses nothing.
        let Ok(workflow) = serde_json::from_value::<Workflow>(item.clone()) else { return false };
        match thing.kind {
            Kind::Workflow => false,
            Kind::Contract => shiftwork_planner::contract_names(&workflow).contains(&thing.name),
            Kind::Feed => shiftwork_planner::feed_names(&workflow).contains(&thing.name),
            Kind::Connection => connection_names(&workflow).contains(thing.name.as_str()),
        }
    };
    let workflows =
        present.workflows.iter().filter(|(_, item)| uses(item)).map(|(id, _)| Thing::new(Kind::Workflow, id));
    let feeds = match thing.kind {
        Kind::Workflow => feeds_of(&thing.name, present),
        Kind::Contract | Kind::Feed | Kind::Connection => Vec::new(),
    };
    let feeds = feeds.into_iter().map(|feed| Thing::new(Kind::Feed, feed));
    workflows.chain(feeds).filter(|user| !gone.contains(user)).collect()
}

fn connection_names(workflow: &Workflow) -> BTreeSet<&str> {
    let jobs = workflow.workflow_stages.iter().flat_map(|stage| &stage.scripts).filter_map(|job| match job {
        Job::Full(job) => job.connection.as_deref(),
        Job::Script(_) => None,
    });
    workflow.connection.as_deref().into_iter().chain(jobs).collect()
}

/// The things of a project among `found`: what a push with `--prune` deletes.
pub(super) fn of_project<'f>(found: &'f [Unfiled], project: &str) -> impl Iterator<Item = &'f Unfiled> {
    found.iter().filter(move |unfiled| owner(unfiled) == Some(project))
}

fn owner(unfiled: &Unfiled) -> Option<&str> {
    unfiled.record.as_ref()?.project.as_deref()
}

/// A line for each thing of this project or of no project, a line for each script, and a line for each other project.
pub(super) fn render(found: &[Unfiled], scripts: &BTreeSet<String>, project: Option<&str>) -> String {
    let mut out = String::new();
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for unfiled in found {
        match owner(unfiled) {
            Some(other) if Some(other) != project => others.entry(other).or_default().push(unfiled.thing.to_string()),
            Some(_) | None => out.push_str(&line(unfiled)),
        }
    }
    for key in scripts {
        let _ = writeln!(out, "{} script {key} is deployed and has no file", style("?").yellow());
    }
    for (other, things) in others {
        let things = things.join(", ");
        let _ = writeln!(out, "{} deployed by project {other}: {things}", style("·").dim());
    }
    out
}

fn line(unfiled: &Unfiled) -> String {
    let Unfiled { thing, starts, rests, record } = unfiled;
    let record = record.as_ref().map(|record| format!("  {}", style(record.to_string()).dim())).unwrap_or_default();
    if !rests.is_empty() {
        let what = format!("the {} of {thing}, which does not exist any more", rests.join(" and the "));
        let sign = if starts.is_empty() { style("?").yellow() } else { style("!").red().bold() };
        return format!("{sign} no file for {what}{record}\n");
    }
    if starts.is_empty() {
        return format!("{} {thing} is deployed and has no file{record}\n", style("?").yellow());
    }
    let starts = style(starts.join(", ")).red().bold();
    format!("{} {thing} has no file and still runs: {starts}{record}\n", style("!").red().bold())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shiftwork_protocol::Connection;

    use super::*;
    use crate::push::Timetable;

    fn record(project: Option<&str>) -> Record {
        Record {
            project: project.map(Into::into),
            pushed_by: "arn:aws:sts::123456789012:assumed-role/Developer/anna".into(),
            pushed_ts: "2026-03-01T12:00:00Z".parse().unwrap(),
            version: 3,
            file: "workflows/x.yaml".into(),
        }
    }

    fn present() -> Present {
        let item = |id: &str| json!({ "workflow_id": id, "workflow_stages": [] });
        let mut triggered = item("triggered");
        triggered["triggers"] = json!([{ "pattern": { "source": ["aws.s3"] } }]);
        let schedule = |enabled| Timetable {
            expression: "rate(1 day)".into(),
            time_zone: "UTC".into(),
            enabled,
            ..Timetable::default()
        };
        let thing = |name: &str| Thing::new(Kind::Workflow, name);
        Present {
            workflows: ["filed", "quiet", "scheduled", "off", "marketing"]
                .map(|id| (id.into(), item(id)))
                .into_iter()
                .chain([("triggered".into(), triggered)])
                .collect(),
            schedules: BTreeMap::from([
                ("scheduled".into(), schedule(true)),
                ("off".into(), schedule(false)),
                ("orphan".into(), schedule(true)),
            ]),
            connections: BTreeMap::from([("old".into(), Connection::default())]),
            stored: ["contracts/orders.yaml", "feeds/files.yaml", "workflows/left/a.sql", "workflows/filed/a.sql"]
                .map(Into::into)
                .into(),
            records: BTreeMap::from([
                (thing("scheduled"), record(Some("sales"))),
                (thing("quiet"), record(Some("sales"))),
                (thing("marketing"), record(Some("marketing"))),
                (thing("triggered"), record(None)),
            ]),
            ..Present::default()
        }
    }

    fn desired() -> Desired {
        Desired {
            files: BTreeMap::from([(Thing::new(Kind::Workflow, "filed"), "workflows/filed.yaml".into())]),
            ..Desired::default()
        }
    }

    #[test]
    fn everything_without_a_file_is_listed_and_what_still_runs_first() {
        let found = unfiled(&desired(), &present());
        let names: Vec<_> = found.iter().map(|unfiled| unfiled.thing.to_string()).collect();
        assert_eq!(
            names,
            [
                "workflow orphan",
                "workflow scheduled",
                "workflow triggered",
                "workflow left",
                "workflow marketing",
                "workflow off",
                "workflow quiet",
                "feed files",
                "contract orders",
                "connection old",
            ]
        );
        let shown =
            console::strip_ansi_codes(&render(&found, &["workflows/filed/old.sql".to_owned()].into(), Some("sales")))
                .into_owned();
        for line in [
            "! workflow scheduled has no file and still runs: schedule rate(1 day) UTC  version 3, pushed by Developer/anna for project sales at 2026-03-01 12:00:00 UTC",
            "! workflow triggered has no file and still runs: 1 trigger  version 3, pushed by Developer/anna at 2026-03-01 12:00:00 UTC",
            "! no file for the schedule of workflow orphan, which does not exist any more",
            "? no file for the scripts of workflow left, which does not exist any more",
            "? workflow off is deployed and has no file",
            "? contract orders is deployed and has no file",
            "? script workflows/filed/old.sql is deployed and has no file",
            "· deployed by project marketing: workflow marketing",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn only_the_things_of_the_project_are_pruned() {
        let found = unfiled(&desired(), &present());
        let of = |project| of_project(&found, project).map(|unfiled| unfiled.thing.name.clone()).collect::<Vec<_>>();
        assert_eq!(of("sales"), ["scheduled", "quiet"]);
        assert_eq!(of("marketing"), ["marketing"]);
        assert_eq!(of("finance"), Vec::<String>::new());
    }

    #[test]
    fn a_script_without_a_file_is_found_if_its_workflow_has_one() {
        let mut present = present();
        present.stored.extend(["workflows/filed/unused.sql", "workflows/filed/old.sql"].map(Into::into));
        let mut desired = desired();
        desired.scripts.insert("workflows/filed/a.sql".into(), "select 1".into());
        desired.script_files.insert("workflows/filed/unused.sql".into());
        assert_eq!(scripts(&desired, &present), ["workflows/filed/old.sql".to_owned()].into());
    }

    #[test]
    fn what_workflows_use_is_found() {
        let item = json!({
            "workflow_id": "w", "connection": "main",
            "workflow_stages": [{ "execution_type": "parallel", "scripts": [
                { "job_name": "a", "kind": "cdc", "contract": "orders", "connection": "other" },
                { "job_name": "b", "kind": "copy", "files": "pending(files)", "table": "s.t" },
            ] }],
        });
        let present = Present { workflows: BTreeMap::from([("w".into(), item)]), ..Present::default() };
        for (kind, name, expected) in [
            (Kind::Connection, "main", true),
            (Kind::Connection, "other", true),
            (Kind::Connection, "third", false),
            (Kind::Contract, "orders", true),
            (Kind::Contract, "files", false),
            (Kind::Feed, "files", true),
        ] {
            let thing = Thing::new(kind, name);
            assert_eq!(!users(&thing, &present, &BTreeSet::new()).is_empty(), expected, "{thing}");
            assert_eq!(
                users(&thing, &present, &BTreeSet::from([Thing::new(Kind::Workflow, "w")])),
                Vec::<Thing>::new()
            );
        }
    }

    #[test]
    fn a_feed_uses_and_starts_its_workflow() {
        let feed = |more: &str| format!("bucket: landing\nkeys: x/*\nformat: csv\ntable: a.b\n{more}");
        let texts = BTreeMap::from([
            ("feeds/files.yaml".into(), feed("feed: files\nworkflow: quiet\n")),
            ("feeds/none.yaml".into(), feed("feed: none\n")),
            ("feeds/broken.yaml".into(), "feed: [".into()),
        ]);
        let started = started_by_feeds(&texts);
        assert_eq!(started, BTreeMap::from([("files".into(), "quiet".into())]));
        let present = Present { started_by_feeds: started, ..present() };
        let (quiet, files) = (Thing::new(Kind::Workflow, "quiet"), Thing::new(Kind::Feed, "files"));
        assert_eq!(users(&quiet, &present, &BTreeSet::new()), std::slice::from_ref(&files));
        assert_eq!(users(&quiet, &present, &BTreeSet::from([files])), []);
        assert_eq!(users(&Thing::new(Kind::Workflow, "filed"), &present, &BTreeSet::new()), []);
        let found = unfiled(&desired(), &present);
        let still_started = found.iter().find(|unfiled| unfiled.thing == quiet).unwrap();
        assert_eq!(still_started.starts, ["feed files"]);
        assert!(found.iter().take_while(|unfiled| !unfiled.starts.is_empty()).any(|unfiled| unfiled.thing == quiet));
    }
}
