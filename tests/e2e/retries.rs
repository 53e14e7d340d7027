//! Transient errors are retried; other errors fail the job.

use serde_json::{Value, json};
use shiftwork_e2e::{Ended, Flow, Run, Stack};
use shiftwork_protocol::{FailureKind, Status};

const CONFLICT: &str = "ERROR: 1023\n  Detail: Serializable isolation violation on table - 142443, transactions forming the \
                        cycle are: 388224, 388226 (pid:30846)";

/// A workflow with one job that inserts a row, and a run of it that is not started yet.
async fn one_job(stack: &std::sync::Arc<Stack>, label: &str, job: Value) -> (Flow, Run) {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": [job] }] });
    let flow = stack.push(label, workflow, &[("a.sql", "insert into {s}.t values (1)")]).await;
    flow.make_table().await;
    let run = flow.run(&Stack::unique("r"));
    (flow, run)
}

/// Applies a fault to the statements of the run, starts it, and waits for its end.
async fn run_with_fault(stack: &Stack, flow: &Flow, run: &Run, effect: Value, times: u32) -> Ended {
    let prefix = format!("shiftwork:{}:", run.id);
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": effect, "times": times })).await;
    flow.start_as(run, json!({})).await;
    run.end().await
}

#[tokio::test]
async fn a_serialization_conflict_is_retried_without_configuration() {
    let stack = Stack::shared().await;
    let (flow, run) = one_job(&stack, "conflict", json!("a.sql")).await;
    let ended = run_with_fault(&stack, &flow, &run, json!({ "fail_statement": { "error": CONFLICT } }), 1).await;
    ended.succeeded();
    let job = ended.job("a.sql");
    assert_eq!(job.attempt, 2);
    assert_eq!(job.failed_attempts[0].error_name, FailureKind::SerializationConflict.name());
    assert!(job.failed_attempts[0].error_message.contains("1023"));
    assert_eq!(ended.statements.len(), 2);
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn throttled_submissions_are_retried() {
    let stack = Stack::shared().await;
    let (flow, run) = one_job(&stack, "throttle", json!("a.sql")).await;
    // More often than the SDK retries.
    let ended = run_with_fault(&stack, &flow, &run, json!("throttle"), 4).await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 1);
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn a_submission_waits_for_a_full_warehouse() {
    let stack = Stack::shared().await;
    let (flow, run) = one_job(&stack, "full", json!("a.sql")).await;
    let ended = run_with_fault(&stack, &flow, &run, json!("active_statements_exceeded"), 1).await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn a_statement_with_a_lost_response_is_adopted() {
    let stack = Stack::shared().await;
    let (flow, run) = one_job(&stack, "lost_answer", json!("a.sql")).await;
    let ended = run_with_fault(&stack, &flow, &run, json!("drop_connection"), 3).await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 1, "{:?}", ended.statements);
    assert_eq!(ended.job("a.sql").attempt, 1);
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn terminal_failures_use_the_configured_retries() {
    let stack = Stack::shared().await;
    let job = json!({ "script": "a.sql", "retries": 2, "retry_delay": "1s" });
    let error = json!({ "fail_statement": { "error": "ERROR: disk full" } });

    let (flow, run) = one_job(&stack, "retried", job.clone()).await;
    let ended = run_with_fault(&stack, &flow, &run, error.clone(), 2).await;
    ended.succeeded();
    assert_eq!(ended.job("a.sql").attempt, 3);
    assert_eq!(flow.traces().await, [1]);

    let (flow, run) = one_job(&stack, "exhausted", job).await;
    let ended = run_with_fault(&stack, &flow, &run, error, 3).await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    let job = ended.job("a.sql");
    assert_eq!((job.attempt, job.failed_attempts.len()), (3, 2));
    assert!(job.error_message.as_deref().unwrap().contains("disk full"));
    assert_eq!(ended.statements.len(), 3);
    assert!(flow.traces().await.is_empty());
}

#[tokio::test]
async fn throttled_aws_calls_only_delay_a_run() {
    // The faults apply to any caller, so this test needs the stack exclusively.
    let stack = Stack::exclusive().await;
    let (flow, run) = one_job(&stack, "tables", json!("a.sql")).await;
    for (operation, error) in [
        ("dynamodb:UpdateItem", "ThrottlingException"),
        ("dynamodb:Query", "InternalServerError"),
        ("dynamodb:GetItem", "ProvisionedThroughputExceededException"),
        ("dynamodb:TransactWriteItems", "ThrottlingException"),
        ("scheduler:CreateSchedule", "ThrottlingException"),
        ("states:StartExecution", "ThrottlingException"),
        ("states:SendTaskSuccess", "ThrottlingException"),
        ("events:PutEvents", "ThrottlingException"),
    ] {
        stack.fault(json!({ "kind": "throttle", "operation": operation, "count": 2, "error": error })).await;
    }
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    stack.control.delete("faults").await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1]);
}
