//! iterator: begins a run and returns its jobs, in topological order, for the state machine's Map.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Begun, Clock, Ledger, Result, log::Subject};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, limits,
    payload::{LaneJob, Lanes, RunInput},
};

/// Time between the timeout of the execution and the expiry of the lease that the run holds.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// The function iterator.
pub struct RunIterator {
    /// Records of runs and jobs.
    pub ledger: Arc<dyn Ledger>,
    /// Source of the present time.
    pub clock: Arc<dyn Clock>,
}

impl RunIterator {
    /// Begins the run and returns the jobs to launch. A repeated call returns the jobs that have not ended since.
    pub async fn handle(&self, input: RunInput) -> Result<Lanes> {
        let run = &input.workflow_execution_id;
        Subject::of_run(run).scope(self.lanes(run)).await
    }

    async fn lanes(&self, run: &str) -> Result<Lanes> {
        let jobs = self.ledger.jobs(run).await?;
        let Some(first) = jobs.first() else {
            return Err(Failure::corrupt(format!("run {run} has no jobs in the job audit table")));
        };
        let now = self.clock.now();
        let begun = self.ledger.begin(&first.workflow_id, run, now, lease_until(now));
        match Subject::of_run(run).in_workflow(&first.workflow_id).scope(begun).await? {
            Begun::Running => Ok(decide(&jobs)),
            Begun::Ended => Ok(Lanes { lanes: Vec::new() }),
            Begun::LeaseLost => Err(Failure::new(
                FailureKind::LeaseLost,
                format!("run {run} no longer holds the lease of {}: none of its jobs was started", first.workflow_id),
            )),
        }
    }
}

fn lease_until(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_secs(limits::EXECUTION_SECONDS.into()) + LEASE_MARGIN
}

/// Selects the jobs to launch and puts them into lanes. Reused jobs have ended already, and barriers have no task. An
/// inline Map runs all jobs of a lane at once, so no job waits for a job that is not its upstream.
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
    fn lanes_have_the_open_jobs_in_order_and_at_most_40_each() {
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
