//! The register and the landing buckets in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use shiftwork_ports::{FileStream, Result};

use crate::{
    AdvancedFile, Deletion, Entry, FileRecord, FileRegister, FileStep, Head, KeyHistory, Landing, UNCLAIMED, WorkQueue,
    item::WorkItem, key_hash,
};

/// A file's key in the table: feed, hash of bucket and key, version.
type Key = (String, String, String);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file audit table.
#[derive(Debug, Default)]
pub struct MemoryRegister {
    files: Mutex<BTreeMap<Key, FileRecord>>,
    deletions: Mutex<BTreeMap<Key, Deletion>>,
    said: Mutex<BTreeSet<(String, String)>>,
}

impl MemoryRegister {
    /// Every file of every feed, in the order of their keys.
    pub fn files(&self) -> Vec<FileRecord> {
        lock(&self.files).values().cloned().collect()
    }

    /// Every deletion.
    pub fn deletions(&self) -> Vec<Deletion> {
        lock(&self.deletions).values().cloned().collect()
    }
}

fn key(file: &FileRecord) -> Key {
    let id = file.id();
    (id.feed, id.key_hash, id.version)
}

#[async_trait]
impl FileRegister for MemoryRegister {
    async fn put(&self, entry: &Entry) -> Result<bool> {
        match entry {
            Entry::File(file) => {
                let mut files = lock(&self.files);
                let there = files.get_mut(&key(file));
                Ok(match there {
                    Some(there) => {
                        let again = file.sequencer.clone().map(|sequencer| FileStep::SeenAgain { sequencer });
                        if let Some(next) = again.and_then(|again| there.after(&again, file.registered_ts)) {
                            *there = next;
                        }
                        false
                    }
                    None => files.insert(key(file), (**file).clone()).is_none(),
                })
            }
            Entry::Deletion(deletion) => {
                let key = (deletion.feed.clone(), key_hash(&deletion.bucket, &deletion.key), deletion.version());
                let mut deletions = lock(&self.deletions);
                let new = !deletions.contains_key(&key);
                deletions.entry(key).or_insert_with(|| deletion.clone());
                Ok(new)
            }
        }
    }

    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>> {
        // Nobody takes what no feed claims.
        let open = |file: &&FileRecord| file.feed == feed && feed != UNCLAIMED && file.file_status.is_open();
        Ok(lock(&self.files).values().filter(open).cloned().collect())
    }

    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory> {
        let hash = key_hash(bucket, key);
        let first = (feed.to_owned(), hash.clone(), String::new());
        let of = |(of_feed, of_hash, _): &Key| of_feed == feed && *of_hash == hash;
        let files =
            lock(&self.files).range(first.clone()..).take_while(|(key, _)| of(key)).map(|(_, f)| f.clone()).collect();
        let deletions =
            lock(&self.deletions).range(first..).take_while(|(key, _)| of(key)).map(|(_, d)| d.clone()).collect();
        Ok(KeyHistory { files, deletions })
    }

    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile> {
        let mut files = lock(&self.files);
        let Some(file) = files.get_mut(&key(seen)) else {
            return Err(shiftwork_protocol::Failure::corrupt(format!("{} is not on record", seen.url())));
        };
        Ok(match file.after(step, now) {
            Some(next) => {
                *file = next;
                AdvancedFile { fresh: true, file: file.clone() }
            }
            None => AdvancedFile { fresh: false, file: file.clone() },
        })
    }

    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>> {
        let mut files: Vec<_> =
            lock(&self.files).values().filter(|file| file.feed == feed && file.received_ts >= from).cloned().collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.received_ts));
        files.truncate(most);
        Ok(files)
    }

    async fn said(&self, feed: &str, what: &str) -> Result<bool> {
        Ok(lock(&self.said).contains(&(feed.into(), what.into())))
    }

    async fn say(&self, feed: &str, what: &str, _: Timestamp) -> Result<()> {
        lock(&self.said).insert((feed.into(), what.into()));
        Ok(())
    }
}

/// The queue of work items, kept.
#[derive(Debug, Default)]
pub struct MemoryWorkQueue(Mutex<Vec<WorkItem>>);

impl MemoryWorkQueue {
    /// Every work item so far.
    pub fn items(&self) -> Vec<WorkItem> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl WorkQueue for MemoryWorkQueue {
    async fn hand_out(&self, item: &WorkItem) -> Result<()> {
        lock(&self.0).push(item.clone());
        Ok(())
    }
}

/// Buckets that files land in.
#[derive(Debug, Default)]
pub struct MemoryLanding {
    objects: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

impl MemoryLanding {
    /// Puts an object.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        lock(&self.objects).insert((bucket.into(), key.into()), bytes.to_vec());
    }
}

/// Bytes that come in small pieces.
struct Pieces(Vec<u8>);

#[async_trait]
impl FileStream for Pieces {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let rest = self.0.split_off(self.0.len().min(7));
        let piece = std::mem::replace(&mut self.0, rest);
        Ok((!piece.is_empty()).then_some(piece))
    }
}

#[async_trait]
impl Landing for MemoryLanding {
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Head>> {
        let objects = lock(&self.objects);
        let object = objects.get(&(bucket.to_owned(), key.to_owned()));
        Ok(object.map(|bytes| Head { size: bytes.len() as u64, etag: None, checksums: BTreeMap::new() }))
    }

    async fn read(&self, bucket: &str, key: &str) -> Result<Option<Box<dyn FileStream>>> {
        let object = lock(&self.objects).get(&(bucket.to_owned(), key.to_owned())).cloned();
        Ok(object.map(|bytes| Box::new(Pieces(bytes)) as Box<dyn FileStream>))
    }

    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        let object = lock(&self.objects).get(&(bucket.to_owned(), key.to_owned())).cloned();
        Ok(object.map(|mut object| {
            let before = object.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
            object.split_off(before)
        }))
    }
}
