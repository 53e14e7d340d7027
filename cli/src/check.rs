//! Workflow files held against everything that can be known offline. Pure, but for the scripts that it asks for.

use std::{collections::BTreeMap, io, path::Path};

use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract};
use shiftwork_feeds::Feed;
use shiftwork_planner::{Facts, Located, Place, Problem, Script, script_key};
use shiftwork_protocol::{Connection, Workflow};

use crate::files::{File, Files, script_path};

/// Reads a script by its path; `None` when there is no such file.
pub type ReadScript<'a> = dyn Fn(&Path) -> io::Result<Option<String>> + 'a;

/// A workflow with nothing wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// As it was written.
    pub item: Value,
    /// As it is read.
    pub workflow: Workflow,
    /// Its scripts, by their key in the scripts bucket.
    pub scripts: BTreeMap<String, String>,
}

/// A table contract with nothing wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundContract {
    /// Its file.
    pub file: String,
    /// As it was written.
    pub text: String,
    /// As it is read.
    pub contract: TableContract,
}

/// A feed with nothing wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundFeed {
    /// Its file.
    pub file: String,
    /// As it was written.
    pub text: String,
    /// As it is read.
    pub feed: Feed,
}

/// What became of some files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The workflows that are sound.
    pub workflows: Vec<Sound>,
    /// The named connections.
    pub connections: BTreeMap<String, Connection>,
    /// The table contracts that are sound, by their names.
    pub contracts: BTreeMap<String, SoundContract>,
    /// The feeds that are sound, by their names.
    pub feeds: BTreeMap<String, SoundFeed>,
    /// Everything that is wrong, file by file.
    pub problems: Vec<Problem>,
    /// Texts of the files that problems point into, by the name that they give.
    pub texts: BTreeMap<String, String>,
}

/// Checks every file, and says all problems at once.
pub fn check(files: &Files, read_script: &ReadScript) -> Checked {
    let mut checked = Checked::default();
    for file in &files.connections {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text)
            .and_then(|doc| shiftwork_planner::connections(&doc))
        {
            Ok(connections) => checked.connections.extend(connections),
            Err(problems) => checked.problems.extend(problems),
        }
    }
    let mut found = Facts { feeds: check_feeds(&files.feeds, &mut checked), ..Facts::default() };
    for file in &files.contracts {
        checked.texts.insert(file.name(), file.text.clone());
        let name = file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        // To a workflow it is there, even if something is wrong with it.
        found.contracts.insert(
            name.clone(),
            Script { key: file.name(), version_id: String::from("offline"), text: file.text.clone() },
        );
        match check_contract(file, &name) {
            Ok(contract) => {
                let sound = SoundContract { file: file.name(), text: file.text.clone(), contract };
                checked.contracts.insert(name, sound);
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    let mut written_in: BTreeMap<String, String> = BTreeMap::new();
    for file in &files.workflows {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text) {
            Ok(doc) => {
                check_workflow(file, &doc, read_script, &found, &mut checked);
                if let Some(id) = doc.value()["workflow_id"].as_str()
                    && let Some(earlier) = written_in.insert(id.into(), file.name())
                {
                    let place =
                        Place { file: Some(file.name()), path: Some("$.workflow_id".into()), ..Place::default() };
                    let problem = Problem::new(place, format!("workflow `{id}` is written in {earlier} already"));
                    checked.problems.push(problem.hint("give one of the two another `workflow_id`"));
                }
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    check_consumers(&mut checked);
    // Two files of one workflow share their scripts, and what is wrong with these.
    let mut once: Vec<Problem> = Vec::new();
    for problem in std::mem::take(&mut checked.problems) {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    checked.problems = once;
    checked
}

/// Reads feeds; answers what a workflow finds of them, which is all of them, whatever is wrong with one.
fn check_feeds(files: &[File], checked: &mut Checked) -> BTreeMap<String, Script> {
    let mut found = BTreeMap::new();
    for file in files {
        checked.texts.insert(file.name(), file.text.clone());
        let name = file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let script = Script { key: file.name(), version_id: String::from("offline"), text: file.text.clone() };
        found.insert(name.clone(), script);
        let read = shiftwork_planner::read_file(&file.name(), &file.text).and_then(|doc| Feed::read(&doc));
        match read {
            Ok(feed) if feed.feed == name => {
                checked.feeds.insert(name, SoundFeed { file: file.name(), text: file.text.clone(), feed });
            }
            Ok(feed) => {
                let place = Place { file: Some(file.name()), path: Some("$.feed".into()), ..Place::default() };
                let words = format!("feed `{}` is in a file of another name: call the file {0}.yaml", feed.feed);
                checked.problems.push(Problem::new(place, words));
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    found
}

/// A feed that starts a workflow which does not take its files would start it for nothing, again and again.
fn check_consumers(checked: &mut Checked) {
    for (name, SoundFeed { file, feed, .. }) in &checked.feeds {
        let Some(id) = &feed.workflow else { continue };
        let Some(sound) = checked.workflows.iter().find(|sound| sound.workflow.workflow_id == *id) else { continue };
        if !shiftwork_planner::feed_names(&sound.workflow).contains(name) {
            let place = Place { file: Some(file.clone()), path: Some("$.workflow".into()), ..Place::default() };
            let problem = Problem::new(place, format!("workflow `{id}` takes no files of this feed"));
            let hint = format!("give it a job: {{ job_name: files, kind: copy, files: pending({name}) }}");
            checked.problems.push(problem.hint(hint));
        }
    }
}

/// A contract that reads, and that has the name of its file.
fn check_contract(file: &File, name: &str) -> Result<TableContract, Vec<Problem>> {
    let contract = contract::read(&file.name(), &file.text)?;
    if contract.name() != name {
        let place = Place { file: Some(file.name()), path: Some("$.contract".into()), ..Place::default() };
        let message =
            format!("contract `{}` is in a file of another name: rename the file to {0}.yaml", contract.name());
        return Err(vec![Problem::new(place, message)]);
    }
    Ok(contract)
}

fn check_workflow(file: &File, doc: &Located, read_script: &ReadScript, found: &Facts, checked: &mut Checked) {
    let mut facts = Facts { connections: checked.connections.clone(), default_connection: stand_in(), ..found.clone() };
    // A workflow that does not read still has its own problems said by `check` below.
    let workflow = shiftwork_planner::workflow(doc).ok();
    let mut unreadable = Vec::new();
    let mut scripts = BTreeMap::new();
    if let Some(workflow) = &workflow {
        for name in shiftwork_planner::script_names(workflow) {
            let path = script_path(&file.path, &workflow.workflow_id, &name);
            let shown = path.display().to_string();
            match read_script(&path) {
                Ok(Some(text)) => {
                    scripts.insert(script_key(&workflow.workflow_id, &name), text.clone());
                    checked.texts.insert(shown.clone(), text.clone());
                    facts.scripts.insert(name, Script { key: shown, version_id: String::from("offline"), text });
                }
                Ok(None) => {}
                Err(error) => {
                    let place = Place { file: Some(shown), ..Place::default() };
                    unreadable.push(Problem::new(place, format!("the script cannot be read: {error}")));
                    // One reason is enough: to the planner it is there, and empty of mistakes.
                    let text = String::from("SELECT 1");
                    facts.scripts.insert(name, Script { key: String::new(), version_id: String::new(), text });
                }
            }
        }
    }
    let mut problems = shiftwork_planner::check(doc, &facts);
    problems.extend(unreadable);
    match workflow {
        Some(workflow) if problems.is_empty() => {
            checked.workflows.push(Sound { item: doc.value().clone(), workflow, scripts });
        }
        Some(_) | None => checked.problems.extend(problems),
    }
}

/// The deployment's default connection is not known offline, and any will do.
fn stand_in() -> Connection {
    Connection { workgroup: Some("default".into()), database: "dev".into(), ..Connection::default() }
}
