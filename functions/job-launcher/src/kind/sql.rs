//! A script: the statements of the job's present part.

use std::collections::BTreeMap;

use shiftwork_planner::sql::split;
use shiftwork_ports::Submission;
use shiftwork_protocol::{Failure, FailureKind, JobRecord, Transaction, limits};

pub(crate) fn submission(
    job: &JobRecord,
    script: &str,
    transaction: Transaction,
    parameters: &BTreeMap<String, String>,
) -> Result<Submission, Failure> {
    let unreadable = |words: String| Failure::new(FailureKind::ScriptUnreadable, words);
    let statements = split(script).map_err(|problem| unreadable(problem.to_string()))?;
    let batch = limits::BATCH_STATEMENTS as usize;
    let part: Vec<_> = statements.into_iter().skip((job.part as usize - 1) * batch).take(batch).collect();
    if part.is_empty() {
        return Err(unreadable(format!("{} has no part {}", job.plan.job_name, job.part)));
    }
    // The Data API refuses a parameter that no statement of the batch uses.
    let used = |name: &str| part.iter().any(|statement| statement.placeholders.contains(name));
    Ok(Submission {
        name: job.current_attempt(),
        connection: job.plan.connection.clone(),
        parameters: parameters.iter().filter(|(name, _)| used(name)).map(|(n, v)| (n.clone(), v.clone())).collect(),
        sqls: part.into_iter().map(|statement| statement.text).collect(),
        transaction,
    })
}
