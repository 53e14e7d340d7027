//! `copy`: each file goes to exactly one end with the attempt that was to load it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::{SignedDuration, tz::TimeZone};
use shiftwork_feeds::{Batches, Ending, batch_of};
use shiftwork_ports::{Bucket, Clock, Result, Warehouse};
use shiftwork_protocol::{
    Attempt, Class, Connection, Failure, FailureKind, JobRecord, Status,
    event::{Event, TableRefreshed},
    file::{FileRecord, FileStatus},
    manifest_key,
};

use super::{
    AroundAttempts,
    load_errors::{mentioned, named},
    manifest,
};

/// A COPY without the files that it stumbled over is tried this often. From the second attempt on every bad file is found
/// at once, so it takes more only where files go bad meanwhile.
const ATTEMPTS: u32 = 8;
/// Redshift shows load errors some seconds after the COPY failed (Redshift docs, "System tables and views"). For this long
/// after a submission that named none, they are looked for again.
const ERRORS_APPEAR: SignedDuration = SignedDuration::from_mins(5);
/// Files that an event names; the manifest has them all.
const NAMED: usize = 100;

/// Errors of this user's loads since then.
const LOAD_ERRORS: &str = "SELECT TRIM(file_name), line_number, TRIM(column_name), TRIM(error_message) \
    FROM sys_load_error_detail WHERE start_time >= CAST(:since AS TIMESTAMP) ORDER BY file_name, line_number LIMIT 10000";
/// What the message of a COPY says where Redshift keeps more about its files.
const MORE_IS_KEPT: [&str; 3] = ["sys_load_error_detail", "stl_load_errors", "Spectrum Scan Error"];

/// What the kind needs.
#[derive(Clone)]
pub struct Copy {
    /// The bucket of the manifests.
    pub staging: Bucket,
    /// Where the files of feeds stand.
    pub files: Batches,
    /// Says which files a load failed on.
    pub warehouse: Arc<dyn Warehouse>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

pub(super) struct FileLoad<'a> {
    pub(super) copy: &'a Copy,
    pub(super) connection: &'a Connection,
    pub(super) feed: &'a str,
    pub(super) table: &'a str,
}

#[async_trait]
impl AroundAttempts for FileLoad<'_> {
    /// The files of its manifest are PROCESSED, whatever was said of them before.
    async fn committed(&self, at: &Attempt, job: &JobRecord) -> Result<()> {
        let (feed, files) = (self.feed, &self.copy.files);
        let Some(manifest) = manifest(&self.copy.staging, at).await? else { return Ok(()) };
        let (batch, urls) = (batch_of(&at.run, &at.job), manifest.urls());
        let processed = files.loaded(feed, &batch, &urls).await?;
        if processed > 0 {
            tracing::info!(run = at.run, job = at.job, feed, files = processed, "files processed");
        }
        if job.execution_status == Status::Succeeded {
            return Ok(());
        }
        files.loaded_late(feed, &batch, &urls).await
    }

    /// The files that were not begun go back. Those that were begun wait for [`AroundAttempts::committed`] or
    /// [`AroundAttempts::ended_in_vain`].
    async fn not_committed(&self, job: &JobRecord) -> Result<()> {
        let ending = |file: &FileRecord| without_commit(job, file.file_status);
        self.copy.files.end(self.feed, &batch(job), &ending).await.map(drop)
    }

    /// The files that it stumbled over are quarantined with Redshift's reason; the rest is worth another attempt.
    ///
    /// The decision is made from where the files stand, not from which call moved them, so that it is the same after a crash.
    async fn failed(&self, at: &Attempt, job: &JobRecord, message: &str) -> Result<Option<String>> {
        if job.execution_status.is_terminal() || job.attempt != at.attempt || at.attempt >= ATTEMPTS {
            return Ok(None);
        }
        let (feed, files) = (self.feed, &self.copy.files);
        let Some(manifest) = manifest(&self.copy.staging, at).await? else { return Ok(None) };
        let (batch, urls) = (batch_of(&at.run, &at.job), manifest.urls());
        if self.held(&batch, &urls).await? == urls.len() {
            let refused = self.refused(job, message, &urls).await?;
            let quarantine = |file: &FileRecord| match refused.get(&file.url()) {
                Some(reason) => Ending::End(FileStatus::Quarantined, Some(reason.clone())),
                None => Ending::Keep,
            };
            files.end(feed, &batch, &quarantine).await?;
        }
        let bad = urls.len() - self.held(&batch, &urls).await?;
        Ok((bad > 0).then(|| {
            format!("{bad} of {} files were quarantined, the rest is loaded without them: {message}", urls.len())
        }))
    }

    async fn ended_in_vain(&self, job: &JobRecord) -> Result<()> {
        let why = job.error_message.as_deref().unwrap_or("its load failed without a message");
        let ending = Ending::End(FileStatus::Failed, Some(why.to_owned()));
        self.copy.files.end(self.feed, &batch(job), &|_| ending.clone()).await.map(drop)
    }

    async fn resolved(&self, job: &JobRecord) -> Result<bool> {
        Ok(job.execution_status.is_terminal() && self.copy.files.held(self.feed, &batch(job)).await?.is_empty())
    }

    /// The table that new files went into; none where the job loaded none.
    async fn event(&self, job: &JobRecord) -> Result<Option<Event>> {
        if job.execution_status != Status::Succeeded || job.statement_id.is_none() {
            return Ok(None);
        }
        let at = job.current_attempt();
        let Some(manifest) = manifest(&self.copy.staging, &at).await? else { return Ok(None) };
        let mut files = manifest.urls();
        let file_count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        files.truncate(NAMED);
        Ok(Some(Event::Table(TableRefreshed {
            idempotency_key: at.to_string(),
            workflow_id: job.workflow_id.clone(),
            workflow_execution_id: job.workflow_execution_id.clone(),
            job_name: job.plan.job_name.clone(),
            feed: self.feed.to_owned(),
            table: self.table.to_owned(),
            file_count,
            files,
            manifest: manifest_key(&at),
            rows: job.rows,
        })))
    }
}

/// What becomes of a file of a batch whose attempt has not committed. One that is PROCESSING may still be loaded, unless the job
/// is over without a submission.
fn without_commit(job: &JobRecord, file: FileStatus) -> Ending {
    let over = job.execution_status == Status::Skipped
        || job.execution_status == Status::Succeeded && job.statement_id.is_none();
    match file {
        FileStatus::Processing if !over => Ending::Keep,
        FileStatus::Processing
        | FileStatus::Received
        | FileStatus::Batched
        | FileStatus::Processed
        | FileStatus::Failed
        | FileStatus::Quarantined => Ending::Release,
    }
}

fn batch(job: &JobRecord) -> String {
    batch_of(&job.workflow_execution_id, &job.plan.job_name)
}

impl FileLoad<'_> {
    /// How many of these files its batch holds.
    async fn held(&self, batch: &str, urls: &[String]) -> Result<usize> {
        let held = self.copy.files.held(self.feed, batch).await?;
        Ok(held.iter().filter(|file| urls.contains(&file.url())).count())
    }

    /// What Redshift says about the files of a COPY that failed, by their URLs.
    async fn refused(&self, job: &JobRecord, message: &str, urls: &[String]) -> Result<BTreeMap<String, String>> {
        let now = self.copy.clock.now();
        let submitted = job.submitted_ts.unwrap_or(now);
        let since = submitted.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        let parameters = BTreeMap::from([("since".to_owned(), since)]);
        let rows = match self.copy.warehouse.rows(LOAD_ERRORS, self.connection, &parameters).await {
            Ok(rows) => rows,
            Err(failure) if failure.kind.class() == Class::Retryable => return Err(failure),
            Err(failure) => {
                tracing::warn!(%failure, "load errors cannot be read: the message of the statement is used instead");
                Vec::new()
            }
        };
        let mut refused = BTreeMap::new();
        for row in rows {
            let [Some(file), line, column, Some(reason)] = row.as_slice() else { continue };
            let Some(url) = named(file, urls) else { continue };
            // A columnar file has no lines.
            let line =
                line.as_deref().filter(|line| *line != "0").map_or(String::new(), |line| format!("line {line}, "));
            let column = column
                .as_deref()
                .filter(|name| !name.is_empty())
                .map_or(String::new(), |name| format!("column {name}: "));
            refused.entry(url.clone()).or_insert_with(|| format!("{line}{column}{reason}"));
        }
        if refused.is_empty() {
            refused.extend(mentioned(message, urls).into_iter().map(|url| (url.clone(), message.to_owned())));
        }
        let more_is_kept = MORE_IS_KEPT.iter().any(|words| message.contains(words));
        if refused.is_empty() && more_is_kept && now.duration_since(submitted) < ERRORS_APPEAR {
            let words = format!("{message}\nRedshift does not show the errors of this load yet");
            return Err(Failure::new(FailureKind::Unavailable, words));
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    /// Of the files of a batch without a commit, only those that a submission may still load are kept.
    #[test]
    fn a_file_without_a_commit_is_kept_or_released() {
        use FileStatus::{Batched, Failed, Processed, Processing, Quarantined, Received};
        for (job, submitted, kept) in [
            (Status::Pending, false, true),
            (Status::Running, true, true),
            (Status::Failed, true, true),
            (Status::TimedOut, true, true),
            (Status::Aborted, false, true),
            (Status::Succeeded, true, true),
            (Status::Succeeded, false, false),
            (Status::Skipped, false, false),
            (Status::Skipped, true, false),
        ] {
            let record =
                JobRecord { execution_status: job, statement_id: submitted.then(|| "id".into()), ..a_job("load", &[]) };
            let expected = if kept { Ending::Keep } else { Ending::Release };
            assert_eq!(without_commit(&record, Processing), expected, "{job}, submitted: {submitted}");
            for file in [Received, Batched, Processed, Failed, Quarantined] {
                assert_eq!(without_commit(&record, file), Ending::Release, "{job}, {file:?}");
            }
        }
    }
}
