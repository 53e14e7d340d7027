//! The objects of S3.
//!
//! [`Objects`] is S3 itself; [`Bucket`] is one bucket of it, with the functions that several callers need: an object read
//! whole, an object that only its first writer writes, a whole listing.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use shiftwork_port_macro::port;
use shiftwork_protocol::{Failure, FailureKind};

use crate::Result;

/// The largest object, in bytes, that [`Bucket::read`] reads. Contracts, metadata and records have a few kilobytes.
pub const MAX_SMALL_OBJECT_BYTES: u64 = 1024 * 1024;

/// How often [`Bucket::put_once`] is tried while others write and delete the same object.
const PUT_ONCE_TRIES: u32 = 5;

/// Which of the objects that a key has had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// By its version id, where the bucket keeps versions.
    Id(String),
    /// By its ETag without quotes, where the bucket keeps no versions: gone once the key is overwritten.
    ETag(String),
}

impl Version {
    /// The id or the ETag.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(text) | Self::ETag(text) => text,
        }
    }
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectVersion {
    /// The bucket.
    pub bucket: String,
    /// The key, not URL-encoded.
    pub key: String,
    /// The version.
    pub version: Version,
}

/// What S3 says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// Size in bytes.
    pub size: u64,
    /// ETag without quotes: tells this content from any other that the key has had or will have.
    pub etag: String,
    /// Version id, where the bucket keeps versions.
    pub version: Option<String>,
    /// User-defined metadata.
    pub user_metadata: BTreeMap<String, String>,
    /// The KMS key that the object is encrypted with; none where S3 encrypts with its own key.
    pub encryption: Option<KmsEncryption>,
    /// Checksums that S3 keeps, in base64, by algorithm (`sha256`). [`Objects::head`] alone fills them in.
    pub checksums: BTreeMap<&'static str, String>,
}

/// Encryption with a key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsEncryption {
    /// `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// ARN of the key.
    pub key: String,
    /// Whether an S3 Bucket Key is used.
    pub bucket_key: bool,
}

/// An object whose content has not been read yet. Dropped unread, the content is not transferred.
pub struct OpenObject {
    /// What S3 says of it.
    pub head: ObjectHead,
    /// Its content.
    pub content: Box<dyn ObjectStream>,
}

impl OpenObject {
    /// Reads the whole content.
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.head.size).unwrap_or_default());
        while let Some(next) = self.content.next().await? {
            bytes.extend_from_slice(&next);
        }
        Ok(bytes)
    }
}

/// The content of an object, piece by piece.
#[async_trait]
pub trait ObjectStream: Send {
    /// The next bytes, of any number; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

/// An object that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// What S3 says of it.
    pub head: ObjectHead,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// An object to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewObject {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its `Content-Type`; S3's default where there is none.
    pub content_type: Option<&'static str>,
    /// User-defined metadata: ASCII, at most 2 KB together.
    pub user_metadata: BTreeMap<String, String>,
    /// Encryption; the bucket's default where there is none.
    pub encryption: Option<KmsEncryption>,
    /// Whether S3 stores the SHA-256 of the content and refuses any other. Otherwise a CRC guards the transfer.
    pub sha256: bool,
}

impl NewObject {
    /// A JSON document, guarded by its SHA-256.
    pub fn json(bytes: Vec<u8>) -> Self {
        Self { content_type: Some("application/json"), sha256: true, ..Self::from(bytes) }
    }
}

impl From<Vec<u8>> for NewObject {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// When an object may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always, over any object under the key.
    Always,
    /// If there is no object under the key.
    IfAbsent,
    /// If the object under the key still has this ETag.
    IfUnchanged(String),
}

/// What became of a write or a deletion under a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was carried out.
    Done,
    /// The condition does not hold, so nothing changed.
    ConditionFailed,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its ETag without quotes.
    pub etag: String,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects, by the bytes of their keys.
    pub objects: Vec<ListedObject>,
    /// Whether more objects follow the last one.
    pub more: bool,
}

/// S3. A write is atomic, and every read and listing after it sees it. Each method is one request, except that
/// [`Objects::delete_all`] is one per 1,000 keys.
#[port]
pub trait Objects: Send + Sync {
    /// Opens an object, or the given version of it; `None` when there is no such object or version.
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>>;
    /// What S3 says of an object, its checksums included; `None` when there is none.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>>;
    /// The last bytes of an object, at most this many; `None` when there is none.
    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>>;
    /// Writes an object. After a lost answer, again under a condition: `ConditionFailed`, and the object that was to be
    /// written is there.
    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed>;
    /// Deletes an object that still has this ETag. `ConditionFailed`: it has another one, or is gone.
    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed>;
    /// Deletes objects. One that is gone already is a success.
    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()>;
    /// The objects whose keys begin with `prefix` and come after the key `after`.
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page>;
}

/// One bucket.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    name: String,
}

impl Bucket {
    /// The bucket of this name.
    pub fn new(objects: Arc<dyn Objects>, name: impl Into<String>) -> Self {
        Self { objects, name: name.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `s3://bucket/key`.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// [`Objects::open`].
    pub async fn open(&self, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        self.objects.open(&self.name, key, version).await
    }

    /// The content of an object of any size; `None` when there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.open(key, None).await? {
            Some(object) => object.bytes().await.map(Some),
            None => Ok(None),
        }
    }

    /// An object of at most [`MAX_SMALL_OBJECT_BYTES`]; `None` when there is none. A larger one is refused unread.
    pub async fn read(&self, key: &str) -> Result<Option<StoredObject>> {
        let Some(object) = self.open(key, None).await? else { return Ok(None) };
        let size = object.head.size;
        if size > MAX_SMALL_OBJECT_BYTES {
            let words = format!(
                "{} has {size} bytes, more than the {MAX_SMALL_OBJECT_BYTES} that are read; it is left as it is",
                self.url(key)
            );
            return Err(Failure::new(FailureKind::InvalidRequest, words));
        }
        let head = object.head.clone();
        Ok(Some(StoredObject { head, bytes: object.bytes().await? }))
    }

    /// Writes an object over any that is there.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.write(key, bytes.into(), &Condition::Always).await.map(drop)
    }

    /// Writes an object where there is none, and returns the content that is there then: the first writer's.
    pub async fn put_once(&self, key: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
        for _ in 0..PUT_ONCE_TRIES {
            match self.write(key, bytes.clone().into(), &Condition::IfAbsent).await? {
                Changed::Done => return Ok(bytes),
                Changed::ConditionFailed => {
                    if let Some(found) = self.get(key).await? {
                        return Ok(found);
                    }
                }
            }
        }
        let words = format!("{} is written and deleted by others at this moment", self.url(key));
        Err(Failure::new(FailureKind::Unavailable, words))
    }

    /// [`Objects::put`].
    pub async fn write(&self, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        self.objects.put(&self.name, key, object, condition).await
    }

    /// [`Objects::delete_all`].
    pub async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete_all(&self.name, keys).await
    }

    /// [`Objects::delete`].
    pub async fn delete_unchanged(&self, key: &str, etag: &str) -> Result<Changed> {
        self.objects.delete(&self.name, key, etag).await
    }

    /// Every object whose key begins with `prefix`, by the bytes of the keys.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>> {
        let mut listed: Vec<ListedObject> = Vec::new();
        loop {
            let page = self.page(prefix, listed.last().map(|object| object.key.as_str())).await?;
            listed.extend(page.objects);
            if !page.more {
                return Ok(listed);
            }
        }
    }

    /// [`Objects::list`].
    pub async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.objects.list(&self.name, prefix, after).await
    }
}
