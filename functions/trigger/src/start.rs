//! Opens a planned run, or finds out why it cannot be opened now.

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Execution, LeaseRequest, Opened, Opening, Result};
use shiftwork_protocol::{
    Class, Failure, FailureKind, RunRecord, Status,
    audit::Origin,
    payload::{RunAnswer, RunInput},
    workflow::OnOverlap,
};
use shiftwork_settlement::lease_until_begun;

use crate::{
    Asked, Trigger,
    plan::{self, Planned},
};

/// A run that was opened and never started is left this long to its own sweep before another request clears it away.
const START_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// A lease may change hands while we look; after this many looks the request is tried again as a whole.
const LOOKS: usize = 4;

/// What stands in the way of a run.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// It is under way.
    Alive,
    /// It ended and did not give its lease back.
    Ended,
    /// It will never end by itself, and why.
    Dead(String),
}

/// Whether the run that holds the lease is still under way.
fn decide(holder: &RunRecord, execution: Option<&Execution>, expires: Timestamp, now: Timestamp) -> Holder {
    if holder.execution_status.is_terminal() {
        return Holder::Ended;
    }
    match execution {
        Some(Execution::Closed { reason }) => Holder::Dead(reason.clone()),
        Some(Execution::Running) if now > expires => Holder::Dead(format!("ABORTED: its lease ended at {expires}")),
        None if now > expires || now.duration_since(holder.created_ts) > START_WITHIN => {
            Holder::Dead("ABORTED: its execution was never started".into())
        }
        Some(Execution::Running) | None => Holder::Alive,
    }
}

impl Trigger {
    pub(crate) async fn start(&self, asked: Asked) -> Result<RunAnswer> {
        let now = self.runs.jobs.clock.now();
        let planned = match self.plan(&asked, now).await {
            Ok(planned) => planned,
            Err(failure) => return self.refuse(&asked, failure, now).await,
        };
        for _ in 0..LOOKS {
            let take = LeaseRequest::Take { until: lease_until_begun(now) };
            let opening = Opening { run: planned.run.clone(), jobs: planned.jobs.clone(), lease: take };
            match self.runs.jobs.ledger.open(&opening).await? {
                Opened::New => {
                    tracing::info!(
                        run = asked.run,
                        workflow = planned.run.workflow_id,
                        jobs = planned.run.jobs,
                        "run opened"
                    );
                    return self.set_off(&planned.run).await;
                }
                Opened::Existing(run) => return self.again(&asked, &run).await,
                Opened::BeingPlanned => return Err(being_planned(&asked)),
                Opened::Held { holder, expires_ts } => {
                    if let Some(answer) = self.meet(&asked, &planned, &holder, expires_ts, now).await? {
                        return Ok(answer);
                    }
                }
                Opened::Free => {}
            }
        }
        let words =
            format!("the lease of {} changed hands {LOOKS} times while it was asked for", planned.run.workflow_id);
        Err(Failure::new(FailureKind::Unavailable, words))
    }

    /// Watched first, then started: if we die between the two, the watch starts it.
    async fn set_off(&self, run: &RunRecord) -> Result<RunAnswer> {
        let id = &run.workflow_execution_id;
        self.runs.sweeps.watch(id, self.runs.jobs.clock.now()).await?;
        self.runs.executions.start(&RunInput { workflow_execution_id: id.clone() }).await?;
        Ok(answer(run, None))
    }

    /// The same request again: the same run. An earlier try may have died before it set the run off.
    async fn again(&self, asked: &Asked, run: &RunRecord) -> Result<RunAnswer> {
        if run.request_sha256 != plan::digest(&asked.request) {
            let words = format!(
                "run {} exists already, of workflow {} and from another request: give this one another id",
                asked.run, run.workflow_id
            );
            return Err(Failure::new(FailureKind::InvalidRequest, words));
        }
        match run.execution_status {
            Status::Pending => self.set_off(run).await,
            Status::Queued => {
                self.runs.sweeps.watch(&asked.run, self.runs.jobs.clock.now()).await?;
                Ok(answer(run, None))
            }
            Status::Planning => Err(being_planned(asked)),
            Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Aborted
            | Status::Skipped => Ok(answer(run, run.error_message.clone())),
        }
    }

    /// Another run holds the lease. `None` when it was cleared away, and the lease may be asked for again.
    async fn meet(
        &self,
        asked: &Asked,
        planned: &Planned,
        holder: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Option<RunAnswer>> {
        let held_by = self.runs.run(holder).await?;
        let execution = self.runs.executions.state(holder).await?;
        match decide(&held_by, execution.as_ref(), expires, now) {
            Holder::Ended => {
                self.runs.hand_on(&held_by).await?;
                Ok(None)
            }
            Holder::Dead(reason) => {
                tracing::warn!(run = holder, reason, "closing a run that died with its lease");
                self.runs.close_by_reason(&held_by, &reason).await?;
                Ok(None)
            }
            Holder::Alive => self.overlap(asked, planned, holder).await,
        }
    }

    /// `on_overlap`. `None` when the holder ended meanwhile.
    async fn overlap(&self, asked: &Asked, planned: &Planned, holder: &str) -> Result<Option<RunAnswer>> {
        let ended = |status, words: String| RunRecord {
            execution_status: status,
            execution_end_ts: Some(planned.run.created_ts),
            error_message: Some(words),
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
            Opened::Existing(run) => return self.again(asked, &run).await.map(Some),
            Opened::BeingPlanned => return Err(being_planned(asked)),
            Opened::Held { .. } | Opened::Free => return Ok(None),
        }
        let run = &opening.run;
        match planned.on_overlap {
            OnOverlap::Queue => {
                self.runs.sweeps.watch(&asked.run, self.runs.jobs.clock.now()).await?;
                Ok(Some(answer(run, Some(format!("waits for run {holder}")))))
            }
            OnOverlap::Skip => {
                self.runs.tell(run).await?;
                Ok(Some(answer(run, run.error_message.clone())))
            }
            OnOverlap::Fail => {
                self.runs.tell(run).await?;
                match asked.origin {
                    // Somebody waits for the answer: it is an error. For the others it is on record, and was told.
                    Origin::Manual | Origin::Restart => {
                        Err(Failure::new(FailureKind::RunOverlaps, run.error_message.clone().unwrap_or_default()))
                    }
                    Origin::Schedule | Origin::Event | Origin::Queue => {
                        Ok(Some(answer(run, run.error_message.clone())))
                    }
                }
            }
        }
    }

    /// A request that cannot become a run. Who waits for the answer gets it; a schedule or an event has nobody who reads
    /// it, so it goes on record and to the people who are told of failures.
    async fn refuse(&self, asked: &Asked, failure: Failure, now: Timestamp) -> Result<RunAnswer> {
        if failure.kind.class() == Class::Retryable {
            return Err(failure);
        }
        if let Some(run) = self.runs.jobs.ledger.run(&asked.run).await? {
            return self.again(asked, &run).await;
        }
        match asked.origin {
            Origin::Manual | Origin::Restart | Origin::Queue => Err(failure),
            Origin::Schedule | Origin::Event => {
                let run = RunRecord {
                    error_message: Some(failure.message.clone()),
                    ..plan::on_record(asked, Status::Failed, now)
                };
                let opening = Opening { run: run.clone(), jobs: Vec::new(), lease: LeaseRequest::Leave };
                self.runs.jobs.ledger.open(&opening).await?;
                self.runs.tell(&run).await?;
                Ok(answer(&run, Some(failure.message)))
            }
        }
    }
}

fn being_planned(asked: &Asked) -> Failure {
    let words = format!("run {} is being planned by another invocation at this moment: ask again", asked.run);
    Failure::new(FailureKind::Unavailable, words)
}

fn answer(run: &RunRecord, message: Option<String>) -> RunAnswer {
    RunAnswer {
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
    fn a_holder_is_cleared_away_only_when_it_cannot_go_on() {
        let created = a_run(Status::Pending).created_ts;
        let soon = created + SignedDuration::from_secs(10);
        let late = created + SignedDuration::from_hours(1);
        let expires = lease_until_begun(created);
        let closed = Execution::Closed { reason: "FAILED".into() };
        let running = Execution::Running;
        let of = |status, execution, now| decide(&a_run(status), execution, expires, now);

        assert_eq!(of(Status::Running, Some(&running), soon), Holder::Alive);
        assert_eq!(of(Status::Pending, None, soon), Holder::Alive, "its execution is about to be started");
        assert_eq!(of(Status::Succeeded, Some(&closed), soon), Holder::Ended);
        assert_eq!(of(Status::Running, Some(&closed), soon), Holder::Dead("FAILED".into()));
        assert!(matches!(of(Status::Pending, None, late), Holder::Dead(_)));
        assert!(matches!(of(Status::Running, Some(&running), late), Holder::Dead(_)), "its lease is over");
    }
}
