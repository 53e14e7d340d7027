//! Whenever a job is stopped, its statement is stopped too, so that it causes no further cost.

use serde_json::json;
use shiftwork_e2e::{Flow, Run, Stack};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::Status;

/// Runs until it is cancelled: a join with 10^12 rows.
const ENDLESS: &str = "insert into {s}.t select count(*) from {s}.wide a, {s}.wide b, {s}.wide c, {s}.wide d";

/// A workflow whose first job does not end without a cancel.
async fn endless(stack: &std::sync::Arc<Stack>, label: &str, timeout: &str) -> Flow {
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "sequential", "scripts": [{ "script": "endless.sql", "timeout": timeout }, "after.sql"] } ] });
    let flow =
        stack.push(label, workflow, &[("endless.sql", ENDLESS), ("after.sql", "insert into {s}.t values (1)")]).await;
    flow.make_table().await;
    flow.sql("create table {s}.wide (n int)").await;
    let rows = (1..=1000).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    flow.sql(&format!("insert into {{s}}.wide values {rows}")).await;
    flow
}

/// Waits until no statement of the run is running.
async fn nothing_runs(run: &Run) {
    let at_rest = async |run: &Run| {
        let statements = run.statements().await;
        statements.iter().all(|statement| matches!(statement.status.as_str(), "FINISHED" | "FAILED" | "ABORTED"))
    };
    run.until("without a running statement", at_rest).await;
}

#[tokio::test]
async fn a_job_that_exceeds_its_timeout_is_cancelled_in_redshift() {
    let stack = Stack::shared().await;
    let flow = endless(&stack, "timeout", "3s").await;
    let run = flow.start().await;
    let ended = run.end().await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!(ended.status("endless.sql"), Status::TimedOut);
    assert!(ended.job("endless.sql").error_message.as_deref().unwrap().contains("3 s"));
    assert_eq!(ended.status("after.sql"), Status::Skipped);
    nothing_runs(&run).await;
    assert_eq!(run.statements().await[0].status, "ABORTED");
    assert!(flow.traces().await.is_empty());
}

#[tokio::test]
async fn a_stopped_execution_cancels_its_statement_and_releases_the_lease() {
    let stack = Stack::shared().await;
    let flow = endless(&stack, "stop", "10m").await;
    let run = flow.start().await;
    run.until_running("endless.sql").await;
    run.stop().await;
    let ended = run.end().await;
    assert_eq!(ended.run.execution_status, Status::Aborted);
    assert!(
        ended.run.error_message.as_deref().unwrap().contains("stopped in the console"),
        "{:?}",
        ended.run.error_message
    );
    assert_eq!((ended.status("endless.sql"), ended.status("after.sql")), (Status::Aborted, Status::Aborted));
    nothing_runs(&run).await;
    assert_eq!(run.statements().await[0].status, "ABORTED");
    assert_eq!(stack.ledger.lease(&flow.id).await.unwrap().unwrap().holder, None);

    // A stopped run can be restarted.
    flow.script("endless.sql", "insert into {s}.t values (0)").await;
    flow.start_with(json!({ "restart_of": run.id })).await.end().await.succeeded();
    assert_eq!(flow.traces().await, [0, 1]);
}

#[tokio::test]
async fn a_cancelled_statement_aborts_its_job() {
    let stack = Stack::shared().await;
    let flow = endless(&stack, "cancelled", "10m").await;
    let run = flow.start().await;
    run.until_running("endless.sql").await;
    stack.cancel_statement(&run.statements().await[0].id).await;
    let ended = run.end().await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!(ended.status("endless.sql"), Status::Aborted);
    assert!(ended.job("endless.sql").error_message.as_deref().unwrap().contains("cancelled outside of shiftwork"));
    assert_eq!(ended.status("after.sql"), Status::Skipped);
}

#[tokio::test]
async fn a_statement_that_is_submitted_after_the_stop_is_cancelled_by_the_sweep() {
    let stack = Stack::shared().await;
    let flow = endless(&stack, "inflight", "10m").await;
    let run = flow.start().await;
    run.until_running("endless.sql").await;
    run.stop().await;
    assert_eq!(run.end().await.run.execution_status, Status::Aborted);
    assert!(run.is_watched().await, "a stopped run keeps its sweep schedule until no launcher can be running");
    // A launcher that had recorded its intent when the run was stopped still submits its statement.
    let name = format!("shiftwork:{}:endless.sql:2", run.id);
    stack.submit_as_shiftwork(&name, &ENDLESS.replace("{s}", &flow.id)).await;
    run.until_running("endless.sql").await;
    stack.sweep(&run.id).await;
    nothing_runs(&run).await;
    assert!(run.is_watched().await, "a sweep that found a statement runs again");
    assert!(flow.traces().await.is_empty());
}
