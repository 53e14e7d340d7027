//! The pools of slots of a job. A pool is left out if the jobs of the run cannot fill it, because each slot takes two requests
//! to DynamoDB; only the pool of a connection with `max_parallel` is shared with other workflows and never left out.

use std::collections::BTreeMap;

use shiftwork_protocol::{Connection, Place, SlotPool, Work, limits, workflow::ExecutionType};

use crate::draft::{Draft, DraftJob};

/// Number of jobs that use each warehouse over a connection without `max_parallel`, by the name of the warehouse.
pub(crate) fn jobs_by_warehouse<'a>(works: impl Iterator<Item = &'a Work>) -> BTreeMap<String, usize> {
    let mut jobs = BTreeMap::new();
    for connection in works.filter_map(warehouse).filter(|connection| connection.max_parallel.is_none()) {
        *jobs.entry(connection.warehouse().to_owned()).or_default() += 1;
    }
    jobs
}

fn warehouse(work: &Work) -> Option<&Connection> {
    match work.place()? {
        Place::Warehouse(connection) => Some(connection),
    }
}

/// The pools of a job, from the narrowest to the widest, so that a job that waits blocks no job of another workflow.
pub(crate) fn pools(draft: &Draft, job: &DraftJob, work: &Work, busy: &BTreeMap<String, usize>) -> Vec<SlotPool> {
    let workflow = &draft.workflow;
    let stage = &workflow.workflow_stages[job.stage];
    let in_stage = match stage.execution_type {
        ExecutionType::Sequential => 1,
        ExecutionType::Parallel => stage.scripts.len(),
    };
    let fills = |limit: &u32, jobs: usize| jobs > *limit as usize;
    let number = u32::try_from(job.stage + 1).unwrap_or(u32::MAX);
    let of_stage = stage.max_parallel.filter(|limit| fills(limit, in_stage));
    let of_workflow = workflow.max_parallel.filter(|limit| fills(limit, draft.jobs.len()));
    let of_connection = warehouse(work).and_then(|connection| match connection.max_parallel {
        Some(limit) => Some(SlotPool::connection(draft.connection_of(job), limit)),
        None => {
            let jobs = busy.get(connection.warehouse()).copied().unwrap_or_default();
            fills(&limits::MAX_PARALLEL, jobs).then(|| SlotPool::warehouse(connection, limits::MAX_PARALLEL))
        }
    });
    let pools = [
        of_stage.map(|limit| SlotPool::stage(&workflow.workflow_id, number, limit)),
        of_workflow.map(|limit| SlotPool::workflow(&workflow.workflow_id, limit)),
        of_connection,
    ];
    pools.into_iter().flatten().collect()
}
