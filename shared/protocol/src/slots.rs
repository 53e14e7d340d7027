//! Slots: how many jobs of a stage, a workflow or a connection may have an active attempt at once
//! (docs/decisions/0010-slots.md).

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Connection;

/// Entry of [`waiting_on`](crate::JobRecord::waiting_on) of a job that waits for a slot. The name of a job contains no `@`.
pub const SLOT: &str = "@slot";

/// A pool of slots. A job needs a slot of each of its pools while it has an attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlotPool {
    /// Name of the pool, unique in the deployment. It begins with `@`, so it is not the id of a workflow.
    pub name: String,
    /// Number of slots.
    pub limit: u32,
}

impl SlotPool {
    /// The pool of a stage, by its number from 1. Two runs of a workflow do not run at the same time, so they share it.
    pub fn stage(workflow: &str, stage: u32, limit: u32) -> Self {
        Self { name: format!("@stage/{workflow}/{stage}"), limit }
    }

    /// The pool of a workflow.
    pub fn workflow(workflow: &str, limit: u32) -> Self {
        Self { name: format!("@workflow/{workflow}"), limit }
    }

    /// The pool of a connection with `max_parallel`; `None` as the name is the default connection of the deployment.
    pub fn connection(name: Option<&str>, limit: u32) -> Self {
        let name = name.map_or("@default-connection".into(), |name| format!("@connection/{name}"));
        Self { name, limit }
    }

    /// The pool that all connections without `max_parallel` to one warehouse share.
    pub fn warehouse(connection: &Connection, limit: u32) -> Self {
        let name = connection.warehouse();
        Self { name: format!("@warehouse/{name}"), limit }
    }
}

/// A job that has a slot or waits for one. The text form is `<run>:<job>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotHolder {
    /// Id of the run.
    pub run: String,
    /// Name of the job.
    pub job: String,
}

impl fmt::Display for SlotHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run, self.job)
    }
}

/// A text that is not `<run>:<job>`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a job: expected `<run>:<job>`")]
pub struct InvalidHolder(pub String);

impl FromStr for SlotHolder {
    type Err = InvalidHolder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (run, job) = text.split_once(':').ok_or_else(|| InvalidHolder(text.into()))?;
        Ok(Self { run: run.into(), job: job.into() })
    }
}

/// A job in the queue of a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queued {
    /// Time at which the job joined the queue.
    pub since: Timestamp,
    /// The job.
    pub holder: SlotHolder,
}

/// The state of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// Jobs that have a slot.
    pub holders: BTreeSet<SlotHolder>,
    /// Jobs that wait for a slot.
    pub queue: BTreeSet<Queued>,
}

impl Slots {
    /// Returns true if the pool has no free slot.
    pub fn is_full(&self, limit: u32) -> bool {
        self.holders.len() >= limit as usize
    }

    /// The job that gets the next free slot: of the run with the fewest slots, so that a large run does not block the others,
    /// the job that waits longest.
    pub fn next(&self) -> Option<&Queued> {
        let held = |run: &str| self.holders.iter().filter(|holder| holder.run == run).count();
        self.queue.iter().min_by_key(|queued| (held(&queued.holder.run), *queued))
    }

    /// The entries of a job in the queue. A job has more than one only if two launchers of it ran at the same time.
    pub fn queued<'a>(&'a self, holder: &'a SlotHolder) -> impl Iterator<Item = &'a Queued> {
        self.queue.iter().filter(move |queued| queued.holder == *holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(text: &str) -> SlotHolder {
        text.parse().unwrap()
    }

    /// Jobs with a slot; the queue, with the second in which each job joined it; the next job.
    type Case<'a> = (&'a [&'a str], &'a [(i64, &'a str)], Option<&'a str>);

    #[test]
    fn the_run_with_the_fewest_slots_is_next() {
        let cases: [Case<'_>; 6] = [
            (&["a:1"], &[], None),
            (&[], &[(2, "a:1"), (1, "b:1")], Some("b:1")),
            (&["a:1"], &[(1, "a:2"), (9, "b:1")], Some("b:1")),
            (&["a:1", "b:1"], &[(3, "a:2"), (2, "b:2")], Some("b:2")),
            (&["a:1", "a:2", "b:1"], &[(1, "a:3"), (2, "b:3"), (3, "b:2")], Some("b:3")),
            (&[], &[(1, "b:1"), (1, "a:2")], Some("a:2")),
        ];
        for (holders, queue, expected) in cases {
            let queued = |(second, text): &(i64, &str)| Queued {
                since: Timestamp::from_second(*second).unwrap(),
                holder: holder(text),
            };
            let slots = Slots {
                holders: holders.iter().map(|text| holder(text)).collect(),
                queue: queue.iter().map(queued).collect(),
            };
            assert_eq!(slots.next().map(|next| next.holder.to_string()).as_deref(), expected, "{holders:?}, {queue:?}");
        }
    }

    #[test]
    fn a_holder_round_trips_through_its_text() {
        let named = SlotHolder { run: "nightly_26".into(), job: "load/insert.sql".into() };
        assert_eq!(named.to_string().parse(), Ok(named));
        assert_eq!("nightly_26".parse::<SlotHolder>(), Err(InvalidHolder("nightly_26".into())));
    }
}
