//! What is probably wrong in a script although it can be submitted.

use shiftwork_config::{Place, Problem};
use shiftwork_protocol::{CommitCause, Transaction};
use shiftwork_sql::{Position, Statement};

use crate::{effects::inner_commits, kind::ScriptFacts};

/// Returns the statements that commit inside a script that is one transaction, and those that Redshift refuses in a transaction if the
/// objects are what other scripts show.
pub(super) fn transactions(
    statements: &[Statement],
    transaction: Transaction,
    facts: &ScriptFacts,
    place: &dyn Fn(Position) -> Place,
) -> Vec<Problem> {
    match transaction {
        Transaction::PerStatement => return Vec::new(),
        Transaction::Single => {}
    }
    let at = |statement: &Statement| place(Position { line: statement.line, column: statement.column });
    let mut warnings = Vec::new();
    for commit in inner_commits(statements, transaction) {
        let Some(statement) = statements.get(commit.statement as usize - 1) else { continue };
        match commit.cause {
            CommitCause::Truncate => {
                let message = format!("the script is not one transaction: {}", commit.cause.reason());
                let hint = "use `DELETE FROM` to keep one transaction, or set `transaction: per_statement`";
                warnings.push(Problem::new(at(statement), message).hint(hint));
            }
            // Whether a procedure commits is known only if a script of the workflow creates it.
            CommitCause::Call => {
                if let Some((name, ends)) = committing(statement, facts) {
                    let message =
                        format!("the script is not one transaction: procedure `{name}` is or contains `{ends}`");
                    let hint = "what the procedure commits stays if it fails later: write it so that it can run again";
                    warnings.push(Problem::new(at(statement), message).hint(hint));
                }
            }
        }
    }
    if statements.len() > 1 {
        warnings.extend(statements.iter().filter_map(|statement| refused(statement, facts, &at)));
    }
    warnings
}

/// Returns a warning about a statement that Redshift refuses in a transaction because of what other scripts show.
fn refused(statement: &Statement, facts: &ScriptFacts, at: &dyn Fn(&Statement) -> Place) -> Option<Problem> {
    if statement.refused_in_transaction().is_some() {
        return None;
    }
    if let Some((name, ends)) = committing(statement, facts) {
        let message = format!("Redshift refuses procedure `{name}` inside a transaction: it is or contains `{ends}`");
        return Some(Problem::new(at(statement), message).hint("call it in a job of its own"));
    }
    let (construct, schemas) = statement.refused_for_external_tables()?;
    let external = schemas.iter().find(|schema| facts.external_schemas.contains(*schema));
    let is_always_external = construct.ends_with("DATABASE");
    let message = match external {
        Some(schema) => format!(
            "Redshift refuses `{construct}` on external objects inside a transaction, and schema `{}` is external",
            schema.to_lowercase()
        ),
        None if is_always_external => format!("Redshift refuses `{construct}` inside a transaction"),
        None => return None,
    };
    Some(Problem::new(at(statement), message).hint("set `transaction: per_statement` for this script"))
}

/// The procedure that the statement calls and how it ends its transaction, if a script of the workflow shows that it does.
fn committing(statement: &Statement, facts: &ScriptFacts) -> Option<(String, &'static str)> {
    let name = statement.called_procedure()?;
    let ends = facts.committing_procedures.get(&name)?;
    Some((name.to_lowercase(), ends))
}
