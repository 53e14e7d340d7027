use shiftwork_ports::fake::{ManualClock, MemoryBucket};

use shiftwork_protocol::FailureKind;

use super::*;

const BUCKET: &str = "amzn-s3-demo-documents";
const SOURCE: &str = "handbook/Über uns/faq+1.pdf.meta.json";
const TARGET: &str = "handbook/Über uns/faq+1.pdf.metadata.json";

struct Fixture {
    fixer: MetadataFixer,
    documents: MemoryBucket,
    scripts: MemoryBucket,
    clock: Arc<ManualClock>,
}

fn fixture() -> Fixture {
    let (documents, scripts) = (MemoryBucket::of(Arc::default(), BUCKET), MemoryBucket::default());
    let clock = Arc::new(ManualClock::default());
    let fixer = MetadataFixer::new(documents.bucket(), scripts.bucket(), clock.clone());
    documents.put(SOURCE, r#"{"Attributes": {"_version": 2}}"#);
    Fixture { fixer, documents, scripts, clock }
}

impl Fixture {
    fn push(&self, source: &str) {
        let handbook = json!({ "prefix": "handbook/", "target": "kendra", "sources": [source] });
        self.scripts.put(REPOSITORIES_KEY, json!({ "repositories": { "handbook": handbook } }).to_string());
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
async fn an_event_in_any_form_fixes_its_file() {
    for name in ["eventbridge", "sqs-eventbridge", "sqs-s3", "sqs-sns-s3", "sqs-sns-raw"] {
        let fixture = fixture();
        fixture.push("{document}.meta.json");
        let response = fixture.fixer.handle(sample(name)).await.unwrap();
        assert!(response.is_null() || response["batchItemFailures"] == json!([]), "{name}: {response}");
        assert_eq!(
            fixture.keys(),
            [SOURCE, TARGET],
            "{name}: the source is deleted only after the event of the target file"
        );
        let of_target = json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-03-01T02:00:00Z", "detail": { "bucket": { "name": BUCKET }, "object": { "key": TARGET } } });
        fixture.fixer.handle(of_target).await.unwrap();
        assert_eq!(fixture.keys(), [TARGET], "{name}");
    }
}

#[tokio::test]
async fn an_invalid_message_does_not_affect_the_other_messages() {
    let fixture = fixture();
    fixture.push("{document}.meta.json");
    let mut batch = sample("sqs-s3");
    let good = batch["Records"][0].clone();
    let mut invalid = good.clone();
    (invalid["messageId"], invalid["body"]) = ("invalid".into(), "not JSON".into());
    let mut large = good.clone();
    let key = "handbook/large.pdf.meta.json";
    fixture.documents.put(key, vec![b' '; 1024 * 1024 + 1]);
    large["messageId"] = "large".into();
    large["body"] = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-03-01T02:00:00Z",
        "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } }] })
    .to_string()
    .into();
    batch["Records"] = json!([invalid, good, good, large]);
    let response = fixture.fixer.handle(batch).await.unwrap();
    let failed: Vec<_> =
        response["batchItemFailures"].as_array().unwrap().iter().map(|item| item["itemIdentifier"].clone()).collect();
    assert_eq!(failed, ["invalid", "large"]);
    assert!(fixture.keys().contains(&TARGET.to_owned()));
}

#[tokio::test]
async fn without_a_configuration_no_object_is_changed() {
    let fixture = fixture();
    let response = fixture.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!((response["batchItemFailures"].clone(), fixture.keys()), (json!([]), vec![SOURCE.to_owned()]));
    assert_eq!(fixture.fixer.handle(sample("sqs-s3-test")).await.unwrap()["batchItemFailures"], json!([]));
}

#[tokio::test]
async fn a_push_takes_effect_within_a_minute() {
    let fixture = fixture();
    fixture.push("{document}.other.json");
    fixture.fixer.handle(sample("sqs-s3")).await.unwrap();
    fixture.push("{document}.meta.json");
    fixture.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!(fixture.keys(), [SOURCE], "the first configuration is cached");
    fixture.clock.pass(CACHED_FOR);
    fixture.fixer.handle(sample("sqs-s3")).await.unwrap();
    assert_eq!(fixture.keys(), [SOURCE, TARGET]);
}

#[tokio::test]
async fn an_invalid_configuration_is_an_error() {
    let fixture = fixture();
    fixture.scripts.put(REPOSITORIES_KEY, r#"{"repositories": {"x": {"target": "solr"}}}"#);
    let failure = fixture.fixer.handle(sample("eventbridge")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Corrupt);
    assert!(
        failure.message.contains("expected one of `bedrock`, `kendra`, found `solr`")
            && failure.message.contains("metadata push"),
        "{failure}"
    );
}
