//! Workflow files held against everything that can be known offline. Pure, but for the scripts that it asks for.

use std::{collections::BTreeMap, io, path::Path};

use serde_json::Value;
use shiftwork_contract::{Connection, Workflow};
use shiftwork_planner::{Facts, Located, Place, Problem, Script, script_key};

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

/// What became of some files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The workflows that are sound.
    pub workflows: Vec<Sound>,
    /// The named connections.
    pub connections: BTreeMap<String, Connection>,
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
    let mut written_in: BTreeMap<String, String> = BTreeMap::new();
    for file in &files.workflows {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text) {
            Ok(doc) => {
                check_workflow(file, &doc, read_script, &mut checked);
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

fn check_workflow(file: &File, doc: &Located, read_script: &ReadScript, checked: &mut Checked) {
    let mut facts =
        Facts { connections: checked.connections.clone(), default_connection: stand_in(), ..Facts::default() };
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
