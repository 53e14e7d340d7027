//! `copy`: gives each file of a batch its final status when the attempt that loads it ends.

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

/// Maximum number of attempts of a COPY that failed on files and is repeated without them. From the second attempt on, COPY
/// reports all bad files at once, so more than three attempts are needed only if more files become bad in between.
const ATTEMPTS: u32 = 8;
/// Redshift shows load errors some seconds after the COPY failed (Redshift docs, "System tables and views"). For this
/// time after the submission, a query without a result is repeated.
const ERRORS_APPEAR: SignedDuration = SignedDuration::from_mins(5);
/// Maximum number of files in an event. The manifest lists all files.
const FILES_IN_EVENT: usize = 100;

/// Query for the errors of the database user's loads since a time.
const LOAD_ERRORS: &str = "SELECT TRIM(file_name), line_number, TRIM(column_name), TRIM(error_message) \
    FROM sys_load_error_detail WHERE start_time >= CAST(:since AS TIMESTAMP) ORDER BY file_name, line_number LIMIT 10000";
/// Texts in the message of a COPY that say where Redshift stores further errors.
const ERROR_TABLES: [&str; 3] = ["sys_load_error_detail", "stl_load_errors", "Spectrum Scan Error"];

/// The ports and buckets that this kind uses.
#[derive(Clone)]
pub struct Copy {
    /// Staging bucket, which holds the manifests.
    pub staging: Bucket,
    /// File audit table.
    pub files: Batches,
    /// Warehouse that is queried for load errors.
    pub warehouse: Arc<dyn Warehouse>,
    /// Source of the present time.
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
    /// Sets the files of the attempt's manifest to PROCESSED, whatever their status.
    async fn committed(&self, at: &Attempt, job: &JobRecord) -> Result<()> {
        let (feed, files) = (self.feed, &self.copy.files);
        let Some(manifest) = manifest(&self.copy.staging, at).await? else { return Ok(()) };
        let (batch, urls) = (batch_of(&at.run, &at.job), manifest.urls());
        let processed = files.loaded(feed, &batch, &urls).await?;
        if processed > 0 {
            tracing::info!(feed, files = processed, "files processed");
        }
        if job.execution_status == Status::Succeeded {
            return Ok(());
        }
        files.loaded_late(feed, &batch, &urls).await
    }

    /// Releases the files whose load was not begun. The other files wait for [`AroundAttempts::committed`] or
    /// [`AroundAttempts::confirmed_not_committed`].
    async fn not_committed(&self, job: &JobRecord) -> Result<()> {
        let ending = |file: &FileRecord| without_commit(job, file.file_status);
        self.copy.files.end(self.feed, &batch(job), &ending).await.map(drop)
    }

    /// Quarantines the files that the COPY failed on, each with Redshift's reason, and requests another attempt for the
    /// other files.
    ///
    /// The decision depends on the status of the files, not on the call that changed it, so a repeated call decides the
    /// same.
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
            format!("{bad} of {} files were quarantined; the next attempt loads the other files: {message}", urls.len())
        }))
    }

    async fn confirmed_not_committed(&self, job: &JobRecord) -> Result<()> {
        let why = job.error_message.as_deref().unwrap_or("its load failed without a message");
        let ending = Ending::End(FileStatus::Failed, Some(why.to_owned()));
        self.copy.files.end(self.feed, &batch(job), &|_| ending.clone()).await.map(drop)
    }

    async fn resolved(&self, job: &JobRecord) -> Result<bool> {
        Ok(job.execution_status.is_terminal() && self.copy.files.held(self.feed, &batch(job)).await?.is_empty())
    }

    /// The event that files were loaded into a table; none if the job loaded no files.
    async fn event(&self, job: &JobRecord) -> Result<Option<Event>> {
        if job.execution_status != Status::Succeeded || job.statement_id.is_none() {
            return Ok(None);
        }
        let at = job.current_attempt();
        let Some(manifest) = manifest(&self.copy.staging, &at).await? else { return Ok(None) };
        let mut files = manifest.urls();
        let file_count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        files.truncate(FILES_IN_EVENT);
        Ok(Some(Event::Table(TableRefreshed {
            idempotency_key: at.to_string(),
            workflow_id: job.workflow_id.clone(),
            workflow_execution_id: job.workflow_execution_id.clone(),
            logical_date: job.logical_date,
            time_zone: job.time_zone.clone(),
            job_name: job.plan.job_name.clone(),
            feed: self.feed.to_owned(),
            table: self.table.to_owned(),
            file_count,
            files,
            manifest: manifest_key(&at),
            rows: job.rows,
            caused_by: job.caused_by.clone(),
        })))
    }
}

/// The new status of a file of a batch whose attempt has not committed. A file in status PROCESSING may still be
/// loaded, unless the job ended without a submission.
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
    /// Number of the given files that the batch holds.
    async fn held(&self, batch: &str, urls: &[String]) -> Result<usize> {
        let held = self.copy.files.held(self.feed, batch).await?;
        Ok(held.iter().filter(|file| urls.contains(&file.url())).count())
    }

    /// Asks Redshift for the errors of a failed COPY. Returns the reason for each file, by its URL.
    async fn refused(&self, job: &JobRecord, message: &str, urls: &[String]) -> Result<BTreeMap<String, String>> {
        let now = self.copy.clock.now();
        let submitted = job.submitted_ts.unwrap_or(now);
        let since = submitted.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        let parameters = BTreeMap::from([("since".to_owned(), since)]);
        let rows = match self.copy.warehouse.rows(LOAD_ERRORS, self.connection, &parameters).await {
            Ok(rows) => rows,
            Err(failure) if failure.kind.class() == Class::Retryable => return Err(failure),
            Err(failure) => {
                tracing::warn!(
                    failure = failure.kind.name(),
                    "load errors cannot be read, so the message of the statement is used: {failure}"
                );
                Vec::new()
            }
        };
        let mut refused = BTreeMap::new();
        for row in rows {
            let [Some(file), line, column, Some(reason)] = row.as_slice() else { continue };
            let Some(url) = named(file, urls) else { continue };
            // Redshift reports line 0 for a columnar file, which has no lines.
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
        let has_errors = ERROR_TABLES.iter().any(|table| message.contains(table));
        if refused.is_empty() && has_errors && now.duration_since(submitted) < ERRORS_APPEAR {
            let message = format!("{message}\nRedshift does not show the errors of this load yet: trying again");
            return Err(Failure::new(FailureKind::Unavailable, message));
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    /// Without a commit, only the files that a submission may still load are kept.
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
