//! Reads Lambda events: batches of Kafka, Kinesis and DynamoDB streams, and messages of the change queue.

use std::collections::HashMap;

use aws_lambda_events::event::kinesis::KinesisEvent;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::Value;
use shiftwork_change_data::transport::{Offset, Partition};
use shiftwork_ports::{
    ObjectVersion, Version,
    messages::{self, Message},
};
use shiftwork_protocol::{
    Failure, FailureKind,
    change::Replay,
    s3_event::{self, ObjectChange, ObjectEvent},
};

/// The content of a Lambda event.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Records of a stream, in order within each partition. If one fails, Lambda delivers all of them again.
    Records(Vec<Record>),
    /// Messages of a queue. Each succeeds or fails alone.
    Messages(Vec<Message>),
}

/// A record of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// The bytes of its key, if the transport has keys.
    pub(crate) key: Option<Vec<u8>>,
    /// The bytes of its value, a change event. Empty for a tombstone of Kafka.
    pub(crate) body: Vec<u8>,
}

/// The content of a message of the change queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangeMessage {
    /// Load files of change events.
    Files {
        /// The new objects. Empty if the S3 event does not announce one.
        files: Vec<ObjectVersion>,
        /// The failure of the first record of the S3 event that is not valid, which does not affect the other records.
        unreadable: Result<(), Failure>,
    },
    /// Load a record that was refused before.
    Replay(Replay),
}

/// Reads the payload of an invocation.
pub(crate) fn read(event: Value) -> Result<Incoming, Failure> {
    if let Some(messages) = messages::of_event(&event)? {
        return Ok(Incoming::Messages(messages));
    }
    let source =
        event["eventSource"].as_str().or_else(|| event["Records"][0]["eventSource"].as_str()).map(str::to_owned);
    match source.as_deref() {
        Some("aws:kafka" | "SelfManagedKafka") => kafka(event),
        Some("aws:kinesis") => kinesis(event),
        Some("aws:dynamodb") => dynamodb(event),
        Some(_) | None => Err(unreadable(
            "the event is neither a batch of Kafka, Kinesis or a DynamoDB stream nor messages of a queue: invoke cdc-loader only by \
             event source mappings"
                .to_owned(),
        )),
    }
}

/// The fields of a Kafka batch that are used. Headers are not read, so that an unexpected header does not block its partition.
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
    let event = KafkaBatch::deserialize(event).map_err(|error| unreadable(format!("Kafka batch: {error}")))?;
    let mut records = Vec::new();
    for record in event.records.into_values().flatten() {
        let at = format!("{}/{}@{}", record.topic.as_deref().unwrap_or_default(), record.partition, record.offset);
        let (Some(topic), Ok(offset)) = (record.topic, u64::try_from(record.offset)) else {
            return Err(unreadable(format!("Kafka batch: record {at} has no topic, or a negative offset")));
        };
        let decoded = |text: String| {
            BASE64
                .decode(text)
                .map_err(|error| unreadable(format!("Kafka batch: record {at} is not valid base64: {error}")))
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
    let event = KinesisEvent::deserialize(event).map_err(|error| unreadable(format!("Kinesis batch: {error}")))?;
    let record = |record: aws_lambda_events::event::kinesis::KinesisEventRecord| {
        let (id, arn) = (record.event_id.unwrap_or_default(), record.event_source_arn.unwrap_or_default());
        let place = || {
            let (shard, _) = id.split_once(':')?;
            let (_, stream) = arn.split_once(":stream/")?;
            Some((Partition::kinesis(stream, shard), Offset::sequence_number(&record.kinesis.sequence_number)?))
        };
        let (partition, offset) = place().ok_or_else(|| {
            unreadable(format!(
                "Kinesis batch: event id `{id}`, stream `{arn}` and the sequence number do not identify a record"
            ))
        })?;
        // Debezium Server writes the record's key, which a delete of MongoDB has nowhere else, as the partition key.
        let key = Some(record.kinesis.partition_key.into_bytes()).filter(|key| key.starts_with(b"{"));
        Ok(Record { partition, offset, key, body: record.kinesis.data.0 })
    };
    event.records.into_iter().map(record).collect::<Result<_, _>>().map(Incoming::Records)
}

/// The event does not name a shard, and the sequence numbers of two shards have no common order. So each batch is a partition, named
/// after its first record: Lambda redelivers a batch unchanged. If a record is ever delivered in another batch, its position (its
/// sequence number) identifies it.
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
        let (partition, offset) = place().ok_or_else(|| {
            unreadable(format!("DynamoDB batch: sequence number {number} of {arn} does not identify a record"))
        })?;
        Ok(Record { partition, offset, key: None, body: record.to_string().into_bytes() })
    };
    records.into_iter().map(record).collect::<Result<_, _>>().map(Incoming::Records)
}

/// Reads the body of a message: an S3 event, or a replay.
pub(crate) fn read_message(message: &Message) -> Result<ChangeMessage, Failure> {
    let unreadable =
        |reason: &dyn std::fmt::Display| unreadable(format!("message {} of the change queue: {reason}", message.id));
    let body = s3_event::message(&message.body).map_err(|failure| unreadable(&failure.message))?;
    if body.get("replay").is_some() {
        let replay = Replay::deserialize(&body["replay"]);
        return replay.map(ChangeMessage::Replay).map_err(|error| unreadable(&format!("not a valid replay: {error}")));
    }
    let events = s3_event::read(&body).map_err(|failure| unreadable(&failure.message))?;
    let events = events.ok_or_else(|| unreadable(&"the body is neither an S3 event nor a replay"))?;
    let mut failed = events.all_readable().map_err(|failure| unreadable(&failure.message));
    let mut files = Vec::new();
    for event in events.readable {
        match created(event) {
            Ok(file) => files.extend(file),
            Err(reason) => failed = failed.and_then(|()| Err(unreadable(&reason))),
        }
    }
    Ok(ChangeMessage::Files { files, unreadable: failed })
}

/// The object version that was created. `None` if the event is the deletion of an object.
fn created(ObjectEvent { bucket, key, version_id, change, .. }: ObjectEvent) -> Result<Option<ObjectVersion>, String> {
    let version = match (change, version_id) {
        (ObjectChange::Deleted { .. }, _) => return Ok(None),
        (ObjectChange::Created { .. }, Some(id)) => Version::Id(id),
        (ObjectChange::Created { etag: Some(etag), .. }, None) => Version::ETag(etag),
        (ObjectChange::Created { etag: None, .. }, None) => {
            return Err(format!("the S3 event of s3://{bucket}/{key} has neither a version id nor an ETag"));
        }
    };
    Ok(Some(ObjectVersion { bucket, key, version }))
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}
