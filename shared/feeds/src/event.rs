//! What a message says: S3's events by any of their ways, and what workers say about their work items.
//!
//! | way | shape |
//! | --- | --- |
//! | S3 → SQS | `{"Records": [{"eventSource": "aws:s3", …}]}` |
//! | S3 → SNS → SQS | the same as text in `Message` of a notification; without an envelope where the delivery is raw |
//! | S3 → EventBridge → SQS | `{"source": "aws.s3", "detail-type": "Object Created", …}` |
//! | switching notifications on | `{"Event": "s3:TestEvent", …}`: says nothing |
//! | a worker | `{"batch": "…", …}`: [`Completion`] |

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{Deletion, FileRecord, FileStatus, UNCLAIMED, feed::Feeds, item::Completion};

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Something happened to objects; nothing at all where it is of no interest here.
    Seen(Vec<ObjectEvent>),
    /// A worker is done with a work item, or with a part of it.
    Completed(Completion),
}

/// Something happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// The bucket.
    pub bucket: String,
    /// The key, as it is.
    pub key: String,
    /// The version that it is about, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// S3's order of the events of one key.
    pub sequencer: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Seen,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It was put, posted, copied or put together.
    Created {
        /// S3's tag of its content, without quotes.
        etag: Option<String>,
        /// Bytes.
        size: u64,
    },
    /// It was deleted, or a delete marker hides it.
    Deleted,
}

/// What a sighting means for the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(Box<FileRecord>),
    /// A deletion.
    Deletion(Deletion),
}

impl ObjectEvent {
    /// What goes on record.
    pub fn entry(self, feeds: &Feeds, now: Timestamp) -> Entry {
        let (feed, parts) =
            feeds.of(&self.bucket, &self.key).map_or((None, BTreeMap::default()), |(feed, parts)| (Some(feed), parts));
        let name = feed.map_or(UNCLAIMED, |feed| &feed.feed).to_owned();
        match self.what {
            Seen::Created { etag, size } => Entry::File(Box::new(FileRecord {
                feed: name,
                bucket: self.bucket,
                key: self.key,
                version_id: self.version_id,
                etag,
                size,
                sequencer: self.sequencer,
                received_ts: self.at,
                registered_ts: now,
                format: feed.map(|feed| feed.format),
                parts,
                checksum: None,
                file_status: FileStatus::Received,
                reason: None,
                batch: None,
                claimed_until: None,
                history: Vec::new(),
                revision: 0,
            })),
            Seen::Deleted => Entry::Deletion(Deletion {
                feed: name,
                bucket: self.bucket,
                key: self.key,
                version_id: self.version_id,
                sequencer: self.sequencer,
                deleted_ts: self.at,
            }),
        }
    }
}

/// Reads the body of a message.
///
/// # Errors
/// What is wrong with it, in words: it will be no better the next time.
pub fn read(body: &str) -> Result<Message, String> {
    let value: Value = serde_json::from_str(body).map_err(|error| format!("the message is not JSON: {error}"))?;
    read_value(&value, true)
}

fn read_value(value: &Value, may_be_envelope: bool) -> Result<Message, String> {
    if value["Event"] == "s3:TestEvent" {
        return Ok(Message::Seen(Vec::new()));
    }
    if let Value::Array(records) = &value["Records"] {
        let seen: Result<Vec<_>, _> = records.iter().enumerate().map(|(n, record)| notification(n, record)).collect();
        return Ok(Message::Seen(seen?.into_iter().flatten().collect()));
    }
    if value["source"] == "aws.s3" {
        return Ok(Message::Seen(bridged(value)?.into_iter().collect()));
    }
    if may_be_envelope
        && value["Type"] == "Notification"
        && let Some(text) = value["Message"].as_str()
    {
        let inner =
            serde_json::from_str(text).map_err(|error| format!("the notification's message is not JSON: {error}"))?;
        return read_value(&inner, false);
    }
    if value.get("batch").is_some() {
        let completion =
            Completion::deserialize(value).map_err(|error| format!("the completion cannot be read: {error}"))?;
        return Ok(Message::Completed(completion));
    }
    Err("neither an S3 event (by SQS, SNS or EventBridge) nor a worker's completion (`batch`)".into())
}

/// A record of S3's own format (S3 user guide, "Event message structure").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    event_name: String,
    event_time: Timestamp,
    s3: Inner,
}

#[derive(Deserialize)]
struct Inner {
    bucket: Bucket,
    object: NotifiedObject,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotifiedObject {
    key: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    e_tag: Option<String>,
    #[serde(default)]
    version_id: Option<String>,
    #[serde(default)]
    sequencer: Option<String>,
}

fn notification(n: usize, record: &Value) -> Result<Option<ObjectEvent>, String> {
    if record["eventSource"] != "aws:s3" {
        return Err(format!("record {n} is no event of S3: eventSource is {}", record["eventSource"]));
    }
    let event = Notification::deserialize(record)
        .map_err(|error| format!("record {n} of the S3 event cannot be read: {error}"))?;
    let object = event.s3.object;
    let created =
        || Seen::Created { etag: object.e_tag.as_deref().and_then(unquoted), size: object.size.unwrap_or_default() };
    let (family, act) = event.event_name.split_once(':').unwrap_or((&event.event_name, ""));
    let (what, hides) = match (family.trim_start_matches("s3:"), act) {
        ("ObjectCreated", _) => (created(), false),
        ("ObjectRemoved" | "LifecycleExpiration", "DeleteMarkerCreated") => (Seen::Deleted, true),
        ("ObjectRemoved" | "LifecycleExpiration", _) => (Seen::Deleted, false),
        // Tags, ACLs, restores, replication: the content is what it was.
        _ => return Ok(None),
    };
    Ok(Some(ObjectEvent {
        bucket: event.s3.bucket.name,
        key: url_decoded(&object.key)
            .ok_or_else(|| format!("record {n}: the key `{}` is not URL-encoded UTF-8", object.key))?,
        // A marker has a version of its own, and hides them all.
        version_id: object.version_id.filter(|_| !hides).and_then(versioned),
        sequencer: object.sequencer,
        at: event.event_time,
        what,
    }))
}

/// An event as EventBridge delivers it (S3 user guide, "EventBridge event message structure"). Its keys are not encoded.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bridged {
    time: Timestamp,
    detail_type: String,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    bucket: Bucket,
    object: BridgedObject,
    #[serde(default)]
    deletion_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BridgedObject {
    key: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    version_id: Option<String>,
    #[serde(default)]
    sequencer: Option<String>,
}

fn bridged(event: &Value) -> Result<Option<ObjectEvent>, String> {
    let event =
        Bridged::deserialize(event).map_err(|error| format!("the S3 event of EventBridge cannot be read: {error}"))?;
    let Detail { bucket, object, deletion_type } = event.detail;
    let what = match event.detail_type.as_str() {
        "Object Created" => {
            Seen::Created { etag: object.etag.as_deref().and_then(unquoted), size: object.size.unwrap_or_default() }
        }
        "Object Deleted" => Seen::Deleted,
        _ => return Ok(None),
    };
    let hides = deletion_type.as_deref() == Some("Delete Marker Created");
    Ok(Some(ObjectEvent {
        bucket: bucket.name,
        key: object.key,
        version_id: object.version_id.filter(|_| !hides).and_then(versioned),
        sequencer: object.sequencer,
        at: event.time,
        what,
    }))
}

/// `"null"` and nothing at all are what S3 writes for an object without a version.
fn versioned(version: String) -> Option<String> {
    (!matches!(version.as_str(), "" | "null")).then_some(version)
}

fn unquoted(etag: &str) -> Option<String> {
    let etag = etag.trim_matches('"').to_owned();
    (!etag.is_empty()).then_some(etag)
}

/// Undoes the encoding of HTML forms, as S3 encodes keys: `+` is a space.
fn url_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(name: &str) -> Message {
        let path = format!("{}/../../events/file-intake/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        read(event["Records"][0]["body"].as_str().unwrap()).unwrap()
    }

    fn only(message: Message) -> ObjectEvent {
        let Message::Seen(mut seen) = message else { panic!("{message:?}") };
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }

    #[test]
    fn the_three_ways_of_one_event_say_the_same() {
        let [direct, topic, raw, bus] =
            ["s3-sqs-created", "s3-sns-sqs-created", "s3-sns-raw-created", "s3-eventbridge-created"]
                .map(|name| only(sample(name)));
        assert_eq!(direct.key, "orders/eu/2026-03-01/it's 1+1=2 ü.csv", "the key is decoded");
        assert_eq!(direct.version_id, None);
        assert_eq!(direct.what, Seen::Created { etag: Some("d41d8cd98f00b204e9800998ecf8427e".into()), size: 1024 });
        assert_eq!(direct, topic);
        assert_eq!(direct, raw);
        assert_eq!(ObjectEvent { at: direct.at, ..bus }, direct);
    }

    #[test]
    fn deletions_of_every_kind_are_read() {
        let gone = only(sample("s3-sqs-removed"));
        assert_eq!((gone.what, gone.version_id), (Seen::Deleted, None));
        let marker = only(sample("s3-sqs-delete-marker"));
        assert_eq!((marker.what, marker.version_id), (Seen::Deleted, None), "a marker hides every version");
        let version = only(sample("s3-eventbridge-deleted"));
        assert_eq!(
            (version.what, version.version_id.as_deref()),
            (Seen::Deleted, Some("1QW9g1Z99LUNbvaaYVpW9xDlOLU.qxgF"))
        );
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        assert_eq!(sample("s3-test-event"), Message::Seen(Vec::new()));
        let tagging = r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectTagging:Put","eventTime":"2026-03-01T02:00:00Z","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
        assert_eq!(read(tagging), Ok(Message::Seen(Vec::new())));
    }

    #[test]
    fn a_completion_is_read() {
        let Message::Completed(completion) = sample("work-completed") else { panic!("no completion") };
        assert_eq!(completion.feed, "invoices");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (body, why) in [
            ("{", "not JSON"),
            ("{}", "neither an S3 event"),
            ("[1]", "neither an S3 event"),
            (r#"{"Records":[{"eventSource":"aws:ses"}]}"#, "no event of S3"),
            (r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}"#, "cannot be read"),
            (r#"{"Type":"Notification","Message":"{"}"#, "not JSON"),
            (r#"{"batch":1}"#, "completion cannot be read"),
            (
                r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","eventTime":"2026-03-01T02:00:00Z","s3":{"bucket":{"name":"b"},"object":{"key":"%ff"}}}]}"#,
                "URL-encoded",
            ),
        ] {
            let said = read(body).unwrap_err();
            assert!(said.contains(why), "{body}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(body in "\\PC{0,200}") {
            let _ = read(&body);
        }

        #[test]
        fn every_key_survives_its_encoding(key in "\\PC{1,40}") {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            }).collect();
            prop_assert_eq!(url_decoded(&encoded), Some(key));
        }
    }
}
