//! Checks of the beginning and the end of a run.

use shiftwork_protocol::Status;

use super::{an_opening, both, minute, opened};
use crate::{Begun, LeaseRequest, Ledger, Opened, Released};

pub(super) async fn a_run_begins_once_and_renews_its_lease(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (workflow, run) = (opening.workflow(), opening.id());
    for (now, until) in [(minute(1), minute(100)), (minute(2), minute(200))] {
        assert_eq!(ledger.begin(workflow, run, now, until).await, Ok(Begun::Running));
        let mut expected = opening.run.clone();
        expected.execution_status = Status::Running;
        expected.execution_start_ts = Some(minute(1));
        assert_eq!(ledger.run(run).await, Ok(Some(expected)), "the first call sets the start");
        assert_eq!(ledger.lease(workflow).await.unwrap().unwrap().expires_ts, until);
    }
}

pub(super) async fn a_queued_run_begins_once_it_holds_the_lease(ledger: &dyn Ledger) {
    let holder = opened(ledger).await;
    let workflow = holder.workflow();
    let queued = an_opening(workflow, 2, LeaseRequest::Queue);
    assert_eq!(ledger.open(&queued).await, Ok(Opened::New));
    let before = ledger.lease(workflow).await.unwrap();
    assert_eq!(ledger.begin(workflow, queued.id(), minute(1), minute(100)).await, Ok(Begun::LeaseLost));
    assert_eq!(ledger.run(queued.id()).await, Ok(Some(queued.run.clone())), "the run has not begun");
    assert_eq!(ledger.lease(workflow).await.unwrap(), before);

    assert_eq!(ledger.release(workflow, holder.id(), minute(30)).await, Ok(Released::Handed(queued.id().into())));
    assert_eq!(ledger.begin(workflow, queued.id(), minute(2), minute(100)).await, Ok(Begun::Running));
    assert_eq!(ledger.run(queued.id()).await.unwrap().unwrap().execution_status, Status::Running);
    // The run that released the lease has not ended, but must not start its jobs.
    assert_eq!(ledger.begin(workflow, holder.id(), minute(3), minute(100)).await, Ok(Begun::LeaseLost));
}

pub(super) async fn an_ended_run_does_not_begin(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (workflow, run) = (opening.workflow(), opening.id());
    ledger.finish(run, Status::Aborted, Some("cancelled"), minute(1)).await.unwrap();
    let before = (ledger.run(run).await, ledger.lease(workflow).await);
    assert_eq!(ledger.begin(workflow, run, minute(2), minute(100)).await, Ok(Begun::Ended));
    assert_eq!((ledger.run(run).await, ledger.lease(workflow).await), before);
    assert_eq!(ledger.release(workflow, run, minute(3)).await, Ok(Released::Rest));
    assert_eq!(ledger.begin(workflow, run, minute(4), minute(100)).await, Ok(Begun::Ended), "also without the lease");
}

pub(super) async fn a_run_ends_once(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let run = opening.id();
    let mut expected = opening.run.clone();
    expected.execution_status = Status::Failed;
    expected.execution_end_ts = Some(minute(5));
    expected.error_message = Some("the first error".into());
    let end = ledger.finish(run, Status::Failed, Some("the first error"), minute(5)).await;
    assert_eq!(end, Ok((true, expected.clone())));
    let again = ledger.finish(run, Status::Succeeded, None, minute(6)).await;
    assert_eq!(again, Ok((false, expected.clone())), "the first end is kept");
    assert_eq!(ledger.run(run).await, Ok(Some(expected)));

    let opening = opened(ledger).await;
    let (fresh, ended) = ledger.finish(opening.id(), Status::Succeeded, None, minute(5)).await.unwrap();
    assert_eq!((fresh, ended.execution_status, ended.error_message), (true, Status::Succeeded, None));
}

pub(super) async fn racing_ends_agree(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let run = opening.id();
    let (a, b) = both(
        ledger.finish(run, Status::Aborted, Some("cancelled"), minute(5)),
        ledger.finish(run, Status::Succeeded, None, minute(6)),
    )
    .await;
    let ((first, a), (second, b)) = (a.unwrap(), b.unwrap());
    assert!(first != second, "exactly one call ends the run");
    assert_eq!(a, b, "both calls return the same end");
}
