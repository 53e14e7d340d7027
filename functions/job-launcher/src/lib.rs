//! A job is released: it is submitted, exactly once, and the task waits for its end.
//!
//! The intent is written before the act ([`Ledger::claim`](shiftwork_ports::Ledger::claim)). A launcher that finds an
//! earlier launcher's intent first looks for the attempt that it may have submitted, and adopts it.

pub mod kind;
mod wiring;

use jiff::Timestamp;
use shiftwork_aws::environment;
use shiftwork_ports::Result;
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, Status,
    payload::{JobEnd, Launch},
    workflow::RunIf,
};
use shiftwork_settlement::JobSettlement;
use shiftwork_wiring::JobsEnvironment;

use kind::{Kinds, Prepared};

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub jobs: JobsEnvironment,
        pub request_queue_url: String,
        pub scripts_bucket: String,
    }
}

/// The function.
pub struct Launcher {
    /// Settles the jobs that are not to run, and adopts attempts that were submitted before.
    pub jobs: JobSettlement,
    /// What each kind of job is when it is submitted.
    pub kinds: Kinds,
}

/// What a launcher does about a job that it claimed.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// It ended before: only its task has to be told.
    Answer,
    /// It still waits on others: the state machine came here too early.
    Refuse,
    /// Its upstreams did not end as its `run_if` asks.
    Skip(String),
    /// An earlier launcher meant to submit it: look for the attempt first.
    Adopt,
    /// Submit it.
    Submit,
}

fn decide(job: &JobRecord, now: Timestamp) -> Action {
    if job.execution_status.is_terminal() {
        return Action::Answer;
    }
    if !job.waiting_on.is_empty() {
        return Action::Refuse;
    }
    let failed = job.failed_upstreams.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match job.plan.run_if {
        RunIf::AllSuccess if !failed.is_empty() => return Action::Skip(format!("did not succeed before it: {failed}")),
        RunIf::OneFailed if failed.is_empty() => {
            return Action::Skip("everything before it succeeded, and it runs only after a failure".into());
        }
        RunIf::AllSuccess | RunIf::AllDone | RunIf::OneFailed => {}
    }
    if job.submitted_ts == Some(now) { Action::Submit } else { Action::Adopt }
}

impl Launcher {
    /// Submits the job, adopts what an earlier try left, or answers for a job that is not to run.
    pub async fn handle(&self, launch: Launch) -> Result<()> {
        let (run, name, token) = (&launch.workflow_execution_id, &launch.job_name, &launch.task_token);
        // Milliseconds are what the ledger keeps: the comparison in `decide` must see the same instant.
        let now = to_millis(self.jobs.clock.now());
        let job = self.jobs.ledger.claim(run, name, token, now).await?;
        match decide(&job, now) {
            Action::Answer => self.answer(&job, token).await,
            Action::Refuse => {
                let upstreams = job.waiting_on.iter().cloned().collect::<Vec<_>>().join(", ");
                Err(Failure::corrupt(format!("{name} of run {run} was launched while it waits on {upstreams}")))
            }
            Action::Skip(why) => self.jobs.end(&job, Status::Skipped, None, &why).await.map(drop),
            Action::Adopt => self.adopt(&job).await,
            Action::Submit => self.submit(&job).await,
        }
    }

    /// The function that settled the job did not know this token, and may have died before the dependents were freed.
    async fn answer(&self, job: &JobRecord, token: &str) -> Result<()> {
        self.jobs.follow(job).await?;
        let end = JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status };
        self.jobs.tokens.end(token, &end).await
    }

    async fn adopt(&self, job: &JobRecord) -> Result<()> {
        match self.jobs.engine(job)?.find(&job.current_attempt()).await? {
            Some(state) => {
                tracing::info!(attempt = %state.attempt, id = state.id, "adopted the attempt of an earlier launcher");
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
                tracing::info!(attempt = %submission.attempt, id, statements, "submitted");
                Ok(())
            }
            Prepared::NothingToDo => self.jobs.nothing_to_do(job).await.map(drop),
            Prepared::Lost(why) => self.jobs.attempt_failed(job, FailureKind::Unavailable, &why).await.map(drop),
        }
    }
}

fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn released() -> JobRecord {
        JobRecord { execution_status: Status::Running, submitted_ts: Some(NOW), ..a_job("load", &[]) }
    }

    #[test]
    fn a_fresh_intent_is_submitted_and_an_old_one_adopted() {
        assert_eq!(decide(&released(), NOW), Action::Submit);
        let later = NOW + jiff::SignedDuration::from_millis(1);
        assert_eq!(decide(&released(), later), Action::Adopt);
    }

    #[test]
    fn a_job_that_ended_is_answered_and_one_that_waits_is_refused() {
        for status in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
            assert_eq!(decide(&JobRecord { execution_status: status, ..released() }, NOW), Action::Answer);
        }
        assert_eq!(decide(&a_job("load", &["stage"]), NOW), Action::Refuse);
    }

    #[test]
    fn run_if_is_asked_about_what_failed_before() {
        for (run_if, failed, runs) in [
            (RunIf::AllSuccess, false, true),
            (RunIf::AllSuccess, true, false),
            (RunIf::AllDone, false, true),
            (RunIf::AllDone, true, true),
            (RunIf::OneFailed, false, false),
            (RunIf::OneFailed, true, true),
        ] {
            let mut job = released();
            job.plan.run_if = run_if;
            job.failed_upstreams.extend(failed.then(|| "stage".to_owned()));
            let action = decide(&job, NOW);
            assert_eq!(action == Action::Submit, runs, "{run_if:?}, failed: {failed}: {action:?}");
            assert_eq!(matches!(action, Action::Skip(_)), !runs);
        }
    }
}
