//! A run ends, or a task failed outside of its engine: the audit, the lease, the notification.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_ports::{AttemptState, Execution, Progress, Result};
use shiftwork_protocol::{
    Class, Failure, FailureKind, JobRecord,
    payload::{AuditRequest, CaughtError, Recorded},
};
use shiftwork_settlement::RunSettlement;

/// `detail` of "Step Functions Execution Status Change".
#[derive(Debug, Deserialize)]
struct ExecutionChange {
    name: String,
    status: String,
}

/// Does what was asked: by the state machine, or by the event that says that it stopped.
pub async fn handle(runs: &RunSettlement, event: &Value) -> Result<Value> {
    let unreadable =
        |error| Failure::new(FailureKind::InvalidRequest, format!("cannot read the request: {error}; got {event}"));
    if event.get("detail-type").is_some() {
        let change = ExecutionChange::deserialize(&event["detail"]).map_err(unreadable)?;
        execution_closed(runs, &change).await?;
        return Ok(json!({}));
    }
    match AuditRequest::deserialize(event).map_err(unreadable)? {
        AuditRequest::RecordJob { workflow_execution_id, job_name, failure } => {
            let relaunch = record_job(runs, &workflow_execution_id, &job_name, &failure).await?;
            Ok(json!(Recorded { relaunch }))
        }
        AuditRequest::FinishRun { workflow_execution_id, failure } => {
            let why = failure.map(|caught| format!("the run could not go on: {}: {}", caught.error, words(&caught)));
            Ok(json!(runs.finish(&workflow_execution_id, why.as_deref()).await?))
        }
    }
}

/// The execution was stopped, timed out or failed: nothing of the run may go on.
async fn execution_closed(runs: &RunSettlement, change: &ExecutionChange) -> Result<()> {
    let run = runs.run(&change.name).await?;
    if run.execution_status.is_terminal() {
        return runs.hand_on(&run).await;
    }
    // The event of a stopped execution leaves out why it was stopped; the execution itself knows.
    let reason = match runs.executions.state(&change.name).await? {
        Some(Execution::Closed { reason }) => reason,
        Some(Execution::Running) | None => change.status.clone(),
    };
    runs.close_by_reason(&run, &reason).await.map(drop)
}

/// What a caught error means for a job.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    /// It ended, or goes on, by its own record: the caught error is out of date.
    Settled,
    /// Its attempt ended while the task failed: that counts.
    Ended(&'a AttemptState),
    /// Its attempt is still active, and no task waits for it any more.
    Unfinished { state: &'a AttemptState, kind: FailureKind, message: String },
    /// The attempt failed before its engine had it, and another may follow.
    Failed { kind: FailureKind, message: String },
}

fn decide<'a>(job: &JobRecord, state: Option<&'a AttemptState>, caught: &CaughtError) -> Meaning<'a> {
    if job.execution_status.is_terminal() || has_more(job) {
        return Meaning::Settled;
    }
    let (kind, message) = read_error(caught, job.plan.timeout_seconds);
    match state.map(|state| (state, &state.progress)) {
        Some((state, Progress::Finished { .. } | Progress::Failed { .. } | Progress::Aborted)) => Meaning::Ended(state),
        Some((state, Progress::Active)) => Meaning::Unfinished { state, kind, message },
        None => Meaning::Failed { kind, message },
    }
}

/// True for a job that has another attempt, or another part, to be launched.
fn has_more(job: &JobRecord) -> bool {
    !job.execution_status.is_terminal() && job.submitted_ts.is_none() && (job.attempt > 1 || job.part > 1)
}

/// An error name of Step Functions, Lambda or our own, in our words.
fn read_error(caught: &CaughtError, timeout_seconds: u32) -> (FailureKind, String) {
    if caught.error == "States.Timeout" {
        return (FailureKind::TimedOut, format!("did not end within its timeout of {timeout_seconds} s"));
    }
    let words = words(caught);
    match FailureKind::from_name(&caught.error) {
        Some(kind) => match kind.class() {
            Class::Terminal | Class::Duplicate => (kind, words),
            // The state machine has retried it as often as it does.
            Class::Retryable => {
                (FailureKind::LaunchFailed, format!("gave up after retries: {}: {words}", caught.error))
            }
        },
        None => (FailureKind::LaunchFailed, format!("{}: {words}", caught.error)),
    }
}

/// The words of a caught error. Lambda wraps a function's: `{"errorType": …, "errorMessage": …}`.
fn words(caught: &CaughtError) -> String {
    let cause: Option<Value> = serde_json::from_str(&caught.cause).ok();
    match cause.as_ref().and_then(|cause| cause["errorMessage"].as_str()) {
        Some(words) => words.to_owned(),
        None if caught.cause.is_empty() => "no cause was given".to_owned(),
        None => caught.cause.clone(),
    }
}

/// How long a cancelled attempt is waited for in one call.
const CANCELLED_WITHIN: Duration = Duration::from_secs(8);

/// Settles a job whose task failed. True when it has another attempt, and is to be launched again.
async fn record_job(runs: &RunSettlement, run: &str, job_name: &str, caught: &CaughtError) -> Result<bool> {
    let job = runs.jobs.job(run, job_name).await?;
    let state = match job.submitted_ts {
        Some(_) if !job.execution_status.is_terminal() => runs.jobs.engine(&job)?.find(&job.current_attempt()).await?,
        Some(_) | None => None,
    };
    match decide(&job, state.as_ref(), caught) {
        Meaning::Settled => runs.jobs.follow(&job).await?,
        Meaning::Ended(state) => runs.jobs.attempt_ended(state).await?,
        Meaning::Unfinished { state, kind, message } => cancel(runs, &job, state, kind, &message).await?,
        Meaning::Failed { kind, message } => {
            runs.jobs.attempt_failed(&job, kind, &message).await?;
        }
    }
    let job = runs.jobs.job(run, job_name).await?;
    cancel_what_is_over(runs, &job).await?;
    Ok(has_more(&job))
}

/// Cancels the attempt of a task that failed, and settles the job by what its engine made of it: an attempt that finished
/// while it was being cancelled has committed, and must not run again.
async fn cancel(
    runs: &RunSettlement,
    job: &JobRecord,
    active: &AttemptState,
    kind: FailureKind,
    why: &str,
) -> Result<()> {
    let (id, attempt) = (&active.id, &active.attempt);
    tracing::warn!(%attempt, why, "cancelling the attempt of a task that failed");
    runs.jobs.cancelling(job, kind, why).await?;
    let engine = runs.jobs.engine(job)?;
    engine.cancel(id).await?;
    match engine.outcome(id, attempt, CANCELLED_WITHIN).await? {
        Some(AttemptState { progress: Progress::Active, .. }) => {
            let words = format!("{attempt} was cancelled, and still runs: asking again");
            Err(Failure::new(FailureKind::Unavailable, words))
        }
        Some(ended) => runs.jobs.attempt_ended(&ended).await,
        None => runs.jobs.attempt_ended(&AttemptState { progress: Progress::Aborted, ..active.clone() }).await,
    }
}

/// Cancels what still runs of a job's attempts that are over. After the ledger says so: the event of the cancelled attempt then
/// finds nothing to settle, and a function that died in between is called again.
async fn cancel_what_is_over(runs: &RunSettlement, job: &JobRecord) -> Result<()> {
    let over = |attempt: u32| job.execution_status.is_terminal() || attempt < job.attempt;
    let engine = runs.jobs.engine(job)?;
    for state in engine.active(&job.workflow_execution_id).await? {
        if state.attempt.job == job.plan.job_name && over(state.attempt.attempt) {
            tracing::warn!(attempt = %state.attempt, "cancelling an attempt that is over");
            engine.cancel(&state.id).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::Status;

    use super::*;

    fn caught(error: &str, cause: &str) -> CaughtError {
        CaughtError { error: error.into(), cause: cause.into() }
    }

    fn running() -> JobRecord {
        let submitted_ts = Some(jiff::Timestamp::UNIX_EPOCH);
        JobRecord { execution_status: Status::Running, submitted_ts, ..a_job("load", &[]) }
    }

    fn state(progress: Progress) -> AttemptState {
        AttemptState { id: "id".into(), attempt: running().current_attempt(), progress }
    }

    #[test]
    fn an_attempt_that_ended_counts_more_than_the_error_of_its_task() {
        let error = caught("States.Timeout", "");
        let failed = Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into() };
        for progress in [Progress::Finished { rows: None }, failed, Progress::Aborted] {
            let state = state(progress);
            assert_eq!(decide(&running(), Some(&state), &error), Meaning::Ended(&state));
        }
        let active = state(Progress::Active);
        assert!(matches!(
            decide(&running(), Some(&active), &error),
            Meaning::Unfinished { kind: FailureKind::TimedOut, .. }
        ));
    }

    #[test]
    fn a_job_that_goes_on_by_its_record_is_left_to_it() {
        let next_attempt = JobRecord { attempt: 2, submitted_ts: None, execution_status: Status::Pending, ..running() };
        let next_part = JobRecord { part: 2, submitted_ts: None, ..running() };
        let ended = JobRecord { execution_status: Status::Failed, ..running() };
        for job in [&next_attempt, &next_part, &ended] {
            assert_eq!(decide(job, None, &caught("Shiftwork.Throttled", "")), Meaning::Settled);
        }
        assert!(has_more(&next_attempt) && has_more(&next_part) && !has_more(&ended) && !has_more(&running()));
    }

    #[test]
    fn errors_keep_the_words_that_were_said() {
        let lambda = caught(
            "Shiftwork.AccessDenied",
            r#"{"errorType":"Shiftwork.AccessDenied","errorMessage":"no s3:GetObject"}"#,
        );
        assert_eq!(read_error(&lambda, 60), (FailureKind::AccessDenied, "no s3:GetObject".into()));
        let (kind, words) = read_error(&caught("States.Timeout", ""), 60);
        assert_eq!((kind, words.as_str()), (FailureKind::TimedOut, "did not end within its timeout of 60 s"));
        let (kind, words) = read_error(&caught("Shiftwork.Throttled", "slow down"), 60);
        assert_eq!(
            (kind, words.as_str()),
            (FailureKind::LaunchFailed, "gave up after retries: Shiftwork.Throttled: slow down")
        );
        assert_eq!(read_error(&caught("Lambda.Unknown", ""), 60).0, FailureKind::LaunchFailed);
    }
}
