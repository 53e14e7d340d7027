//! Pure decisions over records.

use jiff::Timestamp;
use shiftwork_ports::{End, Step};
use shiftwork_protocol::{Class, FailedAttempt, FailureKind, JobRecord, Status};

/// Number of retries after conflicts and throttling before the job fails.
const CONFLICT_RETRIES: usize = 8;

/// The consequence of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt follows.
    Retry,
    /// The job ends with this status.
    End(Status),
}

/// Decides what follows a failed attempt. Conflicts have their own number of retries; `retries` counts the other
/// failures that can be retried.
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

/// Makes the ledger step for a failed attempt that another attempt follows.
pub(crate) fn next_attempt(
    job: &JobRecord,
    kind: FailureKind,
    message: &str,
    statement_id: Option<&str>,
    now: Timestamp,
) -> Step {
    Step::NextAttempt(FailedAttempt {
        attempt: job.attempt,
        submitted_ts: job.submitted_ts,
        ended_ts: now,
        error_name: kind.name().into(),
        error_message: message.into(),
        statement_id: statement_id.map(Into::into),
    })
}

/// Makes the ledger step for a failed attempt.
pub(crate) fn failure_step(
    job: &JobRecord,
    kind: FailureKind,
    message: &str,
    statement_id: Option<&str>,
    now: Timestamp,
) -> Step {
    match after_failure(job, kind) {
        Next::Retry => next_attempt(job, kind, message, statement_id, now),
        Next::End(status) => Step::End(End {
            status,
            error: Some(kind),
            message: Some(message.into()),
            statement_id: statement_id.map(Into::into),
            rows: None,
        }),
    }
}

/// Status of a run whose jobs all ended, and its first error by time. A skipped job follows from another failure, so it
/// is never the first error.
pub fn outcome_of(jobs: &[JobRecord]) -> (Status, Option<String>) {
    let first = jobs
        .iter()
        .filter(|job| job.execution_status.is_failure())
        .min_by_key(|job| (job.execution_end_ts, job.plan.position));
    match first {
        None => (Status::Succeeded, None),
        Some(job) => {
            let message = job.error_message.as_deref().unwrap_or("no message was recorded");
            (Status::Failed, Some(format!("{} {}: {message}", job.plan.job_name, job.execution_status)))
        }
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    fn after(failed: &[FailureKind], retries: u32, kind: FailureKind) -> Next {
        let mut job = a_job("load", &[]);
        job.plan.retries = retries;
        job.failed_attempts = failed
            .iter()
            .map(|kind| FailedAttempt {
                attempt: 1,
                submitted_ts: None,
                ended_ts: Timestamp::UNIX_EPOCH,
                error_name: kind.name().into(),
                error_message: String::new(),
                statement_id: None,
            })
            .collect();
        after_failure(&job, kind)
    }

    #[test]
    fn retries_of_conflicts_are_counted_separately() {
        use FailureKind::{SerializationConflict as Conflict, StatementFailed as Failed};
        assert_eq!(after(&[], 0, Failed), Next::End(Status::Failed));
        assert_eq!(after(&[Conflict, Conflict], 1, Failed), Next::Retry);
        assert_eq!(after(&[Failed], 1, Failed), Next::End(Status::Failed));
        assert_eq!(after(&[Failed], 1, Conflict), Next::Retry);
        assert_eq!(after(&[Conflict; CONFLICT_RETRIES], 3, Conflict), Next::End(Status::Failed));
    }

    #[test]
    fn failures_that_a_retry_cannot_fix_are_not_retried() {
        for kind in [FailureKind::StatementAborted, FailureKind::AccessDenied, FailureKind::ScriptUnreadable] {
            assert_ne!(after(&[], 10, kind), Next::Retry, "{kind:?}");
        }
        assert_eq!(after(&[], 0, FailureKind::TimedOut), Next::End(Status::TimedOut));
        assert_eq!(after(&[], 1, FailureKind::TimedOut), Next::Retry);
    }

    #[test]
    fn a_run_reports_its_first_error_and_no_skipped_job() {
        let ended = |name: &str, status, at: i64, words: &str| JobRecord {
            execution_status: status,
            execution_end_ts: Timestamp::from_second(at).ok(),
            error_message: Some(words.into()),
            ..a_job(name, &[])
        };
        let jobs = [
            ended("late", Status::Failed, 9, "second"),
            ended("early", Status::TimedOut, 5, "first"),
            ended("skipped", Status::Skipped, 1, "a consequence"),
        ];
        assert_eq!(outcome_of(&jobs), (Status::Failed, Some("early TIMED_OUT: first".into())));
        assert_eq!(outcome_of(&jobs[2..]), (Status::Succeeded, None));
    }
}
