use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use shiftwork_protocol::{Failure, FailureKind, name::sha256};

use super::lock;
use crate::{
    Bucket, Changed, Condition, ListedObject, NewObject, ObjectHead, ObjectStream, Objects, OpenObject, Page, Result,
    StoredObject, Version,
};

/// Maximum number of objects of a page, which is small so that a listing of a few objects has several pages.
const PAGE: usize = 3;

/// The versions of one key, newest last; `None` is a delete marker.
type Versions = Vec<Option<StoredObject>>;

/// S3 in memory. ETags are digests of the content. Version ids count from 1 for each key.
#[derive(Debug)]
pub struct MemoryObjects {
    keys: Mutex<BTreeMap<(String, String), Versions>>,
    versioned: bool,
    piece: usize,
    unavailable: Mutex<bool>,
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self { keys: Mutex::default(), versioned: false, piece: 7, unavailable: Mutex::new(false) }
    }
}

impl MemoryObjects {
    /// Makes buckets with versioning.
    pub fn versioned() -> Self {
        Self { versioned: true, ..Self::default() }
    }

    /// Makes streams return pieces of `piece` bytes.
    #[must_use]
    pub fn in_pieces_of(self, piece: usize) -> Self {
        Self { piece: piece.max(1), ..self }
    }

    /// Makes later writes fail as unavailable, or succeed again.
    pub fn set_unavailable(&self, unavailable: bool) {
        *lock(&self.unavailable) = unavailable;
    }

    fn newest(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        lock(&self.keys).get(&place(bucket, key))?.last()?.clone()
    }

    fn store(&self, keys: &mut BTreeMap<(String, String), Versions>, bucket: &str, key: &str, object: NewObject) {
        let versions = keys.entry(place(bucket, key)).or_default();
        if !self.versioned {
            versions.clear();
        }
        let head = ObjectHead {
            size: object.bytes.len() as u64,
            etag: sha256(&object.bytes)[..32].to_owned(),
            version: self.versioned.then(|| (versions.len() + 1).to_string()),
            user_metadata: object.user_metadata,
            encryption: object.encryption,
            checksums: BTreeMap::new(),
        };
        versions.push(Some(StoredObject { head, bytes: object.bytes }));
    }

    fn remove(&self, keys: &mut BTreeMap<(String, String), Versions>, bucket: &str, key: &str) {
        if !self.versioned {
            keys.remove(&place(bucket, key));
        } else if let Some(versions) = keys.get_mut(&place(bucket, key)) {
            versions.push(None);
        }
    }
}

fn place(bucket: &str, key: &str) -> (String, String) {
    (bucket.to_owned(), key.to_owned())
}

struct Pieces(VecDeque<Vec<u8>>);

#[async_trait]
impl ObjectStream for Pieces {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.pop_front())
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        let found = match version {
            None => self.newest(bucket, key),
            Some(Version::ETag(etag)) => self.newest(bucket, key).filter(|found| found.head.etag == *etag),
            Some(Version::Id(id)) => {
                let keys = lock(&self.keys);
                let mut versions = keys.get(&place(bucket, key)).into_iter().flatten().flatten();
                versions.find(|found| found.head.version.as_ref() == Some(id)).cloned()
            }
        };
        Ok(found.map(|StoredObject { head, bytes }| {
            let pieces = bytes.chunks(self.piece).map(<[u8]>::to_vec).collect();
            OpenObject { head, content: Box::new(Pieces(pieces)) }
        }))
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>> {
        Ok(self.newest(bucket, key).map(|found| found.head))
    }

    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.newest(bucket, key).map(|mut found| {
            let before = found.bytes.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
            found.bytes.split_off(before)
        }))
    }

    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        if *lock(&self.unavailable) {
            return Err(Failure::new(FailureKind::Unavailable, "S3 is not available"));
        }
        let mut keys = lock(&self.keys);
        let there = keys.get(&place(bucket, key)).and_then(|versions| versions.last()?.as_ref());
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => there.is_none(),
            Condition::IfUnchanged(etag) => there.is_some_and(|there| there.head.etag == *etag),
        };
        if !holds {
            return Ok(Changed::ConditionFailed);
        }
        self.store(&mut keys, bucket, key, object);
        Ok(Changed::Done)
    }

    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed> {
        let mut keys = lock(&self.keys);
        let there = keys.get(&place(bucket, key)).and_then(|versions| versions.last()?.as_ref());
        if there.is_none_or(|there| there.head.etag != etag) {
            return Ok(Changed::ConditionFailed);
        }
        self.remove(&mut keys, bucket, key);
        Ok(Changed::Done)
    }

    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()> {
        let mut all = lock(&self.keys);
        for key in keys {
            self.remove(&mut all, bucket, key);
        }
        Ok(())
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page> {
        let keys = lock(&self.keys);
        let mut found =
            keys.range(place(bucket, prefix)..).take_while(|((of, key), _)| of == bucket && key.starts_with(prefix));
        let listed =
            found.by_ref().filter(|((_, key), _)| Some(key.as_str()) > after).filter_map(|((_, key), versions)| {
                let head = &versions.last()?.as_ref()?.head;
                Some(ListedObject { key: key.clone(), bytes: head.size, etag: head.etag.clone() })
            });
        let mut objects: Vec<_> = listed.take(PAGE + 1).collect();
        let more = objects.len() > PAGE;
        objects.truncate(PAGE);
        Ok(Page { objects, more })
    }
}

/// One bucket of [`MemoryObjects`].
#[derive(Debug, Clone)]
pub struct MemoryBucket {
    objects: Arc<MemoryObjects>,
    name: String,
}

impl Default for MemoryBucket {
    fn default() -> Self {
        Self::of(Arc::default(), "bucket")
    }
}

impl MemoryBucket {
    /// Makes the bucket of this name.
    pub fn of(objects: Arc<MemoryObjects>, name: &str) -> Self {
        Self { objects, name: name.into() }
    }

    /// Makes a bucket with versioning.
    pub fn versioned() -> Self {
        Self::of(Arc::new(MemoryObjects::versioned()), "bucket")
    }

    /// The bucket as the port's callers use it.
    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.objects.clone(), &self.name)
    }

    /// Writes an object and replaces the current one.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.objects.store(&mut lock(&self.objects.keys), &self.name, key, bytes.into().into());
    }

    /// The newest version of every object, by key.
    pub fn files(&self) -> BTreeMap<String, StoredObject> {
        let keys = lock(&self.objects.keys);
        let of_bucket = keys.iter().filter(|((bucket, _), _)| *bucket == self.name);
        of_bucket.filter_map(|((_, key), versions)| Some((key.clone(), versions.last()?.clone()?))).collect()
    }
}
