//! Change events arrive: they are decoded, staged as their table's contract says, and a load is asked for.
//!
//! ```text
//! Kafka · Kinesis · DynamoDB stream ── records ──┐                     ┌─ staged/…       rows; the keys are the queue of loads
//! SQS ──┬─ event of S3 ── lines of files ─────────┼── Batch ── Output ──┼─ unclaimed/…    records of tables without a contract
//!       └─ replay ── one record ─────────────────┘                     ├─ refused/…      with a message in the dead-letter queue
//!                                                                      └─ request queue  the run that loads them
//! ```
//!
//! Objects are written first and the run is requested last, so that the run finds them. Keys depend on the records alone: a
//! batch that is delivered again, whole or in halves, writes the same objects.

mod batch;
mod contracts;
mod file;
mod incoming;
mod lines;

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
    stage::Record,
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

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub dead_letter_queue_url: String,
        pub request_queue_url: String,
        pub scripts_bucket: String,
        pub staging_bucket: String,
    }
}

/// Objects that are put at the same time.
const PUTTING: usize = 8;

/// What the loader uses.
pub struct Collaborators {
    /// The staging bucket.
    pub staging: Bucket,
    /// The buckets of files of change events.
    pub files: Arc<dyn Objects>,
    /// The scripts bucket, for contracts.
    pub scripts: Bucket,
    /// The queue of requests for runs.
    pub requests: Arc<dyn Requests>,
    /// The queue of records that cannot be staged.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The function.
pub struct Loader {
    staging: Bucket,
    files: Arc<dyn Objects>,
    contracts: Contracts,
    requests: Arc<dyn Requests>,
    dead_letters: Arc<dyn DeadLetters>,
    clock: Arc<dyn Clock>,
    cut: usize,
}

impl Loader {
    /// Over these collaborators.
    pub fn new(with: Collaborators) -> Self {
        Self {
            staging: with.staging,
            files: with.files,
            contracts: contracts(with.scripts),
            requests: with.requests,
            dead_letters: with.dead_letters,
            clock: with.clock,
            cut: file::CUT,
        }
    }

    /// Stages what came in.
    ///
    /// # Errors
    /// AWS failed: nothing is lost, and the whole batch comes again. A record never fails its batch.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        match incoming::read(event)? {
            Incoming::Records(records) => {
                let mut claims = self.contracts.recent(self.clock.now()).await?;
                let mut out = staged(&claims, &records)?;
                if out.counts.unclaimed > 0 {
                    // Their contract may have been pushed since.
                    claims = self.contracts.newest(self.clock.now()).await?;
                    out = staged(&claims, &records)?;
                }
                self.write(&claims, out).await?;
                Ok(json!({}))
            }
            Incoming::Messages(messages) => {
                // One after the other: a file is read in bounded memory, several at once are not.
                let (_, response) = messages::each(&messages, 1, async |message| self.message(message).await).await;
                Ok(json!(response))
            }
        }
    }

    async fn message(&self, message: &Message) -> Result<()> {
        let asked = incoming::read_message(message)?;
        let claims = self.contracts.newest(self.clock.now()).await?;
        match asked {
            ChangeMessage::Files(files) => {
                for file in files {
                    self.file(&claims, &file).await?;
                }
                Ok(())
            }
            ChangeMessage::Replay(replay) => self.replay(&claims, replay).await,
        }
    }

    /// A record that is sent again is a partition of its own: the watermark of its old one has passed it.
    async fn replay(&self, claims: &Claims, replay: Replay) -> Result<()> {
        let place = format!("the replay of {} {}", replay.partition, replay.offset);
        let unreadable = |what: &str| Failure::new(FailureKind::InvalidRequest, format!("{place}: {what}"));
        let decoded = |text: &str| BASE64.decode(text).map_err(|error| unreadable(&format!("no base64: {error}")));
        let (record, key) = match &replay.record {
            Bytes::Base64(record) => (record.clone(), replay.key.clone()),
            Bytes::Object(object) => {
                let found = self.staging.get(object).await?;
                let found =
                    found.ok_or_else(|| unreadable(&format!("object {object} of the staging bucket is gone")))?;
                match serde_json::from_slice(&found) {
                    Ok(Replay { record: Bytes::Base64(record), key, .. }) => (record, key),
                    Ok(_) | Err(_) => return Err(unreadable(&format!("object {object} holds no record"))),
                }
            }
            Bytes::Lost {} => return Err(unreadable("its bytes were not kept")),
        };
        let (value, key) = (decoded(&record)?, key.as_deref().map(decoded).transpose()?);
        let offset =
            Offset::sequence_number(&replay.offset).ok_or_else(|| unreadable("no offset: digits are expected"))?;
        let partition = Partition::replay(&Partition::from_text(&replay.partition), &offset);
        let mut batch = Batch::new(claims);
        let record = Record { value: &value, key: key.as_deref(), offset: &offset };
        batch.take(Source { partition: &partition, record }).map_err(memory)?;
        let mut out = batch.finish().map_err(memory)?;
        if let Some(letter) = out.refused.first_mut() {
            // Refused again: the letter is about the same record as before, and its bytes are where they were.
            letter.refused = replay;
            out.objects.clear();
        }
        self.write(claims, out).await
    }

    /// Writes what came of some records, and asks for the loads.
    async fn write(&self, claims: &Claims, out: Output) -> Result<()> {
        let files = out.objects.len();
        stream::iter(out.objects)
            .map(|(key, body)| async move { self.staging.put(&key, body).await })
            .buffer_unordered(PUTTING)
            .try_collect::<()>()
            .await?;
        // Behind the files that they speak of: whoever finds a mark finds its file, staged or loaded.
        for (key, staged) in out.drift_marks {
            self.staging.put(&key, staged.into_bytes()).await?;
        }
        for (key, contract) in out.proposed {
            self.staging.put_once(&key, contract.into_bytes()).await?;
        }
        if !out.refused.is_empty() {
            let letters: std::result::Result<Vec<_>, _> = out.refused.iter().map(serde_json::to_string).collect();
            let letters = letters.map_err(|error| Failure::new(FailureKind::Corrupt, error.to_string()))?;
            self.dead_letters.put(&letters).await?;
        }
        for index in &out.staged {
            let contract = claims.contract(*index).contract();
            if let Some(workflow) = contract.workflow() {
                let (request, after) = load_request(workflow, contract.load_every(), self.clock.now());
                self.requests.ask(&request, after).await?;
            }
        }
        let batch::Counts { records, rows, set_aside, refused, unclaimed } = out.counts;
        tracing::info!(records, rows, set_aside, refused, unclaimed, files, "staged");
        Ok(())
    }
}

/// Stages a batch. A record over which the decoder breaks must not hold its shard up: it is found and set apart.
fn staged(claims: &Claims, records: &[incoming::Record]) -> Result<Output> {
    without_breaking(records, |records, broken| {
        let mut batch = Batch::new(claims);
        for (at, incoming::Record { partition, offset, key, body }) in records.iter().enumerate() {
            let record = Record { value: body, key: key.as_deref(), offset };
            let source = Source { partition, record };
            if broken.contains(&at) {
                batch.set_apart(source);
            } else {
                batch.take(source).map_err(memory)?;
            }
        }
        batch.finish().map_err(memory)
    })
}

/// Does something with all items at once; where that panics, with those left out over which it panics one by one.
fn without_breaking<T, R>(items: &[T], all: impl Fn(&[T], &BTreeSet<usize>) -> R) -> R {
    let none = BTreeSet::new();
    let tried = |items: &[T]| catch_unwind(AssertUnwindSafe(|| all(items, &none)));
    tried(items).unwrap_or_else(|_| {
        let broken = (0..items.len()).filter(|at| tried(&items[*at..=*at]).is_err()).collect();
        all(items, &broken)
    })
}

#[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
fn memory(error: std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("records cannot be compressed: {error}"))
}

#[cfg(test)]
mod tests;
