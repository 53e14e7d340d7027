//! `shiftwork push`: the deployment is made to agree with files.

mod change;

use std::fmt::Write as _;

use anyhow::bail;
use console::style;

pub use change::{Changes, Desired, Present, Sort, Timetable, Verb, changes};

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
    let changes = compare(&deployment, &checked, asked.prune).await?;
    if !asked.dry_run {
        deployment.apply(&changes).await?;
    }
    print!("{}", render(&changes, asked.dry_run));
    Ok(Outcome::Done)
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
