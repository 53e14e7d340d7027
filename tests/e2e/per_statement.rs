//! Scripts whose statements commit one by one, and transactions that commit inside: nothing that was committed runs again.

use std::sync::Arc;

use serde_json::{Value, json};
use shiftwork_e2e::{Flow, Stack};
use shiftwork_protocol::{FailureKind, Status};

const CONFLICT: &str = "ERROR: 1023\n  Detail: Serializable isolation violation on table - 142443";
const LOST: &str = "Connection reset by peer";
const ROWS: &str = "insert into {s}.t values (1);\ninsert into {s}.t values (2);\ninsert into {s}.t values (3)";

/// A workflow with one job, `load`, which runs this script.
async fn one_script(stack: &Arc<Stack>, label: &str, job: Value, script: &str) -> Flow {
    let mut job = job;
    job["job_name"] = json!("load");
    job["script"] = json!("load.sql");
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": [job] }] });
    let flow = stack.push(label, workflow, &[("load.sql", script)]).await;
    flow.make_table().await;
    flow
}

/// The next `times` statements that insert the row `n` fail with this error.
async fn fail(flow: &Flow, n: u32, error: &str, times: u32) {
    let sql = format!("insert into {}.t values .{n}.", flow.id);
    let effect = json!({ "fail_statement": { "error": error } });
    flow.stack.redshift_fault(json!({ "sql_regex": sql, "effect": effect, "times": times })).await;
}

#[tokio::test]
async fn a_conflict_in_the_middle_repeats_only_the_statement() {
    let stack = Stack::shared().await;
    let flow = one_script(&stack, "middle", json!({ "transaction": "per_statement" }), ROWS).await;
    fail(&flow, 2, CONFLICT, 1).await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 3]);
    let names: Vec<_> = ended.statements_of("load").iter().map(|s| (s.name.attempt, s.name.part)).collect();
    assert_eq!(names, [(1, 1), (1, 2), (2, 2), (2, 3)]);
    let failed = &ended.job("load").failed_attempts[0];
    assert_eq!((failed.part, failed.error_name.as_str()), (2, FailureKind::SerializationConflict.name()));
}

#[tokio::test]
async fn a_retry_repeats_only_the_statement_after_a_pause() {
    let stack = Stack::shared().await;
    let job = json!({ "transaction": "per_statement", "retries": 2, "retry_delay": "1s" });
    let flow = one_script(&stack, "pause", job, ROWS).await;
    fail(&flow, 2, "ERROR: disk full", 2).await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 3]);
    let job = ended.job("load");
    assert_eq!((job.attempt, job.part), (3, 3));
    let pauses: Vec<_> = job
        .failed_attempts
        .windows(2)
        .map(|pair| pair[1].submitted_ts.unwrap().duration_since(pair[0].ended_ts).as_secs())
        .collect();
    assert!(pauses.iter().all(|pause| *pause >= 1), "{pauses:?}");
}

#[tokio::test]
async fn a_statement_that_failed_stops_the_script_and_a_restart_continues_there() {
    let stack = Stack::shared().await;
    let flow = one_script(&stack, "stop", json!({ "transaction": "per_statement" }), ROWS).await;
    fail(&flow, 2, "ERROR: disk full", 1).await;
    let first = flow.start().await;
    let failed = first.end().await;
    assert_eq!(failed.status("load"), Status::Failed);
    assert_eq!(flow.traces().await, [1], "the statements after the failure did not run");

    // A statement behind the failure may change.
    let changed = ROWS.replace("(3)", "(4)");
    flow.script("load.sql", &changed).await;
    let second = flow.start_with(json!({ "restart_of": first.id })).await;
    let ended = second.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 4]);
    let resumed = ended.job("load").resumed.as_ref().unwrap();
    assert_eq!((resumed.from.as_str(), resumed.part), (first.id.as_str(), 2));
}

#[tokio::test]
async fn a_restart_whose_committed_statements_changed_needs_a_decision() {
    let stack = Stack::shared().await;
    let flow = one_script(&stack, "changed", json!({ "transaction": "per_statement" }), ROWS).await;
    fail(&flow, 3, "ERROR: disk full", 1).await;
    let first = flow.start().await;
    assert_eq!(first.end().await.status("load"), Status::Failed);
    flow.script("load.sql", &ROWS.replace("(1)", "(7)")).await;
    let refusal = flow.request(json!({ "restart_of": first.id })).await.unwrap_err();
    for words in ["statement 1 has changed", "--from-statement load=1"] {
        assert!(refusal.message.contains(words), "{words}: {refusal:?}");
    }
    let second = flow.start_with(json!({ "restart_of": first.id, "from_statement": { "load": 1 } })).await;
    second.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 2, 3, 7]);
}

#[tokio::test]
async fn a_restart_does_not_change_values_under_committed_statements() {
    let stack = Stack::shared().await;
    let flow = one_script(&stack, "values", json!({ "transaction": "per_statement" }), ROWS).await;
    fail(&flow, 3, "ERROR: disk full", 1).await;
    let first = flow.start_with(json!({ "logical_date": "2026-03-01" })).await;
    assert_eq!(first.end().await.status("load"), Status::Failed);
    let day = json!({ "restart_of": first.id, "logical_date": "2026-03-02" });
    let named = json!({ "restart_of": first.id, "logical_date": "2026-03-02", "from_statement": { "load": 3 } });
    for request in [day, named] {
        let refusal = flow.request(request).await.unwrap_err();
        assert!(refusal.message.contains("statements 1 to 2 ran with the earlier values"), "{refusal:?}");
    }
    flow.start_with(json!({ "restart_of": first.id })).await.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_script_that_continues_keeps_the_id_of_its_run() {
    let stack = Stack::shared().await;
    let script = "insert into {s}.runs select :workflow_execution_id;\ninsert into {s}.t values (1);\n\
                  insert into {s}.t select 2 from {s}.runs where id = :workflow_execution_id";
    let flow = one_script(&stack, "run_id", json!({ "transaction": "per_statement" }), script).await;
    flow.sql("create table {s}.runs (id varchar(200))").await;
    fail(&flow, 1, "ERROR: disk full", 2).await;
    let first = flow.start().await;
    assert_eq!(first.end().await.status("load"), Status::Failed);
    let second = flow.start_with(json!({ "restart_of": first.id })).await;
    assert_eq!(second.end().await.status("load"), Status::Failed);
    flow.start_with(json!({ "restart_of": second.id })).await.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 2], "the last statement finds the row of the first run");
}

#[tokio::test]
async fn the_statements_share_settings_and_temporary_tables() {
    let stack = Stack::shared().await;
    let script = "set search_path to {s};\ncreate temp table staged (n int);\ninsert into staged values (1), (2);\n\
                  insert into t select n from staged";
    let flow = one_script(&stack, "session", json!({ "transaction": "per_statement" }), script).await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2]);
    assert!(ended.job("load").session_id.is_some());
}

#[tokio::test]
async fn a_connection_lost_without_an_error_is_not_retried() {
    let stack = Stack::shared().await;
    let job = json!({ "transaction": "per_statement", "retries": 2 });
    let flow = one_script(&stack, "lost", job, ROWS).await;
    fail(&flow, 2, LOST, 1).await;
    let ended = flow.start().await.end().await;
    let job = ended.job("load");
    assert_eq!(job.error_name.as_deref(), Some(FailureKind::MayHaveCommitted.name()));
    assert_eq!((job.attempt, job.part), (1, 2));
    assert!(job.error_message.as_deref().unwrap().contains("--from-statement load=3"), "{:?}", job.error_message);

    let refusal = flow.request(json!({ "restart_of": ended.run.workflow_execution_id })).await.unwrap_err();
    for words in ["may be committed", "--from-statement load=2", "--from-statement load=3"] {
        assert!(refusal.message.contains(words), "{words}: {refusal:?}");
    }
    let decided = json!({ "restart_of": ended.run.workflow_execution_id, "from_statement": { "load": 3 } });
    flow.start_with(decided).await.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 3], "statement 2 was left out");
}

#[tokio::test]
async fn a_transaction_that_truncate_committed_is_not_retried() {
    let stack = Stack::shared().await;
    let script = "insert into {s}.t values (1);\ntruncate {s}.u;\ninsert into {s}.t values (2)";
    let flow = one_script(&stack, "truncate", json!({ "retries": 2 }), script).await;
    flow.sql("create table {s}.u (n int)").await;
    fail(&flow, 2, CONFLICT, 1).await;
    let ended = flow.start().await.end().await;
    let job = ended.job("load");
    assert_eq!((job.execution_status, job.attempt), (Status::Failed, 1));
    assert_eq!(job.error_name.as_deref(), Some(FailureKind::MayHaveCommitted.name()));
    assert!(job.error_message.as_deref().unwrap().contains("statement 2 (line 2)"), "{:?}", job.error_message);
    assert_eq!(flow.traces().await, [1], "TRUNCATE committed the row, which no retry repeated");

    // Before TRUNCATE the transaction is rolled back, so a conflict is retried.
    flow.sql("delete from {s}.t").await;
    fail(&flow, 1, CONFLICT, 1).await;
    flow.start().await.end().await.succeeded();
    assert_eq!(flow.traces().await, [1, 2]);
}

#[tokio::test]
async fn a_call_is_retried_only_if_it_is_repeatable() {
    let stack = Stack::shared().await;
    for (label, repeatable, status, attempt) in
        [("call", false, Status::Failed, 1), ("repeatable", true, Status::Succeeded, 2)]
    {
        let job = json!({ "job_name": "load", "kind": "procedure", "call": "{s}.load()", "repeatable": repeatable });
        let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": [job] }] });
        let flow = stack.push(label, workflow, &[]).await;
        flow.make_table().await;
        flow.sql("create procedure {s}.load() as $$ begin insert into {s}.t values (1); end; $$ language plpgsql")
            .await;
        let effect = json!({ "fail_statement": { "error": CONFLICT } });
        stack.redshift_fault(json!({ "sql_regex": format!("CALL {}.load", flow.id), "effect": effect })).await;
        let ended = flow.start().await.end().await;
        assert_eq!((ended.status("load"), ended.job("load").attempt), (status, attempt), "{label}");
    }
}
