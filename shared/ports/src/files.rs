//! The file audit table, and the work item queue.

use jiff::Timestamp;
use shiftwork_port_macro::port;
use shiftwork_protocol::{
    file::{Entry, FileRecord, FileStep, KeyHistory},
    work_item::WorkItem,
};

use crate::Result;

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvancedFile {
    /// True if this call took the step; false if the step was not allowed or already taken, and the file was not changed.
    pub fresh: bool,
    /// Record of the file after the call.
    pub file: FileRecord,
}

/// The file audit table. Every write is conditional, so no call overwrites the result of another.
#[port]
pub trait FileRegister: Send + Sync {
    /// Records a file or a deletion unless it exists. Returns true if it is new.
    async fn put(&self, entry: &Entry) -> Result<bool>;
    /// Lists the open files of a feed in any order. Strongly consistent.
    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>>;
    /// Lists the oldest open files of a feed in any order: all files that were received until the instant at which `most`
    /// files are claimable at `now`, and all open files if fewer are claimable. Strongly consistent.
    async fn oldest(&self, feed: &str, most: usize, now: Timestamp) -> Result<Vec<FileRecord>>;
    /// Lists the open files that a batch holds, in any order. Strongly consistent.
    async fn of_batch(&self, feed: &str, batch: &str) -> Result<Vec<FileRecord>>;
    /// Reads all items of a key. Strongly consistent.
    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory>;
    /// Takes a step of a file if [`FileRecord::after`] allows it from the stored record. `seen` is the record that the
    /// caller read last.
    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile>;
    /// Lists the files of a feed that were received since `from`, newest first, at most `most` files.
    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>>;
    /// Returns true if [`FileRegister::record_notice`] was called with this text for the feed.
    async fn was_notified(&self, feed: &str, what: &str) -> Result<bool>;
    /// Records that a notification with this text was sent for the feed. Idempotent.
    async fn record_notice(&self, feed: &str, what: &str, now: Timestamp) -> Result<()>;
}

/// The work item queue.
#[port]
pub trait WorkQueue: Send + Sync {
    /// Sends a work item. Repeated calls send it again, with the same batch id.
    async fn send(&self, item: &WorkItem) -> Result<()>;
}
