//! Checks the syntax of scripts with the parser that the local stack uses for Redshift's dialect, and with a second one ([`syntax`]).
//!
//! Neither parser knows every form of every statement. What they find is a warning, except for text that no parser of SQL accepts: a
//! statement that begins with an unknown word, and unbalanced parentheses.

use redshift_dialect::{Refusal, RefusalKind, translate};
use shiftwork_config::JsonPath;
use shiftwork_planner::{Findings, Located, Place, Problem};
use shiftwork_sql::{Position, Statement, split};

use super::syntax::{self, SyntaxError};

/// First words of the statements of Redshift that a misspelt one is compared with.
const STATEMENTS: [&str; 28] = [
    "alter", "analyze", "begin", "call", "comment", "commit", "copy", "create", "delete", "drop", "end", "explain",
    "grant", "insert", "lock", "merge", "refresh", "reset", "revoke", "rollback", "select", "set", "show", "truncate",
    "unload", "update", "vacuum", "with",
];

/// Checks the statements of a script. A text that cannot be split into statements has no findings here: the planner reports the reason.
pub(super) fn check(file: &str, script: &str) -> Findings {
    let mut findings = Findings::default();
    for statement in split(script).unwrap_or_default() {
        if let Some((is_certain, problem)) = check_statement(file, &statement) {
            let list = if is_certain { &mut findings.problems } else { &mut findings.warnings };
            list.push(problem);
        }
    }
    findings
}

/// Checks the SQL that is in the workflow file itself: the queries of jobs of kind `unload`, and the calls of procedures.
pub(super) fn check_jobs(doc: &Located) -> Findings {
    let mut findings = Findings::default();
    let stages = JsonPath::root().key("workflow_stages");
    for (s, stage) in doc.value()["workflow_stages"].as_array().into_iter().flatten().enumerate() {
        for (j, job) in stage["scripts"].as_array().into_iter().flatten().enumerate() {
            let path = stages.index(s).key("scripts").index(j);
            for (field, before) in [("select", ""), ("call", "CALL ")] {
                let Some(sql) = job[field].as_str() else { continue };
                let statements = split(&format!("{before}{sql}")).unwrap_or_default();
                for (is_certain, problem) in statements.iter().filter_map(|statement| check_statement("", statement)) {
                    let place = doc.place(&path.key(field));
                    let list = if is_certain { &mut findings.problems } else { &mut findings.warnings };
                    list.push(Problem { place, ..problem });
                }
            }
        }
    }
    findings
}

/// Returns a problem, and whether it is certain that Redshift refuses the statement.
fn check_statement(file: &str, statement: &Statement) -> Option<(bool, Problem)> {
    let names: Vec<&str> = statement.placeholders.keys().map(String::as_str).collect();
    let Err(refusal) = translate(&statement.text, &names) else { return second_opinion(file, statement) };
    // The planner reports parameters that are not bound.
    if refusal.construct.starts_with(':') || refusal.construct.starts_with('$') {
        return None;
    }
    let Refusal { kind, construct, reason, instead, offset, .. } = refusal;
    let (is_certain, message) = match kind {
        RefusalKind::Malformed => (true, format!("{construct} is not valid SQL: {reason}")),
        RefusalKind::Syntax => (false, format!("probably a syntax error at {construct}: {reason}")),
        RefusalKind::NotRedshift => (false, format!("Redshift probably refuses {construct}: {reason}")),
        RefusalKind::NotTranslated => return second_opinion(file, statement),
    };
    let problem = Problem::new(place(file, statement, offset), message);
    let problem = match (kind, instead) {
        (_, Some(instead)) => problem.hint(format!("use {instead}")),
        (RefusalKind::Malformed, None) => problem.did_you_mean(construct.trim_matches('"'), STATEMENTS),
        (RefusalKind::Syntax | RefusalKind::NotRedshift | RefusalKind::NotTranslated, None) => problem,
    };
    Some((is_certain, problem))
}

/// Returns what the second parser finds in a statement in which the first one finds nothing. It is never certain.
fn second_opinion(file: &str, statement: &Statement) -> Option<(bool, Problem)> {
    let SyntaxError { offset, found, expected, meant } = syntax::check(&statement.text)?;
    let message = format!("probably a syntax error at {found}: expected {expected}");
    let problem = Problem::new(place(file, statement, offset), message);
    Some((
        false,
        match meant {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem,
        },
    ))
}

fn place(file: &str, statement: &Statement, offset: usize) -> Place {
    let Position { line, column } = statement.position(offset);
    Place { file: Some(file.to_owned()), line: Some(line), column: Some(column), path: None }
}
