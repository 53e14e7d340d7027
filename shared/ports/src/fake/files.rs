use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use async_trait::async_trait;
use jiff::Timestamp;
use shiftwork_protocol::{
    Failure,
    file::{Deletion, Entry, FileRecord, FileStep, KeyHistory, UNCLAIMED, key_hash},
    work_item::WorkItem,
};

use super::lock;
use crate::{AdvancedFile, FileRegister, Result, WorkQueue};

/// Key of an item: feed, hash of bucket and key, version.
type Key = (String, String, String);

/// The file audit table.
#[derive(Debug, Default)]
pub struct MemoryRegister {
    files: Mutex<BTreeMap<Key, FileRecord>>,
    deletions: Mutex<BTreeMap<Key, Deletion>>,
    notices: Mutex<BTreeSet<(String, String)>>,
}

impl MemoryRegister {
    /// All files of all feeds, ordered by key.
    pub fn files(&self) -> Vec<FileRecord> {
        lock(&self.files).values().cloned().collect()
    }

    /// All deletions.
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
                        if let Some(next) = there.after(&FileStep::SentAgain(file.put()), file.registered_ts) {
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
        // Files without a feed are never claimed.
        let open = |file: &&FileRecord| file.feed == feed && feed != UNCLAIMED && file.file_status.is_open();
        Ok(lock(&self.files).values().filter(open).cloned().collect())
    }

    async fn oldest(&self, feed: &str, most: usize, now: Timestamp) -> Result<Vec<FileRecord>> {
        let mut open = self.open(feed).await?;
        let mut claimable: Vec<_> =
            open.iter().filter(|file| file.is_claimable(now)).map(|file| file.received_ts).collect();
        claimable.sort_unstable();
        if let Some(until) = most.checked_sub(1).and_then(|last| claimable.get(last)) {
            open.retain(|file| file.received_ts <= *until);
        }
        Ok(open)
    }

    async fn of_batch(&self, feed: &str, batch: &str) -> Result<Vec<FileRecord>> {
        let mut open = self.open(feed).await?;
        open.retain(|file| file.is_of(batch));
        Ok(open)
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
            return Err(Failure::corrupt(format!("{} does not exist in the file audit table", seen.url())));
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

    async fn was_notified(&self, feed: &str, what: &str) -> Result<bool> {
        Ok(lock(&self.notices).contains(&(feed.into(), what.into())))
    }

    async fn record_notice(&self, feed: &str, what: &str, _: Timestamp) -> Result<()> {
        lock(&self.notices).insert((feed.into(), what.into()));
        Ok(())
    }
}

/// Stores work items.
#[derive(Debug, Default)]
pub struct MemoryWorkQueue(Mutex<Vec<WorkItem>>);

impl MemoryWorkQueue {
    /// All work items.
    pub fn items(&self) -> Vec<WorkItem> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl WorkQueue for MemoryWorkQueue {
    async fn send(&self, item: &WorkItem) -> Result<()> {
        lock(&self.0).push(item.clone());
        Ok(())
    }
}
