//! What a message says: that something happened to objects, or what a worker did with its work item.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize as _;
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{Deletion, Entry, FileRecord, FileStatus, UNCLAIMED},
    s3_event::{self, ObjectChange, ObjectEvent},
    work_item::Completion,
};

use crate::feed::Feeds;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Something happened to objects; empty where nothing happened to their content.
    Objects(Vec<ObjectEvent>),
    /// A worker is done with a work item, or with a part of it.
    Completed(Completion),
}

/// What goes on record of an event.
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
        ObjectChange::Deleted => Entry::Deletion(Deletion {
            feed: name,
            bucket: event.bucket,
            key: event.key,
            version_id: event.version_id,
            sequencer: event.sequencer,
            deleted_ts: event.at,
        }),
    }
}

/// Reads the body of a message.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: it cannot be read, now or later.
pub fn read(body: &str) -> Result<Message, Failure> {
    let message = s3_event::message(body)?;
    if let Some(events) = s3_event::read(&message)? {
        return Ok(Message::Objects(events));
    }
    let unreadable = |words: String| Failure::new(FailureKind::InvalidRequest, words);
    if message.get("batch").is_none() {
        let words =
            "the message is neither an S3 event (by SQS, SNS or EventBridge) nor a worker's completion (`batch`)";
        return Err(unreadable(words.into()));
    }
    Completion::deserialize(&message)
        .map(Message::Completed)
        .map_err(|error| unreadable(format!("the completion cannot be read: {error}")))
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
    fn events_and_completions_are_told_apart() {
        let Message::Objects(events) = sample("s3-sns-sqs-created") else { panic!("not an event of S3") };
        assert_eq!(events[0].key, "orders/eu/2026-03-01/it's 1+1=2 ü.csv");
        assert_eq!(sample("s3-test-event"), Message::Objects(Vec::new()));
        let Message::Completed(completion) = sample("work-completed") else { panic!("not a completion") };
        assert_eq!(completion.feed, "invoices");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (body, why) in [
            ("{", "not JSON"),
            ("{}", "neither an S3 event"),
            ("[1]", "neither an S3 event"),
            (r#"{"Records":[{"eventSource":"aws:ses"}]}"#, "not an event of S3"),
            (r#"{"batch":1}"#, "completion cannot be read"),
        ] {
            let failure = read(body).unwrap_err();
            assert!(failure.message.contains(why), "{body}: {failure}");
        }
    }
}
