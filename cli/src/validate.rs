//! `shiftwork validate`: checks workflow files offline; with `--deployed`, also lists what is deployed and has no file.

use std::io::Write as _;

use anyhow::ensure;

use crate::{
    Deployment, Outcome, args,
    check::{Checked, check},
    diagnostics, files, push, words,
};

/// Checks files and prints the problems.
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
    eprint!("{}", problems(&checked, console::colors_enabled_stderr()));
    println!("{}", summary(&checked));
    if asked.deployed {
        print!("{}", push::without_files(&Deployment::find(target).await?, &files, asked.project.as_deref()).await?);
    }
    Ok(if checked.problems.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// All problems, formatted for a terminal.
pub fn problems(checked: &Checked, colours: bool) -> String {
    diagnostics::render(&checked.problems, &checked.texts, colours)
}

/// The final line: counts of valid files, or of problems.
pub fn summary(checked: &Checked) -> String {
    let scripts = checked.workflows.iter().map(|valid| valid.scripts.len()).sum();
    let mut valid = format!(
        "{}, {}, {}",
        words::plural(checked.workflows.len(), "workflow"),
        words::plural(scripts, "script"),
        words::plural(checked.connections.len(), "connection"),
    );
    if !checked.contracts.is_empty() {
        valid = format!("{valid}, {}", words::plural(checked.contracts.len(), "contract"));
    }
    match checked.problems.len() {
        0 => format!("{valid}: no problems"),
        count => {
            let mut files: Vec<_> = checked.problems.iter().filter_map(|problem| problem.place.file.as_ref()).collect();
            files.sort();
            files.dedup();
            let (count, of) = (words::plural(count, "problem"), words::plural(files.len(), "file"));
            format!("{count} in {of}; valid: {valid}")
        }
    }
}

#[cfg(test)]
mod tests;
