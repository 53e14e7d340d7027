//! The life of a batch: taken, begun, ended. Safe to do again after any step, and by two at once.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_ports::{Clock, FileRegister, Objects, Result};
use shiftwork_protocol::{
    Failure,
    file::{FileRecord, FileStatus, FileStep},
};

use crate::{Verdict, feed::Feed, inspect, plan};

/// Requests at once: DynamoDB answers in milliseconds, and one connection carries one request.
const AT_ONCE: usize = 32;

/// The batch of a job of kind `copy`: whoever launches the job again finds its files by this name.
pub fn batch_of(run: &str, job: &str) -> String {
    format!("{run}/{job}")
}

/// Batches of files.
#[derive(Clone)]
pub struct Batches {
    /// Where the files stand.
    pub register: Arc<dyn FileRegister>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Batches {
    /// The files of a batch. A batch that was not begun takes what its feed lets it have next; one that was has what it
    /// has, and nothing more. What is outdated or not as expected is quarantined on the way.
    pub async fn take(&self, objects: &dyn Objects, feed: &Feed, batch: &str) -> Result<Vec<FileRecord>> {
        let open = self.register.open(&feed.feed).await?;
        let (mut mine, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|file| file.is_of(batch));
        if mine.iter().any(|file| file.file_status == FileStatus::Processing) {
            // An earlier try was further: whatever it had claimed is the batch.
            sort(&mut mine);
            return Ok(mine);
        }
        let ready = self.ready(objects, feed, others).await?;
        let room = (feed.batch.files as usize).saturating_sub(mine.len());
        let wanted = plan::next(feed, &ready, self.clock.now()).into_iter().take(room);
        self.claim(objects, feed, batch, wanted.chain(&mine)).await
    }

    /// Claims these files for a batch, and answers those that it got and that are fit to be taken.
    pub async fn claim(
        &self,
        objects: &dyn Objects,
        feed: &Feed,
        batch: &str,
        files: impl IntoIterator<Item = &FileRecord>,
    ) -> Result<Vec<FileRecord>> {
        let until = self.clock.now() + plan::CLAIM;
        let claimed = stream::iter(files.into_iter().cloned().collect::<Vec<_>>())
            .map(|file| async move {
                let claim = FileStep::Claim { batch: batch.into(), until };
                let claimed = self.register.step(&file, &claim, self.clock.now()).await?.file;
                let ours = claimed.file_status == FileStatus::Batched && claimed.is_of(batch);
                if ours { self.fit(objects, feed, batch, claimed).await } else { Ok(None) }
            })
            .buffer_unordered(AT_ONCE);
        let mut files: Vec<_> = claimed.try_filter_map(async |file| Ok(file)).try_collect().await?;
        sort(&mut files);
        Ok(files)
    }

    /// Those of the files that may be taken by now: none whose control file is missing.
    pub async fn ready(&self, objects: &dyn Objects, feed: &Feed, open: Vec<FileRecord>) -> Result<Vec<FileRecord>> {
        let Some(control) = &feed.expect.rows_from else { return Ok(open) };
        let ready = stream::iter(open)
            .map(|file| async move {
                let key = control.replace("{key}", &file.key);
                let waits = file.file_status == FileStatus::Received
                    && objects.head(&file.bucket, &key).await?.is_none()
                    && inspect(objects, feed, &file, self.clock.now()).await? == Verdict::Early;
                Result::Ok((!waits).then_some(file))
            })
            .buffer_unordered(AT_ONCE);
        ready.try_filter_map(async |file| Ok(file)).try_collect().await
    }

    /// A claimed file, if it is still what lies under its key, and is as expected. Looked at after the claim: whoever
    /// registers a newer version later sees this one taken.
    async fn fit(
        &self,
        objects: &dyn Objects,
        feed: &Feed,
        batch: &str,
        file: FileRecord,
    ) -> Result<Option<FileRecord>> {
        let history = self.register.of_key(&file.feed, &file.bucket, &file.key).await?;
        let reason = match history.outdated(&file) {
            Some(reason) => Some(reason),
            None => match inspect(objects, feed, &file, self.clock.now()).await? {
                Verdict::Fine { checksum: None } => None,
                Verdict::Fine { checksum: Some(checksum) } => {
                    let checked = FileStep::Checked { batch: batch.into(), checksum };
                    return Ok(Some(self.register.step(&file, &checked, self.clock.now()).await?.file));
                }
                Verdict::Bad(reason) => Some(reason),
                Verdict::Early => {
                    let release = FileStep::Release { batch: batch.into() };
                    self.register.step(&file, &release, self.clock.now()).await?;
                    return Ok(None);
                }
            },
        };
        let Some(reason) = reason else { return Ok(Some(file)) };
        tracing::warn!(file = file.url(), reason, "quarantined");
        let end = FileStep::End { batch: batch.into(), to: FileStatus::Quarantined, reason: Some(reason) };
        self.register.step(&file, &end, self.clock.now()).await?;
        Ok(None)
    }

    /// The open files of a batch.
    pub async fn held(&self, feed: &str, batch: &str) -> Result<Vec<FileRecord>> {
        let mut open = self.register.open(feed).await?;
        open.retain(|file| file.is_of(batch));
        sort(&mut open);
        Ok(open)
    }

    /// The batch begins to work on these files: nobody else gets them until it ends. Answers those that are its own.
    pub async fn begin(&self, batch: &str, files: Vec<FileRecord>, until: Timestamp) -> Result<Vec<FileRecord>> {
        let begun = stream::iter(files)
            .map(|file| async move {
                let begin = FileStep::Begin { batch: batch.into(), until };
                let file = self.register.step(&file, &begin, self.clock.now()).await?.file;
                let ours = file.file_status == FileStatus::Processing && file.is_of(batch);
                Result::Ok(ours.then_some(file))
            })
            .buffer_unordered(AT_ONCE);
        let mut begun: Vec<_> = begun.try_filter_map(async |file| Ok(file)).try_collect().await?;
        sort(&mut begun);
        Ok(begun)
    }

    /// The batch ends. `of` says what becomes of each of its open files: an end with its reason, or back to the others.
    /// Answers how many files ended so by this call.
    pub async fn end(&self, feed: &str, batch: &str, of: &(dyn Fn(&FileRecord) -> Ending + Sync)) -> Result<usize> {
        let ended = stream::iter(self.held(feed, batch).await?)
            .map(|file| async move {
                let batch = batch.to_owned();
                let step = match of(&file) {
                    Ending::Keep => return Ok(0),
                    Ending::Release => FileStep::Release { batch },
                    Ending::End(to, reason) => FileStep::End { batch, to, reason },
                };
                let stepped = self.register.step(&file, &step, self.clock.now()).await?;
                Result::Ok(usize::from(stepped.fresh))
            })
            .buffer_unordered(AT_ONCE);
        ended.try_fold(0, async |sum, one| Ok(sum + one)).await
    }

    /// The batch loaded the files of these URLs, for certain. Its other files go back.
    ///
    /// COPY reads keys, not versions: of a file that was overwritten meanwhile nobody knows which content went in, and so
    /// it ends FAILED, loudly. Answers how many files ended well by this call.
    pub async fn loaded(&self, feed: &str, batch: &str, urls: &[String]) -> Result<usize> {
        let members: BTreeSet<&str> = urls.iter().map(String::as_str).collect();
        let ended = stream::iter(self.held(feed, batch).await?)
            .map(|file| {
                let member = members.contains(file.url().as_str());
                async move { self.end_loaded(batch, file, member).await }
            })
            .buffer_unordered(AT_ONCE);
        ended.try_fold(0, async |sum, well| Ok(sum + usize::from(well))).await
    }

    async fn end_loaded(&self, batch: &str, file: FileRecord, member: bool) -> Result<bool> {
        let batch = batch.to_owned();
        let now = self.clock.now();
        if !member {
            return self.register.step(&file, &FileStep::Release { batch }, now).await.map(|_| false);
        }
        let history = self.register.of_key(&file.feed, &file.bucket, &file.key).await?;
        let (to, reason) = match history.outdated(&file) {
            None => (FileStatus::Processed, None),
            Some(_) => {
                let reason = "the key was overwritten or deleted while it was being loaded, so either content may have gone in: \
                    look into the table before anything is loaded again";
                tracing::error!(file = file.url(), batch, reason);
                (FileStatus::Failed, Some(reason.to_owned()))
            }
        };
        let stepped = self.register.step(&file, &FileStep::End { batch, to, reason }, now).await?;
        Ok(stepped.fresh && to == FileStatus::Processed)
    }

    /// The files of these URLs that the batch left FAILED were loaded after all: its statement finished after its run had
    /// been stopped.
    pub async fn loaded_late(&self, feed: &str, batch: &str, urls: &[String]) -> Result<()> {
        let step = FileStep::End { batch: batch.into(), to: FileStatus::Processed, reason: None };
        self.step_failed(feed, batch, urls, &step).await
    }

    /// The files of these URLs that the batch left FAILED are to be taken again: its run is restarted.
    pub async fn reopen(&self, feed: &str, batch: &str, urls: &[String]) -> Result<()> {
        self.step_failed(feed, batch, urls, &FileStep::Retry).await
    }

    async fn step_failed(&self, feed: &str, batch: &str, urls: &[String], step: &FileStep) -> Result<()> {
        stream::iter(urls.to_vec())
            .map(|url| async move {
                let Some((bucket, key)) = url.strip_prefix("s3://").and_then(|path| path.split_once('/')) else {
                    return Err(Failure::corrupt(format!("`{url}` is no place in S3")));
                };
                let history = self.register.of_key(feed, bucket, key).await?;
                let failed = |file: &&FileRecord| file.is_of(batch) && file.file_status == FileStatus::Failed;
                for file in history.files.iter().filter(failed) {
                    self.register.step(file, step, self.clock.now()).await?;
                }
                Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

/// What becomes of a file when its batch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It stays with the batch.
    Keep,
    /// It goes back to the others.
    Release,
    /// It ends, with the reason where it did not go well.
    End(FileStatus, Option<String>),
}

/// In the order that they came, so that every try of a batch writes the same manifest.
fn sort(files: &mut [FileRecord]) {
    files.sort_by(|a, b| (a.received_ts, &a.key).cmp(&(b.received_ts, &b.key)));
}
