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
mod tests;
