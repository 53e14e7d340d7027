//! `shiftwork cancel`: stops a run.

use anyhow::Context as _;
use shiftwork_ports::{Clock, End, Execution, Executions, Ledger, Released, Step, Totals};
use shiftwork_protocol::{FailureKind, RunRecord, Status, payload::RunInput};

use crate::{Deployment, Outcome, args};

/// The result of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The execution is stopped; the event of its end ends the run and cancels the run's statements.
    Stopped,
    /// The run had not started; its status is ABORTED now.
    BeforeItBegan,
    /// The run had ended before, with this status.
    EndedBefore(Status),
    /// The execution has already ended, and the sweep is about to record the end of the run.
    Ending,
}

/// Cancels a run and prints the result.
pub async fn cancel(deployment: &Deployment, asked: &args::Cancel) -> anyhow::Result<Outcome> {
    let run = &asked.run;
    let reason = asked.reason.as_deref().unwrap_or("cancelled from the command line");
    let record = deployment.ledger.run(run).await?.with_context(|| format!("run {run} does not exist"))?;
    match stop(&*deployment.ledger, &*deployment.executions, &*deployment.clock, &record, reason).await? {
        Cancelled::Stopped => println!("stopping {run} and its statements: see `shiftwork status {run}`"),
        Cancelled::BeforeItBegan => println!("{run} is {}; none of its jobs had started", Status::Aborted),
        Cancelled::EndedBefore(status) => println!("{run} has already ended: {status}"),
        Cancelled::Ending => println!("{run} is already ending: see `shiftwork status {run}`"),
    }
    Ok(Outcome::Done)
}

/// Stops a run: stops its execution, or ends the run in the ledger if it has no execution.
pub async fn stop(
    ledger: &dyn Ledger,
    executions: &dyn Executions,
    clock: &dyn Clock,
    record: &RunRecord,
    reason: &str,
) -> anyhow::Result<Cancelled> {
    let run = &record.workflow_execution_id;
    if record.execution_status.is_terminal() {
        return Ok(Cancelled::EndedBefore(record.execution_status));
    }
    match executions.state(run).await? {
        Some(Execution::Running) => {
            executions.stop(run, reason).await?;
            Ok(Cancelled::Stopped)
        }
        Some(Execution::Closed { .. }) => Ok(Cancelled::Ending),
        None => {
            end_unstarted(ledger, executions, clock, record, reason).await?;
            Ok(Cancelled::BeforeItBegan)
        }
    }
}

/// Ends a run that has no execution. The run ends before its jobs do, so that it can no longer be started.
async fn end_unstarted(
    ledger: &dyn Ledger,
    executions: &dyn Executions,
    clock: &dyn Clock,
    record: &RunRecord,
    reason: &str,
) -> anyhow::Result<()> {
    let run = &record.workflow_execution_id;
    let now = clock.now();
    ledger.finish(run, Status::Aborted, Some(reason), now).await?;
    for job in ledger.jobs(run).await?.iter().filter(|job| !job.execution_status.is_terminal()) {
        let end = End {
            status: Status::Aborted,
            error: Some(FailureKind::StatementAborted),
            message: Some(reason.into()),
            statement_id: None,
            totals: Totals::default(),
        };
        ledger.advance(&job.current_attempt(), &Step::End(end), now).await?;
    }
    release_lease(ledger, executions, clock, record).await
}

/// Releases the lease if the run holds it, and starts the next run that waits for it.
async fn release_lease(
    ledger: &dyn Ledger,
    executions: &dyn Executions,
    clock: &dyn Clock,
    record: &RunRecord,
) -> anyhow::Result<()> {
    let mut holder = record.workflow_execution_id.clone();
    loop {
        let until = shiftwork_settlement::lease_until_begun(clock.now());
        match ledger.release(&record.workflow_id, &holder, until).await? {
            Released::Rest | Released::NotHeld => return Ok(()),
            Released::Handed(next) => {
                if ledger.run(&next).await?.is_some_and(|run| !run.execution_status.is_terminal()) {
                    return Ok(executions.start(&RunInput { workflow_execution_id: next }).await?);
                }
                holder = next;
            }
        }
    }
}

#[cfg(test)]
mod tests;
