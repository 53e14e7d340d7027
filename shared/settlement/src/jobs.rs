use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use jiff::SignedDuration;
use shiftwork_ports::{AttemptState, Clock, End, Engine, Engines, Ledger, Notices, Progress, Result, Step, TaskTokens};
use shiftwork_protocol::{
    Attempt, Cancelling, Class, Failure, FailureKind, JobRecord, Status,
    event::{Event, JobEnded},
    payload::JobEnd,
};

use crate::{
    kind::Kinds,
    next::{failure_step, next_attempt},
};

/// Dependents are freed this many at a time.
const FREEING: usize = 16;
/// No launcher lives longer: its Lambda timeout is 60 s. An attempt that its engine does not know by then was never submitted.
pub(crate) const LAUNCHER_LIFE: SignedDuration = SignedDuration::from_secs(120);

/// Settles jobs.
#[derive(Clone)]
pub struct JobSettlement {
    /// Where the jobs stand.
    pub ledger: Arc<dyn Ledger>,
    /// What runs their attempts.
    pub engines: Engines,
    /// The tasks of the state machine that wait for them.
    pub tokens: Arc<dyn TaskTokens>,
    /// Publishes their ends.
    pub notices: Arc<dyn Notices>,
    /// What each kind of job does around its attempts.
    pub kinds: Kinds,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl JobSettlement {
    /// **An attempt ended.** The job takes its next step: its end, its next part, or its next attempt.
    ///
    /// Nothing happens for an attempt that is still active, and nothing twice for one that was settled before.
    pub async fn attempt_ended(&self, state: &AttemptState) -> Result<()> {
        let AttemptState { id, attempt, progress } = state;
        let step = match progress {
            Progress::Active => return Ok(()),
            Progress::Finished { rows } if attempt.is_last_part() => Step::End(End {
                status: Status::Succeeded,
                error: None,
                message: None,
                statement_id: Some(id.clone()),
                rows: *rows,
            }),
            Progress::Finished { .. } => Step::NextPart { statement_id: Some(id.clone()) },
            Progress::Failed { kind, message } => {
                let job = self.job(&attempt.run, &attempt.job).await?;
                let another = match kind.class() {
                    Class::Terminal => self.kinds.of(&job.plan.work).failed(attempt, &job, message).await?,
                    Class::Retryable | Class::Duplicate => None,
                };
                match another {
                    Some(words) => next_attempt(&job, *kind, &words, Some(id), self.clock.now()),
                    None => failure_step(&job, *kind, message, Some(id), self.clock.now()),
                }
            }
            Progress::Aborted => {
                let job = self.job(&attempt.run, &attempt.job).await?;
                let ours = job
                    .cancelling
                    .as_ref()
                    .and_then(|why| Some((FailureKind::from_name(&why.error_name)?, why.error_message.as_str())));
                let theirs = (FailureKind::StatementAborted, "the statement was cancelled in Redshift");
                let (kind, message) = ours.unwrap_or(theirs);
                failure_step(&job, kind, message, Some(id), self.clock.now())
            }
        };
        let job = self.step(attempt, &step).await?;
        let kind = self.kinds.of(&job.plan.work);
        let finished = matches!(progress, Progress::Finished { .. }) && attempt.is_last_part();
        if finished && job.execution_status != Status::Succeeded {
            // The run was stopped, and the engine was faster: what the attempt wrote is there all the same.
            kind.committed(attempt, &job).await?;
        }
        let in_vain = matches!(progress, Progress::Failed { .. } | Progress::Aborted);
        if in_vain && job.execution_status.is_terminal() && *attempt == job.current_attempt() {
            kind.ended_in_vain(&job).await?;
        }
        Ok(())
    }

    /// An attempt ended otherwise than well, as an event says; its engine knows more.
    pub async fn attempt_unwell(&self, attempt: &Attempt, id: &str) -> Result<()> {
        let job = self.job(&attempt.run, &attempt.job).await?;
        let state = self.engine(&job)?.outcome(id, attempt, std::time::Duration::ZERO).await?;
        let unknown = || AttemptState {
            id: id.into(),
            attempt: attempt.clone(),
            progress: Progress::Failed {
                kind: FailureKind::StatementFailed,
                message: "Redshift said that it failed, and no longer knows why".into(),
            },
        };
        self.attempt_ended(&state.unwrap_or_else(unknown)).await
    }

    /// The engine of a job that is submitted.
    pub fn engine<'a>(&'a self, job: &'a JobRecord) -> Result<Box<dyn Engine + 'a>> {
        self.engines.of(&job.plan.work).ok_or_else(|| {
            Failure::corrupt(format!("{} is a barrier, and nothing is ever submitted for it", job.plan.job_name))
        })
    }

    /// Finds out what became of the last attempt of a job that ended, if its kind needs to know: a run that is stopped does not
    /// wait for its attempts, and events are lost. Returns whether nothing is left to find out.
    pub async fn resolve(&self, job: &JobRecord) -> Result<bool> {
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
            // A launcher may be about to submit it.
            None if job.execution_end_ts.is_some_and(|end| self.clock.now().duration_since(end) < LAUNCHER_LIFE) => {
                Ok(false)
            }
            None => kind.ended_in_vain(job).await.map(|()| true),
        }
    }

    /// The present attempt is about to be cancelled. The reason is written first, so that the function that hears of the end
    /// knows what it means.
    pub async fn cancelling(&self, job: &JobRecord, kind: FailureKind, message: &str) -> Result<()> {
        let why = Cancelling { error_name: kind.name().into(), error_message: message.into() };
        self.ledger.advance(&job.current_attempt(), &Step::Cancel(why), self.clock.now()).await?;
        Ok(())
    }

    /// An attempt failed before its engine had it: a launcher could not submit. Returns the job as it then stands: pending again
    /// if it has another attempt.
    pub async fn attempt_failed(&self, job: &JobRecord, kind: FailureKind, message: &str) -> Result<JobRecord> {
        let step = failure_step(job, kind, message, job.statement_id.as_deref(), self.clock.now());
        self.step(&job.current_attempt(), &step).await
    }

    /// A job ends by our own decision: skipped, aborted, given up.
    pub async fn end(
        &self,
        job: &JobRecord,
        status: Status,
        error: Option<FailureKind>,
        why: &str,
    ) -> Result<JobRecord> {
        let end = End { status, error, message: Some(why.into()), statement_id: job.statement_id.clone(), rows: None };
        self.step(&job.current_attempt(), &Step::End(end)).await
    }

    /// A job found nothing to do, and succeeds without an attempt on its engine.
    pub async fn nothing_to_do(&self, job: &JobRecord) -> Result<JobRecord> {
        let end = End { status: Status::Succeeded, error: None, message: None, statement_id: None, rows: Some(0) };
        self.step(&job.current_attempt(), &Step::End(end)).await
    }

    /// Takes the step, if it is still to be taken, and does what follows from where the job then stands.
    async fn step(&self, at: &Attempt, step: &Step) -> Result<JobRecord> {
        let advanced = self.ledger.advance(at, step, self.clock.now()).await?;
        if advanced.fresh {
            tracing::info!(run = at.run, job = at.job, attempt = at.attempt, status = %advanced.job.execution_status, error = advanced.job.error_message, "job advanced");
        }
        self.follow(&advanced.job).await?;
        Ok(advanced.job)
    }

    /// Does what follows from a job's record, whoever wrote it. Doing it again changes nothing but a copy of its event.
    pub async fn follow(&self, job: &JobRecord) -> Result<()> {
        let counted = self.counted(job).await;
        let job = counted.as_ref().unwrap_or(job);
        self.resume(job).await?;
        if job.execution_status.is_terminal() { self.publish(job).await } else { Ok(()) }
    }

    /// Writes down how many rows a job has loaded where its kind knows better than the event of its attempt, and returns the job
    /// with them. Nothing depends on the number: a failure is logged.
    async fn counted(&self, job: &JobRecord) -> Option<JobRecord> {
        let counted = async {
            match self.kinds.of(&job.plan.work).rows(job).await? {
                Some(rows) => self.ledger.count(&job.workflow_execution_id, &job.plan.job_name, rows).await.map(Some),
                None => Ok(None),
            }
        };
        counted.await.unwrap_or_else(|failure: Failure| {
            tracing::warn!(%failure, job = job.plan.job_name, "the rows of a job are not counted");
            None
        })
    }

    /// [`JobSettlement::follow`] without the event: what the state machine must not miss.
    pub(crate) async fn resume(&self, job: &JobRecord) -> Result<()> {
        match job.execution_status {
            Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
                // A success without an attempt found nothing to do. Before the dependents: they must not meet the files again.
                let kind = self.kinds.of(&job.plan.work);
                if job.execution_status == Status::Succeeded && job.statement_id.is_some() {
                    kind.committed(&job.current_attempt(), job).await?;
                } else {
                    kind.not_committed(job).await?;
                }
                self.free_dependents(job).await?;
                self.tell_task(job).await
            }
            Status::Pending | Status::Running if job.submitted_ts.is_none() => self.send_back(job).await,
            Status::Planning | Status::Queued | Status::Pending | Status::Running => Ok(()),
        }
    }

    /// The job ended: those that wait on it wait no longer. A job that waits on nothing any more may launch; a barrier
    /// just ends, and frees its own dependents in turn.
    fn free_dependents<'a>(&'a self, job: &'a JobRecord) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let succeeded = job.execution_status == Status::Succeeded;
            stream::iter(job.plan.dependents.clone())
                .map(|dependent| async move {
                    let (run, upstream) = (&job.workflow_execution_id, &job.plan.job_name);
                    let freed = self.ledger.free(run, &dependent, upstream, succeeded).await?;
                    self.admit(&freed).await
                })
                .buffer_unordered(FREEING)
                .try_collect::<()>()
                .await
        })
    }

    /// A job that waits on nothing any more may launch, if it is waiting for the word.
    pub(crate) async fn admit(&self, job: &JobRecord) -> Result<()> {
        if !job.waiting_on.is_empty() {
            return Ok(());
        }
        match &job.await_token {
            _ if job.plan.work.is_barrier() => self.pass(job).await,
            Some(token) => self.tokens.release(token).await,
            None => Ok(()),
        }
    }

    /// A barrier ends as its upstreams did, so that a failure passes through it.
    async fn pass(&self, barrier: &JobRecord) -> Result<()> {
        let failed = barrier.failed_upstreams.first();
        let end = Step::End(End {
            status: if failed.is_none() { Status::Succeeded } else { Status::Skipped },
            error: None,
            message: failed.map(|upstream| format!("{upstream} did not succeed")),
            statement_id: None,
            rows: None,
        });
        let advanced = self.ledger.advance(&barrier.current_attempt(), &end, self.clock.now()).await?;
        self.free_dependents(&advanced.job).await
    }

    /// Ends the task that waits for the job. It ends well even if the job did not: the failure is in the audit, and an
    /// error here would stop the siblings.
    async fn tell_task(&self, job: &JobRecord) -> Result<()> {
        let Some(token) = &job.task_token else { return Ok(()) };
        self.tokens
            .end(token, &JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status })
            .await
    }

    /// The job has something left to submit: its task goes back to Launch. After a conflict or a limit it does so with a
    /// pause, through the state machine's `Retry`; otherwise at once.
    async fn send_back(&self, job: &JobRecord) -> Result<()> {
        let (Some(token), true) = (&job.task_token, job.attempt > 1 || job.part > 1) else { return Ok(()) };
        match job
            .failed_attempts
            .last()
            .filter(|_| job.part == 1)
            .map(|last| (FailureKind::from_name(&last.error_name), last))
        {
            Some((Some(kind), last)) if kind.class() == Class::Retryable => {
                self.tokens.fail(token, &Failure::new(kind, &last.error_message)).await
            }
            Some((Some(_) | None, _)) | None => self.tokens.proceed(token).await,
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

    /// A job that must exist.
    pub async fn job(&self, run: &str, job: &str) -> Result<JobRecord> {
        let found = self.ledger.job(run, job).await?;
        found.ok_or_else(|| Failure::corrupt(format!("run {run} has no job {job} in the job audit table")))
    }
}
