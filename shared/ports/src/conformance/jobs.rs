//! Checks of the steps of a job.

use std::collections::BTreeSet;

use shiftwork_protocol::{FailedAttempt, FailureKind, JobRecord, SLOT, SkipReason, Status, Times};

use super::{both, failure, minute, opened, success, totals};
use crate::{Advanced, Ledger, Opening, Step};

/// Reads the job at a position.
async fn stored(ledger: &dyn Ledger, opening: &Opening, position: usize) -> JobRecord {
    ledger.job(opening.id(), opening.job(position)).await.unwrap().unwrap()
}

fn next_part(statement_id: Option<&str>) -> Step {
    let statement_id = statement_id.map(Into::into);
    Step::NextPart { statement_id, session_id: None, submitting: false, totals: totals(3) }
}

fn failed_attempt(number: u32) -> FailedAttempt {
    FailedAttempt {
        attempt: number,
        part: 2,
        submitted_ts: Some(minute(1)),
        ended_ts: minute(2),
        error_name: FailureKind::SerializationConflict.name().into(),
        error_message: "1023".into(),
        statement_id: Some(format!("id-{number}")),
        retry_ts: Some(minute(3)),
        times: totals(0).times,
    }
}

pub(super) async fn a_claim_is_the_intent_to_submit(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let mut expected = opening.jobs[0].clone();
    expected.execution_status = Status::Running;
    expected.submitted_ts = Some(minute(1));
    expected.execution_start_ts = Some(minute(1));
    for (token, now) in [("token-1", minute(1)), ("token-2", minute(2))] {
        expected.task_token = Some(token.into());
        let claimed = ledger.claim(opening.id(), opening.job(0), token, now).await;
        assert_eq!(claimed, Ok(expected.clone()), "the latest token and the time of the first claim");
        assert_eq!(stored(ledger, &opening, 0).await, expected);
    }
    assert_eq!(stored(ledger, &opening, 1).await, opening.jobs[1], "the other job is unchanged");
}

pub(super) async fn a_job_that_waits_or_ended_is_not_claimed(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let waiting = ledger.claim(opening.id(), opening.job(2), "token", minute(1)).await;
    assert_eq!(waiting, Ok(opening.jobs[2].clone()));
    assert_eq!(stored(ledger, &opening, 2).await, opening.jobs[2]);

    let ended = ledger.advance(&opening.at(0, 1, 1), &Step::End(success()), minute(2)).await.unwrap().job;
    assert_eq!(ledger.claim(opening.id(), opening.job(0), "late", minute(3)).await, Ok(ended.clone()));
    assert_eq!(stored(ledger, &opening, 0).await, ended);
}

pub(super) async fn upstreams_free_their_dependent(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (run, dependent) = (opening.id(), opening.job(2));
    let mut expected = opening.jobs[2].clone();
    expected.waiting_on.remove(opening.job(0));
    let none = BTreeSet::new();
    for _ in 0..2 {
        assert_eq!(ledger.free(run, dependent, opening.job(0), &none).await, Ok(expected.clone()));
    }
    expected.waiting_on.clear();
    for failed in ["root", opening.job(1)] {
        expected.failed_upstreams.insert(failed.into());
        for _ in 0..2 {
            let failed = BTreeSet::from([failed.to_owned()]);
            assert_eq!(ledger.free(run, dependent, opening.job(1), &failed).await, Ok(expected.clone()));
        }
    }
    let claimed = ledger.claim(run, dependent, "token", minute(1)).await.unwrap();
    assert_eq!(claimed.execution_status, Status::Running, "the job waits for no upstream");
    // A late copy of the event does not change the dependent, which is running.
    assert_eq!(ledger.free(run, dependent, opening.job(0), &none).await, Ok(claimed));

    let opening = opened(ledger).await;
    let (run, dependent) = (opening.id(), opening.job(2));
    let (a, b) =
        both(ledger.free(run, dependent, opening.job(0), &none), ledger.free(run, dependent, opening.job(1), &none))
            .await;
    assert!(
        a.unwrap().waiting_on.is_empty() || b.unwrap().waiting_on.is_empty(),
        "the later of the two calls returns a job without upstreams"
    );
    assert!(stored(ledger, &opening, 2).await.waiting_on.is_empty());
}

pub(super) async fn a_job_ends_once(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    for (position, end) in [(0, success()), (1, failure())] {
        let at = opening.at(position, 1, 1);
        let mut expected = ledger.claim(opening.id(), opening.job(position), "token", minute(1)).await.unwrap();
        expected.execution_status = end.status;
        expected.execution_end_ts = Some(minute(2));
        expected.error_name = end.error.map(|kind| kind.name().into());
        expected.error_message.clone_from(&end.message);
        expected.statement_id.clone_from(&end.statement_id);
        expected.rows = end.totals.rows;
        expected.times = end.totals.times;
        expected.statements.clone_from(&end.totals.statements);
        let step = Step::End(end);
        let ended = ledger.advance(&at, &step, minute(2)).await;
        assert_eq!(ended, Ok(Advanced { fresh: true, job: expected.clone() }));
        let is_counted = expected.execution_status == Status::Succeeded;
        expected.rows = if is_counted { Some(40) } else { expected.rows };
        for _ in 0..2 {
            let counted = ledger.count(opening.id(), opening.job(position), 40).await;
            assert_eq!(counted.as_ref(), Ok(&expected), "only a job that succeeded has rows");
        }
        for late in [step, Step::End(failure()), Step::NextAttempt(failed_attempt(1)), next_part(None)] {
            let again = ledger.advance(&at, &late, minute(3)).await;
            assert_eq!(again, Ok(Advanced { fresh: false, job: expected.clone() }), "{late:?}");
        }
        assert_eq!(stored(ledger, &opening, position).await, expected);
    }
}

pub(super) async fn a_job_ends_without_having_run(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    for (position, reason) in [(0, SkipReason::ConditionNotMet), (2, SkipReason::UpstreamFailed)] {
        // The launcher claims a job before it finds that the job must be skipped.
        ledger.claim(opening.id(), opening.job(position), "token", minute(1)).await.unwrap();
        let skip = Step::Skip { reason, message: "not run".into() };
        let advanced = ledger.advance(&opening.at(position, 1, 1), &skip, minute(2)).await.unwrap();
        assert!(advanced.fresh);
        assert_eq!(advanced.job.execution_status, Status::Skipped);
        assert_eq!((advanced.job.skip_reason, advanced.job.error_message.as_deref()), (Some(reason), Some("not run")));
        assert_eq!((advanced.job.execution_start_ts, advanced.job.execution_end_ts), (None, Some(minute(2))));
        assert_eq!((&advanced.job.error_name, &advanced.job.statement_id), (&None, &None));
        let again = ledger.advance(&opening.at(position, 1, 1), &Step::End(success()), minute(3)).await;
        assert_eq!(again, Ok(Advanced { fresh: false, job: advanced.job }));
    }
    // The job ended while it waited. Its upstreams still end.
    let freed = ledger.free(opening.id(), opening.job(2), opening.job(0), &BTreeSet::new()).await.unwrap();
    assert_eq!(freed.execution_status, Status::Skipped);
}

pub(super) async fn attempts_follow_each_other(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (run, job) = (opening.id(), opening.job(0));
    ledger.claim(run, job, "token-1", minute(1)).await.unwrap();
    ledger.advance(&opening.at(0, 1, 1), &next_part(Some("id-1")), minute(1)).await.unwrap();
    let step = Step::NextAttempt(failed_attempt(1));
    let next = ledger.advance(&opening.at(0, 1, 2), &step, minute(2)).await.unwrap();
    assert!(next.fresh);
    assert_eq!(next.job.execution_status, Status::Pending);
    assert_eq!((next.job.attempt, next.job.part), (2, 2), "with the part that failed: the first part is committed");
    assert_eq!((next.job.submitted_ts, next.job.statement_id.as_deref()), (None, None));
    assert_eq!(next.job.execution_start_ts, Some(minute(1)), "the job began with its first attempt");
    assert_eq!(next.job.failed_attempts, [failed_attempt(1)]);
    assert_eq!(next.job.times, Times::default(), "the times are those of one attempt");
    assert_eq!((next.job.rows, &next.job.statements), (Some(3), &totals(3).statements), "the first part is committed");

    // Late or repeated events of the first attempt have no effect.
    for stale in [step, Step::End(success()), next_part(None)] {
        for part in [1, 2] {
            let again = ledger.advance(&opening.at(0, 1, part), &stale, minute(3)).await;
            assert_eq!(again, Ok(Advanced { fresh: false, job: next.job.clone() }), "{stale:?}");
        }
    }
    let early = ledger.advance(&opening.at(0, 3, 2), &Step::End(success()), minute(3)).await.unwrap();
    assert!(!early.fresh, "an attempt that has not begun");

    let claimed = ledger.claim(run, job, "token-2", minute(4)).await.unwrap();
    assert_eq!((claimed.submitted_ts, claimed.execution_start_ts), (Some(minute(4)), Some(minute(1))));
    ledger.advance(&opening.at(0, 2, 2), &Step::NextAttempt(failed_attempt(2)), minute(5)).await.unwrap();
    let third = ledger.advance(&opening.at(0, 3, 2), &Step::End(success()), minute(6)).await.unwrap();
    assert!(third.fresh);
    assert_eq!(third.job.failed_attempts, [failed_attempt(1), failed_attempt(2)], "in the order of the attempts");
}

pub(super) async fn parts_follow_each_other(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (run, job) = (opening.id(), opening.job(0));
    ledger.claim(run, job, "token-1", minute(1)).await.unwrap();
    let step = next_part(Some("id-1"));
    let next = ledger.advance(&opening.at(0, 1, 1), &step, minute(2)).await.unwrap();
    assert!(next.fresh);
    assert_eq!(next.job.execution_status, Status::Running, "the attempt is still running");
    assert_eq!((next.job.attempt, next.job.part), (1, 2));
    assert_eq!((next.job.submitted_ts, next.job.statement_id.as_deref()), (None, Some("id-1")));
    assert_eq!((next.job.times, next.job.rows), (totals(3).times, Some(3)));
    assert_eq!(next.job.statements, totals(3).statements);
    let again = ledger.advance(&opening.at(0, 1, 1), &step, minute(3)).await;
    assert_eq!(again, Ok(Advanced { fresh: false, job: next.job }), "the repeated step has no effect");

    let claimed = ledger.claim(run, job, "token-2", minute(4)).await.unwrap();
    assert_eq!((claimed.part, claimed.submitted_ts), (2, Some(minute(4))));
    let none = ledger.advance(&opening.at(0, 1, 2), &next_part(None), minute(5)).await.unwrap();
    assert_eq!((none.job.part, none.job.statement_id), (3, None));

    // A launcher that goes on by itself records the finished part and its next intent in one step.
    let kept = |session: Option<&str>| Step::NextPart {
        statement_id: Some("id-3".into()),
        session_id: session.map(Into::into),
        submitting: true,
        totals: totals(3),
    };
    let on = ledger.advance(&opening.at(0, 1, 3), &kept(Some("s")), minute(6)).await.unwrap();
    assert_eq!((on.job.part, on.job.submitted_ts, on.job.session_id.as_deref()), (4, Some(minute(6)), Some("s")));
    let late = ledger.claim(run, job, "token-3", minute(7)).await.unwrap();
    assert_eq!(late.submitted_ts, Some(minute(6)), "the intent of the step stays");
    let same = ledger.advance(&opening.at(0, 1, 4), &kept(None), minute(8)).await.unwrap();
    assert_eq!(same.job.session_id.as_deref(), Some("s"), "the session is kept");
    let ended = ledger.advance(&opening.at(0, 1, 5), &Step::End(success()), minute(9)).await.unwrap().job;
    let parts = [totals(3), totals(3), totals(3), totals(3), totals(4)];
    let times = parts.iter().map(|part| part.times).fold(Times::default(), Times::then);
    assert_eq!((ended.times, ended.rows), (times, Some(4 * 3 + 4)), "the sums over the parts");
    assert_eq!(ended.statements, parts.map(|part| part.statements).concat());
}

pub(super) async fn racing_steps_agree(ledger: &dyn Ledger) {
    for other in [Step::End(failure()), Step::NextAttempt(failed_attempt(1)), next_part(None)] {
        let opening = opened(ledger).await;
        let at = opening.at(0, 1, 1);
        let end = Step::End(success());
        let (a, b) = both(ledger.advance(&at, &end, minute(2)), ledger.advance(&at, &other, minute(3))).await;
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.fresh != b.fresh, "exactly one call takes its step");
        assert_eq!(a.job, b.job, "both calls return the same job");
        assert_eq!(a.job.execution_status == Status::Succeeded, a.fresh);
    }
}

pub(super) async fn racing_claims_keep_the_first_intent(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (run, job) = (opening.id(), opening.job(0));
    let (a, b) = both(ledger.claim(run, job, "a", minute(1)), ledger.claim(run, job, "b", minute(2))).await;
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.submitted_ts, b.submitted_ts);
    assert_eq!(
        (a.task_token.as_deref(), b.task_token.as_deref()),
        (Some("a"), Some("b")),
        "each call returns its own token"
    );
}

pub(super) async fn a_held_job_waits_for_a_slot(ledger: &dyn Ledger) {
    let opening = opened(ledger).await;
    let (run, job) = (opening.id(), opening.job(0));
    let claimed = ledger.claim(run, job, "token-1", minute(1)).await.unwrap();
    let held = JobRecord {
        execution_status: Status::Pending,
        execution_start_ts: None,
        submitted_ts: None,
        waiting_on: [SLOT.to_owned()].into(),
        ..claimed
    };
    for _ in 0..2 {
        let advanced = ledger.advance(&opening.at(0, 1, 1), &Step::Hold, minute(2)).await;
        assert_eq!(advanced, Ok(Advanced { fresh: true, job: held.clone() }));
    }
    assert_eq!(ledger.claim(run, job, "token-2", minute(3)).await, Ok(held), "a job that waits is not claimed");
    assert!(ledger.free(run, job, SLOT, &BTreeSet::new()).await.unwrap().waiting_on.is_empty());
    let claimed = ledger.claim(run, job, "token-3", minute(4)).await.unwrap();
    assert_eq!((claimed.submitted_ts, claimed.execution_start_ts), (Some(minute(4)), Some(minute(4))));
    let ended = ledger.advance(&opening.at(0, 1, 1), &Step::End(success()), minute(5)).await.unwrap().job;
    let late = ledger.advance(&opening.at(0, 1, 1), &Step::Hold, minute(6)).await;
    assert_eq!(late, Ok(Advanced { fresh: false, job: ended }), "a job that ended does not wait");
}
