//! `shiftwork push`: updates the deployment from local files.

mod change;
mod history;
mod project;
mod rules;
pub(crate) mod seen;
mod thing;
mod unfiled;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use console::style;
use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract, evolves, retypes};
use shiftwork_planner::{Place, Problem};
use similar::TextDiff;

pub use change::{ChangeKind, Changes, Claim, Desired, Gone, Present, Pusher, Timetable, Verb, changes, claim};
pub use rules::{RuleChanges, not_delivered, rule_changes};
pub use seen::{Refusal, refusals};
pub use thing::{Kind, PROJECT_HINT, Record, Thing, is_project, listed};
pub use unfiled::{Unfiled, deployed, scripts_of, started_by_feeds, unfiled, users};

use crate::{
    Deployment, Outcome, args,
    args::Target,
    check::{Checked, check},
    circles,
    confirm::confirmed,
    files::{self, File, Files},
    validate, words,
};

/// Maximum number of lines of a difference that is shown; the rest is counted.
const DIFFERENCE_LINES: usize = 40;

/// Checks files and pushes them.
pub async fn push(target: &Target, asked: &args::Push) -> anyhow::Result<Outcome> {
    let files = files::read(&asked.paths)?;
    if asked.prune && !files.whole {
        bail!(
            "--prune needs the whole directory of workflows: with a part of it, shiftwork cannot tell which files are missing on purpose"
        );
    }
    let checked = check(&files, &files::script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        eprintln!("{}; nothing was pushed", validate::summary(&checked));
        return Ok(Outcome::Failed);
    }
    // Warnings do not stop a push.
    eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
    let project = project::project(asked.project.as_deref(), &checked.root)?;
    if asked.prune && project.is_none() {
        bail!(
            "--prune deletes only what the own project pushed, and no project is named: write `project: NAME` to {}, or use --project",
            checked.root.join(project::FILE).display()
        );
    }
    let deployment = Deployment::find(target).await?;
    eprintln!("{}", deployment.location);
    // The comparison records the ETags of the contracts. A contract that changes after it fails the conditional put.
    let mut comparison = compare(&deployment, &checked, project, asked.prune).await?;
    if !files.whole {
        // The other files of the directory were not read.
        let directories: BTreeSet<_> = asked.paths.iter().map(|path| files::workflows_directory(path)).collect();
        let all = named(&files::read(&directories.into_iter().collect::<Vec<_>>())?);
        comparison.unfiled.retain(|unfiled| !all.contains_key(&unfiled.thing));
    }
    let mut problems = incompatible(&deployment, &checked).await?;
    problems.extend(circles::problems(&checked, &deployment.deployed().await?));
    if !problems.is_empty() {
        let checked = Checked { problems, warnings: Vec::new(), ..checked };
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        eprintln!("nothing was pushed");
        return Ok(Outcome::Failed);
    }
    for valid in &checked.workflows {
        for (trigger, number) in valid.workflow.triggers.iter().zip(1..) {
            if let Some(why) = not_delivered(&trigger.pattern, &deployment.buses()) {
                eprintln!("{}: trigger {number} of {}: {why}", style("warning").yellow(), valid.workflow.workflow_id);
            }
        }
    }
    if let Some(refused) = refused(&deployment, &checked, &comparison, asked.force).await? {
        eprint!("{refused}");
        return Ok(Outcome::Failed);
    }
    print!("{}", render(&comparison.changes));
    let gone = comparison.changes.things_gone.len() + comparison.changes.scripts_gone.len();
    if !asked.dry_run && gone > 0 && !asked.yes {
        let question = format!("Delete {} without a file?", words::plural(gone, "resource"));
        if !confirmed(&question, "delete what has no file")? {
            println!("nothing was pushed");
            return Ok(Outcome::Failed);
        }
    }
    if !asked.dry_run {
        apply(&deployment, &checked, &comparison).await?;
    }
    println!("{}", summary(&comparison.changes, asked.dry_run));
    print!("{}", comparison.without_files());
    Ok(Outcome::Done)
}

/// A line for everything that is deployed and has no file.
pub async fn without_files(deployment: &Deployment, files: &Files, project: Option<&str>) -> anyhow::Result<String> {
    let project = project::project(project, &files.root)?;
    let present = deployment.present([]).await?;
    // The files count even if they have problems, so the names are taken from the documents.
    let mut desired = Desired { files: named(files), ..Desired::default() };
    for (thing, file) in desired.files.iter().filter(|(thing, _)| thing.kind == Kind::Workflow) {
        desired.script_files.extend(files::script_keys(Path::new(file), &thing.name));
    }
    let found = unfiled(&desired, &present);
    let scripts = unfiled::scripts(&desired, &present);
    if found.is_empty() && scripts.is_empty() {
        return Ok("everything that is deployed has a file\n".into());
    }
    Ok(unfiled::render(&found, &scripts, project.as_deref()))
}

/// The things that files define, whether they are valid or not.
fn named(files: &Files) -> BTreeMap<Thing, String> {
    let value =
        |file: &File| shiftwork_planner::read_file(&file.name(), &file.text).ok().map(|doc| doc.value().clone());
    let workflows = files.workflows.iter().filter_map(|file| {
        let id = value(file)?["workflow_id"].as_str()?.to_owned();
        Some((Thing::new(Kind::Workflow, id), file.name()))
    });
    let connections = files.connections.iter().flat_map(|file| {
        let value = value(file).unwrap_or_default();
        let names: Vec<String> = value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        names.into_iter().map(|name| (Thing::new(Kind::Connection, name), file.name()))
    });
    let stems = |kind, files: &[File]| -> Vec<(Thing, String)> {
        let named =
            files.iter().filter_map(|file| Some((Thing::new(kind, file.path.file_stem()?.to_str()?), file.name())));
        named.collect()
    };
    let contracts = stems(Kind::Contract, &files.contracts);
    let feeds = stems(Kind::Feed, &files.feeds);
    workflows.chain(connections).chain(contracts).chain(feeds).collect()
}

/// The differences between the local files and the deployment.
pub struct Comparison {
    /// Writes and deletes that a push would make.
    pub changes: Changes,
    /// What is deployed and has no file, and stays.
    pub unfiled: Vec<Unfiled>,
    /// Keys of deployed scripts of these workflows that have no file, and stay.
    pub scripts: BTreeSet<String>,
    project: Option<String>,
    desired: Desired,
    present: Present,
}

impl Comparison {
    /// A line for everything that is deployed and has no file, and stays.
    pub fn without_files(&self) -> String {
        unfiled::render(&self.unfiled, &self.scripts, self.project.as_deref())
    }
}

/// Compares the files with the deployment. With `prune`, the things of the project that have no file are deleted.
pub async fn compare(
    deployment: &Deployment,
    checked: &Checked,
    project: Option<String>,
    prune: bool,
) -> anyhow::Result<Comparison> {
    let desired = desired(deployment, checked);
    // A push writes a workflow before its rules. Rules are read first, so that the workflow of each rule that is found, also of a push at the
    // same time, is found as well.
    let deployed_rules = deployment.rules.list().await?;
    let present = deployment.present(desired.scripts.keys().cloned()).await?;
    let mut unfiled = unfiled(&desired, &present);
    let mut scripts = unfiled::scripts(&desired, &present);
    let mut gone_scripts = BTreeSet::new();
    let mut gone = BTreeSet::new();
    if let Some(project) = project.as_deref().filter(|_| prune) {
        gone = unfiled::of_project(&unfiled, project).map(|unfiled| unfiled.thing.clone()).collect();
        unfiled.retain(|unfiled| !gone.contains(&unfiled.thing));
        gone_scripts = std::mem::take(&mut scripts);
        // Workflows as they are after the push.
        let mut after = present.clone();
        after.workflows.extend(desired.workflows.clone());
        for (name, valid) in &checked.feeds {
            after.started_by_feeds.remove(name);
            after.started_by_feeds.extend(valid.feed.workflow.clone().map(|id| (name.clone(), id)));
        }
        for thing in &gone {
            let users = users(thing, &after, &gone);
            if !users.is_empty() {
                bail!("{thing} has no file and cannot be deleted, because it is used by {}", listed(&users));
            }
        }
    }
    let caller = deployment.caller().await?;
    let pusher = Pusher { project: project.clone(), caller, now: deployment.clock.now() };
    let gone = Gone { things: gone, scripts: gone_scripts };
    let mut changes = changes(desired.clone(), &present, gone, &pusher);
    let triggers = checked.workflows.iter().map(|valid| (&valid.workflow.workflow_id, &valid.workflow.triggers));
    let rules = triggers.flat_map(|(id, triggers)| deployment.rules.desired(id, triggers)).collect();
    let of_files: BTreeSet<&str> = checked.workflows.iter().map(|valid| valid.workflow.workflow_id.as_str()).collect();
    let deployed = present.workflows.keys().map(String::as_str);
    let is_gone = |id: &str| changes.things_gone.iter().any(|thing| thing.kind == Kind::Workflow && thing.name == id);
    let remaining = deployed.filter(|id| !is_gone(id)).chain(of_files.iter().copied()).collect();
    changes.rules = rule_changes(rules, &deployed_rules, &of_files, &remaining);
    changes.lines.append(&mut changes.rules.lines);
    changes.unchanged += changes.rules.unchanged;
    Ok(Comparison { changes, unfiled, scripts, project, desired, present })
}

fn desired(deployment: &Deployment, checked: &Checked) -> Desired {
    let mut desired = Desired { connections: checked.connections.clone(), ..Desired::default() };
    let mut file = |kind, name: &str, file: &str| {
        let path = files::in_project(&checked.root, Path::new(file));
        desired.files.insert(Thing::new(kind, name), path.display().to_string());
    };
    for (name, path) in &checked.connection_files {
        file(Kind::Connection, name, path);
    }
    for valid in &checked.workflows {
        file(Kind::Workflow, &valid.workflow.workflow_id, &valid.file);
    }
    for (name, valid) in &checked.contracts {
        file(Kind::Contract, name, &valid.file);
        desired.scripts.insert(shiftwork_protocol::keys::contract_key(name), valid.text.clone());
    }
    for (name, valid) in &checked.feeds {
        file(Kind::Feed, name, &valid.file);
        desired.scripts.insert(shiftwork_protocol::keys::feed_key(name), valid.text.clone());
    }
    for valid in &checked.workflows {
        let id = &valid.workflow.workflow_id;
        desired.script_files.extend(files::script_keys(Path::new(&valid.file), id));
        desired.scripts.extend(valid.scripts.clone());
        desired.workflows.insert(id.clone(), valid.item.clone());
        if let Some(schedule) = &valid.workflow.schedule {
            desired.schedules.insert(id.clone(), deployment.schedule(&valid.workflow, schedule));
        }
    }
    desired
}

/// Makes the changes, and records in the checkout that it has seen them.
pub async fn apply(deployment: &Deployment, checked: &Checked, comparison: &Comparison) -> anyhow::Result<()> {
    deployment.apply(&comparison.changes).await?;
    let mut state = seen::State::read(&checked.root)?;
    let gone = comparison.changes.things_gone.iter().map(|thing| (thing.piece(), None));
    let pushed = seen::digests(&comparison.desired).into_iter().map(|(piece, digest)| (piece, Some(digest)));
    state.see(&deployment.location.key(), gone.chain(pushed));
    if let Err(error) = state.write(&checked.root) {
        eprintln!(
            "{} {error:#}; the next push of this checkout knows the deployed content by git only",
            style("warning:").yellow()
        );
    }
    Ok(())
}

/// The reasons why the push is refused, with the differences and with what to do; `None` if it is not refused.
async fn refused(
    deployment: &Deployment,
    checked: &Checked,
    comparison: &Comparison,
    force: bool,
) -> anyhow::Result<Option<String>> {
    if force {
        return Ok(None);
    }
    let Comparison { changes, project, desired, present, .. } = comparison;
    let state = seen::State::read(&checked.root)?;
    let checkout = seen::Checkout {
        root: &checked.root,
        state: &state,
        deployment: &deployment.location.key(),
        files: &desired.files,
        present,
    };
    let refusals =
        refusals(changes, present, project.as_deref(), |thing, piece, digest| checkout.has_seen(thing, piece, digest));
    if refusals.is_empty() {
        return Ok(None);
    }
    let mut differences = BTreeMap::new();
    for refusal in &refusals {
        if let Refusal::Unseen { piece, .. } = refusal {
            let (was, is) = (deployed_text(deployment, present, piece).await?, local_text(desired, piece));
            differences.insert(piece.clone(), difference(&was, &is));
        }
    }
    let mut out = seen::render(&refusals, |piece| differences.remove(piece).unwrap_or_default());
    if refusals.iter().any(|refusal| matches!(refusal, Refusal::Unseen { .. })) {
        out.push_str("pull the change into this checkout (`git pull`, or `shiftwork contract pull` for a contract), or use --force to overwrite it\n");
        if history::is_shallow(&checked.root.join("workflows")) {
            out.push_str("this repository is a shallow clone: fetch its whole history (`git fetch --unshallow`, `fetch-depth: 0`)\n");
        }
    }
    if refusals.iter().any(|refusal| matches!(refusal, Refusal::Foreign { .. })) {
        out.push_str("rename what belongs to another project, or use --force to take it over\n");
    }
    out.push_str("nothing was pushed\n");
    Ok(Some(out))
}

/// The deployed content of a piece, as text.
async fn deployed_text(deployment: &Deployment, present: &Present, piece: &str) -> anyhow::Result<String> {
    if let Some(text) = structured(piece, &present.workflows, &present.connections)? {
        return Ok(text);
    }
    let text = shiftwork_ports::scripts::newest(&deployment.scripts, piece).await?;
    Ok(text.with_context(|| format!("{piece} was deleted during this push: push again"))?.text)
}

/// The local content of a piece, as text; empty if a push deletes the piece.
fn local_text(desired: &Desired, piece: &str) -> String {
    let structured = structured(piece, &desired.workflows, &desired.connections).ok().flatten();
    structured.or_else(|| desired.scripts.get(piece).cloned()).unwrap_or_default()
}

/// A workflow or a connection as JSON; `None` for the other pieces.
fn structured(
    piece: &str,
    workflows: &BTreeMap<String, Value>,
    connections: &BTreeMap<String, shiftwork_protocol::Connection>,
) -> anyhow::Result<Option<String>> {
    let Some(thing) = seen::thing_of(piece).filter(|thing| thing.piece() == piece) else { return Ok(None) };
    let json = match thing.kind {
        Kind::Workflow => workflows.get(&thing.name).map(serde_json::to_string_pretty),
        Kind::Connection => connections.get(&thing.name).map(serde_json::to_string_pretty),
        Kind::Contract | Kind::Feed => None,
    };
    Ok(json.transpose()?)
}

/// The lines that differ, `-` for the deployed ones and `+` for the local ones, at most [`DIFFERENCE_LINES`].
fn difference(deployed: &str, local: &str) -> String {
    let diff = TextDiff::from_lines(deployed, local);
    let text = diff.unified_diff().context_radius(1).header("deployed", "local").to_string();
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for line in lines.iter().take(DIFFERENCE_LINES) {
        let shown = style(format!("  {line}"));
        let shown = match line.chars().next() {
            Some('-') => shown.red(),
            Some('+') => shown.green(),
            Some(_) | None => shown.dim(),
        };
        let _ = writeln!(out, "{shown}");
    }
    if lines.len() > DIFFERENCE_LINES {
        let _ = writeln!(out, "  … and {}", words::plural(lines.len() - DIFFERENCE_LINES, "more line"));
    }
    out
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
    let retyped = retypes(was, is).into_iter().map(|reason| (reason, None));
    evolves(was, is).into_iter().map(|reason| (reason, hint.clone())).chain(retyped).collect()
}

/// One line per change, and a line with the number of unchanged resources.
pub fn render(changes: &Changes) -> String {
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
    out
}

/// The number of changes.
pub fn summary(changes: &Changes, dry_run: bool) -> String {
    let total = words::plural(changes.lines.len(), "change");
    match (changes.lines.is_empty(), dry_run) {
        (true, _) => "the deployment matches the files".into(),
        (false, true) => format!("{total} to make; run without --dry-run to make them"),
        (false, false) => format!("{total} made"),
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_shows_the_deployed_and_the_local_lines() {
        let shown = difference("select 1\nfrom a;\n", "select 1\nfrom b;\n");
        let shown = console::strip_ansi_codes(&shown).into_owned();
        assert_eq!(shown, "  --- deployed\n  +++ local\n  @@ -1,2 +1,2 @@\n   select 1\n  -from a;\n  +from b;\n");
    }

    #[test]
    fn a_long_difference_is_cut_and_counted() {
        let shown = difference(&"deployed\n".repeat(100), &"local\n".repeat(100));
        assert_eq!(shown.lines().count(), 41);
        assert!(shown.ends_with("  … and 163 more lines\n"), "{shown}");
    }
}
