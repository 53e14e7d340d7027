//! `copy`: selects the files of a load and makes the COPY that loads them.
//!
//! ```text
//! take (claims the files for ten minutes) ── manifest (once per attempt) ── begin (holds the files until the job ends)
//! ── COPY
//! ```
//!
//! The manifest lists the files that the statement loads, so every launcher that submits this attempt submits the same
//! statement. No other batch can claim a file after `begin`. If another batch claimed a file before, the attempt ends.
//!
//! If the feed assigns fields by the headers of the files, each header has a COPY and a manifest of its own. They are derived from the
//! register, which holds the columns of each file, and are in one transaction.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use shiftwork_config::read_file;
use shiftwork_feeds::{Batches, Feed, batch_of, feed::ColumnsBy};
use shiftwork_ports::{Bucket, Objects, Result, Session, Submission, scripts};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind, JobRecord, Manifest, ScriptPin,
    file::{FileRecord, Format},
    keys::header_manifest_key,
    manifest_key,
};
use shiftwork_settlement::JobSettlement;
use shiftwork_sql::quote_identifier;

use super::Prepared;

/// Time after the job's timeout until the files of the batch are checked.
const GRACE: SignedDuration = SignedDuration::from_mins(15);

/// The ports and buckets that this kind uses.
pub struct Copy {
    /// Settles the outcome of an earlier run's attempt, for a restart.
    pub jobs: JobSettlement,
    /// Scripts bucket, which holds the feeds.
    pub scripts: Bucket,
    /// File audit table.
    pub files: Batches,
    /// Buckets that the files land in.
    pub landing: Arc<dyn Objects>,
    /// Staging bucket, which holds the manifests.
    pub staging: Bucket,
}

impl Copy {
    /// Makes the load of the feed's pending files.
    pub(super) async fn prepare(
        &self,
        job: &JobRecord,
        connection: &Connection,
        pin: &ScriptPin,
        into: &str,
        options: &str,
    ) -> Result<Prepared> {
        let feed = self.feed(pin).await?;
        let attempt = job.current_attempt();
        let (key, batch) = (manifest_key(&attempt), batch_of(&attempt.run, &attempt.job));
        let manifest = match self.staging.get(&key).await? {
            Some(text) => read(&key, &text)?,
            None => {
                self.reopen(&attempt, &feed).await?;
                let files = self.files.take(&*self.landing, &feed, &batch).await?;
                if files.is_empty() {
                    return Ok(Prepared::NothingToDo);
                }
                read(&key, &self.staging.put_once(&key, manifest_of(&files)?).await?)?
            }
        };
        let urls = manifest.urls();
        let held = self.files.held(&feed.feed, &batch).await?;
        let members: Vec<_> = held.into_iter().filter(|file| urls.contains(&file.url())).collect();
        let until = self.jobs.clock.now() + SignedDuration::from_secs(job.plan.timeout_seconds.into()) + GRACE;
        let begun = self.files.begin(&batch, members, until).await?;
        if begun.len() < urls.len() {
            let lost = urls.len() - begun.len();
            return Ok(Prepared::Lost(format!(
                "another batch claimed {lost} of the {} files of manifest {key}",
                urls.len()
            )));
        }
        tracing::info!(feed = feed.feed, files = urls.len(), manifest = key, "loading");
        let targets = match feed.columns_by {
            ColumnsBy::Position => vec![(into.to_owned(), self.staging.url(&key))],
            ColumnsBy::Header => self.by_header(&key, into, begun).await?,
        };
        let copies: Vec<_> = targets.iter().map(|(into, url)| format!("{into} FROM '{url}' {options}")).collect();
        // The first attempt has no preceding check. Later attempts follow a failure on bad files, so they first find
        // all bad files with NOLOAD, and the attempt after that loads the others. COPY of Parquet does not support
        // NOLOAD: `take` checks these files.
        let sqls = if job.attempt > 1 && feed.format != Format::Parquet {
            let checks = copies.iter().map(|copy| format!("{copy} NOLOAD MAXERROR {MOST_ERRORS}"));
            checks.chain(copies.clone()).collect()
        } else {
            copies
        };
        Ok(Prepared::Submit(Box::new(Submission {
            attempt,
            connection: connection.clone(),
            sqls,
            session: Session::Own,
            parameters: BTreeMap::new(),
        })))
    }

    /// Returns the beginning of the COPY and the URL of the manifest for each header of the files.
    async fn by_header(&self, key: &str, into: &str, files: Vec<FileRecord>) -> Result<Vec<(String, String)>> {
        let mut headers: BTreeMap<Vec<String>, Vec<FileRecord>> = BTreeMap::new();
        for file in files {
            headers.entry(file.columns.clone()).or_default().push(file);
        }
        let is_single = headers.len() == 1;
        let mut targets = Vec::new();
        for (n, (columns, files)) in headers.into_iter().enumerate() {
            let columns: std::result::Result<Vec<_>, _> =
                columns.iter().map(|column| quote_identifier(column)).collect();
            let columns = columns.map_err(|problem| Failure::corrupt(problem.to_string()))?;
            if columns.is_empty() {
                let message = format!("{} was claimed without the columns of its header", files[0].url());
                return Err(Failure::corrupt(message));
            }
            let manifest = if is_single { key.to_owned() } else { header_manifest_key(key, n + 1) };
            if !is_single {
                self.staging.put(&manifest, manifest_of(&files)?).await?;
            }
            targets.push((format!("{into} ({})", columns.join(", ")), self.staging.url(&manifest)));
        }
        Ok(targets)
    }

    async fn feed(&self, pin: &ScriptPin) -> Result<Feed> {
        let text = scripts::pinned(&self.scripts, pin).await?;
        read_file(&pin.key, &text).and_then(|doc| Feed::read(&doc)).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failure::corrupt(format!("the pinned feed cannot be read: {}", problems.join("\n")))
        })
    }

    /// In a restart, reopens the files that the same job of the earlier run left FAILED.
    async fn reopen(&self, at: &Attempt, feed: &Feed) -> Result<()> {
        let Some(run) = self.jobs.ledger.run(&at.run).await? else { return Ok(()) };
        let Some(earlier) = run.restart_of else { return Ok(()) };
        let Some(job) = self.jobs.ledger.job(&earlier, &at.job).await? else { return Ok(()) };
        if !self.jobs.resolve(&job).await? {
            let message = format!("job {} of run {earlier} may still be loading its files: trying again", at.job);
            return Err(Failure::new(FailureKind::Unavailable, message));
        }
        let key = manifest_key(&job.current_attempt());
        let Some(text) = self.staging.get(&key).await? else { return Ok(()) };
        let batch = batch_of(&earlier, &at.job);
        self.files.reopen(&feed.feed, &batch, &read(&key, &text)?.urls()).await
    }
}

/// Largest value of MAXERROR (Redshift docs, "Data load operations").
const MOST_ERRORS: u32 = 100_000;

fn manifest_of(files: &[FileRecord]) -> Result<Vec<u8>> {
    let manifest = Manifest::of_files(files.iter().map(|file| (file.url(), file.size)));
    serde_json::to_vec(&manifest).map_err(|error| Failure::corrupt(error.to_string()))
}

fn read(key: &str, text: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}
