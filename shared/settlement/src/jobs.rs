use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use jiff::SignedDuration;
use shiftwork_ports::{
    Advanced, AttemptState, Clock, End, Engine, EngineReport, Engines, Ledger, Notices, Progress, Result, Step,
    TaskTokens, Totals, UNKNOWN_STEPS, log::Subject,
};
use shiftwork_protocol::{
    Attempt, Cancelling, Class, FailedAttempt, Failure, FailureKind, JobRecord, SkipReason, Status, Times,
    event::{Event, JobEnded},
    payload::JobEnd,
    secret,
};

use crate::{
    kind::Kinds,
    next::{Failed, failure_step, failures_for_dependents, next_attempt, skip_step, totals},
};

/// Number of dependents that are freed concurrently.
const CONCURRENT_WRITES: usize = 16;
/// Time after which no launcher can still submit: its Lambda timeout is 60 s. An attempt that its engine does not know
/// after this time was never submitted.
pub(crate) const LAUNCHER_LIFE: SignedDuration = SignedDuration::from_secs(120);

/// Time for which a launcher waits for the end of a part that another part follows, before it leaves the part to the
/// event of its end.
pub const LAUNCHER_WAITS: SignedDuration = SignedDuration::from_secs(15);
/// The part of [`LAUNCHER_WAITS`] in which the event is ignored. The rest allows for clocks that differ.
const LEFT_TO_LAUNCHER: SignedDuration = SignedDuration::from_secs(10);

/// Settles jobs: takes the steps that follow when an attempt or a job ends.
#[derive(Clone)]
pub struct JobSettlement {
    /// Records of jobs and runs.
    pub ledger: Arc<dyn Ledger>,
    /// Engines that run the attempts.
    pub engines: Engines,
    /// Task tokens of the state machine.
    pub tokens: Arc<dyn TaskTokens>,
    /// Publisher of events.
    pub notices: Arc<dyn Notices>,
    /// Steps of each kind of job around its attempts.
    pub kinds: Kinds,
    /// Source of the present time.
    pub clock: Arc<dyn Clock>,
}

/// The metric of loads that dropped rows; ChangeDroppedAlarm of the template watches it.
const DROPPED_METRIC: &str = "ChangeRowsDropped";

impl JobSettlement {
    /// Settles a job after one of its attempts ended: the job ends, or continues with its next part or its next attempt.
    ///
    /// Does nothing for an attempt that is active. Idempotent: an attempt that was settled before is not settled again.
    pub async fn attempt_ended(&self, state: &AttemptState) -> Result<()> {
        Subject::of_attempt(&state.attempt).scope(self.settle(state)).await
    }

    async fn settle(&self, state: &AttemptState) -> Result<()> {
        let AttemptState { id, attempt, progress, session, report } = state;
        let now = self.clock.now();
        let times = report.times(now);
        let step = match progress {
            Progress::Active => return Ok(()),
            Progress::Finished if attempt.is_last_part() => Step::End(End {
                status: Status::Succeeded,
                error: None,
                message: None,
                statement_id: Some(id.clone()),
                totals: totals(attempt, report, now),
            }),
            Progress::Finished => Step::NextPart {
                statement_id: Some(id.clone()),
                session_id: session.clone(),
                submitting: false,
                totals: totals(attempt, report, now),
            },
            Progress::Failed { kind, message, reached } => {
                let job = self.job(&attempt.run, &attempt.job).await?;
                let hidden = secret::hidden_error(&job.plan.work, id);
                let message = hidden.as_deref().unwrap_or(message);
                let another = match kind.class() {
                    Class::Terminal => self.kinds.of(&job.plan.work).failed(attempt, &job, message).await?,
                    Class::Retryable | Class::Duplicate => None,
                };
                let failed = Failed { kind: *kind, message, reached: *reached, id: Some(id), times };
                match another {
                    Some(words) => next_attempt(&job, &Failed { message: &words, ..failed }, None, now),
                    None => failure_step(&job, &failed, now),
                }
            }
            Progress::Aborted { reached } => {
                let job = self.job(&attempt.run, &attempt.job).await?;
                let own_reason = job
                    .cancelling
                    .as_ref()
                    .and_then(|why| Some((FailureKind::from_name(&why.error_name)?, why.error_message.as_str())));
                let other_reason = (FailureKind::StatementAborted, "the attempt was cancelled outside of shiftwork");
                let (kind, message) = own_reason.unwrap_or(other_reason);
                let failed = Failed { kind, message, reached: *reached, id: Some(id), times };
                failure_step(&job, &failed, now)
            }
        };
        let job = self.step(attempt, &step).await?;
        let kind = self.kinds.of(&job.plan.work);
        let finished = *progress == Progress::Finished && attempt.is_last_part();
        if finished && job.execution_status != Status::Succeeded {
            // The run was stopped, but the engine committed the attempt before it was cancelled. The committed rows stay.
            kind.committed(attempt, &job).await?;
        }
        let unsuccessful = matches!(progress, Progress::Failed { .. } | Progress::Aborted { .. });
        if unsuccessful && job.execution_status.is_terminal() && *attempt == job.current_attempt() {
            kind.confirmed_not_committed(&job).await?;
        }
        Ok(())
    }

    /// Takes the step to the next part of a job whose current part finished, and records the intent to submit that part.
    /// Returns the job if this call took the step: the caller must submit the part. `None`: another function took it.
    pub async fn go_on(&self, finished: &AttemptState) -> Result<Option<JobRecord>> {
        let AttemptState { id, attempt, session, report, progress: _ } = finished;
        let now = self.clock.now();
        let step = Step::NextPart {
            statement_id: Some(id.clone()),
            session_id: session.clone(),
            submitting: true,
            totals: totals(attempt, report, now),
        };
        let advanced = self.ledger.advance(attempt, &step, now).await?;
        Ok(advanced.fresh.then_some(advanced.job))
    }

    /// Settles a part that finished and that another part follows, as an event reports. Leaves it to the launcher that
    /// submitted it, if that launcher still waits for it.
    pub async fn part_finished(&self, attempt: &Attempt, id: &str) -> Result<()> {
        let settled = async {
            let job = self.job(&attempt.run, &attempt.job).await?;
            Subject::from(&job).scope(self.settle_part(&job, attempt, id)).await
        };
        Subject::of_attempt(attempt).scope(settled).await
    }

    async fn settle_part(&self, job: &JobRecord, attempt: &Attempt, id: &str) -> Result<()> {
        if job.current_attempt() != *attempt {
            // Another function took the step. It may have stopped before it returned the job to the Launch state.
            return if job.execution_status.is_terminal() { Ok(()) } else { self.resume(job).await };
        }
        let waits = |since: jiff::Timestamp| self.clock.now().duration_since(since) < LEFT_TO_LAUNCHER;
        if job.submitted_ts.is_some_and(waits) {
            return Ok(());
        }
        match self.engine(job)?.outcome(id, attempt, std::time::Duration::ZERO).await? {
            Some(state) => self.settle(&state).await,
            None => self.follow(job).await,
        }
    }

    /// Settles an attempt whose last part finished, as an event reports. The event has neither times nor the rows of each
    /// statement, so Redshift is asked for them. If Redshift does not respond, the job is settled without them: no other
    /// step needs them.
    pub async fn statement_finished(&self, attempt: &Attempt, id: &str) -> Result<()> {
        let settled = async {
            let report = self.engines.warehouse.report(id, attempt).await.unwrap_or_else(|failure| {
                let name = failure.kind.name();
                tracing::warn!(failure = name, "the times and rows of the statement cannot be read: {failure}");
                EngineReport::default()
            });
            let (id, attempt, progress) = (id.to_owned(), attempt.clone(), Progress::Finished);
            self.settle(&AttemptState { id, attempt, progress, session: None, report }).await
        };
        Subject::of_attempt(attempt).scope(settled).await
    }

    /// Settles an attempt that failed or was cancelled, as an event reports. Asks the engine for the reason.
    pub async fn attempt_unsuccessful(&self, attempt: &Attempt, id: &str) -> Result<()> {
        Subject::of_attempt(attempt).scope(self.settle_unsuccessful(attempt, id)).await
    }

    async fn settle_unsuccessful(&self, attempt: &Attempt, id: &str) -> Result<()> {
        let job = self.job(&attempt.run, &attempt.job).await?;
        let state = self.engine(&job)?.outcome(id, attempt, std::time::Duration::ZERO).await?;
        let unknown = || AttemptState {
            id: id.into(),
            attempt: attempt.clone(),
            progress: Progress::Failed {
                kind: FailureKind::StatementFailed,
                message: "the engine reported a failure, but no longer has the reason".into(),
                reached: UNKNOWN_STEPS,
            },
            session: None,
            report: EngineReport::default(),
        };
        self.settle(&state.unwrap_or_else(unknown)).await
    }

    /// Returns the engine that runs the attempts of a job.
    ///
    /// # Errors
    /// [`FailureKind::Corrupt`]: the job is a barrier.
    pub fn engine<'a>(&'a self, job: &'a JobRecord) -> Result<Box<dyn Engine + 'a>> {
        self.engines
            .of(&job.plan.work)
            .ok_or_else(|| Failure::corrupt(format!("job {} is a barrier, which has no attempts", job.plan.job_name)))
    }

    /// Settles the outcome of the last attempt of a job that ended, if its kind needs the outcome. It can be open
    /// because a run that is stopped does not wait for its attempts, and because events can be lost. Returns true if no
    /// outcome is open any more.
    pub async fn resolve(&self, job: &JobRecord) -> Result<bool> {
        Subject::from(job).scope(self.resolve_outcome(job)).await
    }

    async fn resolve_outcome(&self, job: &JobRecord) -> Result<bool> {
        let kind = self.kinds.of(&job.plan.work);
        if kind.resolved(job).await? {
            return Ok(true);
        }
        if !job.execution_status.is_terminal() {
            return Ok(false);
        }
        match self.engine(job)?.find(&job.current_attempt()).await? {
            Some(AttemptState { progress: Progress::Active, .. }) => Ok(false),
            Some(state) => self.attempt_ended(&state).await.map(|()| true),
            // A launcher may still submit the attempt.
            None if job.execution_end_ts.is_some_and(|end| self.clock.now().duration_since(end) < LAUNCHER_LIFE) => {
                Ok(false)
            }
            None => kind.confirmed_not_committed(job).await.map(|()| true),
        }
    }

    /// Records that the current attempt is about to be cancelled, and the reason. The reason is written before the
    /// cancellation, so that every function that settles the cancelled attempt has it.
    pub async fn cancelling(&self, job: &JobRecord, kind: FailureKind, message: &str) -> Result<()> {
        let why = Cancelling { error_name: kind.name().into(), error_message: message.into() };
        self.ledger.advance(&job.current_attempt(), &Step::Cancel(why), self.clock.now()).await?;
        Ok(())
    }

    /// Records a failure before the engine received the attempt. Returns the job after the step: pending if it has
    /// another attempt.
    pub async fn submission_failed(&self, job: &JobRecord, kind: FailureKind, message: &str) -> Result<JobRecord> {
        let id = job.statement_id.as_deref();
        let failed = Failed { kind, message, reached: 0, id, times: Times::default() };
        let step = failure_step(job, &failed, self.clock.now());
        self.step(&job.current_attempt(), &step).await
    }

    /// Skips a job that has not been submitted.
    pub async fn skip(&self, job: &JobRecord, reason: SkipReason) -> Result<JobRecord> {
        self.step(&job.current_attempt(), &skip_step(job, reason)).await
    }

    /// Ends a job without an attempt's outcome: aborted or failed.
    pub async fn end(
        &self,
        job: &JobRecord,
        status: Status,
        error: Option<FailureKind>,
        why: &str,
    ) -> Result<JobRecord> {
        let statement_id = job.statement_id.clone();
        let end = End { status, error, message: Some(why.into()), statement_id, totals: Totals::default() };
        self.step(&job.current_attempt(), &Step::End(end)).await
    }

    /// Ends a job as SUCCEEDED because there is nothing to do, without an attempt on its engine.
    pub async fn nothing_to_do(&self, job: &JobRecord) -> Result<JobRecord> {
        let totals = Totals { rows: Some(0), ..Totals::default() };
        let end = End { status: Status::Succeeded, error: None, message: None, statement_id: None, totals };
        self.step(&job.current_attempt(), &Step::End(end)).await
    }

    /// Takes the step unless it was taken before, and then does what follows from the job's record.
    async fn step(&self, at: &Attempt, step: &Step) -> Result<JobRecord> {
        let Advanced { fresh, job } = self.ledger.advance(at, step, self.clock.now()).await?;
        let follow = async {
            if fresh {
                // The message of an error can quote data, so it is only in the audit record.
                tracing::info!(
                    status = %job.execution_status,
                    failure = job.error_name,
                    queued_us = job.times.queued_us,
                    ran_us = job.times.ran_us,
                    noticed_us = job.times.noticed_us,
                    rows = job.rows,
                    "job advanced"
                );
            }
            self.follow(&job).await
        };
        Subject::from(&job).scope(follow).await?;
        Ok(job)
    }

    /// Does what follows from a job's record, whichever function wrote it. Idempotent, except that the event is published
    /// again.
    pub async fn follow(&self, job: &JobRecord) -> Result<()> {
        let counted = self.with_row_count(job).await;
        let job = counted.as_ref().unwrap_or(job);
        if let Some(dropped) = job.dropped_rows() {
            tracing::warn!(
                metric = DROPPED_METRIC,
                dropped,
                "the load dropped rows of a topic below the watermark: if the topic was created again, raise `source.generation` of the \
                 contract and let the source send them again"
            );
        }
        self.resume(job).await?;
        if job.execution_status.is_terminal() { self.publish(job).await } else { Ok(()) }
    }

    /// Records the number of rows of a job whose kind counts them in its own way, and returns the changed record. No
    /// other step needs the number, so a failure is only logged.
    async fn with_row_count(&self, job: &JobRecord) -> Option<JobRecord> {
        let rows = self.kinds.of(&job.plan.work).rows(job)?;
        if job.execution_status != Status::Succeeded || job.rows == Some(rows) {
            return None;
        }
        let counted = self.ledger.count(&job.workflow_execution_id, &job.plan.job_name, rows).await;
        counted
            .inspect_err(|failure| {
                tracing::warn!(failure = failure.kind.name(), "the rows of the job cannot be recorded: {failure}");
            })
            .ok()
    }

    /// Does what [`JobSettlement::follow`] does, without publishing the event.
    pub(crate) async fn resume(&self, job: &JobRecord) -> Result<()> {
        match job.execution_status {
            Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
                // A job that succeeded without an attempt had nothing to do. This comes before freeing the dependents,
                // so that they do not find the files of this job.
                let kind = self.kinds.of(&job.plan.work);
                if job.execution_status == Status::Succeeded && job.statement_id.is_some() {
                    kind.committed(&job.current_attempt(), job).await?;
                } else {
                    kind.not_committed(job).await?;
                }
                self.free_dependents(job).await?;
                self.return_slots(job).await?;
                self.complete_task(job).await
            }
            Status::Pending | Status::Running if job.submitted_ts.is_none() => self.return_to_launch(job).await,
            Status::Planning | Status::Queued | Status::Pending | Status::Running => Ok(()),
        }
    }

    /// Removes the ended job from the `waiting_on` of its dependents. A dependent that waits for no other job may
    /// launch; a barrier ends at once and frees its own dependents.
    fn free_dependents<'a>(&'a self, job: &'a JobRecord) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let failed = &failures_for_dependents(job);
            stream::iter(job.plan.dependents.clone())
                .map(|dependent| async move {
                    let (run, upstream) = (&job.workflow_execution_id, &job.plan.job_name);
                    let admitted = async {
                        let freed = self.ledger.free(run, &dependent, upstream, failed).await?;
                        self.admit(&freed).await
                    };
                    Subject::of_job(run, &dependent).scope(admitted).await
                })
                .buffer_unordered(CONCURRENT_WRITES)
                .try_collect::<()>()
                .await
        })
    }

    /// Lets a job launch if it waits for no upstream and its Await state has started. Requests the slots of a job that waits
    /// for them.
    pub async fn admit(&self, job: &JobRecord) -> Result<()> {
        if job.waits_for_slot() && !job.execution_status.is_terminal() {
            return self.request_slots(job).await;
        }
        if !job.waiting_on.is_empty() {
            return Ok(());
        }
        match &job.await_token {
            _ if job.plan.work.is_barrier() => self.end_barrier(job).await,
            Some(token) => self.tokens.release(token).await,
            None => Ok(()),
        }
    }

    /// Ends a barrier. It is skipped if a job before it failed, which passes the failure on to the barrier's dependents.
    async fn end_barrier(&self, barrier: &JobRecord) -> Result<()> {
        let end = if barrier.failed_upstreams.is_empty() {
            Step::End(End {
                status: Status::Succeeded,
                error: None,
                message: None,
                statement_id: None,
                totals: Totals::default(),
            })
        } else {
            skip_step(barrier, SkipReason::UpstreamFailed)
        };
        let advanced = self.ledger.advance(&barrier.current_attempt(), &end, self.clock.now()).await?;
        self.free_dependents(&advanced.job).await
    }

    /// Completes the Launch task of the job. The task succeeds even if the job failed: the audit table has the failure,
    /// and a failed task would stop the other jobs of the Map.
    async fn complete_task(&self, job: &JobRecord) -> Result<()> {
        let Some(token) = &job.task_token else { return Ok(()) };
        self.tokens
            .end(token, &JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status })
            .await
    }

    /// Returns the task of a job with another part or attempt to the Launch state: after a conflict or a limit with a
    /// pause by the state machine's `Retry`, after another failure with the pause that the step recorded, and otherwise
    /// at once.
    async fn return_to_launch(&self, job: &JobRecord) -> Result<()> {
        let (Some(token), true) = (&job.task_token, job.has_more()) else { return Ok(()) };
        let just_failed = |last: &&FailedAttempt| last.attempt + 1 == job.attempt && last.part == job.part;
        let Some(last) = job.failed_attempts.last().filter(just_failed) else {
            return self.tokens.proceed(token).await;
        };
        // The message of Redshift can quote data, so it does not go to the history of the execution.
        let cause = format!("attempt {} failed: its message is in the audit record of the job", last.attempt);
        match (FailureKind::from_name(&last.error_name), last.retry_ts) {
            (Some(kind), _) if kind.class() == Class::Retryable => {
                self.tokens.fail(token, &Failure::new(kind, cause)).await
            }
            (_, Some(until)) if until > self.clock.now() => self.tokens.pause(token, until).await,
            (Some(_) | None, Some(_) | None) => self.tokens.proceed(token).await,
        }
    }

    async fn publish(&self, job: &JobRecord) -> Result<()> {
        if job.plan.work.is_barrier() {
            return Ok(());
        }
        let ended = Event::Job(JobEnded::from(job));
        let events: Vec<_> =
            [Some(ended), self.kinds.of(&job.plan.work).event(job).await?].into_iter().flatten().collect();
        self.notices.publish(&events).await
    }

    /// Reads a job.
    ///
    /// # Errors
    /// [`FailureKind::Corrupt`]: the job does not exist.
    pub async fn job(&self, run: &str, job: &str) -> Result<JobRecord> {
        let found = self.ledger.job(run, job).await?;
        found.ok_or_else(|| Failure::corrupt(format!("run {run} has no job {job} in the job audit table")))
    }
}
