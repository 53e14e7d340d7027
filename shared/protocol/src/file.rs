//! A file that landed in S3, as the file audit table has it, and the steps of its life.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use crate::{name::sha256, s3_event::compare_sequencers};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The feed of files that no feed claims: they are on record, and nobody takes them.
pub const UNCLAIMED: &str = "unclaimed";

/// Why a file that had ended is received once more.
const ASKED_AGAIN: &str = "asked for again";

/// Where a file stands. The text is what the table, the events and the command line show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FileStatus {
    /// On record; nobody has taken it.
    Received,
    /// Claimed by a batch, until its claim expires.
    Batched,
    /// Its batch is being loaded, or is with a worker.
    Processing,
    /// Done, once.
    Processed,
    /// Its batch failed, by no fault of the file.
    Failed,
    /// The file itself cannot be taken; the reason says why.
    Quarantined,
}

impl FileStatus {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Batched, Self::Processing, Self::Processed, Self::Failed, Self::Quarantined];

    /// The text that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Batched => "BATCHED",
            Self::Processing => "PROCESSING",
            Self::Processed => "PROCESSED",
            Self::Failed => "FAILED",
            Self::Quarantined => "QUARANTINED",
        }
    }

    /// True while something is still to be done with the file.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Received | Self::Batched | Self::Processing => true,
            Self::Processed | Self::Failed | Self::Quarantined => false,
        }
    }
}

impl fmt::Display for FileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Rows of fields (RFC 4180).
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// JSON objects, one after the other.
    Json,
    /// Columnar.
    Parquet,
    /// XML; for work items, COPY does not know it.
    Xml,
    /// Anything else; for work items.
    Custom,
}

impl Format {
    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "json_lines",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Xml => "xml",
            Self::Custom => "custom",
        }
    }

    /// True where COPY reads it.
    pub const fn is_loadable(self) -> bool {
        match self {
            Self::Csv | Self::JsonLines | Self::Json | Self::Parquet => true,
            Self::Xml | Self::Custom => false,
        }
    }
}

/// A file is one version of one key. Where a bucket keeps no versions, the ETag stands for one: the same key with new
/// content is a new file, and with the same content it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Feed.
    pub feed: String,
    /// [`key_hash`] of bucket and key.
    pub key_hash: String,
    /// `v.<version id>` or `e.<etag>`.
    pub version: String,
}

/// What the versions of a key have in common: 32 hex digits of SHA-256.
pub fn key_hash(bucket: &str, key: &str) -> String {
    // No bucket has a slash in its name.
    sha256(format!("{bucket}/{key}"))[..32].to_owned()
}

/// One file version: an item of the file audit table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its feed, or [`UNCLAIMED`].
    pub feed: String,
    /// The bucket.
    pub bucket: String,
    /// The key, as it is: not URL-encoded.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// S3's tag of its content, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// S3's order of the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// When S3 had it.
    #[serde(with = "crate::millis")]
    pub received_ts: Timestamp,
    /// When it was put on record.
    #[serde(with = "crate::millis")]
    pub registered_ts: Timestamp,
    /// What its feed said that it is, when it was put on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The named parts of its key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// S3's checksum of it, `<kind>:<base64>`, once it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Where it stands.
    pub file_status: FileStatus,
    /// Why it was not processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The batch that has it, or had it last: `<run>/<job>`, or the id of a work item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Until when the batch may keep it without a sign of life.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<Timestamp>,
    /// Everything that happened to it.
    #[serde(default)]
    pub history: Vec<Change>,
    /// Grows by one with every change: what a conditional write is held against.
    pub revision: u32,
}

/// A change of a file's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The status since then.
    pub file_status: FileStatus,
    /// When.
    #[serde(with = "crate::millis")]
    pub at: Timestamp,
    /// The batch, which names the run and the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A key, or one version of it, was deleted: an item of the file audit table beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The feed of the key, or [`UNCLAIMED`].
    pub feed: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version that is gone for good; none where the key as a whole was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// S3's order of the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// When S3 did it.
    #[serde(with = "crate::millis")]
    pub deleted_ts: Timestamp,
}

impl Deletion {
    /// What tells it from other deletions of the key.
    pub fn version(&self) -> String {
        let order = self.sequencer.clone().unwrap_or_else(|| crate::timestamp(self.deleted_ts));
        format!("deleted.{order}")
    }
}

/// What an event puts on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(Box<FileRecord>),
    /// A deletion.
    Deletion(Deletion),
}

/// Everything on record about one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHistory {
    /// Its versions.
    pub files: Vec<FileRecord>,
    /// Its deletions.
    pub deletions: Vec<Deletion>,
}

impl KeyHistory {
    /// Why this version is not what lies under its key any more; `None` while it is. COPY and most workers read a key,
    /// not a version: whoever loads an outdated version loads the content of another.
    pub fn outdated(&self, file: &FileRecord) -> Option<String> {
        let newer = self.files.iter().any(|other| other.id() != file.id() && other.order(file) == Ordering::Greater);
        let gone = self.deletions.iter().any(|deletion| match (&deletion.version_id, &file.version_id) {
            (Some(deleted), Some(version)) if deleted == version => true,
            // Another version was deleted for good, which leaves this one where it is.
            (Some(_), Some(_)) => false,
            (Some(_) | None, _) => {
                let deleted = (deletion.sequencer.as_deref(), deletion.deleted_ts);
                order(deleted, (file.sequencer.as_deref(), file.received_ts)) == Ordering::Greater
            }
        });
        match (newer, gone) {
            (false, false) => None,
            // One text for both, so that it does not depend on which event was known when.
            (true, _) | (_, true) => Some("the key was overwritten or deleted before this version was taken".into()),
        }
    }
}

/// The order of two events of one key: that of their sequencers, or of their times where one event has no sequencer, as in a
/// listing.
fn order((a, at_a): (Option<&str>, Timestamp), (b, at_b): (Option<&str>, Timestamp)) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_sequencers(a, b),
        (Some(_) | None, _) => at_a.cmp(&at_b),
    }
}

/// A step of a file's life. Each says from where it may be taken: [`FileRecord::after`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStep {
    /// A batch claims it: from RECEIVED, or from another batch whose claim expired. Again by the same batch: the claim is
    /// renewed.
    Claim {
        /// The batch.
        batch: String,
        /// Until when.
        until: Timestamp,
    },
    /// Its batch found S3's checksum of it.
    Checked {
        /// The batch.
        batch: String,
        /// `<kind>:<base64>`.
        checksum: String,
    },
    /// Its batch begins to work: from now on it goes to nobody else until the batch has ended.
    Begin {
        /// The batch.
        batch: String,
        /// When the batch should have ended.
        until: Timestamp,
    },
    /// Its batch is done with it.
    End {
        /// The batch.
        batch: String,
        /// PROCESSED, FAILED or QUARANTINED.
        to: FileStatus,
        /// Why not PROCESSED.
        reason: Option<String>,
    },
    /// Its batch gives it back untouched.
    Release {
        /// The batch.
        batch: String,
    },
    /// Nobody can take it.
    Refuse {
        /// Why.
        reason: String,
    },
    /// A person wants it taken again.
    Retry,
    /// The same content was put again: its place in the order of the key's events moves.
    SeenAgain {
        /// S3's order of the later event.
        sequencer: String,
    },
}

impl FileRecord {
    /// What tells it from every other file.
    pub fn id(&self) -> FileId {
        let version = match (&self.version_id, &self.etag) {
            (Some(version), _) => format!("v.{version}"),
            (None, Some(etag)) => format!("e.{etag}"),
            (None, None) => format!("t.{}", crate::timestamp(self.received_ts)),
        };
        FileId { feed: self.feed.clone(), key_hash: key_hash(&self.bucket, &self.key), version }
    }

    /// `s3://bucket/key`.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    fn order(&self, other: &Self) -> Ordering {
        order((self.sequencer.as_deref(), self.received_ts), (other.sequencer.as_deref(), other.received_ts))
    }

    /// True when it is in this batch, whatever became of it there.
    pub fn is_of(&self, batch: &str) -> bool {
        self.batch.as_deref() == Some(batch)
    }

    /// True when a new batch may claim it.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        match self.file_status {
            FileStatus::Received => true,
            FileStatus::Batched => self.claimed_until.is_none_or(|until| until <= now),
            FileStatus::Processing | FileStatus::Processed | FileStatus::Failed | FileStatus::Quarantined => false,
        }
    }

    /// How often a person wanted it taken again.
    pub fn retries(&self) -> usize {
        self.history.iter().filter(|change| change.reason.as_deref() == Some(ASKED_AGAIN)).count()
    }

    /// The record after a step; `None` where the step is not to be taken from here, because somebody else was first or
    /// because it was taken before and would change nothing.
    pub fn after(&self, step: &FileStep, now: Timestamp) -> Option<Self> {
        use FileStatus::{Batched, Failed, Processed, Processing, Quarantined, Received};
        let mut next = self.clone();
        next.revision += 1;
        match step {
            FileStep::Claim { batch, until } => {
                let renewal = self.file_status == Batched && self.is_of(batch);
                if renewal && self.claimed_until == Some(*until) || !(renewal || self.is_claimable(now)) {
                    return None;
                }
                next.batch = Some(batch.clone());
                next.claimed_until = Some(*until);
                if !renewal {
                    next.turn(Batched, now, None);
                }
            }
            FileStep::Checked { batch, checksum } => {
                if self.file_status != Batched || !self.is_of(batch) || self.checksum.as_ref() == Some(checksum) {
                    return None;
                }
                next.checksum = Some(checksum.clone());
            }
            FileStep::Begin { batch, until } => {
                if self.file_status != Batched || !self.is_of(batch) {
                    return None;
                }
                next.claimed_until = Some(*until);
                next.turn(Processing, now, None);
            }
            FileStep::End { batch, to, reason } => {
                // A statement that finished after its run was stopped has loaded the file all the same.
                let late_success = self.file_status == Failed && *to == Processed;
                if !self.is_of(batch) || !matches!(self.file_status, Batched | Processing) && !late_success {
                    return None;
                }
                next.claimed_until = None;
                next.reason.clone_from(reason);
                next.turn(*to, now, reason.clone());
            }
            FileStep::Release { batch } => {
                if !self.is_of(batch) || !matches!(self.file_status, Batched | Processing) {
                    return None;
                }
                next.batch = None;
                next.claimed_until = None;
                next.turn(Received, now, None);
            }
            FileStep::Refuse { reason } => {
                if !self.is_claimable(now) {
                    return None;
                }
                next.batch = None;
                next.claimed_until = None;
                next.reason = Some(reason.clone());
                next.turn(Quarantined, now, Some(reason.clone()));
            }
            FileStep::Retry => {
                if !matches!(self.file_status, Failed | Quarantined) {
                    return None;
                }
                next.batch = None;
                next.reason = None;
                next.turn(Received, now, Some(ASKED_AGAIN.into()));
            }
            FileStep::SeenAgain { sequencer } => {
                let later = order((Some(sequencer), now), (self.sequencer.as_deref().or(Some("")), now));
                if later != Ordering::Greater {
                    return None;
                }
                next.sequencer = Some(sequencer.clone());
            }
        }
        Some(next)
    }

    fn turn(&mut self, to: FileStatus, at: Timestamp, reason: Option<String>) {
        self.file_status = to;
        self.history.push(Change { file_status: to, at, batch: self.batch.clone(), reason });
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn file(key: &str, sequencer: &str) -> FileRecord {
        serde_json::from_value(json!({ "feed": "orders", "bucket": "landing", "key": key, "size": 100,
            "etag": format!("etag-{sequencer}"), "sequencer": sequencer, "received_ts": NOW, "registered_ts": NOW,
            "file_status": "RECEIVED", "revision": 0 }))
        .unwrap()
    }

    fn claim(batch: &str, until: Timestamp) -> FileStep {
        FileStep::Claim { batch: batch.into(), until }
    }

    #[test]
    fn two_batches_never_share_a_file() {
        let later = NOW + SignedDuration::from_mins(10);
        let file = file("orders/a.csv", "1");
        let claimed = file.after(&claim("one", later), NOW).unwrap();
        assert_eq!(claimed.after(&claim("two", later), NOW), None);
        let taken_over = claimed.after(&claim("two", later + SignedDuration::from_mins(1)), later).unwrap();
        assert!(taken_over.is_of("two"), "an expired claim holds nobody up");
        assert_eq!(taken_over.after(&FileStep::Begin { batch: "one".into(), until: later }, later), None);
    }

    #[test]
    fn a_file_that_is_being_loaded_goes_to_nobody_else_however_long_it_takes() {
        let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
        let begun = file.after(&FileStep::Begin { batch: "one".into(), until: NOW }, NOW).unwrap();
        let much_later = NOW + SignedDuration::from_hours(100);
        assert_eq!(begun.after(&claim("two", much_later), much_later), None);
    }

    #[test]
    fn an_end_is_for_good_but_for_a_late_success_and_a_retry() {
        let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
        let end = |to| FileStep::End { batch: "one".into(), to, reason: None };
        let failed = file.after(&end(FileStatus::Failed), NOW).unwrap();
        let processed = failed.after(&end(FileStatus::Processed), NOW).unwrap();
        for to in FileStatus::ALL {
            assert_eq!(processed.after(&end(to), NOW), None);
        }
        assert_eq!(processed.after(&FileStep::Retry, NOW), None);
        let again = failed.after(&FileStep::Retry, NOW).unwrap();
        assert_eq!(again.after(&end(FileStatus::Processed), NOW), None, "the batch has nothing to say any more");
    }

    #[test]
    fn a_version_is_outdated_by_one_with_a_later_sequencer() {
        let of = |sequencer: &str| file("orders/a.csv", sequencer);
        let (older, newer) = (of("0055AED6DCD90281E501"), of("0055AED6DCD90281E6"));
        let history = KeyHistory { files: vec![older.clone(), newer.clone()], deletions: Vec::new() };
        assert!(history.outdated(&older).is_some());
        assert_eq!(history.outdated(&newer), None, "the shorter sequencer is padded on its right");
    }
}
