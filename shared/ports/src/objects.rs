//! Objects in S3.
//!
//! [`Objects`] is S3. [`Bucket`] is one bucket with the operations that several callers need: reading a whole object,
//! writing an object only once, listing a whole prefix.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use shiftwork_port_macro::port;
use shiftwork_protocol::{Failure, FailureKind};

use crate::Result;

/// The largest object, in bytes, that [`Bucket::read`] reads. Contracts, metadata and records have a few kilobytes.
pub const MAX_SMALL_OBJECT_BYTES: u64 = 1024 * 1024;

/// Maximum number of tries of [`Bucket::put_once`] while other callers write and delete the same object.
const PUT_ONCE_TRIES: u32 = 5;

/// A version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Version id, in a bucket with versioning.
    Id(String),
    /// ETag without quotes, in a bucket without versioning. The content is lost once the key is overwritten.
    ETag(String),
}

impl Version {
    /// The version id or the ETag.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(text) | Self::ETag(text) => text,
        }
    }
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectVersion {
    /// Name of the bucket.
    pub bucket: String,
    /// Key of the object, not URL-encoded.
    pub key: String,
    /// Version of the object.
    pub version: Version,
}

/// The headers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// Size in bytes.
    pub size: u64,
    /// ETag without quotes, which differs for each content of the key.
    pub etag: String,
    /// Version id, if the bucket has versioning.
    pub version: Option<String>,
    /// User-defined metadata.
    pub user_metadata: BTreeMap<String, String>,
    /// KMS encryption of the object; none if S3 encrypts it with an S3 managed key.
    pub encryption: Option<KmsEncryption>,
    /// Checksums in base64, by algorithm (`sha256`). Only [`Objects::head`] returns them.
    pub checksums: BTreeMap<&'static str, String>,
}

/// Encryption with an AWS KMS key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsEncryption {
    /// `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// ARN of the key.
    pub key: String,
    /// Whether an S3 Bucket Key is used.
    pub bucket_key: bool,
}

/// An object whose content has not been read. If it is dropped, the content is not transferred.
pub struct OpenObject {
    /// Headers of the object.
    pub head: ObjectHead,
    /// Content of the object.
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

/// The content of an object as a stream.
#[async_trait]
pub trait ObjectStream: Send {
    /// Returns the next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

/// An object with its whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Headers of the object.
    pub head: ObjectHead,
    /// Content of the object.
    pub bytes: Vec<u8>,
}

/// An object to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewObject {
    /// Content of the object.
    pub bytes: Vec<u8>,
    /// `Content-Type`; the default of S3 if it is none.
    pub content_type: Option<&'static str>,
    /// User-defined metadata: ASCII, at most 2 KB together.
    pub user_metadata: BTreeMap<String, String>,
    /// Encryption; the default of the bucket if it is none.
    pub encryption: Option<KmsEncryption>,
    /// True if S3 stores the SHA-256 of the content and checks the transfer with it; otherwise S3 checks a CRC.
    pub sha256: bool,
}

impl NewObject {
    /// Makes a JSON document whose transfer is checked with SHA-256.
    pub fn json(bytes: Vec<u8>) -> Self {
        Self { content_type: Some("application/json"), sha256: true, ..Self::from(bytes) }
    }
}

impl From<Vec<u8>> for NewObject {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// None: replaces the current object.
    Always,
    /// No object has the key.
    IfAbsent,
    /// The current object has this ETag.
    IfUnchanged(String),
}

/// The result of a conditional write or deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The object was written or deleted.
    Done,
    /// The condition was not met, and nothing changed.
    ConditionFailed,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Key of the object.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// ETag without quotes.
    pub etag: String,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects, ordered by the bytes of their keys.
    pub objects: Vec<ListedObject>,
    /// True if further objects follow.
    pub more: bool,
}

/// S3. A write is atomic and visible to every later read and listing. Each method is one request, except that
/// [`Objects::delete_all`] sends one request per 1,000 keys.
#[port]
pub trait Objects: Send + Sync {
    /// Opens an object or a version of it; `None` if it does not exist.
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>>;
    /// Reads the headers of an object, with its checksums; `None` if it does not exist.
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>>;
    /// Reads at most the last `bytes` bytes of an object; `None` if it does not exist.
    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>>;
    /// Writes an object. If the response to a conditional write is lost, a repeated call returns `ConditionFailed`,
    /// although the object was written.
    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed>;
    /// Deletes an object that has this ETag. `ConditionFailed`: it has another ETag or does not exist.
    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed>;
    /// Deletes objects. Succeeds for objects that do not exist.
    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()>;
    /// Lists the objects whose keys begin with `prefix` and come after the key `after`.
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page>;
}

/// A bucket of S3.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    name: String,
}

impl Bucket {
    /// Makes the bucket of this name.
    pub fn new(objects: Arc<dyn Objects>, name: impl Into<String>) -> Self {
        Self { objects, name: name.into() }
    }

    /// Name of the bucket.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL of an object, as `s3://bucket/key`.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Calls [`Objects::open`].
    pub async fn open(&self, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        self.objects.open(&self.name, key, version).await
    }

    /// Calls [`Objects::head`].
    pub async fn head(&self, key: &str) -> Result<Option<ObjectHead>> {
        self.objects.head(&self.name, key).await
    }

    /// Reads the content of an object of any size; `None` if it does not exist.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.open(key, None).await? {
            Some(object) => object.bytes().await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads an object of at most [`MAX_SMALL_OBJECT_BYTES`]; `None` if it does not exist. Refuses a larger object
    /// without reading it.
    pub async fn read(&self, key: &str) -> Result<Option<StoredObject>> {
        let Some(object) = self.open(key, None).await? else { return Ok(None) };
        let size = object.head.size;
        if size > MAX_SMALL_OBJECT_BYTES {
            let message = format!(
                "{} has {size} bytes, which is above the limit of {MAX_SMALL_OBJECT_BYTES} bytes; the object was not read",
                self.url(key)
            );
            return Err(Failure::new(FailureKind::InvalidRequest, message));
        }
        let head = object.head.clone();
        Ok(Some(StoredObject { head, bytes: object.bytes().await? }))
    }

    /// Writes an object and replaces the current one.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.write(key, bytes.into(), &Condition::Always).await.map(drop)
    }

    /// Writes an object unless one exists, and returns the content that the key then has.
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
        let message = format!("{} is being written and deleted by other callers: trying again", self.url(key));
        Err(Failure::new(FailureKind::Unavailable, message))
    }

    /// Calls [`Objects::put`].
    pub async fn write(&self, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        self.objects.put(&self.name, key, object, condition).await
    }

    /// Calls [`Objects::delete_all`].
    pub async fn delete(&self, keys: &[String]) -> Result<()> {
        self.objects.delete_all(&self.name, keys).await
    }

    /// Calls [`Objects::delete`].
    pub async fn delete_unchanged(&self, key: &str, etag: &str) -> Result<Changed> {
        self.objects.delete(&self.name, key, etag).await
    }

    /// Lists all objects whose keys begin with `prefix`, ordered by the bytes of the keys.
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

    /// Calls [`Objects::list`].
    pub async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.objects.list(&self.name, prefix, after).await
    }
}
