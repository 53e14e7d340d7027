use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Executions, Released, Result, Sweeps};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, RunRecord, Status,
    event::{Event, Refreshed, RunEnded},
    payload::{RunEnd, RunInput},
};

use crate::{JobSettlement, next::outcome_of};

/// A run that holds the lease must have begun within this time; until then nothing proves that it lives.
const BEGIN_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Until when a run that is about to be started may hold the lease.
pub fn lease_until_begun(now: Timestamp) -> Timestamp {
    now + BEGIN_WITHIN
}

/// Ends runs.
#[derive(Clone)]
pub struct RunSettlement {
    /// Their jobs.
    pub jobs: JobSettlement,
    /// Their executions.
    pub executions: Arc<dyn Executions>,
    /// Their safety net.
    pub sweeps: Arc<dyn Sweeps>,
}

impl RunSettlement {
    /// The state machine is through: the run ends as its jobs did. A job that is still open, because an earlier state
    /// failed, ends here, with the reason if there is one.
    pub async fn finish(&self, run: &str, why: Option<&str>) -> Result<RunEnd> {
        let mut jobs = self.jobs.ledger.jobs(run).await?;
        if jobs.iter().any(|job| !job.execution_status.is_terminal()) {
            self.abort_jobs(&jobs, why.unwrap_or("the run's execution ended before this job did")).await?;
            jobs = self.jobs.ledger.jobs(run).await?;
        }
        let (status, error) = outcome_of(&jobs);
        let record = self.end(run, status, error.as_deref()).await?;
        // A launcher that was cut off may still submit; the next sweep cancels what it left, and stops watching.
        let by_statement = jobs.iter().all(|job| ended_by_statement(job.execution_status));
        if by_statement && self.resolved(&jobs).await? {
            self.sweeps.unwatch(run).await?;
        }
        Ok(RunEnd {
            workflow_execution_id: record.workflow_execution_id,
            execution_status: record.execution_status,
            error_message: record.error_message.unwrap_or_default(),
        })
    }

    /// The run was stopped, timed out, or lost its lease: its open jobs end, its attempts are cancelled, and its
    /// workflow is free again. The sweep stays: it cancels what a launcher in flight may still submit.
    pub async fn close(&self, run: &RunRecord, status: Status, why: &str) -> Result<RunRecord> {
        let id = &run.workflow_execution_id;
        self.executions.stop(id, why).await?;
        let jobs = self.jobs.ledger.jobs(id).await?;
        self.abort_jobs(&jobs, why).await?;
        self.end(id, status, Some(why)).await
    }

    /// Ends the jobs that are open, first in the ledger (so that no launcher submits any more), then on their engines.
    async fn abort_jobs(&self, jobs: &[JobRecord], why: &str) -> Result<()> {
        for job in jobs.iter().filter(|job| !job.execution_status.is_terminal()) {
            self.jobs.end(job, Status::Aborted, Some(FailureKind::StatementAborted), why).await?;
        }
        self.cancel_attempts(jobs).await?;
        Ok(())
    }

    /// Finds out what became of the last attempts of these jobs. Returns whether nothing is left to find out.
    pub(crate) async fn resolved(&self, jobs: &[JobRecord]) -> Result<bool> {
        let mut resolved = true;
        for job in jobs {
            resolved &= self.jobs.resolve(job).await?;
        }
        Ok(resolved)
    }

    /// Cancels whatever still runs for these jobs of one run. Returns how many attempts there were.
    pub(crate) async fn cancel_attempts(&self, jobs: &[JobRecord]) -> Result<usize> {
        let Some(run) = jobs.first().map(|job| &job.workflow_execution_id) else { return Ok(0) };
        let mut cancelled = 0;
        for engine in self.jobs.engines.of_all(jobs.iter().map(|job| &job.plan.work)) {
            for state in engine.active(run).await? {
                tracing::warn!(run, attempt = %state.attempt, "cancelling an attempt of a run that ended");
                engine.cancel(&state.id).await?;
                cancelled += 1;
            }
        }
        Ok(cancelled)
    }

    /// Puts the end on record, tells the world, and hands the lease on.
    async fn end(&self, run: &str, status: Status, error: Option<&str>) -> Result<RunRecord> {
        let now = self.jobs.clock.now();
        let (fresh, record) = self.jobs.ledger.finish(run, status, error, now).await?;
        if fresh {
            tracing::info!(run, workflow = record.workflow_id, status = %record.execution_status, error, "run ended");
        }
        self.hand_on(&record).await?;
        self.tell(&record).await?;
        Ok(record)
    }

    /// Gives the lease back; a run that waited for it starts.
    pub async fn hand_on(&self, run: &RunRecord) -> Result<()> {
        let mut holder = run.workflow_execution_id.clone();
        loop {
            let until = lease_until_begun(self.jobs.clock.now());
            let Released::Handed(next) = self.jobs.ledger.release(&run.workflow_id, &holder, until).await? else {
                return Ok(());
            };
            let waits = self.jobs.ledger.run(&next).await?.is_some_and(|run| !run.execution_status.is_terminal());
            if waits {
                return self.executions.start(&RunInput { workflow_execution_id: next }).await;
            }
            // Cancelled while it waited: on to the one behind it.
            holder = next;
        }
    }

    /// Events for programs; for people, a message when it did not go well.
    pub async fn tell(&self, run: &RunRecord) -> Result<()> {
        let ended = Event::Run(RunEnded::from(run));
        match run.execution_status {
            Status::Succeeded => {
                let refreshed = Event::Refreshed(Refreshed {
                    idempotency_key: run.workflow_execution_id.clone(),
                    workflow_id: run.workflow_id.clone(),
                    workflow_execution_id: run.workflow_execution_id.clone(),
                    logical_date: run.logical_date,
                });
                self.jobs.notices.publish(&[ended, refreshed]).await
            }
            Status::Failed | Status::TimedOut | Status::Aborted => {
                self.jobs.notices.publish(&[ended]).await?;
                self.jobs.notices.alert(run).await
            }
            Status::Skipped => self.jobs.notices.publish(&[ended]).await,
            Status::Planning | Status::Queued | Status::Pending | Status::Running => Ok(()),
        }
    }

    /// A run that must exist.
    pub async fn run(&self, run: &str) -> Result<RunRecord> {
        let found = self.jobs.ledger.run(run).await?;
        found.ok_or_else(|| Failure::corrupt(format!("there is no run {run} in the workflow audit table")))
    }
}

/// True for the ends that leave no launcher in flight.
const fn ended_by_statement(status: Status) -> bool {
    match status {
        Status::Succeeded | Status::Failed | Status::Skipped => true,
        Status::TimedOut | Status::Aborted | Status::Planning | Status::Queued | Status::Pending | Status::Running => {
            false
        }
    }
}
