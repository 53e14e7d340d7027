//! Reads messages of the file queues: S3 events and the completions of workers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize as _;
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{Deletion, Entry, FileRecord, FileStatus, UNCLAIMED},
    s3_event::{self, ObjectChange, ObjectEvent, ObjectEvents},
    work_item::Completion,
};

use crate::feed::Feeds;

/// A message of a file queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Created and deleted objects. Empty for an S3 event that is neither, such as a test event.
    Objects(ObjectEvents),
    /// A worker's result for a work item or for some of its files.
    Completed(Completion),
}

/// Returns true for an empty object that stands for a folder: its key ends with `/` (S3 console), or with `_$folder$` (Hadoop and
/// EMR). It is not a file.
pub fn is_folder(event: &ObjectEvent) -> bool {
    let empty = match &event.change {
        ObjectChange::Created { size, .. } => *size == 0,
        ObjectChange::Deleted { .. } => true,
    };
    empty && (event.key.ends_with('/') || event.key.ends_with("_$folder$"))
}

/// The register entry of an event, with the feed that the key belongs to and the named parts of the key.
pub fn entry(event: ObjectEvent, feeds: &Feeds, now: Timestamp) -> Entry {
    let (feed, parts) =
        feeds.of(&event.bucket, &event.key).map_or((None, BTreeMap::default()), |(feed, parts)| (Some(feed), parts));
    let name = feed.map_or(UNCLAIMED, |feed| &feed.feed).to_owned();
    match event.change {
        ObjectChange::Created { etag, size } => Entry::File(Box::new(FileRecord {
            feed: name,
            bucket: event.bucket,
            key: event.key,
            version_id: event.version_id,
            etag,
            size,
            sequencer: event.sequencer,
            received_ts: event.at,
            earlier_puts: Vec::new(),
            claimed_put: None,
            registered_ts: now,
            format: feed.map(|feed| feed.format),
            parts,
            checksum: None,
            columns: Vec::new(),
            file_status: FileStatus::Received,
            reason: None,
            batch: None,
            claimed_until: None,
            history: Vec::new(),
            revision: 0,
        })),
        ObjectChange::Deleted { marker_id } => Entry::Deletion(Deletion {
            feed: name,
            bucket: event.bucket,
            key: event.key,
            version_id: event.version_id,
            marker_id,
            sequencer: event.sequencer,
            deleted_ts: event.at,
        }),
    }
}

/// Parses the body of a message.
///
/// # Errors
/// Returns [`FailureKind::InvalidRequest`] if the body is neither an S3 event nor a completion. A retry cannot succeed.
pub fn read(body: &str) -> Result<Message, Failure> {
    let message = s3_event::message(body)?;
    if let Some(events) = s3_event::read(&message)? {
        return Ok(Message::Objects(events));
    }
    let unreadable = |message: String| Failure::new(FailureKind::InvalidRequest, message);
    if message.get("batch").is_none() {
        let expected =
            "the message is neither an S3 event (from SQS, SNS or EventBridge) nor a completion with a `batch`";
        return Err(unreadable(expected.into()));
    }
    Completion::deserialize(&message)
        .map(Message::Completed)
        .map_err(|error| unreadable(format!("the completion is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Message {
        let path = format!("{}/../../events/file-intake/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        read(event["Records"][0]["body"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn events_and_completions_are_distinguished() {
        let Message::Objects(events) = sample("s3-sns-sqs-created") else { panic!("not an event of S3") };
        assert_eq!(events.readable[0].key, "orders/eu/2026-03-01/it's 1+1=2 ü.csv");
        assert_eq!(sample("s3-test-event"), Message::Objects(ObjectEvents::default()));
        let Message::Completed(completion) = sample("work-completed") else { panic!("not a completion") };
        assert_eq!(completion.feed, "invoices");
    }

    #[test]
    fn an_invalid_message_is_refused_with_the_reason() {
        for (body, reason) in [
            ("{", "not JSON"),
            ("{}", "neither an S3 event"),
            ("[1]", "neither an S3 event"),
            (r#"{"batch":1}"#, "completion is not valid"),
        ] {
            let failure = read(body).unwrap_err();
            assert!(failure.message.contains(reason), "{body}: {failure}");
        }
    }
}
