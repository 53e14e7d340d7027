//! `shiftwork push`: the deployment is made to agree with files.

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
        bail!("--prune takes directories: of single files nobody knows what was left out on purpose");
    }
    let checked = check(&files, &files::script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        eprintln!("{}; nothing was pushed", validate::summary(&checked));
        return Ok(Outcome::Failed);
    }
    let deployment = Deployment::find(target).await?;
    // Compared first: a contract that becomes another one between the two looks, or after them, is not put over.
    let changes = compare(&deployment, &checked, asked.prune).await?;
    let problems = outgrown(&deployment, &checked).await?;
    if !problems.is_empty() {
        let checked = Checked { problems, ..checked };
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

/// Contracts that cannot take the place of those that are deployed: files are staged by these, and tables made of them.
async fn outgrown(deployment: &Deployment, checked: &Checked) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, sound) in &checked.contracts {
        let key = shiftwork_planner::contract_key(name);
        let Some(deployed) = deployment.scripts.newest(&key).await? else { continue };
        // One that does not read was put there by something else than a push, and stages nothing.
        let Ok(was) = contract::read(&key, &deployed.text) else { continue };
        let place = Place { file: Some(sound.file.clone()), path: Some("$.columns".into()), ..Place::default() };
        problems.extend(evolution(&was, &sound.contract).into_iter().map(|(message, hint)| {
            let problem = Problem::new(place.clone(), message);
            match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        }));
    }
    Ok(problems)
}

/// What keeps a contract from taking the place of the deployed one, and how to go on where there is a command for it.
fn evolution(was: &TableContract, is: &TableContract) -> Vec<(String, Option<String>)> {
    let has_fewer = is.columns().len() < was.columns().len();
    let pull = format!("`shiftwork contract pull {}` brings the deployed one's columns into the file", was.name());
    let hint = has_fewer.then_some(pull);
    evolves(was, is).into_iter().map(|reason| (reason, hint.clone())).collect()
}

/// What a push of these files would change.
pub async fn compare(deployment: &Deployment, checked: &Checked, prune: bool) -> anyhow::Result<Changes> {
    let mut desired = Desired { connections: checked.connections.clone(), ..Desired::default() };
    for sound in &checked.workflows {
        let id = &sound.workflow.workflow_id;
        desired.scripts.extend(sound.scripts.clone());
        desired.workflows.insert(id.clone(), sound.item.clone());
        if let Some(schedule) = &sound.workflow.schedule {
            desired.schedules.insert(id.clone(), deployment.schedule(id, schedule));
        }
    }
    for (name, sound) in &checked.contracts {
        desired.scripts.insert(shiftwork_planner::contract_key(name), sound.text.clone());
    }
    for (name, sound) in &checked.feeds {
        desired.scripts.insert(shiftwork_planner::feed_key(name), sound.text.clone());
    }
    let present = deployment.present(desired.scripts.keys().cloned()).await?;
    Ok(changes(desired, &present, prune))
}

/// One line a change, and a last one for what stays as it is.
pub fn render(changes: &Changes, dry_run: bool) -> String {
    let mut out = String::new();
    for line in &changes.lines {
        let sign = match line.verb {
            Verb::Create => style("+").green(),
            Verb::Update => style("~").yellow(),
            Verb::Delete => style("-").red(),
        };
        let _ = write!(out, "{sign} {:<10} {}", line.sort.as_str(), line.name);
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
        (true, _) => writeln!(out, "the deployment agrees with the files"),
        (false, true) => writeln!(out, "{total} to make; a push without --dry-run makes them"),
        (false, false) => writeln!(out, "{total} made"),
    };
    out
}
