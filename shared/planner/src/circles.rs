//! Workflows that start each other, or themselves, without end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shiftwork_feeds::Feed;
use shiftwork_protocol::Workflow;

use crate::{
    pattern::{self, Pattern},
    published::{self, Published},
};

/// A circle: the run of each step starts a run of the next step's workflow, and the last one a run of the first one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// At least one step.
    pub steps: Vec<Step>,
}

/// A workflow of a circle, and how a run of it starts the next workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Id of the workflow whose run starts the next one.
    pub workflow_id: String,
    /// The event by which it starts the next workflow.
    pub link: Link,
}

/// How a run of one workflow starts a run of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// An event of the run matches a trigger of the next workflow.
    Event {
        /// `detail-type` of the event.
        detail_type: &'static str,
        /// Index of the trigger in the next workflow, from 0.
        trigger: usize,
    },
    /// A job of kind `unload` writes files of a feed that starts the next workflow.
    Feed(String),
}

impl Circle {
    /// The step and its workflow's successor, for each step.
    pub fn links(&self) -> impl Iterator<Item = (&Step, &str)> {
        let next = self.steps.iter().cycle().skip(1).map(|step| step.workflow_id.as_str());
        self.steps.iter().zip(next)
    }

    /// The ids of the workflows, the first one again at the end: `a → b → a`.
    pub fn path(&self) -> String {
        let ids: Vec<_> = self.steps.iter().chain(self.steps.first()).map(|step| step.workflow_id.as_str()).collect();
        ids.join(" → ")
    }

    fn workflows(&self) -> BTreeSet<&str> {
        self.steps.iter().map(|step| step.workflow_id.as_str()).collect()
    }
}

/// Finds circles among workflows and the feeds that start them: for each workflow of a circle the shortest one, and each set of
/// workflows once. A trigger whose pattern is not valid starts nothing.
pub fn circles<'a>(
    workflows: impl IntoIterator<Item = &'a Workflow>,
    feeds: impl IntoIterator<Item = &'a Feed>,
) -> Vec<Circle> {
    let workflows: BTreeMap<&str, &Workflow> =
        workflows.into_iter().map(|workflow| (workflow.workflow_id.as_str(), workflow)).collect();
    let feeds: Vec<&Feed> = feeds.into_iter().collect();
    let links = links(&workflows, &feeds);
    let mut circles: Vec<Circle> = Vec::new();
    for start in workflows.keys() {
        if let Some(circle) = shortest(start, &links)
            && !circles.iter().any(|known| known.workflows() == circle.workflows())
        {
            circles.push(circle);
        }
    }
    circles
}

/// For each workflow, the workflows that a run of it can start.
type Links<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Link>>;

fn links<'a>(workflows: &BTreeMap<&'a str, &'a Workflow>, feeds: &[&'a Feed]) -> Links<'a> {
    let triggers: Vec<(&str, usize, Pattern)> = workflows
        .iter()
        .flat_map(|(id, workflow)| {
            let patterns = workflow.triggers.iter().enumerate();
            patterns.filter_map(|(i, trigger)| Some((*id, i, pattern::read(&trigger.pattern).ok()?)))
        })
        .collect();
    let mut links = Links::new();
    for (id, workflow) in workflows {
        let started = links.entry(id).or_default();
        for Published { detail_type, event } in published::by_runs(workflow) {
            for (next, trigger, pattern) in &triggers {
                if pattern.could_match(Some(&event)) {
                    started.entry(next).or_insert(Link::Event { detail_type, trigger: *trigger });
                }
            }
        }
        for (bucket, prefix) in published::unloaded(workflow) {
            for feed in feeds.iter().filter(|feed| feed.bucket == bucket && takes(feed, &prefix)) {
                if let Some(next) = &feed.workflow {
                    started.entry(next).or_insert_with(|| Link::Feed(feed.feed.clone()));
                }
            }
        }
    }
    links
}

/// Returns true if a key with this beginning can belong to the feed.
fn takes(feed: &Feed, beginning: &str) -> bool {
    let known = feed.keys.split(['*', '{']).next().unwrap_or_default();
    known.starts_with(beginning) || beginning.starts_with(known)
}

/// The shortest circle through a workflow.
fn shortest(start: &str, links: &Links) -> Option<Circle> {
    // For each workflow that was reached, the workflow that it was reached from.
    let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(from) = queue.pop_front() {
        let Some((from, started)) = links.get_key_value(from) else { continue };
        for next in started.keys() {
            if !reached.contains_key(next) {
                reached.insert(next, from);
                queue.push_back(next);
            }
        }
    }
    let mut steps = Vec::new();
    let mut at = start;
    loop {
        let from = *reached.get(at)?;
        steps.push(Step { workflow_id: from.to_owned(), link: links[from][at].clone() });
        at = from;
        if at == start {
            steps.reverse();
            return Some(Circle { steps });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "the arguments are literals")]
    fn workflow(id: &str, triggers: Value, jobs: Value) -> Workflow {
        serde_json::from_value(json!({
            "workflow_id": id, "triggers": triggers,
            "workflow_stages": [{ "execution_type": "parallel", "scripts": jobs }],
        }))
        .unwrap()
    }

    fn after(id: &str, detail_type: &str, triggers: &Value) -> Workflow {
        workflow(
            id,
            json!([{ "pattern": { "source": ["shiftwork"], "detail-type": [detail_type], "detail": triggers } }]),
            json!(["a.sql"]),
        )
    }

    fn paths(workflows: &[Workflow], feeds: &[Feed]) -> Vec<String> {
        circles(workflows, feeds).iter().map(Circle::path).collect()
    }

    fn feed(name: &str, keys: &str, workflow: &str) -> Feed {
        let text =
            format!("feed: {name}\nbucket: landing\nkeys: {keys}\nformat: csv\ntable: a.b\nworkflow: {workflow}\n");
        Feed::read(&shiftwork_config::read_file("feed.yaml", &text).unwrap()).unwrap()
    }

    #[test]
    fn events_of_runs() {
        let refreshed = |id: &str, of: &str| after(id, "Shiftwork Workflow Refreshed", &json!({ "workflow_id": [of] }));
        let failed = |id: &str, of: Value| {
            after(id, "Shiftwork Run Ended", &json!({ "workflow_id": of, "execution_status": ["FAILED"] }))
        };
        let job = |id: &str, detail: Value| after(id, "Shiftwork Job Ended", &detail);
        let cases = [
            (vec![refreshed("a", "a")], vec!["a → a"]),
            (vec![refreshed("a", "b"), refreshed("b", "a")], vec!["a → b → a"]),
            (vec![refreshed("a", "c"), refreshed("b", "a"), refreshed("c", "b")], vec!["a → b → c → a"]),
            (vec![refreshed("a", "x"), refreshed("b", "a"), refreshed("c", "b")], vec![]),
            (vec![refreshed("a", "b"), failed("b", json!(["a"]))], vec!["a → b → a"]),
            // A workflow that follows every failure follows its own.
            (vec![failed("alerts", json!([{ "exists": true }]))], vec!["alerts → alerts"]),
            (vec![failed("alerts", json!([{ "anything-but": "alerts" }])), refreshed("b", "a")], vec![]),
            (vec![failed("alerts", json!([{ "prefix": "al" }]))], vec!["alerts → alerts"]),
            (vec![job("a", json!({ "workflow_id": ["a"], "job_name": ["a.sql"] }))], vec!["a → a"]),
            (vec![job("a", json!({ "workflow_id": ["a"], "job_name": ["removed.sql"] }))], vec![]),
            (vec![job("a", json!({ "job_name": ["a.sql"] }))], vec!["a → a"]),
            // Two circles with one workflow in both.
            (
                vec![
                    refreshed("a", "b"),
                    refreshed("b", "a"),
                    failed("c", json!(["b"])),
                    refreshed("d", "c"),
                    refreshed("c2", "d"),
                ],
                vec!["a → b → a"],
            ),
        ];
        for (workflows, wanted) in cases {
            assert_eq!(paths(&workflows, &[]), wanted, "{workflows:?}");
        }
    }

    #[test]
    fn every_trigger_counts() {
        let refreshed = |of: &str| json!({ "pattern": { "source": ["shiftwork"], "detail-type": ["Shiftwork Workflow Refreshed"], "detail": { "workflow_id": [of] } } });
        let a = workflow("a", json!([refreshed("x"), refreshed("b")]), json!(["a.sql"]));
        let b = workflow("b", json!([refreshed("a")]), json!(["a.sql"]));
        let found = circles([&a, &b], []);
        let link = |trigger| Link::Event { detail_type: "Shiftwork Workflow Refreshed", trigger };
        let step = |id: &str, trigger| Step { workflow_id: id.into(), link: link(trigger) };
        assert_eq!(found, [Circle { steps: vec![step("a", 0), step("b", 1)] }]);
    }

    #[test]
    fn tables_files_statements_and_executions_of_runs() {
        let copy = json!([{ "job_name": "files", "kind": "copy", "files": "pending(orders)" }]);
        let unload = |to: &str| json!([{ "job_name": "export", "kind": "unload", "select": "select 1", "to": to }]);
        let on = |source: &str, detail: Value| json!([{ "pattern": { "source": [source], "detail": detail } }]);
        let of_object =
            |key: Value| on("aws.s3", json!({ "bucket": { "name": ["landing"] }, "object": { "key": [key] } }));
        let table = |feed: &str| on("shiftwork", json!({ "feed": [feed] }));
        let cases = [
            (workflow("a", table("orders"), copy.clone()), true),
            (workflow("a", table("items"), copy), false),
            (workflow("a", of_object(json!({ "prefix": "in/" })), unload("s3://landing/in/{run_date}/")), true),
            (workflow("a", of_object(json!({ "prefix": "in/" })), unload("s3://landing/out/")), false),
            (workflow("a", of_object(json!({ "prefix": "in/" })), unload("s3://other/in/")), false),
            (workflow("a", of_object(json!({ "prefix": "in/" })), unload("s3://landing/{run_date}/in/")), true),
            (workflow("a", on("aws.redshift-data", json!({ "state": ["FINISHED"] })), json!(["a.sql"])), true),
            (
                workflow(
                    "a",
                    on("aws.redshift-data", json!({ "statementName": [{ "prefix": "mine" }] })),
                    json!(["a.sql"]),
                ),
                false,
            ),
            (workflow("a", on("aws.states", json!({ "status": ["FAILED"] })), json!(["a.sql"])), true),
            (
                workflow(
                    "a",
                    on("aws.states", json!({ "stateMachineArn": ["arn:aws:states:::stateMachine:mine"] })),
                    json!(["a.sql"]),
                ),
                false,
            ),
            (workflow("a", json!([{ "pattern": { "account": [{ "exists": true }] } }]), json!(["a.sql"])), true),
        ];
        for (workflow, wanted) in cases {
            let wanted = if wanted { vec!["a → a"] } else { vec![] };
            assert_eq!(paths(std::slice::from_ref(&workflow), &[]), wanted, "{workflow:?}");
        }
    }

    #[test]
    fn a_feed_whose_files_a_run_writes_starts_its_workflow() {
        let unload = |id: &str, to: &str| {
            workflow(id, json!([]), json!([{ "job_name": "export", "kind": "unload", "select": "select 1", "to": to }]))
        };
        let reader = after("load", "Shiftwork Run Ended", &json!({ "workflow_id": ["export"] }));
        let back = after("export", "Shiftwork Table Refreshed", &json!({ "feed": ["orders"] }));
        let orders = feed("orders", "orders/{day:%Y-%m-%d}/*.csv", "a");
        assert_eq!(paths(&[unload("a", "s3://landing/orders/")], std::slice::from_ref(&orders)), ["a → a"]);
        assert_eq!(paths(&[unload("a", "s3://landing/orders/{run_date}/x")], std::slice::from_ref(&orders)), ["a → a"]);
        assert_eq!(paths(&[unload("a", "s3://landing/items/")], std::slice::from_ref(&orders)), [""; 0]);
        assert_eq!(paths(&[unload("b", "s3://landing/orders/")], &[orders]), [""; 0], "it starts another workflow");
        assert_eq!(paths(&[reader, back], &[]), [""; 0], "`export` loads no file of the feed");
    }
}
