//! Runs are requested by queues, files, events and other workflows.

use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::{Value, json};
use shiftwork_e2e::{Flow, Run, Stack};
use shiftwork_protocol::{Status, audit::Origin};
use tokio::time::{Instant, sleep};

/// A workflow with one job that inserts `:n`, started by events that match a pattern.
async fn triggered(stack: &std::sync::Arc<Stack>, label: &str, triggers: Value) -> Flow {
    let workflow = json!({ "triggers": triggers, "parameters": { "n": { "type": "integer", "default": 0 }, "key": { "type": "string", "default": "-" } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let flow = stack.push(label, workflow, &[("a.sql", "insert into {s}.k select :n::int, :key")]).await;
    flow.sql("create schema {s}").await;
    flow.sql("create table {s}.k (n int, key varchar(100))").await;
    flow
}

/// The runs of a workflow; waits until there is at least one.
async fn runs(flow: &Flow) -> Vec<Run> {
    let begun = Instant::now();
    loop {
        let query = flow.stack.dynamodb.query().table_name(flow.stack.output("WorkflowAuditTable"));
        let query = query
            .index_name(shiftwork_aws::ledger::BY_WORKFLOW)
            .key_condition_expression("workflow_id = :id")
            .expression_attribute_values(":id", aws_sdk_dynamodb::types::AttributeValue::S(flow.id.clone()));
        let found = query.send().await.unwrap();
        let ids = found.items().iter().filter_map(|item| item["workflow_execution_id"].as_s().ok());
        let runs: Vec<_> = ids.map(|id| flow.run(id)).collect();
        if !runs.is_empty() {
            return runs;
        }
        assert!(begun.elapsed().as_secs() < 30, "{} was not started", flow.id);
        sleep(Duration::from_millis(200)).await;
    }
}

/// A downstream workflow without a time zone runs for the day of the run in Berlin that it follows.
#[tokio::test]
async fn a_workflow_that_follows_another_has_its_logical_date() {
    let stack = Stack::shared().await;
    let insert = ("a.sql", "insert into {s}.d select cast(:run_date as date)");
    let stages = json!([{ "execution_type": "sequential", "scripts": ["a.sql"] }]);
    let push = async |label: &str, mut workflow: Value| {
        workflow["workflow_stages"] = stages.clone();
        let flow = stack.push(label, workflow, &[insert]).await;
        flow.sql("create schema {s}").await;
        flow.sql("create table {s}.d (day date)").await;
        flow
    };
    let first = push("dated", json!({ "time_zone": "Europe/Berlin" })).await;
    let pattern =
        |kind: &str| json!({ "source": ["shiftwork"], "detail-type": [kind], "detail": { "workflow_id": [first.id] } });
    let trigger = json!([{ "pattern": pattern("Shiftwork Workflow Refreshed") }]);
    let second = push("follows", json!({ "triggers": trigger })).await;
    let run = first.start_with(json!({ "logical_date": "2026-06-30T23:30:00Z" })).await;
    run.end().await.succeeded();
    let ended = runs(&second).await[0].end().await;
    ended.succeeded();
    for flow in [&first, &second] {
        assert_eq!(flow.sql("select day::varchar from {s}.d").await, [["2026-07-01"]], "{}", flow.id);
    }
    assert_eq!(
        (ended.run.run_date.as_deref(), ended.run.time_zone.as_deref()),
        (Some("2026-07-01"), Some("Europe/Berlin"))
    );
    assert_eq!(ended.run.logical_date.to_string(), "2026-06-30T23:30:00Z");
}

async fn put_event(stack: &Stack, source: &str, kind: &str, detail: Value) {
    let entry = PutEventsRequestEntry::builder().source(source).detail_type(kind).detail(detail.to_string()).build();
    let put = stack.events.put_events().entries(entry).send().await.unwrap();
    assert_eq!(put.failed_entry_count(), 0);
}

#[tokio::test]
async fn a_file_starts_its_workflow_with_the_key_as_parameter() {
    let stack = Stack::shared().await;
    let bucket = Stack::unique("landing");
    let pattern = json!({ "source": ["aws.s3"], "detail-type": ["Object Created"],
        "detail": { "bucket": { "name": [bucket] }, "object": { "key": [{ "prefix": "orders/" }] } } });
    let picks = json!({ "key": "$.detail.object.key", "n": "$.detail.object.size" });
    let flow = triggered(&stack, "file", json!([{ "pattern": pattern, "parameters": picks }])).await;
    for key in ["other/1.csv", "orders/it's 1.csv"] {
        let detail = json!({ "bucket": { "name": bucket }, "object": { "key": key, "size": 12 } });
        stack
            .control
            .post("events", &json!({ "Source": "aws.s3", "DetailType": "Object Created", "Detail": detail }))
            .await;
    }
    let runs = runs(&flow).await;
    let ended = runs[0].end().await;
    ended.succeeded();
    assert_eq!(runs.len(), 1);
    assert_eq!(ended.run.requested_by, Origin::Event);
    assert_eq!(flow.sql("select n, key from {s}.k").await, [["12", "orders/it's 1.csv"]]);
}

#[tokio::test]
async fn the_refreshed_event_starts_a_dependent_workflow() {
    let stack = Stack::shared().await;
    let first = triggered(&stack, "upstream", json!([])).await;
    let pattern = json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Workflow Refreshed"],
        "detail": { "workflow_id": [first.id] } });
    let picks = json!({ "key": "$.detail.workflow_execution_id" });
    let second = triggered(&stack, "downstream", json!([{ "pattern": pattern, "parameters": picks }])).await;
    let run = first.start_with(json!({ "parameters": { "n": 5 } })).await;
    run.end().await.succeeded();
    runs(&second).await[0].end().await.succeeded();
    assert_eq!(second.sql("select key from {s}.k").await, [[run.id]]);
}

#[tokio::test]
async fn a_custom_event_starts_exactly_the_matching_workflows() {
    let stack = Stack::shared().await;
    let topic = Stack::unique("topic");
    let wanted = json!([{ "pattern": { "source": ["custom.shiftwork"], "detail": { "topic": [topic], "n": [{ "numeric": [">", 1] }] } },
                          "parameters": { "n": "$.detail.n" } }]);
    let (one, two) = (triggered(&stack, "one", wanted.clone()).await, triggered(&stack, "two", wanted).await);
    let other = triggered(
        &stack,
        "three",
        json!([{ "pattern": { "source": ["custom.shiftwork"], "detail": { "topic": ["x"] } } }]),
    )
    .await;
    put_event(&stack, "custom.shiftwork", "Batch Ready", json!({ "topic": topic, "n": 1 })).await;
    put_event(&stack, "custom.shiftwork", "Batch Ready", json!({ "topic": topic, "n": 2 })).await;
    for flow in [&one, &two] {
        let runs = runs(flow).await;
        assert_eq!(runs.len(), 1);
        runs[0].end().await.succeeded();
        assert_eq!(flow.sql("select n from {s}.k").await, [["2"]]);
    }
    assert!(other.sql("select n from {s}.k").await.is_empty());
}

#[tokio::test]
async fn an_event_with_invalid_parameters_is_recorded_as_a_failed_run() {
    let stack = Stack::shared().await;
    let topic = Stack::unique("topic");
    let pattern = json!({ "source": ["custom.shiftwork"], "detail": { "topic": [topic] } });
    let flow = triggered(&stack, "invalid", json!([{ "pattern": pattern, "parameters": { "n": "$.detail.n" } }])).await;
    put_event(&stack, "custom.shiftwork", "Batch Ready", json!({ "topic": topic, "n": "many" })).await;
    let run = &runs(&flow).await[0];
    let record = run.record().await.unwrap();
    assert_eq!(record.execution_status, Status::Failed);
    assert!(record.error_message.as_deref().unwrap().contains("parameter `n`"), "{record:?}");
    assert_eq!(run.execution_status().await, None);
}

#[tokio::test]
async fn a_restart_completes_the_request_of_an_event_that_could_not_be_planned() {
    let stack = Stack::shared().await;
    let topic = Stack::unique("topic");
    let pattern = json!({ "source": ["custom.shiftwork"], "detail": { "topic": [topic] } });
    let trigger = json!([{ "pattern": pattern, "logical_date": "$.detail.day",
                           "parameters": { "n": "$.detail.n", "key": "$.detail.key" } }]);
    let flow = triggered(&stack, "completed", trigger).await;
    let detail = json!({ "topic": topic, "n": "many", "key": "orders/1.csv", "day": "2026-07-01" });
    put_event(&stack, "custom.shiftwork", "Batch Ready", detail).await;
    let refused = &runs(&flow).await[0];
    let kept = refused.record().await.unwrap().request.expect("the request is kept");
    assert_eq!((&kept.parameters["n"], &kept.parameters["key"]), (&json!("many"), &json!("orders/1.csv")));

    let failure = flow.request(json!({ "restart_of": refused.id })).await.unwrap_err();
    assert!(failure.message.contains("parameter `n`"), "{failure:?}");
    let run = flow.start_with(json!({ "restart_of": refused.id, "parameters": { "n": "12" } })).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.run.run_date.as_deref(), Some("2026-07-01"));
    assert_eq!(flow.sql("select n, key from {s}.k").await, [["12", "orders/1.csv"]]);
}

#[tokio::test]
async fn an_unreadable_message_does_not_block_the_others() {
    let stack = Stack::shared().await;
    let queue = stack.output("RequestQueue");
    let visible_again_after = async |seconds: &str| {
        let set = stack.sqs.set_queue_attributes().queue_url(queue);
        set.attributes(QueueAttributeName::VisibilityTimeout, seconds).send().await.unwrap();
    };
    // A message goes to the dead-letter queue after five deliveries, 360 s apart, which is too long for a test.
    visible_again_after("1").await;
    let (one, two) = (triggered(&stack, "m1", json!([])).await, triggered(&stack, "m2", json!([])).await);
    let unreadable = format!("not JSON, {}", Stack::unique("p"));
    let bodies = [
        json!({ "workflow_id": one.id, "parameters": { "n": 1 } }).to_string(),
        unreadable.clone(),
        json!({ "workflow_id": two.id, "parameters": { "n": 2 } }).to_string(),
    ];
    let mut batch = stack.sqs.send_message_batch().queue_url(queue);
    for (n, body) in bodies.into_iter().enumerate() {
        batch = batch
            .entries(SendMessageBatchRequestEntry::builder().id(format!("m{n}")).message_body(body).build().unwrap());
    }
    assert!(batch.send().await.unwrap().failed().is_empty());
    for (flow, n) in [(&one, "1"), (&two, "2")] {
        let runs = runs(flow).await;
        let ended = runs[0].end().await;
        ended.succeeded();
        assert_eq!(ended.run.requested_by, Origin::Queue);
        assert_eq!(flow.sql("select n from {s}.k").await, [[n]]);
    }
    let begun = Instant::now();
    loop {
        let dead = stack.sqs.receive_message().queue_url(stack.output("RequestDeadLetterQueue")).visibility_timeout(1);
        let dead = dead.max_number_of_messages(10).send().await.unwrap();
        if dead.messages().iter().any(|message| message.body() == Some(&unreadable)) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "the unreadable message did not arrive in the dead-letter queue");
        sleep(Duration::from_millis(500)).await;
    }
    visible_again_after("360").await;
    for flow in [&one, &two] {
        assert_eq!(runs(flow).await.len(), 1, "a message was processed twice");
    }
}
