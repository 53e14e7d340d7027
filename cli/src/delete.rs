//! `shiftwork delete`: removes a workflow, a table contract, a feed or a connection from the deployment.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::bail;
use console::style;
use shiftwork_config::list;
use shiftwork_protocol::RunRecord;

use crate::{
    Deployment, Outcome, args,
    confirm::confirmed,
    push::{self, Kind, Present, Pusher, Thing},
};

/// Number of a workflow's newest runs among which active ones are looked for.
const RUNS: u16 = 100;

/// Lists what is deleted, asks, and deletes it.
pub async fn delete(deployment: &Deployment, asked: &args::Delete) -> anyhow::Result<Outcome> {
    let present = deployment.present([]).await?;
    let thing = find(&present, &asked.name, asked.kind)?;
    let runs = match thing.kind {
        Kind::Workflow => deployment.runs_of(&thing.name, RUNS).await?,
        Kind::Contract | Kind::Feed | Kind::Connection => Vec::new(),
    };
    print!("{}", describe(&thing, &present));
    let obstacles = obstacles(&thing, &present, &runs);
    if !obstacles.is_empty() && !asked.force {
        eprint!("{obstacles}");
        eprintln!("nothing was deleted; use --force to delete {thing} anyway");
        return Ok(Outcome::Failed);
    }
    if !asked.yes && !confirmed(&format!("Delete {thing}?"), "delete it")? {
        println!("nothing was deleted");
        return Ok(Outcome::Failed);
    }
    let record = present.records.get(&thing);
    let pusher = Pusher { project: None, caller: deployment.caller().await?, now: deployment.clock.now() };
    deployment.remove(&thing, &push::claim(record, None, &pusher)).await?;
    println!("{} {thing}", style("deleted").green());
    println!("a push from a checkout that still has its file creates it again");
    Ok(Outcome::Done)
}

/// The deployed thing with this name.
fn find(present: &Present, name: &str, kind: Option<Kind>) -> anyhow::Result<Thing> {
    let deployed = push::deployed(present);
    let is_asked = |thing: &&Thing| kind.is_none_or(|kind| thing.kind == kind);
    let named: Vec<&Thing> = deployed.iter().filter(is_asked).filter(|thing| thing.name == name).collect();
    match named[..] {
        [thing] => Ok(thing.clone()),
        [] => {
            let known: BTreeSet<&str> = deployed.iter().filter(is_asked).map(|thing| thing.name.as_str()).collect();
            let what = kind.map_or("thing", Kind::as_str);
            if known.is_empty() {
                bail!("no {what} named `{name}` is deployed: nothing is");
            }
            bail!("no {what} named `{name}` is deployed; deployed are {}", list(known))
        }
        [..] => {
            let kinds: Vec<_> = named.iter().map(|thing| format!("--kind {}", thing.kind.as_str())).collect();
            bail!("several things are named `{name}`: choose one with {}", kinds.join(" or "))
        }
    }
}

/// Everything that is deleted with a thing, one line each.
fn describe(thing: &Thing, present: &Present) -> String {
    let mut out = String::new();
    let record = present.records.get(thing).map_or_else(|| "not by a push".to_owned(), ToString::to_string);
    let _ = writeln!(out, "{} {thing}  {}", style("-").red(), style(record).dim());
    if thing.kind != Kind::Workflow {
        return out;
    }
    if let Some(schedule) = present.schedules.get(&thing.name) {
        let off = if schedule.enabled { "" } else { ", switched off" };
        let _ = writeln!(out, "{}   schedule {} {}{off}", style("-").red(), schedule.expression, schedule.time_zone);
    }
    let triggers = present.workflows.get(&thing.name).and_then(|item| item["triggers"].as_array());
    for trigger in triggers.into_iter().flatten() {
        let _ = writeln!(out, "{}   trigger {}", style("-").red(), trigger["pattern"]);
    }
    for key in push::scripts_of(&thing.name, present) {
        let _ = writeln!(out, "{}   script {key}", style("-").red());
    }
    out
}

/// The reasons why a thing is deleted only with `--force`, one line each.
fn obstacles(thing: &Thing, present: &Present, runs: &[RunRecord]) -> String {
    let mut out = String::new();
    let sign = style("error:").red().bold();
    for run in runs.iter().filter(|run| !run.execution_status.is_terminal()) {
        let (id, status) = (&run.workflow_execution_id, run.execution_status);
        let _ = writeln!(out, "{sign} run {id} is {status}: wait until it ends, or use `shiftwork cancel {id}`");
    }
    let users = push::users(thing, present, &BTreeSet::new());
    if !users.is_empty() {
        let _ = writeln!(out, "{sign} {thing} is used by {}", push::listed(&users));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use shiftwork_protocol::{Connection, Status};

    use super::*;
    use crate::{
        fixture::{BLOG, planned},
        push::Timetable,
    };

    fn present() -> Present {
        let item = json!({
            "workflow_id": "nightly", "connection": "main", "workflow_stages": [],
            "triggers": [{ "pattern": { "source": ["aws.s3"] } }],
        });
        let schedule = Timetable {
            expression: "rate(1 day)".into(),
            time_zone: "UTC".into(),
            enabled: true,
            ..Timetable::default()
        };
        Present {
            workflows: BTreeMap::from([("nightly".into(), item)]),
            schedules: BTreeMap::from([("nightly".into(), schedule)]),
            connections: ["main", "orders"].map(|name| (name.into(), Connection::default())).into(),
            stored: ["contracts/orders.yaml", "workflows/nightly/a.sql", "workflows/nightly2/b.sql"]
                .map(Into::into)
                .into(),
            ..Present::default()
        }
    }

    #[test]
    fn a_name_is_found_by_its_kind() {
        let found = |name, kind| find(&present(), name, kind).map_err(|error| error.to_string());
        assert_eq!(found("nightly", None), Ok(Thing::new(Kind::Workflow, "nightly")));
        assert_eq!(found("orders", Some(Kind::Contract)), Ok(Thing::new(Kind::Contract, "orders")));
        let ambiguous = found("orders", None).unwrap_err();
        assert!(ambiguous.contains("--kind contract or --kind connection"), "{ambiguous}");
        let unknown = found("weekly", Some(Kind::Workflow)).unwrap_err();
        assert!(unknown.contains("`weekly`") && unknown.contains("`nightly`, `nightly2`"), "{unknown}");
        assert!(find(&Present::default(), "a", None).is_err());
    }

    #[test]
    fn schedule_triggers_and_scripts_are_listed() {
        let shown = describe(&Thing::new(Kind::Workflow, "nightly"), &present());
        let shown = console::strip_ansi_codes(&shown).into_owned();
        assert_eq!(
            shown,
            "- workflow nightly  not by a push\n-   schedule rate(1 day) UTC\n-   trigger {\"source\":[\"aws.s3\"]}\n\
             -   script workflows/nightly/a.sql\n"
        );
    }

    #[test]
    fn active_runs_and_users_are_obstacles() {
        let run = |status| RunRecord { execution_status: status, ..planned(BLOG, |_| "SELECT 1".into()).0.run };
        let nightly = Thing::new(Kind::Workflow, "nightly");
        for status in Status::ALL {
            let found = obstacles(&nightly, &present(), &[run(status)]);
            assert_eq!(found.is_empty(), status.is_terminal(), "{status}: {found}");
        }
        let used = obstacles(&Thing::new(Kind::Connection, "main"), &present(), &[]);
        assert!(used.contains("connection main is used by workflow nightly"), "{used}");
        let started_by_feeds = BTreeMap::from([("orders".into(), "nightly".into())]);
        let started = obstacles(&nightly, &Present { started_by_feeds, ..present() }, &[]);
        assert!(started.contains("workflow nightly is used by feed orders"), "{started}");
        assert_eq!(obstacles(&Thing::new(Kind::Connection, "orders"), &present(), &[]), "");
    }
}
