//! A failed job fails its run, but not the jobs that do not depend on it.

use serde_json::json;
use shiftwork_e2e::{Inbox, Stack};
use shiftwork_protocol::{FailureKind, Status, event};

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
    assert_eq!(ended.status("alarm.sql"), Status::Skipped);
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
    }
}
