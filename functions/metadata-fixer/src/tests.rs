use shiftwork_ports::fake::{ManualClock, MemoryDocuments};

use super::*;

const BUCKET: &str = "amzn-s3-demo-documents";
const SOURCE: &str = "handbook/Über uns/faq+1.pdf.meta.json";
const TARGET: &str = "handbook/Über uns/faq+1.pdf.metadata.json";

struct House {
    fixer: MetadataFixer,
    documents: Arc<MemoryDocuments>,
    scripts: Arc<MemoryDocuments>,
    clock: Arc<ManualClock>,
}

fn house() -> House {
    let (documents, scripts, clock) =
        (Arc::new(MemoryDocuments::default()), Arc::new(MemoryDocuments::default()), Arc::new(ManualClock::default()));
    let fixer = MetadataFixer::new(BUCKET, documents.clone(), scripts.clone(), clock.clone());
    documents.put(SOURCE, r#"{"Attributes": {"_version": 2}}"#);
    House { fixer, documents, scripts, clock }
}

impl House {
    fn push(&self, source: &str) {
        let handbook = json!({ "prefix": "handbook/", "target": "kendra", "sources": [source] });
        self.scripts.put(CONFIGURATION_KEY, json!({ "repositories": { "handbook": handbook } }).to_string());
    }

    fn keys(&self) -> Vec<String> {
        self.documents.files().into_keys().collect()
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/metadata-fixer/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn an_event_of_any_way_mends_its_file() {
    for name in ["eventbridge", "sqs-eventbridge", "sqs-s3", "sqs-sns-s3", "sqs-sns-raw"] {
        let house = house();
        house.push("{document}.meta.json");
        let answer = house.fixer.handle(sample(name)).await.unwrap();
        assert!(answer.is_null() || answer["batchItemFailures"] == json!([]), "{name}: {answer}");
        assert_eq!(house.keys(), [SOURCE, TARGET], "{name}: the successor's own event has the source deleted");
        let of_successor = json!({ "detail-type": "Object Created", "detail": { "bucket": { "name": BUCKET }, "object": { "key": TARGET } } });
        house.fixer.handle(of_successor).await.unwrap();
        assert_eq!(house.keys(), [TARGET], "{name}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_does_not_hold_up_the_others() {
    let house = house();
    house.push("{document}.meta.json");
    let mut batch = sample("sqs-s3");
    let good = batch["Records"][0].clone();
    let mut poison = good.clone();
    (poison["messageId"], poison["body"]) = ("poison".into(), "not JSON".into());
    let mut large = good.clone();
    let key = "handbook/large.pdf.meta.json";
    house.documents.put(key, vec![b' '; 1024 * 1024 + 1]);
    large["messageId"] = "large".into();
    large["body"] = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } }] })
    .to_string()
    .into();
    batch["Records"] = json!([poison, good, good, large]);
    let answer = house.fixer.handle(batch).await.unwrap();
    let failed: Vec<_> =
        answer["batchItemFailures"].as_array().unwrap().iter().map(|item| item["itemIdentifier"].clone()).collect();
    assert_eq!(failed, ["poison", "large"]);
    assert!(house.keys().contains(&TARGET.to_owned()));
}

#[tokio::test]
async fn without_a_configuration_nothing_is_touched() {
    let house = house();
    let answer = house.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!((answer["batchItemFailures"].clone(), house.keys()), (json!([]), vec![SOURCE.to_owned()]));
    assert_eq!(house.fixer.handle(sample("sqs-s3-test")).await.unwrap()["batchItemFailures"], json!([]));
}

#[tokio::test]
async fn a_push_is_heard_within_a_minute() {
    let house = house();
    house.push("{document}.other.json");
    house.fixer.handle(sample("sqs-s3")).await.unwrap();
    house.push("{document}.meta.json");
    house.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!(house.keys(), [SOURCE], "what was read is believed");
    house.clock.pass(BELIEVED);
    house.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!(house.keys(), [SOURCE, TARGET]);
}

#[tokio::test]
async fn a_configuration_that_nobody_pushed_is_said() {
    let house = house();
    house.scripts.put(CONFIGURATION_KEY, r#"{"repositories": {"x": {"target": "solr"}}}"#);
    let failure = house.fixer.handle(sample("eventbridge")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Corrupt);
    assert!(
        failure.message.contains("`solr` is none of `kendra`, `bedrock`") && failure.message.contains("metadata push"),
        "{failure}"
    );
}
