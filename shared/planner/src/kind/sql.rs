//! Kind `sql`: runs a file of SQL statements.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::{Place, Problem};
use shiftwork_protocol::{Kind, ScriptPin, Transaction, Work, limits, name};
use shiftwork_sql::{Position, SqlProblem, Statement, TransactionControl};

use super::{Context, JobKind, unbound};
use crate::effects::{inner_commits, shared_session};

mod warnings;

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
            let found = context.inputs.scripts.keys().chain(&context.inputs.other_scripts).map(String::as_str);
            let problem = context.doc.problem(context.path, format!("the script `{key}` does not exist"));
            context.problems.push(problem.did_you_mean(&self.script, found));
            return None;
        };
        let place = |position: Position| Place {
            file: Some(script.key.clone()),
            line: Some(position.line),
            column: Some(position.column),
            path: Some(context.path.to_string()),
        };
        let statements = match self.transaction.statements(&script.text) {
            Ok(statements) => statements,
            Err(SqlProblem { position, message, hint }) => {
                context.problems.push(Problem { place: place(position), message, hint });
                return None;
            }
        };
        let mut problems = Vec::new();
        if statements.is_empty() {
            problems.push(Problem::new(place(Position { line: 1, column: 1 }), "the script has no statement"));
        }
        problems.extend(self.limits(&statements, &place));
        let broken = !problems.is_empty();
        let mut warnings = unbound::in_statements(&statements, &context.parameters(), &place);
        warnings.extend(warnings::transactions(&statements, self.transaction, context.script_facts, &place));
        context.problems.extend(problems);
        context.warnings.extend(warnings);

        let mut parameters = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (name, position) in statements.iter().flat_map(|statement| &statement.placeholders) {
            // A placeholder without a value is reported once for each script.
            if seen.insert(name) {
                parameters.extend(context.bind([name], &BTreeMap::new(), &place(*position)));
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
    fn limits(&self, statements: &[Statement], place: &dyn Fn(Position) -> Place) -> Vec<Problem> {
        let mut problems = Vec::new();
        let single = self.transaction == Transaction::Single;
        if single && let Some(over) = statements.get(limits::BATCH_STATEMENTS as usize) {
            let message = format!(
                "the script has {} statements; one transaction can have at most {}",
                statements.len(),
                limits::BATCH_STATEMENTS
            );
            let problem = Problem::new(place(over.position(0)), message);
            problems.push(problem.hint("split the script, or set `transaction: per_statement`"));
        }
        let controls: Vec<_> = statements.iter().filter_map(Statement::transaction_control).collect();
        // One of these explains the others.
        let is_cause = |control: &TransactionControl| {
            matches!(control, TransactionControl::Rollback | TransactionControl::Begin { is_default: false })
        };
        let has_cause = controls.iter().any(is_cause);
        for (at, statement) in statements.iter().enumerate() {
            let place = || place(Position { line: statement.line, column: statement.column });
            if statement.text.len() > limits::STATEMENT_BYTES {
                let message = format!(
                    "the statement has {} bytes; the limit of the Data API is {}",
                    statement.text.len(),
                    limits::STATEMENT_BYTES
                );
                problems.push(Problem::new(place(), message).hint("load long data from S3 with COPY"));
            }
            if let Some(control) = statement.transaction_control() {
                if single && has_cause && !is_cause(&control) {
                    continue;
                }
                let is_only_one = controls.len() == 1;
                let is_last = at + 1 == statements.len();
                let (why, hint) = if single {
                    in_one_transaction(control, is_only_one && at == 0, is_only_one && is_last)
                } else {
                    (
                        "is not allowed in a script whose statements commit one by one",
                        "remove it; for one transaction, write `BEGIN` and `COMMIT` around the whole script and remove `transaction: per_statement`",
                    )
                };
                let words = statement.opening();
                let shown = if words.starts_with("START") {
                    words.as_str()
                } else {
                    words.split(' ').next().unwrap_or_default()
                };
                problems.push(Problem::new(place(), format!("`{shown}` {why}")).hint(hint));
            } else if single
                && statements.len() > 1
                && let Some(construct) = statement.refused_in_transaction()
            {
                let message = format!("Redshift refuses `{construct}` inside a transaction");
                problems.push(Problem::new(place(), message).hint("set `transaction: per_statement` for this script"));
            }
        }
        problems
    }
}

/// Explains why a statement that begins or ends a transaction is refused in a script that is one transaction, and how to fix it.
const fn in_one_transaction(
    control: TransactionControl,
    is_only_one_and_first: bool,
    is_only_one_and_last: bool,
) -> (&'static str, &'static str) {
    match control {
        TransactionControl::Begin { is_default: false } => {
            ("begins a read-only transaction, but the transaction of a script can write", "remove `READ ONLY`")
        }
        TransactionControl::Begin { is_default: true } if is_only_one_and_first => (
            "at the beginning of the script has no `COMMIT` at its end",
            "remove it, or end the script with `COMMIT`: the script runs as one transaction",
        ),
        TransactionControl::Commit if is_only_one_and_last => (
            "at the end of the script has no `BEGIN` at its beginning",
            "remove it, or begin the script with `BEGIN`: the script runs as one transaction",
        ),
        TransactionControl::Rollback => (
            "cannot undo a part of a script that runs as one transaction",
            "remove it: the transaction is rolled back if a statement fails, and committed otherwise",
        ),
        TransactionControl::Begin { is_default: true } | TransactionControl::Commit | TransactionControl::Unknown => (
            "does not enclose the whole script, which runs as one transaction",
            "remove it, split the script into one for each transaction, or set `transaction: per_statement`",
        ),
    }
}
