#![allow(clippy::unwrap_used, reason = "tests panic on unexpected results")]

use jiff::SignedDuration;
use proptest::prelude::*;
use shiftwork_ports::fake::{
    ManualClock, MemoryBucket, MemoryDeadLetters, MemoryNotices, MemoryObjects, MemoryRegister, MemoryRequests,
    MemoryWorkQueue,
};
use shiftwork_protocol::{FailureKind, event::Event, file::FileRecord};

use super::*;

const ORDERS: &str = "feed: orders\nbucket: landing\nkeys: orders/{region}/{day:%Y-%m-%d}/*.csv\nformat: csv\ntable: sales.orders\nworkflow: load_orders\nbatch: { files: 3, wait: 5m }\n";
const INVOICES: &str = "feed: invoices\nbucket: landing\nkeys: invoices/**.xml\nformat: xml\nwork_items: { within: 1h }\nbatch: { files: 2 }\n";
const LATE: &str =
    "feed: rates\nbucket: landing\nkeys: rates/*.csv\nformat: csv\nexpected: { by: \"00:00\", time_zone: UTC }\n";

struct Fixture {
    intake: Intake,
    register: Arc<MemoryRegister>,
    requests: Arc<MemoryRequests>,
    items: Arc<MemoryWorkQueue>,
    dead_letters: Arc<MemoryDeadLetters>,
    notices: Arc<MemoryNotices>,
    scripts: MemoryBucket,
    clock: Arc<ManualClock>,
}

fn fixture() -> Fixture {
    let (register, requests, items) = (Arc::default(), Arc::default(), Arc::default());
    let (dead_letters, notices, scripts, clock) =
        (Arc::default(), Arc::default(), MemoryBucket::versioned(), Arc::<ManualClock>::default());
    for (name, text) in [("orders", ORDERS), ("invoices", INVOICES), ("rates", LATE)] {
        scripts.put(&format!("feeds/{name}.yaml"), text);
    }
    Fixture {
        intake: Intake::new(
            Arc::<MemoryRegister>::clone(&register),
            Arc::new(MemoryObjects::default()),
            scripts.bucket(),
            Arc::<MemoryRequests>::clone(&requests),
            Arc::<MemoryWorkQueue>::clone(&items),
            Arc::<MemoryDeadLetters>::clone(&dead_letters),
            Arc::<MemoryNotices>::clone(&notices),
            clock.clone(),
        ),
        register,
        requests,
        items,
        dead_letters,
        notices,
        scripts,
        clock,
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/file-intake/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An S3 event about a created object. `n` is its sequencer and its ETag.
fn created(key: &str, n: u64) -> Value {
    json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": format!("2026-03-01T02:00:{:02}Z", n % 60),
        "s3": { "bucket": { "name": "landing" }, "object": { "key": key, "size": 10, "eTag": format!("{n:032x}"), "sequencer": format!("{n:016X}") } } }] })
}

fn removed(key: &str, n: u64) -> Value {
    json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete", "eventTime": format!("2026-03-01T02:00:{:02}Z", n % 60),
        "s3": { "bucket": { "name": "landing" }, "object": { "key": key, "sequencer": format!("{n:016X}") } } }] })
}

fn batch(bodies: &[Value]) -> Value {
    let message = |(n, body): (usize, &Value)| json!({ "messageId": format!("m{n}"), "body": body.to_string(), "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:q" });
    json!({ "Records": bodies.iter().enumerate().map(message).collect::<Vec<_>>() })
}

#[tokio::test]
async fn an_event_registers_its_file_once_by_every_delivery_path() {
    let fixture = fixture();
    for name in
        ["s3-sqs-created", "s3-sns-sqs-created", "s3-sns-raw-created", "s3-eventbridge-created", "s3-test-event"]
    {
        let response = fixture.intake.handle(sample(name)).await.unwrap();
        assert_eq!(response["batchItemFailures"], json!([]), "{name}");
    }
    let files = fixture.register.files();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].feed, "orders");
    assert_eq!(files[0].parts["region"], "eu");
    assert_eq!(files[0].parts["day"], "2026-03-01");
}

#[tokio::test]
async fn an_invalid_message_goes_to_the_dead_letter_queue_and_the_others_are_handled() {
    let fixture = fixture();
    let response = fixture.intake.handle(sample("invalid-messages")).await.unwrap();
    assert_eq!(response["batchItemFailures"], json!([]));
    assert_eq!(fixture.register.files().len(), 1);
    let dead_letters = fixture.dead_letters.messages();
    let dead_letter: UnreadableMessage = serde_json::from_str(&dead_letters[0]).unwrap();
    assert_eq!(dead_letters.len(), 1);
    assert!(
        dead_letter.reason.contains("not an event of S3") && dead_letter.body.contains("aws:ses"),
        "{dead_letter:?}"
    );
}

#[tokio::test]
async fn a_record_that_is_not_valid_does_not_take_its_neighbours_with_it() {
    let fixture = fixture();
    let mut message = created("orders/eu/2026-03-01/a.csv", 1);
    let bad = json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put" });
    message["Records"].as_array_mut().unwrap().insert(0, bad.clone());
    fixture.intake.handle(batch(&[message])).await.unwrap();
    assert_eq!(fixture.register.files().len(), 1);
    let dead_letters = fixture.dead_letters.messages();
    let dead_letter: UnreadableMessage = serde_json::from_str(&dead_letters[0]).unwrap();
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letter.body, json!({ "Records": [bad] }).to_string());
}

#[tokio::test]
async fn an_object_that_stands_for_a_folder_is_not_a_file() {
    let fixture = fixture();
    for key in ["invoices/2026/", "invoices/2026_$folder$"] {
        let mut event = created(key, 1);
        event["Records"][0]["s3"]["object"]["size"] = json!(0);
        fixture.intake.handle(batch(&[event])).await.unwrap();
    }
    fixture.intake.handle(batch(&[removed("invoices/2026/", 2)])).await.unwrap();
    assert_eq!(fixture.register.files(), []);
    assert_eq!(fixture.register.deletions(), []);
}

#[tokio::test]
async fn a_file_whose_delete_marker_is_deleted_is_loaded() {
    let fixture = fixture();
    let key = "invoices/1.xml";
    let version = |mut event: Value, name: &str, version: &str| {
        event["Records"][0]["eventName"] = json!(name);
        event["Records"][0]["s3"]["object"]["versionId"] = json!(version);
        event
    };
    let plan = json!({ "plan": "all" });
    let intake = &fixture.intake;
    let put = version(created(key, 1), "ObjectCreated:Put", "v1");
    let hidden = version(removed(key, 2), "ObjectRemoved:DeleteMarkerCreated", "m1");
    intake.handle(batch(&[put, hidden])).await.unwrap();
    assert_eq!(fixture.register.files()[0].file_status, FileStatus::Quarantined);
    for _ in 0..2 {
        intake.handle(batch(&[version(removed(key, 3), "ObjectRemoved:Delete", "m1")])).await.unwrap();
    }
    intake.handle(plan).await.unwrap();
    assert_eq!(fixture.register.files()[0].file_status, FileStatus::Processing);
    assert_eq!(fixture.items.items().len(), 1);
}

#[tokio::test]
async fn a_key_that_is_overwritten_counts_once_for_the_expected_files() {
    let fixture = fixture();
    let two = LATE.replace("time_zone: UTC }", "time_zone: UTC, files: 2 }");
    fixture.scripts.put("feeds/rates.yaml", two);
    let at = |key: &str, n: u64| {
        let mut event = created(key, n);
        event["Records"][0]["eventTime"] = json!(fixture.clock.now());
        event
    };
    fixture.intake.handle(batch(&[at("rates/a.csv", 1), at("rates/a.csv", 2), at("rates/a.csv", 3)])).await.unwrap();
    fixture.intake.handle(sample("plan")).await.unwrap();
    let late = fixture.notices.late_files();
    assert_eq!(late.iter().map(|late| late.received).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_dead_letter_fits_into_a_message_for_every_body() {
    let fixture = fixture();
    for text in ["\u{1}".repeat(300_000), "ü".repeat(200_000), "\"".repeat(260_000)] {
        let event = json!({ "Records": [{ "messageId": "m", "body": text, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:q" }] });

        fixture.intake.handle(event).await.unwrap();
    }
    assert!(fixture.dead_letters.messages().iter().all(|text| text.len() <= DEAD_LETTER_BYTES));
    assert_eq!(fixture.dead_letters.messages().len(), 3);
}

#[tokio::test]
async fn the_run_of_a_complete_batch_is_requested_once() {
    let fixture = fixture();
    let files: Vec<_> = (0..7).map(|n| created(&format!("orders/eu/2026-03-01/{n}.csv"), n)).collect();
    for files in files.chunks(2) {
        fixture.intake.handle(batch(files)).await.unwrap();
    }
    fixture.intake.handle(sample("plan")).await.unwrap();
    let requests: Vec<_> = fixture.requests.requests().into_iter().map(|(request, _)| request).collect();
    assert_eq!(requests.len(), 2, "7 files are two batches of 3, and one file that waits: {requests:?}");
    fixture.clock.pass(SignedDuration::from_mins(6));
    fixture.intake.handle(sample("plan")).await.unwrap();
    let runs: BTreeSet<_> =
        fixture.requests.requests().into_iter().map(|(request, _)| request.workflow_execution_id).collect();
    assert_eq!(runs.len(), 3, "the last file has waited for five minutes");
}

#[tokio::test]
async fn a_work_item_is_sent_once_and_its_files_are_completed_one_by_one() {
    let fixture = fixture();
    let files: Vec<_> = (0..3).map(|n| created(&format!("invoices/{n}.xml"), n)).collect();
    fixture.intake.handle(batch(&files)).await.unwrap();
    fixture.intake.handle(sample("plan")).await.unwrap();
    let items = fixture.items.items();
    assert_eq!(items.iter().map(|item| item.files.len()).collect::<Vec<_>>(), [2, 1]);
    let completion = json!({ "batch": items[0].batch, "feed": "invoices", "outcome": "PROCESSED",
        "files": [{ "key": "invoices/1.xml", "outcome": "QUARANTINED", "reason": "no number" }] });
    for _ in 0..2 {
        fixture.intake.handle(batch(std::slice::from_ref(&completion))).await.unwrap();
    }
    let of = |key: &str| fixture.register.files().into_iter().find(|file| file.key == key).unwrap();
    assert_eq!(of("invoices/0.xml").file_status, FileStatus::Processed);
    assert_eq!(of("invoices/1.xml").reason.as_deref(), Some("no number"));
    assert_eq!(of("invoices/2.xml").file_status, FileStatus::Processing);

    // The worker of the other work item does not respond in time.
    fixture.clock.pass(SignedDuration::from_mins(61));
    fixture.intake.handle(sample("plan")).await.unwrap();
    let again = fixture.items.items().pop().unwrap();
    assert_ne!(again.batch, items[1].batch);
    let late = json!({ "batch": items[1].batch, "feed": "invoices", "outcome": "FAILED" });
    fixture.intake.handle(batch(&[late])).await.unwrap();
    assert_eq!(of("invoices/2.xml").file_status, FileStatus::Processing, "the file belongs to another batch");
}

#[tokio::test]
async fn late_files_are_reported_once_a_day() {
    let fixture = fixture();
    for _ in 0..3 {
        fixture.intake.handle(sample("plan")).await.unwrap();
    }
    assert_eq!(fixture.notices.late_files().len(), 1);
    assert!(matches!(&fixture.notices.events()[..], [Event::Late(late)] if late.feed == "rates"));
    fixture.clock.pass(SignedDuration::from_hours(24));
    fixture.intake.handle(sample("plan")).await.unwrap();
    assert_eq!(fixture.notices.late_files().len(), 2);
}

#[tokio::test]
async fn a_new_feed_is_used_and_an_invalid_feed_does_not_affect_others() {
    let fixture = fixture();
    fixture.intake.handle(batch(&[created("new/1.csv", 1)])).await.unwrap();
    assert_eq!(fixture.register.files()[0].feed, UNCLAIMED);
    fixture.scripts.put("feeds/new.yaml", "feed: new\nbucket: landing\nkeys: new/*.csv\nformat: csv\n");
    fixture.scripts.put("feeds/broken.yaml", "feed: broken\nbucket: [\n");
    fixture.intake.handle(batch(&[created("new/2.csv", 1)])).await.unwrap();
    assert_eq!(fixture.register.files().iter().filter(|file| file.feed == "new").count(), 1);
}

#[tokio::test]
async fn an_unknown_event_is_refused() {
    for event in [json!({}), json!({ "plan": 1 }), json!({ "Records": 1 })] {
        assert_eq!(fixture().intake.handle(event).await.unwrap_err().kind, FailureKind::InvalidRequest);
    }
}

/// The fields of a file that do not depend on the time of registration.
fn timeless_fields(file: &FileRecord) -> (String, String, FileStatus, Option<String>, Option<String>) {
    (file.key.clone(), file.id().version, file.file_status, file.reason.clone(), file.sequencer.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Events in any order, repeated, and in batches of any size give the same file table, of which the same files are claimed.
    #[test]
    fn the_file_table_does_not_depend_on_the_delivery_of_events(
        changes in prop::collection::vec((0_u8..4, 0_u64..3, any::<bool>()), 1..25),
        order in prop::collection::vec(any::<prop::sample::Index>(), 60), size in 1_usize..6,
    ) {
        let events: Vec<_> = changes.iter().enumerate().map(|(n, (key, content, deleted))| {
            let (key, n) = (format!("invoices/{key}.xml"), n as u64);
            if *deleted { removed(&key, n) } else {
                let mut event = created(&key, n);
                // An object can be written again with the same content.
                event["Records"][0]["s3"]["object"]["eTag"] = json!(format!("{content:032x}"));
                event
            }
        }).collect();
        let table = |events: Vec<Value>, size: usize| {
            let fixture = fixture();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let feeds = fixture.intake.feeds.newest(fixture.clock.now()).await.unwrap();
                for events in events.chunks(size) {
                    for event in events {
                        let Ok(event::Message::Objects(objects)) = event::read(&event.to_string()) else { panic!() };
                        fixture.intake.register(objects.readable, &feeds).await.unwrap();
                    }
                }
                fixture.intake.handle(json!({ "plan": "all" })).await.unwrap();
            });
            let mut files: Vec<_> = fixture.register.files().iter().map(timeless_fields).collect();
            files.sort();
            (files, fixture.register.deletions())
        };
        let mut shuffled = events.clone();
        shuffled.extend(order.iter().map(|index| events[index.index(events.len())].clone()));
        let length = shuffled.len();
        for (at, index) in order.iter().enumerate() {
            shuffled.swap(at % length, index.index(length));
        }
        let (files, deletions) = table(events, size);
        prop_assert_eq!(&table(shuffled, size), &(files.clone(), deletions));
        for (_, _, status, reason, _) in files {
            prop_assert!(matches!(status, FileStatus::Processing | FileStatus::Quarantined), "{} {:?}", status, reason);
        }
    }
}
