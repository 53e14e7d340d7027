#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use shiftwork_ports::{
    FileVersion, Object, Version,
    fake::{ManualClock, MemoryDeadLetters, MemoryFiles, MemoryRequests, MemoryScripts, MemoryStaging},
};
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

/// The collaborators, and a loader over them.
struct Desk {
    staging: Arc<Switched>,
    files: Arc<MemoryFiles>,
    scripts: Arc<MemoryScripts>,
    requests: Arc<MemoryRequests>,
    letters: Arc<MemoryDeadLetters>,
    loader: Loader,
}

/// A staging bucket that can be switched off.
#[derive(Default)]
struct Switched {
    bucket: MemoryStaging,
    off: AtomicBool,
}

#[async_trait]
impl Staging for Switched {
    async fn put(&self, key: &str, body: Vec<u8>) -> Result<()> {
        if self.off.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureKind::Unavailable, "S3 is away"));
        }
        self.bucket.put(key, body).await
    }
    async fn put_once(&self, key: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        self.bucket.put_once(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.bucket.get(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.bucket.list(prefix).await
    }
    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.bucket.delete(keys).await
    }
}

impl Desk {
    fn new(contracts: &[(&str, &str)]) -> Self {
        let (staging, files, scripts) =
            (Arc::<Switched>::default(), Arc::<MemoryFiles>::default(), Arc::<MemoryScripts>::default());
        let (requests, letters) = (Arc::<MemoryRequests>::default(), Arc::<MemoryDeadLetters>::default());
        for (name, text) in contracts {
            scripts.put(&shiftwork_planner::contract_key(name), text);
        }
        let with = Collaborators {
            staging: staging.clone(),
            files: files.clone(),
            scripts: scripts.clone(),
            requests: requests.clone(),
            dead_letters: letters.clone(),
            clock: Arc::<ManualClock>::default(),
        };
        let loader = Loader::new(with, "staging");
        Self { staging, files, scripts, requests, letters, loader }
    }

    async fn keys(&self) -> Vec<String> {
        let all = self.staging.list("").await.unwrap().into_iter().map(|object| object.key);
        // Marks for the schema-watcher are its own matter.
        all.filter(|key| !key.starts_with("drift/")).collect()
    }

    /// The rows of all staged files, in the order of the keys.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for object in self.staging.list("staged/").await.unwrap() {
            let packed = self.staging.get(&object.key).await.unwrap().unwrap();
            let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
            rows.extend(text.lines().map(str::to_owned));
        }
        rows
    }

    fn letters(&self) -> Vec<Refused> {
        self.letters.letters().iter().map(|letter| serde_json::from_str(letter).unwrap()).collect()
    }

    async fn message(&self, body: &Value) -> Vec<String> {
        let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() }] });
        let answer = self.loader.handle(event).await.unwrap();
        let failed = answer["batchItemFailures"].as_array().unwrap();
        failed.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/cdc-loader/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An event of Debezium: order `id` has this status since position `lsn`.
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

#[tokio::test]
async fn a_batch_of_kafka_is_staged_by_contract_and_partition() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    desk.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(
        desk.keys().await,
        [
            "staged/orders/kafka%2Fshop.public.orders%2F0/00000000000000000041-00000000000000000043.c2.csv.zst",
            "unclaimed/public.customers/contract.yaml",
            "unclaimed/public.customers/kafka%2Fshop.public.customers%2F1/00000000000000000007-00000000000000000007.ndjson.gz",
        ]
    );
    let rows = desk.rows().await;
    let begins: Vec<_> = rows.iter().map(|row| row.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(begins, ["1001,new", "1001,paid", "1001,paid"]);
    assert!(desk.letters().is_empty(), "a tombstone is no mistake");
}

#[tokio::test]
async fn a_file_with_what_no_column_takes_leaves_its_key_as_a_mark() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    let mut coloured = order(2, "new", 20);
    desk.loader.handle(kafka(0, 0, &[order(1, "new", 10).to_string()])).await.unwrap();
    assert_eq!(desk.staging.get("drift/orders").await, Ok(None), "every column takes its field");
    for (offset, colour) in [(1, "red"), (2, "green")] {
        coloured["after"]["colour"] = json!(colour);
        desk.loader.handle(kafka(0, offset, &[coloured.to_string()])).await.unwrap();
        let mark = String::from_utf8(desk.staging.get("drift/orders").await.unwrap().unwrap()).unwrap();
        assert_eq!(Some(&mark), desk.keys().await.last(), "a mark says of which file it is");
    }
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
    let desk = Desk::new(&[("orders", ORDERS), ("carts", carts)]);
    desk.loader.handle(sample("kinesis")).await.unwrap();
    let keys = desk.keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys[0].starts_with("staged/carts/kinesis%2Fshop-changes%2FshardId-000000000001/"), "{keys:?}");
    assert!(keys[1].starts_with("staged/orders/kinesis%2Fshop-changes%2FshardId-000000000001/"), "{keys:?}");

    let desk = Desk::new(&[("carts", carts)]);
    desk.loader.handle(sample("dynamodb")).await.unwrap();
    let (keys, rows) = (desk.keys().await, desk.rows().await);
    assert!(keys[0].starts_with("staged/carts/dynamodb%2Fcarts%2F4421584500000000017450439091/"), "{keys:?}");
    assert_eq!(rows.len(), 3);
    assert!(desk.requests.asked().is_empty(), "the contract names no workflow");
}

#[tokio::test]
async fn a_batch_that_comes_again_is_the_same_objects_and_the_same_run() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    desk.loader.handle(sample("kafka")).await.unwrap();
    let once: Vec<_> = futures::future::join_all(desk.keys().await.into_iter().map(|key| async move { key })).await;
    let first = desk.staging.get(&once[0]).await;
    desk.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(desk.keys().await, once);
    assert_eq!(desk.staging.get(&once[0]).await, first);
    let asked = desk.requests.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[0].0.workflow_id, "shop");
    assert_eq!(asked[0].0.workflow_execution_id.as_deref(), Some("shop-20251218T000030"));
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_and_its_neighbours_go_on() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    let no_key = json!({ "before": null, "after": { "status": "new" }, "op": "c", "ts_ms": 1, "source": order(1, "", 1)["source"] });
    let values = [
        order(1, "new", 1).to_string(),
        "{\"half".into(),
        no_key.to_string(),
        "[]".into(),
        order(2, "new", 2).to_string(),
    ];
    desk.loader.handle(kafka(0, 10, &values)).await.unwrap();
    assert_eq!(desk.rows().await.len(), 2);
    let letters = desk.letters();
    let told: Vec<_> = letters
        .iter()
        .map(|letter| (letter.refused.offset.trim_start_matches('0'), letter.kind.as_str(), letter.contract.as_deref()))
        .collect();
    assert_eq!(told, [("11", "not-json", None), ("12", "no-key", Some("orders")), ("13", "not-an-event", None)]);
    assert_eq!(letters[0].refused.record, Bytes::Base64(BASE64.encode("{\"half")));
    assert_eq!(letters[0].refused.partition, "kafka/shop/0");
}

#[tokio::test]
async fn a_refused_record_that_is_no_letter_is_an_object_and_can_be_replayed() {
    let strict = ORDERS.replace("load_every: 30s", "load_every: 30s\nunknown: freeze");
    let desk = Desk::new(&[("orders", &strict)]);
    let mut long = order(1, "new", 1);
    long["after"]["note"] = json!("x".repeat(300_000));
    desk.loader.handle(kafka(0, 10, &[long.to_string()])).await.unwrap();
    assert!(desk.rows().await.is_empty());
    let letter = desk.letters().remove(0);
    assert_eq!(letter.kind, "frozen");
    assert_eq!(letter.refused.record, Bytes::Object("refused/kafka%2Fshop%2F0/00000000000000000010".into()));

    desk.scripts.put(&shiftwork_planner::contract_key("orders"), ORDERS);
    assert!(desk.message(&json!({ "replay": letter.refused })).await.is_empty());
    let keys = desk.keys().await;
    let key =
        "staged/orders/replay%2Fkafka%2Fshop%2F0%2F0000000000000000000000000000000000000000000000000000000000000010/";
    assert!(keys.iter().any(|found| found.starts_with(key)), "{keys:?}");
    assert_eq!(desk.rows().await.len(), 1);
}

#[test]
fn what_breaks_over_an_item_does_the_others() {
    let done = without_breaking(&[1, 2, 0, 4, 0], |items, broken| {
        let good = items.iter().enumerate().filter(|(at, _)| !broken.contains(at));
        (good.map(|(_, item)| 8 / item).collect::<Vec<_>>(), broken.clone())
    });
    assert_eq!(done, (vec![8, 4, 2], [2, 4].into()));
}

#[tokio::test]
async fn a_key_of_any_length_fits_into_a_letter() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    let mut batch = kafka(0, 10, &["{\"half".into()]);
    batch["records"]["shop-0"][0]["key"] = json!(BASE64.encode(vec![b'k'; 500_000]));
    // And a header that nobody expects.
    batch["records"]["shop-0"][0]["headers"] = json!([{ "a": null }, "b"]);
    desk.loader.handle(batch).await.unwrap();
    let letter = desk.letters().remove(0);
    assert!(matches!(letter.refused.record, Bytes::Object(_)), "{letter:?}");
    assert!(desk.message(&json!({ "replay": letter.refused })).await.is_empty());
    assert_eq!(desk.letters().len(), 2);
}

#[tokio::test]
async fn a_replay_that_is_refused_again_is_the_same_letter() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    desk.loader.handle(kafka(0, 10, &["{\"half".into()])).await.unwrap();
    let letter = desk.letters().remove(0);
    assert!(desk.message(&json!({ "replay": letter.refused })).await.is_empty());
    assert_eq!(desk.letters(), [letter.clone(), letter]);
}

#[tokio::test]
async fn what_no_contract_claimed_is_staged_once_one_does() {
    let desk = Desk::new(&[]);
    let values = [order(1, "new", 1).to_string(), order(2, "new", 2).to_string()];
    desk.loader.handle(kafka(3, 10, &values)).await.unwrap();
    let [proposed, key] = &desk.keys().await[..] else { panic!("not a contract and a file") };
    assert!(key.starts_with("unclaimed/public.orders/kafka%2Fshop%2F3/"), "{key}");
    let proposed = String::from_utf8(desk.staging.get(proposed).await.unwrap().unwrap()).unwrap();
    let contract = shiftwork_change_data::contract::read("contract.yaml", &proposed).unwrap();
    assert_eq!(contract.source().table, "public.orders");

    desk.scripts.put(&shiftwork_planner::contract_key("orders"), ORDERS);
    let body = desk.staging.get(key).await.unwrap().unwrap();
    let file = FileVersion { bucket: "staging".into(), key: key.clone(), version: Version::Id("v1".into()) };
    desk.files.put(file, body);
    let notice = json!({ "source": "aws.s3", "detail": { "bucket": { "name": "staging" }, "object": { "key": key, "version-id": "v1" } } });
    assert!(desk.message(&notice).await.is_empty());
    assert_eq!(desk.rows().await.len(), 2);
    assert!(desk.letters().is_empty());
}

#[tokio::test]
async fn nothing_is_asked_for_that_is_not_there() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    desk.staging.off.store(true, Ordering::Relaxed);
    let failure = desk.loader.handle(sample("kafka")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(desk.requests.asked().is_empty() && desk.letters().is_empty());
    desk.staging.off.store(false, Ordering::Relaxed);
    desk.loader.handle(sample("kafka")).await.unwrap();
    assert_eq!(desk.requests.asked().len(), 1);
}

#[tokio::test]
async fn a_message_that_fails_is_given_back_and_the_others_are_done() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    let mut event = sample("files");
    event["Records"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "eventSource": "aws:sqs", "messageId": "broken", "body": "{" }));
    let put = |key: &str, version| {
        let file = FileVersion { bucket: "shop-changes".into(), key: key.into(), version };
        desk.files.put(file, order(1, "new", 1).to_string().into_bytes());
    };
    put("orders/2026-11-21/part 1+x.ndjson.gz", Version::Id("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY".into()));
    put("orders/2026-11-21/part 2.ndjson", Version::Tag("b1946ac92492d2347c6235b4d2611184".into()));
    let answer = desk.loader.handle(event).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "broken" }] }));
    assert_eq!(desk.rows().await.len(), 2);
    assert!(desk.letters().is_empty(), "{:?}", desk.letters());
}

#[tokio::test]
async fn a_file_that_is_gone_or_broken_is_told() {
    let desk = Desk::new(&[("orders", ORDERS)]);
    assert_eq!(
        desk.message(&json!({ "Records": sample("files")["Records"] })).await,
        ["m"],
        "an event of Lambda is no message"
    );
    desk.loader.handle(sample("files")).await.unwrap();
    let kinds: Vec<_> = desk.letters().into_iter().map(|letter| (letter.kind, letter.refused.record)).collect();
    assert_eq!(kinds, vec![("file-gone".to_owned(), Bytes::Lost {}); 2]);

    let desk = Desk::new(&[("orders", ORDERS)]);
    let mut packed = packed(&[order(1, "new", 1).to_string(), order(2, "new", 2).to_string()].join("\n"));
    packed.truncate(packed.len() - 4);
    file(&desk, packed).await;
    assert_eq!(desk.letters().remove(0).kind, "broken-file");
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A file of change events comes to lie in S3.
async fn file(desk: &Desk, body: Vec<u8>) {
    let version = Version::Id("v1".into());
    desk.files.put(FileVersion { bucket: "lake".into(), key: "in.ndjson".into(), version }, body);
    let notice = json!({ "source": "aws.s3", "detail": { "bucket": { "name": "lake" }, "object": { "key": "in.ndjson", "version-id": "v1" } } });
    assert!(desk.message(&notice).await.is_empty());
}

#[tokio::test]
async fn two_contracts_of_one_table_both_get_its_rows() {
    let history = ORDERS
        .replace("contract: orders", "contract: order_history")
        .replace("table: orders }", "table: order_history }");
    let desk = Desk::new(&[("orders", ORDERS), ("order_history", &history)]);
    desk.loader.handle(sample("kafka")).await.unwrap();
    let staged = desk.keys().await.into_iter().filter(|key| key.starts_with("staged/"));
    assert_eq!(
        staged.map(|key| key.split('/').nth(1).unwrap().to_owned()).collect::<Vec<_>>(),
        ["order_history", "orders"]
    );
    assert_eq!(desk.rows().await.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However a file comes, packed or not and in pieces of any size, it is staged in the same files; these hold every
    /// good line once, and every bad one is a letter.
    #[test]
    fn a_file_is_cut_the_same_however_it_comes(
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
        for (body, piece) in [(text.clone().into_bytes(), pieces[0]), (packed(&text), pieces[1])] {
            let mut desk = Desk::new(&[("orders", ORDERS)]);
            desk.loader.cut = cut;
            desk.files = Arc::new(MemoryFiles::in_pieces_of(piece));
            desk.loader.files = desk.files.clone();
            runtime.block_on(file(&desk, body));
            let rows = runtime.block_on(desk.rows());
            prop_assert_eq!(rows.len(), lines.iter().flatten().count());
            prop_assert_eq!(desk.letters().len(), lines.iter().filter(|line| line.is_none()).count());
            staged.push((runtime.block_on(desk.keys()), rows));
        }
        prop_assert_eq!(&staged[0], &staged[1]);
    }
}
