//! A file that landed in S3, as the file audit table stores it, and the transitions between its statuses.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use crate::{name::sha256, s3_event::compare_sequencers};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Feed of the files that match no feed. The audit table records them, and no batch claims them.
pub const UNCLAIMED: &str = "unclaimed";

/// Reason in the history when a person requests a retry of a file. The table stores this text.
const RETRY_REASON: &str = "asked for again";

/// The status of a file. The table, the events and the CLI show the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FileStatus {
    /// Recorded; no batch has claimed the file.
    Received,
    /// A batch has claimed the file until the claim expires.
    Batched,
    /// The batch is being loaded, or a worker has it.
    Processing,
    /// Loaded, or processed by a worker. Happens once per file.
    Processed,
    /// The batch failed for a reason outside of the file.
    Failed,
    /// The file itself cannot be processed; `reason` says why.
    Quarantined,
}

impl FileStatus {
    /// Every status, in the order in which a file goes through them.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Batched, Self::Processing, Self::Processed, Self::Failed, Self::Quarantined];

    /// The text in tables, events and the CLI.
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

    /// Returns true if the file still has to be processed.
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

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Rows of delimited fields (RFC 4180).
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// A sequence of JSON objects.
    Json,
    /// Apache Parquet, a columnar format.
    Parquet,
    /// XML. COPY does not read it; for work items only.
    Xml,
    /// Any other format; for work items only.
    Custom,
}

impl Format {
    /// Value of `format` in a feed's configuration.
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

    /// Returns true if COPY reads the format.
    pub const fn is_loadable(self) -> bool {
        match self {
            Self::Csv | Self::JsonLines | Self::Json | Self::Parquet => true,
            Self::Xml | Self::Custom => false,
        }
    }
}

/// Identifies a file: one version of one key. In a bucket without versioning the ETag is the version, so new content
/// under the same key is a new file, and the same content is the same file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Name of the feed.
    pub feed: String,
    /// [`key_hash`] of bucket and key.
    pub key_hash: String,
    /// `v.<version id>` or `e.<etag>`.
    pub version: String,
}

/// Key of an object's versions in the table: the first 32 hexadecimal digits of a SHA-256.
pub fn key_hash(bucket: &str, key: &str) -> String {
    // A bucket name contains no slash, so the text is unambiguous.
    sha256(format!("{bucket}/{key}"))[..32].to_owned()
}

/// One file version: an item of the file audit table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Name of the feed, or [`UNCLAIMED`].
    pub feed: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version id, if the bucket has versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// ETag without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Sequencer of the S3 event, which orders the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Time of the S3 event.
    #[serde(with = "crate::millis")]
    pub received_ts: Timestamp,
    /// Time at which file-intake recorded the file.
    #[serde(with = "crate::millis")]
    pub registered_ts: Timestamp,
    /// Format that the feed declared when the file was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Values of the named parts of the feed's key pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// S3's checksum as `<kind>:<base64>`, if shiftwork has requested it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Status of the file.
    pub file_status: FileStatus,
    /// Reason why the file was not processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last batch that claimed the file: `<run>/<job>`, or the id of a work item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// End of the batch's claim, unless the batch renews it.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<Timestamp>,
    /// Every change of the status, oldest first.
    #[serde(default)]
    pub history: Vec<Change>,
    /// Number of changes of the item. A conditional write compares it.
    pub revision: u32,
}

/// A change of a file's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// New status.
    pub file_status: FileStatus,
    /// Time of the change.
    #[serde(with = "crate::millis")]
    pub at: Timestamp,
    /// Batch that caused the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Reason of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The deletion of a key, or of one version of it: an item of the file audit table beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Feed of the key, or [`UNCLAIMED`].
    pub feed: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version that was deleted permanently; none if the whole key was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Sequencer of the S3 event, which orders the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Time of the S3 event.
    #[serde(with = "crate::millis")]
    pub deleted_ts: Timestamp,
}

impl Deletion {
    /// Text that distinguishes the deletion from other deletions of the same key.
    pub fn version(&self) -> String {
        let order = self.sequencer.clone().unwrap_or_else(|| crate::timestamp(self.deleted_ts));
        format!("deleted.{order}")
    }
}

/// An item that an S3 event adds to the file audit table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file version.
    File(Box<FileRecord>),
    /// A deletion.
    Deletion(Deletion),
}

/// All items of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHistory {
    /// Versions of the key.
    pub files: Vec<FileRecord>,
    /// Deletions of the key.
    pub deletions: Vec<Deletion>,
}

impl KeyHistory {
    /// Returns the reason why this version is no longer the current content of its key; `None` if it is current. COPY
    /// and most workers read a key without a version, so a batch with an outdated version would load the content of
    /// another version.
    pub fn outdated(&self, file: &FileRecord) -> Option<String> {
        let newer = self.files.iter().any(|other| other.id() != file.id() && other.order(file) == Ordering::Greater);
        let gone = self.deletions.iter().any(|deletion| match (&deletion.version_id, &file.version_id) {
            (Some(deleted), Some(version)) if deleted == version => true,
            // A permanent deletion of another version does not affect this version.
            (Some(_), Some(_)) => false,
            (Some(_) | None, _) => {
                let deleted = (deletion.sequencer.as_deref(), deletion.deleted_ts);
                order(deleted, (file.sequencer.as_deref(), file.received_ts)) == Ordering::Greater
            }
        });
        match (newer, gone) {
            (false, false) => None,
            // Both cases have the same text, so the reason does not depend on the order in which events arrived.
            (true, _) | (_, true) => Some("the key was overwritten or deleted before this version was taken".into()),
        }
    }
}

/// The order of two events of one key: by their sequencers, or by their times if an event has no sequencer, as in a
/// listing.
fn order((a, at_a): (Option<&str>, Timestamp), (b, at_b): (Option<&str>, Timestamp)) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_sequencers(a, b),
        (Some(_) | None, _) => at_a.cmp(&at_b),
    }
}

/// A transition of a file. [`FileRecord::after`] defines the statuses in which each transition is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStep {
    /// A batch claims the file. Allowed from RECEIVED, or from another batch whose claim expired. A second claim of the
    /// same batch renews the claim.
    Claim {
        /// Id of the batch.
        batch: String,
        /// End of the claim.
        until: Timestamp,
    },
    /// The batch read S3's checksum of the file.
    Checked {
        /// Id of the batch.
        batch: String,
        /// `<kind>:<base64>`.
        checksum: String,
    },
    /// The batch starts its work. No other batch can claim the file until this batch ends.
    Begin {
        /// Id of the batch.
        batch: String,
        /// Time at which the batch should have ended.
        until: Timestamp,
    },
    /// The batch ended.
    End {
        /// Id of the batch.
        batch: String,
        /// New status: PROCESSED, FAILED or QUARANTINED.
        to: FileStatus,
        /// Reason, unless the status is PROCESSED.
        reason: Option<String>,
    },
    /// The batch releases the file without having processed it.
    Release {
        /// Id of the batch.
        batch: String,
    },
    /// The file cannot be processed, and no batch has it.
    Refuse {
        /// Reason for the quarantine.
        reason: String,
    },
    /// A person requested a retry.
    Retry,
    /// The same content was put again, which moves the file to a later position among the events of its key.
    SeenAgain {
        /// Sequencer of the later event.
        sequencer: String,
    },
}

impl FileRecord {
    /// Id of the file.
    pub fn id(&self) -> FileId {
        let version = match (&self.version_id, &self.etag) {
            (Some(version), _) => format!("v.{version}"),
            (None, Some(etag)) => format!("e.{etag}"),
            (None, None) => format!("t.{}", crate::timestamp(self.received_ts)),
        };
        FileId { feed: self.feed.clone(), key_hash: key_hash(&self.bucket, &self.key), version }
    }

    /// URL of the file, as `s3://bucket/key`.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    fn order(&self, other: &Self) -> Ordering {
        order((self.sequencer.as_deref(), self.received_ts), (other.sequencer.as_deref(), other.received_ts))
    }

    /// Returns true if the file is, or was last, in this batch.
    pub fn is_of(&self, batch: &str) -> bool {
        self.batch.as_deref() == Some(batch)
    }

    /// Returns true if a new batch may claim the file.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        match self.file_status {
            FileStatus::Received => true,
            FileStatus::Batched => self.claimed_until.is_none_or(|until| until <= now),
            FileStatus::Processing | FileStatus::Processed | FileStatus::Failed | FileStatus::Quarantined => false,
        }
    }

    /// Number of retries that persons requested.
    pub fn retries(&self) -> usize {
        self.history.iter().filter(|change| change.reason.as_deref() == Some(RETRY_REASON)).count()
    }

    /// Returns the record after a transition; `None` if the transition is not allowed from the current status, or was
    /// already made and changes nothing.
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
                    next.change_status(Batched, now, None);
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
                next.change_status(Processing, now, None);
            }
            FileStep::End { batch, to, reason } => {
                // A statement that finishes after its run was stopped has loaded the file.
                let late_success = self.file_status == Failed && *to == Processed;
                if !self.is_of(batch) || !matches!(self.file_status, Batched | Processing) && !late_success {
                    return None;
                }
                next.claimed_until = None;
                next.reason.clone_from(reason);
                next.change_status(*to, now, reason.clone());
            }
            FileStep::Release { batch } => {
                if !self.is_of(batch) || !matches!(self.file_status, Batched | Processing) {
                    return None;
                }
                next.batch = None;
                next.claimed_until = None;
                next.change_status(Received, now, None);
            }
            FileStep::Refuse { reason } => {
                if !self.is_claimable(now) {
                    return None;
                }
                next.batch = None;
                next.claimed_until = None;
                next.reason = Some(reason.clone());
                next.change_status(Quarantined, now, Some(reason.clone()));
            }
            FileStep::Retry => {
                if !matches!(self.file_status, Failed | Quarantined) {
                    return None;
                }
                next.batch = None;
                next.reason = None;
                next.change_status(Received, now, Some(RETRY_REASON.into()));
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

    fn change_status(&mut self, to: FileStatus, at: Timestamp, reason: Option<String>) {
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
    fn two_batches_never_claim_the_same_file() {
        let later = NOW + SignedDuration::from_mins(10);
        let file = file("orders/a.csv", "1");
        let claimed = file.after(&claim("one", later), NOW).unwrap();
        assert_eq!(claimed.after(&claim("two", later), NOW), None);
        let taken_over = claimed.after(&claim("two", later + SignedDuration::from_mins(1)), later).unwrap();
        assert!(taken_over.is_of("two"), "another batch may take over an expired claim");
        assert_eq!(taken_over.after(&FileStep::Begin { batch: "one".into(), until: later }, later), None);
    }

    #[test]
    fn no_other_batch_claims_a_file_that_is_processing() {
        let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
        let begun = file.after(&FileStep::Begin { batch: "one".into(), until: NOW }, NOW).unwrap();
        let much_later = NOW + SignedDuration::from_hours(100);
        assert_eq!(begun.after(&claim("two", much_later), much_later), None);
    }

    #[test]
    fn only_a_late_success_or_a_retry_changes_a_final_status() {
        let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
        let end = |to| FileStep::End { batch: "one".into(), to, reason: None };
        let failed = file.after(&end(FileStatus::Failed), NOW).unwrap();
        let processed = failed.after(&end(FileStatus::Processed), NOW).unwrap();
        for to in FileStatus::ALL {
            assert_eq!(processed.after(&end(to), NOW), None);
        }
        assert_eq!(processed.after(&FileStep::Retry, NOW), None);
        let again = failed.after(&FileStep::Retry, NOW).unwrap();
        assert_eq!(
            again.after(&end(FileStatus::Processed), NOW),
            None,
            "after a retry the batch no longer has the file"
        );
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
