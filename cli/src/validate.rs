//! `shiftwork validate`: checks workflow files offline; with `--deployed`, also lists what is deployed and has no file.

use std::{collections::BTreeSet, io::Write as _};

use anyhow::ensure;
use serde::Serialize;
use shiftwork_planner::Problem;

use crate::{
    Deployment, Outcome, args,
    check::{Checked, check},
    diagnostics::{self, Severity},
    files, push, words,
};

/// Checks files and prints the problems: errors fail the command, and warnings do with `--strict`.
pub async fn validate(target: &args::Target, asked: &args::Validate) -> anyhow::Result<Outcome> {
    if asked.schema {
        let schema = serde_json::to_string_pretty(&shiftwork_planner::workflow_schema())?;
        writeln!(std::io::stdout(), "{schema}")?;
        return Ok(Outcome::Done);
    }
    let files = files::read(&asked.paths)?;
    if asked.deployed {
        ensure!(
            files.whole,
            "--deployed needs the whole directory of workflows: with a part of it, shiftwork cannot tell what has no file"
        );
    }
    let checked = check(&files, &files::script);
    if asked.json {
        println!("{}", serde_json::to_string_pretty(&report(&checked))?);
    } else {
        eprint!("{}", problems(&checked, console::colors_enabled_stderr()));
        println!("{}", summary(&checked));
    }
    if asked.deployed {
        print!("{}", push::without_files(&Deployment::find(target).await?, &files, asked.project.as_deref()).await?);
    }
    Ok(outcome(&checked, asked.strict))
}

/// Warnings fail a check only if it is strict.
const fn outcome(checked: &Checked, strict: bool) -> Outcome {
    if checked.problems.is_empty() && (checked.warnings.is_empty() || !strict) {
        Outcome::Done
    } else {
        Outcome::Failed
    }
}

/// All warnings and then all errors, formatted for a terminal, so that the errors are next to the summary.
pub fn problems(checked: &Checked, colours: bool) -> String {
    let warnings = diagnostics::render_warnings(&checked.warnings, &checked.texts, colours);
    let errors = diagnostics::render(&checked.problems, &checked.texts, colours);
    warnings + &errors
}

/// The result of a check as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Errors and then warnings, each in the order of the files.
    problems: Vec<ReportedProblem<'a>>,
    /// Numbers of valid definitions.
    valid: Counts,
}

/// An error or a warning.
#[derive(Debug, Serialize)]
struct ReportedProblem<'a> {
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    /// JSON path in the workflow; for a position in a script, the path of the job that runs the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    message: &'a str,
    /// Instruction to fix the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Counts {
    workflows: usize,
    scripts: usize,
    connections: usize,
    contracts: usize,
    feeds: usize,
}

fn report(checked: &Checked) -> Report<'_> {
    let errors = checked.problems.iter().map(|problem| reported(Severity::Error, problem));
    let warnings = checked.warnings.iter().map(|problem| reported(Severity::Warning, problem));
    Report { problems: errors.chain(warnings).collect(), valid: counts(checked) }
}

fn reported(severity: Severity, Problem { place, message, hint }: &Problem) -> ReportedProblem<'_> {
    ReportedProblem {
        severity,
        file: place.file.as_deref(),
        line: place.line,
        column: place.column,
        path: place.path.as_deref(),
        message,
        hint: hint.as_deref(),
    }
}

fn counts(checked: &Checked) -> Counts {
    Counts {
        workflows: checked.workflows.len(),
        scripts: checked.workflows.iter().map(|valid| valid.scripts.len()).sum(),
        connections: checked.connections.len(),
        contracts: checked.contracts.len(),
        feeds: checked.feeds.len(),
    }
}

/// The final line: counts of valid files, and of problems.
pub fn summary(checked: &Checked) -> String {
    let counts = counts(checked);
    let mut valid = format!(
        "{}, {}, {}",
        words::plural(counts.workflows, "workflow"),
        words::plural(counts.scripts, "script"),
        words::plural(counts.connections, "connection"),
    );
    if counts.contracts > 0 {
        valid = format!("{valid}, {}", words::plural(counts.contracts, "contract"));
    }
    let found: Vec<_> = [(checked.problems.len(), "error"), (checked.warnings.len(), "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| words::plural(count, kind))
        .collect();
    if found.is_empty() {
        return format!("{valid}: no problems");
    }
    let all = checked.problems.iter().chain(&checked.warnings);
    let files: BTreeSet<_> = all.filter_map(|problem| problem.place.file.as_ref()).collect();
    format!("{} in {}; valid: {valid}", found.join(" and "), words::plural(files.len(), "file"))
}

#[cfg(test)]
mod tests;
