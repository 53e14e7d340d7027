//! Reads S3 events, however they reach a function.
//!
//! | path | shape of the message |
//! | --- | --- |
//! | S3 → SQS | `{"Records": [{"eventSource": "aws:s3", …}]}`, keys URL-encoded |
//! | S3 → EventBridge → a function or SQS | `{"source": "aws.s3", "detail-type": "Object Created", …}`, keys as they are |
//! | either → SNS → SQS | the same as text in `Message` of `{"Type": "Notification", …}`; without it with raw delivery |
//! | either → SNS → a function | `{"Records": [{"EventSource": "aws:sns", "Sns": {"Type": "Notification", …}}]}` |
//! | a new notification configuration | `{"Event": "s3:TestEvent", …}`: no object |

use std::cmp::Ordering;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use crate::{Failure, FailureKind};

/// Most SNS envelopes around one event: one topic may forward to another.
const MOST_ENVELOPES: usize = 3;

/// A change of an object in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version that was created or deleted, if the bucket has versioning; none for a delete marker, which hides every
    /// version.
    pub version_id: Option<String>,
    /// Order of the events of one key; compare with [`compare_sequencers`].
    pub sequencer: Option<String>,
    /// Time of the event.
    pub at: Timestamp,
    /// Kind of change.
    pub change: ObjectChange,
}

/// The kinds of change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// The object was put, posted, copied or completed as a multipart upload.
    Created {
        /// ETag without quotes.
        etag: Option<String>,
        /// Size in bytes.
        size: u64,
    },
    /// The object was deleted, or a delete marker hides it.
    Deleted {
        /// Version id of the delete marker.
        marker_id: Option<String>,
    },
}

/// The events of a message. One record that is not valid does not affect the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectEvents {
    /// The events, in the order of the records.
    pub readable: Vec<ObjectEvent>,
    /// The records that are not valid.
    pub unreadable: Vec<UnreadableRecord>,
}

impl ObjectEvents {
    /// Returns the failure of the first record that is not valid.
    ///
    /// # Errors
    /// [`FailureKind::InvalidRequest`].
    pub fn all_readable(&self) -> Result<(), Failure> {
        self.unreadable.first().map_or(Ok(()), |record| Err(record.failure.clone()))
    }
}

/// A record that is not a valid event of S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRecord {
    /// The record.
    pub record: Value,
    /// The reason, with the number of the record in its message.
    pub failure: Failure,
}

/// Orders two sequencers of one key: hexadecimal text of any length, the shorter right-padded with zeros (S3 User Guide,
/// "Event message structure").
pub fn compare_sequencers(a: &str, b: &str) -> Ordering {
    let significant = |sequencer: &str| sequencer.trim_end_matches('0').to_ascii_uppercase();
    significant(a).cmp(&significant(b))
}

/// Reads the body of a message and removes its SNS envelopes.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: the body is not JSON, or has more than [`MOST_ENVELOPES`] envelopes.
pub fn message(body: &str) -> Result<Value, Failure> {
    unwrapped(json(body, "the message")?)
}

/// Reads the events of a message; `None` if the message is not from S3. Skips events that do not change the content of an
/// object (tags, ACLs, restores, replication).
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: the message is from S3 and has no records that could be read one by one.
pub fn read(message: &Value) -> Result<Option<ObjectEvents>, Failure> {
    if message["Event"] == "s3:TestEvent" {
        return Ok(Some(ObjectEvents::default()));
    }
    if message["source"] == "aws.s3" {
        let readable = bus_event(message)?.into_iter().collect();
        return Ok(Some(ObjectEvents { readable, unreadable: Vec::new() }));
    }
    let Value::Array(records) = &message["Records"] else { return Ok(None) };
    let mut events = ObjectEvents::default();
    for (n, record) in records.iter().enumerate() {
        match read_record(n, record) {
            Ok(of_record) => {
                events.readable.extend(of_record.readable);
                events.unreadable.extend(of_record.unreadable);
            }
            Err(failure) => events.unreadable.push(UnreadableRecord { record: record.clone(), failure }),
        }
    }
    Ok(Some(events))
}

fn read_record(n: usize, record: &Value) -> Result<ObjectEvents, Failure> {
    if record["EventSource"] == "aws:sns" {
        let published = unwrapped(record["Sns"].clone())?;
        return read(&published)?.ok_or_else(|| unreadable(format!("record {n} of SNS does not hold an event of S3")));
    }
    let readable = notification(n, record)?.into_iter().collect();
    Ok(ObjectEvents { readable, unreadable: Vec::new() })
}

fn unwrapped(mut message: Value) -> Result<Value, Failure> {
    for _ in 0..MOST_ENVELOPES {
        if message["Type"] != "Notification" {
            return Ok(message);
        }
        let Some(text) = message["Message"].as_str() else { return Ok(message) };
        message = json(text, "the `Message` of the SNS notification")?;
    }
    if message["Type"] == "Notification" {
        return Err(unreadable(format!("the message has more than {MOST_ENVELOPES} SNS envelopes")));
    }
    Ok(message)
}

/// A record in the format of S3 event notifications (S3 User Guide, "Event message structure").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotificationRecord {
    event_name: String,
    event_time: Timestamp,
    s3: NotificationEntity,
}

#[derive(Deserialize)]
struct NotificationEntity {
    bucket: BucketName,
    object: NotificationObject,
}

#[derive(Deserialize)]
struct BucketName {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotificationObject {
    key: String,
    size: Option<u64>,
    e_tag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

fn notification(n: usize, record: &Value) -> Result<Option<ObjectEvent>, Failure> {
    if record["eventSource"] != "aws:s3" {
        return Err(unreadable(format!(
            "record {n} is not an event of S3: its eventSource is {}",
            record["eventSource"]
        )));
    }
    let record = NotificationRecord::deserialize(record)
        .map_err(|error| unreadable(format!("record {n} of the S3 event cannot be read: {error}")))?;
    let object = record.s3.object;
    // Some senders write event names with the prefix of notification configurations: `s3:ObjectCreated:Put`.
    let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    let (family, action) = name.split_once(':').unwrap_or((name, ""));
    let version = object.version_id.and_then(version_id);
    let (change, version_id) = match (family, action) {
        ("ObjectCreated", _) => (created(object.e_tag.as_deref(), object.size), version),
        ("ObjectRemoved" | "LifecycleExpiration", "DeleteMarkerCreated") => {
            (ObjectChange::Deleted { marker_id: version }, None)
        }
        ("ObjectRemoved" | "LifecycleExpiration", _) => (ObjectChange::Deleted { marker_id: None }, version),
        (_, _) => return Ok(None),
    };
    Ok(Some(ObjectEvent {
        bucket: record.s3.bucket.name,
        key: decoded(&object.key).ok_or_else(|| {
            unreadable(format!("record {n} of the S3 event: the key `{}` is not URL-encoded UTF-8", object.key))
        })?,
        version_id,
        sequencer: object.sequencer,
        at: record.event_time,
        change,
    }))
}

/// An event in the format of EventBridge (S3 User Guide, "EventBridge event message structure").
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BusEvent {
    time: Timestamp,
    detail_type: String,
    detail: BusDetail,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BusDetail {
    bucket: BucketName,
    object: BusObject,
    deletion_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BusObject {
    key: String,
    size: Option<u64>,
    etag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

fn bus_event(event: &Value) -> Result<Option<ObjectEvent>, Failure> {
    let event = BusEvent::deserialize(event)
        .map_err(|error| unreadable(format!("the S3 event of EventBridge cannot be read: {error}")))?;
    let BusDetail { bucket, object, deletion_type } = event.detail;
    let version = object.version_id.and_then(version_id);
    let hides = deletion_type.as_deref() == Some("Delete Marker Created");
    let (change, version_id) = match (event.detail_type.as_str(), hides) {
        ("Object Created", _) => (created(object.etag.as_deref(), object.size), version),
        ("Object Deleted", true) => (ObjectChange::Deleted { marker_id: version }, None),
        ("Object Deleted", false) => (ObjectChange::Deleted { marker_id: None }, version),
        (_, _) => return Ok(None),
    };
    Ok(Some(ObjectEvent {
        bucket: bucket.name,
        key: object.key,
        version_id,
        sequencer: object.sequencer,
        at: event.time,
        change,
    }))
}

fn created(etag: Option<&str>, size: Option<u64>) -> ObjectChange {
    let etag = etag.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty());
    ObjectChange::Created { etag, size: size.unwrap_or_default() }
}

/// S3 writes `null` or nothing as the version of an object in a bucket without versioning.
fn version_id(id: String) -> Option<String> {
    (!matches!(id.as_str(), "" | "null")).then_some(id)
}

/// S3 notifications encode keys as HTML forms do: `+` stands for a space.
fn decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

fn json(text: &str, what: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| unreadable(format!("{what} is not JSON: {error}")))
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}

#[cfg(test)]
#[path = "s3_event_tests.rs"]
mod tests;
