//! What a kind of job does around its attempts.

pub mod cdc;
pub mod copy;
mod load_errors;
mod plain;

use async_trait::async_trait;
use shiftwork_ports::{Bucket, Result};
use shiftwork_protocol::{Attempt, Failure, JobRecord, Manifest, Work, event::Event, manifest_key};

/// The kinds that do anything, each with what it needs for that.
#[derive(Clone)]
pub struct Kinds {
    /// Loads of change data.
    pub cdc: cdc::Cdc,
    /// Loads of files.
    pub copy: copy::Copy,
}

/// What a kind does around its attempts. By default nothing.
///
/// Every method is called again when a function dies after it, when an event comes twice, and by the sweep. So it must come to the
/// same when it is called twice, and be right when it is called late. A failure keeps the dependents of the job waiting, and is
/// tried again.
#[async_trait]
pub(crate) trait AroundAttempts: Send + Sync {
    /// The engine committed this attempt, whatever became of the run meanwhile. Called before the dependents are freed.
    async fn committed(&self, _at: &Attempt, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// The job ended, and as far as is known the engine committed no attempt of it. If it did all the same,
    /// [`AroundAttempts::committed`] is called later and has the last word.
    async fn not_committed(&self, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// This attempt failed with a terminal error. Returns the message of an attempt that is worth another one whatever `retries`
    /// says; `None` leaves the decision to `retries`.
    async fn failed(&self, _at: &Attempt, _job: &JobRecord, _message: &str) -> Result<Option<String>> {
        Ok(None)
    }

    /// The job ended, and it is certain that its last attempt wrote nothing.
    async fn ended_in_vain(&self, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// True when nothing is left that waits to know how the last attempt of the job ended.
    async fn resolved(&self, _job: &JobRecord) -> Result<bool> {
        Ok(true)
    }

    /// The rows that a job which succeeded has loaded; `None` where the event of its attempt has the right number.
    async fn rows(&self, _job: &JobRecord) -> Result<Option<i64>> {
        Ok(None)
    }

    /// What the world is told of the end of the job besides the end itself.
    async fn event(&self, _job: &JobRecord) -> Result<Option<Event>> {
        Ok(None)
    }
}

impl Kinds {
    /// What the kind of this work does.
    pub(crate) fn of<'a>(&'a self, work: &'a Work) -> Box<dyn AroundAttempts + 'a> {
        match work {
            Work::Sql { .. } | Work::Procedure { .. } | Work::Unload { .. } | Work::Barrier {} => {
                Box::new(plain::Plain)
            }
            Work::Cdc { .. } => Box::new(cdc::Load { cdc: &self.cdc }),
            Work::Copy { connection, files, table, .. } => {
                Box::new(copy::FileLoad { copy: &self.copy, connection, feed: files, table })
            }
        }
    }
}

/// The manifest of an attempt, if it came to one.
async fn manifest(staging: &Bucket, at: &Attempt) -> Result<Option<Manifest>> {
    let key = manifest_key(at);
    let Some(text) = staging.get(&key).await? else { return Ok(None) };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}
