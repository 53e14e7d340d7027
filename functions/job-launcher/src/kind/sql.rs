//! `sql`: the statements of a script, or the statement of the current part.

use std::collections::BTreeMap;

use shiftwork_ports::{Bucket, Result, Session, Submission, scripts};
use shiftwork_protocol::{Connection, Failure, FailureKind, JobRecord, ScriptPin, SharedSession, Transaction, limits};
use shiftwork_sql::Statement;

/// The ports and buckets that this kind uses.
pub struct Sql {
    /// Scripts bucket.
    pub scripts: Bucket,
}

/// A pinned script, and how its statements run.
pub(super) struct Script<'a> {
    pub(super) connection: &'a Connection,
    pub(super) pin: &'a ScriptPin,
    pub(super) transaction: Transaction,
    pub(super) parameters: &'a BTreeMap<String, String>,
    pub(super) session: Option<SharedSession>,
}

impl Sql {
    pub(super) async fn submission(&self, job: &JobRecord, script: &Script<'_>) -> Result<Submission> {
        let text = scripts::pinned(&self.scripts, script.pin).await?;
        part(job, script, &text)
    }
}

fn part(job: &JobRecord, script: &Script<'_>, text: &str) -> Result<Submission> {
    let unreadable = |message: String| Failure::new(FailureKind::ScriptUnreadable, message);
    let statements = script.transaction.statements(text).map_err(|problem| unreadable(problem.to_string()))?;
    let part: Vec<Statement> = match script.transaction {
        Transaction::Single => statements.into_iter().take(limits::BATCH_STATEMENTS as usize).collect(),
        Transaction::PerStatement => statements.into_iter().skip(job.part as usize - 1).take(1).collect(),
    };
    if part.is_empty() {
        let JobRecord { part, plan, .. } = job;
        return Err(unreadable(format!("the script of job {} has no statement {part}", plan.job_name)));
    }
    // The Data API refuses a parameter that no statement of the submission uses.
    let used = |name: &str| part.iter().any(|statement| statement.placeholders.contains_key(name));
    let parameters = script.parameters.iter().filter(|(name, _)| used(name));
    Ok(Submission {
        attempt: job.current_attempt(),
        connection: script.connection.clone(),
        parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
        sqls: part.into_iter().map(|statement| statement.text).collect(),
        session: session(job, script.session),
    })
}

fn session(job: &JobRecord, shared: Option<SharedSession>) -> Session {
    match (shared, &job.session_id) {
        (None, _) => Session::Own,
        (Some(_), None) => Session::Kept,
        (Some(_), Some(id)) => Session::Continued(id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;

    use super::*;

    const TEXT: &str = "set a to b;\nselect :day;\nselect 3";

    fn submission(transaction: Transaction, part: u32, session: Option<SharedSession>, id: Option<&str>) -> Submission {
        let job = JobRecord { part, session_id: id.map(Into::into), ..a_job("load", &[]) };
        let pin = ScriptPin { key: "k".into(), version_id: "v".into(), sha256: String::new(), statements: 3 };
        let parameters = BTreeMap::from([("day".into(), "1".into())]);
        let connection = &Connection::default();
        let script = Script { connection, pin: &pin, transaction, parameters: &parameters, session };
        super::part(&job, &script, TEXT).unwrap()
    }

    #[test]
    fn one_transaction_is_one_submission_and_separate_statements_are_one_each() {
        let whole = submission(Transaction::Single, 1, None, None);
        assert_eq!((whole.sqls.len(), whole.session), (3, Session::Own));
        let shared = Some(SharedSession { state_from: Some(1) });
        for (part, sql, bound, id, session) in [
            (1, "set a to b", 0, None, Session::Kept),
            (2, "select :day", 1, Some("s"), Session::Continued("s".into())),
            (3, "select 3", 0, Some("s"), Session::Continued("s".into())),
        ] {
            let one = submission(Transaction::PerStatement, part, shared, id);
            assert_eq!((one.sqls, one.parameters.len(), one.session), (vec![sql.to_owned()], bound, session));
        }
        assert_eq!(submission(Transaction::PerStatement, 2, None, None).session, Session::Own);
    }
}
