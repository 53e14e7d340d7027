//! `copy`: selects the files of a load and makes the COPY that loads them.
//!
//! ```text
//! take (claims the files for ten minutes) ── manifest (once per attempt) ── begin (holds the files until the job ends)
//! ── COPY
//! ```
//!
//! The manifest lists the files that the statement loads, so every launcher that submits this attempt submits the same
//! statement. No other batch can claim a file after `begin`. If another batch claimed a file before, the attempt ends.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use shiftwork_config::read_file;
use shiftwork_feeds::{Batches, Feed, batch_of};
use shiftwork_ports::{Bucket, Objects, Result, Session, Submission, scripts};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind, JobRecord, Manifest, ScriptPin, file::Format, manifest_key,
};
use shiftwork_settlement::JobSettlement;

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
                let text = serde_json::to_vec(&Manifest::of_files(files.iter().map(|file| (file.url(), file.size))));
                let text = text.map_err(|error| Failure::corrupt(error.to_string()))?;
                read(&key, &self.staging.put_once(&key, text).await?)?
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
        let copy = format!("{into} FROM '{}' {options}", self.staging.url(&key));
        // The first attempt has no preceding check. Later attempts follow a failure on bad files, so they first find
        // all bad files with NOLOAD, and the attempt after that loads the others. COPY of Parquet does not support
        // NOLOAD: `take` checks these files.
        let sqls = if job.attempt > 1 && feed.format != Format::Parquet {
            vec![format!("{copy} NOLOAD MAXERROR {MOST_ERRORS}"), copy]
        } else {
            vec![copy]
        };
        Ok(Prepared::Submit(Box::new(Submission {
            attempt,
            connection: connection.clone(),
            sqls,
            session: Session::Own,
            parameters: BTreeMap::new(),
        })))
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

fn read(key: &str, text: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}
