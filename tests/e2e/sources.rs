//! Runs are requested by queues, files, events and other workflows.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::{Value, json};
use shiftwork_e2e::{Flow, Run, Stack};
use shiftwork_protocol::{Cause, Status, audit::Origin};
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
        let runs = flow.runs().await;
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

/// Workflows that follow the failure of another one: by its run, and by its job.
#[tokio::test]
async fn a_failed_run_and_a_failed_job_start_the_workflows_that_follow_them() {
    let stack = Stack::shared().await;
    let stages = json!([{ "execution_type": "sequential", "scripts": ["a.sql"] }]);
    let first = stack.push("failing", json!({ "workflow_stages": stages }), &[("a.sql", "select nothing")]).await;
    let detail = json!({ "workflow_id": [first.id], "execution_status": ["FAILED"] });
    let after = |kind: &str, key: &str| {
        let pattern = json!({ "source": ["shiftwork"], "detail-type": [kind], "detail": detail });
        json!([{ "pattern": pattern, "parameters": { "key": key } }])
    };
    let of_run = triggered(&stack, "ofrun", after("Shiftwork Run Ended", "$.detail.workflow_execution_id")).await;
    let of_job = triggered(&stack, "ofjob", after("Shiftwork Job Ended", "$.detail.job_name")).await;
    let run = first.start().await;
    assert_eq!(run.end().await.run.execution_status, Status::Failed);
    for (flow, key) in [(&of_run, run.id.as_str()), (&of_job, "a.sql")] {
        let runs = runs(flow).await;
        let ended = runs[0].end().await;
        ended.succeeded();
        let cause = Cause { workflow_id: first.id.clone(), workflow_execution_id: run.id.clone() };
        assert_eq!(ended.run.caused_by, [cause]);
        assert_eq!(flow.sql("select key from {s}.k").await, [[key]]);
        assert_eq!(self::runs(flow).await.len(), 1);
    }
}

/// Two workflows that start each other, pushed without validation.
#[tokio::test]
async fn a_circle_of_workflows_stops_with_a_failed_run_and_a_message() {
    let stack = Stack::shared().await;
    let after = |id: &str| json!([{ "pattern": { "source": ["shiftwork"], "detail-type": ["Shiftwork Workflow Refreshed"], "detail": { "workflow_id": [id] } } }]);
    let a = triggered(&stack, "circle", json!([])).await;
    let b = triggered(&stack, "circle", after(&a.id)).await;
    let workflow = json!({ "triggers": after(&b.id), "parameters": { "n": { "type": "integer", "default": 0 }, "key": { "type": "string", "default": "-" } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    a.push(workflow).await;
    let first = a.start().await;
    let begun = Instant::now();
    let refused = loop {
        let mut records = Vec::new();
        for run in runs(&a).await.into_iter().chain(b.runs().await) {
            records.extend(run.record().await);
        }
        let refused: Vec<_> = records.into_iter().filter(|run| run.caused_by.len() > 10).collect();
        if let [run] = &refused[..] {
            break run.clone();
        }
        assert!(refused.is_empty(), "{refused:#?}");
        assert!(begun.elapsed().as_secs() < 120, "the circle did not stop");
        sleep(Duration::from_millis(500)).await;
    };
    assert_eq!((refused.execution_status, refused.jobs), (Status::Failed, 0));
    assert_eq!(refused.caused_by[0].workflow_execution_id, first.id);
    let error = refused.error_message.as_deref().unwrap();
    assert!(error.contains("more than 10 runs led to this run") && error.contains(&first.id), "{error}");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(runs(&a).await.len() + b.runs().await.len(), 12, "nothing follows the run that was refused");
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
async fn a_message_that_is_neither_request_nor_event_goes_to_the_dead_letter_queue_alone() {
    let stack = Stack::shared().await;
    let queue = stack.output("RequestQueue");
    let visible_again_after = async |seconds: &str| {
        let set = stack.sqs.set_queue_attributes().queue_url(queue);
        set.attributes(QueueAttributeName::VisibilityTimeout, seconds).send().await.unwrap();
    };
    // A message goes to the dead-letter queue after five deliveries, 360 s apart, which is too long for a test.
    visible_again_after("1").await;
    let (one, two) = (triggered(&stack, "m1", json!([])).await, triggered(&stack, "m2", json!([])).await);
    let mark = Stack::unique("p");
    let unreadable = [
        format!("not JSON, {mark}"),
        json!({ "workfow_id": one.id, "mark": mark }).to_string(),
        json!([mark]).to_string(),
        json!(mark).to_string(),
        json!({ "workflow_id": one.id, "parametres": { "mark": mark } }).to_string(),
    ];
    let mut bodies = vec![json!({ "workflow_id": one.id, "parameters": { "n": 1 } }).to_string()];
    bodies.extend(unreadable.iter().cloned());
    bodies.push(json!({ "workflow_id": two.id, "parameters": { "n": 2 } }).to_string());
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
    let mut left: BTreeSet<String> = unreadable.into();
    loop {
        let dead = stack.sqs.receive_message().queue_url(stack.output("RequestDeadLetterQueue")).visibility_timeout(1);
        let dead = dead.max_number_of_messages(10).send().await.unwrap();
        for message in dead.messages() {
            left.remove(message.body().unwrap_or_default());
        }
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "these messages did not arrive in the dead-letter queue: {left:#?}");
        sleep(Duration::from_millis(500)).await;
    }
    visible_again_after("360").await;
    for flow in [&one, &two] {
        assert_eq!(runs(flow).await.len(), 1, "a message was processed twice");
    }
}

#[tokio::test]
async fn an_event_in_a_message_starts_the_matching_workflow() {
    let stack = Stack::shared().await;
    let topic = Stack::unique("topic");
    let pattern = json!({ "source": ["program"], "detail": { "topic": [topic] } });
    let flow = triggered(&stack, "queued", json!([{ "pattern": pattern, "parameters": { "n": "$.detail.n" } }])).await;
    let event = json!({ "source": "program", "detail-type": "Batch Ready", "detail": { "topic": topic, "n": 7 } });
    let send = stack.sqs.send_message().queue_url(stack.output("RequestQueue")).message_body(event.to_string());
    send.send().await.unwrap();
    runs(&flow).await[0].end().await.succeeded();
    assert_eq!(flow.sql("select n from {s}.k").await, [["7"]]);
}
