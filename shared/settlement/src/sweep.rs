//! What should have happened by now, from what the tables, Step Functions and the engines say.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Execution, Result};
use shiftwork_protocol::{Failure, FailureKind, JobRecord, RunRecord, Status, payload::RunInput};

use crate::{RunSettlement, jobs::LAUNCHER_LIFE};

/// What is younger than this is left to its own event.
const GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A job that ended is told again to its task for this long, and whenever nothing else of its run moves.
const RETELL: SignedDuration = SignedDuration::from_mins(5);

/// What the sweep has to do about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Care {
    /// Nothing yet.
    Wait,
    /// Its execution was never started: start it.
    Start,
    /// Its execution ended without closing it.
    Close(String),
    /// It runs: look after its jobs.
    Tend,
    /// It ended: cancel what still runs for it.
    Reap,
}

/// What a run needs, from its record, whether it holds its lease, and its execution.
fn care(run: &RunRecord, holds_lease: bool, execution: Option<&Execution>, now: Timestamp) -> Care {
    match (run.execution_status, execution) {
        (Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped, _) => Care::Reap,
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, Some(Execution::Closed { reason })) => {
            Care::Close(reason.clone())
        }
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, Some(Execution::Running)) => Care::Tend,
        (Status::Pending | Status::Queued, None) if holds_lease && since(run.created_ts, now) > GRACE => Care::Start,
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, None) => Care::Wait,
    }
}

/// What the sweep has to do about a job of a run that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobCare {
    /// Nothing.
    Leave,
    /// It ended, or has something left to submit: say so again.
    Resume,
    /// It may launch, if nothing holds it back any more.
    Admit,
    /// Its attempt should be looked at.
    Look,
}

/// `held_up`: a dependent still waits on it, or nothing of the run moves although the run is not over.
fn job_care(job: &JobRecord, held_up: bool, now: Timestamp) -> JobCare {
    match job.execution_status {
        Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
            let age = job.execution_end_ts.map_or(SignedDuration::ZERO, |end| since(end, now));
            if age >= GRACE && (held_up || age < RETELL) { JobCare::Resume } else { JobCare::Leave }
        }
        Status::Running | Status::Pending => match job.submitted_ts {
            Some(at) if since(at, now) > GRACE => JobCare::Look,
            Some(_) => JobCare::Leave,
            None if job.attempt > 1 || job.part > 1 => {
                let failed = job.failed_attempts.last().map_or(now - GRACE, |attempt| attempt.ended_ts);
                if since(failed, now) >= GRACE { JobCare::Resume } else { JobCare::Leave }
            }
            None => JobCare::Admit,
        },
        Status::Planning | Status::Queued => JobCare::Leave,
    }
}

fn since(then: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(then)
}

impl RunSettlement {
    /// Looks after one run. Safe at any time, and twice at once.
    pub async fn sweep(&self, id: &str) -> Result<()> {
        let Some(run) = self.jobs.ledger.run(id).await? else {
            return self.sweeps.unwatch(id).await;
        };
        let now = self.jobs.clock.now();
        let execution = self.executions.state(id).await?;
        let holds_lease =
            self.jobs.ledger.lease(&run.workflow_id).await?.is_some_and(|lease| lease.holder.as_deref() == Some(id));
        match care(&run, holds_lease, execution.as_ref(), now) {
            Care::Wait => Ok(()),
            Care::Start => self.executions.start(&RunInput { workflow_execution_id: id.into() }).await,
            Care::Close(reason) => self.close_by_reason(&run, &reason).await.map(drop),
            Care::Tend => self.tend(id, now).await,
            Care::Reap => self.reap(&run, now).await,
        }
    }

    /// The execution ended, and why is all that we know. If every job ended, the run ends as they did; else it was stopped.
    pub async fn close_by_reason(&self, run: &RunRecord, reason: &str) -> Result<RunRecord> {
        let id = &run.workflow_execution_id;
        let jobs = self.jobs.ledger.jobs(id).await?;
        if jobs.iter().all(|job| job.execution_status.is_terminal()) {
            self.finish(id, None).await?;
            return self.run(id).await;
        }
        let status = if reason.starts_with("TIMED_OUT") {
            Status::TimedOut
        } else if reason.starts_with("ABORTED") {
            Status::Aborted
        } else {
            Status::Failed
        };
        self.close(run, status, &format!("the run's execution ended: {reason}")).await
    }

    async fn tend(&self, run: &str, now: Timestamp) -> Result<()> {
        let jobs = self.jobs.ledger.jobs(run).await?;
        let waited_on: BTreeSet<_> = jobs.iter().flat_map(|job| &job.waiting_on).collect();
        let still = !jobs.iter().any(|job| !job.execution_status.is_terminal() && job.submitted_ts.is_some());
        for job in &jobs {
            match job_care(job, still || waited_on.contains(&job.plan.job_name), now) {
                JobCare::Leave => {}
                JobCare::Resume => self.jobs.resume(job).await?,
                JobCare::Admit => self.jobs.admit(job).await?,
                JobCare::Look => self.look(job, now).await?,
            }
        }
        Ok(())
    }

    /// An attempt that should have ended, or at least begun.
    async fn look(&self, job: &JobRecord, now: Timestamp) -> Result<()> {
        let attempt = job.current_attempt();
        if let Some(state) = self.jobs.engine(job)?.find(&attempt).await? {
            return self.jobs.attempt_ended(&state).await;
        }
        let (Some(submitted), Some(token)) = (job.submitted_ts, &job.task_token) else { return Ok(()) };
        if since(submitted, now) > LAUNCHER_LIFE {
            let words = format!("{attempt} was about to be submitted at {submitted}, and its engine does not know it");
            tracing::warn!(%attempt, "the launcher left no attempt: launching again");
            return self.jobs.tokens.fail(token, &Failure::new(FailureKind::Unavailable, words)).await;
        }
        Ok(())
    }

    /// A run that ended keeps its watch until no launcher of its own can be alive, and nothing runs for it.
    async fn reap(&self, run: &RunRecord, now: Timestamp) -> Result<()> {
        let jobs = self.jobs.ledger.jobs(&run.workflow_execution_id).await?;
        for job in jobs.iter().filter(|job| !job.execution_status.is_terminal()) {
            self.jobs.end(job, Status::Aborted, None, "the run had ended").await?;
        }
        let cancelled = self.cancel_attempts(&jobs).await?;
        let resolved = self.resolved(&jobs).await?;
        // Lease and notices again: the function that ended the run may have died right after.
        self.hand_on(run).await?;
        let ended = run.execution_end_ts.unwrap_or(run.created_ts);
        if cancelled == 0 && resolved && since(ended, now) > LAUNCHER_LIFE {
            self.sweeps.unwatch(&run.workflow_execution_id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::{a_job, a_run};
    use shiftwork_protocol::audit::FailedAttempt;

    use super::*;

    const GRACE_SECONDS: i64 = GRACE.as_secs();
    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    #[test]
    fn what_a_run_needs() {
        use Execution::Running as Runs;
        use Status::{Aborted, Failed, Pending, Planning, Queued, Running, Skipped, Succeeded, TimedOut};
        let closed = || Execution::Closed { reason: "ABORTED: by hand".into() };
        let close = || Care::Close("ABORTED: by hand".into());
        let old = GRACE_SECONDS + 1;
        let mut cases = vec![
            // status, age in seconds, holds the lease, execution, care
            (Planning, old, true, None, Care::Wait),
            (Planning, old, false, Some(Runs), Care::Tend),
            (Queued, old, false, None, Care::Wait),
            (Queued, old, true, None, Care::Start),
            (Queued, GRACE_SECONDS, true, None, Care::Wait),
            (Queued, old, true, Some(Runs), Care::Tend),
            (Pending, old, true, None, Care::Start),
            (Pending, GRACE_SECONDS, true, None, Care::Wait),
            (Pending, old, false, None, Care::Wait),
            (Pending, 0, true, Some(Runs), Care::Tend),
            (Running, old, true, None, Care::Wait),
            (Running, old, true, Some(Runs), Care::Tend),
            (Running, 0, false, Some(Runs), Care::Tend),
        ];
        for open in [Planning, Queued, Pending, Running] {
            cases.push((open, 0, true, Some(closed()), close()));
            cases.push((open, old, false, Some(closed()), close()));
        }
        for ended in [Succeeded, Failed, TimedOut, Aborted, Skipped] {
            for execution in [None, Some(Runs), Some(closed())] {
                cases.push((ended, old, true, execution, Care::Reap));
            }
        }
        for (status, age, holds_lease, execution, expected) in cases {
            let run = RunRecord { created_ts: at(NOW - age), ..a_run(status) };
            let found = care(&run, holds_lease, execution.as_ref(), at(NOW));
            assert_eq!(found, expected, "{status}, {age} s old, lease: {holds_lease}, {execution:?}");
        }
    }

    #[test]
    fn what_an_open_job_needs() {
        use Status::{Pending, Planning, Queued, Running};
        let old = GRACE_SECONDS + 1;
        for (status, submitted, attempt, part, failed, expected) in [
            // Submitted so many seconds ago; the number of the attempt and of the part; the last attempt failed so many seconds ago.
            (Pending, None, 1, 1, None, JobCare::Admit),
            (Running, None, 1, 1, None, JobCare::Admit),
            (Running, Some(GRACE_SECONDS), 1, 1, None, JobCare::Leave),
            (Running, Some(old), 1, 1, None, JobCare::Look),
            (Pending, Some(old), 1, 1, None, JobCare::Look),
            (Running, Some(old), 2, 1, Some(old), JobCare::Look),
            (Running, None, 2, 1, Some(GRACE_SECONDS - 1), JobCare::Leave),
            (Running, None, 2, 1, Some(GRACE_SECONDS), JobCare::Resume),
            (Running, None, 1, 2, None, JobCare::Resume),
            (Planning, None, 1, 1, None, JobCare::Leave),
            (Queued, Some(old), 1, 1, None, JobCare::Leave),
        ] {
            let failure = |age: i64| FailedAttempt {
                attempt: 1,
                submitted_ts: None,
                ended_ts: at(NOW - age),
                error_name: String::new(),
                error_message: String::new(),
                statement_id: None,
            };
            let job = JobRecord {
                execution_status: status,
                submitted_ts: submitted.map(|age| at(NOW - age)),
                attempt,
                part,
                failed_attempts: failed.map(failure).into_iter().collect(),
                ..a_job("j", &[])
            };
            for held_up in [false, true] {
                let found = job_care(&job, held_up, at(NOW));
                assert_eq!(found, expected, "{status}, submitted {submitted:?}, {attempt}/{part}, failed {failed:?}");
            }
        }
    }

    #[test]
    fn what_an_ended_job_needs() {
        use Status::{Aborted, Failed, Skipped, Succeeded, TimedOut};
        let retell = RETELL.as_secs();
        for (age, held_up, expected) in [
            // Seconds since its end; `None` where the record does not say.
            (None, true, JobCare::Leave),
            (Some(GRACE_SECONDS - 1), false, JobCare::Leave),
            (Some(GRACE_SECONDS - 1), true, JobCare::Leave),
            (Some(GRACE_SECONDS), false, JobCare::Resume),
            (Some(retell - 1), false, JobCare::Resume),
            (Some(retell), false, JobCare::Leave),
            (Some(retell), true, JobCare::Resume),
        ] {
            for status in [Succeeded, Failed, TimedOut, Aborted, Skipped] {
                let job = JobRecord {
                    execution_status: status,
                    execution_end_ts: age.map(|age| at(NOW - age)),
                    ..a_job("j", &[])
                };
                assert_eq!(job_care(&job, held_up, at(NOW)), expected, "{status}, {age:?} s ago, held up: {held_up}");
            }
        }
    }
}
