//! Two runs of a workflow never run at the same time, and a run that has died does not block the next one.

use serde_json::json;
use shiftwork_e2e::{Flow, Run, Stack};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::Status;

/// A workflow whose first run takes a few seconds, because its statement is delayed.
async fn slow(stack: &std::sync::Arc<Stack>, label: &str, on_overlap: &str) -> (Flow, Run) {
    slow_scripts(stack, label, on_overlap, &[("a.sql", "insert into {s}.t values (1)")]).await
}

/// The same with several scripts, one after the other.
async fn slow_scripts(
    stack: &std::sync::Arc<Stack>,
    label: &str,
    on_overlap: &str,
    scripts: &[(&str, &str)],
) -> (Flow, Run) {
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    let workflow = json!({ "on_overlap": on_overlap,
        "workflow_stages": [{ "execution_type": "sequential", "scripts": names }] });
    let flow = stack.push(label, workflow, scripts).await;
    flow.make_table().await;
    let first = flow.run(&Stack::unique("r"));
    stack
        .redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:", first.id),
        "effect": { "delay_statement": { "milliseconds": 8000 } } }))
        .await;
    flow.start_as(&first, json!({})).await;
    (flow, first)
}

#[tokio::test]
async fn skip_records_the_second_run_and_does_not_run_it() {
    let stack = Stack::shared().await;
    let (flow, first) = slow(&stack, "skip", "skip").await;
    let second = flow.run(&Stack::unique("r"));
    let response = flow.request(json!({ "workflow_execution_id": second.id })).await.unwrap();
    assert_eq!(response.execution_status, Status::Skipped);
    assert!(response.message.unwrap().contains(&first.id));
    assert_eq!(second.record().await.unwrap().execution_status, Status::Skipped);
    assert_eq!(second.execution_status().await, None);
    first.end().await.succeeded();
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn fail_rejects_the_second_run_and_names_the_first() {
    let stack = Stack::shared().await;
    let (flow, first) = slow(&stack, "fail", "fail").await;
    let second = flow.run(&Stack::unique("r"));
    let refusal = flow.request(json!({ "workflow_execution_id": second.id })).await.unwrap_err();
    assert_eq!(refusal.name, "Shiftwork.RunOverlaps");
    assert!(refusal.message.contains(&first.id), "{refusal:?}");
    assert_eq!(second.record().await.unwrap().execution_status, Status::Failed);
    first.end().await.succeeded();
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn queue_runs_requests_sequentially_in_their_order() {
    let stack = Stack::shared().await;
    let (flow, first) = slow(&stack, "queue", "queue").await;
    let mut runs = vec![first];
    for _ in 0..2 {
        let next = flow.run(&Stack::unique("r"));
        let response = flow.request(json!({ "workflow_execution_id": next.id })).await.unwrap();
        assert_eq!(response.execution_status, Status::Queued);
        runs.push(next);
    }
    let mut ends = Vec::new();
    for run in &runs {
        let ended = run.end().await;
        ended.succeeded();
        ends.push((ended.statements[0].started.unwrap(), ended.statements[0].ended.unwrap()));
    }
    assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "the runs overlapped: {ends:?}");
    assert_eq!(flow.traces().await, [1, 1, 1]);
    assert_eq!(stack.ledger.lease(&flow.id).await.unwrap().unwrap().holder, None);
}

#[tokio::test]
async fn a_run_without_an_end_event_does_not_lock_its_workflow() {
    let stack = Stack::shared().await;
    let (flow, dead) = slow(&stack, "dead", "skip").await;
    stack
        .fault(json!({ "kind": "drop", "pattern": { "source": ["aws.states"], "detail": { "name": [dead.id] } } }))
        .await;
    dead.until("begun", async |run: &Run| run.execution_status().await.is_some()).await;
    dead.stop().await;
    dead.until("stopped", async |run: &Run| run.execution_status().await.as_deref() == Some("ABORTED")).await;
    let next = flow.start().await;
    next.end().await.succeeded();
    assert_eq!(dead.end().await.run.execution_status, Status::Aborted);
    assert!(flow.traces().await.starts_with(&[1]));
}

/// The trigger settles the jobs of the dead run, with the tokens of its tasks: that of the job that runs and that of the job that waits.
#[tokio::test]
async fn the_first_request_after_a_run_died_with_task_tokens_starts_a_run() {
    let stack = Stack::shared().await;
    let scripts = [("a.sql", "insert into {s}.t values (1)"), ("b.sql", "insert into {s}.t values (2)")];
    let (flow, dead) = slow_scripts(&stack, "dead_tokens", "skip", &scripts).await;
    stack
        .fault(json!({ "kind": "drop", "pattern": { "source": ["aws.states"], "detail": { "name": [dead.id] } } }))
        .await;
    let has_tokens =
        async |run: &Run| run.job("a.sql").await.task_token.is_some() && run.job("b.sql").await.await_token.is_some();
    dead.until("with the tokens of both jobs", has_tokens).await;
    dead.stop().await;
    dead.until("stopped", async |run: &Run| run.execution_status().await.as_deref() == Some("ABORTED")).await;
    let next = flow.run(&Stack::unique("r"));
    let response = flow.request(json!({ "workflow_execution_id": next.id })).await.unwrap();
    assert_ne!(response.execution_status, Status::Skipped, "{:?}", response.message);
    next.end().await.succeeded();
    let ended = dead.end().await;
    assert_eq!((ended.status("a.sql"), ended.status("b.sql")), (Status::Aborted, Status::Aborted));
}

#[tokio::test]
async fn a_run_without_an_end_event_is_ended_by_its_sweep() {
    let stack = Stack::shared().await;
    let (flow, dead) = slow(&stack, "no_end_event", "skip").await;
    stack
        .fault(json!({ "kind": "drop", "pattern": { "source": ["aws.states"], "detail": { "name": [dead.id] } } }))
        .await;
    dead.until("begun", async |run: &Run| run.execution_status().await.is_some()).await;
    dead.stop().await;
    dead.until("stopped", async |run: &Run| run.execution_status().await.as_deref() == Some("ABORTED")).await;
    assert!(!dead.record().await.unwrap().execution_status.is_terminal(), "the event was not dropped");
    stack.sweep(&dead.id).await;
    assert_eq!(dead.end().await.run.execution_status, Status::Aborted);
    assert_eq!(stack.ledger.lease(&flow.id).await.unwrap().unwrap().holder, None);
}
