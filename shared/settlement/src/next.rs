//! The decisions: pure, over records.

use jiff::Timestamp;
use shiftwork_contract::{Attempt, Class, FailureKind, JobRecord, Status};
use shiftwork_ports::{End, Step};

/// Conflicts and throttling are tried again this often before they count as the job's failure.
const CONFLICT_RETRIES: usize = 8;

/// What a failed attempt leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt.
    Retry,
    /// The end of the job.
    End(Status),
}

/// What a failed attempt of this job leads to. Conflicts have a budget of their own; `retries` pays for the rest, where
/// trying again can help at all.
pub fn after_failure(job: &JobRecord, kind: FailureKind) -> Next {
    let conflicts = job.failed_attempts.iter().filter(|attempt| attempt.was_retryable()).count();
    let failures = job.failed_attempts.len() - conflicts;
    let paid = failures < job.plan.retries as usize;
    match kind.class() {
        Class::Retryable if conflicts < CONFLICT_RETRIES => return Next::Retry,
        Class::Retryable | Class::Terminal | Class::Duplicate => {}
    }
    match kind {
        FailureKind::StatementFailed | FailureKind::TimedOut if paid => Next::Retry,
        FailureKind::TimedOut => Next::End(Status::TimedOut),
        FailureKind::StatementAborted => Next::End(Status::Aborted),
        FailureKind::Throttled
        | FailureKind::Unavailable
        | FailureKind::ActiveStatementsExceeded
        | FailureKind::SerializationConflict
        | FailureKind::ConnectionLost
        | FailureKind::StatementFailed
        | FailureKind::LaunchFailed
        | FailureKind::Refused
        | FailureKind::AccessDenied
        | FailureKind::ScriptUnreadable
        | FailureKind::UnknownWorkflow
        | FailureKind::InvalidWorkflow
        | FailureKind::InvalidRequest
        | FailureKind::RunOverlaps
        | FailureKind::LeaseLost
        | FailureKind::Corrupt
        | FailureKind::AlreadyDone => Next::End(Status::Failed),
    }
}

/// The ledger step of a failed attempt.
pub(crate) fn failure_step(
    job: &JobRecord,
    kind: FailureKind,
    message: &str,
    statement_id: Option<&str>,
    now: Timestamp,
) -> Step {
    match after_failure(job, kind) {
        Next::Retry => Step::NextAttempt(Attempt {
            attempt: job.attempt,
            submitted_ts: job.submitted_ts,
            ended_ts: now,
            error_name: kind.name().into(),
            error_message: message.into(),
            statement_id: statement_id.map(Into::into),
        }),
        Next::End(status) => Step::End(End {
            status,
            error: Some(kind),
            message: Some(message.into()),
            statement_id: statement_id.map(Into::into),
            rows: None,
        }),
    }
}

/// How a run ended whose jobs all ended: its status, and the first error by time. A skipped job is a consequence, never a
/// cause.
pub fn outcome_of(jobs: &[JobRecord]) -> (Status, Option<String>) {
    let first = jobs
        .iter()
        .filter(|job| match job.execution_status {
            Status::Failed | Status::TimedOut | Status::Aborted => true,
            Status::Planning
            | Status::Queued
            | Status::Pending
            | Status::Running
            | Status::Succeeded
            | Status::Skipped => false,
        })
        .min_by_key(|job| (job.execution_end_ts, job.plan.position));
    match first {
        None => (Status::Succeeded, None),
        Some(job) => {
            let words = job.error_message.as_deref().unwrap_or("no message was recorded");
            (Status::Failed, Some(format!("{} {}: {words}", job.plan.job_name, job.execution_status)))
        }
    }
}
