//! Pure decisions over records.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{End, EngineReport, Step, Steps, Totals};
use shiftwork_protocol::{
    Attempt, Class, FailedAttempt, FailureKind, JobRecord, KEPT_STATEMENTS, SkipReason, Status, Times, changed_rows,
    limits, name, workflow::RunIf,
};

use crate::commits::{how_to_repeat, may_have_committed};

/// Number of retries of one part after conflicts and throttling before the job fails.
const CONFLICT_RETRIES: usize = 8;
/// Number of failed jobs that a skipped job names, in its message and to its dependents.
const NAMED: usize = 10;

/// A failed attempt.
pub(crate) struct Failed<'a> {
    /// Kind of failure.
    pub(crate) kind: FailureKind,
    /// Message for a person.
    pub(crate) message: &'a str,
    /// Number of steps that the attempt may have completed.
    pub(crate) reached: Steps,
    /// Id of the attempt on its engine; none if the engine did not receive it.
    pub(crate) id: Option<&'a str>,
    /// Times of the submission that failed; empty if the engine did not receive it.
    pub(crate) times: Times,
}

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
    let conflicts = job.failed_attempts.iter().filter(|attempt| attempt.was_retryable());
    let conflicts = conflicts.filter(|attempt| attempt.part == job.part).count();
    let paid = paid_failures(job) < job.plan.retries;
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
        | FailureKind::MayHaveCommitted
        | FailureKind::SessionLost
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
        | FailureKind::ChainTooLong
        | FailureKind::AlreadyDone => Next::End(Status::Failed),
    }
}

/// What a submission that succeeded adds to its job. The audit keeps the first [`KEPT_STATEMENTS`] statements of the
/// script: each part before this one had at least one.
pub(crate) fn totals(at: &Attempt, report: &EngineReport, now: Timestamp) -> Totals {
    let kept = KEPT_STATEMENTS.saturating_sub(at.part.saturating_sub(1) as usize);
    Totals {
        times: report.times(now),
        statements: report.statements.iter().take(kept).cloned().collect(),
        rows: changed_rows(&report.statements),
    }
}

/// Number of earlier attempts that count towards `retries`.
fn paid_failures(job: &JobRecord) -> u32 {
    let paid = job.failed_attempts.iter().filter(|attempt| !attempt.was_retryable()).count();
    u32::try_from(paid).unwrap_or(u32::MAX)
}

/// Pause before the next attempt after a failure of this kind. `None` for conflicts and limits, after which the state
/// machine pauses.
fn retry_delay(job: &JobRecord, kind: FailureKind) -> Option<SignedDuration> {
    match kind.class() {
        Class::Retryable => None,
        Class::Terminal | Class::Duplicate => {
            let doubled = 2_u32.saturating_pow(paid_failures(job));
            let seconds = job.plan.retry_delay_seconds.saturating_mul(doubled).min(limits::RETRY_DELAY_SECONDS);
            Some(SignedDuration::from_secs(seconds.into()))
        }
    }
}

/// Makes the ledger step for a failed attempt that another attempt follows after `pause`.
pub(crate) fn next_attempt(
    job: &JobRecord,
    failed: &Failed<'_>,
    pause: Option<SignedDuration>,
    now: Timestamp,
) -> Step {
    Step::NextAttempt(FailedAttempt {
        attempt: job.attempt,
        part: job.part,
        submitted_ts: job.submitted_ts,
        ended_ts: now,
        error_name: failed.kind.name().into(),
        error_message: failed.message.into(),
        statement_id: failed.id.map(Into::into),
        retry_ts: pause.map(|pause| now + pause),
        times: job.times.then(failed.times),
    })
}

/// Returns true if the failure is the error of a statement, and the job ends FAILED after it. All other failures happen
/// before the engine receives a statement, or follow from a cancellation.
const fn is_error_of_statement(kind: FailureKind) -> bool {
    match kind {
        FailureKind::StatementFailed | FailureKind::SerializationConflict | FailureKind::ConnectionLost => true,
        FailureKind::TimedOut
        | FailureKind::StatementAborted
        | FailureKind::Throttled
        | FailureKind::Unavailable
        | FailureKind::ActiveStatementsExceeded
        | FailureKind::MayHaveCommitted
        | FailureKind::SessionLost
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
        | FailureKind::ChainTooLong
        | FailureKind::AlreadyDone => false,
    }
}

/// Makes the ledger step for a failed attempt. An attempt that may have committed a part of its work is never followed
/// by another one, and its error is [`FailureKind::MayHaveCommitted`], also if no retry is left.
pub(crate) fn failure_step(job: &JobRecord, failed: &Failed<'_>, now: Timestamp) -> Step {
    let Failed { kind, message, reached, id, times } = *failed;
    let end = |status, error, message| {
        Step::End(End {
            status,
            error: Some(error),
            message: Some(message),
            statement_id: id.map(Into::into),
            totals: Totals { times, ..Totals::default() },
        })
    };
    let next = after_failure(job, kind);
    let is_open = next == Next::Retry || is_error_of_statement(kind);
    match (may_have_committed(job, reached).filter(|_| is_open), next) {
        (Some(reason), Next::Retry | Next::End(_)) => {
            let message = format!("{message}; not retried, because {reason}: {}", how_to_repeat(job));
            end(Status::Failed, FailureKind::MayHaveCommitted, message)
        }
        (None, Next::Retry) => next_attempt(job, failed, retry_delay(job, kind), now),
        (None, Next::End(status)) => end(status, kind, message.to_owned()),
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
    use shiftwork_protocol::Work;

    use super::*;

    fn failed(part: u32, kind: FailureKind) -> FailedAttempt {
        FailedAttempt {
            attempt: 1,
            part,
            submitted_ts: None,
            ended_ts: Timestamp::UNIX_EPOCH,
            error_name: kind.name().into(),
            error_message: String::new(),
            statement_id: None,
            retry_ts: None,
            times: Times::default(),
        }
    }

    /// A job of kind `unload`, whose work commits nothing.
    fn job(failures: &[FailureKind], retries: u32) -> JobRecord {
        let mut job = a_job("load", &[]);
        let connection = job.plan.work.connection().cloned().unwrap_or_default();
        job.plan.work = Work::Unload { connection, sql: "UNLOAD".into() };
        job.plan.retries = retries;
        job.failed_attempts = failures.iter().map(|kind| failed(1, *kind)).collect();
        job
    }

    fn after(failures: &[FailureKind], retries: u32, kind: FailureKind) -> Next {
        after_failure(&job(failures, retries), kind)
    }

    #[test]
    fn conflicts_are_counted_for_each_part() {
        use FailureKind::SerializationConflict as Conflict;
        let mut job = job(&[Conflict; CONFLICT_RETRIES], 0);
        assert_eq!(after_failure(&job, Conflict), Next::End(Status::Failed));
        job.part = 2;
        assert_eq!(after_failure(&job, Conflict), Next::Retry);
    }

    #[test]
    fn the_pause_before_a_retry_doubles_up_to_a_limit() {
        use FailureKind::{SerializationConflict as Conflict, StatementFailed as Failed};
        for (failures, delay, kind, pause) in [
            (vec![], 30, Failed, Some(30)),
            (vec![Failed], 30, Failed, Some(60)),
            (vec![Failed, Conflict, Failed], 30, FailureKind::TimedOut, Some(120)),
            (vec![Failed; 9], 60, Failed, Some(3600)),
            (vec![], 0, Failed, Some(0)),
            (vec![Failed], 30, Conflict, None),
        ] {
            let mut job = job(&failures, 10);
            job.plan.retry_delay_seconds = delay;
            let found = retry_delay(&job, kind).map(|pause| pause.as_secs());
            assert_eq!(found, pause, "{failures:?}, {delay} s, {kind:?}");
        }
    }

    #[test]
    fn what_may_be_committed_ends_the_job_instead_of_a_retry() {
        let call = a_job("load", &[]);
        let conflict = Failed {
            kind: FailureKind::SerializationConflict,
            message: "ERROR: 1023",
            reached: 0,
            id: Some("id"),
            times: Times::default(),
        };
        let Step::End(end) = failure_step(&call, &conflict, Timestamp::UNIX_EPOCH) else {
            panic!("the call is retried")
        };
        assert_eq!((end.status, end.error), (Status::Failed, Some(FailureKind::MayHaveCommitted)));
        let message = end.message.unwrap();
        for words in ["ERROR: 1023; not retried", "a procedure can commit", "shiftwork restart r", "repeatable: true"] {
            assert!(message.contains(words), "{words}: {message}");
        }
        let step = failure_step(&job(&[], 0), &conflict, Timestamp::UNIX_EPOCH);
        let Step::NextAttempt(next) = step else { panic!("the transaction that was rolled back is not retried") };
        assert_eq!((next.part, next.retry_ts, next.statement_id.as_deref()), (1, None, Some("id")));
    }

    #[test]
    fn an_error_behind_a_commit_has_its_kind_although_no_retry_is_left() {
        use FailureKind::{
            AccessDenied, ConnectionLost, MayHaveCommitted, StatementAborted, StatementFailed, TimedOut,
        };
        let (call, unload) = (a_job("load", &[]), job(&[], 0));
        let retried = JobRecord { failed_attempts: vec![failed(1, StatementFailed); 2], ..call.clone() };
        for (job, kind, expected) in [
            (&call, StatementFailed, (Status::Failed, MayHaveCommitted)),
            (&call, ConnectionLost, (Status::Failed, MayHaveCommitted)),
            (&retried, StatementFailed, (Status::Failed, MayHaveCommitted)),
            (&unload, StatementFailed, (Status::Failed, StatementFailed)),
            // No statement failed.
            (&call, AccessDenied, (Status::Failed, AccessDenied)),
            (&call, TimedOut, (Status::TimedOut, TimedOut)),
            (&call, StatementAborted, (Status::Aborted, StatementAborted)),
        ] {
            let failed = Failed { kind, message: "ERROR: x", reached: 0, id: None, times: Times::default() };
            let Step::End(end) = failure_step(job, &failed, Timestamp::UNIX_EPOCH) else {
                panic!("{kind:?} is retried")
            };
            assert_eq!((end.status, end.error), (expected.0, Some(expected.1)), "{kind:?}");
            let says_how = end.message.unwrap().contains("--from-statement load=1` runs the job again");
            assert_eq!(says_how, expected.1 == MayHaveCommitted, "{kind:?}");
        }
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
