//! Work items: batches of files for workers outside of shiftwork, and the workers' reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::{FileRecord, FileStatus};

/// A message of the work item queue: one batch. SQS may deliver a message twice; both copies have the same `batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkItem {
    /// Id of the batch. The worker repeats it in the completion.
    pub batch: String,
    /// Name of the feed.
    pub feed: String,
    /// End of the batch's claim on the files. After this time, another batch may have claimed files that are not
    /// complete.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Files to process.
    pub files: Vec<ItemFile>,
}

/// A file of a work item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemFile {
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version to read, if the bucket has versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Values of the named parts of the feed's key pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

impl From<&FileRecord> for ItemFile {
    fn from(file: &FileRecord) -> Self {
        Self {
            bucket: file.bucket.clone(),
            key: file.key.clone(),
            version_id: file.version_id.clone(),
            size: file.size,
            parts: file.parts.clone(),
        }
    }
}

/// A worker's report about a work item. Files without an outcome stay with the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// Id of the batch.
    pub batch: String,
    /// Name of the feed.
    pub feed: String,
    /// Outcome of every file that `files` does not name. If it is left out, these files stay open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Reason, unless `outcome` is `processed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Outcomes of single files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileOutcome>,
}

/// The outcome of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOutcome {
    /// Key of the file, not URL-encoded.
    pub key: String,
    /// Outcome of the file.
    pub outcome: Outcome,
    /// Reason, unless `outcome` is `processed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The outcome of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The worker processed the file.
    Processed,
    /// The batch failed for a reason outside of the file.
    Failed,
    /// The file itself cannot be processed.
    Quarantined,
}

impl From<Outcome> for FileStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Processed => Self::Processed,
            Outcome::Failed => Self::Failed,
            Outcome::Quarantined => Self::Quarantined,
        }
    }
}

impl Completion {
    /// Returns the status and the reason that the completion gives to a file; `None` if the file stays open.
    pub fn of(&self, file: &FileRecord) -> Option<(FileStatus, Option<String>)> {
        if let Some(said) = self.files.iter().find(|said| said.key == file.key) {
            return Some((said.outcome.into(), said.reason.clone().or_else(|| self.reason.clone())));
        }
        self.outcome.map(|outcome| (outcome.into(), self.reason.clone()))
    }
}
