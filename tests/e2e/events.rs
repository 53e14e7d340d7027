//! The event of a statement arrives late, twice or never: the job is settled once.
//!
//! The sweep of a run is scheduled once a minute and ignores statements that ended less than 30 s ago. One test waits
//! for the schedule; the others invoke job-callback directly.

use std::time::Duration;

use serde_json::{Value, json};
use shiftwork_e2e::{Flow, Run, Stack};

/// Two sequential jobs, and a run that is not started yet.
async fn two_jobs(stack: &std::sync::Arc<Stack>, label: &str) -> (Flow, Run) {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql", "b.sql"] }] });
    let scripts = [("a.sql", "insert into {s}.t values (1)"), ("b.sql", "insert into {s}.t values (2)")];
    let flow = stack.push(label, workflow, &scripts).await;
    flow.make_table().await;
    let run = flow.run(&Stack::unique("r"));
    (flow, run)
}

/// Applies a fault to the next statement events of a run.
async fn fault_on_events(stack: &Stack, run: &Run, mut fault: Value) {
    let names = json!([{ "prefix": format!("shiftwork:{}:", run.id) }]);
    fault["pattern"] = json!({ "source": ["aws.redshift-data"], "detail": { "statementName": names } });
    stack.fault(fault).await;
}

#[tokio::test]
async fn a_lost_event_is_replaced_by_the_sweep_schedule_of_the_run() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "lost").await;
    fault_on_events(&stack, &run, json!({ "kind": "drop" })).await;
    flow.start_as(&run, json!({})).await;
    let done = async |run: &Run| run.statements().await.iter().any(|statement| statement.status == "FINISHED");
    run.until("done with a.sql", done).await;
    assert!(run.is_watched().await, "a running run has a sweep schedule");
    stack.sweep(&run.id).await;
    assert!(!run.job("a.sql").await.execution_status.is_terminal(), "the sweep did not wait for the event");
    // The schedule invokes job-callback one minute after the start.
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 2);
    assert_eq!(flow.traces().await, [1, 2]);
    assert!(!run.is_watched().await);
}

#[tokio::test]
async fn an_event_that_was_not_sent_is_replaced_by_a_sweep() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "unsent").await;
    let prefix = format!("shiftwork:{}:", run.id);
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": "drop_event" })).await;
    flow.start_as(&run, json!({})).await;
    tokio::time::sleep(Duration::from_secs(32)).await;
    stack.sweep(&run.id).await;
    run.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 2]);
}

#[tokio::test]
async fn duplicate_events_settle_the_job_once() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "twice").await;
    fault_on_events(&stack, &run, json!({ "kind": "double", "count": 2 })).await;
    let prefix = format!("shiftwork:{}:", run.id);
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": "double_event", "times": 2 })).await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 2);
    assert_eq!(flow.traces().await, [1, 2]);
}

#[tokio::test]
async fn a_late_event_is_awaited_and_its_duplicate_has_no_effect() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "late").await;
    fault_on_events(&stack, &run, json!({ "kind": "delay", "seconds": 3.0 })).await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2]);

    // A duplicate that arrives long after the end of the run.
    let statement = &ended.statements[0];
    let id = ended.job("a.sql").statement_id.clone();
    let event = json!({ "detail-type": "Redshift Data Statement Status Change", "detail": {
        "statementName": statement.name.to_string(), "statementId": id, "state": "FAILED" } });
    stack.invoke("JobCallbackFunction", &event).await.unwrap();
    run.end().await.succeeded();
}

#[tokio::test]
async fn events_of_other_statements_are_ignored() {
    let stack = Stack::shared().await;
    for name in ["shiftwork:x", "theirs", "shiftwork:a:b:1:2"] {
        let event = json!({ "detail-type": "Redshift Data Statement Status Change", "detail": {
            "statementName": name, "statementId": "d0a3b9a4-0000-4000-8000-000000000000", "state": "FINISHED", "rows": 1 } });
        stack.invoke("JobCallbackFunction", &event).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
