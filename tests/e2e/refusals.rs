//! Requests that cannot run are rejected before the run starts, with an error that names the place.

use serde_json::{Value, json};
use shiftwork_e2e::{InvokeError, Stack};
use shiftwork_ports::Ledger as _;

/// Requests a run that must be rejected.
async fn refused(stack: &std::sync::Arc<Stack>, workflow: Value, scripts: &[(&str, &str)]) -> InvokeError {
    let flow = stack.push("bad", workflow, scripts).await;
    let run = flow.run(&Stack::unique("r"));
    let refusal = flow.request(json!({ "workflow_execution_id": run.id })).await;
    let refusal = refusal.expect_err(&format!("a workflow that cannot run was accepted: {scripts:?}"));
    assert_eq!(run.record().await, None, "{refusal:?}");
    assert_eq!(run.jobs().await, [], "{refusal:?}");
    assert_eq!(run.execution_status().await, None, "{refusal:?}");
    assert_eq!(stack.ledger.lease(&flow.id).await.unwrap(), None, "{refusal:?}");
    refusal
}

fn stage(scripts: &Value) -> Value {
    json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": scripts }] })
}

/// A workflow, its scripts, and texts that the error must contain.
type Case<'a> = (Value, Vec<(&'a str, &'a str)>, &'a [&'a str]);

#[tokio::test]
async fn an_invalid_workflow_is_rejected_with_name_and_place() {
    let stack = Stack::shared().await;
    let one = ("a.sql", "select 1");
    let many = "select 1;\n".repeat(41);
    let long = format!("select 1;\nselect '{}'", "x".repeat(100 * 1024));
    let cases: Vec<Case> = vec![
        (
            json!({ "workflow_stagse": [], "workflow_stages": [{ "execution_type": "parallel", "scripts": ["a.sql"] }] }),
            vec![one],
            &["workflow_stagse", "workflow_stages"],
        ),
        (stage(&json!([{ "script": "a.sql", "timeot": "5m" }])), vec![one], &["timeot", "timeout"]),
        (stage(&json!(["a.sql", "gone.sql"])), vec![one], &["gone.sql"]),
        (stage(&json!([])), vec![], &["workflow_stages[0].scripts"]),
        (stage(&json!(["a.sql", "a.sql"])), vec![one], &["a.sql"]),
        (
            json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": [
                { "job_name": "x", "script": "a.sql", "depends_on": ["y"] },
                { "job_name": "y", "script": "a.sql", "depends_on": ["x"] } ] }] }),
            vec![one],
            &["x", "y"],
        ),
        (stage(&json!(["a.sql"])), vec![("a.sql", &many)], &["a.sql", "41", "40"]),
        (stage(&json!(["a.sql"])), vec![("a.sql", &long)], &["a.sql:2"]),
        (stage(&json!(["a.sql"])), vec![("a.sql", "select 1;\nselect 'open")], &["a.sql:2"]),
        (stage(&json!(["a.sql"])), vec![("a.sql", "-- nothing\n")], &["a.sql"]),
        (stage(&json!(["a.sql"])), vec![("a.sql", "select\n  :unknown")], &["a.sql:2", "unknown"]),
        (stage(&json!([{ "script": "a.sql", "connection": "elsewhere" }])), vec![one], &["elsewhere"]),
    ];
    for (workflow, scripts, words) in cases {
        let refusal = refused(&stack, workflow.clone(), &scripts).await;
        assert_eq!(refusal.name, "Shiftwork.InvalidWorkflow", "{workflow}: {refusal:?}");
        for word in words {
            assert!(refusal.message.contains(word), "`{word}` is missing in: {}", refusal.message);
        }
    }
}

#[tokio::test]
async fn unknown_workflows_and_invalid_requests_have_different_errors() {
    let stack = Stack::shared().await;
    let unknown = stack.invoke("TriggerFunction", &json!({ "workflow_id": "not_pushed" })).await.unwrap_err();
    assert_eq!(unknown.name, "Shiftwork.UnknownWorkflow");
    assert!(unknown.message.contains("not_pushed") && unknown.message.contains("shiftwork push"));
    for request in [json!({ "workflow_id": "w", "parameter": {} }), json!({ "hello": 1 }), json!({ "workflow_id": 7 })]
    {
        let refusal = stack.invoke("TriggerFunction", &request).await.unwrap_err();
        assert_eq!(refusal.name, "Shiftwork.InvalidRequest", "{request}: {refusal:?}");
    }
}
