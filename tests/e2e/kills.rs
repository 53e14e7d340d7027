//! Functions are killed between any two calls. Every run must still end correctly, and no SQL may run twice.
//!
//! A fault cannot select a run, so these tests need the stack exclusively. They request one kill for each point of an
//! invocation (`start`, `end`, before and after its Nth call), several at the same time, and start as many runs as
//! there are kills: each kill applies to one invocation. The caller retries: Step Functions with `Retry`, Lambda for
//! events, and the test for its own requests, as a schedule or a queue does.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};
use shiftwork_e2e::{Ended, Flow, Run, Stack};
use shiftwork_protocol::Status;

/// Number of concurrent runs, which is suitable for two cores.
pub(crate) const WAVE: usize = 8;

/// A workflow with one job: the minimum of a run.
async fn one_job(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    stack.push("one", workflow, &[("a.sql", "select 1")]).await
}

/// Three jobs: two in parallel, then one that depends on both.
async fn three_jobs(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": ["a.sql", "b.sql"] },
        { "execution_type": "sequential", "scripts": ["c.sql"] } ] });
    let scripts = [
        ("a.sql", "insert into {s}.t values (1)"),
        ("b.sql", "insert into {s}.t values (2)"),
        ("c.sql", "insert into {s}.t select 1 + sum(n) from {s}.t"),
    ];
    let flow = stack.push("kill", workflow, &scripts).await;
    flow.make_table().await;
    flow
}

/// A job that fails once and is retried, one that fails permanently, one that is skipped, and one with `run_if:
/// all_done`.
async fn failing_jobs(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": [{ "script": "a.sql", "retries": 1, "retry_delay": "1s" }, "bad.sql"] },
        { "execution_type": "parallel", "scripts": ["skipped.sql", { "script": "clean.sql", "run_if": "all_done" }] } ] });
    let scripts = [
        ("a.sql", "insert into {s}.t values (1)"),
        ("bad.sql", "select * from {s}.nowhere"),
        ("skipped.sql", "insert into {s}.t values (2)"),
        ("clean.sql", "insert into {s}.t values (3)"),
    ];
    let flow = stack.push("trouble", workflow, &scripts).await;
    flow.make_table().await;
    let sql = format!("insert into {}.t values .1.", flow.id);
    let error = json!({ "fail_statement": { "error": "ERROR: disk full" } });
    stack.redshift_fault(json!({ "sql_regex": sql, "effect": error })).await;
    flow
}

/// Two jobs whose statements wait for a minute: one exceeds its timeout in the first attempt, the other always. The timeout of
/// the first one leaves its second attempt enough time on a busy machine.
async fn overdue(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": [
        { "script": "again.sql", "timeout": "6s", "retries": 1, "retry_delay": "1s" }, { "script": "late.sql", "timeout": "2s" } ] }] });
    let scripts = [("again.sql", "insert into {s}.t values (1)"), ("late.sql", "insert into {s}.t values (2)")];
    let flow = stack.push("overdue", workflow, &scripts).await;
    flow.make_table().await;
    let sql = format!("insert into {}.t", flow.id);
    let wait = json!({ "delay_statement": { "milliseconds": 60_000 } });
    stack.redshift_fault(json!({ "sql_regex": sql, "effect": wait, "times": 2 })).await;
    flow
}

/// A script of four statements that commit one by one.
async fn statements(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "sequential", "scripts": [{ "script": "load.sql", "transaction": "per_statement" }] } ] });
    let script = (1..=4).map(|n| format!("insert into {{s}}.t values ({n})")).collect::<Vec<_>>().join(";\n");
    let flow = stack.push("statements", workflow, &[("load.sql", &script)]).await;
    flow.make_table().await;
    flow
}

/// Repeats the request until the trigger responds, and waits for the end of the run.
async fn request_and_end(flow: &Flow) -> Ended {
    let run = flow.run(&Stack::unique("r"));
    for _ in 0..5 {
        match flow.request(json!({ "workflow_execution_id": run.id })).await {
            Ok(response) => {
                assert_eq!(response.workflow_execution_id, run.id);
                return run.end_with_sweeps().await;
            }
            Err(error) => assert!(error.name.starts_with("Runtime."), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the trigger did not respond for {}", run.id);
}

async fn check_three_jobs(flow: Flow) {
    let ended = request_and_end(&flow).await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 3, "{:?}", ended.statements);
    assert_eq!(flow.traces().await, [1, 2, 4]);
}

async fn check_statements(flow: Flow) {
    let ended = request_and_end(&flow).await;
    ended.succeeded();
    let parts: Vec<_> = ended.statements.iter().map(|statement| statement.name.part).collect();
    assert_eq!(parts, [1, 2, 3, 4], "{:?}", ended.statements);
    assert_eq!(flow.traces().await, [1, 2, 3, 4]);
}

async fn check_failing_jobs(flow: Flow) {
    let ended = request_and_end(&flow).await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert!(ended.run.error_message.as_deref().unwrap().starts_with("bad.sql FAILED"), "{:?}", ended.run.error_message);
    for (job, status, attempt) in [
        ("a.sql", Status::Succeeded, 2),
        ("bad.sql", Status::Failed, 1),
        ("skipped.sql", Status::Skipped, 1),
        ("clean.sql", Status::Succeeded, 1),
    ] {
        assert_eq!((ended.status(job), ended.job(job).attempt), (status, attempt), "{job}");
    }
    assert_eq!(ended.statements.len(), 4, "{:?}", ended.statements);
    assert_eq!(flow.traces().await, [1, 3]);
}

async fn check_overdue_statements(flow: Flow) {
    let ended = request_and_end(&flow).await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!((ended.status("late.sql"), ended.job("late.sql").attempt), (Status::TimedOut, 1));
    assert_eq!((ended.status("again.sql"), ended.job("again.sql").attempt), (Status::Succeeded, 2));
    let first = ended.statements_of("again.sql")[0];
    assert_eq!(first.status, "ABORTED", "the first attempt was not cancelled before the second one started");
    // Statements that are not cancelled otherwise are cancelled by the sweep of the run.
    let run = flow.run(&ended.run.workflow_execution_id);
    flow.stack.sweep(&run.id).await;
    assert_eq!(run.end().await.statements_of("late.sql")[0].status, "ABORTED");
    assert_eq!(flow.traces().await, [1]);
}

/// Number of calls of a function since the last reset.
async fn calls(stack: &Stack, function: &str) -> u64 {
    let counts = stack.control.get("counts").await;
    let calls = counts["by_function"].as_object().unwrap().iter();
    calls.filter(|(key, _)| key.starts_with(&format!("{function} "))).filter_map(|(_, n)| n.as_u64()).sum()
}

async fn invocations(stack: &Stack, function: &str) -> u64 {
    stack.control.get("counts").await["invocations"][function].as_u64().unwrap_or(0)
}

pub(crate) async fn reset(stack: &Stack) {
    stack.control.delete("faults").await;
    stack.control.post("counts/reset", &Value::Null).await;
}

/// All points of an invocation with this number of calls.
pub(crate) fn points(calls: u64) -> Vec<Value> {
    let around =
        (1..=calls).flat_map(|n| [json!({ "at": "before-call", "call": n }), json!({ "at": "after-call", "call": n })]);
    [json!({ "at": "start" }), json!({ "at": "end" })].into_iter().chain(around).collect()
}

/// Requests a kill in the `nth` invocation from now on.
pub(crate) async fn kill(stack: &Stack, function: &str, point: &Value, nth: usize) {
    let mut fault = point.clone();
    fault["kind"] = json!("kill");
    fault["function"] = json!(function);
    fault["invocation"] = json!(nth);
    stack.fault(fault).await;
}

async fn kill_at_every_point(function: &str) {
    let stack = Stack::exclusive().await;
    let function = stack.output(function).to_owned();
    // The minimum number of calls of an invocation, from a run with one job. An earlier run keeps the calls of a cold
    // start (assuming a role) out of the count; the count of the trigger is read before its invocation for the
    // `Refreshed` event.
    let flow = one_job(&stack).await;
    flow.start().await.end().await.succeeded();
    reset(&stack).await;
    let run = flow.start().await;
    let mut least = calls(&stack, &function).await;
    if function != stack.output("TriggerFunction") {
        run.end().await.succeeded();
        least = calls(&stack, &function).await;
    }
    assert!(least > 0, "{function} is not invoked in a run");
    // With three jobs, there are two additional scripts to read, or a dependent to release.
    let points = points(least + 2);

    let mut repeated = 0;
    for wave in points.chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| three_jobs(&stack))).await;
        reset(&stack).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(flows.into_iter().map(check_three_jobs)).await;
        assert_eq!(stack.control.get("faults").await, json!([]), "a kill did not apply to any invocation");
        // Invocations per run: one, or one per job.
        let quiet = match function.rsplit('-').next() {
            Some("launcher" | "callback") => 3,
            Some(_) | None => 1,
        };
        repeated += invocations(&stack, &function).await.saturating_sub(quiet * wave.len() as u64);
    }
    eprintln!("{function}: {} points, {repeated} additional invocations, {least} calls per invocation", points.len());
    // A function that is killed at its start or before a call is invoked again. After its last call, its work may be
    // complete.
    assert!(repeated > least, "{function} was not killed as expected: {repeated} additional invocations");
}

#[tokio::test]
async fn trigger_can_be_killed_at_any_call() {
    kill_at_every_point("TriggerFunction").await;
}

#[tokio::test]
async fn iterator_can_be_killed_at_any_call() {
    kill_at_every_point("IteratorFunction").await;
}

#[tokio::test]
async fn job_launcher_can_be_killed_at_any_call() {
    kill_at_every_point("JobLauncherFunction").await;
}

#[tokio::test]
async fn job_callback_can_be_killed_at_any_call() {
    kill_at_every_point("JobCallbackFunction").await;
}

#[tokio::test]
async fn audit_updater_can_be_killed_at_any_call() {
    kill_at_every_point("AuditUpdaterFunction").await;
}

#[tokio::test]
async fn all_functions_can_be_killed_in_failing_runs() {
    let stack = Stack::exclusive().await;
    for wave in points(7).chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| failing_jobs(&stack))).await;
        reset(&stack).await;
        for function in ["JobLauncherFunction", "JobCallbackFunction", "AuditUpdaterFunction", "TriggerFunction"] {
            for (n, point) in wave.iter().enumerate() {
                // One of the two or three invocations per run, so that every kind of invocation is killed.
                let nth = if function == "JobCallbackFunction" { 1 + 2 * n } else { 1 };
                kill(&stack, stack.output(function), point, nth).await;
            }
        }
        join_all(flows.into_iter().map(check_failing_jobs)).await;
    }
    reset(&stack).await;
}

#[tokio::test]
async fn a_script_of_single_statements_survives_kills_at_any_call() {
    let stack = Stack::exclusive().await;
    let flow = statements(&stack).await;
    reset(&stack).await;
    flow.start().await.end().await.succeeded();
    for function in ["JobLauncherFunction", "JobCallbackFunction"] {
        let function = stack.output(function);
        // The calls of all invocations of a run: a point behind the last call of an invocation applies to none.
        let points = points(calls(&stack, function).await);
        let mut applied = 0;
        for wave in points.chunks(WAVE) {
            let flows = join_all(wave.iter().map(|_| statements(&stack))).await;
            reset(&stack).await;
            join_all(wave.iter().map(|point| kill(&stack, function, point, 1))).await;
            join_all(flows.into_iter().map(check_statements)).await;
            applied += wave.len() - stack.control.get("faults").await.as_array().unwrap().len();
        }
        assert!(applied > points.len() / 2, "{function}: {applied} of {} kills applied", points.len());
    }
    reset(&stack).await;
}

#[tokio::test]
async fn audit_updater_can_be_killed_when_jobs_time_out() {
    let stack = Stack::exclusive().await;
    for wave in points(6).chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| overdue(&stack))).await;
        reset(&stack).await;
        let updater = stack.output("AuditUpdaterFunction");
        // Each run has two jobs that time out, so that both kinds of jobs are affected.
        join_all(wave.iter().chain(wave).map(|point| kill(&stack, updater, point, 1))).await;
        join_all(flows.into_iter().map(check_overdue_statements)).await;
    }
    reset(&stack).await;
}

#[tokio::test]
async fn a_plan_with_several_transactions_is_visible_only_as_a_whole() {
    let stack = Stack::exclusive().await;
    let jobs: Vec<_> = (1..=120).map(|n| json!({ "job_name": format!("j{n}"), "script": "one.sql" })).collect();
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": jobs }] });
    let flow = stack.push("large", workflow, &[("one.sql", "select 1")]).await;
    let run = flow.run(&Stack::unique("r"));
    let request = json!({ "workflow_execution_id": run.id });
    reset(&stack).await;
    // Kill after four calls: read the configuration, read the script, record the run, write the first jobs.
    kill(&stack, stack.output("TriggerFunction"), &json!({ "at": "after-call", "call": 4 }), 1).await;
    let died = flow.request(request.clone()).await.unwrap_err();
    assert!(died.name.starts_with("Runtime."), "{died:?}");
    assert_eq!(run.record().await.unwrap().execution_status, Status::Planning);
    assert_eq!(run.execution_status().await, None);
    let other = flow.request(json!({ "workflow_execution_id": run.id })).await.unwrap_err();
    assert_eq!(other.name, "Shiftwork.Unavailable", "an incomplete plan was accepted: {other:?}");

    // A planner is considered dead after two minutes; the test sets the time back.
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.into());
    let age = stack.dynamodb.update_item().table_name(stack.output("WorkflowAuditTable"));
    let age = age.key("workflow_execution_id", text(&run.id)).update_expression("SET planning_ts = :then");
    age.expression_attribute_values(":then", text("2026-01-01T00:00:00.000Z")).send().await.unwrap();
    let prefix = format!("shiftwork:{}:", run.id);
    let wait = json!({ "delay_statement": { "milliseconds": 60_000 } });
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": wait })).await;
    flow.request(request).await.unwrap();
    assert_eq!(run.jobs().await.len(), 120);
    let submitted = async |run: &Run| !run.statements().await.is_empty();
    run.until("submitting its first job", submitted).await;

    run.stop().await;
    let ended = run.end().await;
    assert_eq!(ended.run.execution_status, Status::Aborted);
    assert!(ended.jobs.values().all(|job| job.execution_status == Status::Aborted));
    assert_eq!(ended.statements.len(), 1);
    assert_eq!(ended.statements[0].status, "ABORTED");
}
