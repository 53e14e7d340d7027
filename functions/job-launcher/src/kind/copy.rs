//! Files of a feed: which of them a load takes, and the COPY that loads them.
//!
//! ```text
//! take (claimed: theirs for ten minutes) ── manifest (once an attempt) ── begin (theirs until the job ends) ── COPY
//! ```
//!
//! The manifest says what the statement loads, so everybody who submits this attempt submits the same. A file goes to
//! nobody else once it was begun; one that somebody else got before, while a launcher slept, ends the attempt.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use shiftwork_config::read_file;
use shiftwork_feeds::{Feed, Format, batch_of};
use shiftwork_ports::{Result, Submission};
use shiftwork_protocol::{Attempt, Failure, FailureKind, JobRecord, Manifest, ScriptPin, Transaction, manifest_key};

use crate::Launcher;

/// Beyond the job's own timeout, until somebody may ask what became of its files.
const GRACE: SignedDuration = SignedDuration::from_mins(15);

/// What is to be done about a load.
pub(crate) enum Copy {
    /// Submit it.
    Submit(Box<Submission>),
    /// No file waits.
    Nothing,
    /// Files of the manifest went to another batch: this attempt cannot be submitted any more, and why.
    Lost(String),
}

impl Launcher {
    /// The load of the files that wait for it.
    pub(crate) async fn copy(&self, job: &JobRecord, pin: &ScriptPin, into: &str, options: &str) -> Result<Copy> {
        let feed = self.feed(pin).await?;
        let name = job.current_attempt();
        let (key, batch) = (manifest_key(&name), batch_of(&name.run, &name.job));
        let manifest = match self.jobs.staging.get(&key).await? {
            Some(text) => read(&key, &text)?,
            None => {
                self.reopen(&name, &feed).await?;
                let files = self.jobs.files.take(&*self.landing, &feed, &batch).await?;
                if files.is_empty() {
                    return Ok(Copy::Nothing);
                }
                let text = serde_json::to_vec(&Manifest::of_files(files.iter().map(|file| (file.url(), file.size))));
                let text = text.map_err(|error| Failure::corrupt(error.to_string()))?;
                read(&key, &self.jobs.staging.put_once(&key, text).await?)?
            }
        };
        let urls = manifest.urls();
        let held = self.jobs.files.held(&feed.feed, &batch).await?;
        let members: Vec<_> = held.into_iter().filter(|file| urls.contains(&file.url())).collect();
        let until = self.jobs.clock.now() + SignedDuration::from_secs(job.plan.timeout_seconds.into()) + GRACE;
        let begun = self.jobs.files.begin(&batch, members, until).await?;
        if begun.len() < urls.len() {
            let lost = urls.len() - begun.len();
            return Ok(Copy::Lost(format!(
                "{lost} of the {} files of manifest {key} went to another batch",
                urls.len()
            )));
        }
        tracing::info!(feed = feed.feed, files = urls.len(), manifest = key, "loading");
        let copy = format!("{into} FROM 's3://{}/{key}' {options}", self.staging_bucket);
        // The first attempt hopes for the best. The second knows that files are bad, and that those seldom come alone: it
        // has them all found, so that the third is the last. COPY of Parquet has no NOLOAD: `take` has looked into the files.
        let sqls = if job.attempt > 1 && feed.format != Format::Parquet {
            vec![format!("{copy} NOLOAD MAXERROR {MOST_ERRORS}"), copy]
        } else {
            vec![copy]
        };
        Ok(Copy::Submit(Box::new(Submission {
            name,
            connection: job.plan.connection.clone(),
            sqls,
            transaction: Transaction::Single,
            parameters: BTreeMap::new(),
        })))
    }

    async fn feed(&self, pin: &ScriptPin) -> Result<Feed> {
        let text = self.scripts.pinned(pin).await?;
        read_file(&pin.key, &text).and_then(|doc| Feed::read(&doc)).map_err(|problems| {
            let words: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failure::corrupt(format!("the pinned feed is none any more: {}", words.join("\n")))
        })
    }

    /// A restarted run takes the files again that the same job of the earlier run left FAILED.
    async fn reopen(&self, name: &Attempt, feed: &Feed) -> Result<()> {
        let Some(run) = self.jobs.ledger.run(&name.run).await? else { return Ok(()) };
        let Some(earlier) = run.restart_of else { return Ok(()) };
        let Some(job) = self.jobs.ledger.job(&earlier, &name.job).await? else { return Ok(()) };
        if !self.jobs.resolve_files(&job, &*self.statements).await? {
            let words = format!("{} of run {earlier} may still be loading its files", name.job);
            return Err(Failure::new(FailureKind::Unavailable, words));
        }
        let key = manifest_key(&job.current_attempt());
        let Some(text) = self.jobs.staging.get(&key).await? else { return Ok(()) };
        let batch = batch_of(&earlier, &name.job);
        self.jobs.files.reopen(&feed.feed, &batch, &read(&key, &text)?.urls()).await
    }
}

/// LoadLimits that MAXERROR takes (Redshift docs, "Data load operations").
const MOST_ERRORS: u32 = 100_000;

fn read(key: &str, text: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}
