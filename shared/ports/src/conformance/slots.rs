//! Checks of the slots of a pool.

use std::collections::BTreeSet;

use shiftwork_protocol::{SlotHolder, SlotPool};

use super::{both, fresh, minute};
use crate::Ledger;

fn pool(limit: u32) -> SlotPool {
    SlotPool { name: format!("@{}", fresh("pool")), limit }
}

fn holder(run: &str, job: &str) -> SlotHolder {
    SlotHolder { run: run.into(), job: job.into() }
}

pub(super) async fn a_pool_has_as_many_slots_as_its_limit(ledger: &dyn Ledger) {
    let pool = pool(2);
    let [a, b, c] = ["a.sql", "b.sql", "c/c.sql"].map(|job| holder("run-1", job));
    assert_eq!(ledger.slots(&pool.name).await.unwrap().holders, BTreeSet::new(), "nothing was written");
    assert_eq!(ledger.return_slot(&pool, &a).await, Ok(vec![]), "no slot was taken");
    for job in [&a, &b, &a] {
        assert_eq!(ledger.take_slot(&pool, job).await, Ok(true), "a job that has a slot keeps it");
    }
    assert_eq!(ledger.take_slot(&pool, &c).await, Ok(false));
    let slots = ledger.slots(&pool.name).await.unwrap();
    assert_eq!((slots.holders, slots.queue.len()), (BTreeSet::from([a.clone(), b]), 0), "taking does not queue");
    for _ in 0..2 {
        assert_eq!(ledger.return_slot(&pool, &a).await, Ok(vec![]), "no job waits");
    }
    assert_eq!(ledger.take_slot(&pool, &c).await, Ok(true));
}

pub(super) async fn a_free_slot_goes_to_the_queue(ledger: &dyn Ledger) {
    let pool = pool(2);
    let [a1, a2, a3, a4] = ["1", "2", "3", "4"].map(|job| holder("a", job));
    let [b1, b2] = ["1", "2"].map(|job| holder("b", job));
    for (minutes, job, expected) in
        [(0, &a1, true), (0, &a2, true), (1, &a3, false), (2, &a4, false), (3, &b2, false), (4, &b1, false)]
    {
        for _ in 0..2 {
            assert_eq!(ledger.request_slot(&pool, job, minute(minutes)).await, Ok(expected), "{job}");
        }
    }
    assert_eq!(ledger.slots(&pool.name).await.unwrap().queue.len(), 4, "a job is in the queue once");
    // The run with the fewest slots is first, and in a run the job that waits longest.
    assert_eq!(ledger.return_slot(&pool, &a1).await, Ok(vec![b2.clone()]));
    assert_eq!(ledger.return_slot(&pool, &a1).await, Ok(vec![]), "a slot is given back once");
    assert_eq!(ledger.request_slot(&pool, &b2, minute(5)).await, Ok(true), "the job has the slot that it was given");
    // A job that leaves the queue is not given a slot.
    assert_eq!(ledger.return_slot(&pool, &a3).await, Ok(vec![]));
    assert_eq!(ledger.return_slot(&pool, &a2).await, Ok(vec![a4.clone()]));
    assert_eq!(ledger.return_slot(&pool, &b2).await, Ok(vec![b1.clone()]));
    let slots = ledger.slots(&pool.name).await.unwrap();
    assert_eq!((slots.holders, slots.queue.len()), (BTreeSet::from([a4, b1]), 0));
}

/// A plan that was made with another limit uses the same pool.
pub(super) async fn a_larger_limit_gives_more_slots(ledger: &dyn Ledger) {
    let small = pool(1);
    let large = SlotPool { limit: 3, ..small.clone() };
    let [a, b, c] = ["1", "2", "3"].map(|job| holder("a", job));
    assert_eq!(ledger.request_slot(&small, &a, minute(0)).await, Ok(true));
    assert_eq!(ledger.request_slot(&small, &b, minute(1)).await, Ok(false));
    assert_eq!(ledger.request_slot(&small, &c, minute(2)).await, Ok(false));
    assert_eq!(
        ledger.request_slot(&large, &c, minute(2)).await,
        Ok(true),
        "it is in the queue, and a slot is free for it"
    );
    assert_eq!(ledger.slots(&small.name).await.unwrap().queue.len(), 1, "it left the queue");
    assert_eq!(ledger.return_slot(&large, &a).await, Ok(vec![b]));
}

pub(super) async fn racing_requests_do_not_exceed_the_limit(ledger: &dyn Ledger) {
    for _ in 0..5 {
        let pool = pool(1);
        let [a, b, c] = ["1", "2", "3"].map(|job| holder("a", job));
        let requests = both(ledger.request_slot(&pool, &a, minute(0)), ledger.request_slot(&pool, &b, minute(0))).await;
        let (Ok(first), Ok(second)) = requests else { panic!("{requests:?}") };
        assert_ne!(first, second, "one of the two has the slot");
        let (has, waits) = if first { (&a, &b) } else { (&b, &a) };
        // Whichever call is last, the slot has one holder, and the others wait or have it.
        let (returned, requested) =
            both(ledger.return_slot(&pool, has), ledger.request_slot(&pool, &c, minute(1))).await;
        let (given, requested) = (returned.unwrap(), requested.unwrap());
        assert!(given.len() + usize::from(requested) == 1, "given to {given:?}, taken: {requested}");
        let slots = ledger.slots(&pool.name).await.unwrap();
        let queued: BTreeSet<_> = slots.queue.iter().map(|queued| queued.holder.clone()).collect();
        assert_eq!(slots.holders.len(), 1);
        assert_eq!(&slots.holders | &queued, BTreeSet::from([waits.clone(), c]), "no job is lost");
    }
}
