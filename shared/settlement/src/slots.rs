//! Slots: a job has an attempt only while it has a slot of each of its pools. It takes them before it is submitted, waits in
//! the Await state if one is not free, and gives them back when it ends.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shiftwork_ports::{Result, Step};
use shiftwork_protocol::{JobRecord, SLOT, SlotPool};

use crate::JobSettlement;

/// Number of holders of a pool that are read concurrently.
const CONCURRENT_READS: usize = 16;

impl JobSettlement {
    /// Takes the slots of a claimed job. If one is not free, makes the job wait and returns false: the task must return to the
    /// Await state.
    pub async fn take_slots(&self, job: &JobRecord) -> Result<bool> {
        for pool in &job.plan.slots {
            if !self.ledger.take_slot(pool, &job.slot_holder()).await? {
                // The job waits before it is in the queue: if it gets a slot between the two, it does not wait any more.
                let held = self.ledger.advance(&job.current_attempt(), &Step::Hold, self.clock.now()).await?.job;
                self.admit(&held).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Requests the slots of a job that waits for one. If it has all of them, it does not wait any more, and its Await state
    /// ends if it has started.
    pub(crate) async fn request_slots(&self, job: &JobRecord) -> Result<()> {
        let holder = job.slot_holder();
        for pool in &job.plan.slots {
            if !self.ledger.request_slot(pool, &holder, self.clock.now()).await? {
                return Ok(());
            }
        }
        let free = self.ledger.free(&holder.run, &holder.job, SLOT, true).await?;
        match &free.await_token {
            Some(token) => self.tokens.release(token).await,
            None => Ok(()),
        }
    }

    /// Gives back the slots of a job that has ended, and lets the jobs launch that get them.
    pub(crate) async fn return_slots(&self, job: &JobRecord) -> Result<()> {
        let holder = job.slot_holder();
        let mut returned: VecDeque<_> = job.plan.slots.iter().map(|pool| (pool.clone(), holder.clone())).collect();
        while let Some((pool, holder)) = returned.pop_front() {
            for next in self.ledger.return_slot(&pool, &holder).await? {
                match self.ledger.job(&next.run, &next.job).await? {
                    Some(job) if !job.execution_status.is_terminal() => self.request_slots(&job).await?,
                    // The job ended while it was in the queue.
                    Some(_) | None => returned.push_back((pool.clone(), next)),
                }
            }
        }
        Ok(())
    }

    /// Gives back the slots of a pool whose jobs have ended: the function that ended a job may have stopped before it did.
    pub(crate) async fn reclaim_slots(&self, pool: &SlotPool) -> Result<()> {
        let holders = self.ledger.slots(&pool.name).await?.holders;
        let ended: Vec<_> = stream::iter(holders)
            .map(|holder| async move {
                let job = self.ledger.job(&holder.run, &holder.job).await?;
                Ok(job.filter(|job| job.execution_status.is_terminal()))
            })
            .buffer_unordered(CONCURRENT_READS)
            .try_collect()
            .await?;
        for job in ended.iter().flatten() {
            tracing::warn!(run = job.workflow_execution_id, job = job.plan.job_name, pool = pool.name, "reclaiming a slot of an ended job");
            self.return_slots(job).await?;
        }
        Ok(())
    }
}
