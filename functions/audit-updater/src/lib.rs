//! audit-updater: records the end of a run, and the end of a job whose task failed outside of its engine.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_ports::{AttemptState, Execution, Progress, Result, UNKNOWN_STEPS, log::Subject};
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

/// Handles a request of the state machine, or the event that an execution stopped.
pub async fn handle(runs: &RunSettlement, event: &Value) -> Result<Value> {
    let unreadable = |error| Failure::new(FailureKind::InvalidRequest, format!("cannot read the request: {error}"));
    if event.get("detail-type").is_some() {
        let change = ExecutionChange::deserialize(&event["detail"]).map_err(unreadable)?;
        Subject::of_run(&change.name).scope(execution_closed(runs, &change)).await?;
        return Ok(json!({}));
    }
    match AuditRequest::deserialize(event).map_err(unreadable)? {
        AuditRequest::RecordJob { workflow_execution_id, job_name, failure } => {
            let recorded = record_job(runs, &workflow_execution_id, &job_name, &failure);
            let job = Subject::of_job(&workflow_execution_id, &job_name).scope(recorded).await?;
            let retry_ts = job.failed_attempts.last().and_then(|attempt| attempt.retry_ts);
            let not_before = retry_ts.unwrap_or_else(|| runs.jobs.clock.now());
            Ok(json!(Recorded { relaunch: job.has_more(), not_before }))
        }
        AuditRequest::FinishRun { workflow_execution_id, failure } => {
            let why = failure.map(|caught| format!("the run cannot continue: {}: {}", caught.error, message(&caught)));
            let finished = runs.finish(&workflow_execution_id, why.as_deref());
            Ok(json!(Subject::of_run(&workflow_execution_id).scope(finished).await?))
        }
    }
}

/// Closes the run of an execution that was stopped, timed out or failed.
async fn execution_closed(runs: &RunSettlement, change: &ExecutionChange) -> Result<()> {
    let run = runs.run(&change.name).await?;
    if run.execution_status.is_terminal() {
        return runs.release_lease(&run).await;
    }
    // The event of a stopped execution does not have the reason; the description of the execution does.
    let reason = match runs.executions.state(&change.name).await? {
        Some(Execution::Closed { reason }) => reason,
        Some(Execution::Running) | None => change.status.clone(),
    };
    runs.close_by_reason(&run, &reason).await.map(drop)
}

/// The effect of a caught error on a job.
#[derive(Debug, PartialEq, Eq)]
enum Effect<'a> {
    /// None: by its record, the job has ended or continues.
    Settled,
    /// The attempt ended, which takes precedence over the error of its task.
    Ended(&'a AttemptState),
    /// The attempt is still active, and no task waits for it any more.
    Unfinished { state: &'a AttemptState, kind: FailureKind, message: String },
    /// The attempt failed before the engine received it. Another attempt may follow.
    Failed { kind: FailureKind, message: String },
}

fn decide<'a>(job: &JobRecord, state: Option<&'a AttemptState>, caught: &CaughtError) -> Effect<'a> {
    if job.execution_status.is_terminal() || (job.has_more() && !is_of_launcher(caught)) {
        return Effect::Settled;
    }
    let (kind, message) = read_error(caught, job);
    match state.map(|state| (state, &state.progress)) {
        Some((state, Progress::Finished | Progress::Failed { .. } | Progress::Aborted { .. })) => Effect::Ended(state),
        Some((state, Progress::Active)) => Effect::Unfinished { state, kind, message },
        None => Effect::Failed { kind, message },
    }
}

/// Converts an error of Step Functions, Lambda or shiftwork to a failure of the job.
///
/// The cause of a failed attempt is not in the execution; the job has it.
fn read_error(caught: &CaughtError, job: &JobRecord) -> (FailureKind, String) {
    if caught.error == "States.Timeout" {
        return (FailureKind::TimedOut, format!("did not end within its timeout of {} s", job.plan.timeout_seconds));
    }
    let of_attempt = job.failed_attempts.last().filter(|attempt| attempt.error_name == caught.error);
    let message = of_attempt.map_or_else(|| message(caught), |attempt| attempt.error_message.clone());
    match FailureKind::from_name(&caught.error) {
        Some(kind) => match kind.class() {
            Class::Terminal | Class::Duplicate => (kind, message),
            // The state machine has used up its retries of this error.
            Class::Retryable => {
                (FailureKind::LaunchFailed, format!("failed after all retries: {}: {message}", caught.error))
            }
        },
        None => (FailureKind::LaunchFailed, format!("{}: {message}", caught.error)),
    }
}

/// Returns true if the launcher failed, and not the task that waited for the end of an attempt. Step Functions has used up
/// its retries, so a launcher that fails before it claims the next attempt fails that attempt: every loop through the
/// state machine uses up an attempt.
fn is_of_launcher(caught: &CaughtError) -> bool {
    let is_of_task = caught.error.starts_with("States.") || FailureKind::from_name(&caught.error).is_some();
    !is_of_task || message_of_function(caught).is_some()
}

/// Message of a Lambda function that failed: its cause is `{"errorType": …, "errorMessage": …}`. The cause of a task that
/// failed is text.
fn message_of_function(caught: &CaughtError) -> Option<String> {
    let cause: Value = serde_json::from_str(&caught.cause).ok()?;
    cause["errorMessage"].as_str().map(str::to_owned)
}

fn message(caught: &CaughtError) -> String {
    match message_of_function(caught) {
        Some(message) => message,
        None if caught.cause.is_empty() => "the error has no cause".to_owned(),
        None => caught.cause.clone(),
    }
}

/// Maximum time for which one invocation waits for the end of a cancelled attempt.
const CANCELLED_WITHIN: Duration = Duration::from_secs(8);

/// Settles a job whose task failed, and returns its record after that.
async fn record_job(runs: &RunSettlement, run: &str, job_name: &str, caught: &CaughtError) -> Result<JobRecord> {
    let job = runs.jobs.job(run, job_name).await?;
    Subject::from(&job).scope(settle_task(runs, &job, caught)).await?;
    let job = runs.jobs.job(run, job_name).await?;
    Subject::from(&job).scope(cancel_superseded(runs, &job)).await?;
    Ok(job)
}

async fn settle_task(runs: &RunSettlement, job: &JobRecord, caught: &CaughtError) -> Result<()> {
    let state = match job.submitted_ts {
        Some(_) if !job.execution_status.is_terminal() => runs.jobs.engine(job)?.find(&job.current_attempt()).await?,
        Some(_) | None => None,
    };
    match decide(job, state.as_ref(), caught) {
        Effect::Settled => runs.jobs.follow(job).await,
        Effect::Ended(state) => runs.jobs.attempt_ended(state).await,
        Effect::Unfinished { state, kind, message } => cancel(runs, job, state, kind, &message).await,
        Effect::Failed { kind, message } => runs.jobs.submission_failed(job, kind, &message).await.map(drop),
    }
}

/// Cancels the attempt of a task that failed, and settles the job by the outcome of the attempt: an attempt that
/// finished before it was cancelled has committed and must not run again.
async fn cancel(
    runs: &RunSettlement,
    job: &JobRecord,
    active: &AttemptState,
    kind: FailureKind,
    why: &str,
) -> Result<()> {
    let (id, attempt) = (&active.id, &active.attempt);
    tracing::warn!(statement = %attempt, why, "cancelling the attempt of a task that failed");
    runs.jobs.cancelling(job, kind, why).await?;
    let engine = runs.jobs.engine(job)?;
    engine.cancel(id).await?;
    match engine.outcome(id, attempt, CANCELLED_WITHIN).await? {
        Some(AttemptState { progress: Progress::Active, .. }) => {
            let message = format!("{attempt} was cancelled but is still active: trying again");
            Err(Failure::new(FailureKind::Unavailable, message))
        }
        Some(ended) => runs.jobs.attempt_ended(&ended).await,
        None => {
            let progress = Progress::Aborted { reached: UNKNOWN_STEPS };
            runs.jobs.attempt_ended(&AttemptState { progress, ..active.clone() }).await
        }
    }
}

/// Cancels active attempts of a job that ended, or that continued with a later attempt. The ledger is written before,
/// so the events of the cancelled attempts have no effect, and a crash in between is repaired by a retry.
async fn cancel_superseded(runs: &RunSettlement, job: &JobRecord) -> Result<()> {
    let ended = |attempt: u32| job.execution_status.is_terminal() || attempt < job.attempt;
    let engine = runs.jobs.engine(job)?;
    for state in engine.active(&job.workflow_execution_id).await? {
        if state.attempt.job == job.plan.job_name && ended(state.attempt.attempt) {
            tracing::warn!(statement = %state.attempt, "cancelling an attempt that the ledger records as ended");
            engine.cancel(&state.id).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::{FailedAttempt, Status, audit::Resumed};

    use super::*;

    fn caught(error: &str, cause: &str) -> CaughtError {
        CaughtError { error: error.into(), cause: cause.into() }
    }

    fn running() -> JobRecord {
        let submitted_ts = Some(jiff::Timestamp::UNIX_EPOCH);
        JobRecord { execution_status: Status::Running, submitted_ts, ..a_job("load", &[]) }
    }

    fn state(progress: Progress) -> AttemptState {
        let (attempt, report) = (running().current_attempt(), shiftwork_ports::EngineReport::default());
        AttemptState { id: "id".into(), attempt, progress, session: None, report }
    }

    #[test]
    fn an_ended_attempt_takes_precedence_over_the_error_of_its_task() {
        let error = caught("States.Timeout", "");
        let failed = Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into(), reached: 0 };
        for progress in [Progress::Finished, failed, Progress::Aborted { reached: 0 }] {
            let state = state(progress);
            assert_eq!(decide(&running(), Some(&state), &error), Effect::Ended(&state));
        }
        let active = state(Progress::Active);
        assert!(matches!(
            decide(&running(), Some(&active), &error),
            Effect::Unfinished { kind: FailureKind::TimedOut, .. }
        ));
    }

    #[test]
    fn a_job_that_continues_by_its_record_is_not_changed() {
        let next_attempt = JobRecord { attempt: 2, submitted_ts: None, execution_status: Status::Pending, ..running() };
        let next_part = JobRecord { part: 2, submitted_ts: None, ..running() };
        let ended = JobRecord { execution_status: Status::Failed, ..running() };
        for job in [&next_attempt, &next_part, &ended] {
            for error in ["Shiftwork.Throttled", "States.Timeout"] {
                assert_eq!(decide(job, None, &caught(error, "")), Effect::Settled);
            }
        }
        assert!(next_attempt.has_more() && next_part.has_more() && !ended.has_more() && !running().has_more());
        let of_function = r#"{"errorType":"Shiftwork.Throttled","errorMessage":"slow down"}"#;
        for (error, cause, expected) in [
            ("Shiftwork.Throttled", of_function, FailureKind::LaunchFailed),
            ("Shiftwork.AccessDenied", &of_function.replace("Throttled", "AccessDenied"), FailureKind::AccessDenied),
            ("Runtime.ExitError", "", FailureKind::LaunchFailed),
            ("Lambda.TooManyRequestsException", "", FailureKind::LaunchFailed),
        ] {
            for job in [&next_attempt, &next_part] {
                let caught = caught(error, cause);
                assert!(
                    matches!(decide(job, None, &caught), Effect::Failed { kind, .. } if kind == expected),
                    "{error}: the launcher failed before it claimed the attempt"
                );
            }
            assert_eq!(decide(&ended, None, &caught(error, cause)), Effect::Settled);
        }
        let resumed = JobRecord { resumed: Some(Resumed { from: "before".into(), part: 2 }), ..next_part };
        assert!(!resumed.has_more(), "the job was not launched in this run");
    }

    #[test]
    fn failures_keep_the_message_of_the_error() {
        let mut job = running();
        job.plan.timeout_seconds = 60;
        let lambda = caught(
            "Shiftwork.AccessDenied",
            r#"{"errorType":"Shiftwork.AccessDenied","errorMessage":"no s3:GetObject"}"#,
        );
        assert_eq!(read_error(&lambda, &job), (FailureKind::AccessDenied, "no s3:GetObject".into()));
        let (kind, message) = read_error(&caught("States.Timeout", ""), &job);
        assert_eq!((kind, message.as_str()), (FailureKind::TimedOut, "did not end within its timeout of 60 s"));
        let (kind, message) = read_error(&caught("Shiftwork.Throttled", "slow down"), &job);
        assert_eq!(
            (kind, message.as_str()),
            (FailureKind::LaunchFailed, "failed after all retries: Shiftwork.Throttled: slow down")
        );
        assert_eq!(read_error(&caught("Lambda.Unknown", ""), &job).0, FailureKind::LaunchFailed);
    }

    #[test]
    fn the_message_of_a_failed_attempt_is_that_of_the_job() {
        let attempt = FailedAttempt {
            part: 1,
            retry_ts: None,
            times: shiftwork_protocol::Times::default(),
            attempt: 2,
            submitted_ts: None,
            ended_ts: jiff::Timestamp::UNIX_EPOCH,
            error_name: "Shiftwork.Throttled".into(),
            error_message: "ERROR: 1023".into(),
            statement_id: None,
        };
        let job = JobRecord { failed_attempts: vec![attempt], ..running() };
        for (error, expected) in [
            ("Shiftwork.Throttled", "failed after all retries: Shiftwork.Throttled: ERROR: 1023"),
            ("Shiftwork.Unavailable", "failed after all retries: Shiftwork.Unavailable: attempt 2 failed"),
        ] {
            let (kind, message) = read_error(&caught(error, "attempt 2 failed"), &job);
            assert_eq!((kind, message.as_str()), (FailureKind::LaunchFailed, expected));
        }
    }
}
