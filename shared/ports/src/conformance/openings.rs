//! Checks of opening a run.

use std::collections::BTreeSet;

use shiftwork_protocol::{FailureKind, Status};

use super::{a_run, an_opening, both, fresh, kind, minute, opened, success, take};
use crate::{Begun, LeaseRequest, Ledger, Opened, Opening, Released, Step};

pub(super) async fn nothing_is_there_before(ledger: &dyn Ledger) {
    let opening = an_opening(&fresh("workflow"), 1, take(minute(15)));
    let (workflow, run, job) = (opening.workflow(), opening.id(), opening.job(0));
    assert_eq!(ledger.run(run).await, Ok(None));
    assert_eq!(ledger.jobs(run).await, Ok(vec![]));
    assert_eq!(ledger.job(run, job).await, Ok(None));
    assert_eq!(ledger.lease(workflow).await, Ok(None));
    assert_eq!(ledger.begin(workflow, run, minute(1), minute(2)).await, Ok(Begun::Ended));
    assert_eq!(ledger.release(workflow, run, minute(2)).await, Ok(Released::NotHeld));
    let corrupt = Some(FailureKind::Corrupt);
    assert_eq!(kind(ledger.claim(run, job, "token", minute(1)).await), corrupt);
    assert_eq!(kind(ledger.advance(&opening.at(0, 1, 1), &Step::End(success()), minute(1)).await), corrupt);
    assert_eq!(kind(ledger.free(run, job, "upstream", &BTreeSet::new()).await), corrupt);
    assert_eq!(kind(ledger.finish(run, Status::Aborted, None, minute(1)).await), corrupt);
    // None of these calls created an item.
    nothing_of(ledger, &opening).await;
    assert_eq!(ledger.lease(workflow).await, Ok(None));
}

pub(super) async fn a_run_its_jobs_and_its_lease_are_written_together(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    is_whole(ledger, &opening).await;
    assert_eq!(ledger.job(opening.id(), opening.job(2)).await, Ok(Some(opening.jobs[2].clone())));
    assert_eq!(ledger.job(opening.id(), "no_such_job").await, Ok(None));
    let lease = ledger.lease(opening.workflow()).await.unwrap().unwrap();
    assert_eq!(lease.holder.as_deref(), Some(opening.id()));
    assert_eq!((lease.expires_ts, lease.queue), (minute(15), vec![]));
}

pub(super) async fn a_run_is_opened_once(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let lease = ledger.lease(opening.workflow()).await.unwrap();
    let mut again = opening.clone();
    again.run.request_sha256 = "another request".into();
    again.run.created_ts = minute(5);
    again.jobs.truncate(1);
    for wish in [take(minute(30)), LeaseRequest::Queue, LeaseRequest::Leave] {
        again.lease = wish;
        assert_eq!(ledger.open(&again).await, Ok(Opened::Existing(Box::new(opening.run.clone()))), "{wish:?}");
    }
    is_whole(ledger, &opening).await;
    assert_eq!(ledger.lease(opening.workflow()).await.unwrap(), lease);
}

pub(super) async fn a_recorded_run_leaves_the_lease_unchanged(ledger: &dyn Ledger) {
    let workflow = fresh("workflow");
    let mut skipped = a_run(&workflow, Status::Skipped, 0);
    skipped.error_message = Some("overlapped".into());
    let skipped = Opening { run: skipped, jobs: vec![], lease: LeaseRequest::Leave };
    assert_eq!(ledger.open(&skipped).await, Ok(Opened::New));
    is_whole(ledger, &skipped).await;
    assert_eq!(ledger.lease(&workflow).await, Ok(None), "the workflow has never run");

    let holder = opened(ledger).await;
    let before = ledger.lease(holder.workflow()).await.unwrap();
    let beside = an_opening(holder.workflow(), 2, LeaseRequest::Leave);
    assert_eq!(ledger.open(&beside).await, Ok(Opened::New));
    is_whole(ledger, &beside).await;
    assert_eq!(ledger.lease(holder.workflow()).await.unwrap(), before);
}

pub(super) async fn one_of_two_racers_opens_a_run(ledger: &dyn Ledger) {
    let opening = an_opening(&fresh("workflow"), 6, take(minute(15)));
    let (a, b) = both(ledger.open(&opening), ledger.open(&opening)).await;
    let results = [a.unwrap(), b.unwrap()];
    let existing = Opened::Existing(Box::new(opening.run.clone()));
    assert!(
        results == [Opened::New, existing.clone()] || results == [existing, Opened::New],
        "one call opens the run and the other finds it: {results:?}"
    );
    is_whole(ledger, &opening).await;
    assert_eq!(ledger.lease(opening.workflow()).await.unwrap().unwrap().fence, 1, "the lease was taken once");
}

pub(super) async fn a_plan_of_any_size_is_whole(ledger: &dyn Ledger, jobs: usize) {
    let opening = an_opening(&fresh("workflow"), jobs, take(minute(15)));
    assert_eq!(ledger.open(&opening).await, Ok(Opened::New));
    is_whole(ledger, &opening).await;
    let lease = ledger.lease(opening.workflow()).await.unwrap().unwrap();
    assert_eq!((lease.holder.as_deref(), lease.expires_ts), (Some(opening.id()), minute(15)));
    assert_eq!(ledger.open(&opening).await, Ok(Opened::Existing(Box::new(opening.run.clone()))));
    assert_eq!(ledger.begin(opening.workflow(), opening.id(), minute(1), minute(99)).await, Ok(Begun::Running));
}

pub(super) async fn a_large_plan_that_finds_the_lease_held_can_queue(ledger: &dyn Ledger) {
    let holder = opened(ledger).await;
    let mut large = an_opening(holder.workflow(), 150, take(minute(30)));
    assert_eq!(ledger.open(&large).await, Ok(Opened::Held { holder: holder.id().into(), expires_ts: minute(15) }));
    nothing_of(ledger, &large).await;
    // The workflow's configuration changed between the two tries.
    large.jobs.truncate(120);
    large.run.jobs = 120;
    large.run.execution_status = Status::Queued;
    large.lease = LeaseRequest::Queue;
    assert_eq!(ledger.open(&large).await, Ok(Opened::New));
    is_whole(ledger, &large).await;
    assert_eq!(ledger.lease(holder.workflow()).await.unwrap().unwrap().queue, [large.id()]);
}

pub(super) async fn one_of_two_racers_opens_a_large_run(ledger: &dyn Ledger) {
    let opening = an_opening(&fresh("workflow"), 220, take(minute(15)));
    let (a, b) = both(ledger.open(&opening), ledger.open(&opening)).await;
    let results = [a.unwrap(), b.unwrap()];
    let news = results.iter().filter(|answer| **answer == Opened::New).count();
    let late = |answer: &Opened| matches!(answer, Opened::Existing(_) | Opened::BeingPlanned);
    assert!(news == 1 && results.iter().any(late), "one call opens the run and the other finds it: {results:?}");
    is_whole(ledger, &opening).await;
}

async fn is_whole(ledger: &dyn Ledger, opening: &Opening) {
    assert_eq!(ledger.run(opening.id()).await, Ok(Some(opening.run.clone())));
    assert_eq!(ledger.jobs(opening.id()).await, Ok(opening.jobs.clone()), "all jobs, ordered by position");
}

async fn nothing_of(ledger: &dyn Ledger, opening: &Opening) {
    assert_eq!(ledger.run(opening.id()).await, Ok(None));
    assert_eq!(ledger.jobs(opening.id()).await, Ok(vec![]));
}
