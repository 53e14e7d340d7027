//! The files of a job of kind `copy`: each goes to exactly one end with the statement that was to load it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, tz::TimeZone};
use shiftwork_feeds::{Ending, FileRecord, FileStatus, batch_of};
use shiftwork_ports::{Progress, Result, Statement, Statements};
use shiftwork_protocol::{
    Attempt, Class, Failure, FailureKind, JobRecord, Manifest, Status, Work,
    event::{Event, TableRefreshed},
    manifest_key,
};

use crate::{
    JobSettlement,
    load_errors::{mentioned, named},
    sweep::LAUNCHER_LIFE,
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

impl JobSettlement {
    /// Redshift committed the COPY of this name: the files of its manifest are PROCESSED, whatever was said of them before.
    pub(crate) async fn files_loaded(&self, at: &Attempt, job: &JobRecord, feed: &str) -> Result<()> {
        let Some(manifest) = self.manifest(at).await? else { return Ok(()) };
        let (batch, urls) = (batch_of(&at.run, &at.job), manifest.urls());
        let files = self.files.loaded(feed, &batch, &urls).await?;
        if files > 0 {
            tracing::info!(run = at.run, job = at.job, feed, files, "files processed");
        }
        if job.execution_status == Status::Succeeded {
            return Ok(());
        }
        self.files.loaded_late(feed, &batch, &urls).await
    }

    /// The job ended, and nobody knows yet what became of its statement, if it had one: the files that were not begun go
    /// back, and those that were wait for [`JobSettlement::files_left`] or [`JobSettlement::files_loaded`].
    pub(crate) async fn files_not_begun(&self, job: &JobRecord, feed: &str) -> Result<()> {
        let over = job.execution_status == Status::Skipped
            || job.execution_status == Status::Succeeded && job.statement_id.is_none();
        let ending = |file: &FileRecord| match file.file_status {
            FileStatus::Processing if !over => Ending::Keep,
            FileStatus::Processing
            | FileStatus::Received
            | FileStatus::Batched
            | FileStatus::Processed
            | FileStatus::Failed
            | FileStatus::Quarantined => Ending::Release,
        };
        self.files.end(feed, &batch_of(&job.workflow_execution_id, &job.plan.job_name), &ending).await.map(drop)
    }

    /// The job ended, and its last statement did not load anything, for certain.
    pub(crate) async fn files_left(&self, job: &JobRecord) -> Result<()> {
        let Work::Copy { files: feed, .. } = &job.plan.work else { return Ok(()) };
        let why = job.error_message.as_deref().unwrap_or("its load failed without a message");
        let ending = Ending::End(FileStatus::Failed, Some(why.to_owned()));
        let batch = batch_of(&job.workflow_execution_id, &job.plan.job_name);
        self.files.end(feed, &batch, &|_| ending.clone()).await.map(drop)
    }

    /// Finds out what became of the files of a job that ended: a run that is stopped does not wait for its statements, and
    /// events are lost. Answers whether that is known by now.
    pub async fn resolve_files(&self, job: &JobRecord, statements: &dyn Statements) -> Result<bool> {
        let Work::Copy { files: feed, .. } = &job.plan.work else { return Ok(true) };
        let batch = batch_of(&job.workflow_execution_id, &job.plan.job_name);
        if !job.execution_status.is_terminal() {
            return Ok(false);
        }
        if self.files.held(feed, &batch).await?.is_empty() {
            return Ok(true);
        }
        let name = job.current_attempt();
        match statements.find(&name, &job.plan.connection).await? {
            Some(Statement { progress: Progress::Active, .. }) => Ok(false),
            Some(Statement { id, progress, .. }) => self.statement_ended(&name, &id, &progress).await.map(|()| true),
            // A launcher may be about to submit it.
            None if job.execution_end_ts.is_some_and(|end| self.clock.now().duration_since(end) < LAUNCHER_LIFE) => {
                Ok(false)
            }
            None => self.files_left(job).await.map(|()| true),
        }
    }

    /// A COPY failed. The files that it stumbled over are quarantined with Redshift's reason; answers what to write about
    /// the attempt where the rest is worth another one, and nothing where no file is to load_errors.
    ///
    /// The answer comes from where the files stand, not from who moved them, so that it is the same after a crash.
    pub(crate) async fn files_refused(&self, at: &Attempt, job: &JobRecord, message: &str) -> Result<Option<String>> {
        let Work::Copy { files: feed, .. } = &job.plan.work else { return Ok(None) };
        if job.execution_status.is_terminal() || job.attempt != at.attempt || at.attempt >= ATTEMPTS {
            return Ok(None);
        }
        let Some(manifest) = self.manifest(at).await? else { return Ok(None) };
        let (batch, urls) = (batch_of(&at.run, &at.job), manifest.urls());
        let held = async || -> Result<usize> {
            let held = self.files.held(feed, &batch).await?;
            Ok(held.iter().filter(|file| urls.contains(&file.url())).count())
        };
        if held().await? == urls.len() {
            let refused = self.refused(job, message, &urls).await?;
            let quarantine = |file: &FileRecord| match refused.get(&file.url()) {
                Some(reason) => Ending::End(FileStatus::Quarantined, Some(reason.clone())),
                None => Ending::Keep,
            };
            self.files.end(feed, &batch, &quarantine).await?;
        }
        let bad = urls.len() - held().await?;
        Ok((bad > 0).then(|| {
            format!("{bad} of {} files were quarantined, the rest is loaded without them: {message}", urls.len())
        }))
    }

    /// What Redshift says about the files of a COPY that failed, by their URLs.
    async fn refused(&self, job: &JobRecord, message: &str, urls: &[String]) -> Result<BTreeMap<String, String>> {
        let submitted = job.submitted_ts.unwrap_or_else(|| self.clock.now());
        let since = submitted.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        let parameters = BTreeMap::from([("since".to_owned(), since)]);
        let rows = match self.queries.rows(LOAD_ERRORS, &job.plan.connection, &parameters).await {
            Ok(rows) => rows,
            Err(failure) if failure.kind.class() == Class::Retryable => return Err(failure),
            Err(failure) => {
                tracing::warn!(%failure, "load errors cannot be read: the message of the statement has to do");
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
        if refused.is_empty() && more_is_kept && self.clock.now().duration_since(submitted) < ERRORS_APPEAR {
            let words = format!("{message}\nRedshift does not show the errors of this load yet");
            return Err(Failure::new(FailureKind::Unavailable, words));
        }
        Ok(refused)
    }

    /// The event of a table that new files went into; none where the job loaded none.
    pub(crate) async fn table_refreshed(&self, job: &JobRecord) -> Result<Option<Event>> {
        let Work::Copy { files: feed, table, .. } = &job.plan.work else { return Ok(None) };
        if job.execution_status != Status::Succeeded || job.statement_id.is_none() {
            return Ok(None);
        }
        let at = job.current_attempt();
        let Some(manifest) = self.manifest(&at).await? else { return Ok(None) };
        let mut files = manifest.urls();
        let file_count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        files.truncate(NAMED);
        Ok(Some(Event::Table(TableRefreshed {
            idempotency_key: at.to_string(),
            workflow_id: job.workflow_id.clone(),
            workflow_execution_id: job.workflow_execution_id.clone(),
            job_name: job.plan.job_name.clone(),
            feed: feed.clone(),
            table: table.clone(),
            file_count,
            files,
            manifest: manifest_key(&at),
            rows: job.rows,
        })))
    }

    async fn manifest(&self, at: &Attempt) -> Result<Option<Manifest>> {
        let key = manifest_key(at);
        let Some(text) = self.staging.get(&key).await? else { return Ok(None) };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
    }
}
