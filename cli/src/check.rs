//! Checks workflow files against everything that is known offline. Pure, except for `read_script`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract};
use shiftwork_feeds::Feed;
use shiftwork_planner::{Located, Place, PlanInputs, Problem, Script};
use shiftwork_protocol::{Connection, Workflow, keys::script_key};

use crate::{
    circles::{self, Deployed},
    files::{File, Files, script_path},
};

/// Reads a script by its path; returns `None` if the file does not exist.
pub type ReadScript<'a> = dyn Fn(&Path) -> io::Result<Option<String>> + 'a;

/// A workflow without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidWorkflow {
    /// Path of the file.
    pub file: String,
    /// The workflow as JSON, as it is stored in the configuration table.
    pub item: Value,
    /// The parsed workflow.
    pub workflow: Workflow,
    /// Texts of its scripts by S3 key.
    pub scripts: BTreeMap<String, String>,
}

/// A table contract without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidContract {
    /// Path of the file.
    pub file: String,
    /// Text of the file.
    pub text: String,
    /// The parsed contract.
    pub contract: TableContract,
}

/// A feed without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidFeed {
    /// Path of the file.
    pub file: String,
    /// Text of the file.
    pub text: String,
    /// The parsed feed.
    pub feed: Feed,
}

/// The result of checking files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The directory that contains the directory of workflows.
    pub root: PathBuf,
    /// The valid workflows.
    pub workflows: Vec<ValidWorkflow>,
    /// The named connections.
    pub connections: BTreeMap<String, Connection>,
    /// Path of the file of each connection.
    pub connection_files: BTreeMap<String, String>,
    /// The valid table contracts by name.
    pub contracts: BTreeMap<String, ValidContract>,
    /// The valid feeds by name.
    pub feeds: BTreeMap<String, ValidFeed>,
    /// All problems, in the order of the files.
    pub problems: Vec<Problem>,
    /// Texts of the files that problems refer to, by file name.
    pub texts: BTreeMap<String, String>,
}

/// Checks every file and collects all problems.
pub fn check(files: &Files, read_script: &ReadScript) -> Checked {
    let mut checked = Checked { root: files.root.clone(), ..Checked::default() };
    let mut defined = Definitions::default();
    for file in &files.connections {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text)
            .and_then(|doc| shiftwork_planner::connections(&doc))
        {
            Ok(connections) => {
                for (name, connection) in connections {
                    let path = format!("$.{name}");
                    checked.problems.extend(defined.twice("connection", &name, file, path));
                    checked.connection_files.insert(name.clone(), file.name());
                    checked.connections.insert(name, connection);
                }
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    for file in &files.feeds {
        checked.problems.extend(defined.twice("feed", &stem(file), file, "$".into()));
    }
    let mut found = PlanInputs { feeds: check_feeds(&files.feeds, &mut checked), ..PlanInputs::default() };
    for file in &files.contracts {
        checked.texts.insert(file.name(), file.text.clone());
        let name = stem(file);
        checked.problems.extend(defined.twice("contract", &name, file, "$".into()));
        // A workflow may refer to a contract that has problems; those problems are reported once, here.
        found.contracts.insert(
            name.clone(),
            Script { key: file.name(), version_id: String::from("offline"), text: file.text.clone() },
        );
        match check_contract(file, &name) {
            Ok(contract) => {
                let valid = ValidContract { file: file.name(), text: file.text.clone(), contract };
                checked.contracts.insert(name, valid);
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    for file in &files.workflows {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text) {
            Ok(doc) => {
                check_workflow(file, &doc, read_script, &found, &mut checked);
                if let Some(id) = doc.value()["workflow_id"].as_str() {
                    checked.problems.extend(defined.twice("workflow", id, file, "$.workflow_id".into()));
                }
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    check_consumers(&mut checked);
    checked.problems.extend(circles::problems(&checked, &Deployed::default()));
    // Two files of the same workflow share their scripts, so the problems of these scripts are reported only once.
    let mut once: Vec<Problem> = Vec::new();
    for problem in std::mem::take(&mut checked.problems) {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    checked.problems = once;
    checked
}

/// The files that define names. A deployment has one workflow, connection, contract or feed with a name, so two files in
/// different directories cannot define it.
#[derive(Debug, Default)]
struct Definitions(BTreeMap<(&'static str, String), String>);

impl Definitions {
    /// Adds a definition; returns a problem if an earlier file has the same name.
    fn twice(&mut self, kind: &'static str, name: &str, file: &File, path: String) -> Option<Problem> {
        let earlier = self.0.insert((kind, name.into()), file.name())?;
        let place = Place { file: Some(file.name()), path: Some(path), ..Place::default() };
        let problem = Problem::new(place, format!("{kind} `{name}` is already defined in {earlier}"));
        Some(problem.hint(format!("rename one of the two {kind}s")))
    }
}

/// The name of a file without its suffix.
fn stem(file: &File) -> String {
    file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads feeds. Returns all of them for the workflows that refer to them, including feeds with problems.
fn check_feeds(files: &[File], checked: &mut Checked) -> BTreeMap<String, Script> {
    let mut found = BTreeMap::new();
    for file in files {
        checked.texts.insert(file.name(), file.text.clone());
        let name = stem(file);
        let script = Script { key: file.name(), version_id: String::from("offline"), text: file.text.clone() };
        found.insert(name.clone(), script);
        let read = shiftwork_planner::read_file(&file.name(), &file.text).and_then(|doc| Feed::read(&doc));
        match read {
            Ok(feed) if feed.feed == name => {
                checked.feeds.insert(name, ValidFeed { file: file.name(), text: file.text.clone(), feed });
            }
            Ok(feed) => {
                let place = Place { file: Some(file.name()), path: Some("$.feed".into()), ..Place::default() };
                let words = format!("feed `{}` is in a file with another name: rename the file to {0}.yaml", feed.feed);
                checked.problems.push(Problem::new(place, words));
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    found
}

/// A feed must not start a workflow that does not load its files: the feed would start it again and again without an
/// effect.
fn check_consumers(checked: &mut Checked) {
    for (name, ValidFeed { file, feed, .. }) in &checked.feeds {
        let Some(id) = &feed.workflow else { continue };
        let Some(valid) = checked.workflows.iter().find(|valid| valid.workflow.workflow_id == *id) else { continue };
        if !shiftwork_planner::feed_names(&valid.workflow).contains(name) {
            let place = Place { file: Some(file.clone()), path: Some("$.workflow".into()), ..Place::default() };
            let problem = Problem::new(place, format!("workflow `{id}` does not load the files of this feed"));
            let hint = format!("add a job: {{ job_name: files, kind: copy, files: pending({name}) }}");
            checked.problems.push(problem.hint(hint));
        }
    }
}

/// Reads a contract, and checks that its name is the name of its file.
fn check_contract(file: &File, name: &str) -> Result<TableContract, Vec<Problem>> {
    let contract = contract::read(&file.name(), &file.text)?;
    if contract.name() != name {
        let place = Place { file: Some(file.name()), path: Some("$.contract".into()), ..Place::default() };
        let message =
            format!("contract `{}` is in a file with another name: rename the file to {0}.yaml", contract.name());
        return Err(vec![Problem::new(place, message)]);
    }
    Ok(contract)
}

fn check_workflow(file: &File, doc: &Located, read_script: &ReadScript, found: &PlanInputs, checked: &mut Checked) {
    let mut inputs =
        PlanInputs { connections: checked.connections.clone(), default_connection: stand_in(), ..found.clone() };
    // The problems of a workflow that cannot be read are reported by `check` below.
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
                    inputs.scripts.insert(name, Script { key: shown, version_id: String::from("offline"), text });
                }
                Ok(None) => {}
                Err(error) => {
                    let place = Place { file: Some(shown), ..Place::default() };
                    unreadable.push(Problem::new(place, format!("the script cannot be read: {error}")));
                    // The unreadable script is already a problem; this text adds no other one.
                    let text = String::from("SELECT 1");
                    inputs.scripts.insert(name, Script { key: String::new(), version_id: String::new(), text });
                }
            }
        }
    }
    let mut problems = shiftwork_planner::check(doc, &inputs);
    problems.extend(unreadable);
    match workflow {
        Some(workflow) if problems.is_empty() => {
            checked.workflows.push(ValidWorkflow { file: file.name(), item: doc.value().clone(), workflow, scripts });
        }
        Some(_) | None => checked.problems.extend(problems),
    }
}

/// A connection in place of the deployment's default connection, which is not known offline. Its values are not
/// checked.
fn stand_in() -> Connection {
    Connection { workgroup: Some("default".into()), database: "dev".into(), ..Connection::default() }
}
