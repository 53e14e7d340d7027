use std::sync::Arc;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Executions, Released, Result, Sweeps, log::Subject};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, RunRecord, Status,
    event::{Event, Refreshed, RunEnded},
    payload::{RunEnd, RunInput},
};

use crate::{JobSettlement, each::for_each_job, next::outcome_of};

/// Time within which the execution of a run must begin after the run received the lease.
const BEGIN_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Expiry of the lease of a run whose execution is about to be started.
pub fn lease_until_begun(now: Timestamp) -> Timestamp {
    now + BEGIN_WITHIN
}

/// Settles runs: takes the steps that follow when a run ends.
#[derive(Clone)]
pub struct RunSettlement {
    /// Settles the jobs of the runs.
    pub jobs: JobSettlement,
    /// Executions of the state machine.
    pub executions: Arc<dyn Executions>,
    /// Schedules that sweep the runs.
    pub sweeps: Arc<dyn Sweeps>,
}

impl RunSettlement {
    /// Ends a run whose state machine reached its last state. The jobs' statuses determine the run's status. Jobs that
    /// are still open because an earlier state failed are aborted for the reason `why`.
    pub async fn finish(&self, run: &str, why: Option<&str>) -> Result<RunEnd> {
        let mut jobs = self.jobs.ledger.jobs(run).await?;
        if jobs.iter().any(|job| !job.execution_status.is_terminal()) {
            self.abort_jobs(&jobs, why.unwrap_or("the run's execution ended before this job did")).await?;
            jobs = self.jobs.ledger.jobs(run).await?;
        }
        let (status, error) = outcome_of(&jobs);
        let record = self.end(run, status, error.as_deref()).await?;
        // A launcher whose task timed out may still submit; the next sweep cancels the attempt and then stops the sweeps.
        let by_statement = jobs.iter().all(|job| ended_by_statement(job.execution_status));
        if by_statement && self.resolved(&jobs).await? {
            self.sweeps.unwatch(run).await?;
        }
        Ok(RunEnd {
            workflow_execution_id: record.workflow_execution_id,
            execution_status: record.execution_status,
            error_message: cause_of(&jobs, run),
        })
    }

    /// Closes a run that was stopped, timed out or lost its lease: aborts its open jobs, cancels their attempts and
    /// releases the lease. The sweeps continue, to cancel attempts that a launcher in progress may still submit.
    pub async fn close(&self, run: &RunRecord, status: Status, why: &str) -> Result<RunRecord> {
        let id = &run.workflow_execution_id;
        self.executions.stop(id, why).await?;
        let jobs = self.jobs.ledger.jobs(id).await?;
        self.abort_jobs(&jobs, why).await?;
        self.end(id, status, Some(why)).await
    }

    /// Aborts the open jobs, first in the ledger, so that no launcher submits an attempt any more, and then on their
    /// engines.
    async fn abort_jobs(&self, jobs: &[JobRecord], why: &str) -> Result<()> {
        let ended = self.end_open(jobs, Some(FailureKind::StatementAborted), why).await;
        // Also if a job cannot be ended: its attempt must not continue without a run.
        self.cancel_attempts(jobs).await?;
        ended
    }

    /// Ends the open jobs among these as ABORTED.
    pub(crate) async fn end_open(&self, jobs: &[JobRecord], error: Option<FailureKind>, why: &str) -> Result<()> {
        let open = jobs.iter().filter(|job| !job.execution_status.is_terminal());
        for_each_job(open, |job| self.jobs.end(job, Status::Aborted, error, why).boxed()).await.map(drop)
    }

    /// Settles the outcomes of the last attempts of these jobs. Returns true if no outcome is open any more.
    pub(crate) async fn resolved(&self, jobs: &[JobRecord]) -> Result<bool> {
        let resolved = for_each_job(jobs, |job| self.jobs.resolve(job).boxed()).await?;
        Ok(resolved.into_iter().all(|resolved| resolved))
    }

    /// Cancels the active attempts of jobs of one run. Returns the number of attempts. An attempt that cannot be cancelled
    /// does not prevent the cancellation of the others; its failure is returned after that.
    pub(crate) async fn cancel_attempts(&self, jobs: &[JobRecord]) -> Result<usize> {
        let Some(JobRecord { workflow_execution_id: run, workflow_id: workflow, .. }) = jobs.first() else {
            return Ok(0);
        };
        let (mut cancelled, mut failures) = (0, Vec::new());
        for engine in self.jobs.engines.of_all(jobs.iter().map(|job| &job.plan.work)) {
            let active = engine.active(run).await.unwrap_or_else(|failure| {
                failures.push(failure);
                Vec::new()
            });
            for state in active {
                let cancel = async {
                    tracing::warn!(statement = %state.attempt, "cancelling an attempt of a run that ended");
                    engine.cancel(&state.id).await
                };
                match Subject::of_attempt(&state.attempt).in_workflow(workflow).scope(cancel).await {
                    Ok(()) => cancelled += 1,
                    Err(failure) => failures.push(failure),
                }
            }
        }
        failures.into_iter().next().map_or(Ok(cancelled), Err)
    }

    /// Records the end of the run, releases the lease and notifies.
    async fn end(&self, run: &str, status: Status, error: Option<&str>) -> Result<RunRecord> {
        let now = self.jobs.clock.now();
        let (fresh, record) = self.jobs.ledger.finish(run, status, error, now).await?;
        let follow = async {
            if fresh {
                tracing::info!(status = %record.execution_status, "run ended");
            }
            self.release_lease(&record).await?;
            self.notify(&record).await
        };
        Subject::from(&record).scope(follow).await?;
        Ok(record)
    }

    /// Releases the lease of the workflow. If another run waits for the lease, starts it.
    pub async fn release_lease(&self, run: &RunRecord) -> Result<()> {
        self.release(&run.workflow_id, run.workflow_execution_id.clone()).await
    }

    /// Releases the lease that a run without a record holds. No other function ends such a run: stops what is left of it.
    ///
    /// A record and its lease are written in one transaction, so a holder without a record was deleted by hand.
    pub async fn abandon(&self, workflow: &str, holder: &str) -> Result<()> {
        let abandoned = async {
            tracing::warn!("releasing the lease of a run that has no record");
            let why = "the record of the run was deleted";
            self.executions.stop(holder, why).await?;
            let jobs = self.jobs.ledger.jobs(holder).await?;
            self.abort_jobs(&jobs, why).await?;
            self.release(workflow, holder.to_owned()).await
        };
        Subject::of_run(holder).in_workflow(workflow).scope(abandoned).await
    }

    async fn release(&self, workflow: &str, mut holder: String) -> Result<()> {
        loop {
            let until = lease_until_begun(self.jobs.clock.now());
            let Released::Handed(next) = self.jobs.ledger.release(workflow, &holder, until).await? else {
                return Ok(());
            };
            let waits = self.jobs.ledger.run(&next).await?.is_some_and(|run| !run.execution_status.is_terminal());
            if waits {
                return self.executions.start(&RunInput { workflow_execution_id: next }).await;
            }
            // The next run was cancelled while it waited: release the lease again.
            holder = next;
        }
    }

    /// Publishes the events of the run's end. Sends an alert if the run did not succeed.
    pub async fn notify(&self, run: &RunRecord) -> Result<()> {
        let ended = Event::Run(RunEnded::from(run));
        match run.execution_status {
            Status::Succeeded => {
                let refreshed = Event::Refreshed(Refreshed {
                    idempotency_key: run.workflow_execution_id.clone(),
                    workflow_id: run.workflow_id.clone(),
                    workflow_execution_id: run.workflow_execution_id.clone(),
                    logical_date: run.logical_date,
                    caused_by: run.caused_by.clone(),
                    time_zone: run.time_zone.clone(),
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

    /// Reads a run.
    ///
    /// # Errors
    /// [`FailureKind::Corrupt`]: the run does not exist.
    pub async fn run(&self, run: &str) -> Result<RunRecord> {
        let found = self.jobs.ledger.run(run).await?;
        found.ok_or_else(|| Failure::corrupt(format!("run {run} does not exist in the workflow audit table")))
    }
}

/// Cause of the failure of a run's execution: the jobs that failed, without the messages of Redshift, which can quote data. Empty if no job
/// failed.
fn cause_of(jobs: &[JobRecord], run: &str) -> String {
    const LISTED: usize = 20;
    let failed: Vec<_> = jobs.iter().filter(|job| job.execution_status.is_failure()).collect();
    if failed.is_empty() {
        return String::new();
    }
    let named = failed.iter().take(LISTED).map(|job| {
        let name = job.error_name.as_deref().unwrap_or(job.execution_status.as_str());
        format!("{} ({name})", job.plan.job_name)
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match failed.len().checked_sub(LISTED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    format!("these jobs failed: {named}{more}; `shiftwork status {run}` shows their messages")
}

/// Returns true for the statuses after which no launcher of the job can still be running.
const fn ended_by_statement(status: Status) -> bool {
    match status {
        Status::Succeeded | Status::Failed | Status::Skipped => true,
        Status::TimedOut | Status::Aborted | Status::Planning | Status::Queued | Status::Pending | Status::Running => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    #[test]
    fn the_cause_of_an_execution_names_jobs_and_failures_but_quotes_no_message() {
        let failed = |name: &str| JobRecord {
            execution_status: Status::Failed,
            error_name: Some("Shiftwork.StatementFailed".into()),
            error_message: Some("ERROR: invalid input syntax for integer: \"4111 1111\"".into()),
            ..a_job(name, &[])
        };
        let succeeded = JobRecord { execution_status: Status::Succeeded, ..a_job("other", &[]) };
        assert_eq!(
            cause_of(&[succeeded.clone(), failed("load")], "r1"),
            "these jobs failed: load (Shiftwork.StatementFailed); `shiftwork status r1` shows their messages"
        );
        assert_eq!(cause_of(&[succeeded], "r1"), "");
        let many: Vec<_> = (0..600).map(|n| failed(&format!("job_{n}"))).collect();
        let cause = cause_of(&many, "r1");
        assert!(cause.contains("job_19 (Shiftwork.StatementFailed) and 580 more;"), "{cause}");
    }
}
