//! The lifecycle of a batch: its files are claimed, begun and ended. Every step is idempotent and safe to run concurrently, because it is
//! one conditional write for each file.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_ports::{Clock, FileRegister, Objects, Result};
use shiftwork_protocol::{
    Failure,
    file::{FileRecord, FileStatus, FileStep, IN_DOUBT, SUPERSEDED},
};

use crate::{Inspection, feed::Feed, inspect, plan};

/// Maximum number of concurrent requests. A DynamoDB request takes a few milliseconds and occupies one connection.
const AT_ONCE: usize = 32;

/// Maximum number of different headers in a batch. Each one needs a COPY, and two in an attempt that looks for bad files first; a transaction
/// of the Data API has at most 40 statements.
const HEADERS: usize = 10;

/// The batch id of a job of kind `copy`: `<run>/<job>`. It is the same when the job is launched again, so that the launcher finds the files
/// that an earlier launch claimed.
pub fn batch_of(run: &str, job: &str) -> String {
    format!("{run}/{job}")
}

/// Claims, begins and ends batches of files.
#[derive(Clone)]
pub struct Batches {
    /// The register that holds the status of every file.
    pub register: Arc<dyn FileRegister>,
    /// The clock for claims and for the age of files.
    pub clock: Arc<dyn Clock>,
}

impl Batches {
    /// Returns the files of a batch, and claims them if the batch has not begun: the files of the feed that are next by [`plan::next`], up to
    /// the feed's limit. A batch that has begun keeps its files and gets no others. Claimed files that are outdated or do not meet
    /// the feed's expectations are quarantined.
    pub async fn take(&self, objects: &dyn Objects, feed: &Feed, batch: &str) -> Result<Vec<FileRecord>> {
        let mut claimed = self.register.of_batch(&feed.feed, batch).await?;
        if claimed.iter().any(|file| file.file_status == FileStatus::Processing) {
            // An earlier launch has begun the batch: the batch consists of the files that it claimed.
            sort(&mut claimed);
            return Ok(claimed);
        }
        let ready = self.claimable(objects, feed, batch, claimed.len()).await?;
        let room = (feed.batch.files as usize).saturating_sub(claimed.len());
        let wanted = plan::next(feed, &ready, self.clock.now()).into_iter().take(room);
        let files = self.claim(objects, feed, batch, wanted.chain(&claimed)).await?;
        self.release_other_headers(batch, files).await
    }

    /// Releases the files whose header is not one of the first [`HEADERS`] headers. Returns the others.
    async fn release_other_headers(&self, batch: &str, files: Vec<FileRecord>) -> Result<Vec<FileRecord>> {
        let mut headers = BTreeSet::new();
        for file in &files {
            if headers.len() < HEADERS {
                headers.insert(file.columns.clone());
            }
        }
        let (kept, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| headers.contains(&file.columns));
        for file in others {
            self.register.step(&file, &FileStep::Release { batch: batch.into() }, self.clock.now()).await?;
        }
        Ok(kept)
    }

    /// Returns the oldest files that the batch can claim and does not hold, at least `batch.files` of them unless fewer are ready.
    /// `held`: number of files that the batch holds.
    async fn claimable(&self, objects: &dyn Objects, feed: &Feed, batch: &str, held: usize) -> Result<Vec<FileRecord>> {
        let wanted = feed.batch.files as usize;
        let now = self.clock.now();
        let mut most = wanted;
        loop {
            // A file that the batch holds is claimable after its claim has expired.
            let mut open = self.register.oldest(&feed.feed, most + held, now).await?;
            open.retain(|file| file.is_claimable(now) && !file.is_of(batch));
            let is_all = open.len() < most;
            let ready = self.ready(objects, feed, open).await?;
            if is_all || ready.len() >= wanted {
                return Ok(ready);
            }
            // The others wait for their control files.
            most *= 2;
        }
    }

    /// Claims files for a batch. Returns the files that were claimed and passed inspection.
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
                let is_claimed = claimed.file_status == FileStatus::Batched && claimed.is_of(batch);
                if is_claimed { self.inspect_claimed(objects, feed, batch, claimed).await } else { Ok(None) }
            })
            .buffer_unordered(AT_ONCE);
        let mut files: Vec<_> = claimed.try_filter_map(async |file| Ok(file)).try_collect().await?;
        sort(&mut files);
        Ok(files)
    }

    /// Returns the files without those that still wait for their control file.
    pub async fn ready(&self, objects: &dyn Objects, feed: &Feed, open: Vec<FileRecord>) -> Result<Vec<FileRecord>> {
        let Some(control) = &feed.expect.rows_from else { return Ok(open) };
        let ready = stream::iter(open)
            .map(|file| async move {
                let key = control.replace("{key}", &file.key);
                let waits = file.file_status == FileStatus::Received
                    && objects.head(&file.bucket, &key).await?.is_none()
                    && inspect(objects, feed, &file, self.clock.now()).await? == Inspection::AwaitsControlFile;
                Result::Ok((!waits).then_some(file))
            })
            .buffer_unordered(AT_ONCE);
        ready.try_filter_map(async |file| Ok(file)).try_collect().await
    }

    /// Returns a claimed file if it is the latest version of its key and passed inspection; quarantines it otherwise. The history is read
    /// after the claim, so that a version that is registered later is ordered after this claim.
    async fn inspect_claimed(
        &self,
        objects: &dyn Objects,
        feed: &Feed,
        batch: &str,
        file: FileRecord,
    ) -> Result<Option<FileRecord>> {
        let history = self.register.of_key(&file.feed, &file.bucket, &file.key).await?;
        let reason = match history.outdated(&file) {
            Some(reason) => Some(reason.to_owned()),
            None => match inspect(objects, feed, &file, self.clock.now()).await? {
                Inspection::Passed { checksum: None, columns } if columns == file.columns => None,
                Inspection::Passed { checksum, columns } => {
                    let checked = FileStep::Checked { batch: batch.into(), checksum, columns };
                    return Ok(Some(self.register.step(&file, &checked, self.clock.now()).await?.file));
                }
                Inspection::Rejected(reason) => Some(reason),
                Inspection::AwaitsControlFile => {
                    let release = FileStep::Release { batch: batch.into() };
                    self.register.step(&file, &release, self.clock.now()).await?;
                    return Ok(None);
                }
            },
        };
        let Some(reason) = reason else { return Ok(Some(file)) };
        // The reason can quote the content of the file. The register has it.
        tracing::warn!(file = file.url(), "file quarantined");
        let superseded = reason == SUPERSEDED;
        let end = FileStep::End { batch: batch.into(), to: FileStatus::Quarantined, reason: Some(reason) };
        self.register.step(&file, &end, self.clock.now()).await?;
        if superseded {
            // An event that made this content current again may have been registered before the file was quarantined.
            self.open_current(&file.feed, &file.bucket, &file.key).await?;
        }
        Ok(None)
    }

    /// Opens the file of a key again that was quarantined because its key had other content, if it is the current content now: newer
    /// versions or a delete marker were deleted, or the content was sent again. Returns true if a file was opened.
    pub async fn open_current(&self, feed: &str, bucket: &str, key: &str) -> Result<bool> {
        let history = self.register.of_key(feed, bucket, key).await?;
        let Some(file) = history.current_again() else { return Ok(false) };
        Ok(self.register.step(file, &FileStep::CurrentAgain, self.clock.now()).await?.fresh)
    }

    /// Returns the open files of a batch, in the order of [`sort`].
    pub async fn held(&self, feed: &str, batch: &str) -> Result<Vec<FileRecord>> {
        let mut held = self.register.of_batch(feed, batch).await?;
        sort(&mut held);
        Ok(held)
    }

    /// Marks files as `PROCESSING` by a batch until `until`. No other batch can claim them while the batch is open. Returns the files that the
    /// batch holds.
    pub async fn begin(&self, batch: &str, files: Vec<FileRecord>, until: Timestamp) -> Result<Vec<FileRecord>> {
        let begun = stream::iter(files)
            .map(|file| async move {
                let begin = FileStep::Begin { batch: batch.into(), until };
                let file = self.register.step(&file, &begin, self.clock.now()).await?.file;
                let is_begun = file.file_status == FileStatus::Processing && file.is_of(batch);
                Result::Ok(is_begun.then_some(file))
            })
            .buffer_unordered(AT_ONCE);
        let mut begun: Vec<_> = begun.try_filter_map(async |file| Ok(file)).try_collect().await?;
        sort(&mut begun);
        Ok(begun)
    }

    /// Ends a batch: `ending` decides for each of its open files. Returns the number of files whose status this call changed.
    pub async fn end(&self, feed: &str, batch: &str, ending: &(dyn Fn(&FileRecord) -> Ending + Sync)) -> Result<usize> {
        let ended = stream::iter(self.held(feed, batch).await?)
            .map(|file| async move {
                let batch = batch.to_owned();
                let step = match ending(&file) {
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

    /// Ends a batch whose COPY committed the files of these URLs. The other files of the batch are released.
    ///
    /// COPY reads keys, not versions. A file that was overwritten or deleted during the COPY ends `FAILED`, with an error in the log, because
    /// it is unknown which content was loaded. Returns the number of files that this call changed to `PROCESSED`.
    pub async fn loaded(&self, feed: &str, batch: &str, urls: &[String]) -> Result<usize> {
        let members: BTreeSet<&str> = urls.iter().map(String::as_str).collect();
        let ended = stream::iter(self.held(feed, batch).await?)
            .map(|file| {
                let member = members.contains(file.url().as_str());
                async move { self.end_loaded(batch, file, member).await }
            })
            .buffer_unordered(AT_ONCE);
        ended.try_fold(0, async |sum, is_processed| Ok(sum + usize::from(is_processed))).await
    }

    async fn end_loaded(&self, batch: &str, file: FileRecord, member: bool) -> Result<bool> {
        let batch = batch.to_owned();
        let now = self.clock.now();
        if !member {
            return self.register.step(&file, &FileStep::Release { batch }, now).await.map(|_| false);
        }
        let history = self.register.of_key(&file.feed, &file.bucket, &file.key).await?;
        let (to, reason) = if history.changed_since_claim(&file) {
            tracing::error!(file = file.url(), batch, "{IN_DOUBT}");
            (FileStatus::Failed, Some(IN_DOUBT.to_owned()))
        } else {
            (FileStatus::Processed, None)
        };
        let stepped = self.register.step(&file, &FileStep::End { batch, to, reason }, now).await?;
        Ok(stepped.fresh && to == FileStatus::Processed)
    }

    /// Changes the files of these URLs that the batch left `FAILED` to `PROCESSED`: the statement committed after its run was stopped.
    pub async fn loaded_late(&self, feed: &str, batch: &str, urls: &[String]) -> Result<()> {
        let step = FileStep::End { batch: batch.into(), to: FileStatus::Processed, reason: None };
        self.step_failed(feed, batch, urls, &step).await
    }

    /// Reopens the files of these URLs that the batch left `FAILED`, because the run of the batch is restarted.
    pub async fn reopen(&self, feed: &str, batch: &str, urls: &[String]) -> Result<()> {
        self.step_failed(feed, batch, urls, &FileStep::Retry).await
    }

    async fn step_failed(&self, feed: &str, batch: &str, urls: &[String], step: &FileStep) -> Result<()> {
        stream::iter(urls.to_vec())
            .map(|url| async move {
                let Some((bucket, key)) = url.strip_prefix("s3://").and_then(|path| path.split_once('/')) else {
                    return Err(Failure::corrupt(format!("`{url}` is not a valid S3 URL: expected `s3://bucket/key`")));
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

/// The decision about a file when its batch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The file stays in the batch.
    Keep,
    /// The file leaves the batch and can be claimed by another.
    Release,
    /// The file gets this final status, with the reason unless it was processed.
    End(FileStatus, Option<String>),
}

/// Sorts files by the time they were received and by key, so that every launch of a batch writes the same manifest.
fn sort(files: &mut [FileRecord]) {
    files.sort_by(|a, b| (a.received_ts, &a.key).cmp(&(b.received_ts, &b.key)));
}
