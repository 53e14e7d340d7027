//! Opens a planned run, or decides what to do if another run of the workflow holds the lease.

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Execution, LeaseRequest, Opened, Opening, Result, log::Subject};
use shiftwork_protocol::{
    Class, Failure, FailureKind, RunRecord, Status,
    audit::Origin,
    payload::{RunInput, RunResponse},
    secret,
    workflow::OnOverlap,
};
use shiftwork_settlement::lease_until_begun;

use crate::{
    IdentifiedRequest, Trigger,
    plan::{self, Planned},
    secrets,
};

/// Time for which a run that was opened but not started is left to its sweep. After it, another request closes the run.
const START_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// Maximum number of tries to open the run while other runs take and release the lease. After them, the request fails
/// and is retried as a whole.
const TRIES: usize = 4;

/// The state of the run that holds the lease.
#[derive(Debug, PartialEq)]
enum Holder<'a> {
    /// The run is in progress.
    InProgress,
    /// The run ended but did not release the lease.
    Ended(&'a RunRecord),
    /// The run cannot end by itself, for this reason.
    Stalled(&'a RunRecord, String),
    /// The run has no record, and its lease expired or its execution ended.
    Abandoned,
}

/// Decides the state of the run that holds the lease.
fn decide<'a>(
    holder: Option<&'a RunRecord>,
    execution: Option<&Execution>,
    expires: Timestamp,
    now: Timestamp,
) -> Holder<'a> {
    let Some(holder) = holder else {
        let has_ended = matches!(execution, Some(Execution::Closed { .. }));
        return if has_ended || now > expires { Holder::Abandoned } else { Holder::InProgress };
    };
    if holder.execution_status.is_terminal() {
        return Holder::Ended(holder);
    }
    match execution {
        Some(Execution::Closed { reason }) => Holder::Stalled(holder, reason.clone()),
        Some(Execution::Running) if now > expires => {
            Holder::Stalled(holder, format!("ABORTED: its lease expired at {expires}"))
        }
        None if now > expires || now.duration_since(holder.created_ts) > START_WITHIN => {
            Holder::Stalled(holder, "ABORTED: its execution was never started".into())
        }
        Some(Execution::Running) | None => Holder::InProgress,
    }
}

impl Trigger {
    /// Starts the run of a request, or responds to a request that cannot become a run.
    pub(crate) async fn start(&self, mut requested: IdentifiedRequest) -> Result<RunResponse> {
        self.bound(&mut requested.request);
        // The request of a restart need not name the workflow.
        let subject = match requested.request.workflow_id.as_str() {
            "" => Subject::of_run(&requested.run),
            workflow => Subject::of_run(&requested.run).in_workflow(workflow),
        };
        subject.scope(self.plan_and_open(requested)).await
    }

    async fn plan_and_open(&self, requested: IdentifiedRequest) -> Result<RunResponse> {
        let now = self.runs.jobs.clock.now();
        let planned = match self.plan(&requested, now).await {
            Ok(planned) => planned,
            Err(failure) => return self.refuse(&requested, failure, now).await,
        };
        for _ in 0..TRIES {
            let take = LeaseRequest::Take { until: lease_until_begun(now) };
            let opening = Opening { run: planned.run.clone(), jobs: planned.jobs.clone(), lease: take };
            match self.runs.jobs.ledger.open(&opening).await? {
                Opened::New => {
                    let started = async {
                        tracing::info!(jobs = planned.run.jobs, "run opened");
                        self.watch_and_start(&planned.run).await
                    };
                    return Subject::from(&planned.run).scope(started).await;
                }
                Opened::Existing(run) => return self.existing(&requested, &run).await,
                Opened::BeingPlanned => return Err(planned_elsewhere(&requested)),
                Opened::Held { holder, expires_ts } => {
                    if let Some(response) = self.held(&requested, &planned, &holder, expires_ts, now).await? {
                        return Ok(response);
                    }
                }
                Opened::Free => {}
            }
        }
        let message = format!(
            "the lease of {} went to another run {TRIES} times while this run was being opened",
            planned.run.workflow_id
        );
        Err(Failure::new(FailureKind::Unavailable, message))
    }

    /// Creates the schedule of the sweeps and then starts the execution. If the function crashes in between, the sweep
    /// starts it.
    async fn watch_and_start(&self, run: &RunRecord) -> Result<RunResponse> {
        let id = &run.workflow_execution_id;
        self.runs.sweeps.watch(id, self.runs.jobs.clock.now()).await?;
        self.runs.executions.start(&RunInput { workflow_execution_id: id.clone() }).await?;
        Ok(response(run, None))
    }

    /// Handles a request whose run already exists. An earlier invocation may have crashed before it started the run.
    async fn existing(&self, requested: &IdentifiedRequest, run: &RunRecord) -> Result<RunResponse> {
        let secret = secret::names(&run.parameters).chain(run.request.iter().flat_map(secrets::masks));
        if run.request_sha256 != plan::digest(&requested.request, secret) {
            let message = format!(
                "run {} of workflow {} already exists and was requested with other values: use another `workflow_execution_id`",
                requested.run, run.workflow_id
            );
            return Err(Failure::new(FailureKind::InvalidRequest, message));
        }
        match run.execution_status {
            Status::Pending => self.watch_and_start(run).await,
            Status::Queued => {
                self.runs.sweeps.watch(&requested.run, self.runs.jobs.clock.now()).await?;
                Ok(response(run, None))
            }
            Status::Planning => Err(planned_elsewhere(requested)),
            // An earlier invocation may have crashed between the record and its notice.
            Status::Failed | Status::Skipped if run.jobs == 0 => {
                self.notify_unstarted(run).await?;
                Ok(response(run, run.error_message.clone()))
            }
            Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Aborted
            | Status::Skipped => Ok(response(run, run.error_message.clone())),
        }
    }

    /// Handles a lease that another run holds. Returns `None` if the lease was released, so that the caller can try
    /// again.
    async fn held(
        &self,
        requested: &IdentifiedRequest,
        planned: &Planned,
        holder: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<RunResponse>> {
        let held_by = self.runs.jobs.ledger.run(holder).await?;
        let execution = self.runs.executions.state(holder).await?;
        match decide(held_by.as_ref(), execution.as_ref(), expires, now) {
            Holder::InProgress => return self.overlap(requested, planned, holder).await,
            Holder::Ended(run) => self.runs.release_lease(run).await?,
            Holder::Stalled(run, reason) => {
                let close = async {
                    tracing::warn!(reason, "closing a run that holds the lease and cannot end by itself");
                    self.runs.close_by_reason(run, &reason).await
                };
                Subject::from(run).scope(close).await?;
            }
            Holder::Abandoned => self.runs.abandon(&planned.run.workflow_id, holder).await?,
        }
        Ok(None)
    }

    /// Applies `on_overlap`. Returns `None` if the other run ended in the meantime.
    async fn overlap(
        &self,
        requested: &IdentifiedRequest,
        planned: &Planned,
        holder: &str,
    ) -> Result<Option<RunResponse>> {
        let ended = |status, message: String| RunRecord {
            execution_status: status,
            execution_end_ts: Some(planned.run.created_ts),
            error_message: Some(message),
            jobs: 0,
            ..planned.run.clone()
        };
        let opening = match planned.on_overlap {
            OnOverlap::Skip => {
                let run = ended(Status::Skipped, format!("skipped: run {holder} was under way (on_overlap: skip)"));
                Opening { run, jobs: Vec::new(), lease: LeaseRequest::Leave }
            }
            OnOverlap::Fail => {
                let run = ended(Status::Failed, format!("run {holder} was under way (on_overlap: fail)"));
                Opening { run, jobs: Vec::new(), lease: LeaseRequest::Leave }
            }
            OnOverlap::Queue => {
                let run = RunRecord { execution_status: Status::Queued, ..planned.run.clone() };
                Opening { run, jobs: planned.jobs.clone(), lease: LeaseRequest::Queue }
            }
        };
        match self.runs.jobs.ledger.open(&opening).await? {
            Opened::New => {}
            Opened::Existing(run) => return self.existing(requested, &run).await.map(Some),
            Opened::BeingPlanned => return Err(planned_elsewhere(requested)),
            Opened::Held { .. } | Opened::Free => return Ok(None),
        }
        let run = &opening.run;
        match planned.on_overlap {
            OnOverlap::Queue => {
                self.runs.sweeps.watch(&requested.run, self.runs.jobs.clock.now()).await?;
                Ok(Some(response(run, Some(format!("waits for run {holder}")))))
            }
            OnOverlap::Skip => {
                self.notify_unstarted(run).await?;
                Ok(Some(response(run, run.error_message.clone())))
            }
            OnOverlap::Fail => {
                self.notify_unstarted(run).await?;
                match requested.origin {
                    // A person or a program waits for the response, so this is an error. For the other origins, the run
                    // is recorded and the notification was sent.
                    Origin::Manual | Origin::Restart => {
                        Err(Failure::new(FailureKind::RunOverlaps, run.error_message.clone().unwrap_or_default()))
                    }
                    Origin::Schedule | Origin::Event | Origin::Queue => {
                        Ok(Some(response(run, run.error_message.clone())))
                    }
                }
            }
        }
    }

    /// Handles a request that cannot become a run. A caller who waits for the response gets the failure. No caller
    /// reads the response to a schedule or an event, so for these the failure is recorded as a run with the
    /// request, which a restart can complete, and a notification is sent. So is a chain of runs that is too long, for every
    /// origin of the last request.
    async fn refuse(&self, requested: &IdentifiedRequest, failure: Failure, now: Timestamp) -> Result<RunResponse> {
        if failure.kind.class() == Class::Retryable {
            return Err(failure);
        }
        if let Some(run) = self.runs.jobs.ledger.run(&requested.run).await? {
            return self.existing(requested, &run).await;
        }
        let is_chain = failure.kind == FailureKind::ChainTooLong;
        match requested.origin {
            Origin::Manual | Origin::Restart => {
                if is_chain {
                    self.record_refused(requested, &failure, now).await?;
                }
                Err(failure)
            }
            Origin::Queue if !is_chain => Err(failure),
            Origin::Schedule | Origin::Event | Origin::Queue => self.record_refused(requested, &failure, now).await,
        }
    }

    async fn record_refused(
        &self,
        requested: &IdentifiedRequest,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<RunResponse> {
        let kept = self.kept(requested).await?;
        let run = RunRecord {
            error_message: Some(failure.message.clone()),
            request_sha256: plan::digest(&requested.request, secrets::masks(&kept)),
            request: Some(kept),
            ..plan::record_of(requested, Status::Failed, now)
        };
        let opening = Opening { run: run.clone(), jobs: Vec::new(), lease: LeaseRequest::Leave };
        self.runs.jobs.ledger.open(&opening).await?;
        self.notify_unstarted(&run).await?;
        Ok(response(&run, run.error_message.clone()))
    }

    /// Publishes the end of a run that did not start, and alerts people if it failed. A run that was refused because of the
    /// runs that led to it publishes no event, because the event could start the next run.
    async fn notify_unstarted(&self, run: &RunRecord) -> Result<()> {
        if self.is_refused_for(&run.caused_by) {
            return self.runs.jobs.notices.alert(run).await;
        }
        self.runs.notify(run).await
    }
}

fn planned_elsewhere(requested: &IdentifiedRequest) -> Failure {
    let message = format!("another invocation is planning run {}: send the request again", requested.run);
    Failure::new(FailureKind::Unavailable, message)
}

fn response(run: &RunRecord, message: Option<String>) -> RunResponse {
    RunResponse {
        workflow_execution_id: run.workflow_execution_id.clone(),
        execution_status: run.execution_status,
        message,
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_run;

    use super::*;

    #[test]
    fn a_holder_is_closed_only_if_it_cannot_end_by_itself() {
        let (pending, running, succeeded) = (a_run(Status::Pending), a_run(Status::Running), a_run(Status::Succeeded));
        let created = pending.created_ts;
        let soon = created + SignedDuration::from_secs(10);
        let late = created + SignedDuration::from_hours(1);
        let expires = lease_until_begun(created);
        let closed = Execution::Closed { reason: "FAILED".into() };
        let runs = Execution::Running;
        let of = |run, execution, now| decide(run, execution, expires, now);

        assert_eq!(of(Some(&running), Some(&runs), soon), Holder::InProgress);
        assert_eq!(of(Some(&pending), None, soon), Holder::InProgress, "its execution is about to be started");
        assert_eq!(of(Some(&succeeded), Some(&closed), soon), Holder::Ended(&succeeded));
        assert_eq!(of(Some(&running), Some(&closed), soon), Holder::Stalled(&running, "FAILED".into()));
        assert!(matches!(of(Some(&pending), None, late), Holder::Stalled(..)));
        assert!(matches!(of(Some(&running), Some(&runs), late), Holder::Stalled(..)), "its lease expired");
    }

    #[test]
    fn a_holder_without_a_record_is_abandoned_when_its_lease_expires_or_its_execution_ends() {
        let expires = Timestamp::UNIX_EPOCH;
        let late = expires + SignedDuration::from_secs(1);
        let closed = Execution::Closed { reason: "FAILED".into() };
        for (execution, now, expected) in [
            (Some(&Execution::Running), expires, Holder::InProgress),
            (None, expires, Holder::InProgress),
            (Some(&closed), expires, Holder::Abandoned),
            (None, late, Holder::Abandoned),
            (Some(&Execution::Running), late, Holder::Abandoned),
        ] {
            assert_eq!(decide(None, execution, expires, now), expected, "{execution:?} at {now}");
        }
    }
}
