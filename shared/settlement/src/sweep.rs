//! The sweep: compares the tables, Step Functions and the engines, and takes the steps of events that were lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt as _, future::ready};
use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Execution, Listed, Result, log::Subject};
use shiftwork_protocol::{
    Attempt, Failure, FailureKind, JobRecord, Lease, Place, RunRecord, Status, payload::RunInput,
};

use crate::{RunSettlement, each::for_each_job, jobs::LAUNCHER_LIFE, slots::must_request};

/// Time for which the sweep leaves a step to the event that should take it.
const GRACE: SignedDuration = SignedDuration::from_secs(30);
/// Time after its end for which a job's result is sent to its task again. It is sent again later as well if the run
/// makes no progress.
const RESEND: SignedDuration = SignedDuration::from_mins(5);

/// What the sweep does about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RunAction {
    /// Nothing, until the next sweep.
    Wait,
    /// Start the execution, which was never started.
    Start,
    /// Close the run, because its execution ended for this reason without closing it.
    Close(String),
    /// Check the jobs of the run, which is in progress.
    CheckJobs,
    /// Cancel attempts that are still active, because the run ended.
    CancelAttempts,
}

/// Decides what to do about a run. `holds_lease`: the run holds the lease of its workflow.
fn run_action(run: &RunRecord, holds_lease: bool, execution: Option<&Execution>, now: Timestamp) -> RunAction {
    match (run.execution_status, execution) {
        (Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped, _) => {
            RunAction::CancelAttempts
        }
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, Some(Execution::Closed { reason })) => {
            RunAction::Close(reason.clone())
        }
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, Some(Execution::Running)) => {
            RunAction::CheckJobs
        }
        (Status::Pending | Status::Queued, None) if holds_lease && since(run.created_ts, now) > GRACE => {
            RunAction::Start
        }
        (Status::Planning | Status::Queued | Status::Pending | Status::Running, None) => RunAction::Wait,
    }
}

/// The run whose expired lease a queued run waits for. Its own sweep ends it, unless it has no record.
fn expired_holder<'a>(run: &RunRecord, lease: &'a Lease, now: Timestamp) -> Option<&'a str> {
    let holder = lease.holder.as_deref()?;
    let waits = run.execution_status == Status::Queued && holder != run.workflow_execution_id;
    (waits && now > lease.expires_ts).then_some(holder)
}

/// What the sweep does about a job of a run in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobAction {
    /// Nothing, until the next sweep.
    Leave,
    /// Repeat what follows from the job's record: the job ended, or has another part or attempt to submit.
    Resume,
    /// Allow the launch, if the job does not wait for any upstream. Request its slots, if it waits for them.
    Admit,
    /// Ask the engine about the current attempt.
    CheckAttempt,
}

/// Decides what to do about a job. `stuck`: a dependent waits for the job, or no attempt of the run is active although
/// the run is in progress.
fn job_action(job: &JobRecord, stuck: bool, now: Timestamp) -> JobAction {
    match job.execution_status {
        Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
            let age = job.execution_end_ts.map_or(SignedDuration::ZERO, |end| since(end, now));
            if age >= GRACE && (stuck || age < RESEND) { JobAction::Resume } else { JobAction::Leave }
        }
        Status::Running | Status::Pending => match job.submitted_ts {
            Some(at) if since(at, now) > GRACE => JobAction::CheckAttempt,
            Some(_) => JobAction::Leave,
            None if job.waits_for_slot() => JobAction::Admit,
            None if job.has_more() => {
                let failed = job.failed_attempts.last().map_or(now - GRACE, |attempt| attempt.ended_ts);
                if since(failed, now) >= GRACE { JobAction::Resume } else { JobAction::Leave }
            }
            None => JobAction::Admit,
        },
        Status::Planning | Status::Queued => JobAction::Leave,
    }
}

fn since(then: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(then)
}

impl RunSettlement {
    /// Checks one run. Idempotent, and safe to call concurrently.
    pub async fn sweep(&self, id: &str) -> Result<()> {
        let Some(run) = self.jobs.ledger.run(id).await? else {
            return self.sweeps.unwatch(id).await;
        };
        Subject::from(&run).scope(self.sweep_run(&run)).await
    }

    async fn sweep_run(&self, run: &RunRecord) -> Result<()> {
        let id = run.workflow_execution_id.as_str();
        let now = self.jobs.clock.now();
        let execution = self.executions.state(id).await?;
        let lease = self.jobs.ledger.lease(&run.workflow_id).await?;
        let holds_lease = lease.as_ref().is_some_and(|lease| lease.holder.as_deref() == Some(id));
        if let Some(holder) = lease.as_ref().and_then(|lease| expired_holder(run, lease, now))
            && self.jobs.ledger.run(holder).await?.is_none()
        {
            return self.abandon(&run.workflow_id, holder).await;
        }
        match run_action(run, holds_lease, execution.as_ref(), now) {
            RunAction::Wait => Ok(()),
            RunAction::Start => self.executions.start(&RunInput { workflow_execution_id: id.into() }).await,
            RunAction::Close(reason) => self.close_by_reason(run, &reason).await.map(drop),
            RunAction::CheckJobs => self.check_jobs(id, now).await,
            RunAction::CancelAttempts => self.cancel_remaining(run, now).await,
        }
    }

    /// Closes a run whose execution ended. If all jobs ended, their statuses determine the run's status; otherwise
    /// `reason`, as Step Functions reports it, does.
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

    async fn check_jobs(&self, run: &str, now: Timestamp) -> Result<()> {
        let jobs = self.jobs.ledger.jobs(run).await?;
        let waited_on: BTreeSet<_> = jobs.iter().flat_map(|job| &job.waiting_on).collect();
        let mut open = jobs.iter().filter(|job| !job.execution_status.is_terminal());
        let idle = !open.any(|job| job.submitted_ts.is_some() || job.waits_for_slot());
        let action = |job: &JobRecord| job_action(job, idle || waited_on.contains(&job.plan.job_name), now);
        let unlisted: Vec<_> = jobs.iter().filter(|job| action(job) == JobAction::CheckAttempt).collect();
        // A place whose list fails does not prevent the steps of jobs that are not there.
        let (listed, unavailable) = &self.list_attempts(run, unlisted).await;
        let (pools, unread) = match self.jobs.pools_of_waiting(&jobs).await {
            Ok(pools) => (pools, None),
            Err(failure) => (BTreeMap::new(), Some(failure)),
        };
        let steps = for_each_job(&jobs, |job| match action(job) {
            JobAction::Leave => ready(Ok(())).boxed(),
            JobAction::Admit if job.waits_for_slot() && !must_request(job, &pools) => ready(Ok(())).boxed(),
            JobAction::Resume => self.jobs.resume(job).boxed(),
            JobAction::Admit => self.jobs.admit(job).boxed(),
            JobAction::CheckAttempt => match job.plan.work.place().and_then(|place| unavailable.get(&place)) {
                Some(failure) => ready(Err(failure.clone())).boxed(),
                None => self.check_attempt(job, listed.get(&job.current_attempt()), now).boxed(),
            },
        });
        steps.await?;
        unread.map_or(Ok(()), Err)
    }

    /// Lists the current attempts of these jobs of a run, with one list for each place. Also returns the places whose list
    /// failed.
    async fn list_attempts<'a>(
        &self,
        run: &str,
        jobs: Vec<&'a JobRecord>,
    ) -> (BTreeMap<Attempt, Listed>, BTreeMap<Place<'a>, Failure>) {
        let mut wanted: BTreeMap<Place<'a>, BTreeSet<Attempt>> = BTreeMap::new();
        for job in jobs {
            if let Some(place) = job.plan.work.place() {
                wanted.entry(place).or_default().insert(job.current_attempt());
            }
        }
        let (mut listed, mut unavailable) = (BTreeMap::new(), BTreeMap::new());
        for (place, attempts) in wanted {
            match self.jobs.engines.at(place).listed(run, &attempts).await {
                Ok(known) => listed.extend(known),
                Err(failure) => drop(unavailable.insert(place, failure)),
            }
        }
        (listed, unavailable)
    }

    /// Settles the current attempt if it has ended. If the engine does not know the attempt, fails the task once no
    /// launcher can still submit the attempt, so that the state machine launches the job again.
    async fn check_attempt(&self, job: &JobRecord, listed: Option<&Listed>, now: Timestamp) -> Result<()> {
        let attempt = job.current_attempt();
        match listed {
            Some(Listed::Active) => return Ok(()),
            Some(Listed::Ended { id }) => {
                return match self.jobs.engine(job)?.outcome(id, &attempt, Duration::ZERO).await? {
                    Some(state) => self.jobs.attempt_ended(&state).await,
                    None => Ok(()),
                };
            }
            None => {}
        }
        let (Some(submitted), Some(token)) = (job.submitted_ts, &job.task_token) else { return Ok(()) };
        if since(submitted, now) > LAUNCHER_LIFE {
            let message =
                format!("the submission of {attempt} began at {submitted}, but its engine does not know the attempt");
            tracing::warn!(statement = %attempt, "the launcher did not submit the attempt: launching the job again");
            return self.jobs.tokens.fail(token, &Failure::new(FailureKind::Unavailable, message)).await;
        }
        Ok(())
    }

    /// Cancels the attempts of a run that ended. Stops the sweeps once no launcher of the run can still be running and
    /// no attempt is active.
    async fn cancel_remaining(&self, run: &RunRecord, now: Timestamp) -> Result<()> {
        let jobs = self.jobs.ledger.jobs(&run.workflow_execution_id).await?;
        let closed = self.end_open(&jobs, None, "the run had ended").await;
        let cancelled = self.cancel_attempts(&jobs).await?;
        closed?;
        let resolved = self.resolved(&jobs).await?;
        // Release the lease and notify again: the function that ended the run may have crashed before it did.
        self.release_lease(run).await?;
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
    use shiftwork_protocol::{SLOT, audit::FailedAttempt};

    use super::*;

    const GRACE_SECONDS: i64 = GRACE.as_secs();
    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    #[test]
    fn actions_for_runs() {
        use Execution::Running as Runs;
        use Status::{Aborted, Failed, Pending, Planning, Queued, Running, Skipped, Succeeded, TimedOut};
        let closed = || Execution::Closed { reason: "ABORTED: by hand".into() };
        let close = || RunAction::Close("ABORTED: by hand".into());
        let old = GRACE_SECONDS + 1;
        let mut cases = vec![
            // status, age in seconds, holds the lease, execution, action
            (Planning, old, true, None, RunAction::Wait),
            (Planning, old, false, Some(Runs), RunAction::CheckJobs),
            (Queued, old, false, None, RunAction::Wait),
            (Queued, old, true, None, RunAction::Start),
            (Queued, GRACE_SECONDS, true, None, RunAction::Wait),
            (Queued, old, true, Some(Runs), RunAction::CheckJobs),
            (Pending, old, true, None, RunAction::Start),
            (Pending, GRACE_SECONDS, true, None, RunAction::Wait),
            (Pending, old, false, None, RunAction::Wait),
            (Pending, 0, true, Some(Runs), RunAction::CheckJobs),
            (Running, old, true, None, RunAction::Wait),
            (Running, old, true, Some(Runs), RunAction::CheckJobs),
            (Running, 0, false, Some(Runs), RunAction::CheckJobs),
        ];
        for open in [Planning, Queued, Pending, Running] {
            cases.push((open, 0, true, Some(closed()), close()));
            cases.push((open, old, false, Some(closed()), close()));
        }
        for ended in [Succeeded, Failed, TimedOut, Aborted, Skipped] {
            for execution in [None, Some(Runs), Some(closed())] {
                cases.push((ended, old, true, execution, RunAction::CancelAttempts));
            }
        }
        for (status, age, holds_lease, execution, expected) in cases {
            let run = RunRecord { created_ts: at(NOW - age), ..a_run(status) };
            let found = run_action(&run, holds_lease, execution.as_ref(), at(NOW));
            assert_eq!(found, expected, "{status}, {age} s old, lease: {holds_lease}, {execution:?}");
        }
    }

    #[test]
    fn a_queued_run_waits_for_an_expired_lease() {
        let lease = |holder: Option<&str>, expires: i64| Lease {
            workflow_id: "w".into(),
            holder: holder.map(Into::into),
            fence: 1,
            expires_ts: at(expires),
            queue: Vec::new(),
        };
        let queued = a_run(Status::Queued);
        let id = queued.workflow_execution_id.as_str();
        for (run, lease, expected) in [
            (&queued, lease(Some("other"), NOW - 1), Some("other")),
            (&queued, lease(Some("other"), NOW), None),
            (&queued, lease(Some(id), NOW - 1), None),
            (&queued, lease(None, NOW - 1), None),
            (&a_run(Status::Running), lease(Some("other"), NOW - 1), None),
        ] {
            assert_eq!(expired_holder(run, &lease, at(NOW)), expected, "{} {lease:?}", run.execution_status);
        }
    }

    #[test]
    fn actions_for_open_jobs() {
        use Status::{Pending, Planning, Queued, Running};
        let old = GRACE_SECONDS + 1;
        let held = JobRecord { attempt: 2, waiting_on: [SLOT.to_owned()].into(), ..a_job("j", &[]) };
        assert_eq!(
            job_action(&held, false, at(NOW)),
            JobAction::Admit,
            "a job that waits for a slot requests it again"
        );
        for (status, submitted, attempt, part, failed, expected) in [
            // Status, seconds since the submission, attempt, part, seconds since the last attempt failed, action.
            (Pending, None, 1, 1, None, JobAction::Admit),
            (Running, None, 1, 1, None, JobAction::Admit),
            (Running, Some(GRACE_SECONDS), 1, 1, None, JobAction::Leave),
            (Running, Some(old), 1, 1, None, JobAction::CheckAttempt),
            (Pending, Some(old), 1, 1, None, JobAction::CheckAttempt),
            (Running, Some(old), 2, 1, Some(old), JobAction::CheckAttempt),
            (Running, None, 2, 1, Some(GRACE_SECONDS - 1), JobAction::Leave),
            (Running, None, 2, 1, Some(GRACE_SECONDS), JobAction::Resume),
            (Running, None, 1, 2, None, JobAction::Resume),
            (Planning, None, 1, 1, None, JobAction::Leave),
            (Queued, Some(old), 1, 1, None, JobAction::Leave),
        ] {
            let failure = |age: i64| FailedAttempt {
                attempt: 1,
                part: 1,
                submitted_ts: None,
                ended_ts: at(NOW - age),
                error_name: String::new(),
                error_message: String::new(),
                statement_id: None,
                retry_ts: None,
                times: shiftwork_protocol::Times::default(),
            };
            let job = JobRecord {
                execution_status: status,
                submitted_ts: submitted.map(|age| at(NOW - age)),
                attempt,
                part,
                failed_attempts: failed.map(failure).into_iter().collect(),
                ..a_job("j", &[])
            };
            for stuck in [false, true] {
                let found = job_action(&job, stuck, at(NOW));
                assert_eq!(found, expected, "{status}, submitted {submitted:?}, {attempt}/{part}, failed {failed:?}");
            }
        }
    }

    #[test]
    fn actions_for_ended_jobs() {
        use Status::{Aborted, Failed, Skipped, Succeeded, TimedOut};
        let retell = RESEND.as_secs();
        for (age, stuck, expected) in [
            // Seconds since the end (`None` if the record has no end), stuck, action.
            (None, true, JobAction::Leave),
            (Some(GRACE_SECONDS - 1), false, JobAction::Leave),
            (Some(GRACE_SECONDS - 1), true, JobAction::Leave),
            (Some(GRACE_SECONDS), false, JobAction::Resume),
            (Some(retell - 1), false, JobAction::Resume),
            (Some(retell), false, JobAction::Leave),
            (Some(retell), true, JobAction::Resume),
        ] {
            for status in [Succeeded, Failed, TimedOut, Aborted, Skipped] {
                let job = JobRecord {
                    execution_status: status,
                    execution_end_ts: age.map(|age| at(NOW - age)),
                    ..a_job("j", &[])
                };
                assert_eq!(job_action(&job, stuck, at(NOW)), expected, "{status}, {age:?} s ago, stuck: {stuck}");
            }
        }
    }
}
