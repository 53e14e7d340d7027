//! Opening a run.
//!
//! A plan of at most 98 jobs is one transaction with its run and its lease. A larger one takes several, and must still
//! be all or nothing for every reader:
//!
//! 1. *Announce.* The run is put as PLANNING with a `planner`, a nonce of this very call, if the lease allows it now.
//! 2. *Fill.* Jobs follow, each transaction on condition that the run is still PLANNING under this planner.
//! 3. *Seal.* The last transaction writes the last jobs, gives the run its status, removes `planner` and takes (or
//!    queues for) the lease. Nothing starts a run before it.
//!
//! A planner that finds the lease gone at step 3, or that fails on the way, *gives up*: it removes its nonce and leaves
//! the run PLANNING. One that dies leaves the nonce behind. The next `open` of the same request takes a run without a
//! planner over at once, and one whose planner announced itself more than [`PLANNER_SECONDS`] ago; it goes through the
//! same three steps with a nonce of its own, and deletes jobs of the first planner that its own plan does not have. So the
//! follow-up of a caller that was answered `Held` (open again, with `Queue` or without a lease) needs no way of its own.
//! A planner that was taken over while it only slept fails on its next condition.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    builders::{ConditionCheckBuilder, PutBuilder, UpdateBuilder},
};
use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{LeaseRequest, Opened, Opening, Result};
use shiftwork_protocol::{Failure, FailureKind, Lease, RunRecord, Status, limits};
use uuid::Uuid;

use super::{
    DynamoLedger, Item, instant, items, job_key,
    jobs::{Updated, status},
    lease_key, number, run_key, text,
    transaction::{Transacted, incomplete},
};
use crate::failures::Call;

/// A planner is given up for dead after this many seconds. The trigger's timeout is shorter.
const PLANNER_SECONDS: i64 = 75;
/// Attribute of a PLANNING run: when its planner announced itself. Nobody reads it but this module.
const PLANNING_TS: &str = "planning_ts";
/// Jobs of one transaction: the run (or the check that it is still ours) and the lease go with them.
const JOBS_AT_ONCE: usize = limits::TRANSACTION_ITEMS - 2;
/// Bytes of one transaction's jobs. DynamoDB takes 4 MB ("Amazon DynamoDB Transactions: How it works"); the run and the
/// lease need some of it.
const BYTES_AT_ONCE: usize = 3 * 1024 * 1024;
/// Position of the run's action in every transaction of this module.
const RUN: usize = 0;
/// Position of the lease's action where there is one.
const LEASE: usize = 1;

/// See [`shiftwork_ports::Ledger::open`].
pub(super) async fn open(ledger: &DynamoLedger, opening: &Opening) -> Result<Opened> {
    let plan = Plan::new(ledger, opening)?;
    let jobs = plan.jobs()?;
    let first =
        if fits(&jobs) { plan.write_at_once(jobs).await? } else { plan.write_in_steps(Before::Nothing, jobs).await? };
    let item = match first {
        Tried::Answer(opened) => return Ok(opened),
        Tried::Occupied(item) => item,
    };
    let planner = match plan.judge(item)? {
        Standing::Answer(opened) => return Ok(opened),
        Standing::Abandoned { planner } => planner,
    };
    match plan.write_in_steps(Before::Abandoned { planner }, plan.jobs()?).await? {
        Tried::Answer(opened) => Ok(opened),
        Tried::Occupied(item) => match plan.judge(item)? {
            Standing::Answer(opened) => Ok(opened),
            // Another one took it over, and gave up, in the meantime. The caller comes again.
            Standing::Abandoned { .. } => Ok(Opened::BeingPlanned),
        },
    }
}

/// What became of one way to write the run.
enum Tried {
    Answer(Opened),
    /// The run is there already, as this item.
    Occupied(Item),
}

/// What a run that is there already means for this opening.
enum Standing {
    Answer(Opened),
    /// Its planner gave up (and left no nonce), or is dead.
    Abandoned {
        planner: Option<String>,
    },
}

/// What a planner that announces itself expects to find.
enum Before {
    Nothing,
    Abandoned { planner: Option<String> },
}

/// A write and about how many bytes it is.
type Sized = (TransactWriteItem, usize);

struct Plan<'a> {
    ledger: &'a DynamoLedger,
    opening: &'a Opening,
    /// This call, for the runs that it announces.
    nonce: String,
    /// For failures.
    what: String,
}

impl<'a> Plan<'a> {
    fn new(ledger: &'a DynamoLedger, opening: &'a Opening) -> Result<Self> {
        let what = format!("run {} of workflow {}", opening.run.workflow_execution_id, opening.run.workflow_id);
        if opening.jobs.len() > limits::JOBS {
            return Err(Failure::new(
                FailureKind::Refused,
                format!("{what} has {} jobs; a run has at most {}", opening.jobs.len(), limits::JOBS),
            ));
        }
        Ok(Self { ledger, opening, nonce: Uuid::new_v4().to_string(), what })
    }

    fn run(&self) -> &'a str {
        &self.opening.run.workflow_execution_id
    }

    async fn write_at_once(&self, jobs: Vec<Sized>) -> Result<Tried> {
        let run = self.put_run(self.record()?).condition_expression("attribute_not_exists(workflow_execution_id)");
        let mut actions = vec![put(run)?];
        actions.extend(self.take_lease()?);
        actions.extend(jobs.into_iter().map(|(put, _)| put));
        let mut refusal = match self.ledger.transact(&self.what, actions).await? {
            Transacted::Done => return Ok(Tried::Answer(Opened::New)),
            Transacted::Refused(refusal) => refusal,
        };
        match refusal.of(RUN) {
            Some(run) => Ok(self.occupied(run)),
            None => Ok(Tried::Answer(self.no_lease(refusal.of(LEASE).flatten())?)),
        }
    }

    async fn write_in_steps(&self, before: Before, jobs: Vec<Sized>) -> Result<Tried> {
        let taken_over = matches!(before, Before::Abandoned { .. });
        if let Some(tried) = self.announce(before).await? {
            return Ok(tried);
        }
        let outcome = self.fill_and_seal(jobs, taken_over).await;
        if matches!(&outcome, Err(_) | Ok(Tried::Answer(Opened::Held { .. } | Opened::Free))) {
            self.give_up().await;
        }
        outcome
    }

    /// Step 1; `None` when the run is this planner's.
    async fn announce(&self, before: Before) -> Result<Option<Tried>> {
        let mut run = self.opening.run.clone();
        run.execution_status = Status::Planning;
        run.planner = Some(self.nonce.clone());
        let mut item = items::write(&run, &self.ledger.tables.workflow_audit)?;
        item.insert(PLANNING_TS.into(), instant(Timestamp::now()));
        let run = match before {
            Before::Nothing => self.put_run(item).condition_expression("attribute_not_exists(workflow_execution_id)"),
            Before::Abandoned { planner: None } => self
                .put_run(item)
                .condition_expression("execution_status = :planning AND attribute_not_exists(planner)")
                .expression_attribute_values(":planning", status(Status::Planning)),
            Before::Abandoned { planner: Some(dead) } => self
                .put_run(item)
                .condition_expression("execution_status = :planning AND planner = :dead")
                .expression_attribute_values(":planning", status(Status::Planning))
                .expression_attribute_values(":dead", text(dead)),
        };
        let mut actions = vec![put(run)?];
        actions.extend(self.check_lease()?);
        let mut refusal = match self.ledger.transact(&self.what, actions).await? {
            Transacted::Done => return Ok(None),
            Transacted::Refused(refusal) => refusal,
        };
        Ok(Some(match refusal.of(RUN) {
            Some(run) => self.occupied(run),
            None => Tried::Answer(self.no_lease(refusal.of(LEASE).flatten())?),
        }))
    }

    /// Steps 2 and 3.
    async fn fill_and_seal(&self, mut writes: Vec<Sized>, taken_over: bool) -> Result<Tried> {
        if taken_over {
            // Only now: from here on the first planner, should it still live, writes nothing more.
            writes.extend(self.strays().await?);
        }
        let mut batches = batches(writes);
        let last = batches.pop().unwrap_or_default();
        for batch in batches {
            let mut actions = vec![self.check_planner()?];
            actions.extend(batch);
            if let Transacted::Refused(mut refusal) = self.ledger.transact(&self.what, actions).await? {
                return Ok(self.occupied(refusal.of(RUN).flatten()));
            }
        }
        let run = self
            .put_run(self.record()?)
            .condition_expression("execution_status = :planning AND planner = :planner")
            .expression_attribute_values(":planning", status(Status::Planning))
            .expression_attribute_values(":planner", text(&self.nonce));
        let mut actions = vec![put(run)?];
        actions.extend(self.take_lease()?);
        actions.extend(last);
        let mut refusal = match self.ledger.transact(&self.what, actions).await? {
            Transacted::Done => return Ok(Tried::Answer(Opened::New)),
            Transacted::Refused(refusal) => refusal,
        };
        match refusal.of(RUN) {
            Some(run) => Ok(self.occupied(run)),
            None => Ok(Tried::Answer(self.no_lease(refusal.of(LEASE).flatten())?)),
        }
    }

    /// Leaves the run to whoever opens it next. Where this fails, they wait for [`PLANNER_SECONDS`].
    async fn give_up(&self) {
        let table = &self.ledger.tables.workflow_audit;
        let update = self
            .ledger
            .client
            .update_item()
            .set_key(Some(run_key(self.run())))
            .update_expression("REMOVE planner")
            .condition_expression("planner = :planner")
            .expression_attribute_values(":planner", text(&self.nonce));
        match self.ledger.update::<RunRecord>(table, update).await {
            Ok(Updated::Done(_) | Updated::Refused(_)) => {}
            Err(failure) => tracing::warn!(run = self.run(), %failure, "a half-written run stays with a dead planner"),
        }
    }

    /// The run is not (or no longer) ours to write. Without an item somebody deleted it under a planner: the next try
    /// begins anew.
    fn occupied(&self, run: Option<Item>) -> Tried {
        run.map_or_else(
            || {
                tracing::warn!(run = self.run(), "deleted while it was being planned");
                Tried::Answer(Opened::BeingPlanned)
            },
            Tried::Occupied,
        )
    }

    fn judge(&self, item: Item) -> Result<Standing> {
        let announced = item
            .get(PLANNING_TS)
            .and_then(|at| at.as_s().ok())
            .and_then(|at| at.parse::<Timestamp>().ok())
            // A PLANNING run without the time was not announced by this module; it must not block for ever.
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let existing: RunRecord = items::read(item, &self.ledger.tables.workflow_audit)?;
        if existing.execution_status != Status::Planning || existing.request_sha256 != self.opening.run.request_sha256 {
            return Ok(Standing::Answer(Opened::Existing(Box::new(existing))));
        }
        let dead = Timestamp::now().duration_since(announced) > SignedDuration::from_secs(PLANNER_SECONDS);
        Ok(match existing.planner {
            Some(_) if !dead => Standing::Answer(Opened::BeingPlanned),
            planner => Standing::Abandoned { planner },
        })
    }

    /// The wish for the lease was not granted; `lease` is the item that stood against it.
    fn no_lease(&self, lease: Option<Item>) -> Result<Opened> {
        let table = &self.ledger.tables.leases;
        let lease: Option<Lease> = lease.map(|item| items::read(item, table)).transpose()?;
        match (self.opening.lease, lease) {
            (LeaseRequest::Take { .. }, Some(Lease { holder: Some(holder), expires_ts, .. })) => {
                Ok(Opened::Held { holder, expires_ts })
            }
            (LeaseRequest::Queue, _) => Ok(Opened::Free),
            (LeaseRequest::Take { .. } | LeaseRequest::Leave, _) => {
                Err(Call::new("DynamoDB TransactWriteItems", &self.what).failure(
                    FailureKind::Corrupt,
                    format_args!("a condition failed without the item that made it fail; look at it in {table}"),
                ))
            }
        }
    }

    fn record(&self) -> Result<Item> {
        items::write(&self.opening.run, &self.ledger.tables.workflow_audit)
    }

    fn put_run(&self, item: Item) -> PutBuilder {
        Put::builder()
            .table_name(&self.ledger.tables.workflow_audit)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    fn check_planner(&self) -> Result<TransactWriteItem> {
        check(
            ConditionCheck::builder()
                .table_name(&self.ledger.tables.workflow_audit)
                .set_key(Some(run_key(self.run())))
                .condition_expression("execution_status = :planning AND planner = :planner")
                .expression_attribute_values(":planning", status(Status::Planning))
                .expression_attribute_values(":planner", text(&self.nonce)),
        )
    }

    /// The wish for the lease, as a condition alone.
    fn check_lease(&self) -> Result<Option<TransactWriteItem>> {
        let lease = ConditionCheck::builder()
            .table_name(&self.ledger.tables.leases)
            .set_key(Some(lease_key(&self.opening.run.workflow_id)));
        match self.opening.lease {
            LeaseRequest::Take { .. } => {
                check(lease.condition_expression(MAY_TAKE).expression_attribute_values(":run", text(self.run())))
                    .map(Some)
            }
            LeaseRequest::Queue => check(lease.condition_expression(MAY_QUEUE)).map(Some),
            LeaseRequest::Leave => Ok(None),
        }
    }

    /// The wish for the lease, granted on its condition.
    fn take_lease(&self) -> Result<Option<TransactWriteItem>> {
        let lease = Update::builder()
            .table_name(&self.ledger.tables.leases)
            .set_key(Some(lease_key(&self.opening.run.workflow_id)));
        match self.opening.lease {
            LeaseRequest::Take { until } => update(
                lease
                    .update_expression(
                        "SET holder = :run, fence = if_not_exists(fence, :zero) + :one, expires_ts = :until",
                    )
                    .condition_expression(MAY_TAKE)
                    .expression_attribute_values(":run", text(self.run()))
                    .expression_attribute_values(":zero", number(0))
                    .expression_attribute_values(":one", number(1))
                    .expression_attribute_values(":until", instant(until)),
            )
            .map(Some),
            LeaseRequest::Queue => update(
                lease
                    .update_expression("SET queue = list_append(if_not_exists(queue, :nobody), :me)")
                    .condition_expression(MAY_QUEUE)
                    .expression_attribute_values(":nobody", list([]))
                    .expression_attribute_values(":me", list([text(self.run())])),
            )
            .map(Some),
            LeaseRequest::Leave => Ok(None),
        }
    }

    fn jobs(&self) -> Result<Vec<Sized>> {
        let table = &self.ledger.tables.job_audit;
        self.opening
            .jobs
            .iter()
            .map(|job| {
                // As JSON a job is a little longer than DynamoDB counts it.
                let bytes = serde_json::to_vec(job).map_or(BYTES_AT_ONCE, |text| text.len());
                Ok((put(Put::builder().table_name(table).set_item(Some(items::write_job(job, table)?)))?, bytes))
            })
            .collect()
    }

    /// Deletions of the jobs that an earlier planner left behind and this plan does not have.
    async fn strays(&self) -> Result<Vec<Sized>> {
        let table = &self.ledger.tables.job_audit;
        let planned: HashSet<_> = self.opening.jobs.iter().map(|job| job.plan.job_name.as_str()).collect();
        let mut pages = self
            .ledger
            .client
            .query()
            .table_name(table)
            .key_condition_expression("workflow_execution_id = :run")
            .projection_expression("job_name")
            .expression_attribute_values(":run", text(self.run()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut strays = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| Call::new("DynamoDB Query", table).failed(error))?;
            if let Some(name) = item.get("job_name").and_then(|name| name.as_s().ok())
                && !planned.contains(name.as_str())
            {
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(job_key(self.run(), name)))
                    .build()
                    .map_err(incomplete)?;
                strays.push((TransactWriteItem::builder().delete(delete).build(), name.len()));
            }
        }
        Ok(strays)
    }
}

/// An expired lease is not free: the caller closes the run that holds it, and that run's lease is released.
const MAY_TAKE: &str = "attribute_not_exists(holder) OR holder = :run";
const MAY_QUEUE: &str = "attribute_exists(holder)";

/// Whether one transaction takes these jobs, with their run and lease.
fn fits(jobs: &[Sized]) -> bool {
    jobs.len() <= JOBS_AT_ONCE && jobs.iter().map(|(_, bytes)| bytes).sum::<usize>() <= BYTES_AT_ONCE
}

/// Writes in as few transactions as take them; at least one, which may be empty.
fn batches(writes: Vec<Sized>) -> Vec<Vec<TransactWriteItem>> {
    let mut batches = Vec::new();
    let (mut batch, mut filled) = (Vec::new(), 0);
    for (write, bytes) in writes {
        if batch.len() == JOBS_AT_ONCE || (!batch.is_empty() && filled + bytes > BYTES_AT_ONCE) {
            batches.push(std::mem::take(&mut batch));
            filled = 0;
        }
        batch.push(write);
        filled += bytes;
    }
    batches.push(batch);
    batches
}

fn list<const N: usize>(members: [AttributeValue; N]) -> AttributeValue {
    AttributeValue::L(members.into())
}

fn put(put: PutBuilder) -> Result<TransactWriteItem> {
    Ok(TransactWriteItem::builder().put(put.build().map_err(incomplete)?).build())
}

fn update(update: UpdateBuilder) -> Result<TransactWriteItem> {
    let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Ok(TransactWriteItem::builder().update(update.build().map_err(incomplete)?).build())
}

fn check(check: ConditionCheckBuilder) -> Result<TransactWriteItem> {
    let check = check.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Ok(TransactWriteItem::builder().condition_check(check.build().map_err(incomplete)?).build())
}

#[cfg(test)]
mod tests {
    use super::{BYTES_AT_ONCE, JOBS_AT_ONCE, TransactWriteItem, batches};

    fn sizes(writes: &[usize]) -> Vec<usize> {
        let writes = writes.iter().map(|bytes| (TransactWriteItem::builder().build(), *bytes)).collect();
        batches(writes).iter().map(Vec::len).collect()
    }

    #[test]
    fn batches_keep_to_dynamodbs_limits() {
        assert_eq!(sizes(&[]), [0]);
        assert_eq!(sizes(&[1; JOBS_AT_ONCE]), [98]);
        assert_eq!(sizes(&[1; JOBS_AT_ONCE + 1]), [98, 1]);
        assert_eq!(sizes(&[BYTES_AT_ONCE / 2; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[BYTES_AT_ONCE + 1, 1]), [1, 1]);
    }
}
