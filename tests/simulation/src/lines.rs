//! The log lines of whole runs, in the format in which the functions write them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shiftwork_aws::lambda::JsonLines;
use shiftwork_ports::fake::LogLines;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::machine::Machine;

/// The lines that the functions write during `work`. Panics at a line that is not an object or has a key twice.
fn lines(work: impl FnOnce()) -> Vec<BTreeMap<String, Value>> {
    let log = LogLines::default();
    let writer = log.clone();
    tracing::subscriber::with_default(Registry::default().with(JsonLines::new(move || writer.clone())), work);
    log.parsed()
}

/// Runs with failures, retries, several parts, faults and a stop.
fn run(seed: u64) {
    let mut machine = Machine::new(seed, 30);
    machine.timeouts = seed.is_multiple_of(2);
    *machine.fakes.broken.lock().unwrap() = vec!["broken.sql".into()];
    let stages = json!([
        { "execution_type": "sequential", "scripts": [{ "script": "parts.sql", "transaction": "per_statement" }] },
        { "execution_type": "parallel", "scripts": ["a.sql", { "script": "broken.sql", "retries": 1 }] },
    ]);
    machine.fakes.configuration.put(json!({ "workflow_id": "w", "workflow_stages": stages }));
    for (name, statements) in [("parts.sql", 95), ("a.sql", 1), ("broken.sql", 1)] {
        machine.fakes.scripts.put(&format!("workflows/w/{name}"), "select 1;\n".repeat(statements).as_str());
    }
    machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
    if seed.is_multiple_of(3) {
        machine.run_some_steps();
        machine.stop("r");
    }
    machine.run_until_idle();
}

#[test]
fn every_line_about_a_job_has_its_run_workflow_and_attempt_and_no_key_twice() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..40 {
        for line in lines(|| run(seed)) {
            let message = line["message"].as_str().unwrap().to_owned();
            assert_eq!(line.get("run"), Some(&json!("r")), "{line:?}");
            assert!(line.contains_key("level") && line.contains_key("timestamp"), "{line:?}");
            if line.contains_key("job") {
                assert!(line["attempt"].is_u64(), "{line:?}");
            }
            // The workflow is in the record of the job, and this line is written before the record is read.
            if !message.starts_with("the times and rows of the statement") {
                assert_eq!(line.get("workflow"), Some(&json!("w")), "{line:?}");
            }
            *seen.entry(message).or_default() += 1;
        }
    }
    for message in ["run opened", "submitted", "job advanced", "run ended"] {
        assert!(seen.contains_key(message), "{message}: {seen:?}");
    }
}
