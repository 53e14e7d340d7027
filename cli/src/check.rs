//! Checks workflow files against everything that is known offline. Pure, except for `read_script`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use shiftwork_change_data::contract::{self, TableContract};
use shiftwork_config::{JsonPath, nearest};
use shiftwork_feeds::Feed;
use shiftwork_planner::{Located, Place, PlanInputs, Problem, Script};
use shiftwork_protocol::{Connection, Workflow, keys::script_key, name};

use crate::{
    circles::{self, Deployed},
    contract::{problems_together, warning},
    files::{File, Files, script_path},
};

mod dialect;
mod syntax;

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
    /// What is probably wrong although it can be pushed, in the order of the files.
    pub warnings: Vec<Problem>,
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
    // A connection that has problems is not an unknown connection.
    let connections = known_connections(&files.connections, &checked.connections);
    let feeds = check_feeds(&files.feeds, &mut checked);
    let mut found = PlanInputs { feeds, default_connection: stand_in(), ..PlanInputs::default() };
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
    let contracts = || checked.contracts.values().map(|valid| (valid.file.as_str(), &valid.contract));
    let shared = problems_together(contracts());
    let doubtful: Vec<Problem> = contracts().filter_map(|(file, contract)| warning(file, contract)).collect();
    checked.problems.extend(shared);
    checked.warnings.extend(doubtful);
    for file in &files.workflows {
        checked.texts.insert(file.name(), file.text.clone());
        match shiftwork_planner::read_file(&file.name(), &file.text) {
            Ok(doc) => {
                let known = Known { inputs: &found, connections: connections.as_ref(), scripts: &files.scripts };
                check_workflow(file, &doc, read_script, &known, &mut checked);
                if let Some(id) = doc.value()["workflow_id"].as_str() {
                    checked.problems.extend(defined.twice("workflow", id, file, "$.workflow_id".into()));
                }
            }
            Err(problems) => checked.problems.extend(problems),
        }
    }
    check_consumers(&mut checked);
    if files.whole {
        let warnings = unknown_consumers(&checked, &defined.names("workflow"));
        checked.warnings.extend(warnings);
    }
    checked.problems.extend(circles::problems(&checked, &Deployed::default()));
    // Jobs and files of workflows share scripts, so the problems of these scripts are reported only once.
    checked.problems = once(checked.problems);
    checked.warnings = once(checked.warnings);
    checked
}

/// Removes repeated problems and keeps the order. Problems at a line are the same for each job that they concern, so their JSON paths are
/// not compared.
fn once(problems: Vec<Problem>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let is_new = |problem: &Problem| {
        let path = problem.place.path.clone().filter(|_| problem.place.line.is_none());
        seen.insert(Problem { place: Place { path, ..problem.place.clone() }, ..problem.clone() })
    };
    problems.into_iter().filter(is_new).collect()
}

/// What a workflow can refer to.
struct Known<'a> {
    /// Contracts and feeds, including those with problems.
    inputs: &'a PlanInputs,
    /// Connections by name; `None` if a file of connections cannot be read.
    connections: Option<&'a BTreeMap<String, Connection>>,
    /// Files in the directories of scripts.
    scripts: &'a [PathBuf],
}

/// Returns the valid connections, and a stand-in for each one with problems; `None` if the names are not known either.
fn known_connections(files: &[File], valid: &BTreeMap<String, Connection>) -> Option<BTreeMap<String, Connection>> {
    let mut known = valid.clone();
    for file in files {
        let doc = shiftwork_planner::read_file(&file.name(), &file.text).ok()?;
        for name in doc.value().as_object().into_iter().flat_map(|names| names.keys()) {
            known.entry(name.clone()).or_insert_with(stand_in);
        }
    }
    Some(known)
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

    /// The names of a kind.
    fn names(&self, kind: &str) -> BTreeSet<&str> {
        self.0.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str()).collect()
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

/// Warns about feeds whose workflow has no file but nearly the id of a workflow that has one. A workflow of another project has no file
/// either, so another id is not reported.
fn unknown_consumers(checked: &Checked, workflows: &BTreeSet<&str>) -> Vec<Problem> {
    let unknown = checked.feeds.values().filter_map(|ValidFeed { file, text, feed }| {
        let id = feed.workflow.as_deref().filter(|id| !workflows.contains(id))?;
        nearest(id, workflows.iter().copied())?;
        let path = JsonPath::root().key("workflow");
        let place = match shiftwork_planner::read_file(file, text) {
            Ok(doc) => doc.place(&path),
            Err(_) => Place { file: Some(file.clone()), path: Some(path.to_string()), ..Place::default() },
        };
        let problem = Problem::new(place, format!("workflow `{id}` has no file"));
        Some(problem.did_you_mean(id, workflows.iter().copied()))
    });
    unknown.collect()
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

fn check_workflow(file: &File, doc: &Located, read_script: &ReadScript, known: &Known, checked: &mut Checked) {
    let Some(workflow) = shiftwork_planner::readable(doc) else {
        checked.problems.extend(shiftwork_planner::check(doc, known.inputs).problems);
        return;
    };
    let connections = known.connections.cloned().unwrap_or_else(|| {
        shiftwork_planner::connection_names(&workflow).into_iter().map(|name| (name, stand_in())).collect()
    });
    let mut inputs = PlanInputs { connections, ..known.inputs.clone() };
    let scripts = read_scripts(file, doc, &workflow, read_script, known, checked);
    inputs.other_scripts = scripts.others;
    inputs.scripts = scripts.found;
    let mut found = shiftwork_planner::check(doc, &inputs);
    let syntax = dialect::check_jobs(doc);
    found.warnings.extend(syntax.warnings);
    // The planner reports the same text in more detail.
    if found.problems.is_empty() {
        found.problems.extend(syntax.problems);
    }
    let is_valid = found.problems.is_empty() && scripts.problems.is_empty();
    checked.problems.extend(found.problems);
    checked.problems.extend(scripts.problems);
    checked.warnings.extend(found.warnings);
    checked.warnings.extend(scripts.warnings);
    if is_valid {
        let item = doc.value().clone();
        checked.workflows.push(ValidWorkflow { file: file.name(), item, workflow, scripts: scripts.texts });
    }
}

/// The scripts of a workflow.
#[derive(Default)]
struct Scripts {
    /// The scripts that exist, and a stand-in for each one that is not known to be missing, by name in the workflow.
    found: BTreeMap<String, Script>,
    /// Names of other files in the folder of the workflow.
    others: BTreeSet<String>,
    /// Texts by S3 key.
    texts: BTreeMap<String, String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

fn read_scripts(
    file: &File,
    doc: &Located,
    workflow: &Workflow,
    read_script: &ReadScript,
    known: &Known,
    checked: &mut Checked,
) -> Scripts {
    let id = &workflow.workflow_id;
    let names = shiftwork_planner::script_names(workflow);
    let mut scripts = Scripts::default();
    // A stand-in has no other problem than the one that is reported already.
    let stand_in = || Script { key: String::new(), version_id: String::new(), text: String::from("SELECT 1") };
    if !name::is_workflow_id(id) {
        // The folder of the scripts has the name of the workflow.
        scripts.found = names.into_iter().map(|name| (name, stand_in())).collect();
        return scripts;
    }
    let folder = script_path(&file.path, id, "");
    let in_folder = known.scripts.iter().filter_map(|path| path.strip_prefix(&folder).ok());
    scripts.others = in_folder.map(|path| path.display().to_string()).collect();
    let mut missing = 0;
    for name in &names {
        let path = script_path(&file.path, id, name);
        let shown = path.display().to_string();
        match read_script(&path) {
            Ok(Some(text)) => {
                scripts.texts.insert(script_key(id, name), text.clone());
                checked.texts.insert(shown.clone(), text.clone());
                let syntax = dialect::check(&shown, &text);
                scripts.problems.extend(syntax.problems);
                scripts.warnings.extend(syntax.warnings);
                scripts.found.insert(name.clone(), Script { key: shown, version_id: String::from("offline"), text });
            }
            Ok(None) => missing += 1,
            Err(error) => {
                let place = Place { file: Some(shown), ..Place::default() };
                scripts.problems.push(Problem::new(place, format!("the script cannot be read: {error}")));
                scripts.found.insert(name.clone(), stand_in());
            }
        }
    }
    if missing > 1 && missing == names.len() && scripts.others.is_empty() {
        // Probably the folder or the id has another name: one problem instead of one for each script.
        let folders = known.scripts.iter().filter_map(|path| {
            let mut parts = path.strip_prefix(file.path.parent()?).ok()?.components();
            let first = parts.next()?.as_os_str().to_str()?;
            parts.next().map(|_| first)
        });
        let path = JsonPath::root().key("workflow_id");
        let message = format!("there is no folder `{}` with the {missing} scripts of the workflow", folder.display());
        scripts.problems.push(doc.problem(&path, message).did_you_mean(id, folders));
        scripts.found = names.into_iter().map(|name| (name, stand_in())).collect();
    }
    scripts
}

/// A connection in place of the deployment's default connection, which is not known offline. Its values are not
/// checked.
fn stand_in() -> Connection {
    Connection { workgroup: Some("default".into()), database: "dev".into(), ..Connection::default() }
}
