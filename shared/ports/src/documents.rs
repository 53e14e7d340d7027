//! The small files of a bucket: read whole, written and deleted only where nobody else was meanwhile.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::Result;

/// Bytes of a file that is read. Metadata has a few kilobytes; what has a megabyte is something else.
pub const MOST_BYTES: i64 = 1024 * 1024;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Tells this content from any other that the key has had, or will have.
    pub etag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// What its writer noted on it.
    pub marks: BTreeMap<String, String>,
    /// The key that it is encrypted with, where it is one of KMS.
    pub encryption: Option<KmsEncryption>,
}

/// Encryption under a key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsEncryption {
    /// `aws:kms`, or `aws:kms:dsse`.
    pub algorithm: String,
    /// ARN of the key.
    pub key: String,
    /// One data key for many objects of the bucket.
    pub bucket_key: bool,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it will hold.
    pub bytes: Vec<u8>,
    /// Notes on it: ASCII, 2 KB together.
    pub marks: BTreeMap<String, String>,
    /// Under which key; the bucket's own rule where none is said.
    pub encryption: Option<KmsEncryption>,
}

/// When a file may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// If there is none.
    IfAbsent,
    /// If it is still the one with this ETag.
    IfUnchanged(String),
}

/// Whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Done,
    /// The condition does not hold: somebody else was first, and nothing happened.
    Lost,
}

/// Some keys, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// True when more follow the last one.
    pub more: bool,
}

/// The files of one bucket.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The newest version of a file; `None` when there is none. More than [`MOST_BYTES`] are refused unread.
    async fn read(&self, key: &str) -> Result<Option<Stored>>;
    /// Writes a file. `Done`: what is stored has the digest of what was sent. After a lost answer, again: `Lost`, and what is
    /// there is what was to be written.
    async fn write(&self, key: &str, draft: &Draft, only: &Only) -> Result<Changed>;
    /// Deletes a file with this ETag. `Lost`: it is another one by now, or gone.
    async fn delete(&self, key: &str, etag: &str) -> Result<Changed>;
    /// Keys with a prefix that come after a key.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page>;
}
