//! Requests that cannot be planned and are restarted, and logical dates from one run to the next.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use serde_json::{Value, json};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::{Failure, RunRecord, Status, Work, audit::Origin, event::Event, payload::RunResponse};

use crate::machine::Machine;

/// A machine without faults, with a workflow whose job calls `p(:run_date, :n)`.
fn machine(time_zone: Option<&str>, trigger: &Value) -> Machine {
    let mut machine = Machine::new(1, 0);
    put(&mut machine, "w", time_zone, trigger);
    machine
}

fn put(machine: &mut Machine, id: &str, time_zone: Option<&str>, trigger: &Value) {
    let mut workflow = json!({ "workflow_id": id, "triggers": [trigger],
        "parameters": { "n": { "type": "integer", "default": 4 } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": [
            { "job_name": "totals", "kind": "procedure", "call": "dwh.totals(:run_date, :n)" },
            { "job_name": "after", "kind": "procedure", "call": "dwh.after(:run_date)" } ] }] });
    if let Some(zone) = time_zone {
        workflow["time_zone"] = zone.into();
    }
    machine.fakes.configuration.put(workflow);
}

/// Sends an event, and returns the run of the one workflow that it starts.
fn started(machine: &mut Machine, id: &str, source: &str, kind: &str, detail: &Value) -> RunRecord {
    let event = json!({ "id": id, "source": source, "detail-type": kind, "detail": detail });
    let response = machine.request(&event).unwrap();
    let responses: Vec<RunResponse> = serde_json::from_value(response).unwrap();
    assert_eq!(responses.len(), 1, "{responses:?}");
    machine.run(&responses[0].workflow_execution_id).unwrap()
}

fn restarted(machine: &mut Machine, of: &str, extra: &Value) -> Result<RunRecord, Failure> {
    let mut request = json!({ "workflow_id": "w", "workflow_execution_id": format!("{of}-again"), "restart_of": of });
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    machine.request(&request)?;
    machine.run_until_idle();
    Ok(machine.run(&format!("{of}-again")).unwrap())
}

/// The parameters of the statement of a job.
fn bound(machine: &Machine, run: &str) -> BTreeMap<String, String> {
    match machine.fakes.ledger.job(run, "totals").now_or_never().unwrap().unwrap().unwrap().plan.work {
        Work::Procedure { parameters, .. } => parameters,
        other => panic!("{other:?}"),
    }
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_restart_completes_the_request_of_an_event_that_could_not_be_planned() {
    let trigger = json!({ "pattern": { "source": ["shop"] }, "logical_date": "$.detail.day",
                          "parameters": { "n": "$.detail.n" } });
    let mut machine = machine(Some("Europe/Berlin"), &trigger);
    let refused = started(&mut machine, "e1", "shop", "Closed", &json!({ "day": "2026-07-01", "n": "many" }));
    assert_eq!((refused.execution_status, refused.requested_by), (Status::Failed, Origin::Event));
    let message = refused.error_message.clone().unwrap();
    assert!(message.contains("the value of parameter `n` is not an integer"), "{message}");
    let kept = refused.request.clone().unwrap();
    assert_eq!((&kept.parameters["n"], kept.logical_date.as_deref()), (&json!("many"), Some("2026-07-01")));

    // The values are checked as at the start, and nothing is lost.
    let again = restarted(&mut machine, &refused.workflow_execution_id, &json!({})).unwrap_err();
    assert!(again.message.contains("the value of parameter `n` is not an integer"), "{again}");
    let again =
        restarted(&mut machine, &refused.workflow_execution_id, &json!({ "parameters": { "m": 1 } })).unwrap_err();
    assert!(again.message.contains("the workflow has no parameter `m`"), "{again}");

    let run = restarted(&mut machine, &refused.workflow_execution_id, &json!({ "parameters": { "n": "7" } })).unwrap();
    assert_eq!(run.execution_status, Status::Succeeded, "{:?}", run.error_message);
    assert_eq!((run.run_date.as_deref(), run.time_zone.as_deref()), (Some("2026-07-01"), Some("Europe/Berlin")));
    assert_eq!(run.logical_date.to_string(), "2026-06-30T22:00:00Z");
    assert_eq!(bound(&machine, &run.workflow_execution_id), text(&[("n", "7"), ("run_date", "2026-07-01")]));
}

#[test]
fn a_bad_logical_date_fails_with_its_place_and_a_restart_corrects_it() {
    for (detail, found) in [
        (json!({ "n": 1, "day": "soon" }), "`soon` is not a logical date"),
        (json!({ "n": 1 }), "there is no value"),
        (json!({ "n": 1, "day": 20_260_701 }), "`20260701` is not a logical date"),
    ] {
        let trigger = json!({ "pattern": { "source": ["shop"] }, "logical_date": "$.detail.day",
                              "parameters": { "n": "$.detail.n" } });
        let mut machine = machine(None, &trigger);
        let refused = started(&mut machine, "e1", "shop", "Closed", &detail);
        assert_eq!(refused.execution_status, Status::Failed);
        let message = refused.error_message.clone().unwrap();
        let place = "`$.detail.day` of the event (triggers[0].logical_date): ";
        assert!(message.contains(place) && message.contains(found), "{message}");
        // A restart does not take today's date instead.
        let again = restarted(&mut machine, &refused.workflow_execution_id, &json!({})).unwrap_err();
        assert!(again.message.contains(found), "{again}");
        let corrected = json!({ "logical_date": "2026-07-01" });
        let run = restarted(&mut machine, &refused.workflow_execution_id, &corrected).unwrap();
        assert_eq!(run.execution_status, Status::Succeeded);
        assert_eq!(bound(&machine, &run.workflow_execution_id), text(&[("n", "1"), ("run_date", "2026-07-01")]));
    }
}

#[test]
fn a_scheduled_run_has_the_day_of_its_schedule_and_keeps_it_in_a_restart() {
    for (due, day) in [("2026-06-30T23:30:00Z", "2026-07-01"), ("2026-12-31T00:30:00Z", "2026-12-31")] {
        let mut machine = Machine::new(1, 0);
        machine.fakes.configuration.put(json!({ "workflow_id": "w",
            "schedule": { "expression": "cron(30 1 * * ? *)", "time_zone": "Europe/Berlin" },
            "workflow_stages": [{ "execution_type": "sequential", "scripts": [
                { "job_name": "totals", "kind": "procedure", "call": "dwh.totals(:run_date)" }] }] }));
        machine.fakes.broken.lock().unwrap().push("totals".into());
        let response = machine.request(&json!({ "workflow_id": "w", "scheduled_time": due })).unwrap();
        machine.run_until_idle();
        let id = response["workflow_execution_id"].as_str().unwrap();
        assert_eq!(machine.run(id).unwrap().execution_status, Status::Failed);
        assert_eq!(bound(&machine, id), text(&[("run_date", day)]));
        machine.fakes.broken.lock().unwrap().clear();
        let run = restarted(&mut machine, id, &json!({ "from_statement": { "totals": 1 } })).unwrap();
        assert_eq!((run.run_date.as_deref(), run.time_zone.as_deref()), (Some(day), Some("Europe/Berlin")));
        assert_eq!(bound(&machine, &run.workflow_execution_id), text(&[("run_date", day)]));
    }
}

#[test]
fn a_backfill_flows_to_the_workflows_that_its_events_start() {
    let first = json!({ "pattern": { "source": ["shop"] }, "parameters": { "n": "$.detail.n" } });
    let mut machine = machine(Some("Europe/Berlin"), &first);
    // The second workflow has no time zone and follows the run; the third follows one job.
    let follows = |kind: &str, detail: &Value| {
        json!({ "pattern": { "source": ["shiftwork"], "detail-type": [kind], "detail": detail },
                "parameters": { "n": "$.detail.n" } })
    };
    let of_run = json!({ "workflow_id": ["w"] });
    put(&mut machine, "second", None, &follows("Shiftwork Workflow Refreshed", &of_run));
    let of_job = json!({ "workflow_id": ["w"], "job_name": ["totals"] });
    put(&mut machine, "third", None, &follows("Shiftwork Job Ended", &of_job));
    put(&mut machine, "fourth", None, &follows("Shiftwork Run Ended", &of_run));
    machine
        .request(&json!({ "workflow_id": "w", "workflow_execution_id": "backfill", "parameters": { "n": 3 },
                          "logical_date": "2026-06-30T23:30:00Z" }))
        .unwrap();
    machine.run_until_idle();
    assert_eq!(machine.run("backfill").unwrap().run_date.as_deref(), Some("2026-07-01"));

    let mut followed = BTreeSet::new();
    for event in machine.fakes.notices.events() {
        let detail: Value = serde_json::from_str(&event.detail().unwrap()).unwrap();
        let is_followed = match &event {
            Event::Job(job) => job.workflow_execution_id == "backfill" && job.job_name == "totals",
            Event::Run(_) | Event::Refreshed(_) => detail["workflow_execution_id"] == "backfill",
            Event::Drift(_) | Event::Table(_) | Event::Late(_) => false,
        };
        if is_followed {
            // The run has started already, and a copy of its event returns it.
            let id = format!("{} {}", event.detail_type(), detail["idempotency_key"]);
            let run = started(&mut machine, &id, "shiftwork", event.detail_type(), &detail);
            let zone = run.time_zone.as_deref();
            assert_eq!(
                (run.run_date.as_deref(), zone),
                (Some("2026-07-01"), Some("Europe/Berlin")),
                "{}",
                run.workflow_id
            );
            assert_eq!(run.logical_date.to_string(), "2026-06-30T23:30:00Z");
            assert_eq!(bound(&machine, &run.workflow_execution_id), text(&[("n", "4"), ("run_date", "2026-07-01")]));
            followed.insert(id);
        }
    }
    assert_eq!(followed.len(), 3, "{followed:?}");
}

#[test]
fn values_are_not_changed_under_jobs_that_succeeded() {
    let trigger = json!({ "pattern": { "source": ["shop"] }, "parameters": { "n": "$.detail.n" } });
    let mut machine = machine(None, &trigger);
    // A CALL that failed can have committed, so a person decides that it runs again.
    let corrected = json!({ "parameters": { "n": 2 }, "from_statement": { "totals": 1 } });
    let undecided = json!({ "parameters": { "n": 2 } });
    for (broken, reusable) in [("totals", false), ("after", true)] {
        *machine.fakes.broken.lock().unwrap() = vec![broken.into()];
        let id = format!("breaks-{broken}");
        let request = json!({ "workflow_id": "w", "workflow_execution_id": id, "parameters": { "n": 1 } });
        machine.request(&request).unwrap();
        machine.run_until_idle();
        machine.fakes.broken.lock().unwrap().clear();
        if !reusable {
            let refusal = restarted(&mut machine, &id, &undecided).unwrap_err();
            let decision = format!("`shiftwork restart {id} --from-statement totals=1` runs the job again");
            assert!(refusal.message.contains(&decision), "{refusal}");
        }
        match restarted(&mut machine, &id, &corrected) {
            Ok(run) => {
                assert!(!reusable);
                assert_eq!(run.execution_status, Status::Succeeded);
                assert_eq!(bound(&machine, &run.workflow_execution_id)["n"], "2");
            }
            Err(failure) => assert!(reusable && failure.message.contains("1 of its jobs succeeded"), "{failure}"),
        }
    }
}
