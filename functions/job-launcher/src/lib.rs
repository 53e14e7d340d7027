//! A job is released: it is submitted, exactly once, and the task waits for its end.
//!
//! The intent is written before the act ([`Ledger::claim`](shiftwork_ports::Ledger::claim)). A launcher that finds an
//! earlier launcher's intent first looks for the statement that it may have left, and adopts it.

mod kind;

use std::sync::Arc;

use jiff::Timestamp;
use shiftwork_feeds::Landing;
use shiftwork_ports::{Queries, Requests, Result, Scripts, Statements};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, Status, Work,
    payload::{JobEnd, Launch},
    workflow::RunIf,
};
use shiftwork_settlement::JobSettlement;

use kind::copy::Copy;

/// What it reads from its environment.
pub const ENVIRONMENT: &[&str] = &[
    "EVENT_BUS_NAME",
    "FAILURE_TOPIC_ARN",
    "FILE_AUDIT_TABLE",
    "JOB_AUDIT_TABLE",
    "LEASE_TABLE",
    "REQUEST_QUEUE_URL",
    "SCRIPTS_BUCKET",
    "STAGING_BUCKET",
    "STATEMENT_ROLE_ARN",
    "WORKFLOW_AUDIT_TABLE",
];

/// The function.
pub struct Launcher {
    /// Settles the jobs that are not to run.
    pub jobs: JobSettlement,
    /// Runs the others.
    pub statements: Arc<dyn Statements>,
    /// Their scripts.
    pub scripts: Arc<dyn Scripts>,
    /// Makes the tables of a contract.
    pub queries: Arc<dyn Queries>,
    /// Asks for the next load where one leaves files.
    pub requests: Arc<dyn Requests>,
    /// The buckets that the files of feeds land in.
    pub landing: Arc<dyn Landing>,
    /// Name of the bucket of staged files, as COPY reads it.
    pub staging_bucket: String,
}

/// What a launcher does about a job that it claimed.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// It ended before: the task only wants to hear it.
    Answer,
    /// It still waits on others: the state machine came here too early.
    Refuse,
    /// Its upstreams did not end as its `run_if` asks.
    Skip(String),
    /// An earlier launcher meant to submit it: look for the statement first.
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

    /// Whoever settled the job did not know this token, and may have died before its dependents knew.
    async fn answer(&self, job: &JobRecord, token: &str) -> Result<()> {
        self.jobs.follow(job).await?;
        let end = JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status };
        self.jobs.tokens.end(token, &end).await
    }

    async fn adopt(&self, job: &JobRecord) -> Result<()> {
        let name = job.current_attempt();
        match self.statements.find(&name, &job.plan.connection).await? {
            Some(statement) => {
                tracing::info!(statement = %name, id = statement.id, "adopted the statement of an earlier launcher");
                self.jobs.statement_ended(&name, &statement.id, &statement.progress).await
            }
            None => self.submit(job).await,
        }
    }

    async fn submit(&self, job: &JobRecord) -> Result<()> {
        let submission = match &job.plan.work {
            Work::Sql { script, transaction, parameters } => {
                kind::sql::submission(job, &self.scripts.pinned(script).await?, *transaction, parameters)?
            }
            Work::Procedure { sql, parameters } => kind::statement::submission(job, sql, parameters),
            Work::Unload { sql } => kind::statement::submission(job, sql, &std::collections::BTreeMap::new()),
            Work::Cdc { contract, iam_role } => match self.load(job, contract, iam_role).await? {
                Some(submission) => submission,
                None => return self.jobs.nothing_to_do(job).await.map(drop),
            },
            Work::Copy { feed, into, options, .. } => match self.copy(job, feed, into, options).await? {
                Copy::Submit(submission) => *submission,
                Copy::Nothing => return self.jobs.nothing_to_do(job).await.map(drop),
                Copy::Lost(why) => {
                    return self.jobs.attempt_failed(job, FailureKind::Unavailable, &why).await.map(drop);
                }
            },
            Work::Barrier {} => {
                return Err(Failure::corrupt(format!("{} is a barrier: nothing is to be launched", job.plan.job_name)));
            }
        };
        let id = self.statements.submit(&submission).await?;
        tracing::info!(statement = %submission.name, id, statements = submission.sqls.len(), "submitted");
        Ok(())
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
