//! The updates at the beginning and the end of a run, and the release of its lease.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use jiff::Timestamp;
use shiftwork_ports::{Begun, Released, Result};
use shiftwork_protocol::{FailureKind, Lease, RunRecord, Status};

use super::{
    DynamoLedger,
    change::Change,
    instant,
    jobs::{Updated, status},
    lease_key, number, run_key, text,
    transaction::{Transacted, incomplete},
};
use crate::failures::Call;

/// Maximum number of tries to pass a lease on while its queue changes. Only the holder removes runs from the queue, so
/// a second try is unusual.
const TRIES: u32 = 5;

impl DynamoLedger {
    /// Implements [`shiftwork_ports::Ledger::begin`].
    pub(super) async fn begin_run(
        &self,
        workflow: &str,
        run: &str,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Begun> {
        let begun = Update::builder()
            .table_name(&self.tables.workflow_audit)
            .set_key(Some(run_key(run)))
            .update_expression(
                "SET execution_status = :running, execution_start_ts = if_not_exists(execution_start_ts, :now)",
            )
            .condition_expression("execution_status IN (:pending, :queued, :running)")
            .expression_attribute_values(":pending", status(Status::Pending))
            .expression_attribute_values(":queued", status(Status::Queued))
            .expression_attribute_values(":running", status(Status::Running))
            .expression_attribute_values(":now", instant(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(incomplete)?;
        let renewed = Update::builder()
            .table_name(&self.tables.leases)
            .set_key(Some(lease_key(workflow)))
            .update_expression("SET expires_ts = :until")
            .condition_expression("holder = :run")
            .expression_attribute_values(":run", text(run))
            .expression_attribute_values(":until", instant(lease_until))
            .build()
            .map_err(incomplete)?;
        let actions = vec![
            TransactWriteItem::builder().update(begun).build(),
            TransactWriteItem::builder().update(renewed).build(),
        ];
        let mut refusal = match self.transact(&format!("run {run} and the lease of {workflow}"), actions).await? {
            Transacted::Done => return Ok(Begun::Running),
            Transacted::Refused(refusal) => refusal,
        };
        match refusal.of(0) {
            // A run in status PLANNING never held the lease.
            Some(Some(item)) if item.get("execution_status") == Some(&status(Status::Planning)) => Ok(Begun::LeaseLost),
            Some(_) => Ok(Begun::Ended),
            None => Ok(Begun::LeaseLost),
        }
    }

    /// Implements [`shiftwork_ports::Ledger::finish`].
    pub(super) async fn finish_run(
        &self,
        run: &str,
        end: Status,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(bool, RunRecord)> {
        let table = &self.tables.workflow_audit;
        let mut change = Change::default();
        change.set("execution_status", status(end));
        change.set("execution_end_ts", instant(now));
        if let Some(error) = error {
            change.set("error_message", text(error));
        }
        // Without its nonce, a planner fails on the condition of its next transaction.
        change.remove("planner");
        let mut update = self
            .client
            .update_item()
            .set_key(Some(run_key(run)))
            .condition_expression("execution_status IN (:planning, :queued, :pending, :running)");
        for open in [Status::Planning, Status::Queued, Status::Pending, Status::Running] {
            update = update.expression_attribute_values(format!(":{}", open.as_str().to_lowercase()), status(open));
        }
        match self.update(table, change.on(update)).await? {
            Updated::Done(record) => Ok((true, record)),
            Updated::Refused(Some(record)) => Ok((false, record)),
            Updated::Refused(None) => Err(Call::new("DynamoDB UpdateItem", table).failure(
                FailureKind::Corrupt,
                format_args!("run {run} does not exist; it may have been deleted manually"),
            )),
        }
    }

    /// Implements [`shiftwork_ports::Ledger::release`].
    pub(super) async fn release_lease(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released> {
        let table = &self.tables.leases;
        let lease = || self.client.update_item().set_key(Some(lease_key(workflow)));
        let rest = lease()
            .update_expression("REMOVE holder")
            .condition_expression("holder = :run AND (attribute_not_exists(queue) OR size(queue) = :zero)")
            .expression_attribute_values(":run", text(run))
            .expression_attribute_values(":zero", number(0));
        let mut found: Updated<Lease> = self.update(table, rest).await?;
        for _ in 0..TRIES {
            let next = match found {
                Updated::Done(_) => return Ok(Released::Rest),
                Updated::Refused(Some(lease)) if lease.holder.as_deref() == Some(run) => lease.queue.into_iter().next(),
                Updated::Refused(_) => return Ok(Released::NotHeld),
            };
            // The condition failed because the queue was not empty, but it is empty now: it was changed manually.
            let Some(next) = next else { break };
            let hand = lease()
                .update_expression("SET holder = :next, fence = fence + :one, expires_ts = :until REMOVE queue[0]")
                .condition_expression("holder = :run AND queue[0] = :next")
                .expression_attribute_values(":run", text(run))
                .expression_attribute_values(":next", text(&next))
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":until", instant(until));
            found = match self.update(table, hand).await? {
                Updated::Done(Lease { .. }) => return Ok(Released::Handed(next)),
                refused @ Updated::Refused(_) => refused,
            };
        }
        Err(Call::new("DynamoDB UpdateItem", table).failure(
            FailureKind::Unavailable,
            format_args!("the queue of workflow {workflow} changed on every try to pass its lease on: trying again"),
        ))
    }
}
