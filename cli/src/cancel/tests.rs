use shiftwork_ports::{
    Clock as _, Executions as _, LeaseRequest, Ledger as _, Opened, Opening,
    fake::{ManualClock, MemoryExecutions, MemoryLedger},
};
use shiftwork_protocol::{Status, payload::RunInput};

use super::{Cancelled, stop};
use crate::{
    board::Snapshot,
    fixture::{BLOG, planned},
};

struct Fixture {
    ledger: MemoryLedger,
    executions: MemoryExecutions,
    clock: ManualClock,
}

impl Fixture {
    fn new() -> Self {
        Self { ledger: MemoryLedger::default(), executions: MemoryExecutions::default(), clock: ManualClock::default() }
    }

    async fn open(&self, id: &str, status: Status, lease: LeaseRequest) {
        let (Snapshot { mut run, mut jobs }, _) = planned(BLOG, |_| "SELECT 1".into());
        run.workflow_execution_id = id.into();
        run.execution_status = status;
        for job in &mut jobs {
            job.workflow_execution_id = id.into();
        }
        assert_eq!(self.ledger.open(&Opening { run, jobs, lease }).await.unwrap(), Opened::New);
    }

    async fn cancel(&self, run: &str) -> Cancelled {
        let record = self.ledger.run(run).await.unwrap().unwrap();
        stop(&self.ledger, &self.executions, &self.clock, &record, "no longer needed").await.unwrap()
    }

    async fn status(&self, run: &str) -> Status {
        self.ledger.run(run).await.unwrap().unwrap().execution_status
    }
}

#[tokio::test]
async fn the_execution_of_a_running_run_is_stopped() {
    let fixture = Fixture::new();
    fixture.open("one", Status::Running, LeaseRequest::Take { until: fixture.clock.now() }).await;
    fixture.executions.start(&RunInput { workflow_execution_id: "one".into() }).await.unwrap();
    assert_eq!(fixture.cancel("one").await, Cancelled::Stopped);
    assert_eq!(fixture.executions.running(), Vec::<String>::new());
    assert_eq!(fixture.cancel("one").await, Cancelled::Ending);
}

#[tokio::test]
async fn a_queued_run_ends_with_its_jobs_and_the_lease_holder_is_unaffected() {
    let fixture = Fixture::new();
    fixture.open("one", Status::Running, LeaseRequest::Take { until: fixture.clock.now() }).await;
    fixture.open("two", Status::Queued, LeaseRequest::Queue).await;
    assert_eq!(fixture.cancel("two").await, Cancelled::BeforeItBegan);
    assert_eq!(fixture.status("two").await, Status::Aborted);
    assert!(fixture.ledger.jobs("two").await.unwrap().iter().all(|job| job.execution_status == Status::Aborted));
    assert_eq!(fixture.ledger.lease("blog").await.unwrap().unwrap().holder.as_deref(), Some("one"));
    assert_eq!(fixture.cancel("two").await, Cancelled::EndedBefore(Status::Aborted));
}

#[tokio::test]
async fn a_lease_holder_that_never_started_passes_its_lease_to_the_next_waiting_run() {
    let fixture = Fixture::new();
    fixture.open("one", Status::Pending, LeaseRequest::Take { until: fixture.clock.now() }).await;
    fixture.open("two", Status::Queued, LeaseRequest::Queue).await;
    fixture.open("three", Status::Queued, LeaseRequest::Queue).await;
    fixture.cancel("two").await;
    assert_eq!(fixture.cancel("one").await, Cancelled::BeforeItBegan);
    assert_eq!(fixture.executions.running(), ["three"]);
    assert_eq!(fixture.ledger.lease("blog").await.unwrap().unwrap().holder.as_deref(), Some("three"));
}
