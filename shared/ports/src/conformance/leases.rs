//! Checks of the lease of a workflow.

use super::{an_opening, both, fresh, minute, opened, take};
use crate::{LeaseRequest, Ledger, Opened, Released};

pub(super) async fn a_held_lease_is_not_taken_not_even_expired(ledger: &dyn Ledger) {
    let holder = opened(ledger).await;
    let before = ledger.lease(holder.workflow()).await.unwrap();
    // The lease expired long ago, but the run that holds it must be closed first.
    let other = an_opening(holder.workflow(), 2, take(minute(100_000)));
    let held = Opened::Held { holder: holder.id().into(), expires_ts: minute(15) };
    assert_eq!(ledger.open(&other).await, Ok(held));
    assert_eq!(ledger.run(other.id()).await, Ok(None), "nothing was written");
    assert_eq!(ledger.jobs(other.id()).await, Ok(vec![]), "nothing was written");
    assert_eq!(ledger.lease(holder.workflow()).await.unwrap(), before);

    assert_eq!(ledger.release(holder.workflow(), holder.id(), minute(20)).await, Ok(Released::Rest));
    assert_eq!(ledger.open(&other).await, Ok(Opened::New));
    let after = ledger.lease(holder.workflow()).await.unwrap().unwrap();
    assert_eq!(after.holder.as_deref(), Some(other.id()));
    assert_eq!(after.expires_ts, minute(100_000));
    assert!(after.fence > before.unwrap().fence, "the fence grows with every holder");
}

pub(super) async fn a_lease_goes_down_its_queue(ledger: &dyn Ledger) {
    let first = opened(ledger).await;
    let workflow = first.workflow();
    let second = an_opening(workflow, 2, LeaseRequest::Queue);
    let third = an_opening(workflow, 2, LeaseRequest::Queue);
    for next in [&second, &third] {
        assert_eq!(ledger.open(next).await, Ok(Opened::New));
        assert_eq!(ledger.run(next.id()).await, Ok(Some(next.run.clone())));
    }
    let mut fence = ledger.lease(workflow).await.unwrap().unwrap().fence;
    // Only the holder can release the lease.
    for other in [second.id(), third.id(), "other"] {
        assert_eq!(ledger.release(workflow, other, minute(20)).await, Ok(Released::NotHeld));
    }
    for (from, to, left) in [(&first, &second, vec![third.id()]), (&second, &third, vec![])] {
        assert_eq!(ledger.release(workflow, from.id(), minute(30)).await, Ok(Released::Handed(to.id().into())));
        assert_eq!(ledger.release(workflow, from.id(), minute(40)).await, Ok(Released::NotHeld), "again");
        let lease = ledger.lease(workflow).await.unwrap().unwrap();
        assert_eq!((lease.holder.as_deref(), lease.expires_ts), (Some(to.id()), minute(30)));
        assert_eq!(lease.queue, left);
        assert!(lease.fence > fence);
        fence = lease.fence;
    }
    assert_eq!(ledger.release(workflow, third.id(), minute(50)).await, Ok(Released::Rest));
    let lease = ledger.lease(workflow).await.unwrap().unwrap();
    assert_eq!(lease.holder, None);
    assert!(lease.fence >= fence, "the fence never decreases");
}

pub(super) async fn a_free_lease_has_no_queue(ledger: &dyn Ledger) {
    let mut early = an_opening(&fresh("workflow"), 2, LeaseRequest::Queue);
    assert_eq!(ledger.open(&early).await, Ok(Opened::Free));
    assert_eq!(ledger.run(early.id()).await, Ok(None), "nothing was written");
    assert_eq!(ledger.lease(early.workflow()).await, Ok(None), "nothing was written");
    early.lease = take(minute(15));
    assert_eq!(ledger.open(&early).await, Ok(Opened::New));

    assert_eq!(ledger.release(early.workflow(), early.id(), minute(20)).await, Ok(Released::Rest));
    let late = an_opening(early.workflow(), 2, LeaseRequest::Queue);
    assert_eq!(ledger.open(&late).await, Ok(Opened::Free), "the lease was released");
    assert_eq!(ledger.lease(early.workflow()).await.unwrap().unwrap().queue, [""; 0]);
}

pub(super) async fn one_of_two_runs_takes_a_free_lease(ledger: &dyn Ledger) {
    let workflow = fresh("workflow");
    let one = an_opening(&workflow, 3, take(minute(15)));
    let two = an_opening(&workflow, 3, take(minute(15)));
    let (a, b) = both(ledger.open(&one), ledger.open(&two)).await;
    let (winner, loser, answer) = match (a.unwrap(), b.unwrap()) {
        (Opened::New, other) => (&one, &two, other),
        (other, Opened::New) => (&two, &one, other),
        neither => panic!("exactly one run takes the lease: {neither:?}"),
    };
    assert_eq!(answer, Opened::Held { holder: winner.id().into(), expires_ts: minute(15) });
    assert_eq!(ledger.lease(&workflow).await.unwrap().unwrap().holder.as_deref(), Some(winner.id()));
    assert_eq!(ledger.run(loser.id()).await, Ok(None));
}

pub(super) async fn two_runs_queue_at_once(ledger: &dyn Ledger) {
    let holder = opened(ledger).await;
    let one = an_opening(holder.workflow(), 2, LeaseRequest::Queue);
    let two = an_opening(holder.workflow(), 2, LeaseRequest::Queue);
    let (a, b) = both(ledger.open(&one), ledger.open(&two)).await;
    assert_eq!((a, b), (Ok(Opened::New), Ok(Opened::New)));
    let mut queue = ledger.lease(holder.workflow()).await.unwrap().unwrap().queue;
    queue.sort();
    let mut both = [one.id(), two.id()];
    both.sort_unstable();
    assert_eq!(queue, both, "the queue has each run once");
}
