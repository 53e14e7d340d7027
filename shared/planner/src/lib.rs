//! Validates a workflow and creates the plan of a run. Pure functions: no requests to AWS, no files, no clock.
//!
//! ```text
//! text ── read_file ──┐
//!                     ├─ Located ── workflow ── script_names ── (the caller reads the scripts) ── plan ── Plan
//! item ── read_item ──┘
//! ```
//!
//! Every error is a [`Problem`] with a place, and all problems are returned together. `shiftwork validate` and the trigger call the same
//! functions, so their messages are the same.

mod builtin;
mod circles;
mod date;
mod draft;
mod effects;
mod graph;
mod kind;
mod original;
mod parameters;
pub mod pattern;
mod plan;
mod published;
mod schedule;
mod schema;
mod slots;

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_config::{JsonPath, in_order, shape};
use shiftwork_protocol::{Connection, Workflow, name, workflow::Job};

pub use builtin::WORKFLOW_EXECUTION_ID;
pub use circles::{Circle, Link, Step, circles};
pub use date::{LogicalDate, RequestedDate};
pub use effects::inner_commits;
pub use plan::{Findings, Plan, PlanInputs, RequestedRun, Script, check, plan};
pub use schema::{connections_schema, workflow_schema};
pub use shiftwork_config::{Located, Place, Problem, list, read_file, read_item};

/// Deserializes a workflow and checks all that does not depend on its scripts and connections.
///
/// # Errors
/// Returns all problems of the document, sorted by line.
pub fn workflow(doc: &Located) -> Result<Workflow, Vec<Problem>> {
    match draft::draft(doc) {
        (Some(draft), problems) if problems.is_empty() => Ok(draft.workflow),
        (_, problems) => Err(in_order(problems)),
    }
}

/// Deserializes the parts of a document that match the schema; other parts are replaced by a value of their type, such as an empty
/// `workflow_id`. Use it to find what a workflow refers to, and [`check`] for its problems.
pub fn readable(doc: &Located) -> Option<Workflow> {
    draft::draft(doc).0.map(|draft| draft.workflow)
}

/// Deserializes and checks `workflows/connections.yaml`: `{name: {workgroup | cluster, database, …}}`.
///
/// # Errors
/// Returns all problems of the document, sorted by line.
pub fn connections(doc: &Located) -> Result<BTreeMap<String, Connection>, Vec<Problem>> {
    // A file that contains only comments has no connections.
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
            problems
                .push(doc.problem(&path, format!("`{name}` is not a valid name of a connection")).hint(draft::ID_HINT));
        }
        if let Some(problem) = connection.problem() {
            problems.push(doc.problem(&path, format!("connection `{name}` {problem}")));
        }
    }
    if problems.is_empty() { Ok(connections) } else { Err(in_order(problems)) }
}

/// Names of the scripts that a plan of this workflow needs, as in the workflow. Scripts of disabled stages are not included.
pub fn script_names(workflow: &Workflow) -> BTreeSet<String> {
    draft::running_jobs(workflow)
        .filter_map(|(_, _, job)| draft::script_of(&draft::in_full(job)))
        .filter(|script| !script.is_empty())
        .collect()
}

/// Names of the connections to which the jobs of this workflow refer.
pub fn connection_names(workflow: &Workflow) -> BTreeSet<String> {
    let of_jobs = workflow.workflow_stages.iter().flat_map(|stage| &stage.scripts).filter_map(|job| match job {
        Job::Full(job) => job.connection.clone(),
        Job::Script(_) => None,
    });
    workflow.connection.clone().into_iter().chain(of_jobs).collect()
}

/// Names of the table contracts that a plan of this workflow needs.
pub fn contract_names(workflow: &Workflow) -> BTreeSet<String> {
    draft::running_jobs(workflow).filter_map(|(_, _, job)| draft::contract_of(&draft::in_full(job))).collect()
}

/// Name of the connection of the job that loads a table contract; `None` for the default connection of the deployment.
pub fn connection_of_contract<'a>(workflow: &'a Workflow, contract: &str) -> Option<&'a str> {
    let own = workflow.workflow_stages.iter().flat_map(|stage| &stage.scripts).find_map(|job| match job {
        Job::Full(job) if draft::contract_of(job).as_deref() == Some(contract) => job.connection.as_deref(),
        Job::Full(_) | Job::Script(_) => None,
    });
    own.or(workflow.connection.as_deref())
}

/// Names of the feeds whose files a run of this workflow loads.
pub fn feed_names(workflow: &Workflow) -> BTreeSet<String> {
    let files = draft::running_jobs(workflow).filter_map(|(_, _, job)| draft::in_full(job).work.get("files").cloned());
    files.filter_map(|files| shiftwork_feeds::feed::pending(files.as_str()?).map(Into::into)).collect()
}
