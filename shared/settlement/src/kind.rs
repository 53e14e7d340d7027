//! The steps of each kind of job around its attempts.

pub mod cdc;
pub mod copy;
mod load_errors;
mod plain;

use async_trait::async_trait;
use shiftwork_ports::{Bucket, Result};
use shiftwork_protocol::{Attempt, Failure, JobRecord, Manifest, Work, event::Event, manifest_key};

/// The kinds that take steps around their attempts, each with what it uses.
#[derive(Clone)]
pub struct Kinds {
    /// Loads of change data.
    pub cdc: cdc::Cdc,
    /// Loads of files.
    pub copy: copy::Copy,
}

/// The steps of a kind of job around its attempts. The default of every method does nothing.
///
/// A method is called again if the function crashed after it, if an event is delivered twice, and by the sweep. So each
/// method must be idempotent and correct when it is called late. If a method fails, the dependents of the job keep
/// waiting, and the method is called again.
#[async_trait]
pub(crate) trait AroundAttempts: Send + Sync {
    /// The engine committed this attempt, even if the run was stopped. Called before the dependents are freed.
    async fn committed(&self, _at: &Attempt, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// The job ended, and no commit of its last attempt is known. If the engine did commit it,
    /// [`AroundAttempts::committed`] is called later and prevails.
    async fn not_committed(&self, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// The attempt failed with a terminal error. Returns a message if another attempt should follow whatever the value of
    /// `retries`;
    /// `None` leaves the decision to `retries`.
    async fn failed(&self, _at: &Attempt, _job: &JobRecord, _message: &str) -> Result<Option<String>> {
        Ok(None)
    }

    /// The job ended, and its last attempt certainly did not commit.
    async fn confirmed_not_committed(&self, _job: &JobRecord) -> Result<()> {
        Ok(())
    }

    /// Returns true if no step of this kind still needs the outcome of the job's last attempt.
    async fn resolved(&self, _job: &JobRecord) -> Result<bool> {
        Ok(true)
    }

    /// Number of rows of a job that succeeded, from the reports of its statements; `None` if it is the sum of the rows
    /// that they changed.
    fn rows(&self, _job: &JobRecord) -> Option<i64> {
        None
    }

    /// Event to publish in addition to [`JobEnded`](shiftwork_protocol::event::JobEnded).
    async fn event(&self, _job: &JobRecord) -> Result<Option<Event>> {
        Ok(None)
    }
}

impl Kinds {
    /// Returns the steps of the kind of this work.
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

/// Reads the manifest of an attempt; `None` if the attempt has none.
async fn manifest(staging: &Bucket, at: &Attempt) -> Result<Option<Manifest>> {
    let key = manifest_key(at);
    let Some(text) = staging.get(&key).await? else { return Ok(None) };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}
