use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sample(name: &str) -> Value {
    let path = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn readable(message: &Value) -> Result<Option<Vec<ObjectEvent>>, Failure> {
    let Some(events) = read(message)? else { return Ok(None) };
    events.all_readable().map(|()| Some(events.readable))
}

/// The event of the first message of a sample.
fn of_message(name: &str) -> Option<Vec<ObjectEvent>> {
    readable(&message(sample(name)["Records"][0]["body"].as_str().unwrap()).unwrap()).unwrap()
}

fn the_event(name: &str) -> ObjectEvent {
    let [event] = <[_; 1]>::try_from(of_message(name).unwrap()).unwrap();
    event
}

fn record(event_name: &str, key: &str) -> Value {
    json!({ "eventSource": "aws:s3", "eventName": event_name, "eventTime": "2026-03-01T02:00:00Z",
        "s3": { "bucket": { "name": "b" }, "object": { "key": key, "size": 10, "eTag": "\"e\"", "sequencer": "1" } } })
}

fn envelope(message: &Value) -> Value {
    json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": message.to_string() })
}

#[test]
fn an_event_reads_the_same_over_every_path() {
    let direct = the_event("file-intake/s3-sqs-created");
    assert_eq!(
        direct,
        ObjectEvent {
            bucket: "landing".into(),
            key: "orders/eu/2026-03-01/it's 1+1=2 ü.csv".into(),
            version_id: None,
            sequencer: Some("0055AED6DCD90281E5".into()),
            at: "2026-03-01T02:00:00Z".parse().unwrap(),
            change: ObjectChange::Created { etag: Some("d41d8cd98f00b204e9800998ecf8427e".into()), size: 1024 },
        }
    );
    for name in ["file-intake/s3-sns-sqs-created", "file-intake/s3-sns-raw-created"] {
        assert_eq!(the_event(name), direct, "{name}");
    }
    let of_bus = the_event("file-intake/s3-eventbridge-created");
    assert_eq!(ObjectEvent { at: direct.at, ..of_bus }, direct);

    let expected = the_event("metadata-fixer/sqs-s3");
    for name in ["sqs-eventbridge", "sqs-sns-s3", "sqs-sns-raw"] {
        let event = the_event(&format!("metadata-fixer/{name}"));
        assert_eq!((event.bucket, event.key), (expected.bucket.clone(), expected.key.clone()), "{name}");
    }
    let [event] = <[_; 1]>::try_from(readable(&sample("metadata-fixer/eventbridge")).unwrap().unwrap()).unwrap();
    assert_eq!((event.bucket, event.key), (expected.bucket, expected.key));
}

#[test]
fn sns_envelopes_are_removed() {
    let event = json!({ "Records": [record("ObjectCreated:Put", "a")] });
    let direct = readable(&event).unwrap();
    let once = envelope(&event);
    let twice = envelope(&once);
    for wrapped in [&once, &twice] {
        assert_eq!(readable(&message(&wrapped.to_string()).unwrap()), Ok(direct.clone()));
        let lambda = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": wrapped }] });
        assert_eq!(readable(&lambda), Ok(direct.clone()), "SNS calls the function itself");
    }
    let four_times = envelope(&envelope(&twice));
    assert!(message(&four_times.to_string()).unwrap_err().message.contains("more than 3 SNS envelopes"));
    let bus = json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-03-01T02:00:00Z",
        "detail": { "bucket": { "name": "b" }, "object": { "key": "a+b", "size": 1, "etag": "e" } } });
    let read = readable(&message(&envelope(&bus).to_string()).unwrap()).unwrap().unwrap();
    assert_eq!(read[0].key, "a+b", "EventBridge does not encode keys");
}

#[test]
fn the_event_name_determines_the_kind_of_change() {
    let deleted = Some(ObjectChange::Deleted { marker_id: None });
    let created = Some(ObjectChange::Created { etag: Some("e".into()), size: 10 });
    for (name, change) in [
        ("ObjectCreated:Put", &created),
        ("s3:ObjectCreated:Put", &created),
        ("s3:ObjectCreated:CompleteMultipartUpload", &created),
        ("ObjectRemoved:Delete", &deleted),
        ("s3:ObjectRemoved:Delete", &deleted),
        ("ObjectRemoved:DeleteMarkerCreated", &deleted),
        ("s3:LifecycleExpiration:DeleteMarkerCreated", &deleted),
        ("LifecycleExpiration:Delete", &deleted),
        ("ObjectTagging:Put", &None),
        ("ObjectAcl:Put", &None),
        ("ObjectRestore:Completed", &None),
        ("s3:Replication:OperationFailedReplication", &None),
    ] {
        let events = readable(&json!({ "Records": [record(name, "a")] })).unwrap().unwrap();
        assert_eq!(events.first().map(|event| event.change.clone()), *change, "{name}");
    }
}

#[test]
fn a_delete_marker_names_no_version() {
    let gone = the_event("file-intake/s3-sqs-removed");
    assert_eq!((gone.change, gone.version_id), (ObjectChange::Deleted { marker_id: None }, None));
    let marker = the_event("file-intake/s3-sqs-delete-marker");
    assert_eq!(marker.version_id, None, "it hides every version");
    assert!(
        matches!(marker.change, ObjectChange::Deleted { marker_id: Some(_) }),
        "the marker can be deleted: {marker:?}"
    );
    let version = the_event("file-intake/s3-eventbridge-deleted");
    assert_eq!(version.version_id.as_deref(), Some("1QW9g1Z99LUNbvaaYVpW9xDlOLU.qxgF"));
    assert_eq!(version.change, ObjectChange::Deleted { marker_id: None });
    assert!(the_event("file-intake/s3-sqs-versioned").version_id.is_some());
}

#[test]
fn a_message_that_is_not_from_s3_is_none() {
    assert_eq!(of_message("file-intake/s3-test-event"), Some(Vec::new()));
    assert_eq!(of_message("file-intake/work-completed"), None);
    for other in ["{}", "[1]", r#"{"batch": 1}"#, r#"{"Message": "x"}"#, r#"{"source": "aws.ec2"}"#] {
        assert_eq!(read(&message(other).unwrap()), Ok(None), "{other}");
    }
}

#[test]
fn a_message_that_cannot_be_read_gives_the_reason() {
    for (body, why) in [
        ("{", "the message is not JSON"),
        (r#"{"Type":"Notification","Message":"{"}"#, "`Message` of the SNS notification is not JSON"),
        (r#"{"Records":[{"eventSource":"aws:ses"}]}"#, "record 0 is not an event of S3"),
        (
            r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}"#,
            "record 0 of the S3 event cannot be read",
        ),
        (
            r#"{"Records":[{"EventSource":"aws:sns","Sns":{"Type":"Notification","Message":"{}"}}]}"#,
            "does not hold an event of S3",
        ),
        (r#"{"source":"aws.s3","detail-type":"Object Created"}"#, "the S3 event of EventBridge cannot be read"),
    ] {
        let failure = message(body).and_then(|message| readable(&message)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
        assert!(failure.message.contains(why), "{body}: {failure}");
    }
    let failure = readable(&json!({ "Records": [record("ObjectCreated:Put", "%ff")] })).unwrap_err();
    assert!(failure.message.contains("URL-encoded"), "{failure}");
}

#[test]
fn a_record_that_cannot_be_read_does_not_affect_its_neighbours() {
    let bad = json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put" });
    let good = |key| record("ObjectCreated:Put", key);
    let inner = envelope(&json!({ "Records": [bad.clone(), good("c")] }));
    let sns = json!({ "EventSource": "aws:sns", "Sns": inner });
    let events = read(&json!({ "Records": [good("a"), bad.clone(), good("b"), sns] })).unwrap().unwrap();
    assert_eq!(events.readable.iter().map(|event| event.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(events.unreadable.iter().map(|record| &record.record).collect::<Vec<_>>(), [&bad, &bad]);
    assert!(events.unreadable[0].failure.message.contains("record 1"));
}

#[test]
fn sequencers_are_right_padded_with_zeros() {
    for (older, newer) in [
        ("0055AED6DCD90281E501", "0055AED6DCD90281E6"),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E501"),
        ("0055AED6DCD90281E5", "0055aed6dcd90281e6"),
        ("00ff", "0100"),
        ("12", "2"),
        ("", "1"),
    ] {
        assert_eq!(compare_sequencers(older, newer), Ordering::Less, "{older} {newer}");
        assert_eq!(compare_sequencers(newer, older), Ordering::Greater, "{older} {newer}");
    }
    for (a, b) in [("0A", "0a00"), ("1", "10"), ("", "000")] {
        assert_eq!(compare_sequencers(a, b), Ordering::Equal, "{a} {b}");
    }
}

proptest! {
    #[test]
    fn no_message_causes_a_panic(body in "\\PC{0,200}") {
        let _ = message(&body).and_then(|message| read(&message));
    }

    #[test]
    fn every_key_round_trips_through_its_encoding(key in "\\PC{1,40}") {
        let encoded: String = key.bytes().map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        }).collect();
        prop_assert_eq!(decoded(&encoded), Some(key));
    }

    /// Sequencers of equal length compare as numbers, and so does a sequencer without its trailing zeros.
    #[test]
    fn sequencers_are_ordered_as_padded_numbers(a: u64, b: u64) {
        let text = |n: u64| format!("{n:016X}");
        let short = |n: u64| text(n).trim_end_matches('0').to_ascii_lowercase();
        prop_assert_eq!(compare_sequencers(&text(a), &short(b)), a.cmp(&b));
    }
}
