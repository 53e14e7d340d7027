//! A run starts: its jobs, in topological order, for the state machine to wait on.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Begun, Clock, Ledger, Result};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, limits,
    payload::{LaneJob, Lanes, RunInput},
};

/// A lease outlives the execution that holds it by this much: Step Functions stops the execution first.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// The function.
pub struct RunIterator {
    /// Runs and jobs.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl RunIterator {
    /// Begins the run and answers what the state machine has to launch. Again: the same, less what ended since.
    pub async fn handle(&self, input: RunInput) -> Result<Lanes> {
        let run = &input.workflow_execution_id;
        let jobs = self.ledger.jobs(run).await?;
        let Some(first) = jobs.first() else {
            return Err(Failure::corrupt(format!("run {run} has no jobs in the job audit table")));
        };
        let now = self.clock.now();
        match self.ledger.begin(&first.workflow_id, run, now, lease_until(now)).await? {
            Begun::Running => Ok(decide(&jobs)),
            Begun::Ended => Ok(Lanes { lanes: Vec::new() }),
            Begun::LeaseLost => Err(Failure::new(
                FailureKind::LeaseLost,
                format!(
                    "the lease of {} is not held by run {run} any more: nothing of it was started",
                    first.workflow_id
                ),
            )),
        }
    }
}

fn lease_until(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_secs(limits::EXECUTION_SECONDS.into()) + LEASE_MARGIN
}

/// The jobs that have to run: what was reused has ended already, and a barrier is no task. In lanes that an inline Map
/// runs all at once, so that no job waits for a place behind one that it does not depend on.
fn decide(jobs: &[JobRecord]) -> Lanes {
    let open: Vec<_> = jobs
        .iter()
        .filter(|job| !job.execution_status.is_terminal() && !job.plan.work.is_barrier())
        .map(|job| LaneJob { job_name: job.plan.job_name.clone(), timeout_seconds: job.plan.timeout_seconds })
        .collect();
    Lanes { lanes: open.chunks(limits::MAP_CONCURRENCY).map(<[LaneJob]>::to_vec).collect() }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::Status;

    use shiftwork_protocol::Work;

    use super::*;

    #[test]
    fn lanes_hold_what_has_to_run_in_order_and_at_most_40_jobs_each() {
        let mut jobs: Vec<_> = (0..90).map(|n| a_job(&format!("job_{n}"), &[])).collect();
        jobs[3].execution_status = Status::Succeeded;
        jobs[4].plan.work = Work::Barrier {};
        let lanes = decide(&jobs).lanes;
        assert_eq!(lanes.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40, 8]);
        let names: Vec<_> = lanes.iter().flatten().map(|job| job.job_name.as_str()).collect();
        assert!(!names.contains(&"job_3") && !names.contains(&"job_4"));
        assert_eq!(names[..4], ["job_0", "job_1", "job_2", "job_5"]);
    }
}
