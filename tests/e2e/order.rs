//! Jobs run in the order that the workflow requires, and as early as possible.

use std::collections::BTreeSet;

use serde_json::json;
use shiftwork_e2e::{Inbox, Run, Stack};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::event;

#[tokio::test]
async fn six_jobs_insert_four_rows_and_release_the_lease() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_description": "Test workflow", "workflow_stages": [
        { "execution_flag": "y", "execution_type": "sequential", "stage_description": "schema and table",
          "scripts": ["create_schema.sql", "create_table.sql"] },
        { "execution_flag": "y", "execution_type": "parallel", "stage_description": "insert 1",
          "scripts": ["insert_1.sql", "insert_2.sql"] },
        { "execution_flag": "y", "execution_type": "parallel", "stage_description": "insert 2",
          "scripts": ["insert_3.sql", "insert_4.sql"] } ] });
    let scripts = [
        ("create_schema.sql", "CREATE SCHEMA IF NOT EXISTS {s};"),
        ("create_table.sql", "DROP TABLE IF EXISTS {s}.t;\nCREATE TABLE {s}.t (n INTEGER NOT NULL) DISTSTYLE ALL;"),
        ("insert_1.sql", "INSERT INTO {s}.t VALUES (1); -- the first"),
        ("insert_2.sql", "INSERT INTO {s}.t VALUES (2);"),
        ("insert_3.sql", "INSERT INTO {s}.t VALUES (3);"),
        ("insert_4.sql", "INSERT INTO {s}.t VALUES (4);"),
    ];
    let flow = stack.push("six", workflow, &scripts).await;
    let inbox =
        Inbox::of_events(&stack, &json!({ "source": ["shiftwork"], "detail": { "workflow_id": [flow.id] } })).await;

    let run = flow.start().await;
    let ended = run.end().await;

    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 3, 4]);
    assert_eq!(ended.statements.len(), 6);
    assert_eq!(ended.job("insert_1.sql").rows, Some(1));
    assert_eq!(ended.run.workflow_description.as_deref(), Some("Test workflow"));
    let lease = stack.ledger.lease(&flow.id).await.unwrap().expect("the workflow ran");
    assert_eq!(lease.holder, None);
    assert!(!run.is_watched().await, "an ended run has no sweep schedule");

    let of_kind = |kind| move |message: &serde_json::Value| (message["detail-type"] == kind).then(|| message.clone());
    let run_ended = inbox.wait("the run's end", of_kind(event::RUN_ENDED)).await;
    assert_eq!(run_ended["detail"]["execution_status"], "SUCCEEDED");
    let refreshed = inbox.wait("the refresh", of_kind(event::REFRESHED)).await;
    assert_eq!(refreshed["detail"]["workflow_execution_id"], run.id);
    let messages = inbox.received().await;
    let jobs = messages.iter().filter(|message| message["detail-type"] == event::JOB_ENDED);
    let jobs: BTreeSet<_> = jobs.filter_map(|message| message["detail"]["job_name"].as_str()).collect();
    assert_eq!(jobs, scripts.iter().map(|(name, _)| *name).collect());
}

#[tokio::test]
async fn audit_tables_have_the_documented_fields() {
    let stack = Stack::shared().await;
    let stages = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let flow = stack.push("fields", stages, &[("a.sql", "select 1")]).await;
    let run = flow.start().await;
    run.end().await.succeeded();
    let key = aws_sdk_dynamodb::types::AttributeValue::S(run.id.clone());
    for (table, name) in [("WorkflowAuditTable", "workflow_id"), ("JobAuditTable", "job_name")] {
        let items = stack
            .dynamodb
            .query()
            .table_name(stack.output(table))
            .key_condition_expression("workflow_execution_id = :run")
            .expression_attribute_values(":run", key.clone());
        let items = items.send().await.unwrap();
        let item = &items.items()[0];
        let text = |field: &str| item.get(field).and_then(|value| value.as_s().ok()).map(String::as_str);
        assert!(text(name).is_some(), "{table} has no {name}");
        assert_eq!(text("execution_status"), Some("SUCCEEDED"), "{table}");
        for field in ["execution_start_ts", "execution_end_ts"] {
            let at = text(field).unwrap_or_else(|| panic!("{table} has no {field}"));
            // 2026-03-01T02:00:03.250Z
            assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[19] == b'.', "{table}: {field} is {at}");
            at.parse::<jiff::Timestamp>().unwrap();
        }
    }
}

#[tokio::test]
async fn a_job_starts_when_its_upstream_ends() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": [
        "slow.sql", "quick.sql", { "script": "next.sql", "depends_on": ["quick.sql"] } ] }] });
    let one = "select 1";
    let flow = stack.push("wave", workflow, &[("slow.sql", one), ("quick.sql", one), ("next.sql", one)]).await;
    let run = flow.run(&Stack::unique("r"));
    stack
        .redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:slow.sql:", run.id),
        "effect": { "delay_statement": { "milliseconds": 15_000 } } }))
        .await;
    flow.start_as(&run, json!({})).await;
    run.until("done with next.sql", async |run: &Run| run.job("next.sql").await.execution_status.is_terminal()).await;
    assert!(!run.job("slow.sql").await.execution_status.is_terminal(), "next.sql waited for slow.sql");
    let ended = run.end().await;
    ended.succeeded();
    assert!(ended.job("next.sql").execution_end_ts < ended.job("slow.sql").execution_end_ts);
}

#[tokio::test]
async fn a_stage_waits_for_all_jobs_of_the_previous_stage() {
    let stack = Stack::shared().await;
    let names: Vec<_> = (1..=10).map(|n| format!("j{n}.sql")).collect();
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "parallel", "scripts": names[..5] }, { "execution_type": "parallel", "scripts": names[5..] } ] });
    let scripts: Vec<_> = names.iter().map(|name| (name.as_str(), "select 1")).collect();
    let ended = stack.push("five", workflow, &scripts).await.start().await.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 10);
    let begun = names[5..].iter().map(|name| ended.statements_of(name)[0].started).min().unwrap();
    let last = names[..5].iter().map(|name| ended.statements_of(name)[0].ended).max().unwrap();
    assert!(begun >= last, "the second stage started at {begun:?}, the first ended at {last:?}");
}

#[tokio::test]
async fn a_stage_with_execution_flag_n_is_skipped() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [
        { "execution_type": "sequential", "scripts": ["a.sql"] },
        { "execution_flag": "n", "execution_type": "sequential", "scripts": ["never.sql"] },
        { "execution_type": "sequential", "scripts": ["b.sql"] } ] });
    // never.sql does not exist.
    let flow = stack.push("flag", workflow, &[("a.sql", "select 1"), ("b.sql", "select 1")]).await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(ended.jobs.keys().collect::<Vec<_>>(), ["a.sql", "b.sql"]);
    assert!(ended.statements_of("b.sql")[0].started >= ended.statements_of("a.sql")[0].ended);
}

#[tokio::test]
async fn a_waiting_job_does_not_block_its_upstream_jobs() {
    // 45 functions start at the same time, which slows down concurrent tests.
    let stack = Stack::exclusive().await;
    // The first job in the list runs last: it occupies one of 40 concurrent iterations while it waits for the others.
    let all: Vec<_> = (1..45).map(|n| format!("j{n}")).collect();
    let mut jobs: Vec<_> = all.iter().map(|name| json!({ "job_name": name, "script": "one.sql" })).collect();
    jobs.insert(0, json!({ "job_name": "last", "script": "one.sql", "depends_on": all }));
    let workflow = json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": jobs }] });
    let ended = stack.push("wide", workflow, &[("one.sql", "select 1")]).await.start().await.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 45);
}

#[tokio::test]
async fn max_parallel_limits_the_jobs_that_run_at_once() {
    let stack = Stack::shared().await;
    let names: Vec<_> = (1..=6).map(|n| format!("j{n}.sql")).collect();
    let workflow = json!({ "max_parallel": 3, "workflow_stages": [
        { "execution_type": "parallel", "max_parallel": 2, "scripts": names } ] });
    let scripts: Vec<_> = names.iter().map(|name| (name.as_str(), "select 1")).collect();
    let flow = stack.push("slots", workflow, &scripts).await;
    let run = flow.run(&Stack::unique("r"));
    stack
        .redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:", run.id), "times": 6,
        "effect": { "delay_statement": { "milliseconds": 2_000 } } }))
        .await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.statements.len(), 6);
    for statement in &ended.statements {
        let active = ended.statements.iter().filter(|other| {
            other.created <= statement.created && other.ended.is_none_or(|end| end > statement.created)
        });
        assert!(
            active.count() <= 2,
            "more than 2 statements are active at {}: {:?}",
            statement.created,
            ended.statements
        );
    }
    let slots = stack.ledger.slots(&format!("@stage/{}/1", flow.id)).await.unwrap();
    assert!(slots.holders.is_empty() && slots.queue.is_empty(), "{slots:?}");
}
