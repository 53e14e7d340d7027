//! The slots of a pool: an item of the table of leases. Each change is one conditional `UpdateItem` that adds or deletes a
//! member of a string set, so that concurrent changes are kept and a repeated change has no effect.
//!
//! | attribute | holds |
//! | --- | --- |
//! | `workflow_id` | the name of the pool |
//! | `holders` | the jobs that have a slot, as `<run>:<job>` |
//! | `queue:<run>` | the jobs of a run that wait for a slot, as `<milliseconds since 1970> <job>` |

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};
use jiff::Timestamp;
use serde::Deserialize;
use shiftwork_ports::Result;
use shiftwork_protocol::{Failure, FailureKind, SlotHolder, SlotPool, Slots, limits, slots::Queued};

use super::{DynamoLedger, jobs::Updated, lease_key, text};

/// Prefix of the attribute with the queue of a run.
const QUEUE: &str = "queue:";
/// Condition that a slot is free.
const FREE: &str = "(attribute_not_exists(holders) OR size(holders) < :limit)";
/// Number of tries of a request whose pool changes between two of its writes.
const TRIES: u32 = 8;

/// An item of the table of leases with the slots of a pool.
#[derive(Debug, Default, Deserialize)]
struct Item {
    #[serde(rename = "workflow_id", default)]
    pool: String,
    #[serde(default)]
    holders: BTreeSet<String>,
    #[serde(flatten)]
    queues: BTreeMap<String, BTreeSet<String>>,
}

impl Item {
    fn slots(&self) -> Result<Slots> {
        let invalid = |what: &str| {
            Failure::corrupt(format!("the pool {} has `{what}`, which is not in the format of shiftwork", self.pool))
        };
        let holders = self.holders.iter().map(|holder| holder.parse().map_err(|_| invalid(holder)));
        let holders = holders.collect::<Result<_>>()?;
        let mut queue = BTreeSet::new();
        for (attribute, entries) in &self.queues {
            let run = attribute.strip_prefix(QUEUE).ok_or_else(|| invalid(attribute))?;
            for entry in entries {
                let (since, job) = entry.split_once(' ').ok_or_else(|| invalid(entry))?;
                let since = since.parse().ok().and_then(|since| Timestamp::from_millisecond(since).ok());
                let since = since.ok_or_else(|| invalid(entry))?;
                queue.insert(Queued { since, holder: SlotHolder { run: run.into(), job: job.into() } });
            }
        }
        Ok(Slots { holders, queue })
    }
}

/// The member of the set `queue:<run>`.
fn entry(queued: &Queued) -> String {
    format!("{} {}", queued.since.as_millisecond(), queued.holder.job)
}

fn one(member: impl Into<String>) -> AttributeValue {
    AttributeValue::Ss(vec![member.into()])
}

impl DynamoLedger {
    /// Implements [`shiftwork_ports::Ledger::take_slot`].
    pub(super) async fn take(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<bool> {
        match self.try_to_take(pool, holder).await? {
            Updated::Done(slots) => self.leave_queue(pool, holder, slots).await.map(|_| true),
            Updated::Refused(_) => Ok(false),
        }
    }

    /// Implements [`shiftwork_ports::Ledger::request_slot`].
    pub(super) async fn request(&self, pool: &SlotPool, holder: &SlotHolder, now: Timestamp) -> Result<bool> {
        for _ in 0..TRIES {
            let slots = match self.try_to_take(pool, holder).await? {
                Updated::Done(slots) => return self.leave_queue(pool, holder, slots).await.map(|_| true),
                Updated::Refused(slots) => slots.unwrap_or_default(),
            };
            if slots.queued(holder).next().is_some() || slots.queue.len() >= limits::SLOT_QUEUE {
                return Ok(false);
            }
            // The job joins only while no slot is free: the function that frees one then finds the job in the queue.
            let queued = Queued { since: now, holder: holder.clone() };
            let join = self
                .of_queue(pool, &queued)
                .update_expression("ADD #queue :entry")
                .condition_expression("size(holders) >= :limit")
                .expression_attribute_values(":limit", AttributeValue::N(pool.limit.to_string()));
            match self.change_slots(join).await? {
                Updated::Done(_) => return Ok(false),
                Updated::Refused(_) => {}
            }
        }
        let message = format!("the slots of {} changed {TRIES} times while {holder} requested one", pool.name);
        Err(Failure::new(FailureKind::Throttled, message))
    }

    /// Implements [`shiftwork_ports::Ledger::return_slot`].
    pub(super) async fn give_back(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<Vec<SlotHolder>> {
        let give_back = self
            .of_pool(pool)
            .update_expression("DELETE holders :holder")
            .condition_expression("attribute_exists(workflow_id)")
            .expression_attribute_values(":holder", one(holder.to_string()));
        let mut slots = match self.change_slots(give_back).await? {
            Updated::Done(slots) => self.leave_queue(pool, holder, slots).await?,
            // No job has requested a slot of this pool.
            Updated::Refused(_) => return Ok(Vec::new()),
        };
        let mut given = Vec::new();
        while !slots.is_full(pool.limit)
            && let Some(next) = slots.next().cloned()
        {
            let give = self
                .of_queue(pool, &next)
                .update_expression("DELETE #queue :entry ADD holders :holder")
                .condition_expression(format!("contains(#queue, :member) AND {FREE}"))
                .expression_attribute_values(":member", text(entry(&next)))
                .expression_attribute_values(":holder", one(next.holder.to_string()))
                .expression_attribute_values(":limit", AttributeValue::N(pool.limit.to_string()));
            slots = match self.change_slots(give).await? {
                Updated::Done(slots) => {
                    given.push(next.holder);
                    slots
                }
                // Another function gave the slot, or took the job from the queue.
                Updated::Refused(slots) => slots.unwrap_or_default(),
            };
        }
        Ok(given)
    }

    /// Implements [`shiftwork_ports::Ledger::slots`].
    pub(super) async fn pool(&self, pool: &str) -> Result<Slots> {
        let item: Option<Item> = self.get(&self.tables.leases, lease_key(pool)).await?;
        item.unwrap_or_default().slots()
    }

    async fn try_to_take(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<Updated<Slots>> {
        let take = self
            .of_pool(pool)
            .update_expression("ADD holders :holder")
            .condition_expression(format!("contains(holders, :member) OR {FREE}"))
            .expression_attribute_values(":member", text(holder.to_string()))
            .expression_attribute_values(":holder", one(holder.to_string()))
            .expression_attribute_values(":limit", AttributeValue::N(pool.limit.to_string()));
        self.change_slots(take).await
    }

    /// Removes a job from the queue, in which it only is if it waited.
    async fn leave_queue(&self, pool: &SlotPool, holder: &SlotHolder, mut slots: Slots) -> Result<Slots> {
        for queued in slots.clone().queued(holder) {
            let leave = self.of_queue(pool, queued).update_expression("DELETE #queue :entry");
            match self.change_slots(leave).await? {
                Updated::Done(after) => slots = after,
                Updated::Refused(_) => {}
            }
        }
        Ok(slots)
    }

    fn of_pool(&self, pool: &SlotPool) -> UpdateItemFluentBuilder {
        self.client.update_item().set_key(Some(lease_key(&pool.name)))
    }

    /// An update of the queue `#queue` with the entry `:entry`.
    fn of_queue(&self, pool: &SlotPool, queued: &Queued) -> UpdateItemFluentBuilder {
        self.of_pool(pool)
            .expression_attribute_names("#queue", format!("{QUEUE}{}", queued.holder.run))
            .expression_attribute_values(":entry", one(entry(queued)))
    }

    async fn change_slots(&self, update: UpdateItemFluentBuilder) -> Result<Updated<Slots>> {
        Ok(match self.update::<Item>(&self.tables.leases, update).await? {
            Updated::Done(item) => Updated::Done(item.slots()?),
            Updated::Refused(item) => Updated::Refused(item.map(|item| item.slots()).transpose()?),
        })
    }
}
