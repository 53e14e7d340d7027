//! Workflows that start each other by their events, also in circles.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shiftwork_planner::pattern;
use shiftwork_ports::Configuration as _;
use shiftwork_protocol::{Cause, RunRecord, Status, event};

use crate::machine::Machine;

impl Machine {
    /// Gives each event that was published since the last call to the rules of the triggers, which send it to the workflows
    /// whose patterns match. A fault delivers an event twice.
    pub(crate) fn route_events(&mut self) {
        let published = self.fakes.notices.events();
        for (number, published) in published.iter().enumerate().skip(self.routed) {
            let detail: Value = serde_json::from_str(&published.detail().unwrap()).unwrap();
            let event = json!({ "version": "0", "id": format!("event-{number}"), "source": event::SOURCE,
                "detail-type": published.detail_type(), "account": "123456789012", "time": "2026-01-01T00:00:00Z",
                "region": "eu-central-1", "resources": [], "detail": detail });
            for (workflow_id, pattern) in self.triggers() {
                if pattern::matches(&pattern, &event) == Ok(true) {
                    let copies = if self.faults.occurs(8) { 2 } else { 1 };
                    let delivery = json!({ "triggered_workflow": workflow_id, "event": event });
                    self.deliveries.extend(std::iter::repeat_n(delivery, copies));
                }
            }
        }
        self.routed = published.len();
    }

    fn triggers(&self) -> Vec<(String, Map<String, Value>)> {
        let workflows = self.fakes.configuration.triggered().now_or_never().unwrap().unwrap();
        let of_workflow = |workflow: Value| {
            let id = workflow["workflow_id"].as_str().unwrap().to_owned();
            let triggers = workflow["triggers"].as_array().unwrap().clone();
            triggers.into_iter().map(move |trigger| (id.clone(), trigger["pattern"].as_object().unwrap().clone()))
        };
        workflows.into_iter().flat_map(of_workflow).collect()
    }

    /// Invokes the trigger with a random delivery. Lambda and EventBridge retry until the invocation succeeds.
    pub(crate) fn deliver_to_trigger(&mut self) {
        self.route_events();
        if self.deliveries.is_empty() {
            return;
        }
        let delivery = self.deliveries.swap_remove(self.faults.random_below(self.deliveries.len()));
        if !matches!(self.trigger.handle(delivery.clone(), "invocation").now_or_never(), Some(Ok(_))) {
            self.deliveries.push(delivery);
        }
    }
}

/// A few workflows with one job each, and triggers on each other's events.
#[derive(Debug, Clone)]
struct Case {
    workflows: Vec<Value>,
    broken: Vec<String>,
}

fn any_case() -> impl Strategy<Value = Case> {
    let trigger = (0..5_u8, prop::option::of(0..3_usize));
    let workflow = (prop::option::weighted(0.9, trigger), any::<bool>(), 0..3_u8);
    prop::collection::vec(workflow, 1..4).prop_map(|workflows| {
        let broken = workflows.iter().enumerate().filter(|(_, (_, breaks, _))| *breaks);
        let broken = broken.map(|(n, _)| format!("job_{n}.sql")).collect();
        let workflows =
            workflows.iter().enumerate().map(|(n, (trigger, _, overlap))| {
                let triggers: Vec<_> = trigger.iter().map(|(kind, of)| {
                let mut detail = match kind {
                    0 => json!({ "execution_status": ["FAILED"] }),
                    _ => json!({ "idempotency_key": [{ "exists": true }] }),
                };
                if let Some(of) = of {
                    detail["workflow_id"] = json!([format!("w{of}")]);
                }
                let detail_type = match kind {
                    0 | 1 => event::RUN_ENDED,
                    2 => event::JOB_ENDED,
                    _ => event::REFRESHED,
                };
                json!({ "pattern": { "source": [event::SOURCE], "detail-type": [detail_type], "detail": detail } })
            }).collect();
                let on_overlap = ["skip", "queue", "fail"][usize::from(*overlap)];
                json!({ "workflow_id": format!("w{n}"), "on_overlap": on_overlap, "triggers": triggers,
                "workflow_stages": [{ "execution_type": "parallel", "scripts": [format!("job_{n}.sql")] }] })
            });
        Case { workflows: workflows.collect(), broken }
    })
}

fn machine(case: &Case, seed: u64, max_faults: u32, max_causes: usize) -> Machine {
    let mut machine = Machine::new(seed, max_faults);
    machine.trigger.max_causes = max_causes;
    machine.fakes.broken.lock().unwrap().clone_from(&case.broken);
    for (n, workflow) in case.workflows.iter().enumerate() {
        machine.fakes.configuration.put(workflow.clone());
        machine.fakes.scripts.put(&format!("workflows/w{n}/job_{n}.sql"), "select 1");
    }
    machine
}

fn cause_of(run: &RunRecord) -> Cause {
    Cause { workflow_id: run.workflow_id.clone(), workflow_execution_id: run.workflow_execution_id.clone() }
}

/// Checks the runs of a machine on which everything has ended.
fn check_chains(machine: &Machine, max_causes: usize) {
    let runs: BTreeMap<String, RunRecord> =
        machine.fakes.ledger.runs().into_iter().map(|run| (run.workflow_execution_id.clone(), run)).collect();
    let alerts: BTreeSet<String> =
        machine.fakes.notices.alerts().into_iter().map(|run| run.workflow_execution_id).collect();
    let told: Vec<Value> = machine
        .fakes
        .notices
        .events()
        .iter()
        .map(|event| serde_json::from_str(&event.detail().unwrap()).unwrap())
        .collect();
    for (id, run) in &runs {
        assert!(run.execution_status.is_terminal(), "{id} is {}", run.execution_status);
        assert!(run.caused_by.len() <= max_causes + 1, "{id} is caused by {:?}", run.caused_by);
        if let Some(cause) = run.caused_by.last() {
            let before = &runs[&cause.workflow_execution_id];
            let mut chain = before.caused_by.clone();
            chain.push(cause_of(before));
            assert_eq!(run.caused_by, chain, "{id} continues the chain of the run that caused it");
        }
        let is_told = told.iter().any(|detail| detail["workflow_execution_id"] == **id);
        let error = run.error_message.as_deref().unwrap_or_default();
        if run.caused_by.len() > max_causes {
            assert_eq!((run.execution_status, run.jobs), (Status::Failed, 0), "{id} is refused");
            assert!(error.contains(&format!("more than {max_causes} runs led to this run")), "{id}: {error}");
            assert!(alerts.contains(id), "people are told of {id}");
            assert!(!is_told, "{id} publishes an event, which could start the next run");
        } else {
            assert!(is_told, "{id} ends without an event");
            assert!(!error.contains("led to this run"), "{id}: {error}");
        }
    }
    // What an event reports starts each matching workflow once, however often the event is published and delivered.
    let mut facts = BTreeSet::new();
    for published in machine.fakes.notices.events() {
        let detail: Value = serde_json::from_str(&published.detail().unwrap()).unwrap();
        let event = json!({ "source": event::SOURCE, "detail-type": published.detail_type(), "detail": detail });
        for (workflow_id, pattern) in machine.triggers() {
            if pattern::matches(&pattern, &event) == Ok(true) {
                facts.insert((workflow_id, published.detail_type(), detail["idempotency_key"].to_string()));
            }
        }
    }
    let triggered = runs.values().filter(|run| !run.caused_by.is_empty()).count();
    assert_eq!(triggered, facts.len(), "each of {facts:#?} starts one run, and nothing else does");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Chains of triggers end, whatever starts what: every event starts each matching workflow once, and the run that would be
    /// one too many fails with its reason and a notice.
    #[test]
    fn chains_of_triggers_end(case in any_case(), seed: u64, max_faults in 0..20_u32, max_causes in 1..4_usize) {
        let mut machine = machine(&case, seed, max_faults, max_causes);
        machine.request(&json!({ "workflow_id": "w0", "workflow_execution_id": "r" })).unwrap();
        machine.run_until_idle();
        check_chains(&machine, max_causes);
    }
}

#[test]
fn two_workflows_that_start_each_other_stop_after_the_maximum() {
    let after = |id: &str, of: &str, job: &str| {
        json!({ "workflow_id": id, "workflow_stages": [{ "execution_type": "parallel", "scripts": [job] }],
            "triggers": [{ "pattern": { "source": ["shiftwork"], "detail-type": [event::REFRESHED], "detail": { "workflow_id": [of] } } }] })
    };
    let workflows = vec![after("w0", "w1", "job_0.sql"), after("w1", "w0", "job_1.sql")];
    let case = Case { workflows, broken: Vec::new() };
    let mut machine = machine(&case, 1, 0, 10);
    machine.request(&json!({ "workflow_id": "w0", "workflow_execution_id": "r" })).unwrap();
    machine.run_until_idle();
    check_chains(&machine, 10);
    let runs = machine.fakes.ledger.runs();
    let succeeded = runs.iter().filter(|run| run.execution_status == Status::Succeeded).count();
    assert_eq!(
        (succeeded, runs.len()),
        (11, 12),
        "the first run, ten that events started, and the one that is refused"
    );
    assert_eq!(machine.fakes.notices.alerts().len(), 1);
}

#[test]
fn a_workflow_follows_a_failure() {
    let workflow = |id: &str, job: &str, triggers: Value| {
        json!({ "workflow_id": id, "triggers": triggers,
            "workflow_stages": [{ "execution_type": "parallel", "scripts": [job] }] })
    };
    let on = |detail_type: &str, detail: Value| json!([{ "pattern": { "source": ["shiftwork"], "detail-type": [detail_type], "detail": detail } }]);
    let failed = json!({ "workflow_id": ["w0"], "execution_status": ["FAILED"] });
    let case = Case {
        workflows: vec![
            workflow("w0", "job_0.sql", json!([])),
            workflow("w1", "job_1.sql", on(event::RUN_ENDED, failed.clone())),
            workflow("w2", "job_2.sql", on(event::JOB_ENDED, failed)),
        ],
        broken: vec!["job_0.sql".into()],
    };
    let mut machine = machine(&case, 1, 0, 10);
    machine.request(&json!({ "workflow_id": "w0", "workflow_execution_id": "r" })).unwrap();
    machine.run_until_idle();
    check_chains(&machine, 10);
    let statuses: Vec<_> =
        machine.fakes.ledger.runs().into_iter().map(|run| (run.workflow_id, run.execution_status)).collect();
    let wanted = [("w0", Status::Failed), ("w1", Status::Succeeded), ("w2", Status::Succeeded)];
    assert_eq!(
        statuses.into_iter().collect::<BTreeMap<_, _>>(),
        wanted.map(|(id, status)| (id.to_owned(), status)).into()
    );
}
