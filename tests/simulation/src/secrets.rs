use futures::FutureExt as _;
use serde_json::{Value, json};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::{
    Status,
    keys::{request_secrets_key, secrets_key},
};

use crate::machine::Machine;

const VALUE: &str = "4111-value";

/// Runs a workflow with a secret parameter, whose statement fails, and then a restart, whose statement succeeds.
#[test]
fn a_secret_value_is_only_in_its_object_and_in_the_statement() {
    for faults in [0, 6] {
        for seed in 0..20 {
            let mut machine = Machine::new(seed, faults);
            machine.fakes.configuration.put(json!({
                "workflow_id": "w",
                "parameters": { "token": { "type": "string", "secret": true }, "day": { "type": "date" } },
                "workflow_stages": [{ "execution_type": "sequential", "scripts": [{ "script": "a.sql", "repeatable": true }] }]
            }));
            machine.fakes.scripts.put("workflows/w/a.sql", "select :token, :day");
            *machine.fakes.broken.lock().unwrap() = vec!["a.sql".into()];
            let parameters = json!({ "token": VALUE, "day": "2026-03-01" });
            let request = json!({ "workflow_id": "w", "workflow_execution_id": "first", "parameters": parameters });
            machine.request(&request).unwrap();
            machine.run_until_idle();
            machine.fakes.broken.lock().unwrap().clear();
            let restart = json!({ "workflow_id": "w", "workflow_execution_id": "second", "restart_of": "first" });
            machine.request(&restart).unwrap();
            machine.run_until_idle();

            for (run, status) in [("first", Status::Failed), ("second", Status::Succeeded)] {
                let record = machine.run(run).unwrap();
                let jobs = machine.fakes.ledger.jobs(run).now_or_never().unwrap().unwrap();
                assert_eq!(record.execution_status, status, "{run}: {record:?} {jobs:?}");
                assert_eq!(
                    (record.parameters["token"].as_str(), record.parameters["day"].as_str()),
                    ("(secret)", "2026-03-01")
                );
                let stored = format!("{record:?} {jobs:?}");
                assert!(!stored.contains(VALUE), "{stored}");
                if status == Status::Failed {
                    assert!(!stored.contains("nowhere"), "the message of Redshift is hidden: {stored}");
                    assert!(stored.contains("secret parameters (token)"), "{stored}");
                }
            }
            let published = format!("{:?}", machine.fakes.notices);
            assert!(!published.contains(VALUE), "{published}");
            let submitted = machine.fakes.warehouse.all();
            assert!(submitted.len() >= 2);
            for (submission, _) in submitted {
                assert_eq!(submission.parameters["token"], VALUE);
            }
            // The same request again, with another value of the secret, is the same run.
            let again = json!({ "workflow_id": "w", "workflow_execution_id": "first",
                "parameters": { "token": "another", "day": "2026-03-01" } });
            assert_eq!(machine.request(&again).unwrap()["workflow_execution_id"], "first");
            for run in ["first", "second"] {
                let stored = machine.fakes.staging.get(&secrets_key(run)).now_or_never().unwrap().unwrap();
                let stored = String::from_utf8(stored.unwrap()).unwrap();
                assert_eq!(stored, format!("{{\"token\":\"{VALUE}\"}}"));
            }
        }
    }
}

fn workflow() -> Value {
    json!({
        "workflow_id": "w",
        "parameters": { "token": { "type": "string", "secret": true }, "n": { "type": "integer" } },
        "triggers": [{ "pattern": { "source": ["shop"] }, "parameters": { "token": "$.detail.token", "n": "$.detail.n" } }],
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }]
    })
}

/// Requests that cannot be planned, of an event with a wrong value and of the schedule of a workflow that is invalid or missing.
/// Their runs are restarted after the mistake is corrected.
#[test]
fn a_secret_value_of_a_refused_request_is_only_in_its_object_and_is_restarted() {
    let event =
        json!({ "id": "e", "source": "shop", "detail-type": "Closed", "detail": { "token": VALUE, "n": "many" } });
    let scheduled = json!({ "workflow_id": "w", "scheduled_time": "2026-07-01T00:00:00Z",
        "parameters": { "token": VALUE, "n": 7 } });
    let mut invalid = workflow();
    invalid["parameters"]["token"]["secret"] = "yes".into();
    for (request, present, shown) in
        [(&event, Some(workflow()), "many"), (&scheduled, Some(invalid), "(secret)"), (&scheduled, None, "(secret)")]
    {
        for faults in [0, 6] {
            for seed in 0..20 {
                let mut machine = Machine::new(seed, faults);
                machine.fakes.scripts.put("workflows/w/a.sql", "select :token, :n");
                if let Some(workflow) = &present {
                    machine.fakes.configuration.put(workflow.clone());
                }
                let response = machine.request(request).unwrap();
                let response = response.get(0).unwrap_or(&response);
                let id = response["workflow_execution_id"].as_str().unwrap();
                let run = machine.run(id).unwrap();
                assert_eq!(run.execution_status, Status::Failed);
                let kept = &run.request.as_ref().unwrap().parameters;
                assert_eq!((&kept["token"], &kept["n"]), (&json!("(secret)"), &json!(shown)));
                assert!(!format!("{run:?} {:?}", machine.fakes.notices).contains(VALUE), "{run:?}");
                let stored = machine.fakes.staging.get(&request_secrets_key(id)).now_or_never().unwrap().unwrap();
                assert!(String::from_utf8(stored.unwrap()).unwrap().contains(VALUE));

                machine.fakes.configuration.put(workflow());
                let mut restart = json!({ "workflow_id": "w", "workflow_execution_id": "again", "restart_of": id });
                if shown == "many" {
                    restart["parameters"] = json!({ "n": 7 });
                }
                machine.request(&restart).unwrap();
                machine.run_until_idle();
                let again = machine.run("again").unwrap();
                assert_eq!(again.execution_status, Status::Succeeded, "{:?}", again.error_message);
                assert_eq!((again.parameters["token"].as_str(), again.parameters["n"].as_str()), ("(secret)", "7"));
                assert!(!format!("{again:?}").contains(VALUE));
                for (submission, _) in machine.fakes.warehouse.all() {
                    assert_eq!(submission.parameters["token"], VALUE);
                }
                // The same request again is the same run.
                assert_eq!(machine.request(&restart).unwrap()["workflow_execution_id"], "again");
            }
        }
    }
}
