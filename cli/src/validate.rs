//! `shiftwork validate`: everything that is wrong with workflow files, before anything runs.

use std::io::Write as _;

use crate::{
    Outcome, args,
    check::{Checked, check},
    diagnostics, files, words,
};

/// Checks files and says what is wrong.
pub fn validate(asked: &args::Validate) -> anyhow::Result<Outcome> {
    if asked.schema {
        let schema = serde_json::to_string_pretty(&shiftwork_planner::workflow_schema())?;
        writeln!(std::io::stdout(), "{schema}")?;
        return Ok(Outcome::Done);
    }
    let checked = check(&files::read(&asked.paths)?, &files::script);
    eprint!("{}", problems(&checked, console::colors_enabled_stderr()));
    println!("{}", summary(&checked));
    Ok(if checked.problems.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// All problems, in words.
pub fn problems(checked: &Checked, colours: bool) -> String {
    diagnostics::render(&checked.problems, &checked.texts, colours)
}

/// One line.
pub fn summary(checked: &Checked) -> String {
    let scripts = checked.workflows.iter().map(|sound| sound.scripts.len()).sum();
    let mut sound = format!(
        "{}, {}, {}",
        words::plural(checked.workflows.len(), "workflow"),
        words::plural(scripts, "script"),
        words::plural(checked.connections.len(), "connection"),
    );
    if !checked.contracts.is_empty() {
        sound = format!("{sound}, {}", words::plural(checked.contracts.len(), "contract"));
    }
    match checked.problems.len() {
        0 => format!("{sound}: no problems"),
        count => {
            let mut files: Vec<_> = checked.problems.iter().filter_map(|problem| problem.place.file.as_ref()).collect();
            files.sort();
            files.dedup();
            let (count, of) = (words::plural(count, "problem"), words::plural(files.len(), "file"));
            format!("{count} in {of}; sound: {sound}")
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
