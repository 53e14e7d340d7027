//! Kind `sql`: runs a file of SQL statements.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::{Place, Problem};
use shiftwork_protocol::{Kind, ScriptPin, Transaction, Work, limits, name};
use shiftwork_sql::{SqlProblem, Statement, split};

use super::{Context, JobKind};
use crate::effects::{inner_commits, shared_session};

/// Runs a file of one or more SQL statements.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sql {
    /// Path of the script, relative to the folder of the workflow in the scripts bucket.
    script: String,
    /// Whether the statements are one transaction or commit one by one.
    #[serde(default)]
    transaction: Transaction,
    /// Whether the work can be repeated although a part of it was committed. Without it, a job that may have committed a
    /// part of its work is not retried: after TRUNCATE in a transaction, after a CALL, and after a lost connection.
    #[serde(default)]
    repeatable: bool,
}

impl JobKind for Sql {
    const KIND: Kind = Kind::Sql;
    const SUFFIXES: &'static [&'static str] = &[".sql"];

    fn script(&self) -> Option<&str> {
        Some(&self.script)
    }

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let Some(script) = context.inputs.scripts.get(&self.script) else {
            let key = (context.script_key)(&self.script);
            let found = context.inputs.scripts.keys().map(String::as_str);
            let problem = context.doc.problem(context.path, format!("the script `{key}` does not exist"));
            context.problems.push(problem.did_you_mean(&self.script, found));
            return None;
        };
        let place = |line| Place {
            file: Some(script.key.clone()),
            line: Some(line),
            column: None,
            path: Some(context.path.to_string()),
        };
        let statements = match split(&script.text) {
            Ok(statements) => statements,
            Err(SqlProblem { line, message, hint }) => {
                context.problems.push(Problem { place: place(line), message, hint });
                return None;
            }
        };
        let mut problems = Vec::new();
        if statements.is_empty() {
            problems.push(Problem::new(place(1), "the script has no statement"));
        }
        problems.extend(self.limits(&statements, &place));
        let broken = !problems.is_empty();
        context.problems.extend(problems);

        let mut parameters = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (name, line) in statements.iter().flat_map(|statement| &statement.placeholders) {
            // A placeholder without a value is reported once for each script.
            if seen.insert(name) {
                parameters.extend(context.bind([name], &BTreeMap::new(), &place(*line)));
            }
        }
        (!broken).then_some(Work::Sql {
            connection: connection?,
            script: ScriptPin {
                key: script.key.clone(),
                version_id: script.version_id.clone(),
                sha256: name::sha256(&script.text),
                statements: u32::try_from(statements.len()).unwrap_or(u32::MAX),
            },
            inner_commits: inner_commits(&statements, self.transaction),
            session: match self.transaction {
                Transaction::Single => None,
                Transaction::PerStatement => shared_session(&statements),
            },
            transaction: self.transaction,
            parameters,
            repeatable: self.repeatable,
        })
    }
}

impl Sql {
    /// Reports statements that the Data API or Redshift would refuse.
    fn limits(&self, statements: &[Statement], place: &dyn Fn(u32) -> Place) -> Vec<Problem> {
        let mut problems = Vec::new();
        let single = self.transaction == Transaction::Single;
        if single && let Some(over) = statements.get(limits::BATCH_STATEMENTS as usize) {
            let message = format!(
                "the script has {} statements; one transaction can have at most {}",
                statements.len(),
                limits::BATCH_STATEMENTS
            );
            problems.push(
                Problem::new(place(over.line), message).hint("split the script, or set `transaction: per_statement`"),
            );
        }
        for statement in statements {
            let place = || place(statement.line);
            if statement.text.len() > limits::STATEMENT_BYTES {
                let message = format!(
                    "the statement has {} bytes; the limit of the Data API is {}",
                    statement.text.len(),
                    limits::STATEMENT_BYTES
                );
                problems.push(Problem::new(place(), message).hint("load long data from S3 with COPY"));
            }
            let opening = statement.opening();
            if statement.is_transaction_control() {
                let message = if single {
                    format!("`{opening}` is not allowed in a script that is one transaction")
                } else {
                    format!("`{opening}` is not allowed in a script whose statements commit one by one")
                };
                problems.push(
                    Problem::new(place(), message).hint("remove it: the Data API begins and commits transactions"),
                );
            } else if single && statements.len() > 1 && statement.needs_its_own_transaction() {
                let message = format!("Redshift refuses `{opening}` inside a transaction");
                problems.push(Problem::new(place(), message).hint("set `transaction: per_statement` for this script"));
            }
        }
        problems
    }
}
