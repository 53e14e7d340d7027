//! A request is one run, even if it is repeated.

use futures::future::join_all;
use serde_json::json;
use shiftwork_e2e::{Flow, Stack};
use shiftwork_protocol::Status;

async fn one_job(stack: &std::sync::Arc<Stack>, label: &str) -> Flow {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let flow = stack.push(label, workflow, &[("a.sql", "insert into {s}.t values (1)")]).await;
    flow.make_table().await;
    flow
}

#[tokio::test]
async fn concurrent_and_repeated_requests_are_one_run() {
    let stack = Stack::shared().await;
    let flow = one_job(&stack, "same").await;
    let run = flow.run(&Stack::unique("r"));
    let request = json!({ "workflow_execution_id": run.id });
    let responses = join_all((0..5).map(|_| flow.request(request.clone()))).await;
    for response in responses {
        assert_eq!(response.expect("a concurrent duplicate request succeeds").workflow_execution_id, run.id);
    }
    run.end().await.succeeded();
    let again = flow.request(request).await.expect("a later duplicate request succeeds");
    assert_eq!(again.execution_status, Status::Succeeded);
    let ended = run.end().await;
    assert_eq!(ended.statements.len(), 1);
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn a_run_id_cannot_be_used_by_another_request() {
    let stack = Stack::shared().await;
    let flow = one_job(&stack, "other").await;
    let run = flow.start().await;
    run.end().await.succeeded();
    let other = json!({ "workflow_execution_id": run.id, "logical_date": "2020-01-01T00:00:00Z" });
    let refusal = flow.request(other).await.unwrap_err();
    assert_eq!(refusal.name, "Shiftwork.InvalidRequest");
    for word in [run.id.as_str(), "other values", "another `workflow_execution_id`"] {
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
    assert_eq!(flow.traces().await, [1]);
}

#[tokio::test]
async fn a_request_without_an_id_gets_a_generated_id() {
    let stack = Stack::shared().await;
    let flow = one_job(&stack, "noid").await;
    let response = flow.request(json!({})).await.unwrap();
    assert!(response.workflow_execution_id.starts_with(&flow.id), "{response:?}");
    flow.run(&response.workflow_execution_id).end().await.succeeded();
}
