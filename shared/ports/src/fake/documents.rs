use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use shiftwork_protocol::{Failure, FailureKind, name::sha256};

use super::lock;
use crate::{
    Result,
    documents::{Changed, Documents, Draft, MOST_BYTES, Only, Page, Stored},
};

/// Files of a page, as few as a test needs to turn pages.
const PAGE: usize = 3;

/// A bucket in memory. ETags are digests of the content, as S3's are where no key of KMS is at work.
#[derive(Debug, Default)]
pub struct MemoryDocuments {
    files: Mutex<BTreeMap<String, Stored>>,
    versions: Mutex<Option<u64>>,
}

impl MemoryDocuments {
    /// A bucket that keeps versions.
    pub fn versioned() -> Self {
        Self { files: Mutex::default(), versions: Mutex::new(Some(0)) }
    }

    /// Puts a file as anybody may: over whatever is there.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let draft = Draft { bytes: bytes.into(), marks: BTreeMap::new(), encryption: None };
        self.store(key, &draft, &mut lock(&self.files));
    }

    /// Every file, by its key.
    pub fn files(&self) -> BTreeMap<String, Stored> {
        lock(&self.files).clone()
    }

    fn store(&self, key: &str, draft: &Draft, files: &mut BTreeMap<String, Stored>) {
        let mut versions = lock(&self.versions);
        if let Some(versions) = versions.as_mut() {
            *versions += 1;
        }
        let stored = Stored {
            etag: sha256(&draft.bytes)[..32].to_owned(),
            version: versions.map(|number| number.to_string()),
            bytes: draft.bytes.clone(),
            marks: draft.marks.clone(),
            encryption: draft.encryption.clone(),
        };
        files.insert(key.into(), stored);
    }
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn read(&self, key: &str) -> Result<Option<Stored>> {
        let found = lock(&self.files).get(key).cloned();
        match found {
            Some(found) if i64::try_from(found.bytes.len()).is_ok_and(|bytes| bytes > MOST_BYTES) => {
                Err(Failure::new(FailureKind::InvalidRequest, format!("{key} has more than {MOST_BYTES} bytes")))
            }
            found => Ok(found),
        }
    }

    async fn write(&self, key: &str, draft: &Draft, only: &Only) -> Result<Changed> {
        let mut files = lock(&self.files);
        let holds = match (only, files.get(key)) {
            (Only::IfAbsent, found) => found.is_none(),
            (Only::IfUnchanged(etag), found) => found.is_some_and(|found| found.etag == *etag),
        };
        if !holds {
            return Ok(Changed::Lost);
        }
        self.store(key, draft, &mut files);
        Ok(Changed::Done)
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Changed> {
        let mut files = lock(&self.files);
        if files.get(key).is_none_or(|found| found.etag != etag) {
            return Ok(Changed::Lost);
        }
        files.remove(key);
        Ok(Changed::Done)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let files = lock(&self.files);
        let mut keys: Vec<_> =
            files.keys().filter(|key| key.starts_with(prefix) && Some(key.as_str()) > after).cloned().collect();
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        Ok(Page { keys, more })
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryDocuments;
    use crate::conformance;

    #[tokio::test]
    async fn they_hold_what_the_port_says() {
        conformance::documents(&MemoryDocuments::default()).await;
        conformance::documents(&MemoryDocuments::versioned()).await;
    }
}
