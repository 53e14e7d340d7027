//! The events of one key in S3, and which content the key has after them.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    file::{FileRecord, FileStatus, SUPERSEDED},
    s3_event::compare_sequencers,
};

/// A put of an object, as an S3 event or a listing reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Version id, if the bucket has versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Sequencer of the S3 event, which orders the events of one key. A listing has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Time of the S3 event, or time of the last modification in a listing.
    #[serde(with = "crate::millis")]
    pub at: Timestamp,
}

impl Put {
    /// The order of two events of one key: by their sequencers, or by their times if an event has no sequencer, as in a
    /// listing.
    fn order(&self, other: &Self) -> Ordering {
        match (&self.sequencer, &other.sequencer) {
            (Some(a), Some(b)) => compare_sequencers(a, b),
            (Some(_) | None, _) => self.at.cmp(&other.at),
        }
    }

    /// Returns true if this put comes after the other put of the same key.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Greater
    }

    /// Returns true if both report the same put.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.version_id, &other.version_id, &self.sequencer, &other.sequencer) {
            (Some(a), Some(b), _, _) => a == b,
            (None, None, Some(a), Some(b)) => compare_sequencers(a, b) == Ordering::Equal,
            (_, _, _, _) => self == other,
        }
    }
}

/// The deletion of a key, or of one version of it: an item of the file audit table beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Feed of the key, or [`UNCLAIMED`](crate::file::UNCLAIMED).
    pub feed: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version that was deleted permanently, which may be a delete marker; none if the whole key was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Version id of the delete marker that hides the key, in a bucket with versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_id: Option<String>,
    /// Sequencer of the S3 event, which orders the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Time of the S3 event.
    #[serde(with = "crate::millis")]
    pub deleted_ts: Timestamp,
}

impl Deletion {
    /// The position of the deletion among the puts of the key.
    fn put(&self) -> Put {
        Put { version_id: self.version_id.clone(), sequencer: self.sequencer.clone(), at: self.deleted_ts }
    }

    /// Text that distinguishes the deletion from other deletions of the same key.
    pub fn version(&self) -> String {
        let order = self.sequencer.clone().unwrap_or_else(|| crate::timestamp(self.deleted_ts));
        format!("deleted.{order}")
    }
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
    /// Returns the reason why this file is no longer the current content of its key; `None` if it is current. COPY and most
    /// workers read a key without a version, so a batch with an outdated file would load other content.
    ///
    /// S3 shows the latest of the versions and delete markers that were not deleted permanently.
    pub fn outdated(&self, file: &FileRecord) -> Option<&'static str> {
        let Some(own) = self.latest(file) else { return Some(SUPERSEDED) };
        let mut others =
            self.files.iter().filter(|other| other.id() != file.id()).filter_map(|other| self.latest(other));
        let overwritten = others.any(|put| put.is_after(&own));
        let deleted = self.hiding().any(|deletion| deletion.put().is_after(&own));
        // Both cases have the same text, so the reason does not depend on the order in which events arrived.
        (overwritten || deleted).then_some(SUPERSEDED)
    }

    /// Returns true if the key had other content, or was deleted, after the last batch claimed the file.
    pub fn changed_since_claim(&self, file: &FileRecord) -> bool {
        let claimed = file.claimed_put.clone().unwrap_or_else(|| file.put());
        let mut others = self.files.iter().filter(|other| other.id() != file.id()).flat_map(FileRecord::puts);
        let overwritten = others.any(|put| put.is_after(&claimed));
        let deleted = self.deletions.iter().any(|deletion| {
            let hides = deletion.version_id.is_none() || deletion.version_id == claimed.version_id;
            hides && deletion.put().is_after(&claimed)
        });
        overwritten || deleted
    }

    /// Returns the file that was quarantined because its key had other content, and is the current content again.
    pub fn current_again(&self) -> Option<&FileRecord> {
        let superseded = |file: &&FileRecord| {
            file.file_status == FileStatus::Quarantined && file.reason.as_deref() == Some(SUPERSEDED)
        };
        self.files.iter().filter(superseded).find(|file| self.outdated(file).is_none())
    }

    /// The latest put of a file whose version was not deleted permanently.
    fn latest(&self, file: &FileRecord) -> Option<Put> {
        file.puts().filter(|put| !self.is_removed(put.version_id.as_deref())).max_by(Put::order)
    }

    /// The deletions of the whole key, without the delete markers that were deleted permanently.
    fn hiding(&self) -> impl Iterator<Item = &Deletion> {
        self.deletions
            .iter()
            .filter(|deletion| deletion.version_id.is_none() && !self.is_removed(deletion.marker_id.as_deref()))
    }

    fn is_removed(&self, version: Option<&str>) -> bool {
        version.is_some() && self.deletions.iter().any(|deletion| deletion.version_id.as_deref() == version)
    }
}
