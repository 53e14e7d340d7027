use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use async_trait::async_trait;
use jiff::Timestamp;
use shiftwork_protocol::{
    Attempt, Failure, JobRecord, Lease, RunRecord, SLOT, SlotHolder, SlotPool, Slots, Status, Times, limits,
    slots::Queued,
};

use super::lock;
use crate::{Advanced, Begun, End, LeaseRequest, Ledger, Opened, Opening, Released, Result, Step, Totals};

#[derive(Debug, Default)]
struct Tables {
    runs: BTreeMap<String, RunRecord>,
    jobs: BTreeMap<(String, String), JobRecord>,
    leases: BTreeMap<String, Lease>,
    slots: BTreeMap<String, Slots>,
}

impl Tables {
    fn job(&mut self, run: &str, job: &str) -> Result<&mut JobRecord> {
        self.jobs
            .get_mut(&(run.to_owned(), job.to_owned()))
            .ok_or_else(|| Failure::corrupt(format!("job {job} of run {run} does not exist")))
    }
}

fn add(job: &mut JobRecord, totals: &Totals) {
    job.times = job.times.then(totals.times);
    job.statements.extend(totals.statements.iter().cloned());
    if let Some(rows) = totals.rows {
        job.rows = Some(job.rows.unwrap_or(0).saturating_add(rows));
    }
}

/// The three tables. Each method is one critical section.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Tables>);

impl MemoryLedger {
    /// Deletes the record of a run, as a person can do by hand.
    pub fn delete_run(&self, run: &str) {
        lock(&self.0).runs.remove(run);
    }

    /// All runs, by id.
    pub fn runs(&self) -> Vec<RunRecord> {
        lock(&self.0).runs.values().cloned().collect()
    }

    /// Does what Step Functions does in the Await state: `SET await_token IF attribute_exists(waiting_on)`. Returns
    /// false if the condition fails.
    pub fn set_await_token(&self, run: &str, job: &str, token: &str) -> bool {
        match lock(&self.0).job(run, job) {
            Ok(job) if !job.waiting_on.is_empty() => {
                job.await_token = Some(token.into());
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn run(&self, run: &str) -> Result<Option<RunRecord>> {
        Ok(lock(&self.0).runs.get(run).cloned())
    }

    async fn jobs(&self, run: &str) -> Result<Vec<JobRecord>> {
        let mut jobs: Vec<_> =
            lock(&self.0).jobs.values().filter(|job| job.workflow_execution_id == run).cloned().collect();
        jobs.sort_by_key(|job| job.plan.position);
        Ok(jobs)
    }

    async fn job(&self, run: &str, job: &str) -> Result<Option<JobRecord>> {
        Ok(lock(&self.0).jobs.get(&(run.to_owned(), job.to_owned())).cloned())
    }

    async fn lease(&self, workflow: &str) -> Result<Option<Lease>> {
        Ok(lock(&self.0).leases.get(workflow).cloned())
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let mut tables = lock(&self.0);
        let run = &opening.run;
        if let Some(existing) = tables.runs.get(&run.workflow_execution_id) {
            return Ok(Opened::Existing(Box::new(existing.clone())));
        }
        let mut lease = tables.leases.get(&run.workflow_id).cloned().unwrap_or_else(|| Lease {
            workflow_id: run.workflow_id.clone(),
            holder: None,
            fence: 0,
            expires_ts: Timestamp::UNIX_EPOCH,
            queue: Vec::new(),
        });
        match (opening.lease, &lease.holder) {
            (LeaseRequest::Take { .. }, Some(holder)) if *holder != run.workflow_execution_id => {
                return Ok(Opened::Held { holder: holder.clone(), expires_ts: lease.expires_ts });
            }
            (LeaseRequest::Take { until }, Some(_) | None) => {
                lease.holder = Some(run.workflow_execution_id.clone());
                lease.fence += 1;
                lease.expires_ts = until;
            }
            (LeaseRequest::Queue, None) => return Ok(Opened::Free),
            (LeaseRequest::Queue, Some(_)) => lease.queue.push(run.workflow_execution_id.clone()),
            (LeaseRequest::Leave, Some(_) | None) => {}
        }
        if opening.lease != LeaseRequest::Leave {
            tables.leases.insert(run.workflow_id.clone(), lease);
        }
        tables.runs.insert(run.workflow_execution_id.clone(), run.clone());
        for job in &opening.jobs {
            tables.jobs.insert((job.workflow_execution_id.clone(), job.plan.job_name.clone()), job.clone());
        }
        Ok(Opened::New)
    }

    async fn begin(&self, workflow: &str, run: &str, now: Timestamp, lease_until: Timestamp) -> Result<Begun> {
        let mut tables = lock(&self.0);
        if tables.runs.get(run).is_none_or(|run| run.execution_status.is_terminal()) {
            return Ok(Begun::Ended);
        }
        match tables.leases.get_mut(workflow) {
            Some(lease) if lease.holder.as_deref() == Some(run) => lease.expires_ts = lease_until,
            Some(_) | None => return Ok(Begun::LeaseLost),
        }
        if let Some(run) = tables.runs.get_mut(run) {
            run.execution_status = Status::Running;
            run.execution_start_ts.get_or_insert(now);
        }
        Ok(Begun::Running)
    }

    async fn claim(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord> {
        let mut tables = lock(&self.0);
        let job = tables.job(run, job)?;
        if !job.execution_status.is_terminal() && job.waiting_on.is_empty() {
            job.execution_status = Status::Running;
            job.task_token = Some(token.into());
            job.submitted_ts.get_or_insert(now);
            job.execution_start_ts.get_or_insert(now);
        }
        Ok(job.clone())
    }

    async fn advance(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced> {
        let mut tables = lock(&self.0);
        let job = tables.job(&at.run, &at.job)?;
        if job.execution_status.is_terminal() || (job.attempt, job.part) != (at.attempt, at.part) {
            return Ok(Advanced { fresh: false, job: job.clone() });
        }
        match step {
            Step::End(End { status, error, message, statement_id, totals }) => {
                job.execution_status = *status;
                job.execution_end_ts = Some(now);
                job.error_name = error.map(|kind| kind.name().into());
                job.error_message.clone_from(message);
                job.statement_id = statement_id.clone().or(job.statement_id.take());
                add(job, totals);
            }
            Step::Skip { reason, message } => {
                job.execution_status = Status::Skipped;
                job.execution_start_ts = None;
                job.execution_end_ts = Some(now);
                job.skip_reason = Some(*reason);
                job.error_message = Some(message.clone());
            }
            Step::NextAttempt(attempt) => {
                job.execution_status = Status::Pending;
                job.failed_attempts.push(attempt.clone());
                job.attempt += 1;
                job.submitted_ts = None;
                job.statement_id = None;
                job.cancelling = None;
                job.times = Times::default();
            }
            Step::Cancel(why) => job.cancelling = Some(why.clone()),
            Step::NextPart { statement_id, session_id, submitting, totals } => {
                job.part += 1;
                job.submitted_ts = submitting.then_some(now);
                job.statement_id.clone_from(statement_id);
                job.session_id = session_id.clone().or(job.session_id.take());
                add(job, totals);
            }
            Step::Hold => {
                job.execution_status = Status::Pending;
                job.submitted_ts = None;
                if (job.attempt, job.part) == (1, 1) {
                    job.execution_start_ts = None;
                }
                job.waiting_on.insert(SLOT.into());
            }
        }
        Ok(Advanced { fresh: true, job: job.clone() })
    }

    async fn count(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord> {
        let mut tables = lock(&self.0);
        let job = tables.job(run, job)?;
        if job.execution_status == Status::Succeeded {
            job.rows = Some(rows);
        }
        Ok(job.clone())
    }

    async fn free(&self, run: &str, dependent: &str, upstream: &str, failed: &BTreeSet<String>) -> Result<JobRecord> {
        let mut tables = lock(&self.0);
        let job = tables.job(run, dependent)?;
        job.waiting_on.remove(upstream);
        job.failed_upstreams.extend(failed.iter().cloned());
        Ok(job.clone())
    }

    async fn finish(
        &self,
        run: &str,
        status: Status,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(bool, RunRecord)> {
        let mut tables = lock(&self.0);
        let record = tables.runs.get_mut(run).ok_or_else(|| Failure::corrupt(format!("run {run} does not exist")))?;
        let fresh = !record.execution_status.is_terminal();
        if fresh {
            record.execution_status = status;
            record.execution_end_ts = Some(now);
            record.error_message = error.map(Into::into);
        }
        Ok((fresh, record.clone()))
    }

    async fn release(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released> {
        let mut tables = lock(&self.0);
        let Some(lease) = tables.leases.get_mut(workflow).filter(|lease| lease.holder.as_deref() == Some(run)) else {
            return Ok(Released::NotHeld);
        };
        if lease.queue.is_empty() {
            lease.holder = None;
            return Ok(Released::Rest);
        }
        let next = lease.queue.remove(0);
        lease.holder = Some(next.clone());
        lease.fence += 1;
        lease.expires_ts = until;
        Ok(Released::Handed(next))
    }

    async fn take_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<bool> {
        let mut tables = lock(&self.0);
        let slots = tables.slots.entry(pool.name.clone()).or_default();
        let has = slots.holders.contains(holder) || !slots.is_full(pool.limit);
        if has {
            slots.holders.insert(holder.clone());
            slots.queue.retain(|queued| queued.holder != *holder);
        }
        Ok(has)
    }

    async fn request_slot(&self, pool: &SlotPool, holder: &SlotHolder, now: Timestamp) -> Result<bool> {
        if self.take_slot(pool, holder).await? {
            return Ok(true);
        }
        let mut tables = lock(&self.0);
        let slots = tables.slots.entry(pool.name.clone()).or_default();
        if slots.queued(holder).next().is_none() && slots.queue.len() < limits::SLOT_QUEUE {
            slots.queue.insert(Queued { since: now, holder: holder.clone() });
        }
        Ok(false)
    }

    async fn return_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<Vec<SlotHolder>> {
        let mut tables = lock(&self.0);
        let slots = tables.slots.entry(pool.name.clone()).or_default();
        slots.holders.remove(holder);
        slots.queue.retain(|queued| queued.holder != *holder);
        let mut given = Vec::new();
        while !slots.is_full(pool.limit)
            && let Some(next) = slots.next().cloned()
        {
            slots.queue.remove(&next);
            slots.holders.insert(next.holder.clone());
            given.push(next.holder);
        }
        Ok(given)
    }

    async fn slots(&self, pool: &str) -> Result<Slots> {
        Ok(lock(&self.0).slots.get(pool).cloned().unwrap_or_default())
    }
}
