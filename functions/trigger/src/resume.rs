//! Restart of jobs that did not succeed, but whose work the earlier run committed in part or as a whole: what was
//! committed does not run again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shiftwork_planner::WORKFLOW_EXECUTION_ID;
use shiftwork_ports::{AttemptState, Bucket, Engines, Progress, Result, Steps, scripts};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, ScriptPin, SharedSession, Status, Transaction, Work, audit::Resumed, limits,
    payload::RunRequest,
};
use shiftwork_settlement::{how_to_decide, may_have_committed};
use shiftwork_sql::split;

use crate::restart;

/// How a job of a restart continues the work of the earlier run.
#[derive(Debug, PartialEq, Eq)]
enum Resume {
    /// The earlier run committed nothing of the job.
    FromStart,
    /// The earlier run committed the statements before this one.
    At(u32),
    /// The earlier run committed all statements.
    Done,
    /// The restart has to be refused, for this reason.
    Refused(String),
}

/// What is known about a job of the earlier run that did not succeed.
struct Earlier<'a> {
    job: &'a JobRecord,
    /// State of the last attempt on its engine; `None` if the engine does not know it.
    last: Option<AttemptState>,
    /// Present time.
    now: Timestamp,
    /// Whether the workflow now declares that the work can be repeated although a part of it was committed.
    repeatable: bool,
}

impl Earlier<'_> {
    /// Returns true if the engine would still know an attempt that the launcher was about to submit at this time.
    fn is_remembered(&self, submitted: Timestamp) -> bool {
        self.now.duration_since(submitted) < SignedDuration::from_secs(limits::STATEMENT_MEMORY_SECONDS)
    }

    /// Returns the reason why the current part may be committed, or `None` if it was rolled back or can be repeated.
    /// `reached`: number of steps that the attempt may have completed; `None` if the engine does not know the attempt.
    fn may_have_committed(&self, reached: Option<Steps>) -> Option<String> {
        if self.repeatable {
            return None;
        }
        let recorded = || has_open_commit(self.job).then(|| "its error has the reason".into());
        reached.and_then(|reached| may_have_committed(self.job, reached)).or_else(recorded)
    }
}

/// Returns true if the job failed although it may have committed a part of its work.
fn has_open_commit(job: &JobRecord) -> bool {
    job.error_name.as_deref() == Some(FailureKind::MayHaveCommitted.name())
}

/// Number of parts that the earlier run committed, or the reason why it is not known.
fn committed(earlier: &Earlier<'_>) -> std::result::Result<u32, String> {
    let JobRecord { part, execution_status, submitted_ts, .. } = earlier.job;
    let what = if earlier.job.plan.work.parts() > 1 { format!("statement {part}") } else { "the job".into() };
    let rolled_back_unless = |open: Option<String>| match open {
        None => Ok(part - 1),
        Some(reason) => {
            let decision = how_to_decide(earlier.job);
            Err(format!("{what} may be committed, as a whole or in part ({reason}): look at the tables; {decision}"))
        }
    };
    match earlier.last.as_ref().map(|state| &state.progress) {
        Some(Progress::Finished) => Ok(*part),
        Some(Progress::Failed { reached, .. } | Progress::Aborted { reached }) => {
            rolled_back_unless(earlier.may_have_committed(Some(*reached)))
        }
        Some(Progress::Active) => Err(format!("{what} is still active in Redshift: restart the run when it has ended")),
        // The launcher did not submit the statement.
        None if submitted_ts.is_none_or(|submitted| earlier.is_remembered(submitted)) => {
            rolled_back_unless(earlier.may_have_committed(None))
        }
        None => match execution_status {
            // Redshift reported the failure of the statement.
            Status::Failed => rolled_back_unless(earlier.may_have_committed(None)),
            Status::TimedOut
            | Status::Aborted
            | Status::Skipped
            | Status::Succeeded
            | Status::Planning
            | Status::Queued
            | Status::Pending
            | Status::Running => Err(format!(
                "Redshift no longer knows whether {what} was committed: look at the tables; {}",
                how_to_decide(earlier.job)
            )),
        },
    }
}

/// The work of a job in the new run, compared with its work in the earlier run.
#[derive(Debug, Default)]
struct Present {
    /// Number of parts at the beginning that are the same as in the earlier run.
    same: u32,
    /// Number of parts.
    parts: u32,
    /// The session that the parts share.
    session: Option<SharedSession>,
    /// A parameter whose bound value differs from the earlier run.
    other_value: Option<String>,
}

/// Decides where a job continues. `has_values`: the request of the restart gives parameters or a logical date.
fn decide(earlier: &Earlier<'_>, present: &Present, has_values: bool) -> Resume {
    let name = &earlier.job.plan.job_name;
    let Present { same, parts, session, other_value } = present;
    let committed = match committed(earlier) {
        Ok(0) => return Resume::FromStart,
        Ok(committed) => committed,
        Err(reason) => return Resume::Refused(reason),
    };
    if has_values {
        return Resume::Refused(other_values(committed, earlier.job.plan.work.parts()));
    }
    if *same < committed {
        let changed = same + 1;
        return Resume::Refused(format!(
            "the earlier run committed statements 1 to {committed}, and statement {changed} has changed since: restore it, or \
             run the script from its first statement with `--from-statement {name}=1`"
        ));
    }
    if let Some(parameter) = other_value {
        return Resume::Refused(format!(
            "the earlier run committed statements 1 to {committed} with another value of `:{parameter}`: request a new run, or \
             run the script from its first statement with `--from-statement {name}=1`"
        ));
    }
    if committed >= *parts {
        return Resume::Done;
    }
    let next = committed + 1;
    if session.is_some_and(|session| session.is_needed_by(next)) {
        return Resume::Refused(format!(
            "statement {next} needs the settings or the temporary tables that earlier statements left in their session, which \
             has ended: run the script from its first statement with `--from-statement {name}=1`"
        ));
    }
    Resume::At(next)
}

/// The reason why a restart with parameters or a logical date cannot continue behind the parts that are committed.
fn other_values(committed: u32, parts: u32) -> String {
    let what = if parts > 1 { format!("statements 1 to {committed}") } else { "the work of the job".into() };
    format!("{what} ran with the earlier values: restart without `--param` and `--date`, or request a new run")
}

/// Marks the jobs of a restart that continue at a later statement: the statement that the request names, or the one
/// behind what the earlier run committed. Such a job keeps the `:workflow_execution_id` of the statements before. Returns
/// the jobs whose whole work was committed.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: a person has to decide where a job continues, or the request names a statement that
/// does not exist.
pub(crate) async fn resume(
    earlier: &[JobRecord],
    jobs: &mut [JobRecord],
    request: &RunRequest,
    engines: &Engines,
    scripts: &Bucket,
    now: Timestamp,
) -> Result<BTreeSet<String>> {
    let before: BTreeMap<_, _> = earlier.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let from_statement = &request.from_statement;
    let has_values = restart::has_values(request);
    let mut refusals = not_statements(from_statement, jobs);
    let mut done = BTreeSet::new();
    for job in jobs.iter_mut() {
        let name = &job.plan.job_name;
        let Some(before) = before.get(name.as_str()) else {
            if from_statement.get(name).is_some_and(|statement| *statement > 1) {
                refusals.push(format!("job {name}: the earlier run does not have it, so it begins at statement 1"));
            }
            continue;
        };
        let resume = match from_statement.get(&job.plan.job_name) {
            Some(1) => Resume::FromStart,
            Some(part) if has_values => Resume::Refused(other_values(part - 1, job.plan.work.parts())),
            Some(part) if *part > job.plan.work.parts() => Resume::Done,
            Some(part) => Resume::At(*part),
            None if may_be_committed(before) => {
                let last = last(before, engines).await?;
                let present = compare(&before.plan.work, &job.plan.work, scripts).await?;
                let repeatable = is_repeatable(&job.plan.work);
                decide(&Earlier { job: before, last, now, repeatable }, &present, has_values)
            }
            None => Resume::FromStart,
        };
        match resume {
            Resume::FromStart => {}
            Resume::At(part) => {
                job.part = part;
                keep_run_id(&before.plan.work, &mut job.plan.work);
                job.resumed = Some(Resumed { from: before.workflow_execution_id.clone(), part });
            }
            Resume::Done => {
                done.insert(job.plan.job_name.clone());
            }
            Resume::Refused(reason) => refusals.push(format!("job {}: {reason}", job.plan.job_name)),
        }
    }
    if refusals.is_empty() { Ok(done) } else { Err(Failure::new(FailureKind::InvalidRequest, refusals.join("\n"))) }
}

/// Checks that each statement that the request names belongs to a job that runs again. `reused`: the jobs that the restart
/// reuses because of their end in the earlier run.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: a job is reused, so its statement would be ignored.
pub(crate) fn check_reused(from_statement: &BTreeMap<String, u32>, reused: &BTreeSet<String>) -> Result<()> {
    let ignored = from_statement.keys().filter(|name| reused.contains(*name));
    let problems: Vec<_> = ignored
        .map(|name| {
            format!(
                "job {name}: it is reused from the earlier run and does not run again: remove its `--from-statement`"
            )
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(FailureKind::InvalidRequest, problems.join("\n"))) }
}

/// The problems of the statements that the request names.
fn not_statements(from_statement: &BTreeMap<String, u32>, jobs: &[JobRecord]) -> Vec<String> {
    let problem = |(name, statement): (&String, &u32)| {
        let Some(job) = jobs.iter().find(|job| job.plan.job_name == *name && !job.plan.work.is_barrier()) else {
            return Some(format!("the workflow has no job `{name}`"));
        };
        // The number behind the last statement leaves nothing to run.
        let end = job.plan.work.parts() + 1;
        (!(1..=end).contains(statement))
            .then(|| format!("job {name}: there is no statement {statement} to continue at: use 1 to {end}"))
    };
    from_statement.iter().filter_map(problem).collect()
}

/// Returns true if work of the job may be committed although the job did not succeed.
fn may_be_committed(before: &JobRecord) -> bool {
    let submitted = before.submitted_ts.is_some();
    match (&before.plan.work, before.execution_status) {
        (_, Status::Succeeded) => false,
        (Work::Sql { transaction: Transaction::PerStatement, .. }, _) => submitted || before.part > 1,
        // A statement that was cancelled with its run or at its timeout may have finished before.
        (Work::Sql { .. } | Work::Procedure { .. }, Status::Aborted | Status::TimedOut) => submitted,
        (Work::Sql { .. } | Work::Procedure { .. }, Status::Failed) => has_open_commit(before),
        (
            Work::Sql { .. }
            | Work::Procedure { .. }
            | Work::Unload { .. }
            | Work::Cdc { .. }
            | Work::Copy { .. }
            | Work::Barrier {},
            _,
        ) => false,
    }
}

/// Returns true if the author declares that the work can be repeated although a part of it was committed.
const fn is_repeatable(work: &Work) -> bool {
    match work {
        Work::Sql { repeatable, .. } | Work::Procedure { repeatable, .. } => *repeatable,
        Work::Unload { .. } | Work::Cdc { .. } | Work::Copy { .. } | Work::Barrier {} => false,
    }
}

/// State of the last attempt of a job on its engine; `None` if no attempt was submitted, or if the engine does not know it.
async fn last(before: &JobRecord, engines: &Engines) -> Result<Option<AttemptState>> {
    match engines.of(&before.plan.work) {
        Some(engine) if before.submitted_ts.is_some() => engine.find(&before.current_attempt()).await,
        Some(_) | None => Ok(None),
    }
}

/// Compares the work of a job in the earlier run with its work in the new run.
async fn compare(was: &Work, now: &Work, bucket: &Bucket) -> Result<Present> {
    let (same, session) = match (was, now) {
        _ if was.connection() != now.connection() => (0, None),
        (
            Work::Sql { script: was, transaction: Transaction::PerStatement, .. },
            Work::Sql { script: now, transaction: Transaction::PerStatement, session, .. },
        ) => (same_statements(bucket, was, now).await?, *session),
        (Work::Sql { script: was, .. }, Work::Sql { script: now, .. }) => (u32::from(was.sha256 == now.sha256), None),
        (Work::Procedure { sql: was, .. }, Work::Procedure { sql: now, .. }) => (u32::from(was == now), None),
        // The kind of the job has changed, or a restart never continues work of the kind.
        (
            Work::Sql { .. }
            | Work::Procedure { .. }
            | Work::Unload { .. }
            | Work::Cdc { .. }
            | Work::Copy { .. }
            | Work::Barrier {},
            _,
        ) => (0, None),
    };
    Ok(Present { same, parts: now.parts(), session, other_value: other_value(was, now) })
}

/// Name of a parameter that both versions of the work bind with different values. The id of the run is left out, because
/// it differs in each run. A secret value is masked in both, so it is never found.
fn other_value(was: &Work, now: &Work) -> Option<String> {
    let (was, now) = (was.parameters()?, now.parameters()?);
    let differs = |(name, value): &(&String, &String)| {
        name.as_str() != WORKFLOW_EXECUTION_ID && was.get(*name).is_some_and(|was| was != *value)
    };
    now.iter().find(differs).map(|(name, _)| name.clone())
}

/// Gives a job that continues the id of the run that its committed statements have, so that its other statements find the
/// rows that were written with the id.
fn keep_run_id(was: &Work, now: &mut Work) {
    let Some(id) = was.parameters().and_then(|was| was.get(WORKFLOW_EXECUTION_ID)) else { return };
    match now {
        Work::Sql { parameters, .. } | Work::Procedure { parameters, .. } => {
            if let Some(value) = parameters.get_mut(WORKFLOW_EXECUTION_ID) {
                value.clone_from(id);
            }
        }
        Work::Unload { .. } | Work::Cdc { .. } | Work::Copy { .. } | Work::Barrier {} => {}
    }
}

/// Number of statements at the beginning of two versions of a script that are the same.
async fn same_statements(bucket: &Bucket, was: &ScriptPin, now: &ScriptPin) -> Result<u32> {
    if was.sha256 == now.sha256 {
        return Ok(now.statements);
    }
    let (was, now) = (scripts::pinned(bucket, was).await?, scripts::pinned(bucket, now).await?);
    let split =
        |text: &str| split(text).map_err(|problem| Failure::new(FailureKind::ScriptUnreadable, problem.to_string()));
    let same = split(&was)?.iter().zip(&split(&now)?).take_while(|(was, now)| was.text == now.text).count();
    Ok(u32::try_from(same).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
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
        let failed =
            |reached| Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into(), reached };
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
}
