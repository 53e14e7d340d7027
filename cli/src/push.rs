//! `shiftwork push`: updates the deployment from local files.

mod change;

use std::fmt::Write as _;

use anyhow::bail;
use console::style;
use shiftwork_change_data::contract::{self, TableContract, evolves};
use shiftwork_planner::{Place, Problem};

pub use change::{ChangeKind, Changes, Desired, Present, Timetable, Verb, changes};

use crate::{
    Deployment, Outcome, args,
    args::Target,
    check::{Checked, check},
    files, validate, words,
};

/// Checks files and pushes them.
pub async fn push(target: &Target, asked: &args::Push) -> anyhow::Result<Outcome> {
    let files = files::read(&asked.paths)?;
    if asked.prune && !files.whole {
        bail!("--prune needs directories: with single files, shiftwork cannot tell which files are missing on purpose");
    }
    let checked = check(&files, &files::script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        eprintln!("{}; nothing was pushed", validate::summary(&checked));
        return Ok(Outcome::Failed);
    }
    // Warnings do not stop a push.
    eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
    let deployment = Deployment::find(target).await?;
    // The comparison records the ETags of the contracts. A contract that changes after it fails the conditional put.
    let changes = compare(&deployment, &checked, asked.prune).await?;
    let problems = incompatible(&deployment, &checked).await?;
    if !problems.is_empty() {
        let checked = Checked { problems, warnings: Vec::new(), ..checked };
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        eprintln!("nothing was pushed");
        return Ok(Outcome::Failed);
    }
    if !asked.dry_run {
        deployment.apply(&changes).await?;
    }
    print!("{}", render(&changes, asked.dry_run));
    Ok(Outcome::Done)
}

/// Contracts that cannot replace the deployed ones: staged files and tables have the columns of the deployed contracts.
async fn incompatible(deployment: &Deployment, checked: &Checked) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, valid) in &checked.contracts {
        let key = shiftwork_protocol::keys::contract_key(name);
        let Some(deployed) = shiftwork_ports::scripts::newest(&deployment.scripts, &key).await? else { continue };
        // A deployed contract that cannot be read was not written by a push, and no files were staged with it.
        let Ok(was) = contract::read(&key, &deployed.text) else { continue };
        let place = Place { file: Some(valid.file.clone()), path: Some("$.columns".into()), ..Place::default() };
        problems.extend(evolution(&was, &valid.contract).into_iter().map(|(message, hint)| {
            let problem = Problem::new(place.clone(), message);
            match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        }));
    }
    Ok(problems)
}

/// The reasons why a contract cannot replace the deployed one, each with the command that fixes it, if there is one.
fn evolution(was: &TableContract, is: &TableContract) -> Vec<(String, Option<String>)> {
    let has_fewer = is.columns().len() < was.columns().len();
    let pull =
        format!("`shiftwork contract pull {}` adds the columns of the deployed contract to the file", was.name());
    let hint = has_fewer.then_some(pull);
    evolves(was, is).into_iter().map(|reason| (reason, hint.clone())).collect()
}

/// The changes that a push of these files would make.
pub async fn compare(deployment: &Deployment, checked: &Checked, prune: bool) -> anyhow::Result<Changes> {
    let mut desired = Desired { connections: checked.connections.clone(), ..Desired::default() };
    for valid in &checked.workflows {
        let id = &valid.workflow.workflow_id;
        desired.scripts.extend(valid.scripts.clone());
        desired.workflows.insert(id.clone(), valid.item.clone());
        if let Some(schedule) = &valid.workflow.schedule {
            desired.schedules.insert(id.clone(), deployment.schedule(id, schedule));
        }
    }
    for (name, valid) in &checked.contracts {
        desired.scripts.insert(shiftwork_protocol::keys::contract_key(name), valid.text.clone());
    }
    for (name, valid) in &checked.feeds {
        desired.scripts.insert(shiftwork_protocol::keys::feed_key(name), valid.text.clone());
    }
    let present = deployment.present(desired.scripts.keys().cloned()).await?;
    Ok(changes(desired, &present, prune))
}

/// One line per change, and a last line with the total.
pub fn render(changes: &Changes, dry_run: bool) -> String {
    let mut out = String::new();
    for line in &changes.lines {
        let sign = match line.verb {
            Verb::Create => style("+").green(),
            Verb::Update => style("~").yellow(),
            Verb::Delete => style("-").red(),
        };
        let _ = write!(out, "{sign} {:<10} {}", line.kind.as_str(), line.name);
        let _ = match &line.detail {
            Some(detail) => writeln!(out, "  {}", style(detail).dim()),
            None => writeln!(out),
        };
    }
    if changes.unchanged > 0 {
        let _ = writeln!(out, "{} unchanged  {}", style("=").dim(), style(changes.unchanged).dim());
    }
    let total = words::plural(changes.lines.len(), "change");
    let _ = match (changes.lines.is_empty(), dry_run) {
        (true, _) => writeln!(out, "the deployment matches the files"),
        (false, true) => writeln!(out, "{total} to make; run without --dry-run to make them"),
        (false, false) => writeln!(out, "{total} made"),
    };
    out
}
