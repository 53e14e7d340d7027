//! Opening a run.
//!
//! A plan of at most 98 jobs is written in one transaction with its run and its lease. A larger plan takes several
//! transactions, but for every reader it is still all or nothing:
//!
//! 1. *Announce.* The run is written as PLANNING with a `planner`, a nonce of this call, if the lease can be taken.
//! 2. *Fill.* The jobs are written. Each transaction requires that the run is PLANNING with this planner.
//! 3. *Seal.* The last transaction writes the remaining jobs, sets the status of the run, removes `planner` and takes
//!    the lease or joins its queue. No function starts the run before this step.
//!
//! A planner that cannot take the lease in step 3, or that fails, *gives up*: it removes its nonce and leaves the run
//! PLANNING. A planner that crashes leaves its nonce. The next `open` for the same request takes over a run without a
//! planner at once, and a run with a planner after [`PLANNER_SECONDS`]. It takes the same three steps with its own
//! nonce, and deletes the jobs of the first planner that its plan does not have. A caller that got `Held` calls `open`
//! again, with `Queue` or without a lease, and so takes over the run that it left. A planner that was slow and was
//! taken over fails on its next condition.

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

/// Seconds after which a planner is assumed to have crashed. They are longer than the timeout of the trigger.
const PLANNER_SECONDS: i64 = 75;
/// Attribute of a PLANNING run: time at which its planner announced it. Only this module reads it.
const PLANNING_TS: &str = "planning_ts";
/// Maximum number of jobs of one transaction, which also has an action for the run and one for the lease.
const JOBS_AT_ONCE: usize = limits::TRANSACTION_ITEMS - 2;
/// Maximum size of one transaction's jobs in bytes. DynamoDB allows 4 MB ("Amazon DynamoDB Transactions: How it
/// works"), which the run and the lease share.
const BYTES_AT_ONCE: usize = 3 * 1024 * 1024;
/// Index of the run's action in every transaction of this module.
const RUN: usize = 0;
/// Index of the lease's action, if there is one.
const LEASE: usize = 1;

/// Implements [`shiftwork_ports::Ledger::open`].
pub(super) async fn open(ledger: &DynamoLedger, opening: &Opening) -> Result<Opened> {
    let plan = Plan::new(ledger, opening)?;
    let jobs = plan.jobs()?;
    let first = if fits(&jobs) {
        plan.write_in_one_transaction(jobs).await?
    } else {
        plan.write_in_steps(Before::Nothing, jobs).await?
    };
    let item = match first {
        Written::Done(opened) => return Ok(opened),
        Written::Occupied(item) => item,
    };
    let planner = match plan.classify(item)? {
        ExistingRun::Done(opened) => return Ok(opened),
        ExistingRun::Abandoned { planner } => planner,
    };
    match plan.write_in_steps(Before::Abandoned { planner }, plan.jobs()?).await? {
        Written::Done(opened) => Ok(opened),
        Written::Occupied(item) => match plan.classify(item)? {
            ExistingRun::Done(opened) => Ok(opened),
            // Another planner took the run over and gave up in the meantime. The caller repeats its request.
            ExistingRun::Abandoned { .. } => Ok(Opened::BeingPlanned),
        },
    }
}

/// The result of writing a run.
enum Written {
    Done(Opened),
    /// The run exists, as this item.
    Occupied(Item),
}

/// The consequence of a run that exists.
enum ExistingRun {
    Done(Opened),
    /// The planner gave up and removed its nonce, or crashed.
    Abandoned {
        planner: Option<String>,
    },
}

/// The item that a planner expects when it announces a run.
enum Before {
    Nothing,
    Abandoned { planner: Option<String> },
}

/// A write with its approximate size in bytes.
type Sized = (TransactWriteItem, usize);

struct Plan<'a> {
    ledger: &'a DynamoLedger,
    opening: &'a Opening,
    /// Nonce of this call.
    nonce: String,
    /// Name of the run in failures.
    what: String,
}

impl<'a> Plan<'a> {
    fn new(ledger: &'a DynamoLedger, opening: &'a Opening) -> Result<Self> {
        let what = format!("run {} of workflow {}", opening.run.workflow_execution_id, opening.run.workflow_id);
        if opening.jobs.len() > limits::JOBS {
            return Err(Failure::new(
                FailureKind::Refused,
                format!("{what} has {} jobs, which is above the limit of {} jobs", opening.jobs.len(), limits::JOBS),
            ));
        }
        Ok(Self { ledger, opening, nonce: Uuid::new_v4().to_string(), what })
    }

    fn run(&self) -> &'a str {
        &self.opening.run.workflow_execution_id
    }

    async fn write_in_one_transaction(&self, jobs: Vec<Sized>) -> Result<Written> {
        let run = self.put_run(self.record()?).condition_expression("attribute_not_exists(workflow_execution_id)");
        let mut actions = vec![put(run)?];
        actions.extend(self.take_lease()?);
        actions.extend(jobs.into_iter().map(|(put, _)| put));
        let mut refusal = match self.ledger.transact(&self.what, actions).await? {
            Transacted::Done => return Ok(Written::Done(Opened::New)),
            Transacted::Refused(refusal) => refusal,
        };
        match refusal.of(RUN) {
            Some(run) => Ok(Self::occupied(run)),
            None => Ok(Written::Done(self.lease_refused(refusal.of(LEASE).flatten())?)),
        }
    }

    async fn write_in_steps(&self, before: Before, jobs: Vec<Sized>) -> Result<Written> {
        let taken_over = matches!(before, Before::Abandoned { .. });
        if let Some(tried) = self.announce(before).await? {
            return Ok(tried);
        }
        let outcome = self.fill_and_seal(jobs, taken_over).await;
        if matches!(&outcome, Err(_) | Ok(Written::Done(Opened::Held { .. } | Opened::Free))) {
            self.give_up().await;
        }
        outcome
    }

    /// Takes step 1; returns `None` if this planner may write the run.
    async fn announce(&self, before: Before) -> Result<Option<Written>> {
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
            Some(run) => Self::occupied(run),
            None => Written::Done(self.lease_refused(refusal.of(LEASE).flatten())?),
        }))
    }

    /// Takes steps 2 and 3.
    async fn fill_and_seal(&self, mut writes: Vec<Sized>, taken_over: bool) -> Result<Written> {
        if taken_over {
            // Read them now, because after step 1 the first planner can write no more jobs.
            writes.extend(self.jobs_to_delete().await?);
        }
        let mut batches = batches(writes);
        let last = batches.pop().unwrap_or_default();
        for batch in batches {
            let mut actions = vec![self.check_planner()?];
            actions.extend(batch);
            if let Transacted::Refused(mut refusal) = self.ledger.transact(&self.what, actions).await? {
                return Ok(Self::occupied(refusal.of(RUN).flatten()));
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
            Transacted::Done => return Ok(Written::Done(Opened::New)),
            Transacted::Refused(refusal) => refusal,
        };
        match refusal.of(RUN) {
            Some(run) => Ok(Self::occupied(run)),
            None => Ok(Written::Done(self.lease_refused(refusal.of(LEASE).flatten())?)),
        }
    }

    /// Removes the nonce, so that the next `open` takes the run over at once. If this fails, it has to wait for
    /// [`PLANNER_SECONDS`].
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
            Err(failure) => {
                let name = failure.kind.name();
                tracing::warn!(
                    failure = name,
                    "a partly written run keeps the nonce of a planner that failed: {failure}"
                );
            }
        }
    }

    /// Handles a run that this planner may not write. If there is no item, the run was deleted while it was planned,
    /// and the caller repeats its request.
    fn occupied(run: Option<Item>) -> Written {
        run.map_or_else(
            || {
                tracing::warn!("the run was deleted while it was being planned");
                Written::Done(Opened::BeingPlanned)
            },
            Written::Occupied,
        )
    }

    fn classify(&self, item: Item) -> Result<ExistingRun> {
        let announced = item
            .get(PLANNING_TS)
            .and_then(|at| at.as_s().ok())
            .and_then(|at| at.parse::<Timestamp>().ok())
            // A PLANNING run without this attribute was not announced by this module and may be taken over.
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let existing: RunRecord = items::read(item, &self.ledger.tables.workflow_audit)?;
        if existing.execution_status != Status::Planning || existing.request_sha256 != self.opening.run.request_sha256 {
            return Ok(ExistingRun::Done(Opened::Existing(Box::new(existing))));
        }
        let crashed = Timestamp::now().duration_since(announced) > SignedDuration::from_secs(PLANNER_SECONDS);
        Ok(match existing.planner {
            Some(_) if !crashed => ExistingRun::Done(Opened::BeingPlanned),
            planner => ExistingRun::Abandoned { planner },
        })
    }

    /// Converts the failed condition of the lease; `lease` is the item that did not meet it.
    fn lease_refused(&self, lease: Option<Item>) -> Result<Opened> {
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
                    format_args!("a condition failed, and DynamoDB did not return the item of {table} that failed it"),
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

    /// Makes the condition of the lease without a change.
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

    /// Makes the change of the lease with its condition.
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
                    .update_expression("SET queue = list_append(if_not_exists(queue, :empty), :me)")
                    .condition_expression(MAY_QUEUE)
                    .expression_attribute_values(":empty", list([]))
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
                // JSON is slightly longer than the size that DynamoDB computes.
                let bytes = serde_json::to_vec(job).map_or(BYTES_AT_ONCE, |text| text.len());
                Ok((put(Put::builder().table_name(table).set_item(Some(items::write_job(job, table)?)))?, bytes))
            })
            .collect()
    }

    /// Makes deletions of the jobs of an earlier planner that this plan does not have.
    async fn jobs_to_delete(&self) -> Result<Vec<Sized>> {
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
        let mut jobs_to_delete = Vec::new();
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
                jobs_to_delete.push((TransactWriteItem::builder().delete(delete).build(), name.len()));
            }
        }
        Ok(jobs_to_delete)
    }
}

/// An expired lease cannot be taken: the caller first closes the run that holds it, which releases the lease.
const MAY_TAKE: &str = "attribute_not_exists(holder) OR holder = :run";
const MAY_QUEUE: &str = "attribute_exists(holder)";

/// Returns true if one transaction can have these jobs with their run and lease.
fn fits(jobs: &[Sized]) -> bool {
    jobs.len() <= JOBS_AT_ONCE && jobs.iter().map(|(_, bytes)| bytes).sum::<usize>() <= BYTES_AT_ONCE
}

/// Splits writes into as few transactions as possible, and at least one, which may be empty.
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
