//! Change events through event source mappings: Kinesis, a DynamoDB stream, and files in S3 through the queue. The
//! local stack has no Kafka broker; other tests deliver Kafka batches directly.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shiftwork_e2e::Stack;

/// The sources that `local/stack/sources.py` creates.
const STREAM: &str = "shiftwork-changes";
const TABLE: &str = "shiftwork-changes";
const BUCKET: &str = "shiftwork-change-files";

#[tokio::test]
async fn a_kinesis_stream_is_staged() {
    let stack = Stack::shared().await;
    let orders = stack.changes("kinesis", "").await;
    for (id, lsn) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
        let put = stack.kinesis.put_record().stream_name(STREAM).partition_key(format!("{}{id}", orders.flow.id));
        let order = orders.order(id, Some("new"), lsn).to_string();
        put.data(order.into_bytes().into()).send().await.unwrap();
    }
    let begun = std::time::Instant::now();
    let mut rows = Vec::new();
    while rows.len() < 4 {
        assert!(begun.elapsed().as_secs() < 60, "only {rows:?} arrived through Kinesis");
        orders.until_staged(1).await;
        orders.load().await.succeeded();
        rows = orders.orders().await;
    }
    assert_eq!(rows, ["1 new", "2 new", "3 new", "4 new"]);
}

#[tokio::test]
async fn a_dynamodb_stream_is_staged() {
    // All tests share the table, and so its contract.
    let stack = Stack::exclusive().await;
    let items = stack.changes("dynamodb", "").await;
    items.contract_of("dynamodb", TABLE, "").await;
    let text = |text: &str| AttributeValue::S(text.into());
    let put = |id: &str, status: &str| {
        let put = stack.dynamodb.put_item().table_name(TABLE).item("id", text(id)).item("status", text(status));
        put.send()
    };
    let key = |n: u32| format!("{}-{n}", &items.flow.id[items.flow.id.len() - 6..]);
    for (n, status) in [(1, "new"), (2, "new"), (1, "paid")] {
        put(&key(n), status).await.unwrap();
    }
    stack.dynamodb.delete_item().table_name(TABLE).key("id", text(&key(2))).send().await.unwrap();
    put(&key(3), "last").await.unwrap();
    let wanted = [format!("{} paid", key(1)), format!("{} last", key(3))];
    let begun = std::time::Instant::now();
    let mut rows = Vec::new();
    while rows != wanted {
        assert!(begun.elapsed().as_secs() < 60, "only {rows:?} arrived through the stream");
        items.load().await.succeeded();
        let found = items
            .flow
            .sql(&format!(
                "select count(*) from pg_tables where schemaname = '{}' and tablename = 'orders'",
                items.flow.id
            ))
            .await;
        rows = if found[0][0] == "1" { items.orders().await } else { Vec::new() };
    }
    let contract = shiftwork_protocol::keys::contract_key(&items.flow.id);
    stack.s3.delete_object().bucket(stack.output("ScriptsBucket")).key(contract).send().await.unwrap();
}

#[tokio::test]
async fn files_in_s3_are_staged_by_their_notification() {
    let stack = Stack::shared().await;
    let orders = stack.changes("files", "").await;
    let lines = |from: u64, to: u64| -> String {
        let lines: Vec<_> = (from..to).map(|n| orders.order(n, Some("new"), 10 * n).to_string() + "\n").collect();
        lines.concat()
    };
    let key = |name: &str| format!("{}/part {name}+ü.ndjson", orders.flow.id);
    for (name, text) in [("1", lines(1, 4)), ("2", lines(4, 6) + "{\"broken\n")] {
        let put =
            stack.s3.put_object().bucket(BUCKET).key(key(name)).body(text.into_bytes().into()).send().await.unwrap();
        let version = put.version_id().unwrap();
        // In the format of EventBridge, and in the format of S3 notifications.
        let notice = if name == "1" {
            json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-21T10:00:00Z", "detail": { "bucket": { "name": BUCKET }, "object": { "key": key(name), "version-id": version } } })
        } else {
            let encoded = key(name).replace('+', "%2B").replace(' ', "+").replace('ü', "%C3%BC");
            json!({ "Records": [{ "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-11-21T10:00:00.000Z",
                "eventName": "ObjectCreated:Put", "userIdentity": { "principalId": "p" }, "requestParameters": {}, "responseElements": {},
                "s3": { "bucket": { "name": BUCKET }, "object": { "key": encoded, "versionId": version, "eTag": "t" } } }] })
        };
        // SQS delivers at least once.
        orders.send(&notice).await;
        orders.send(&notice).await;
    }
    orders.until_staged(2).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "2 new", "3 new", "4 new", "5 new"]);
}

#[tokio::test]
async fn unclaimed_events_are_stored_with_a_proposed_contract() {
    let stack = Stack::shared().await;
    let orders = stack.changes("unclaimed", "").await;
    let bucket = stack.output("ScriptsBucket");
    let contract = shiftwork_protocol::keys::contract_key(&orders.flow.id);
    stack.s3.delete_object().bucket(bucket).key(&contract).send().await.unwrap();
    orders.deliver(&orders.batch(0, 0, &[orders.order(1, Some("new"), 10), orders.order(2, Some("new"), 20)])).await;
    let waiting =
        orders.objects(&shiftwork_protocol::keys::unclaimed_prefix(&format!("public.{}", orders.flow.id))).await;
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert!(
        waiting[0].contains("/contract.")
            && waiting[0].rsplit('.').next() == Some("yaml")
            && waiting[1].ends_with(".ndjson.gz"),
        "{waiting:?}"
    );

    orders.contract("").await;
    let head = stack.s3.head_object().bucket(stack.output("StagingBucket")).key(&waiting[1]).send().await.unwrap();
    let object = json!({ "key": waiting[1], "version-id": head.version_id() });
    orders.send(&json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-21T10:00:00Z", "detail": { "bucket": { "name": stack.output("StagingBucket") }, "object": object } })).await;
    stack.s3.delete_object().bucket(stack.output("StagingBucket")).key(&waiting[1]).send().await.unwrap();
    orders.until_staged(1).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "2 new"]);
}
