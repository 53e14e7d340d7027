//! What is left to do about a job's files once Redshift has committed its statement, by kind of work.

use shiftwork_ports::Result;
use shiftwork_protocol::{Attempt, Failure, JobRecord, Manifest, Status, Work, manifest_key};

use crate::JobSettlement;

impl JobSettlement {
    /// **Redshift committed the statement of this name**, whatever became of the run meanwhile.
    ///
    /// Called before the job's dependents are freed, and again by everybody who does again what follows from the job's
    /// end: a crash after any write, a copy of the event, a sweep. So it must come to the same when it is done twice, and
    /// must still be right when it is done late. A failure keeps the dependents waiting, and is tried again.
    pub(crate) async fn committed(&self, at: &Attempt, job: &JobRecord) -> Result<()> {
        match &job.plan.work {
            Work::Cdc { .. } => self.discard_loaded(at).await,
            Work::Copy { files: feed, .. } => self.files_loaded(at, job, feed).await,
            Work::Sql { .. } | Work::Procedure { .. } | Work::Unload { .. } | Work::Barrier {} => Ok(()),
        }
    }

    /// **The job ended, and as far as anybody knows Redshift committed no statement of it.** Should it turn out that it did,
    /// [`JobSettlement::committed`] has the last word. Called as often, and again.
    pub(crate) async fn not_committed(&self, job: &JobRecord) -> Result<()> {
        match &job.plan.work {
            Work::Copy { files: feed, .. } => self.files_not_begun(job, feed).await,
            Work::Sql { .. } | Work::Procedure { .. } | Work::Unload { .. } | Work::Cdc { .. } | Work::Barrier {} => {
                Ok(())
            }
        }
    }

    /// Writes down how many rows a load has brought, and answers the job with them; `None` for a job that is none.
    ///
    /// Redshift's event has the rows of the batch's last statement, which tidies up. So this costs a load two calls that a job of
    /// SQL is spared. Nothing depends on the number: where it cannot be had, the event's stays.
    pub(crate) async fn counted(&self, job: &JobRecord) -> Option<JobRecord> {
        let (Work::Cdc { .. }, Status::Succeeded, Some(id)) = (&job.plan.work, job.execution_status, &job.statement_id)
        else {
            return None;
        };
        let counted = async {
            match self.statements.copied(id, &job.current_attempt()).await? {
                Some(rows) => self.ledger.count(&job.workflow_execution_id, &job.plan.job_name, rows).await.map(Some),
                None => Ok(None),
            }
        };
        counted.await.unwrap_or_else(|failure: Failure| {
            tracing::warn!(%failure, statement = id, "the rows of a load are not counted");
            None
        })
    }

    /// Deletes the staged files that a load has promoted. The watermark moved with them: one that is met again, because
    /// this never happened, is loaded to no effect.
    async fn discard_loaded(&self, at: &Attempt) -> Result<()> {
        let key = manifest_key(at);
        let Some(text) = self.staging.get(&key).await? else { return Ok(()) };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
            Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}"))
        })?;
        self.staging.delete(&manifest.keys()).await
    }
}
