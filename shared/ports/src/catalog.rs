//! Configuration files in the scripts bucket, cached between the invocations of a function.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Bucket, Cache, Result,
    scripts::{self, ScriptText},
};

/// Number of files that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// The files below a prefix. A file is read again if its ETag has changed. `T` is the content of one file, and `A` the
/// combination of all contents.
pub struct Catalog<T, A> {
    scripts: Bucket,
    prefix: &'static str,
    max_age: SignedDuration,
    parse: fn(&ScriptText) -> Option<T>,
    assemble: fn(Vec<Arc<T>>) -> A,
    read: Mutex<Option<Read<T, A>>>,
    recent: Cache<(), Arc<A>>,
}

struct Read<T, A> {
    /// ETag and content by key; no content if the file is invalid.
    files: BTreeMap<String, (String, Option<Arc<T>>)>,
    assembled: Arc<A>,
}

impl<T, A> Catalog<T, A>
where
    T: Send + Sync,
    A: Send + Sync,
{
    /// Makes the catalog of a prefix. `parse` reads one file; it logs an invalid file and returns `None`, and the other
    /// files are used.
    pub fn new(
        scripts: Bucket,
        prefix: &'static str,
        max_age: SignedDuration,
        parse: fn(&ScriptText) -> Option<T>,
        assemble: fn(Vec<Arc<T>>) -> A,
    ) -> Self {
        Self { scripts, prefix, max_age, parse, assemble, read: Mutex::default(), recent: Cache::default() }
    }

    /// Returns the files as they were at most `max_age` ago.
    pub async fn recent(&self, now: Timestamp) -> Result<Arc<A>> {
        match self.recent.get(&(), now) {
            Some(recent) => Ok(recent),
            None => self.newest(now).await,
        }
    }

    /// Returns the current files: one listing, and one request for each file that has changed.
    pub async fn newest(&self, now: Timestamp) -> Result<Arc<A>> {
        let etags = scripts::etags(&self.scripts, self.prefix).await?;
        let newest = match self.unchanged(&etags) {
            Some(assembled) => assembled,
            None => self.read(etags).await?,
        };
        self.recent.put((), Arc::clone(&newest), now + self.max_age);
        Ok(newest)
    }

    fn unchanged(&self, etags: &BTreeMap<String, String>) -> Option<Arc<A>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Read { files, assembled } = read.as_ref()?;
        files.iter().map(|(key, (etag, _))| (key, etag)).eq(etags).then(|| Arc::clone(assembled))
    }

    async fn read(&self, etags: BTreeMap<String, String>) -> Result<Arc<A>> {
        let known = {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.as_ref().map(|read| read.files.clone()).unwrap_or_default()
        };
        let files: BTreeMap<_, _> = stream::iter(etags)
            .map(async |(key, etag)| {
                let content = match known.get(&key) {
                    Some((of, content)) if *of == etag => content.clone(),
                    Some(_) | None => {
                        let script = scripts::newest(&self.scripts, &key).await?;
                        script.and_then(|script| (self.parse)(&script)).map(Arc::new)
                    }
                };
                Result::Ok((key, (etag, content)))
            })
            .buffer_unordered(CONCURRENT_READS)
            .try_collect()
            .await?;
        let assembled = Arc::new((self.assemble)(files.values().filter_map(|(_, content)| content.clone()).collect()));
        let read = Read { files, assembled: Arc::clone(&assembled) };
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(assembled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::MemoryBucket;

    fn number(script: &ScriptText) -> Option<u32> {
        script.text.parse().ok()
    }

    fn sum(numbers: Vec<Arc<u32>>) -> u32 {
        numbers.into_iter().map(|number| *number).sum()
    }

    #[tokio::test]
    async fn a_changed_file_is_read_and_an_invalid_one_is_left_out() {
        let scripts = MemoryBucket::versioned();
        let catalog = Catalog::new(scripts.bucket(), "numbers/", SignedDuration::from_secs(10), number, sum);
        let second = |n| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n);
        assert_eq!(*catalog.newest(second(0)).await.unwrap(), 0);
        for (key, text) in [("numbers/a", "1"), ("numbers/b", "x"), ("numbers/c", "20"), ("other", "500")] {
            scripts.put(key, text);
        }
        assert_eq!(*catalog.recent(second(9)).await.unwrap(), 0, "the maximum age is 10 seconds");
        let first = catalog.recent(second(10)).await.unwrap();
        assert_eq!(*first, 21);
        assert!(Arc::ptr_eq(&first, &catalog.newest(second(11)).await.unwrap()), "nothing changed");
        scripts.put("numbers/a", "2");
        scripts.bucket().delete(&["numbers/c".into()]).await.unwrap();
        assert_eq!(*catalog.newest(second(12)).await.unwrap(), 2);
    }
}
