//! Conformance suites: one for each port, which tests every implementation against the documentation of the trait.
//!
//! Every check uses runs and workflows with new names, so a suite can use tables with other data. A check panics if the
//! port does not conform.
#![allow(clippy::unwrap_used, reason = "a failure of the port fails the check")]

mod configuration;
mod engine;
mod executions;
mod files;
mod jobs;
mod leases;
mod model;
mod notices;
mod objects;
mod openings;
mod queues;
mod runs;
mod slots;
mod sweeps;
mod tokens;

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    hash::{BuildHasher as _, RandomState},
    pin::pin,
    task::Poll,
};

use jiff::{SignedDuration, Timestamp};
use shiftwork_protocol::{
    Attempt, Connection, FailureKind, JobRecord, Owner, RunRecord, ScriptPin, StatementReport, Status, Times,
    Transaction, Work,
    audit::{Origin, PlannedJob},
    name::sha256,
    workflow::RunIf,
};

use crate::{End, LeaseRequest, Ledger, Opened, Opening, Result, Totals};

pub use configuration::configuration;
pub use engine::{engine, warehouse};
pub use executions::executions;
pub use files::{file_register, work_queue};
pub use model::agree;
pub use notices::notices;
pub use objects::objects;
pub use queues::{dead_letters, requests};
pub use sweeps::sweeps;
pub use tokens::{TaskEnd, task_tokens};

/// Checks [`Ledger`].
pub async fn ledger(ledger: &dyn Ledger) {
    openings::nothing_is_there_before(ledger).await;
    openings::a_run_its_jobs_and_its_lease_are_written_together(ledger).await;
    openings::a_run_is_opened_once(ledger).await;
    openings::a_recorded_run_leaves_the_lease_unchanged(ledger).await;
    openings::one_of_two_racers_opens_a_run(ledger).await;
    for jobs in [97, 98, 99, 250, 600] {
        openings::a_plan_of_any_size_is_whole(ledger, jobs).await;
    }
    openings::a_large_plan_that_finds_the_lease_held_can_queue(ledger).await;
    openings::one_of_two_racers_opens_a_large_run(ledger).await;

    leases::a_held_lease_is_not_taken_not_even_expired(ledger).await;
    leases::a_lease_goes_down_its_queue(ledger).await;
    leases::a_free_lease_has_no_queue(ledger).await;
    leases::one_of_two_runs_takes_a_free_lease(ledger).await;
    leases::two_runs_queue_at_once(ledger).await;

    runs::a_run_begins_once_and_renews_its_lease(ledger).await;
    runs::a_queued_run_begins_once_it_holds_the_lease(ledger).await;
    runs::an_ended_run_does_not_begin(ledger).await;
    runs::a_run_ends_once(ledger).await;
    runs::racing_ends_agree(ledger).await;

    jobs::a_claim_is_the_intent_to_submit(ledger).await;
    jobs::a_job_that_waits_or_ended_is_not_claimed(ledger).await;
    jobs::upstreams_free_their_dependent(ledger).await;
    jobs::a_job_ends_once(ledger).await;
    jobs::a_job_ends_without_having_run(ledger).await;
    jobs::attempts_follow_each_other(ledger).await;
    jobs::parts_follow_each_other(ledger).await;
    jobs::racing_steps_agree(ledger).await;
    jobs::racing_claims_keep_the_first_intent(ledger).await;
    jobs::a_held_job_waits_for_a_slot(ledger).await;

    slots::a_pool_has_as_many_slots_as_its_limit(ledger).await;
    slots::a_free_slot_goes_to_the_queue(ledger).await;
    slots::a_larger_limit_gives_more_slots(ledger).await;
    slots::racing_requests_do_not_exceed_the_limit(ledger).await;
}

/// Returns a name that is not in use.
fn fresh(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().hash_one(prefix))
}

/// Returns an instant, in minutes after a fixed one.
fn minute(minutes: i64) -> Timestamp {
    "2026-03-01T02:00:00.000Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn a_run(workflow: &str, status: Status, jobs: usize) -> RunRecord {
    let id = fresh("run");
    RunRecord {
        workflow_id: workflow.into(),
        workflow_description: Some("a check of the ledger".into()),
        execution_status: status,
        created_ts: minute(0),
        execution_start_ts: None,
        execution_end_ts: None,
        error_message: None,
        logical_date: minute(-120),
        time_zone: Some("Europe/Berlin".into()),
        run_date: Some("2026-03-01".into()),
        parameters: BTreeMap::from([("day".into(), "2026-03-01".into())]),
        requested_by: Origin::Manual,
        request_sha256: sha256(&id),
        workflow_sha256: sha256(workflow),
        restart_of: None,
        caused_by: Vec::new(),
        request: None,
        jobs: u32::try_from(jobs).unwrap(),
        planner: None,
        workflow_execution_id: id,
    }
}

fn a_job(run: &RunRecord, position: usize, name: &str, upstreams: &[&str]) -> JobRecord {
    let plan = PlannedJob {
        job_name: name.into(),
        position: u32::try_from(position).unwrap(),
        stage: 1,
        stage_description: None,
        upstreams: upstreams.iter().copied().map(Into::into).collect(),
        dependents: std::collections::BTreeSet::new(),
        run_if: RunIf::AllSuccess,
        timeout_seconds: 600,
        retries: 1,
        retry_delay_seconds: 0,
        slots: Vec::new(),
        work: Work::Sql {
            connection: Connection { workgroup: Some("wg".into()), database: "dev".into(), ..Connection::default() },
            script: ScriptPin { key: name.into(), version_id: "v1".into(), sha256: sha256(name), statements: 50 },
            transaction: Transaction::PerStatement,
            parameters: BTreeMap::new(),
            inner_commits: Vec::new(),
            session: None,
            repeatable: false,
        },
    };
    JobRecord::pending(&run.workflow_id, &run.workflow_execution_id, plan)
}

/// A plan of `jobs` jobs without edges, and one more job that waits for the first two. The order of the names differs
/// from that of the positions.
fn an_opening(workflow: &str, jobs: usize, lease: LeaseRequest) -> Opening {
    let status = if lease == LeaseRequest::Queue { Status::Queued } else { Status::Pending };
    let run = a_run(workflow, status, jobs);
    let name = |position: usize| format!("job_{}.sql", jobs - position);
    let jobs = (0..jobs)
        .map(|position| {
            let (first, second) = (name(0), name(1));
            let last = position + 1 == jobs && jobs > 2;
            let upstreams: &[&str] = if last { &[&first, &second] } else { &[] };
            a_job(&run, position, &name(position), upstreams)
        })
        .collect();
    Opening { run, jobs, lease }
}

const fn take(until: Timestamp) -> LeaseRequest {
    LeaseRequest::Take { until }
}

/// Opens a run that holds the lease of a new workflow. The run has three jobs, the last of which waits for the others.
async fn opened(ledger: &dyn Ledger) -> Opening {
    let opening = an_opening(&fresh("workflow"), 3, take(minute(15)));
    assert_eq!(ledger.open(&opening).await, Ok(Opened::New));
    opening
}

impl Opening {
    fn id(&self) -> &str {
        &self.run.workflow_execution_id
    }

    fn workflow(&self) -> &str {
        &self.run.workflow_id
    }

    fn job(&self, position: usize) -> &str {
        &self.jobs[position].plan.job_name
    }

    fn at(&self, position: usize, attempt: u32, part: u32) -> Attempt {
        Attempt { owner: Owner::Job, run: self.id().into(), job: self.job(position).into(), attempt, part, parts: 1 }
    }
}

/// The totals of a submission that changed this number of rows in two minutes.
fn totals(rows: i64) -> Totals {
    let times = Times {
        engine_created_ts: Some(minute(1)),
        engine_started_ts: Some(minute(2)),
        engine_ended_ts: Some(minute(4)),
        queued_us: Some(60_000_000),
        ran_us: Some(120_000_000),
        noticed_us: Some(250_000),
        unreported: 1,
    };
    let insert =
        StatementReport { command: "INSERT".into(), rows: Some(rows), returned: false, ran_us: Some(120_000_000) };
    let query = StatementReport { command: "SELECT".into(), rows: None, returned: true, ran_us: None };
    Totals { times, statements: vec![insert, query], rows: Some(rows) }
}

fn success() -> End {
    End { status: Status::Succeeded, error: None, message: None, statement_id: Some("id".into()), totals: totals(4) }
}

fn failure() -> End {
    End {
        status: Status::Failed,
        error: Some(FailureKind::StatementFailed),
        message: Some("ERROR: relation \"x\" does not exist".into()),
        statement_id: Some("id".into()),
        totals: Totals { times: totals(0).times, ..Totals::default() },
    }
}

/// Kind of the failure; `None` for a success.
fn kind<T>(result: Result<T>) -> Option<FailureKind> {
    result.err().map(|failure| failure.kind)
}

/// Makes two calls concurrently.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::fake::{MemoryLedger, MemoryObjects, MemoryRegister, MemoryWarehouse, MemoryWorkQueue};

    #[tokio::test]
    async fn the_ledger_in_memory_conforms() {
        super::ledger(&MemoryLedger::default()).await;
    }

    #[tokio::test]
    async fn the_register_of_files_in_memory_conforms() {
        super::file_register(&MemoryRegister::default()).await;
    }

    #[tokio::test]
    async fn the_queue_of_work_items_in_memory_conforms() {
        let queue = MemoryWorkQueue::default();
        super::work_queue(&queue, async || queue.items()).await;
    }

    #[tokio::test]
    async fn objects_in_memory_conform() {
        super::objects(std::sync::Arc::new(MemoryObjects::default()), "bucket", false).await;
        super::objects(std::sync::Arc::new(MemoryObjects::versioned()), "bucket", true).await;
    }

    #[tokio::test]
    async fn the_warehouse_in_memory_conforms() {
        let warehouse = MemoryWarehouse::default();
        warehouse.set_rows("SELECT 1", vec![vec![Some("1".into())]]);
        let active = super::warehouse(&warehouse, &shiftwork_protocol::Connection::default(), "SELECT 1").await;
        assert_eq!(active, [], "all attempts were cancelled");
    }

    #[tokio::test]
    async fn the_model_agrees_with_a_second_instance() {
        for seed in 0..200 {
            super::agree(&MemoryLedger::default(), &MemoryLedger::default(), seed).await;
        }
    }
}
