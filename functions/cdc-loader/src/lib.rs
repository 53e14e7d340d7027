//! Decodes change events, stages them as rows of their table contract, and requests a load.
//!
//! ```text
//! Kafka · Kinesis · DynamoDB stream ── records ──┐                     ┌─ staged/…       rows; the keys are the queue of loads
//! SQS ──┬─ S3 event ───── lines of files ─────────┼── Batch ── Output ──┼─ unclaimed/…    records of tables without a contract
//!       └─ replay ── one record ─────────────────┘                     ├─ refused/…      with a message in the dead-letter queue
//!                                                                      └─ request queue  the run that loads the rows
//! ```
//!
//! Objects are written before the run is requested, so that the run finds them. Keys depend only on the records: a batch that is
//! delivered again, as a whole or in parts, writes the same objects.

mod batch;
mod contracts;
mod file;
mod incoming;
mod lines;
mod servers;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use shiftwork_aws::environment;
use shiftwork_change_data::{
    stage::{Delivery, Record},
    transport::{Offset, Partition},
};
use shiftwork_ports::{
    Bucket, Clock, DeadLetters, Objects, Requests, Result,
    messages::{self, Message},
};
use shiftwork_protocol::{
    Failure, FailureKind,
    change::{Bytes, Replay},
    load_request,
};

use batch::{Batch, Output, Source};
use contracts::{Claims, Contracts, contracts};
use incoming::{ChangeMessage, Incoming};
use servers::Servers;

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub dead_letter_queue_url: String,
        pub request_queue_url: String,
        pub scripts_bucket: String,
        pub staging_bucket: String,
    }
}

/// The metric of contracts that take rows of a further server; ChangeServersAlarm of the template watches it.
pub const SERVERS_METRIC: &str = "ChangeServersMerged";

/// Number of concurrent writes to the staging bucket.
const CONCURRENT_PUTS: usize = 8;

/// The ports and buckets that the loader uses.
pub struct Collaborators {
    /// The staging bucket.
    pub staging: Bucket,
    /// The buckets with files of change events.
    pub files: Arc<dyn Objects>,
    /// The scripts bucket, which has the table contracts.
    pub scripts: Bucket,
    /// The queue of requests for runs.
    pub requests: Arc<dyn Requests>,
    /// The queue of records that cannot be staged.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
}

/// The Lambda function cdc-loader.
pub struct Loader {
    staging: Bucket,
    files: Arc<dyn Objects>,
    contracts: Contracts,
    requests: Arc<dyn Requests>,
    dead_letters: Arc<dyn DeadLetters>,
    clock: Arc<dyn Clock>,
    /// Bytes of lines after which a staged file is closed.
    file_bytes: usize,
    servers: Servers,
}

impl Loader {
    /// Creates the loader with an empty cache of contracts.
    pub fn new(with: Collaborators) -> Self {
        Self {
            staging: with.staging,
            files: with.files,
            contracts: contracts(with.scripts),
            requests: with.requests,
            dead_letters: with.dead_letters,
            clock: with.clock,
            file_bytes: file::FILE_BYTES,
            servers: Servers::default(),
        }
    }

    /// Stages the records of a Lambda event. Returns the response for its event source mapping.
    ///
    /// # Errors
    /// A call of AWS failed. Lambda then delivers the whole batch again, so no record is lost. A record that cannot be decoded does not
    /// fail its batch.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        match incoming::read(event)? {
            Incoming::Records(records) => {
                let mut claims = self.contracts.recent(self.clock.now()).await?;
                let mut out = staged(&claims, &records)?;
                if out.counts.unclaimed > 0 {
                    // Their contract may have been pushed since the contracts were cached.
                    claims = self.contracts.newest(self.clock.now()).await?;
                    out = staged(&claims, &records)?;
                }
                self.write(&claims, out).await?;
                Ok(json!({}))
            }
            Incoming::Messages(messages) => {
                // One message at a time, because memory is bounded for one file.
                let (_, response) = messages::each(&messages, 1, async |message| self.message(message).await).await;
                Ok(json!(response))
            }
        }
    }

    async fn message(&self, message: &Message) -> Result<()> {
        let request = incoming::read_message(message)?;
        let claims = self.contracts.newest(self.clock.now()).await?;
        match request {
            ChangeMessage::Files { files, unreadable } => {
                for file in files {
                    self.file(&claims, &file).await?;
                }
                unreadable
            }
            ChangeMessage::Replay(replay) => self.replay(&claims, replay).await,
        }
    }

    /// Stages a replayed record in a partition of its own, because the watermark of its first partition may be past it.
    async fn replay(&self, claims: &Claims, replay: Replay) -> Result<()> {
        let place = format!("the replay of {} {}", replay.partition, replay.offset);
        let unreadable = |what: &str| Failure::new(FailureKind::InvalidRequest, format!("{place}: {what}"));
        let decoded =
            |text: &str| BASE64.decode(text).map_err(|error| unreadable(&format!("not valid base64: {error}")));
        let (record, key) = match &replay.record {
            Bytes::Base64(record) => (record.clone(), replay.key.clone()),
            Bytes::Object(object) => {
                let found = self.staging.get(object).await?;
                let found = found
                    .ok_or_else(|| unreadable(&format!("object {object} of the staging bucket does not exist")))?;
                match serde_json::from_slice(&found) {
                    Ok(Replay { record: Bytes::Base64(record), key, .. }) => (record, key),
                    Ok(_) | Err(_) => return Err(unreadable(&format!("object {object} does not contain a record"))),
                }
            }
            Bytes::Lost {} => return Err(unreadable("the bytes of the record were not kept")),
        };
        let (value, key) = (decoded(&record)?, key.as_deref().map(decoded).transpose()?);
        let offset = Offset::sequence_number(&replay.offset)
            .ok_or_else(|| unreadable("`offset` is not valid: at most 128 digits are expected"))?;
        let (first, at) = (Partition::from_text(&replay.partition), Offset::from_text(&replay.offset));
        let partition = Partition::replay(&first, &offset);
        let first = Some(Delivery { partition: &first, offset: &at });
        let mut batch = Batch::new(claims);
        let record = Record { value: &value, key: key.as_deref(), offset: &offset };
        batch.take(Source { partition: &partition, record, first }).map_err(memory)?;
        let mut out = batch.finish().map_err(memory)?;
        if let Some(message) = out.refused.first_mut() {
            // The record was refused again: the message names the same record as before, whose bytes are stored already.
            message.refused = replay;
            out.objects.clear();
        }
        self.write(claims, out).await
    }

    /// Writes the output of a batch, and requests the loads.
    async fn write(&self, claims: &Claims, out: Output) -> Result<()> {
        let files = out.objects.len();
        stream::iter(out.objects)
            .map(|(key, body)| async move { self.staging.put(&key, body).await })
            .buffer_unordered(CONCURRENT_PUTS)
            .try_collect::<()>()
            .await?;
        // After the files, so that the file of a mark that schema-watcher finds is staged or loaded.
        for (key, mark) in out.drift_marks {
            let mark =
                serde_json::to_vec(&mark).map_err(|error| Failure::new(FailureKind::Corrupt, error.to_string()))?;
            self.staging.put(&key, mark).await?;
        }
        for (key, contract) in out.proposed {
            self.staging.put_once(&key, contract.into_bytes()).await?;
        }
        if !out.refused.is_empty() {
            let messages: std::result::Result<Vec<_>, _> = out.refused.iter().map(serde_json::to_string).collect();
            let messages = messages.map_err(|error| Failure::new(FailureKind::Corrupt, error.to_string()))?;
            self.dead_letters.put(&messages).await?;
        }
        for index in &out.staged {
            let contract = claims.contract(*index).contract();
            if let Some(workflow) = contract.workflow() {
                let (request, after) = load_request(workflow, contract.load_every(), self.clock.now());
                self.requests.request(&request, after).await?;
            }
        }
        for (index, servers) in &out.servers {
            let contract = claims.contract(*index).contract().name();
            if let Some(all) = self.servers.add(contract, servers) {
                tracing::error!(
                    metric = SERVERS_METRIC,
                    contract,
                    servers = all,
                    "the contract takes tables of several servers, and rows with one key become one row: write a contract with another \
                     target table for each `source.server`, or `server: \"*\"` if this is intended"
                );
            }
        }
        let batch::Counts { records, rows, set_aside, refused, unclaimed } = out.counts;
        tracing::info!(records, rows, set_aside, refused, unclaimed, files, "staged");
        Ok(())
    }
}

/// Stages a batch. A record on which the decoder panics is refused, so that it does not block its shard.
fn staged(claims: &Claims, records: &[incoming::Record]) -> Result<Output> {
    isolate_panics(records, |records, panicking| {
        let mut batch = Batch::new(claims);
        for (at, incoming::Record { partition, offset, key, body }) in records.iter().enumerate() {
            let record = Record { value: body, key: key.as_deref(), offset };
            let source = Source { partition, record, first: None };
            if panicking.contains(&at) {
                batch.refuse_after_panic(source);
            } else {
                batch.take(source).map_err(memory)?;
            }
        }
        batch.finish().map_err(memory)
    })
}

/// Calls `all` with all items. If it panics, calls it for each item alone, and then again with all items and the indexes of those on
/// which it panicked.
fn isolate_panics<T, R>(items: &[T], all: impl Fn(&[T], &BTreeSet<usize>) -> R) -> R {
    let none = BTreeSet::new();
    let tried = |items: &[T]| catch_unwind(AssertUnwindSafe(|| all(items, &none)));
    tried(items).unwrap_or_else(|_| {
        let panicking = (0..items.len()).filter(|at| tried(&items[*at..=*at]).is_err()).collect();
        all(items, &panicking)
    })
}

#[allow(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn memory(error: std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("the staged records cannot be compressed: {error}"))
}

#[cfg(test)]
mod tests;
