//! Pure decisions over records.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shiftwork_ports::{End, EngineReport, Step, Totals};
use shiftwork_protocol::{
    Attempt, Class, FailedAttempt, FailureKind, JobRecord, KEPT_STATEMENTS, SkipReason, Status, Times, changed_rows,
    name, workflow::RunIf,
};

/// Number of retries after conflicts and throttling before the job fails.
const CONFLICT_RETRIES: usize = 8;
/// Number of failed jobs that a skipped job names, in its message and to its dependents.
const NAMED: usize = 10;

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

/// What a submission that succeeded adds to its job. The audit keeps the first [`KEPT_STATEMENTS`] statements: each part
/// before this one had at least one.
pub(crate) fn totals(at: &Attempt, report: &EngineReport, now: Timestamp) -> Totals {
    let kept = KEPT_STATEMENTS.saturating_sub(at.part.saturating_sub(1) as usize);
    Totals {
        times: report.times(now),
        statements: report.statements.iter().take(kept).cloned().collect(),
        rows: changed_rows(&report.statements),
    }
}

/// Makes the ledger step for a failed attempt that another attempt follows. `times` are those of the submission that
/// failed.
pub(crate) fn next_attempt(
    job: &JobRecord,
    kind: FailureKind,
    message: &str,
    statement_id: Option<&str>,
    times: Times,
    now: Timestamp,
) -> Step {
    Step::NextAttempt(FailedAttempt {
        attempt: job.attempt,
        submitted_ts: job.submitted_ts,
        ended_ts: now,
        error_name: kind.name().into(),
        error_message: message.into(),
        statement_id: statement_id.map(Into::into),
        times: job.times.then(times),
    })
}

/// Makes the ledger step for a failed attempt. `times` are those of the submission that failed; empty if the engine did
/// not receive it.
pub(crate) fn failure_step(
    job: &JobRecord,
    kind: FailureKind,
    message: &str,
    statement_id: Option<&str>,
    times: Times,
    now: Timestamp,
) -> Step {
    match after_failure(job, kind) {
        Next::Retry => next_attempt(job, kind, message, statement_id, times, now),
        Next::End(status) => Step::End(End {
            status,
            error: Some(kind),
            message: Some(message.into()),
            statement_id: statement_id.map(Into::into),
            totals: Totals { times, ..Totals::default() },
        }),
    }
}

/// Decides whether a job whose upstreams have all ended must be skipped; `None` if it runs
/// (docs/decisions/0008-skipped-jobs.md).
pub fn skip_of(job: &JobRecord) -> Option<SkipReason> {
    match (job.plan.run_if, job.failed_upstreams.is_empty()) {
        (RunIf::AllSuccess, false) => Some(SkipReason::UpstreamFailed),
        (RunIf::OneFailed, true) => Some(SkipReason::ConditionNotMet),
        (RunIf::AllSuccess, true) | (RunIf::OneFailed, false) | (RunIf::AllDone, true | false) => None,
    }
}

/// Names of the failed jobs that a job which ended reports to its dependents; empty if it does not count as failed. A
/// skipped job and a barrier report the jobs that failed before them.
pub fn failures_for_dependents(job: &JobRecord) -> BTreeSet<String> {
    let itself = || BTreeSet::from([job.plan.job_name.clone()]);
    match job.execution_status {
        Status::Succeeded => BTreeSet::new(),
        Status::Skipped => match job.skip_reason {
            Some(SkipReason::ConditionNotMet) => BTreeSet::new(),
            Some(SkipReason::UpstreamFailed) => job.failed_upstreams.iter().take(NAMED).cloned().collect(),
            // Items that were written before the reason was recorded.
            None => itself(),
        },
        Status::Failed
        | Status::TimedOut
        | Status::Aborted
        // A job that has not ended has not succeeded.
        | Status::Planning
        | Status::Queued
        | Status::Pending
        | Status::Running => itself(),
    }
}

/// Makes the ledger step for a job that is skipped.
pub(crate) fn skip_step(job: &JobRecord, reason: SkipReason) -> Step {
    let message = match reason {
        SkipReason::ConditionNotMet => "not needed: it runs only after a failure, and no job before it failed".into(),
        // An aborted barrier passes its own name on, which is not the name of a job.
        SkipReason::UpstreamFailed => {
            let failed: Vec<_> = job.failed_upstreams.iter().filter(|failed| name::is_job_name(failed)).collect();
            let named = failed.iter().take(NAMED).map(|failed| failed.as_str()).collect::<Vec<_>>().join(", ");
            match failed.len() {
                0 => "skipped because a job before it did not succeed".into(),
                count if count > NAMED => {
                    format!("skipped because {named} and {} more jobs before it did not succeed", count - NAMED)
                }
                _ => format!("skipped because {named} did not succeed"),
            }
        }
    };
    Step::Skip { reason, message }
}

/// Status of a run whose jobs all ended, and its first error by time. A job that was skipped because of a failure
/// follows from a job that failed, so it is the first error only if no job of the run failed.
pub fn outcome_of(jobs: &[JobRecord]) -> (Status, Option<String>) {
    let by_time = |job: &&JobRecord| (job.execution_end_ts, job.plan.position);
    let failed = jobs.iter().filter(|job| job.execution_status.is_failure()).min_by_key(by_time);
    let blocked = || jobs.iter().filter(|job| !failures_for_dependents(job).is_empty()).min_by_key(by_time);
    match failed.or_else(blocked) {
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
                times: Times::default(),
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
    }

    /// Every way in which an upstream can end, with the failed jobs that it reports.
    fn ends() -> Vec<(JobRecord, &'static [&'static str])> {
        let ended = |status, skip_reason, failed: &[&str]| JobRecord {
            execution_status: status,
            skip_reason,
            failed_upstreams: failed.iter().map(|&failed| failed.to_owned()).collect(),
            ..a_job("upstream", &[])
        };
        vec![
            (ended(Status::Succeeded, None, &[]), &[]),
            // It ran in spite of a failure, and succeeded.
            (ended(Status::Succeeded, None, &["root"]), &[]),
            (ended(Status::Failed, None, &[]), &["upstream"]),
            (ended(Status::Failed, None, &["root"]), &["upstream"]),
            (ended(Status::TimedOut, None, &[]), &["upstream"]),
            (ended(Status::Aborted, None, &[]), &["upstream"]),
            (ended(Status::Skipped, Some(SkipReason::ConditionNotMet), &[]), &[]),
            (ended(Status::Skipped, Some(SkipReason::UpstreamFailed), &["root"]), &["root"]),
            (ended(Status::Skipped, Some(SkipReason::UpstreamFailed), &["r1", "r2"]), &["r1", "r2"]),
            (ended(Status::Skipped, None, &[]), &["upstream"]),
        ]
    }

    #[test]
    fn run_if_over_every_end_of_an_upstream() {
        for (upstream, failures) in ends() {
            let reported = failures_for_dependents(&upstream);
            assert_eq!(reported.iter().collect::<Vec<_>>(), failures, "{upstream:?}");
            for (run_if, skip) in [
                (RunIf::AllDone, None),
                (RunIf::AllSuccess, (!failures.is_empty()).then_some(SkipReason::UpstreamFailed)),
                (RunIf::OneFailed, failures.is_empty().then_some(SkipReason::ConditionNotMet)),
            ] {
                let mut job = a_job("job", &["upstream"]);
                job.plan.run_if = run_if;
                job.failed_upstreams.clone_from(&reported);
                assert_eq!(skip_of(&job), skip, "{run_if:?} after {upstream:?}");
            }
        }
    }

    #[test]
    fn a_run_succeeds_only_if_no_job_failed_or_was_skipped_because_of_a_failure() {
        for (job, failures) in ends() {
            let expected = if failures.is_empty() { Status::Succeeded } else { Status::Failed };
            assert_eq!(outcome_of(std::slice::from_ref(&job)).0, expected, "{job:?}");
        }
    }

    #[test]
    fn a_skipped_job_names_the_jobs_that_failed_and_no_barrier() {
        let message = |failed: &[&str], reason| {
            let mut job = a_job("job", &["@stage-2"]);
            job.failed_upstreams = failed.iter().map(|&failed| failed.to_owned()).collect();
            match skip_step(&job, reason) {
                Step::Skip { message, .. } => message,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            message(&["a.sql", "b.sql"], SkipReason::UpstreamFailed),
            "skipped because a.sql, b.sql did not succeed"
        );
        assert_eq!(
            message(&["@stage-2"], SkipReason::UpstreamFailed),
            "skipped because a job before it did not succeed"
        );
        let many: Vec<String> = (0..600).map(|n| format!("job_{n:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(
            message(&many, SkipReason::UpstreamFailed).ends_with("job_009 and 590 more jobs before it did not succeed")
        );
        assert!(message(&[], SkipReason::ConditionNotMet).contains("no job before it failed"));
    }
}
