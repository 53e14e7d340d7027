//! What can come in: batches of Kafka, Kinesis and DynamoDB streams, and messages of the change queue.

use std::collections::HashMap;

use aws_lambda_events::event::{kinesis::KinesisEvent, s3::S3Event, sqs::SqsEvent};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use shiftwork_change_data::transport::{Offset, Partition};
use shiftwork_ports::{FileVersion, Version};
use shiftwork_protocol::{Failure, FailureKind, change::Replay};

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Records of a stream, each partition in its order. They succeed or are tried again together.
    Records(Vec<Record>),
    /// Messages, each for itself.
    Messages(Vec<Message>),
}

/// A record as the transport has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// The bytes of its key, where the transport has keys.
    pub(crate) key: Option<Vec<u8>>,
    /// Its bytes: a change event. Empty for Kafka's tombstones.
    pub(crate) body: Vec<u8>,
}

/// A message of the change queue.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
}

/// What a message is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Files of change events that came to lie in S3.
    Files(Vec<FileVersion>),
    /// A record that is sent again.
    Replay(Replay),
    /// Nothing: S3's trial message when a notification is set up, an object that was deleted.
    Nothing,
}

/// Reads an event as Lambda hands it over.
pub(crate) fn read(event: Value) -> Result<Incoming, Failure> {
    let source =
        event["eventSource"].as_str().or_else(|| event["Records"][0]["eventSource"].as_str()).map(str::to_owned);
    match source.as_deref() {
        Some("aws:kafka" | "SelfManagedKafka") => kafka(event),
        Some("aws:kinesis") => kinesis(event),
        Some("aws:dynamodb") => dynamodb(event),
        Some("aws:sqs") => sqs(event),
        Some(_) | None => Err(unreadable(
            "neither a batch of Kafka, Kinesis or a DynamoDB stream nor messages of a queue: cdc-loader is called by event \
             source mappings"
                .to_owned(),
        )),
    }
}

/// A batch of Kafka, as far as it is of use. Headers are left unread: one of an odd shape must not hold a partition up.
#[derive(Deserialize)]
struct KafkaBatch {
    records: HashMap<String, Vec<KafkaRecord>>,
}

#[derive(Deserialize)]
struct KafkaRecord {
    topic: Option<String>,
    partition: i64,
    offset: i64,
    key: Option<String>,
    value: Option<String>,
}

fn kafka(event: Value) -> Result<Incoming, Failure> {
    let event = KafkaBatch::deserialize(event).map_err(|error| unreadable(format!("the batch of Kafka: {error}")))?;
    let mut records = Vec::new();
    for record in event.records.into_values().flatten() {
        let at = format!("{}/{}@{}", record.topic.as_deref().unwrap_or_default(), record.partition, record.offset);
        let (Some(topic), Ok(offset)) = (record.topic, u64::try_from(record.offset)) else {
            return Err(unreadable(format!("the batch of Kafka: record {at} has no place in a topic")));
        };
        let decoded = |text: String| {
            BASE64
                .decode(text)
                .map_err(|error| unreadable(format!("the batch of Kafka: record {at} is no base64: {error}")))
        };
        records.push(Record {
            partition: Partition::kafka(&topic, record.partition),
            offset: Offset::number(offset),
            key: record.key.map(decoded).transpose()?,
            body: record.value.map(decoded).transpose()?.unwrap_or_default(),
        });
    }
    Ok(Incoming::Records(records))
}

fn kinesis(event: Value) -> Result<Incoming, Failure> {
    let event =
        KinesisEvent::deserialize(event).map_err(|error| unreadable(format!("the batch of Kinesis: {error}")))?;
    let record = |record: aws_lambda_events::event::kinesis::KinesisEventRecord| {
        let (id, arn) = (record.event_id.unwrap_or_default(), record.event_source_arn.unwrap_or_default());
        let place = || {
            let (shard, _) = id.split_once(':')?;
            let (_, stream) = arn.split_once(":stream/")?;
            Some((Partition::kinesis(stream, shard), Offset::sequence_number(&record.kinesis.sequence_number)?))
        };
        let (partition, offset) = place()
            .ok_or_else(|| unreadable(format!("the batch of Kinesis: `{id}` of `{arn}` is no record's place")))?;
        Ok(Record { partition, offset, key: None, body: record.kinesis.data.0 })
    };
    event.records.into_iter().map(record).collect::<Result<_, _>>().map(Incoming::Records)
}

/// The event names no shard, and the sequence numbers of two shards have no common order. So a batch is a partition of its
/// own, named by its first record: Lambda delivers a batch again as it was. Should the same record ever come in another
/// batch, its position (its sequence number) says that it is the same.
fn dynamodb(mut event: Value) -> Result<Incoming, Failure> {
    let records = event["Records"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let mut batch: Option<Partition> = None;
    let record = |record: Value| {
        let (arn, number) = (&record["eventSourceARN"], &record["dynamodb"]["SequenceNumber"]);
        let place = || {
            let table = arn.as_str()?.split_once(":table/")?.1.split('/').next()?;
            let number = number.as_str()?;
            let partition = batch.get_or_insert_with(|| Partition::dynamodb(table, number)).clone();
            Some((partition, Offset::sequence_number(number)?))
        };
        let mut place = place;
        let (partition, offset) = place()
            .ok_or_else(|| unreadable(format!("the batch of DynamoDB: {number} of {arn} is no record's place")))?;
        Ok(Record { partition, offset, key: None, body: record.to_string().into_bytes() })
    };
    records.into_iter().map(record).collect::<Result<_, _>>().map(Incoming::Records)
}

fn sqs(event: Value) -> Result<Incoming, Failure> {
    let event = SqsEvent::deserialize(event).map_err(|error| unreadable(format!("the queue's messages: {error}")))?;
    let message = |message: aws_lambda_events::event::sqs::SqsMessage| Message {
        id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    };
    Ok(Incoming::Messages(event.records.into_iter().map(message).collect()))
}

/// Reads the body of a message: a notification of S3, an "Object Created" event of S3 on EventBridge, or a replay.
pub(crate) fn read_message(message: &Message) -> Result<About, Failure> {
    let unreadable = |what: &str, error: &dyn std::fmt::Display| {
        unreadable(format!("message {} of the change queue is {what}: {error}", message.id))
    };
    let body: Value = serde_json::from_str(&message.body).map_err(|error| unreadable("no JSON", &error))?;
    if body.get("replay").is_some() {
        return Replay::deserialize(&body["replay"])
            .map(About::Replay)
            .map_err(|error| unreadable("no replay", &error));
    }
    if body["source"] == "aws.s3" {
        return event_of_s3(&body).map(About::Files).ok_or_else(|| unreadable("no event of S3", &"it names no object"));
    }
    if body["Event"] == "s3:TestEvent" {
        return Ok(About::Nothing);
    }
    let event =
        S3Event::deserialize(&body).map_err(|error| unreadable("neither a notification of S3 nor a replay", &error))?;
    let mut files = Vec::new();
    for record in event.records {
        if !record.event_name.as_deref().unwrap_or_default().starts_with("ObjectCreated:") {
            continue;
        }
        let (bucket, object) = (record.s3.bucket.name, record.s3.object);
        let key = object.key.as_deref().map(decoded);
        let version = version(object.version_id.as_deref(), object.e_tag.as_deref());
        match (bucket, key, version) {
            (Some(bucket), Some(key), Some(version)) => files.push(FileVersion { bucket, key, version }),
            (_, _, _) => return Err(unreadable("no notification of S3", &"it names no version of an object")),
        }
    }
    Ok(if files.is_empty() { About::Nothing } else { About::Files(files) })
}

/// EventBridge has the key as it is; a notification has it URL-encoded.
fn event_of_s3(event: &Value) -> Option<Vec<FileVersion>> {
    let (bucket, object) = (&event["detail"]["bucket"], &event["detail"]["object"]);
    Some(vec![FileVersion {
        bucket: bucket["name"].as_str()?.into(),
        key: object["key"].as_str()?.into(),
        version: version(object["version-id"].as_str(), object["etag"].as_str())?,
    }])
}

fn version(id: Option<&str>, tag: Option<&str>) -> Option<Version> {
    match (id.filter(|id| !matches!(*id, "" | "null")), tag) {
        (Some(id), _) => Some(Version::Id(id.into())),
        (None, Some(tag)) => Some(Version::Tag(tag.trim_matches('"').into())),
        (None, None) => None,
    }
}

/// `a+b%2Fc` → `a b/c`: how notifications of S3 write keys (S3 User Guide, "Event message structure").
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}
