//! A file that landed in S3, as the file audit table stores it, and the transitions between its statuses.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::file_history::{Deletion, KeyHistory, Put};
use crate::name::sha256;

/// Feed of the files that match no feed. The audit table records them, and no batch claims them.
pub const UNCLAIMED: &str = "unclaimed";

/// Reasons in the history of an ended file that was opened again. The table stores these texts.
const RETRY_REASON: &str = "asked for again";
const RELOAD_REASON: &str = "a person requested to load the file again";
const SENT_AGAIN_REASON: &str = "the content was sent again";
const CURRENT_AGAIN_REASON: &str = "the key has this content again";
const REOPENED: [&str; 4] = [RETRY_REASON, RELOAD_REASON, SENT_AGAIN_REASON, CURRENT_AGAIN_REASON];

/// Reason of a file that was quarantined because its key has other content. The table stores this text.
pub const SUPERSEDED: &str = "the key was overwritten or deleted before this version was taken";

/// Reason of a file that failed because its key changed during the load. The table stores this text.
pub const IN_DOUBT: &str = "the key was overwritten or deleted while it was being loaded, so it is unknown which content was loaded: \
    check the rows in the table before you load the file again";

/// Maximum number of earlier puts of the same content that a record keeps. The oldest are dropped first.
const MOST_EARLIER_PUTS: usize = 100;

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

/// Identifies a file: one content of one key. The ETag identifies the content, in buckets with and without versioning, so new
/// content under the same key is a new file, and the same content is the same file. ETags of equal content differ if the object is
/// encrypted with KMS or was uploaded in other parts (S3 API reference, "Object"); such an object is a new file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Name of the feed.
    pub feed: String,
    /// [`key_hash`] of bucket and key.
    pub key_hash: String,
    /// `e.<etag>`; `v.<version id>` or `t.<time>` if the event has no ETag.
    pub version: String,
}

/// Key of an object's versions in the table: the first 32 hexadecimal digits of a SHA-256.
pub fn key_hash(bucket: &str, key: &str) -> String {
    // A bucket name contains no slash, so the text is unambiguous.
    sha256(format!("{bucket}/{key}"))[..32].to_owned()
}

/// One content of a key: an item of the file audit table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Name of the feed, or [`UNCLAIMED`].
    pub feed: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version id of the latest put, if the bucket has versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// ETag without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Sequencer of the latest put, which orders the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Time of the latest put.
    #[serde(with = "crate::millis")]
    pub received_ts: Timestamp,
    /// Earlier puts of the same content, in a bucket with versioning: their versions can be deleted one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_puts: Vec<Put>,
    /// The latest put when the last batch claimed the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_put: Option<Put>,
    /// Time at which file-intake recorded the file, or opened it again.
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
    /// Columns of the fields of the file in their order, if its feed assigns fields to columns by the header of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
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

/// An item that an S3 event adds to the file audit table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file version.
    File(Box<FileRecord>),
    /// A deletion.
    Deletion(Deletion),
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
    /// The batch inspected the file.
    Checked {
        /// Id of the batch.
        batch: String,
        /// S3's checksum as `<kind>:<base64>`, if the feed expects one.
        checksum: Option<String>,
        /// The columns that the header of the file names, if the feed assigns fields by name.
        columns: Vec<String>,
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
    /// A person requested a retry of a file that was not processed.
    Retry,
    /// A person requested to load a processed file again.
    Reload,
    /// The key has the content of this quarantined file again, because newer versions or delete markers were deleted.
    CurrentAgain,
    /// The same content was put again. The file moves to the later position among the events of its key. A content that was not
    /// loaded is opened again, unless it is unknown whether it was loaded ([`IN_DOUBT`]).
    SentAgain(Put),
}

impl FileRecord {
    /// Id of the file.
    pub fn id(&self) -> FileId {
        let version = match (&self.etag, &self.version_id) {
            (Some(etag), _) => format!("e.{etag}"),
            (None, Some(version)) => format!("v.{version}"),
            (None, None) => format!("t.{}", crate::timestamp(self.received_ts)),
        };
        FileId { feed: self.feed.clone(), key_hash: key_hash(&self.bucket, &self.key), version }
    }

    /// URL of the file, as `s3://bucket/key`.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The latest put of the content.
    pub fn put(&self) -> Put {
        Put { version_id: self.version_id.clone(), sequencer: self.sequencer.clone(), at: self.received_ts }
    }

    /// The puts of the content, the latest first.
    pub(crate) fn puts(&self) -> impl Iterator<Item = Put> {
        std::iter::once(self.put()).chain(self.earlier_puts.iter().cloned())
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

    /// Number of times that the ended file was opened again.
    pub fn reopenings(&self) -> usize {
        let reopened = |change: &&Change| change.reason.as_deref().is_some_and(|reason| REOPENED.contains(&reason));
        self.history.iter().filter(reopened).count()
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
                    next.claimed_put = Some(self.put());
                    next.change_status(Batched, now, None);
                }
            }
            FileStep::Checked { batch, checksum, columns } => {
                next.checksum = checksum.clone().or(next.checksum);
                next.columns.clone_from(columns);
                let is_known = next.checksum == self.checksum && next.columns == self.columns;
                if self.file_status != Batched || !self.is_of(batch) || is_known {
                    return None;
                }
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
                next.reopen(now, RETRY_REASON);
            }
            FileStep::Reload => {
                if self.file_status != Processed {
                    return None;
                }
                next.reopen(now, RELOAD_REASON);
            }
            FileStep::CurrentAgain => {
                if self.file_status != Quarantined || self.reason.as_deref() != Some(SUPERSEDED) {
                    return None;
                }
                next.reopen(now, CURRENT_AGAIN_REASON);
            }
            FileStep::SentAgain(put) => {
                let latest = self.put();
                if latest.is_same(put) || self.earlier_puts.iter().any(|earlier| earlier.is_same(put)) {
                    return None;
                }
                // A file that a listing registered has no sequencer, and gets that of the event.
                let is_later = put.is_after(&latest) || self.sequencer.is_none() && put.sequencer.is_some();
                if !is_later {
                    put.version_id.as_ref()?;
                    next.remember(put.clone());
                    return Some(next);
                }
                if latest.version_id.is_some() {
                    next.remember(latest);
                }
                next.version_id.clone_from(&put.version_id);
                next.sequencer.clone_from(&put.sequencer);
                next.received_ts = put.at;
                let in_doubt = self.reason.as_deref() == Some(IN_DOUBT);
                if matches!(self.file_status, Failed | Quarantined) && !in_doubt {
                    next.reopen(now, SENT_AGAIN_REASON);
                }
            }
        }
        Some(next)
    }

    fn remember(&mut self, put: Put) {
        self.earlier_puts.push(put);
        let excess = self.earlier_puts.len().saturating_sub(MOST_EARLIER_PUTS);
        self.earlier_puts.drain(..excess);
    }

    fn reopen(&mut self, now: Timestamp, reason: &str) {
        self.batch = None;
        self.reason = None;
        self.claimed_until = None;
        self.registered_ts = now;
        self.change_status(FileStatus::Received, now, Some(reason.into()));
    }

    fn change_status(&mut self, to: FileStatus, at: Timestamp, reason: Option<String>) {
        self.file_status = to;
        self.history.push(Change { file_status: to, at, batch: self.batch.clone(), reason });
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
