//! A function dies between any two of its calls. Every run still ends as it should, and no SQL runs twice.
//!
//! Faults cannot name a run, so these tests have the stack for themselves. They order one death for each point of a
//! function's life (`start`, `end`, before and after its Nth call), several at once, and start as many runs as there are
//! deaths: each death meets one invocation. Whoever invokes tries again: Step Functions by `Retry`, Lambda for events, the
//! test for its own requests, as a schedule or a queue would.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};
use shiftwork_e2e::{Ended, Flow, Run, Stack};
use shiftwork_protocol::Status;

/// Runs at the same time: what two cores carry.
pub(crate) const WAVE: usize = 8;

/// One job: the least that a run does.
async fn one_job(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    stack.push("one", workflow, &[("a.sql", "select 1")]).await
}

/// Three jobs: two side by side, then one that waits for both.
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

/// A job that fails once and is paid for, one that fails for good, one that is skipped, one that cleans up.
async fn troubled(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": [{ "script": "a.sql", "retries": 1 }, "bad.sql"] },
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

/// A job that takes too long at its first try, and a second one that always does: their statements wait for a minute.
async fn overdue(stack: &Arc<Stack>) -> Flow {
    let workflow = json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": [
        { "script": "again.sql", "timeout": "2s", "retries": 1 }, { "script": "late.sql", "timeout": "2s" } ] }] });
    let scripts = [("again.sql", "insert into {s}.t values (1)"), ("late.sql", "insert into {s}.t values (2)")];
    let flow = stack.push("overdue", workflow, &scripts).await;
    flow.make_table().await;
    let sql = format!("insert into {}.t", flow.id);
    let wait = json!({ "delay_statement": { "milliseconds": 60_000 } });
    stack.redshift_fault(json!({ "sql_regex": sql, "effect": wait, "times": 2 })).await;
    flow
}

/// Asks until there is an answer, and waits for the end.
async fn insist(flow: &Flow) -> Ended {
    let run = flow.run(&Stack::unique("r"));
    for _ in 0..5 {
        match flow.request(json!({ "workflow_execution_id": run.id })).await {
            Ok(answer) => {
                assert_eq!(answer.workflow_execution_id, run.id);
                return run.end_with_sweeps().await;
            }
            Err(error) => assert!(error.name.starts_with("Runtime."), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the trigger never answered for {}", run.id);
}

async fn three_jobs_go_well(flow: Flow) {
    let ended = insist(&flow).await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 3, "{:?}", ended.statements);
    assert_eq!(flow.traces().await, [1, 2, 4]);
}

async fn trouble_ends_as_it_should(flow: Flow) {
    let ended = insist(&flow).await;
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

async fn overdue_statements_are_cancelled(flow: Flow) {
    let ended = insist(&flow).await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!((ended.status("late.sql"), ended.job("late.sql").attempt), (Status::TimedOut, 1));
    assert_eq!((ended.status("again.sql"), ended.job("again.sql").attempt), (Status::Succeeded, 2));
    let first = ended.statements_of("again.sql")[0];
    assert_eq!(first.status, "ABORTED", "the first attempt was left to itself when the second began");
    // What nobody else cancels, the run's sweep does.
    let run = flow.run(&ended.run.workflow_execution_id);
    flow.stack.sweep(&run.id).await;
    assert_eq!(run.end().await.statements_of("late.sql")[0].status, "ABORTED");
    assert_eq!(flow.traces().await, [1]);
}

/// Calls of a function since the last reset.
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

/// Every point in the life of an invocation that makes this many calls.
pub(crate) fn points(calls: u64) -> Vec<Value> {
    let around =
        (1..=calls).flat_map(|n| [json!({ "at": "before-call", "call": n }), json!({ "at": "after-call", "call": n })]);
    [json!({ "at": "start" }), json!({ "at": "end" })].into_iter().chain(around).collect()
}

/// Orders a death in the `nth` invocation from now.
pub(crate) async fn kill(stack: &Stack, function: &str, point: &Value, nth: usize) {
    let mut fault = point.clone();
    fault["kind"] = json!("kill");
    fault["function"] = json!(function);
    fault["invocation"] = json!(nth);
    stack.fault(fault).await;
}

async fn every_death_of(function: &str) {
    let stack = Stack::alone().await;
    let function = stack.output(function).to_owned();
    // The least that an invocation does, from a run of one job. The run before it keeps what only a new process does (it
    // takes a role) out of the count; the trigger's is read before it hears of the refresh.
    let flow = one_job(&stack).await;
    flow.start().await.end().await.succeeded();
    reset(&stack).await;
    let run = flow.start().await;
    let mut least = calls(&stack, &function).await;
    if function != stack.output("TriggerFunction") {
        run.end().await.succeeded();
        least = calls(&stack, &function).await;
    }
    assert!(least > 0, "{function} has no part in a run");
    // With three jobs there are two more scripts to read, or a dependent to free and to release.
    let points = points(least + 2);

    let mut deaths = 0;
    for wave in points.chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| three_jobs(&stack))).await;
        reset(&stack).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(flows.into_iter().map(three_jobs_go_well)).await;
        assert_eq!(stack.control.get("faults").await, json!([]), "a death met nobody");
        // A run invokes it once; once a job; or for itself and to hear that it is fresh.
        let quiet = match function.rsplit('-').next() {
            Some("launcher" | "callback") => 3,
            Some("trigger") => 2,
            Some(_) | None => 1,
        };
        deaths += invocations(&stack, &function).await.saturating_sub(quiet * wave.len() as u64);
    }
    eprintln!(
        "{function}: {} points, {deaths} invocations more than in quiet runs, {least} calls in one",
        points.len()
    );
    // Who dies at its start or before a call is invoked again. After its last call it may have done enough.
    assert!(deaths > least, "{function} was not hit where it should be: {deaths} deaths");
}

#[tokio::test]
async fn the_trigger_may_die_anywhere() {
    every_death_of("TriggerFunction").await;
}

#[tokio::test]
async fn the_iterator_may_die_anywhere() {
    every_death_of("IteratorFunction").await;
}

#[tokio::test]
async fn the_launcher_may_die_anywhere() {
    every_death_of("JobLauncherFunction").await;
}

#[tokio::test]
async fn the_callback_may_die_anywhere() {
    every_death_of("JobCallbackFunction").await;
}

#[tokio::test]
async fn the_audit_updater_may_die_anywhere() {
    every_death_of("AuditUpdaterFunction").await;
}

#[tokio::test]
async fn all_of_them_may_die_in_runs_that_fail() {
    let stack = Stack::alone().await;
    for wave in points(7).chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| troubled(&stack))).await;
        reset(&stack).await;
        for function in ["JobLauncherFunction", "JobCallbackFunction", "AuditUpdaterFunction", "TriggerFunction"] {
            for (n, point) in wave.iter().enumerate() {
                // One of the two or three invocations that each run has of most functions, so that every kind is hit.
                let nth = if function == "JobCallbackFunction" { 1 + 2 * n } else { 1 };
                kill(&stack, stack.output(function), point, nth).await;
            }
        }
        join_all(flows.into_iter().map(trouble_ends_as_it_should)).await;
    }
    reset(&stack).await;
}

#[tokio::test]
async fn the_audit_updater_may_die_anywhere_when_jobs_time_out() {
    let stack = Stack::alone().await;
    for wave in points(6).chunks(WAVE) {
        let flows = join_all(wave.iter().map(|_| overdue(&stack))).await;
        reset(&stack).await;
        let updater = stack.output("AuditUpdaterFunction");
        // Each run has two jobs that time out: both kinds are hit.
        join_all(wave.iter().chain(wave).map(|point| kill(&stack, updater, point, 1))).await;
        join_all(flows.into_iter().map(overdue_statements_are_cancelled)).await;
    }
    reset(&stack).await;
}

#[tokio::test]
async fn a_plan_of_several_transactions_is_there_as_a_whole_or_not_at_all() {
    let stack = Stack::alone().await;
    let jobs: Vec<_> = (1..=120).map(|n| json!({ "job_name": format!("j{n}"), "script": "one.sql" })).collect();
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": jobs }] });
    let flow = stack.push("large", workflow, &[("one.sql", "select 1")]).await;
    let run = flow.run(&Stack::unique("r"));
    let request = json!({ "workflow_execution_id": run.id });
    reset(&stack).await;
    // Read the configuration, read the script, announce the run, write the first jobs; then no more.
    kill(&stack, stack.output("TriggerFunction"), &json!({ "at": "after-call", "call": 4 }), 1).await;
    let died = flow.request(request.clone()).await.unwrap_err();
    assert!(died.name.starts_with("Runtime."), "{died:?}");
    assert_eq!(run.record().await.unwrap().execution_status, Status::Planning);
    assert_eq!(run.execution_status().await, None);
    let other = flow.request(json!({ "workflow_execution_id": run.id })).await.unwrap_err();
    assert_eq!(other.name, "Shiftwork.Unavailable", "half a plan was taken for a plan: {other:?}");

    // A planner is given up for dead after two minutes: as if they were over.
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
