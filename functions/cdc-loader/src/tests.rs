#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use shiftwork_ports::fake::{ManualClock, MemoryBucket, MemoryDeadLetters, MemoryObjects, MemoryRequests};
use shiftwork_protocol::change::Refused;

use super::*;

const ORDERS: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: status, type: varchar(16) }
workflow: shop
load_every: 30s
";

/// A loader and its fake collaborators.
struct Fixture {
    objects: Arc<MemoryObjects>,
    staging: Bucket,
    scripts: MemoryBucket,
    requests: Arc<MemoryRequests>,
    dead_letters: Arc<MemoryDeadLetters>,
    loader: Loader,
}

impl Fixture {
    fn new(contracts: &[(&str, &str)]) -> Self {
        Self::over(MemoryObjects::versioned(), contracts)
    }

    fn over(objects: MemoryObjects, contracts: &[(&str, &str)]) -> Self {
        let objects = Arc::new(objects);
        let scripts = MemoryBucket::of(objects.clone(), "scripts");
        let staging = Bucket::new(objects.clone(), "staging");
        let (requests, dead_letters) = (Arc::<MemoryRequests>::default(), Arc::<MemoryDeadLetters>::default());
        for (name, text) in contracts {
            scripts.put(&shiftwork_protocol::keys::contract_key(name), *text);
        }
        let with = Collaborators {
            staging: staging.clone(),
            files: objects.clone(),
            scripts: scripts.bucket(),
            requests: requests.clone(),
            dead_letters: dead_letters.clone(),
            clock: Arc::<ManualClock>::default(),
        };
        let loader = Loader::new(with);
        Self { objects, staging, scripts, requests, dead_letters, loader }
    }

    async fn keys(&self) -> Vec<String> {
        let all = self.staging.list("").await.unwrap().into_iter().map(|object| object.key);
        // Without the marks for schema-watcher.
        all.filter(|key| !key.starts_with("drift/")).collect()
    }

    /// The rows of all staged files, in the order of the keys.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for object in self.staging.list("staged/").await.unwrap() {
            let compressed = self.staging.get(&object.key).await.unwrap().unwrap();
            let text = String::from_utf8(zstd::stream::decode_all(&compressed[..]).unwrap()).unwrap();
            rows.extend(text.lines().map(str::to_owned));
        }
        rows
    }

    fn refused(&self) -> Vec<Refused> {
        self.dead_letters.messages().iter().map(|record| serde_json::from_str(record).unwrap()).collect()
    }

    async fn message(&self, body: &Value) -> Vec<String> {
        let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() }] });
        let response = self.loader.handle(event).await.unwrap();
        let failed = response["batchItemFailures"].as_array().unwrap();
        failed.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/cdc-loader/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A Debezium event: order `id` has this status since position `lsn`.
fn order(id: u64, status: &str, lsn: u64) -> Value {
    json!({
        "before": null, "after": { "id": id, "status": status }, "op": "c", "ts_ms": lsn,
        "source": { "connector": "postgresql", "name": "shop", "db": "shop", "schema": "public", "table": "orders",
                    "ts_ms": lsn, "lsn": lsn, "txId": 1, "snapshot": "false" },
    })
}

fn kafka(partition: i64, from: i64, values: &[String]) -> Value {
    let records: Vec<_> = values
        .iter()
        .zip(from..)
        .map(|(value, offset)| {
            json!({ "topic": "shop", "partition": partition, "offset": offset, "timestamp": 0, "timestampType": "CREATE_TIME",
                    "key": null, "value": BASE64.encode(value), "headers": [] })
        })
        .collect();
    json!({ "eventSource": "aws:kafka", "records": { "shop-0": records } })
}

/// The event of EventBridge for the first version of an object.
fn object_created(bucket: &str, key: &str) -> Value {
    json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-21T10:00:00Z",
        "detail": { "bucket": { "name": bucket }, "object": { "key": key, "version-id": "1" } } })
}

#[tokio::test]
async fn an_event_of_s3_may_come_through_sns_and_with_the_prefix_of_its_configuration() {
    let record = |name: &str| {
        json!({ "Records": [{ "eventSource": "aws:s3", "eventName": name, "eventTime": "2026-11-21T10:00:00Z",
            "s3": { "bucket": { "name": "lake" }, "object": { "key": "in.ndjson", "size": 5, "versionId": "1" } } }] })
    };
    let wrapped = |message: &Value| {
        json!({ "Type": "Notification", "MessageId": "00000000-0000-4000-8000-000000000000",
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:changes", "Message": message.to_string() })
    };
    for message in [
        wrapped(&record("ObjectCreated:Put")),
        record("s3:ObjectCreated:Put"),
        wrapped(&object_created("lake", "in.ndjson")),
    ] {
        let fixture = Fixture::new(&[("orders", ORDERS)]);
        MemoryBucket::of(fixture.objects.clone(), "lake").put("in.ndjson", order(1, "new", 1).to_string());
        assert!(fixture.message(&message).await.is_empty(), "{message}");
        assert_eq!(fixture.rows().await.len(), 1, "{message}");
    }
}

#[tokio::test]
async fn a_notification_through_sns_loads_its_file() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let changes = MemoryBucket::of(fixture.objects.clone(), "shop-changes");
    changes.put("orders/2026-11-21/part 1+x.ndjson.gz", order(1, "new", 1).to_string());
    let event = sample("files-sns").to_string().replace("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY", "1");
    let response = fixture.loader.handle(serde_json::from_str(&event).unwrap()).await.unwrap();
    assert_eq!(response, json!({ "batchItemFailures": [] }));
    assert_eq!(fixture.rows().await.len(), 1);
}

#[tokio::test]
async fn an_object_that_was_deleted_is_not_read() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let mut deleted = object_created("lake", "in.ndjson");
    deleted["detail-type"] = json!("Object Deleted");
    assert!(fixture.message(&deleted).await.is_empty());
    assert!(fixture.refused().is_empty(), "a deleted object is not refused as missing");
}

#[tokio::test]
async fn a_batch_of_kafka_is_staged_by_contract_and_partition() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    fixture.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(
        fixture.keys().await,
        [
            "staged/orders/kafka%2Fshop.public.orders%2F0/00000000000000000041-00000000000000000043.c2.csv.zst",
            "unclaimed/public.customers/contract.shop.shop.yaml",
            "unclaimed/public.customers/kafka%2Fshop.public.customers%2F1/00000000000000000007-00000000000000000007.ndjson.gz",
        ]
    );
    let rows = fixture.rows().await;
    let begins: Vec<_> = rows.iter().map(|row| row.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(begins, ["1001,new", "1001,paid", "1001,paid"]);
    assert!(fixture.refused().is_empty(), "a tombstone is not refused");
}

#[tokio::test]
async fn a_file_with_a_field_without_a_column_writes_its_key_and_types_to_a_mark() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let mut coloured = order(2, "new", 20);
    fixture.loader.handle(kafka(0, 0, &[order(1, "new", 10).to_string()])).await.unwrap();
    assert_eq!(fixture.staging.get("drift/orders").await, Ok(None), "every field has a column");
    for (offset, colour) in [(1, "red"), (2, "green")] {
        coloured["after"]["colour"] = json!(colour);
        fixture.loader.handle(kafka(0, offset, &[coloured.to_string()])).await.unwrap();
        let mark = mark(&fixture).await;
        assert_eq!(Some(&mark.staged), fixture.keys().await.last(), "a mark has the key of its file");
        assert!(mark.types.is_empty(), "the events have no schema");
    }
    let field = |name: &str, connect: &str| json!({ "field": name, "type": connect });
    let row =
        json!({ "field": "after", "type": "struct", "fields": [field("id", "int64"), field("colour", "double")] });
    let enveloped = json!({ "schema": { "type": "struct", "fields": [row] }, "payload": coloured });
    fixture.loader.handle(kafka(0, 3, &[enveloped.to_string()])).await.unwrap();
    let types = mark(&fixture).await.types;
    assert_eq!(types["colour"].column_type, "double precision");
    assert_eq!(types.len(), 1, "only fields without a column: {types:?}");
}

/// The drift mark of the contract `orders`.
async fn mark(fixture: &Fixture) -> shiftwork_protocol::drift::DriftMark {
    serde_json::from_slice(&fixture.staging.get("drift/orders").await.unwrap().unwrap()).unwrap()
}

/// Debezium Server writes the record's key as the partition key of Kinesis. A delete of MongoDB has the document's id nowhere else.
#[tokio::test]
async fn a_delete_of_mongodb_over_kinesis_has_its_key() {
    let documents = "
contract: documents
source: { format: debezium-mongodb, table: shop.documents }
target: { schema: shop, table: documents }
key: [_id]
columns: [{ name: _id, type: varchar(16) }]
";
    let fixture = Fixture::new(&[("documents", documents)]);
    let source = json!({ "connector": "mongodb", "name": "m", "db": "shop", "collection": "documents", "ts_ms": 1_700_000_000_000_u64, "ord": 1 });
    let delete = json!({ "before": null, "after": null, "op": "d", "source": source }).to_string();
    let mut event = sample("kinesis");
    let records = event["Records"].as_array_mut().unwrap();
    records.truncate(1);
    records[0]["kinesis"]["data"] = BASE64.encode(delete).into();
    records[0]["kinesis"]["partitionKey"] = r#"{"id":"\"k\""}"#.into();
    fixture.loader.handle(event).await.unwrap();
    assert!(fixture.refused().is_empty(), "{:?}", fixture.refused());
    assert!(fixture.rows().await[0].starts_with("k,"), "{:?}", fixture.rows().await);
}

#[tokio::test]
async fn kinesis_and_dynamodb_batches_are_staged() {
    let carts = "
contract: carts
source: { format: dynamodb, table: carts }
target: { schema: shop, table: carts }
key: [id]
columns: [{ name: id, type: varchar(16) }, { name: items, type: integer }, { name: open, type: boolean }]
";
    let fixture = Fixture::new(&[("orders", ORDERS), ("carts", carts)]);
    fixture.loader.handle(sample("kinesis")).await.unwrap();
    let keys = fixture.keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys[0].starts_with("staged/carts/kinesis%2Fshop-changes%2FshardId-000000000001/"), "{keys:?}");
    assert!(keys[1].starts_with("staged/orders/kinesis%2Fshop-changes%2FshardId-000000000001/"), "{keys:?}");

    let fixture = Fixture::new(&[("carts", carts)]);
    fixture.loader.handle(sample("dynamodb")).await.unwrap();
    let (keys, rows) = (fixture.keys().await, fixture.rows().await);
    assert!(keys[0].starts_with("staged/carts/dynamodb%2Fcarts%2F4421584500000000017450439091/"), "{keys:?}");
    assert_eq!(rows.len(), 3);
    assert!(fixture.requests.requests().is_empty(), "the contract names no workflow");
}

#[tokio::test]
async fn a_redelivered_batch_writes_the_same_objects_and_requests_the_same_run() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    fixture.loader.handle(sample("kafka")).await.unwrap();
    let once: Vec<_> = futures::future::join_all(fixture.keys().await.into_iter().map(|key| async move { key })).await;
    let first = fixture.staging.get(&once[0]).await;
    fixture.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(fixture.keys().await, once);
    assert_eq!(fixture.staging.get(&once[0]).await, first);
    let asked = fixture.requests.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[0].0.workflow_id, "shop");
    assert_eq!(asked[0].0.workflow_execution_id.as_deref(), Some("shop-20251218T000030"));
}

#[tokio::test]
async fn invalid_records_go_to_the_dead_letter_queue_and_the_others_are_staged() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let no_key = json!({ "before": null, "after": { "status": "new" }, "op": "c", "ts_ms": 1, "source": order(1, "", 1)["source"] });
    let values = [
        order(1, "new", 1).to_string(),
        "{\"half".into(),
        no_key.to_string(),
        "[]".into(),
        order(2, "new", 2).to_string(),
    ];
    fixture.loader.handle(kafka(0, 10, &values)).await.unwrap();
    assert_eq!(fixture.rows().await.len(), 2);
    let refused = fixture.refused();
    let kinds: Vec<_> = refused
        .iter()
        .map(|record| (record.refused.offset.trim_start_matches('0'), record.kind.as_str(), record.contract.as_deref()))
        .collect();
    assert_eq!(kinds, [("11", "not-json", None), ("12", "no-key", Some("orders")), ("13", "not-an-event", None)]);
    assert_eq!(refused[0].refused.record, Bytes::Base64(BASE64.encode("{\"half")));
    assert_eq!(refused[0].refused.partition, "kafka/shop/0");
}

#[tokio::test]
async fn a_refused_record_that_exceeds_a_message_is_an_object_and_can_be_replayed() {
    let strict = ORDERS.replace("load_every: 30s", "load_every: 30s\nunknown: freeze");
    let fixture = Fixture::new(&[("orders", &strict)]);
    let mut long = order(1, "new", 1);
    long["after"]["note"] = json!("x".repeat(300_000));
    fixture.loader.handle(kafka(0, 10, &[long.to_string()])).await.unwrap();
    assert!(fixture.rows().await.is_empty());
    let record = fixture.refused().remove(0);
    assert_eq!(record.kind, "frozen");
    assert_eq!(record.refused.record, Bytes::Object("refused/kafka%2Fshop%2F0/00000000000000000010".into()));

    fixture.scripts.put(&shiftwork_protocol::keys::contract_key("orders"), ORDERS);
    assert!(fixture.message(&json!({ "replay": record.refused })).await.is_empty());
    let keys = fixture.keys().await;
    let key =
        "staged/orders/replay%2Fkafka%2Fshop%2F0%2F0000000000000000000000000000000000000000000000000000000000000010/";
    assert!(keys.iter().any(|found| found.starts_with(key)), "{keys:?}");
    assert_eq!(fixture.rows().await.len(), 1);
}

#[test]
fn a_panic_on_one_item_does_not_affect_the_others() {
    let done = isolate_panics(&[1, 2, 0, 4, 0], |items, broken| {
        let good = items.iter().enumerate().filter(|(at, _)| !broken.contains(at));
        (good.map(|(_, item)| 8 / item).collect::<Vec<_>>(), broken.clone())
    });
    assert_eq!(done, (vec![8, 4, 2], [2, 4].into()));
}

#[tokio::test]
async fn a_record_with_a_key_of_any_length_fits_into_a_message() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let mut batch = kafka(0, 10, &["{\"half".into()]);
    batch["records"]["shop-0"][0]["key"] = json!(BASE64.encode(vec![b'k'; 500_000]));
    // A header of an unexpected type.
    batch["records"]["shop-0"][0]["headers"] = json!([{ "a": null }, "b"]);
    fixture.loader.handle(batch).await.unwrap();
    let record = fixture.refused().remove(0);
    assert!(matches!(record.refused.record, Bytes::Object(_)), "{record:?}");
    assert!(fixture.message(&json!({ "replay": record.refused })).await.is_empty());
    assert_eq!(fixture.refused().len(), 2);
}

#[tokio::test]
async fn a_replay_that_is_refused_again_sends_the_same_message() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    fixture.loader.handle(kafka(0, 10, &["{\"half".into()])).await.unwrap();
    let record = fixture.refused().remove(0);
    assert!(fixture.message(&json!({ "replay": record.refused })).await.is_empty());
    assert_eq!(fixture.refused(), [record.clone(), record]);
}

#[tokio::test]
async fn the_servers_of_a_contract_that_names_none_are_seen() {
    for (server, wanted) in [("", Some("shop, tenant_b, x")), (", server: '*'", None), (", server: shop", None)] {
        let contract = ORDERS.replace("table: public.orders", &format!("table: public.orders{server}"));
        assert!(server.is_empty() || contract != ORDERS, "{contract}");
        let fixture = Fixture::new(&[("orders", &contract)]);
        let mut other = order(2, "new", 2);
        other["source"]["name"] = "tenant_b".into();
        fixture.loader.handle(kafka(0, 0, &[order(1, "new", 1).to_string()])).await.unwrap();
        fixture.loader.handle(kafka(1, 0, &[other.to_string()])).await.unwrap();
        let seen = fixture.loader.servers.add("orders", &["x".to_owned()].into());
        assert_eq!(seen.as_deref(), wanted, "{server}");
        assert_eq!(fixture.rows().await.len(), if server == ", server: shop" { 1 } else { 2 });
    }
}

/// The tables of tenants come in batches of their own.
#[tokio::test]
async fn proposals_of_two_batches_do_not_have_one_table() {
    let fixture = Fixture::new(&[]);
    for (partition, server, database) in [(0, "tenant_a", "crm"), (1, "tenant_b", "crm"), (2, "tenant_b", "erp")] {
        let mut event = order(1, "new", 1);
        (event["source"]["name"], event["source"]["db"]) = (server.into(), database.into());
        fixture.loader.handle(kafka(partition, 0, &[event.to_string()])).await.unwrap();
    }
    let mut contracts = Vec::new();
    for key in fixture.keys().await.iter().filter(|key| key.contains("/contract.")) {
        let text = String::from_utf8(fixture.staging.get(key).await.unwrap().unwrap()).unwrap();
        contracts.push(shiftwork_change_data::contract::read(key, &text).unwrap());
    }
    let names: Vec<&str> = contracts.iter().map(shiftwork_change_data::contract::TableContract::name).collect();
    assert_eq!(names, ["tenant_a_crm_public_orders", "tenant_b_crm_public_orders", "tenant_b_erp_public_orders"]);
    let tables: Vec<&str> = contracts.iter().map(|contract| contract.target().table.as_str()).collect();
    assert_eq!(tables, names);
    assert_eq!(contracts[0].source().server.as_deref(), Some("tenant_a"));
}

#[tokio::test]
async fn unclaimed_records_are_staged_once_a_contract_claims_them() {
    let fixture = Fixture::new(&[]);
    let values = [order(1, "new", 1).to_string(), order(2, "new", 2).to_string()];
    fixture.loader.handle(kafka(3, 10, &values)).await.unwrap();
    let [proposed, key] = &fixture.keys().await[..] else { panic!("expected a proposed contract and a file") };
    assert!(key.starts_with("unclaimed/public.orders/kafka%2Fshop%2F3/"), "{key}");
    let proposed = String::from_utf8(fixture.staging.get(proposed).await.unwrap().unwrap()).unwrap();
    let contract = shiftwork_change_data::contract::read("contract.yaml", &proposed).unwrap();
    assert!(contract.source().table.ends_with("public.orders"), "{}", contract.source().table);

    fixture.scripts.put(&shiftwork_protocol::keys::contract_key("orders"), ORDERS);
    let notice = object_created("staging", key);
    assert!(fixture.message(&notice).await.is_empty());
    assert_eq!(fixture.rows().await.len(), 2);
    assert!(fixture.refused().is_empty());
}

/// Changes at one place of the source have the order of their first delivery, whether they are replayed from a message or from a file.
#[tokio::test]
async fn a_replayed_record_has_the_position_that_it_had_at_first() {
    for generation in [0, 3] {
        let contract = format!(
            "contract: orders\nsource: {{ format: debezium, table: orders, generation: {generation} }}\n\
             target: {{ schema: shop, table: orders }}\nkey: [id]\ncolumns:\n  - {{ name: id, type: bigint }}\nworkflow: shop\n"
        );
        let event = json!({ "after": { "id": 1 }, "op": "c", "source": { "connector": "vitess", "table": "orders", "ts_ms": 1 } });
        let values = [event.to_string()];
        let position = |row: &str| row.split(',').find(|field| field.contains('#')).unwrap().to_owned();

        let direct = Fixture::new(&[("orders", &contract)]);
        direct.loader.handle(kafka(0, 10, &values)).await.unwrap();
        let wanted = position(&direct.rows().await[0]);

        let unclaimed = Fixture::new(&[]);
        unclaimed.loader.handle(kafka(0, 10, &values)).await.unwrap();
        let key = unclaimed.keys().await.into_iter().find(|key| key.ends_with(".ndjson.gz")).unwrap();
        unclaimed.scripts.put(&shiftwork_protocol::keys::contract_key("orders"), contract.as_str());
        assert!(unclaimed.message(&object_created("staging", &key)).await.is_empty());
        assert_eq!(position(&unclaimed.rows().await[0]), wanted, "from a file");

        let replayed = Fixture::new(&[("orders", &contract)]);
        let record = Replay {
            partition: "kafka/shop/0".into(),
            offset: Offset::number(10).to_string(),
            key: None,
            record: Bytes::Base64(BASE64.encode(&values[0])),
        };
        assert!(replayed.message(&json!({ "replay": record })).await.is_empty());
        assert_eq!(position(&replayed.rows().await[0]), wanted, "from a message");
    }
}

#[tokio::test]
async fn no_run_is_requested_if_a_write_fails() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    fixture.objects.set_unavailable(true);
    let failure = fixture.loader.handle(sample("kafka")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(fixture.requests.requests().is_empty() && fixture.refused().is_empty());
    fixture.objects.set_unavailable(false);
    fixture.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(fixture.requests.requests().len(), 1);
}

#[tokio::test]
async fn only_the_message_that_fails_is_returned() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let changes = MemoryBucket::of(fixture.objects.clone(), "shop-changes");
    for key in ["orders/2026-11-21/part 1+x.ndjson.gz", "orders/2026-11-21/part 2.ndjson"] {
        changes.put(key, order(1, "new", 1).to_string());
    }
    let etag = &changes.files()["orders/2026-11-21/part 2.ndjson"].head.etag;
    let event = sample("files").to_string();
    let event = event.replace("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY", "1");
    let mut event: Value = serde_json::from_str(&event.replace("b1946ac92492d2347c6235b4d2611184", etag)).unwrap();
    event["Records"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "eventSource": "aws:sqs", "messageId": "broken", "body": "{" }));
    let response = fixture.loader.handle(event).await.unwrap();
    assert_eq!(response, json!({ "batchItemFailures": [{ "itemIdentifier": "broken" }] }));
    assert_eq!(fixture.rows().await.len(), 2);
    assert!(fixture.refused().is_empty(), "{:?}", fixture.refused());
}

#[tokio::test]
async fn a_file_that_is_missing_or_damaged_is_refused() {
    let fixture = Fixture::new(&[("orders", ORDERS)]);
    assert_eq!(
        fixture.message(&json!({ "Records": sample("files")["Records"] })).await,
        ["m"],
        "a Lambda event is not a valid message"
    );
    fixture.loader.handle(sample("files")).await.unwrap();
    let kinds: Vec<_> = fixture.refused().into_iter().map(|record| (record.kind, record.refused.record)).collect();
    assert_eq!(kinds, vec![("file-gone".to_owned(), Bytes::Lost {}); 2]);

    let fixture = Fixture::new(&[("orders", ORDERS)]);
    let mut gzip = compressed(&[order(1, "new", 1).to_string(), order(2, "new", 2).to_string()].join("\n"));
    gzip.truncate(gzip.len() - 4);
    file(&fixture, gzip).await;
    assert_eq!(fixture.refused().remove(0).kind, "broken-file");
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Writes a file of change events and delivers its S3 event.
async fn file(fixture: &Fixture, body: Vec<u8>) {
    MemoryBucket::of(fixture.objects.clone(), "lake").put("in.ndjson", body);
    let notice = object_created("lake", "in.ndjson");
    assert!(fixture.message(&notice).await.is_empty());
}

#[tokio::test]
async fn two_contracts_of_one_table_both_get_its_rows() {
    let history = ORDERS
        .replace("contract: orders", "contract: order_history")
        .replace("table: orders }", "table: order_history }");
    let fixture = Fixture::new(&[("orders", ORDERS), ("order_history", &history)]);
    fixture.loader.handle(sample("kafka")).await.unwrap();
    let staged = fixture.keys().await.into_iter().filter(|key| key.starts_with("staged/"));
    assert_eq!(
        staged.map(|key| key.split('/').nth(1).unwrap().to_owned()).collect::<Vec<_>>(),
        ["order_history", "orders"]
    );
    assert_eq!(fixture.rows().await.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The staged files of a file do not depend on compression or the size of its pieces. They have each valid line once, and each
    /// invalid line is refused.
    #[test]
    fn a_file_is_staged_the_same_in_any_encoding_and_pieces(
        lines in prop::collection::vec(prop_oneof![9 => (1..50_u64).prop_map(Some), 1 => Just(None)], 0..60),
        cut in 200..3_000_usize, pieces in prop::collection::vec(1..500_usize, 2),
    ) {
        let text: Vec<_> = lines
            .iter()
            .zip(1..)
            .map(|(line, lsn)| line.map_or_else(|| "{\"broken".into(), |id| order(id, "new", lsn).to_string()))
            .collect();
        let text = text.join("\n");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut staged = Vec::new();
        for (body, piece) in [(text.clone().into_bytes(), pieces[0]), (compressed(&text), pieces[1])] {
            let mut fixture = Fixture::over(MemoryObjects::versioned().in_pieces_of(piece), &[("orders", ORDERS)]);
            fixture.loader.file_bytes = cut;
            runtime.block_on(file(&fixture, body));
            let rows = runtime.block_on(fixture.rows());
            prop_assert_eq!(rows.len(), lines.iter().flatten().count());
            prop_assert_eq!(fixture.refused().len(), lines.iter().filter(|line| line.is_none()).count());
            staged.push((runtime.block_on(fixture.keys()), rows));
        }
        prop_assert_eq!(&staged[0], &staged[1]);
    }
}
