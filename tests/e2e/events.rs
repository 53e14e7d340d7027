//! A statement's event comes late, twice or never: the job is settled once.
//!
//! The sweep of a run is due once a minute and leaves what is younger than 30 s to its own event. One test waits for the
//! schedule; the others wake job-callback as it does.

use std::time::Duration;

use serde_json::{Value, json};
use shiftwork_e2e::{Flow, Run, Stack};

/// Two jobs, one after the other, and a run that is not started yet.
async fn two_jobs(stack: &std::sync::Arc<Stack>, label: &str) -> (Flow, Run) {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql", "b.sql"] }] });
    let scripts = [("a.sql", "insert into {s}.t values (1)"), ("b.sql", "insert into {s}.t values (2)")];
    let flow = stack.push(label, workflow, &scripts).await;
    flow.make_table().await;
    let run = flow.run(&Stack::unique("r"));
    (flow, run)
}

/// What happens to the next events of a run's statements on their way.
async fn on_the_way(stack: &Stack, run: &Run, mut fault: Value) {
    let names = json!([{ "prefix": format!("shiftwork:{}:", run.id) }]);
    fault["pattern"] = json!({ "source": ["aws.redshift-data"], "detail": { "statementName": names } });
    stack.fault(fault).await;
}

#[tokio::test]
async fn an_event_that_never_comes_is_made_up_for_by_the_runs_own_schedule() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "lost").await;
    on_the_way(&stack, &run, json!({ "kind": "drop" })).await;
    flow.start_as(&run, json!({})).await;
    let done = async |run: &Run| run.statements().await.iter().any(|statement| statement.status == "FINISHED");
    run.until("done with a.sql", done).await;
    assert!(run.is_watched().await, "a run that lives is watched");
    stack.sweep(&run.id).await;
    assert!(!run.job("a.sql").await.execution_status.is_terminal(), "the sweep left the event no time to come");
    // The schedule wakes job-callback a minute after the start.
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 2);
    assert_eq!(flow.traces().await, [1, 2]);
    assert!(!run.is_watched().await);
}

#[tokio::test]
async fn an_event_that_never_reaches_the_bus_is_made_up_for_by_a_sweep() {
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
async fn events_that_come_twice_settle_once() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "twice").await;
    on_the_way(&stack, &run, json!({ "kind": "double", "count": 2 })).await;
    let prefix = format!("shiftwork:{}:", run.id);
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": "double_event", "times": 2 })).await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 2);
    assert_eq!(flow.traces().await, [1, 2]);
}

#[tokio::test]
async fn a_late_event_is_waited_for_and_its_late_copy_changes_nothing() {
    let stack = Stack::shared().await;
    let (flow, run) = two_jobs(&stack, "late").await;
    on_the_way(&stack, &run, json!({ "kind": "delay", "seconds": 3.0 })).await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2]);

    // A copy that comes when the run is long over.
    let statement = &ended.statements[0];
    let id = ended.job("a.sql").statement_id.clone();
    let event = json!({ "detail-type": "Redshift Data Statement Status Change", "detail": {
        "statementName": statement.name.to_string(), "statementId": id, "state": "FAILED" } });
    stack.invoke("JobCallbackFunction", &event).await.unwrap();
    run.end().await.succeeded();
}

#[tokio::test]
async fn statements_of_others_are_nobodys_business() {
    let stack = Stack::shared().await;
    for name in ["shiftwork:x", "theirs", "shiftwork:a:b:1:2"] {
        let event = json!({ "detail-type": "Redshift Data Statement Status Change", "detail": {
            "statementName": name, "statementId": "d0a3b9a4-0000-4000-8000-000000000000", "state": "FINISHED", "rows": 1 } });
        stack.invoke("JobCallbackFunction", &event).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
