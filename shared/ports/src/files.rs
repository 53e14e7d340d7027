//! The register of files, and the queue of work items.

use jiff::Timestamp;
use shiftwork_port_macro::port;
use shiftwork_protocol::{
    file::{Entry, FileRecord, FileStep, KeyHistory},
    work_item::WorkItem,
};

use crate::Result;

/// A file after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvancedFile {
    /// True when this call took the step; false when the file was further already and was left as it is.
    pub fresh: bool,
    /// The file as it now is.
    pub file: FileRecord,
}

/// The file audit table. Every write is conditional; none overwrites what another invocation did.
#[port]
pub trait FileRegister: Send + Sync {
    /// Puts a file or a deletion on record unless it is there. Returns whether it was new.
    async fn put(&self, entry: &Entry) -> Result<bool>;
    /// The open files of a feed, in no order. Strongly consistent: what was written before is seen.
    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>>;
    /// Everything on record about one key. Strongly consistent.
    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory>;
    /// Takes a file one step on, if [`FileRecord::after`] lets it from where it stands by now; `seen` is how the caller saw
    /// it last.
    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile>;
    /// The files of a feed that were received since `from`, newest first, at most `most` of them.
    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>>;
    /// Whether this was [said](FileRegister::say) about a feed.
    async fn said(&self, feed: &str, what: &str) -> Result<bool>;
    /// Records that people were told this about a feed. Again: the same.
    async fn say(&self, feed: &str, what: &str, now: Timestamp) -> Result<()>;
}

/// The queue of work items.
#[port]
pub trait WorkQueue: Send + Sync {
    /// Puts a batch into the queue. Again: the same batch is in it twice.
    async fn hand_out(&self, item: &WorkItem) -> Result<()>;
}
