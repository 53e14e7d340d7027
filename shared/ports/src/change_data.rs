//! What change data passes through between its source and Redshift.

use std::time::Duration;

use async_trait::async_trait;
use shiftwork_protocol::payload::RunRequest;

use crate::Result;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The staging bucket. Writing an object is atomic, and whoever lists or reads after a write sees it.
#[async_trait]
pub trait Staging: Send + Sync {
    /// Puts an object, over whatever lay there. Again: the same.
    async fn put(&self, key: &str, body: Vec<u8>) -> Result<()>;
    /// Puts an object where none is, and answers what lies there then: the first writer's.
    async fn put_once(&self, key: &str, body: Vec<u8>) -> Result<Vec<u8>>;
    /// An object; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// Every object whose key begins so, in the order of the bytes of the keys.
    async fn list(&self, prefix: &str) -> Result<Vec<Object>>;
    /// Deletes objects; one that is gone already is no failure.
    async fn delete(&self, keys: &[String]) -> Result<()>;
}

/// A version of an object in a bucket of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileVersion {
    /// The bucket.
    pub bucket: String,
    /// The key, as it is: not URL-encoded.
    pub key: String,
    /// Which of the objects that lay under this key.
    pub version: Version,
}

/// Which of the objects that lay under a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// By its version id, where the bucket keeps versions.
    Id(String),
    /// By its ETag, where it keeps none: gone once the key is overwritten.
    Tag(String),
}

impl Version {
    /// As text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(text) | Self::Tag(text) => text,
        }
    }
}

/// A file that is being read.
#[async_trait]
pub trait FileStream: Send {
    /// The next bytes, of any number; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

/// Files of change events in other people's buckets.
#[async_trait]
pub trait ChangeFiles: Send + Sync {
    /// Opens a file; `None` when it is gone, or another lies there.
    async fn open(&self, file: &FileVersion) -> Result<Option<Box<dyn FileStream>>>;
}

/// The queue of requests for runs.
#[async_trait]
pub trait Requests: Send + Sync {
    /// Asks for a run after a while, at most 15 minutes. Again, with the same run id: the same run.
    async fn ask(&self, request: &RunRequest, after: Duration) -> Result<()>;
}

/// The dead-letter queue of change data: what a person has to look at. Delivered at least once.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Puts messages, each of at most [`DEAD_LETTER_BYTES`].
    async fn put(&self, letters: &[String]) -> Result<()>;
}

/// Bytes of a message in the dead-letter queue. SQS takes 1 MiB since August 2025 and took 256 KiB before; a redrive
/// passes through tools that know only the latter.
pub const DEAD_LETTER_BYTES: usize = 256 * 1024;
