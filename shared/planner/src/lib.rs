//! From a workflow as users write it to the frozen plan of a run. Pure: no AWS, no files, no clock.
//!
//! ```text
//! text ── read_file ──┐
//!                     ├─ Located ── workflow ── script_names ── (caller fetches scripts) ── plan ── Plan
//! item ── read_item ──┘
//! ```
//!
//! Everything that is wrong is a [`Problem`] with a place, and all problems come at once: `shiftwork validate` and the
//! trigger call the same code and say the same words.

mod builtin;
mod draft;
mod graph;
mod kind;
mod parameters;
pub mod pattern;
mod plan;
mod schedule;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_config::{JsonPath, in_order, shape};
use shiftwork_protocol::{Connection, Workflow, name, workflow::Job};

pub use plan::{Plan, PlanInputs, RequestedRun, Script, check, plan};
pub use schema::{connections_schema, workflow_schema};
pub use shiftwork_config::{Located, Place, Problem, read_file, read_item};

/// Reads a workflow and checks everything that can be checked without its scripts and connections.
///
/// # Errors
/// Every problem of the document, in the order of its lines.
pub fn workflow(doc: &Located) -> Result<Workflow, Vec<Problem>> {
    match draft::draft(doc) {
        (Some(draft), problems) if problems.is_empty() => Ok(draft.workflow),
        (_, problems) => Err(in_order(problems)),
    }
}

/// Reads `workflows/connections.yaml`: `{name: {workgroup | cluster, database, …}}`.
///
/// # Errors
/// Every problem of the document.
pub fn connections(doc: &Located) -> Result<BTreeMap<String, Connection>, Vec<Problem>> {
    // A file with nothing but comments names no connection.
    if doc.value().is_null() {
        return Ok(BTreeMap::new());
    }
    let mut problems = shape::check(doc, &connections_schema()).problems;
    let connections: BTreeMap<String, Connection> = match serde_json::from_value(doc.value().clone()) {
        Ok(connections) => connections,
        Err(error) if problems.is_empty() => {
            problems.push(doc.problem(&JsonPath::root(), error.to_string()));
            BTreeMap::new()
        }
        Err(_) => BTreeMap::new(),
    };
    for (name, connection) in &connections {
        let path = JsonPath::root().key(name);
        if !name::is_workflow_id(name) {
            problems.push(doc.problem(&path, format!("`{name}` cannot name a connection")).hint(draft::ID_HINT));
        }
        if let Some(problem) = connection.problem() {
            problems.push(doc.problem(&path, format!("connection `{name}` {problem}")));
        }
    }
    if problems.is_empty() { Ok(connections) } else { Err(in_order(problems)) }
}

/// The scripts that a plan of this workflow needs, as the workflow writes them. Stages that are left out need none.
pub fn script_names(workflow: &Workflow) -> BTreeSet<String> {
    draft::running_jobs(workflow).filter_map(|(_, _, job)| draft::script_of(&draft::in_full(job))).collect()
}

/// The table contracts that a plan of this workflow needs, by their names.
pub fn contract_names(workflow: &Workflow) -> BTreeSet<String> {
    draft::running_jobs(workflow).filter_map(|(_, _, job)| draft::contract_of(&draft::in_full(job))).collect()
}

/// The connection that a workflow's job loads a table contract over, by its name; none for the deployment's default.
pub fn connection_of_contract<'a>(workflow: &'a Workflow, contract: &str) -> Option<&'a str> {
    let own = workflow.workflow_stages.iter().flat_map(|stage| &stage.scripts).find_map(|job| match job {
        Job::Full(job) if draft::contract_of(job).as_deref() == Some(contract) => job.connection.as_deref(),
        Job::Full(_) | Job::Script(_) => None,
    });
    own.or(workflow.connection.as_deref())
}

/// The feeds whose files a run of this workflow loads, by their names.
pub fn feed_names(workflow: &Workflow) -> BTreeSet<String> {
    let files = draft::running_jobs(workflow).filter_map(|(_, _, job)| draft::in_full(job).work.get("files").cloned());
    files.filter_map(|files| shiftwork_feeds::feed::pending(files.as_str()?).map(Into::into)).collect()
}
