use futures::FutureExt as _;
use serde_json::json;
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::{Status, keys::secrets_key};

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
                "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }]
            }));
            machine.fakes.scripts.put("workflows/w/a.sql", "select :token, :day");
            machine.broken = vec!["a.sql".into()];
            let parameters = json!({ "token": VALUE, "day": "2026-03-01" });
            let request = json!({ "workflow_id": "w", "workflow_execution_id": "first", "parameters": parameters });
            machine.request(&request).unwrap();
            machine.run_until_idle();
            machine.broken.clear();
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
