//! Restart of jobs that did not succeed, but whose work the earlier run committed in part or as a whole: what was
//! committed does not run again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{AttemptState, Bucket, Engines, Progress, Result, scripts};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, ScriptPin, SharedSession, Status, Transaction, Work, audit::Resumed, limits,
};
use shiftwork_sql::split;

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
}

impl Earlier<'_> {
    /// Returns true if the engine would still know an attempt that the launcher was about to submit at this time.
    fn is_remembered(&self, submitted: Timestamp) -> bool {
        self.now.duration_since(submitted) < SignedDuration::from_secs(limits::STATEMENT_MEMORY_SECONDS)
    }
}

/// Number of parts that the earlier run committed, or the reason why it is not known.
fn committed(earlier: &Earlier<'_>) -> std::result::Result<u32, String> {
    let JobRecord { plan, part, execution_status, submitted_ts, .. } = earlier.job;
    let (name, before) = (&plan.job_name, part - 1);
    match earlier.last.as_ref().map(|state| &state.progress) {
        Some(Progress::Finished) => Ok(*part),
        Some(Progress::Failed { .. } | Progress::Aborted { .. }) => Ok(before),
        Some(Progress::Active) => {
            Err(format!("its statement {part} is still active in Redshift: restart the run when it has ended"))
        }
        // The launcher did not submit the statement.
        None if submitted_ts.is_none_or(|submitted| earlier.is_remembered(submitted)) => Ok(before),
        None => match execution_status {
            // Redshift reported the failure of the statement.
            Status::Failed => Ok(before),
            Status::TimedOut
            | Status::Aborted
            | Status::Skipped
            | Status::Succeeded
            | Status::Planning
            | Status::Queued
            | Status::Pending
            | Status::Running => Err(format!(
                "Redshift no longer knows whether statement {part} was committed: look at the tables, then restart with \
                 `--from-statement {name}={part}` or `--from-statement {name}={}`",
                part + 1
            )),
        },
    }
}

/// Decides where a script continues. `same`: the number of statements at the beginning of the script that are the same
/// as in the earlier run. `now`: the number of statements of the script. `session`: the session that they share.
fn decide(earlier: &Earlier<'_>, same: u32, now: u32, session: Option<SharedSession>) -> Resume {
    let name = &earlier.job.plan.job_name;
    let committed = match committed(earlier) {
        Ok(0) => return Resume::FromStart,
        Ok(committed) => committed,
        Err(reason) => return Resume::Refused(reason),
    };
    if same < committed {
        let changed = same + 1;
        return Resume::Refused(format!(
            "the earlier run committed statements 1 to {committed}, and statement {changed} has changed since: restore it, or \
             run the script from its first statement with `--from-statement {name}=1`"
        ));
    }
    if committed >= now {
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

/// Marks the jobs of a restart that continue at a later statement: the statement that the request names, or the one
/// behind what the earlier run committed. Returns the jobs whose whole work was committed.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: a person has to decide where a job continues, or the request names a statement that
/// does not exist.
pub(crate) async fn resume(
    earlier: &[JobRecord],
    jobs: &mut [JobRecord],
    from_statement: &BTreeMap<String, u32>,
    engines: &Engines,
    scripts: &Bucket,
    now: Timestamp,
) -> Result<BTreeSet<String>> {
    let before: BTreeMap<_, _> = earlier.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut refusals = not_statements(from_statement, jobs);
    let mut done = BTreeSet::new();
    for job in jobs.iter_mut() {
        let Some(before) = before.get(job.plan.job_name.as_str()) else { continue };
        let resume = match from_statement.get(&job.plan.job_name) {
            Some(1) => Resume::FromStart,
            Some(part) if *part > job.plan.work.parts() => Resume::Done,
            Some(part) => Resume::At(*part),
            None if may_be_committed(before) => read(before, job, engines, scripts, now).await?,
            None => Resume::FromStart,
        };
        match resume {
            Resume::FromStart => {}
            Resume::At(part) => {
                job.part = part;
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

/// The problems of the statements that the request names.
fn not_statements(from_statement: &BTreeMap<String, u32>, jobs: &[JobRecord]) -> Vec<String> {
    let problem = |(name, statement): (&String, &u32)| {
        let Some(job) = jobs.iter().find(|job| job.plan.job_name == *name) else {
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

async fn read(
    before: &JobRecord,
    job: &JobRecord,
    engines: &Engines,
    bucket: &Bucket,
    now: Timestamp,
) -> Result<Resume> {
    let last = match engines.of(&before.plan.work) {
        Some(engine) if before.submitted_ts.is_some() => engine.find(&before.current_attempt()).await?,
        Some(_) | None => None,
    };
    let (same, session) = match (&before.plan.work, &job.plan.work) {
        (was, now) if was.connection() != now.connection() => (0, None),
        (
            Work::Sql { script: was, transaction: Transaction::PerStatement, .. },
            Work::Sql { script: now, transaction: Transaction::PerStatement, session, .. },
        ) => (same_statements(bucket, was, now).await?, *session),
        (Work::Sql { script: was, .. }, Work::Sql { script: now, .. }) => (u32::from(was.sha256 == now.sha256), None),
        (was, now) => (u32::from(was == now), None),
    };
    Ok(decide(&Earlier { job: before, last, now }, same, job.plan.work.parts(), session))
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
    use shiftwork_ports::{EngineReport, fake::a_job};

    use super::*;

    const DAYS_LATER: Timestamp = Timestamp::constant(2 * 24 * 60 * 60, 0);

    fn earlier(part: u32, status: Status, submitted: bool) -> JobRecord {
        let submitted_ts = submitted.then_some(Timestamp::UNIX_EPOCH);
        JobRecord { part, execution_status: status, submitted_ts, ..a_job("load", &[]) }
    }

    fn state(job: &JobRecord, progress: Progress) -> AttemptState {
        let (attempt, report) = (job.current_attempt(), EngineReport::default());
        AttemptState { id: "id".into(), attempt, progress, session: None, report }
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
            assert_eq!(decide(&Earlier { job: &job, last, now: DAYS_LATER }, 5, 5, None), expected, "{job:?}");
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
            let found = decide(&Earlier { job, last, now: DAYS_LATER }, same, 5, session);
            assert!(matches!(&found, Resume::Refused(reason) if reason.contains(words)), "{words}: {found:?}");
        }
        assert_eq!(
            decide(&Earlier { job: &at(2), last: None, now: DAYS_LATER }, 5, 5, session),
            Resume::At(2),
            "state_from is the next one"
        );
        assert_eq!(
            decide(&Earlier { job: &at(3), last: None, now: DAYS_LATER }, 2, 5, None),
            Resume::At(3),
            "a later statement changed"
        );
    }

    #[test]
    fn a_statement_that_redshift_would_know_was_not_submitted() {
        let job = earlier(3, Status::Aborted, true);
        for (hours, expected) in [(0, Ok(2)), (23, Ok(2)), (24, Err(()))] {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
            let found = committed(&Earlier { job: &job, last: None, now }).map_err(drop);
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
            assert_eq!(may_be_committed(&earlier(1, status, submitted)), expected, "{status}, submitted: {submitted}");
        }
    }
}
