//! Whether another attempt could repeat work that an earlier attempt committed.

use shiftwork_ports::Steps;
use shiftwork_protocol::{CommitCause, JobRecord, Transaction, Work};

/// Returns the reason why another attempt of the current part could repeat committed work, as a clause without a full
/// stop. `reached`: number of steps that the failed attempt may have completed. `None`: the attempt committed nothing, or
/// its work can be repeated.
///
/// Loads of change data and of files are left out, because they recognize what an earlier attempt committed, and an
/// UNLOAD, because it commits no rows.
pub fn may_have_committed(job: &JobRecord, reached: Steps) -> Option<String> {
    const LOST: &str = "the connection was lost when the work could be committed";
    const CALL: &str = CommitCause::Call.reason();
    match &job.plan.work {
        Work::Sql { repeatable: true, .. }
        | Work::Procedure { repeatable: true, .. }
        | Work::Unload { .. }
        | Work::Cdc { .. }
        | Work::Copy { .. }
        | Work::Barrier {} => None,
        Work::Procedure { repeatable: false, .. } => Some(CALL.into()),
        Work::Sql { repeatable: false, script, transaction: Transaction::Single, inner_commits, .. } => {
            match inner_commits.first().map(|commit| (commit.cause, commit)) {
                Some((CommitCause::Call, _)) => Some(CALL.into()),
                Some((CommitCause::Truncate, commit)) if reached >= commit.statement => {
                    let (reason, statement, line) = (commit.cause.reason(), commit.statement, commit.line);
                    Some(format!("statement {statement} (line {line}) was committed: {reason}"))
                }
                Some((CommitCause::Truncate, _)) | None => (reached > script.statements).then(|| LOST.into()),
            }
        }
        Work::Sql { repeatable: false, transaction: Transaction::PerStatement, inner_commits, .. } => {
            match inner_commits.iter().find(|commit| commit.statement == job.part).map(|commit| commit.cause) {
                Some(CommitCause::Call) => Some(CALL.into()),
                Some(CommitCause::Truncate) | None => (reached > 1).then(|| LOST.into()),
            }
        }
    }
}

/// Returns how a person runs the work of the job again, as a clause without a full stop.
pub(crate) fn how_to_repeat(job: &JobRecord) -> String {
    format!("look at what was committed; {}; `repeatable: true` allows retries", how_to_decide(job))
}

/// Returns the commands with which a person decides whether the current part of a job, which may be committed, runs again,
/// as a clause without a full stop.
pub fn how_to_decide(job: &JobRecord) -> String {
    let (run, name, part) = (&job.workflow_execution_id, &job.plan.job_name, job.part);
    let what = if job.plan.work.parts() > 1 { format!("statement {part}") } else { "the job".into() };
    let next = part + 1;
    format!(
        "`shiftwork restart {run} --from-statement {name}={part}` runs {what} again, and `--from-statement {name}={next}` \
         leaves it out"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shiftwork_ports::{UNKNOWN_STEPS, fake::a_job};
    use shiftwork_protocol::{Connection, InnerCommit, ScriptPin};

    use super::*;

    fn sql(transaction: Transaction, statements: u32, inner: &[(u32, CommitCause)], part: u32) -> JobRecord {
        let mut job = JobRecord { part, ..a_job("load", &[]) };
        let commit =
            |(statement, cause): &(u32, CommitCause)| InnerCommit { statement: *statement, line: 7, cause: *cause };
        job.plan.work = Work::Sql {
            connection: Connection::default(),
            script: ScriptPin { key: "k".into(), version_id: "v".into(), sha256: String::new(), statements },
            transaction,
            parameters: BTreeMap::new(),
            inner_commits: inner.iter().map(commit).collect(),
            session: None,
            repeatable: false,
        };
        job
    }

    #[test]
    fn only_work_that_may_be_committed_is_not_repeated() {
        use CommitCause::{Call, Truncate};
        use Transaction::{PerStatement, Single};
        for (job, reached, expected) in [
            // A transaction of three statements: its commit is the fourth step.
            (sql(Single, 3, &[], 1), 0, None),
            (sql(Single, 3, &[], 1), 3, None),
            (sql(Single, 3, &[], 1), 4, Some("connection was lost")),
            (sql(Single, 3, &[], 1), UNKNOWN_STEPS, Some("connection was lost")),
            // TRUNCATE commits what precedes it.
            (sql(Single, 3, &[(2, Truncate)], 1), 1, None),
            (sql(Single, 3, &[(2, Truncate), (3, Truncate)], 1), 2, Some("statement 2 (line 7) was committed")),
            (sql(Single, 1, &[(1, Call)], 1), 0, Some("procedure")),
            // Each statement is a transaction of its own.
            (sql(PerStatement, 9, &[], 4), 0, None),
            (sql(PerStatement, 9, &[], 4), 2, Some("connection was lost")),
            (sql(PerStatement, 9, &[(4, Call)], 4), 0, Some("procedure")),
            (sql(PerStatement, 9, &[(4, Call)], 5), 0, None),
            (a_job("procedure", &[]), 0, Some("procedure")),
        ] {
            let found = may_have_committed(&job, reached);
            match expected {
                None => assert_eq!(found, None, "{job:?}"),
                Some(words) => {
                    assert!(found.as_deref().is_some_and(|found| found.contains(words)), "{words}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn repeatable_work_is_repeated() {
        let mut script = sql(Transaction::Single, 3, &[(1, CommitCause::Truncate)], 1);
        let mut call = a_job("procedure", &[]);
        for job in [&mut script, &mut call] {
            assert!(may_have_committed(job, UNKNOWN_STEPS).is_some());
            if let Work::Sql { repeatable, .. } | Work::Procedure { repeatable, .. } = &mut job.plan.work {
                *repeatable = true;
            }
            assert_eq!(may_have_committed(job, UNKNOWN_STEPS), None);
        }
    }
}
