//! The adapters over real endpoints, tested with the same suites as the ports in memory.
//!
//! `AWS_ENDPOINT_URL` names the endpoint of DynamoDB (`http://127.0.0.1:4566`, where `make up` put MiniStack) and
//! `AWS_ENDPOINT_URL_REDSHIFT_DATA` that of the Data API, with a workgroup `local` and a database `dev`. A test fails if its
//! variable is not set.
#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

mod endpoint;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType,
    },
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shiftwork_aws::{
    ledger::{BY_WORKFLOW, DynamoLedger, Tables},
    warehouse::RedshiftWarehouse,
};
use shiftwork_ports::{LeaseRequest, Ledger, Opened, Opening, conformance, fake::MemoryLedger};
use shiftwork_protocol::{Connection, JobRecord, RunRecord, Status, timestamp};

struct Stack {
    client: Client,
    tables: Tables,
    ledger: DynamoLedger,
}

/// Tables of this test.
async fn stack() -> Stack {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let client = Client::new(&config);
    let own = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let tables = Tables {
        workflow_audit: format!("conformance-{own}-workflow-audit"),
        job_audit: format!("conformance-{own}-job-audit"),
        leases: format!("conformance-{own}-leases"),
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name(BY_WORKFLOW)
        .key_schema(key("workflow_id", KeyType::Hash))
        .key_schema(key("created_ts", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    create(&client, &tables.workflow_audit, &["workflow_execution_id"], Some(index)).await;
    create(&client, &tables.job_audit, &["workflow_execution_id", "job_name"], None).await;
    create(&client, &tables.leases, &["workflow_id"], None).await;
    let ledger = DynamoLedger::new(&config, tables.clone());
    Stack { client, tables, ledger }
}

fn key(name: &str, of: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(of).build().unwrap()
}

async fn create(client: &Client, table: &str, keys: &[&str], index: Option<GlobalSecondaryIndex>) {
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, of) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        create = create.key_schema(key(name, of));
    }
    let indexed: &[&str] = if index.is_some() { &["workflow_id", "created_ts"] } else { &[] };
    for name in keys.iter().chain(indexed) {
        let text = AttributeDefinition::builder().attribute_name(*name).attribute_type(ScalarAttributeType::S);
        create = create.attribute_definitions(text.build().unwrap());
    }
    create.set_global_secondary_indexes(index.map(|index| vec![index])).send().await.unwrap();
}

#[tokio::test]
async fn the_ledger_over_dynamodb_conforms() {
    let stack = stack().await;
    conformance::ledger(&stack.ledger).await;
}

#[tokio::test]
async fn the_ledger_over_dynamodb_agrees_with_the_one_in_memory() {
    let stack = stack().await;
    for seed in 0..25 {
        conformance::agree(&MemoryLedger::default(), &stack.ledger, seed).await;
    }
}

#[tokio::test]
async fn the_warehouse_over_the_data_api_conforms() {
    let config = endpoint::config("AWS_ENDPOINT_URL_REDSHIFT_DATA");
    let connection = Connection { workgroup: Some("local".into()), database: "dev".into(), ..Connection::default() };
    conformance::warehouse(&RedshiftWarehouse::new(&config, Duration::from_secs(20)), &connection, "SELECT 1").await;
}

/// A run with `jobs` jobs.
fn opening(run: &str, jobs: usize, lease: LeaseRequest) -> Opening {
    let record: RunRecord = serde_json::from_value(json!({
        "workflow_execution_id": run, "workflow_id": run, "execution_status": "PENDING",
        "created_ts": "2026-03-01T02:00:00.000Z", "logical_date": "2026-03-01T02:00:00.000Z",
        "requested_by": "manual", "request_sha256": "request", "workflow_sha256": "workflow", "jobs": jobs,
    }))
    .unwrap();
    let job = |position: usize| -> JobRecord {
        serde_json::from_value(json!({
            "workflow_execution_id": run, "workflow_id": run, "job_name": format!("job_{position}"),
            "position": position, "stage": 1, "timeout_seconds": 60, "attempt": 1, "part": 1,
            "connection": {"workgroup": "wg", "database": "dev"}, "work": {"kind": "barrier"},
            "execution_status": "PENDING",
        }))
        .unwrap()
    };
    Opening { run: record, jobs: (0..jobs).map(job).collect(), lease }
}

fn take() -> LeaseRequest {
    LeaseRequest::Take { until: "2026-03-01T02:15:00.000Z".parse().unwrap() }
}

/// Writes what a planner leaves that crashed after it had announced itself and written one job.
async fn partly_written(stack: &Stack, opening: &Opening, planner: Option<&str>, announced: Timestamp) {
    let run = &opening.run;
    let mut item = std::collections::HashMap::from([
        ("execution_status".to_owned(), AttributeValue::S(Status::Planning.to_string())),
        ("planning_ts".to_owned(), AttributeValue::S(timestamp(announced))),
    ]);
    for (name, value) in [
        ("workflow_execution_id", run.workflow_execution_id.as_str()),
        ("workflow_id", &run.workflow_id),
        ("created_ts", "2026-03-01T01:00:00.000Z"),
        ("logical_date", "2026-03-01T01:00:00.000Z"),
        ("requested_by", "manual"),
        ("request_sha256", &run.request_sha256),
        ("workflow_sha256", "an earlier one"),
    ] {
        item.insert(name.into(), AttributeValue::S(value.into()));
    }
    item.insert("jobs".into(), AttributeValue::N("1".into()));
    if let Some(planner) = planner {
        item.insert("planner".into(), AttributeValue::S(planner.into()));
    }
    stack.client.put_item().table_name(&stack.tables.workflow_audit).set_item(Some(item)).send().await.unwrap();
    stack
        .client
        .put_item()
        .table_name(&stack.tables.job_audit)
        .item("workflow_execution_id", AttributeValue::S(run.workflow_execution_id.clone()))
        .item("job_name", AttributeValue::S("a job that the plan does not have".into()))
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_crashed_planner_is_taken_over_and_its_jobs_are_deleted() {
    let stack = stack().await;
    let long_ago = Timestamp::now() - SignedDuration::from_secs(121);
    let now = Timestamp::now();
    for (name, jobs, planner, announced) in [
        ("dead-small", 3, Some("dead"), long_ago),
        ("dead-large", 250, Some("dead"), long_ago),
        ("gave-up-small", 3, None, now),
        ("gave-up-large", 250, None, now),
    ] {
        let opening = opening(name, jobs, take());
        partly_written(&stack, &opening, planner, announced).await;
        assert_eq!(stack.ledger.open(&opening).await, Ok(Opened::New), "{name}");
        assert_eq!(stack.ledger.run(name).await, Ok(Some(opening.run.clone())), "{name}");
        assert_eq!(stack.ledger.jobs(name).await, Ok(opening.jobs.clone()), "{name}");
        assert_eq!(stack.ledger.lease(name).await.unwrap().unwrap().holder.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn a_running_planner_is_not_taken_over() {
    let stack = stack().await;
    for jobs in [3, 250] {
        let name = format!("at-work-{jobs}");
        let opening = opening(&name, jobs, take());
        partly_written(&stack, &opening, Some("at work"), Timestamp::now()).await;
        assert_eq!(stack.ledger.open(&opening).await, Ok(Opened::BeingPlanned));
        assert_eq!(stack.ledger.lease(&name).await, Ok(None));
    }
}

#[tokio::test]
async fn another_request_does_not_take_over_a_crashed_planner() {
    let stack = stack().await;
    let mut opening = opening("another-request", 3, take());
    partly_written(&stack, &opening, Some("dead"), Timestamp::UNIX_EPOCH).await;
    opening.run.request_sha256 = "another request".into();
    let answer = stack.ledger.open(&opening).await.unwrap();
    assert!(matches!(answer, Opened::Existing(run) if run.execution_status == Status::Planning));
}

#[tokio::test]
async fn a_run_that_is_stopped_while_it_is_planned_stays_stopped() {
    let stack = stack().await;
    let opening = opening("stopped", 250, take());
    partly_written(&stack, &opening, Some("at work"), Timestamp::now()).await;
    let now = Timestamp::now();
    assert!(stack.ledger.finish("stopped", Status::Aborted, Some("cancelled"), now).await.unwrap().0);
    let answer = stack.ledger.open(&opening).await.unwrap();
    assert!(matches!(answer, Opened::Existing(run) if run.execution_status == Status::Aborted));
    assert_eq!(stack.ledger.lease("stopped").await, Ok(None));
}

#[tokio::test]
async fn the_runs_of_a_workflow_are_found_newest_first() {
    let stack = stack().await;
    let mut ids = Vec::new();
    for minute in 0..5 {
        let mut opening = opening(&format!("listed-{minute}"), 0, LeaseRequest::Leave);
        opening.run.workflow_id = "listed".into();
        opening.run.created_ts += SignedDuration::from_mins(minute);
        stack.ledger.open(&opening).await.unwrap();
        ids.insert(0, opening.run.workflow_execution_id);
    }
    let found = stack.ledger.runs_of("listed", 3).await.unwrap();
    assert_eq!(found.iter().map(|run| run.workflow_execution_id.as_str()).collect::<Vec<_>>(), &ids[..3]);
    assert_eq!(stack.ledger.runs_of("no such workflow", 3).await, Ok(vec![]));
}
