//! job-launcher: submits a job exactly once, so that the task waits for its end.
//!
//! The intent is recorded before the submission ([`Ledger::claim`](shiftwork_ports::Ledger::claim)). A launcher that
//! finds the intent of an earlier invocation first asks the engine for the attempt. If the engine knows it, the
//! launcher adopts it.

pub mod kind;
mod wiring;

use jiff::Timestamp;
use shiftwork_aws::environment;
use shiftwork_ports::{Result, log::Subject};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, SkipReason,
    payload::{JobEnd, Launch},
};
use shiftwork_settlement::{JobSettlement, skip_of};
use shiftwork_wiring::JobsEnvironment;

use kind::{Kinds, Prepared};

environment! {
    /// Environment variables of the function.
    pub struct Environment {
        pub jobs: JobsEnvironment,
        pub request_queue_url: String,
        pub scripts_bucket: String,
    }
}

/// The function job-launcher.
pub struct Launcher {
    /// Settles jobs that are not run, and attempts that were submitted before.
    pub jobs: JobSettlement,
    /// Preparation of each kind of job.
    pub kinds: Kinds,
}

/// What the launcher does about a job that it claimed.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// Complete the task, because the job has ended.
    CompleteTask,
    /// Fail, because the job still waits for upstreams.
    Refuse,
    /// Skip the job, because its `run_if` is not met.
    Skip(SkipReason),
    /// Ask the engine for the attempt, because an earlier invocation recorded the intent to submit it.
    Adopt,
    /// Submit the attempt.
    Submit,
}

fn decide(job: &JobRecord, now: Timestamp) -> Action {
    if job.execution_status.is_terminal() {
        return Action::CompleteTask;
    }
    if !job.waiting_on.is_empty() {
        return Action::Refuse;
    }
    if let Some(reason) = skip_of(job) {
        return Action::Skip(reason);
    }
    if job.submitted_ts == Some(now) { Action::Submit } else { Action::Adopt }
}

impl Launcher {
    /// Submits the job, adopts the attempt of an earlier invocation, or settles a job that is not run.
    pub async fn handle(&self, launch: Launch) -> Result<()> {
        let Launch { workflow_execution_id: run, job_name: name, task_token: token } = &launch;
        Subject::of_job(run, name).scope(self.launch(run, name, token)).await
    }

    async fn launch(&self, run: &str, name: &str, token: &str) -> Result<()> {
        // The ledger stores milliseconds, and `decide` compares the stored instant with this one.
        let now = to_millis(self.jobs.clock.now());
        let job = self.jobs.ledger.claim(run, name, token, now).await?;
        let action = async {
            match decide(&job, now) {
                Action::CompleteTask => self.complete_task(&job, token).await,
                Action::Refuse => {
                    let upstreams = job.waiting_on.iter().cloned().collect::<Vec<_>>().join(", ");
                    let message = format!("job {name} of run {run} was launched while it waits for {upstreams}");
                    Err(Failure::corrupt(message))
                }
                Action::Skip(reason) => self.jobs.skip(&job, reason).await.map(drop),
                Action::Adopt => self.adopt(&job).await,
                Action::Submit => self.submit(&job).await,
            }
        };
        Subject::from(&job).scope(action).await
    }

    /// Completes the task of a job that has ended. The function that settled the job did not have this token, and may
    /// have crashed before it freed the dependents.
    async fn complete_task(&self, job: &JobRecord, token: &str) -> Result<()> {
        self.jobs.follow(job).await?;
        let end = JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status };
        self.jobs.tokens.end(token, &end).await
    }

    async fn adopt(&self, job: &JobRecord) -> Result<()> {
        match self.jobs.engine(job)?.find(&job.current_attempt()).await? {
            Some(state) => {
                tracing::info!(statement = %state.attempt, id = state.id, "adopted the attempt of an earlier launcher");
                self.jobs.attempt_ended(&state).await
            }
            None => self.submit(job).await,
        }
    }

    async fn submit(&self, job: &JobRecord) -> Result<()> {
        match self.kinds.prepare(job).await? {
            Prepared::Submit(submission) => {
                let id = self.jobs.engines.warehouse.submit(&submission).await?;
                let statements = submission.sqls.len();
                tracing::info!(statement = %submission.attempt, id, statements, "submitted");
                Ok(())
            }
            Prepared::NothingToDo => self.jobs.nothing_to_do(job).await.map(drop),
            Prepared::Lost(why) => self.jobs.submission_failed(job, FailureKind::Unavailable, &why).await.map(drop),
        }
    }
}

fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::{Status, workflow::RunIf};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn released() -> JobRecord {
        JobRecord { execution_status: Status::Running, submitted_ts: Some(NOW), ..a_job("load", &[]) }
    }

    #[test]
    fn a_new_intent_is_submitted_and_an_earlier_one_adopted() {
        assert_eq!(decide(&released(), NOW), Action::Submit);
        let later = NOW + jiff::SignedDuration::from_millis(1);
        assert_eq!(decide(&released(), later), Action::Adopt);
    }

    #[test]
    fn an_ended_job_completes_its_task_and_a_waiting_job_is_refused() {
        for status in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
            assert_eq!(decide(&JobRecord { execution_status: status, ..released() }, NOW), Action::CompleteTask);
        }
        assert_eq!(decide(&a_job("load", &["stage"]), NOW), Action::Refuse);
    }

    #[test]
    fn a_job_whose_condition_is_not_met_is_skipped() {
        for (run_if, failed, expected) in [
            (RunIf::AllSuccess, false, Action::Submit),
            (RunIf::AllSuccess, true, Action::Skip(SkipReason::UpstreamFailed)),
            (RunIf::AllDone, false, Action::Submit),
            (RunIf::AllDone, true, Action::Submit),
            (RunIf::OneFailed, false, Action::Skip(SkipReason::ConditionNotMet)),
            (RunIf::OneFailed, true, Action::Submit),
        ] {
            let mut job = released();
            job.plan.run_if = run_if;
            job.failed_upstreams.extend(failed.then(|| "stage".to_owned()));
            assert_eq!(decide(&job, NOW), expected, "{run_if:?}, failed: {failed}");
        }
    }
}
