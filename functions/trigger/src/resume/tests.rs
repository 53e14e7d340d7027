use std::sync::Arc;

use futures::FutureExt as _;
use shiftwork_ports::{
    EngineReport, UNKNOWN_STEPS,
    fake::{MemoryObjects, a_job},
};
use shiftwork_protocol::{CommitCause, Connection, InnerCommit};

use super::*;

const DAYS_LATER: Timestamp = Timestamp::constant(2 * 24 * 60 * 60, 0);

/// A job whose work is a script of five statements.
fn earlier(part: u32, status: Status, submitted: bool) -> JobRecord {
    let mut job = a_job("load", &[]);
    job.plan.work = script(Transaction::PerStatement, &[]);
    ended(part, status, submitted, job)
}

fn ended(part: u32, status: Status, submitted: bool, job: JobRecord) -> JobRecord {
    let submitted_ts = submitted.then_some(Timestamp::UNIX_EPOCH);
    JobRecord { part, execution_status: status, submitted_ts, ..job }
}

/// A script of five statements, some of which commit inside.
fn script(transaction: Transaction, inner: &[(u32, CommitCause)]) -> Work {
    let commit =
        |(statement, cause): &(u32, CommitCause)| InnerCommit { statement: *statement, line: 7, cause: *cause };
    Work::Sql {
        connection: Connection::default(),
        script: ScriptPin { key: "k".into(), version_id: "v".into(), sha256: String::new(), statements: 5 },
        transaction,
        parameters: BTreeMap::new(),
        inner_commits: inner.iter().map(commit).collect(),
        session: None,
        repeatable: false,
    }
}

fn state(job: &JobRecord, progress: Progress) -> AttemptState {
    let (attempt, report) = (job.current_attempt(), EngineReport::default());
    AttemptState { id: "id".into(), attempt, progress, session: None, report }
}

/// A script of five statements, the first of which are the same.
fn present(same: u32) -> Present {
    Present { same, parts: 5, ..Present::default() }
}

fn call(sql: &str, run: &str, day: &str) -> Work {
    let values = [(WORKFLOW_EXECUTION_ID, run), ("run_date", day)];
    Work::Procedure {
        connection: Connection::default(),
        sql: sql.into(),
        parameters: values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        repeatable: false,
    }
}

#[test]
fn values_are_not_changed_under_committed_statements() {
    use Status::{Aborted, Failed, TimedOut};
    let finished = |job: &JobRecord| Some(state(job, Progress::Finished));
    let (nothing, some, all) =
        (earlier(1, Failed, false), earlier(3, Failed, false), ended(1, TimedOut, true, a_job("load", &[])));
    let other_day = Present { other_value: Some("run_date".into()), ..present(5) };
    let one = Present { same: 1, parts: 1, ..Present::default() };
    for (job, last, present, has_values, expected) in [
        (&nothing, None, &present(5), true, Ok(Resume::FromStart)),
        (&nothing, None, &other_day, false, Ok(Resume::FromStart)),
        (&some, None, &present(5), false, Ok(Resume::At(3))),
        (&some, None, &present(5), true, Err("ran with the earlier values")),
        (&some, None, &other_day, false, Err("another value of `:run_date`")),
        // The statement finished before the run was stopped, or before its timeout.
        (&all, finished(&all), &one, false, Ok(Resume::Done)),
        (&all, finished(&all), &one, true, Err("the work of the job ran with the earlier values")),
        (
            &ended(1, Aborted, true, a_job("load", &[])),
            finished(&all),
            &one,
            true,
            Err("without `--param` and `--date`"),
        ),
    ] {
        let found = decide(&Earlier { job, last, now: DAYS_LATER, repeatable: false }, present, has_values);
        match expected {
            Ok(expected) => assert_eq!(found, expected, "{present:?}"),
            Err(words) => {
                assert!(matches!(&found, Resume::Refused(reason) if reason.contains(words)), "{words}: {found:?}");
            }
        }
    }
}

#[test]
fn the_id_of_the_run_is_no_change_of_the_work() {
    let scripts = Bucket::new(Arc::new(MemoryObjects::default()), "scripts");
    let was = call("CALL p()", "r1", "2026-03-01");
    for (now, same, other) in [
        (call("CALL p()", "r1", "2026-03-01"), 1, None),
        (call("CALL p()", "r2", "2026-03-01"), 1, None),
        (call("CALL p()", "r2", "2026-03-02"), 1, Some("run_date")),
        (call("CALL q()", "r2", "2026-03-01"), 0, None),
        (Work::Barrier {}, 0, None),
    ] {
        let found = compare(&was, &now, &scripts).now_or_never().unwrap().unwrap();
        assert_eq!((found.same, found.other_value.as_deref()), (same, other), "{now:?}");
    }
}

#[test]
fn a_job_that_continues_keeps_the_id_of_the_run() {
    let day = "2026-03-01";
    let mut second = call("CALL p()", "r2", day);
    keep_run_id(&call("CALL p()", "r1", day), &mut second);
    assert_eq!(second, call("CALL p()", "r1", day));
    let mut third = call("CALL p()", "r3", day);
    keep_run_id(&second, &mut third);
    assert_eq!(third, call("CALL p()", "r1", day), "a restart of the restart");
    keep_run_id(&Work::Barrier {}, &mut third);
    assert_eq!(third, call("CALL p()", "r1", day), "the earlier work has no id");
    let mut unbound = a_job("load", &[]).plan.work;
    keep_run_id(&second, &mut unbound);
    assert_eq!(unbound, a_job("load", &[]).plan.work, "the work does not bind an id");
}

#[test]
fn a_script_continues_behind_what_was_committed() {
    use Status::{Aborted, Failed, TimedOut};
    let failed = || Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into(), reached: 0 };
    let finished = || Progress::Finished;
    let aborted = || Progress::Aborted { reached: 0 };
    for (job, last, expected) in [
        (earlier(1, Failed, true), Some(failed()), Resume::FromStart),
        (earlier(3, Failed, true), Some(failed()), Resume::At(3)),
        (earlier(3, Failed, true), None, Resume::At(3)),
        (earlier(3, Aborted, true), Some(aborted()), Resume::At(3)),
        // The statement finished before the run was stopped.
        (earlier(3, Aborted, true), Some(finished()), Resume::At(4)),
        (earlier(1, Aborted, true), Some(finished()), Resume::At(2)),
        (earlier(5, TimedOut, true), Some(finished()), Resume::Done),
        (earlier(3, Aborted, false), None, Resume::At(3)),
    ] {
        let last = last.map(|progress| state(&job, progress));
        assert_eq!(
            decide(&Earlier { job: &job, last, now: DAYS_LATER, repeatable: false }, &present(5), false),
            expected,
            "{job:?}"
        );
    }
}

#[test]
fn a_restart_that_could_be_wrong_is_refused() {
    let at = |part| earlier(part, Status::Failed, false);
    let active = earlier(3, Status::Aborted, true);
    let forgotten = earlier(3, Status::Aborted, true);
    let session = Some(SharedSession { state_from: Some(2) });
    for (job, last, same, session, words) in [
        (&at(3), None, 1, None, "statement 2 has changed"),
        (&at(4), None, 5, session, "session"),
        (&active, Some(state(&active, Progress::Active)), 5, None, "still active"),
        (&forgotten, None, 5, None, "no longer knows"),
    ] {
        let found = decide(
            &Earlier { job, last, now: DAYS_LATER, repeatable: false },
            &Present { session, ..present(same) },
            false,
        );
        assert!(matches!(&found, Resume::Refused(reason) if reason.contains(words)), "{words}: {found:?}");
    }
    assert_eq!(
        decide(
            &Earlier { job: &at(2), last: None, now: DAYS_LATER, repeatable: false },
            &Present { session, ..present(5) },
            false
        ),
        Resume::At(2),
        "state_from is the next one"
    );
    assert_eq!(
        decide(&Earlier { job: &at(3), last: None, now: DAYS_LATER, repeatable: false }, &present(2), false),
        Resume::At(3),
        "a later statement changed"
    );
}

#[test]
fn what_may_be_committed_runs_again_only_by_decision() {
    use CommitCause::{Call, Truncate};
    use Status::{Aborted, Failed, TimedOut};
    use Transaction::{PerStatement, Single};
    let of = |work, part, status| {
        let mut job = ended(part, status, true, a_job("load", &[]));
        job.plan.work = work;
        job
    };
    let call = |status| of(a_job("load", &[]).plan.work, 1, status);
    let open = |job| JobRecord { error_name: Some(FailureKind::MayHaveCommitted.name().into()), ..job };
    let failed = |reached| Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into(), reached };
    let aborted = |reached| Progress::Aborted { reached };
    let asks = |part: u32, next: u32| Err(format!("load={part}` runs,load={next}` leaves it out"));
    for (job, last, expected) in [
        (of(script(PerStatement, &[]), 3, Failed), Some(failed(0)), Ok(2)),
        // The connection was lost at the commit.
        (of(script(PerStatement, &[]), 3, Aborted), Some(failed(UNKNOWN_STEPS)), asks(3, 4)),
        (open(of(script(PerStatement, &[]), 3, Failed)), Some(failed(UNKNOWN_STEPS)), asks(3, 4)),
        (open(of(script(PerStatement, &[]), 3, Failed)), None, asks(3, 4)),
        (of(script(PerStatement, &[(3, Call)]), 3, TimedOut), Some(aborted(0)), asks(3, 4)),
        (of(script(PerStatement, &[(2, Call)]), 3, TimedOut), Some(aborted(0)), Ok(2)),
        (of(script(Single, &[(2, Truncate)]), 1, Aborted), Some(aborted(2)), asks(1, 2)),
        (of(script(Single, &[(2, Truncate)]), 1, Aborted), Some(aborted(1)), Ok(0)),
        (open(of(script(Single, &[(2, Truncate)]), 1, Failed)), None, asks(1, 2)),
        (of(script(Single, &[(2, Truncate)]), 1, Failed), None, Ok(0)),
        (call(TimedOut), Some(aborted(0)), asks(1, 2)),
        (open(call(Failed)), Some(failed(0)), asks(1, 2)),
        (call(TimedOut), Some(Progress::Finished), Ok(1)),
    ] {
        let last = last.map(|progress| state(&job, progress));
        let mut earlier = Earlier { job: &job, last, now: DAYS_LATER, repeatable: false };
        let found = committed(&earlier);
        match expected {
            Ok(parts) => assert_eq!(found, Ok(parts), "{job:?}"),
            Err(words) => {
                let reason = found.unwrap_err();
                assert!(words.split(',').all(|words| reason.contains(words)), "{words}: {reason}");
                earlier.repeatable = true;
                assert_eq!(committed(&earlier), Ok(job.part - 1), "the work can be repeated: {job:?}");
            }
        }
    }
}

#[test]
fn a_statement_that_redshift_would_know_was_not_submitted() {
    let job = earlier(3, Status::Aborted, true);
    for (hours, expected) in [(0, Ok(2)), (23, Ok(2)), (24, Err(()))] {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let found = committed(&Earlier { job: &job, last: None, now, repeatable: false }).map_err(drop);
        assert_eq!(found, expected, "{hours} hours later");
    }
}

#[test]
fn a_request_names_statements_that_exist() {
    let jobs = [a_job("load", &[])];
    let named = |name: &str, statement| BTreeMap::from([(name.to_owned(), statement)]);
    assert_eq!(not_statements(&named("load", 1), &jobs), Vec::<String>::new());
    assert_eq!(not_statements(&named("load", 2), &jobs), Vec::<String>::new(), "nothing is left to run");
    assert!(not_statements(&named("load", 3), &jobs)[0].contains("use 1 to 2"));
    assert!(not_statements(&named("orders", 1), &jobs)[0].contains("no job `orders`"));
    let mut barrier = a_job("@stage-2", &[]);
    barrier.plan.work = Work::Barrier {};
    assert!(not_statements(&named("@stage-2", 1), &[barrier])[0].contains("no job `@stage-2`"));
}

#[test]
fn a_statement_of_a_reused_job_is_refused() {
    let named = BTreeMap::from([("load".to_owned(), 1), ("totals".to_owned(), 2)]);
    let reused = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert!(check_reused(&named, &reused(&["stage"])).is_ok());
    let refusal = check_reused(&named, &reused(&["stage", "totals"])).unwrap_err();
    assert_eq!(refusal.kind, FailureKind::InvalidRequest);
    assert_eq!(refusal.message.lines().count(), 1);
    assert!(refusal.message.contains("job totals: it is reused"), "{refusal}");
}

#[test]
fn the_outcome_is_asked_where_work_may_be_committed() {
    use Status::{Aborted, Failed, Succeeded, TimedOut};
    for (status, submitted, expected) in [
        (Succeeded, true, false),
        (Failed, true, false),
        (Aborted, true, true),
        (TimedOut, true, true),
        (Aborted, false, false),
    ] {
        let mut job = ended(1, status, submitted, a_job("load", &[]));
        assert_eq!(may_be_committed(&job), expected, "{status}, submitted: {submitted}");
        job.error_name = Some(FailureKind::MayHaveCommitted.name().into());
        assert_eq!(may_be_committed(&job), expected || status == Failed, "{status}, submitted: {submitted}");
    }
}
