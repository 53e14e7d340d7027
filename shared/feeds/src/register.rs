//! The collaborators: the register of files, and the buckets that they land in.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use shiftwork_ports::{FileStream, Result};

use crate::{Entry, FileRecord, FileStep, KeyHistory, item::WorkItem};

/// A file after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvancedFile {
    /// True when this call took the step; false when the file had gone on already, and was left as it is.
    pub fresh: bool,
    /// The file as it now is.
    pub file: FileRecord,
}

/// The file audit table. Every write is conditional; none overwrites what another invocation did.
#[async_trait]
pub trait FileRegister: Send + Sync {
    /// Puts a file or a deletion on record, unless it is there. Answers whether it was new.
    async fn put(&self, entry: &Entry) -> Result<bool>;
    /// The open files of a feed, in no order. Strongly consistent: what was written before is seen.
    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>>;
    /// Everything on record about one key. Strongly consistent.
    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory>;
    /// Takes a file one step on, if [`FileRecord::after`] lets it from where it stands by now; `seen` is how the caller saw
    /// it last.
    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile>;
    /// The files of a feed that came since then, newest first, so many at most.
    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>>;
    /// Whether somebody has [said](FileRegister::say) this about a feed.
    async fn said(&self, feed: &str, what: &str) -> Result<bool>;
    /// Keeps that people were told this about a feed. Again: the same.
    async fn say(&self, feed: &str, what: &str, now: Timestamp) -> Result<()>;
}

/// The queue of work items.
#[async_trait]
pub trait WorkQueue: Send + Sync {
    /// Hands a batch to whoever takes it first. Again: the same batch comes twice.
    async fn hand_out(&self, item: &WorkItem) -> Result<()>;
}

/// An object as S3 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Bytes.
    pub size: u64,
    /// Tag of its content, without quotes.
    pub etag: Option<String>,
    /// Checksums that S3 keeps with it, base64, by their kind (`sha256`).
    pub checksums: BTreeMap<&'static str, String>,
}

/// The buckets that files land in.
#[async_trait]
pub trait Landing: Send + Sync {
    /// What S3 says of an object; `None` when there is none.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Head>>;
    /// Opens an object; `None` when there is none.
    async fn read(&self, bucket: &str, key: &str) -> Result<Option<Box<dyn FileStream>>>;
    /// The last so many bytes of an object, all of a shorter one; `None` when there is none.
    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>>;
}
