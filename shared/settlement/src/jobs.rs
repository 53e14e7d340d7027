use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use shiftwork_feeds::Batches;
use shiftwork_ports::{Clock, End, Ledger, Notices, Progress, Queries, Result, Staging, Statements, Step, TaskTokens};
use shiftwork_protocol::{
    Attempt, Cancelling, Class, Failure, FailureKind, JobRecord, Status,
    event::{Event, JobEnded},
    payload::JobEnd,
};

use crate::{
    classify,
    next::{failure_step, next_attempt},
};

/// Dependents are freed this many at a time.
const FREEING: usize = 16;

/// Settles jobs.
#[derive(Clone)]
pub struct JobSettlement {
    /// Where the job stands.
    pub ledger: Arc<dyn Ledger>,
    /// What Redshift knows of its statement.
    pub statements: Arc<dyn Statements>,
    /// Who waits for it.
    pub tokens: Arc<dyn TaskTokens>,
    /// Who wants to hear of it.
    pub notices: Arc<dyn Notices>,
    /// The files that its statement loaded.
    pub staging: Arc<dyn Staging>,
    /// Where the files of feeds stand.
    pub files: Batches,
    /// What Redshift says about a load that failed.
    pub queries: Arc<dyn Queries>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl JobSettlement {
    /// **A Redshift statement ended.** The job takes its next step: its end, its next part, or its next attempt.
    ///
    /// Nothing happens for a statement that is still active, and nothing twice for one that was settled before.
    pub async fn statement_ended(&self, name: &Attempt, id: &str, progress: &Progress) -> Result<()> {
        let step = match progress {
            Progress::Active => return Ok(()),
            Progress::Finished { rows } if name.is_last_part() => Step::End(End {
                status: Status::Succeeded,
                error: None,
                message: None,
                statement_id: Some(id.into()),
                rows: *rows,
            }),
            Progress::Finished { .. } => Step::NextPart { statement_id: Some(id.into()) },
            Progress::Failed { message } => {
                let (job, kind) = (self.job(&name.run, &name.job).await?, classify(message));
                let mended = match kind.class() {
                    Class::Terminal => self.files_refused(name, &job, message).await?,
                    Class::Retryable | Class::Duplicate => None,
                };
                match mended {
                    Some(words) => next_attempt(&job, kind, &words, Some(id), self.clock.now()),
                    None => failure_step(&job, kind, message, Some(id), self.clock.now()),
                }
            }
            Progress::Aborted => {
                let job = self.job(&name.run, &name.job).await?;
                let ours = job
                    .cancelling
                    .as_ref()
                    .and_then(|why| Some((FailureKind::from_name(&why.error_name)?, why.error_message.as_str())));
                let theirs = (FailureKind::StatementAborted, "the statement was cancelled in Redshift");
                let (kind, message) = ours.unwrap_or(theirs);
                failure_step(&job, kind, message, Some(id), self.clock.now())
            }
        };
        let job = self.step(name, &step).await?;
        let finished = matches!(progress, Progress::Finished { .. }) && name.is_last_part();
        if finished && job.execution_status != Status::Succeeded {
            // The run was stopped, and Redshift was faster: what the statement wrote is there all the same.
            self.committed(name, &job).await?;
        }
        let in_vain = matches!(progress, Progress::Failed { .. } | Progress::Aborted);
        if in_vain && job.execution_status.is_terminal() && *name == job.current_attempt() {
            self.files_left(&job).await?;
        }
        Ok(())
    }

    /// A statement of ours is about to be cancelled: the reason is written first, so that whoever hears of its end knows
    /// what it means.
    pub async fn cancelling(&self, job: &JobRecord, kind: FailureKind, message: &str) -> Result<()> {
        let why = Cancelling { error_name: kind.name().into(), error_message: message.into() };
        self.ledger.advance(&job.current_attempt(), &Step::Cancel(why), self.clock.now()).await?;
        Ok(())
    }

    /// An attempt failed that left no statement: a launcher that could not submit. Answers the job as it
    /// then stands: pending again if it has another attempt.
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

    /// A job found nothing to do, and ends well without a statement.
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

    /// [`JobSettlement::follow`] without the event: what the state machine must not miss.
    pub(crate) async fn resume(&self, job: &JobRecord) -> Result<()> {
        match job.execution_status {
            Status::Succeeded | Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
                // A success without a statement found nothing to do. Before the dependents: they must not meet the files again.
                if job.execution_status == Status::Succeeded && job.statement_id.is_some() {
                    self.committed(&job.current_attempt(), job).await?;
                } else {
                    self.not_committed(job).await?;
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
        let events: Vec<_> = [Some(ended), self.table_refreshed(job).await?].into_iter().flatten().collect();
        self.notices.publish(&events).await
    }

    /// A job that must exist.
    pub async fn job(&self, run: &str, job: &str) -> Result<JobRecord> {
        let found = self.ledger.job(run, job).await?;
        found.ok_or_else(|| Failure::corrupt(format!("run {run} has no job {job} in the job audit table")))
    }
}
