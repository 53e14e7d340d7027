//! A failed job fails its run, but not the jobs that do not depend on it.

use serde_json::json;
use shiftwork_e2e::{Inbox, Stack};
use shiftwork_protocol::{FailureKind, SkipReason, Status, event};

#[tokio::test]
async fn siblings_finish_dependents_are_skipped_and_an_alert_is_sent() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": ["bad.sql", "sibling.sql"] },
        { "execution_type": "parallel", "scripts": [
            "after.sql",
            { "script": "clean_up.sql", "run_if": "all_done" },
            { "script": "alarm.sql", "run_if": "one_failed" },
            { "script": "never.sql", "depends_on": ["after.sql"] } ] } ] });
    let scripts = [
        ("bad.sql", "insert into {s}.t values (1);\nselect * from {s}.nowhere"),
        ("sibling.sql", "insert into {s}.t values (2)"),
        ("after.sql", "insert into {s}.t values (3)"),
        ("clean_up.sql", "insert into {s}.t values (4)"),
        ("alarm.sql", "insert into {s}.t values (5)"),
        ("never.sql", "insert into {s}.t values (6)"),
    ];
    let flow = stack.push("fails", workflow, &scripts).await;
    flow.make_table().await;
    let alerts = Inbox::of_alerts(&stack).await;
    let events =
        Inbox::of_events(&stack, &json!({ "source": ["shiftwork"], "detail": { "workflow_id": [flow.id] } })).await;
    let run = flow.run(&Stack::unique("r"));
    // The sibling is still running when bad.sql fails.
    stack
        .redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:sibling.sql:", run.id),
        "effect": { "delay_statement": { "milliseconds": 2500 } } }))
        .await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;

    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!(run.execution_status().await.as_deref(), Some("FAILED"));
    let bad = ended.job("bad.sql");
    assert_eq!(bad.execution_status, Status::Failed);
    assert_eq!(bad.error_name.as_deref(), Some(FailureKind::StatementFailed.name()));
    assert!(bad.error_message.as_deref().unwrap().contains("does not exist"), "{:?}", bad.error_message);
    assert!(ended.run.error_message.as_deref().unwrap().contains("bad.sql"), "{:?}", ended.run.error_message);
    for (job, status) in [
        ("sibling.sql", Status::Succeeded),
        ("after.sql", Status::Skipped),
        ("clean_up.sql", Status::Succeeded),
        ("alarm.sql", Status::Succeeded),
        ("never.sql", Status::Skipped),
    ] {
        assert_eq!(ended.status(job), status, "{job}: {:?}", ended.job(job).error_message);
    }
    // bad.sql is one transaction, so its first insert is rolled back.
    assert_eq!(flow.traces().await, [2, 4, 5]);

    let alert = alerts
        .wait("the alert", |message| {
            let text = message["Message"].as_str()?;
            text.contains(&run.id).then(|| text.to_owned())
        })
        .await;
    for part in ["bad.sql", "does not exist", &format!("shiftwork restart {}", run.id)] {
        assert!(alert.contains(part), "{part} is missing in: {alert}");
    }
    let run_ended =
        events.wait("the run's end", |m| (m["detail-type"] == event::RUN_ENDED).then(|| m["detail"].clone())).await;
    assert_eq!(run_ended["execution_status"], "FAILED");
    assert!(events.received().await.iter().all(|message| message["detail-type"] != event::REFRESHED));
}

#[tokio::test]
async fn a_job_that_runs_on_failure_is_skipped_without_a_failure() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "sequential", "scripts": ["a.sql", { "script": "alarm.sql", "run_if": "one_failed" }] } ] });
    let flow = stack.push("calm", workflow, &[("a.sql", "select 1"), ("alarm.sql", "select 1")]).await;
    let ended = flow.start().await.end().await;
    assert_eq!(ended.run.execution_status, Status::Succeeded, "{:?}", ended.run.error_message);
    assert_eq!(ended.job("alarm.sql").skip_reason, Some(SkipReason::ConditionNotMet));
}

/// Loads, an alarm that runs only after a failure, and a stage after it, on a good night, on a bad night, and in the
/// restart of the bad night.
#[tokio::test]
async fn a_job_that_was_not_needed_blocks_no_stage_and_a_failure_does() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": ["a1.sql", "a2.sql", "a3.sql"] },
        { "execution_type": "sequential", "scripts": [{ "script": "alarm.sql", "run_if": "one_failed" }] },
        { "execution_type": "parallel", "scripts": ["totals.sql", "t2.sql", "t3.sql"] },
        { "execution_type": "sequential", "scripts": ["publish.sql"] } ] });
    let scripts = [
        ("a1.sql", "select 1"),
        ("a2.sql", "select 1"),
        ("a3.sql", "insert into {s}.t values (1)"),
        ("alarm.sql", "insert into {s}.t values (2)"),
        ("totals.sql", "insert into {s}.t values (3)"),
        ("t2.sql", "select 1"),
        ("t3.sql", "select 1"),
        ("publish.sql", "insert into {s}.t values (4)"),
    ];
    let flow = stack.push("nights", workflow, &scripts).await;
    flow.make_table().await;
    let events =
        Inbox::of_events(&stack, &json!({ "source": ["shiftwork"], "detail": { "workflow_id": [flow.id] } })).await;
    let refreshed = async |run: &str| {
        let of_run = |message: &serde_json::Value| message["detail"]["workflow_execution_id"] == run;
        events.wait("the run's end", |m| (m["detail-type"] == event::RUN_ENDED && of_run(m)).then_some(())).await;
        let received = events.received().await;
        received.iter().any(|message| message["detail-type"] == event::REFRESHED && of_run(message))
    };

    let good_run = flow.start().await;
    let good = good_run.end().await;
    assert_eq!(good.run.execution_status, Status::Succeeded, "{:?}", good.run.error_message);
    assert_eq!(good.job("alarm.sql").skip_reason, Some(SkipReason::ConditionNotMet));
    assert_eq!(flow.traces().await, [1, 3, 4]);
    events
        .wait("the refreshed event", |m| {
            (m["detail-type"] == event::REFRESHED && m["detail"]["workflow_execution_id"] == good_run.id).then_some(())
        })
        .await;

    flow.script("a3.sql", "select * from {s}.nowhere").await;
    let bad_run = flow.start().await;
    let bad = bad_run.end().await;
    assert_eq!(bad.run.execution_status, Status::Failed);
    assert_eq!(bad.status("alarm.sql"), Status::Succeeded);
    for job in ["totals.sql", "t2.sql", "t3.sql", "publish.sql"] {
        let job = bad.job(job);
        assert_eq!(job.skip_reason, Some(SkipReason::UpstreamFailed), "{}", job.plan.job_name);
        assert_eq!(job.error_message.as_deref(), Some("skipped because a3.sql did not succeed"));
    }
    assert_eq!(flow.traces().await, [1, 2, 3, 4]);
    assert!(!refreshed(&bad_run.id).await, "a run with a failure is not refreshed");

    flow.script("a3.sql", "select 1").await;
    let again = flow.start_with(json!({ "restart_of": bad_run.id })).await.end().await;
    assert_eq!(again.run.execution_status, Status::Succeeded, "{:?}", again.run.error_message);
    assert_eq!(again.job("a1.sql").reused_from.as_deref(), Some(bad_run.id.as_str()));
    assert_eq!(again.job("alarm.sql").skip_reason, Some(SkipReason::ConditionNotMet));
    assert_eq!(flow.traces().await, [1, 2, 3, 3, 4, 4]);
}

#[tokio::test]
async fn a_failure_is_propagated_through_the_barrier_between_stages() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": ["a1.sql", "a2.sql", "a3.sql", "a4.sql", "a5.sql"] },
        { "execution_type": "parallel", "scripts": ["b1.sql", "b2.sql", "b3.sql", "b4.sql",
            { "script": "b5.sql", "run_if": "one_failed" }] } ] });
    let one = "select 1";
    let scripts = [
        ("a1.sql", one),
        ("a2.sql", one),
        ("a3.sql", "select * from {s}.nowhere"),
        ("a4.sql", one),
        ("a5.sql", one),
        ("b1.sql", one),
        ("b2.sql", one),
        ("b3.sql", one),
        ("b4.sql", one),
        ("b5.sql", one),
    ];
    let ended = stack.push("barrier", workflow, &scripts).await.start().await.end().await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    for job in ["a1.sql", "a2.sql", "a4.sql", "a5.sql", "b5.sql"] {
        assert_eq!(ended.status(job), Status::Succeeded, "{job}");
    }
    for job in ["b1.sql", "b2.sql", "b3.sql", "b4.sql"] {
        assert_eq!(ended.status(job), Status::Skipped, "{job}");
        let message = ended.job(job).error_message.as_deref();
        assert_eq!(message, Some("skipped because a3.sql did not succeed"), "{job} names the job, not the barrier");
    }
}
