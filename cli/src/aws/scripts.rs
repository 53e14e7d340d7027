//! Write access to the scripts bucket. The SHA-256 of a script is stored as metadata, so that an unchanged script gets
//! no new version.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
    primitives::ByteStream,
};
use aws_types::SdkConfig;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use shiftwork_protocol::{keys::CONTRACTS, name::sha256};

/// Name of the user-defined metadata.
const SHA256: &str = "sha256";
/// Number of concurrent requests.
const AT_ONCE: usize = 16;

/// The state of a key when it was last read.
#[derive(Debug, Clone)]
enum Seen {
    Nothing,
    /// An object with this ETag.
    Object(String),
}

/// The scripts bucket.
#[derive(Debug, Clone)]
pub(super) struct Store {
    client: Client,
    bucket: String,
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
}

impl Store {
    pub(super) fn new(config: &SdkConfig, bucket: &str) -> Self {
        Self { client: Client::new(config), bucket: bucket.into(), seen: Arc::default() }
    }

    fn see(&self, key: &str, etag: Option<&str>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(key.into(), etag.map_or(Seen::Nothing, |etag| Seen::Object(etag.into())));
    }

    /// The state that a contract must still have when it is overwritten, because the schema-watcher also writes
    /// contracts. `None` for scripts, which only a push writes.
    fn may_replace(&self, key: &str) -> Option<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(key).filter(|_| key.starts_with(CONTRACTS)).cloned()
    }

    /// The SHA-256 of each existing script.
    pub(super) async fn hashes(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let found = stream::iter(keys).map(|key| self.hash(key)).buffer_unordered(AT_ONCE);
        found.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    async fn hash(&self, key: String) -> anyhow::Result<Option<(String, String)>> {
        match self.client.head_object().bucket(&self.bucket).key(&key).send().await {
            Ok(head) => {
                self.see(&key, head.e_tag());
                let hash = head.metadata().and_then(|metadata| metadata.get(SHA256)).cloned();
                let hash = match hash {
                    Some(hash) => hash,
                    // An object that was not written by a push, such as a contract that schema-watcher changed.
                    None => sha256(self.bytes(&key).await?),
                };
                Ok(Some((key, hash)))
            }
            Err(SdkError::ServiceError(error)) if error.err().is_not_found() => {
                self.see(&key, None);
                Ok(None)
            }
            Err(error) => Err(super::failed("S3 HeadObject", &format!("s3://{}/{key}", self.bucket), &error)),
        }
    }

    /// The text of each key, which must exist. Bytes that are not UTF-8 are replaced.
    pub(super) async fn texts(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let texts = stream::iter(keys).map(async |key| {
            let text = String::from_utf8_lossy(&self.bytes(&key).await?).into_owned();
            anyhow::Ok((key, text))
        });
        texts.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn bytes(&self, key: &str) -> anyhow::Result<Vec<u8>> {
        let place = format!("s3://{}/{key}", self.bucket);
        let object = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let object = object.map_err(|error| super::failed("S3 GetObject", &place, &error))?;
        Ok(object.body.collect().await.with_context(|| format!("S3 GetObject on {place}"))?.to_vec())
    }

    /// Deletes a key. Its versions are kept, because runs pin script versions.
    pub(super) async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        delete.map_err(|error| super::failed("S3 DeleteObject", &format!("s3://{}/{key}", self.bucket), &error))?;
        Ok(())
    }

    /// Writes new versions.
    pub(super) async fn put(&self, scripts: &BTreeMap<String, String>) -> anyhow::Result<()> {
        stream::iter(scripts).map(Ok).try_for_each_concurrent(AT_ONCE, |(key, text)| self.put_one(key, text)).await
    }

    async fn put_one(&self, key: &str, text: &str) -> anyhow::Result<()> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/sql")
            .metadata(SHA256, sha256(text))
            .body(ByteStream::from(text.as_bytes().to_vec()));
        let put = match self.may_replace(key) {
            Some(Seen::Object(etag)) => put.if_match(etag),
            Some(Seen::Nothing) => put.if_none_match("*"),
            None => put,
        };
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.code() == Some("PreconditionFailed")) => {
                bail!("{key} was changed during this push, by a migration or another push: push again")
            }
            Err(error) => Err(super::failed("S3 PutObject", &format!("s3://{}/{key}", self.bucket), &error)),
        }
    }
}
