//! Slots: a job has an attempt only while it has a slot of each of its pools. It takes them before it is submitted, waits in
//! the Await state if one is not free, and gives them back when it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shiftwork_ports::{Result, Step};
use shiftwork_protocol::{JobRecord, SLOT, SlotHolder, SlotPool, Slots};

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
        let free = self.ledger.free(&holder.run, &holder.job, SLOT, &BTreeSet::new()).await?;
        match &free.await_token {
            Some(token) => self.tokens.release(token).await,
            None => Ok(()),
        }
    }

    /// Gives back the slots of a job that has ended, and lets the jobs launch that get them.
    pub(crate) async fn return_slots(&self, job: &JobRecord) -> Result<()> {
        self.return_all(job.plan.slots.iter().map(|pool| (pool.clone(), job.slot_holder())).collect()).await
    }

    async fn return_all(&self, mut returned: VecDeque<(SlotPool, SlotHolder)>) -> Result<()> {
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

    /// Reads the pools of which jobs of a run wait for a slot. Gives back the slots of jobs that have ended: the function that
    /// ended such a job may have stopped before it gave them back.
    pub(crate) async fn pools_of_waiting<'a>(&self, jobs: &'a [JobRecord]) -> Result<BTreeMap<&'a SlotPool, Slots>> {
        let waiting = jobs.iter().filter(|job| job.waits_for_slot() && !job.execution_status.is_terminal());
        let names: BTreeSet<_> = waiting.flat_map(|job| &job.plan.slots).collect();
        let mut pools = BTreeMap::new();
        for pool in names {
            let mut slots = self.ledger.slots(&pool.name).await?;
            if self.reclaim(pool, &slots).await? {
                slots = self.ledger.slots(&pool.name).await?;
            }
            pools.insert(pool, slots);
        }
        Ok(pools)
    }

    /// Gives back the slots of holders that have ended, or whose record was deleted. Returns true if there were any.
    async fn reclaim(&self, pool: &SlotPool, slots: &Slots) -> Result<bool> {
        let ended: Vec<_> = stream::iter(slots.holders.clone())
            .map(|holder| async move {
                let job = self.ledger.job(&holder.run, &holder.job).await?;
                Ok(job.is_none_or(|job| job.execution_status.is_terminal()).then_some(holder))
            })
            .buffer_unordered(CONCURRENT_READS)
            .try_collect()
            .await?;
        let returned: VecDeque<_> = ended.into_iter().flatten().map(|holder| (pool.clone(), holder)).collect();
        if returned.is_empty() {
            return Ok(false);
        }
        tracing::warn!(pool = pool.name, slots = returned.len(), "giving back the slots of jobs that have ended");
        self.return_all(returned).await.map(|()| true)
    }
}

/// Returns true if a job that waits for a slot has to request its slots again: it has all of them and was not freed, or it is
/// not in the queue of a pool, or a slot is free although it is in the queue. Without this check a sweep would send a request
/// for each waiting job.
pub(crate) fn must_request(job: &JobRecord, pools: &BTreeMap<&SlotPool, Slots>) -> bool {
    let holder = job.slot_holder();
    let missing =
        job.plan.slots.iter().find(|pool| pools.get(pool).is_none_or(|slots| !slots.holders.contains(&holder)));
    match missing.and_then(|pool| Some((pool, pools.get(pool)?))) {
        Some((pool, slots)) => slots.queued(&holder).next().is_none() || !slots.is_full(pool.limit),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::slots::Queued;

    use super::*;

    fn slots(holders: &[&str], queue: &[&str]) -> Slots {
        let holder = |text: &&str| text.parse().unwrap();
        let queued = |text: &&str| Queued { since: Timestamp::UNIX_EPOCH, holder: holder(text) };
        Slots { holders: holders.iter().map(holder).collect(), queue: queue.iter().map(queued).collect() }
    }

    #[test]
    fn a_job_in_the_queue_of_a_full_pool_just_waits() {
        let (narrow, wide) = (SlotPool::workflow("w", 1), SlotPool::connection(Some("etl"), 2));
        let mut job = a_job("load", &[SLOT]);
        job.plan.slots = vec![narrow.clone(), wide.clone()];
        for (of_narrow, of_wide, expected) in [
            (slots(&["r:other"], &["r:load"]), slots(&[], &[]), false),
            (slots(&["r:other"], &[]), slots(&[], &[]), true),
            (slots(&[], &["r:load"]), slots(&[], &[]), true),
            (slots(&["r:load"], &[]), slots(&["q:a", "q:b"], &["r:load"]), false),
            (slots(&["r:load"], &[]), slots(&["q:a", "q:b"], &[]), true),
            (slots(&["r:load"], &[]), slots(&["q:a"], &["r:load"]), true),
            (slots(&["r:load"], &[]), slots(&["q:a", "r:load"], &[]), true),
        ] {
            let pools = BTreeMap::from([(&narrow, of_narrow), (&wide, of_wide)]);
            assert_eq!(must_request(&job, &pools), expected, "{pools:?}");
        }
        assert!(must_request(&job, &BTreeMap::new()), "a pool that cannot be read");
    }
}
