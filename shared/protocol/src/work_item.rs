//! Work items: batches for workers outside of shiftwork, and what comes back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::{FileRecord, FileStatus};

/// A message of the queue of work items: one batch. It may come twice; `batch` is the same then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkItem {
    /// The batch; the completion names it.
    pub batch: String,
    /// The feed.
    pub feed: String,
    /// Until when the files are this batch's. What is completed later may have gone to another one.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// The files.
    pub files: Vec<ItemFile>,
}

/// A file of a work item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemFile {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version to read, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The named parts of its key.
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

/// What a worker says about a work item: of all its files, or of each. Files that it does not speak of stay with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The batch.
    pub batch: String,
    /// The feed.
    pub feed: String,
    /// What became of every file that `files` does not name; they stay open where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, where it did not go well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of single files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileOutcome>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOutcome {
    /// Its key.
    pub key: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it did not go well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Done.
    Processed,
    /// Not done, by no fault of the file.
    Failed,
    /// The file cannot be taken.
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
    /// What it says of a file: its end, and why.
    pub fn of(&self, file: &FileRecord) -> Option<(FileStatus, Option<String>)> {
        if let Some(said) = self.files.iter().find(|said| said.key == file.key) {
            return Some((said.outcome.into(), said.reason.clone().or_else(|| self.reason.clone())));
        }
        self.outcome.map(|outcome| (outcome.into(), self.reason.clone()))
    }
}
