//! `sql`: the statements of the current part of a script.

use std::collections::BTreeMap;

use shiftwork_ports::{Bucket, Result, Submission, scripts};
use shiftwork_protocol::{Connection, Failure, FailureKind, JobRecord, ScriptPin, Transaction, limits};

/// The ports and buckets that this kind uses.
pub struct Sql {
    /// Scripts bucket.
    pub scripts: Bucket,
}

impl Sql {
    pub(super) async fn submission(
        &self,
        job: &JobRecord,
        connection: &Connection,
        script: &ScriptPin,
        transaction: Transaction,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Submission> {
        let text = scripts::pinned(&self.scripts, script).await?;
        part(job, connection, &text, transaction, parameters)
    }
}

fn part(
    job: &JobRecord,
    connection: &Connection,
    script: &str,
    transaction: Transaction,
    parameters: &BTreeMap<String, String>,
) -> Result<Submission> {
    let unreadable = |message: String| Failure::new(FailureKind::ScriptUnreadable, message);
    let statements = transaction.statements(script).map_err(|problem| unreadable(problem.to_string()))?;
    let batch = limits::BATCH_STATEMENTS as usize;
    let part: Vec<_> = statements.into_iter().skip((job.part as usize - 1) * batch).take(batch).collect();
    if part.is_empty() {
        return Err(unreadable(format!(
            "the script of job {} has no statements for part {}",
            job.plan.job_name, job.part
        )));
    }
    // The Data API refuses a parameter that no statement of the batch uses.
    let used = |name: &str| part.iter().any(|statement| statement.placeholders.contains_key(name));
    Ok(Submission {
        attempt: job.current_attempt(),
        connection: connection.clone(),
        parameters: parameters.iter().filter(|(name, _)| used(name)).map(|(n, v)| (n.clone(), v.clone())).collect(),
        sqls: part.into_iter().map(|statement| statement.text).collect(),
        transaction,
    })
}
