//! The frozen plan of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Place, Problem, in_order};
use shiftwork_protocol::{Connection, Work, audit::PlannedJob, keys::script_key, name, workflow::RunIf};

use crate::{
    builtin,
    draft::{Draft, DraftJob, draft},
    kind::Context,
    parameters::{self, GivenParameters},
};

/// Seconds that a barrier may take once it is reached: it does nothing, so this is the launcher's own time, retries included.
const BARRIER_SECONDS: u32 = 5 * 60;

/// A script as the scripts bucket has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Key in the scripts bucket.
    pub key: String,
    /// S3 version id.
    pub version_id: String,
    /// Its text, exactly: the plan pins its SHA-256.
    pub text: String,
}

/// What the plan needs to know beyond the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanInputs {
    /// The scripts that were found, by the name that the workflow gives them ([`crate::script_names`]).
    pub scripts: BTreeMap<String, Script>,
    /// The table contracts that were found, by their names ([`crate::contract_names`]).
    pub contracts: BTreeMap<String, Script>,
    /// The feeds that were found, by their names ([`crate::feed_names`]).
    pub feeds: BTreeMap<String, Script>,
    /// Named connections.
    pub connections: BTreeMap<String, Connection>,
    /// The connection of jobs that name none.
    pub default_connection: Connection,
}

/// The run that a plan is made for.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedRun {
    /// Its id.
    pub workflow_execution_id: String,
    /// The instant that it is about.
    pub logical_date: Timestamp,
    /// Values of the workflow's parameters.
    pub parameters: BTreeMap<String, Value>,
}

/// Everything that a run will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Jobs and barriers in topological order, positions set.
    pub jobs: Vec<PlannedJob>,
    /// The declared parameters, as text that the Data API binds.
    pub parameters: BTreeMap<String, String>,
    /// Digest of the configuration: the same for a YAML file and for the item that it became.
    pub workflow_sha256: String,
    /// What a person should know although nothing is wrong.
    pub notes: Vec<String>,
}

/// Plans a run.
///
/// # Errors
/// Everything that would keep the run from ending well, as far as it can be known before anything runs.
pub fn plan(doc: &Located, inputs: &PlanInputs, run: &RequestedRun) -> Result<Plan, Vec<Problem>> {
    let id = &run.workflow_execution_id;
    let mut problems = Vec::new();
    if !name::is_run_id(id) {
        let problem = Problem::new(Place::default(), format!("`{id}` cannot be a run's id"));
        problems.push(problem.hint("use 1 to 80 letters, digits, `_` and `-`"));
    }
    make(doc, inputs, run, &GivenParameters::Values(&run.parameters), problems)
}

/// What [`plan`] would say of this workflow whichever run is requested: parameters without a default count as given.
pub fn check(doc: &Located, inputs: &PlanInputs) -> Vec<Problem> {
    let any_run = RequestedRun {
        workflow_execution_id: "check".into(),
        logical_date: Timestamp::UNIX_EPOCH,
        parameters: BTreeMap::new(),
    };
    make(doc, inputs, &any_run, &GivenParameters::Anything, Vec::new()).err().unwrap_or_default()
}

fn make(
    doc: &Located,
    inputs: &PlanInputs,
    run: &RequestedRun,
    given: &GivenParameters,
    mut problems: Vec<Problem>,
) -> Result<Plan, Vec<Problem>> {
    let (draft, found) = draft(doc);
    problems.extend(found);
    let Some(draft) = draft else {
        return Err(in_order(problems));
    };
    let parameters = parameters::bind(doc, &draft.workflow, given, &mut problems);
    let jobs = plan_jobs(doc, inputs, run, &draft, &parameters, &mut problems);
    match jobs {
        Some(jobs) if problems.is_empty() => {
            Ok(Plan { jobs, parameters, workflow_sha256: digest(&draft.workflow), notes: draft.notes })
        }
        Some(_) | None => Err(in_order(problems)),
    }
}

/// The planned jobs; none after a problem was reported.
fn plan_jobs(
    doc: &Located,
    inputs: &PlanInputs,
    run: &RequestedRun,
    draft: &Draft,
    parameters: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<PlannedJob>> {
    let workflow = &draft.workflow;
    let mut bindings = builtin::values(&workflow.workflow_id, &run.workflow_execution_id, run.logical_date);
    bindings.extend(parameters.iter().map(|(name, text)| (name.clone(), text.clone())));

    let mut works = Vec::with_capacity(draft.jobs.len());
    for job in &draft.jobs {
        let script_key = |script: &str| script_key(&workflow.workflow_id, script);
        let mut context = Context {
            doc,
            path: &job.path,
            inputs,
            script_key: &script_key,
            bindings: &bindings,
            connection: &|problems: &mut Vec<Problem>| connection(doc, inputs, draft, job, problems),
            problems: &mut *problems,
        };
        works.push(job.kind.work(&job.job, &mut context));
    }

    let graph = draft.graph.as_ref()?;
    graph
        .nodes
        .iter()
        .zip(0..)
        .map(|(node, position)| {
            let stage = &workflow.workflow_stages[node.stage];
            let job = node.job.map(|job| &draft.jobs[job]);
            let work = match node.job {
                Some(job) => works[job].take()?,
                None => Work::Barrier {},
            };
            Some(PlannedJob {
                job_name: node.name.clone(),
                position,
                stage: u32::try_from(node.stage + 1).unwrap_or(u32::MAX),
                stage_description: stage.stage_description.clone(),
                upstreams: node.upstreams.clone(),
                dependents: node.dependents.clone(),
                // A barrier asks nothing: it passes the failures of its upstreams on.
                run_if: job.map_or(RunIf::AllDone, |job| job.job.run_if),
                timeout_seconds: job.map_or(BARRIER_SECONDS, |job| job.timeout_seconds),
                retries: job.map_or(0, |job| job.job.retries),
                work,
            })
        })
        .collect()
}

fn connection_named<'a>(inputs: &'a PlanInputs, name: Option<&str>) -> Option<&'a Connection> {
    match name {
        Some(name) => inputs.connections.get(name),
        None => Some(&inputs.default_connection),
    }
}

/// Where a job runs: its own connection, else the workflow's, else the deployment's.
fn connection(
    doc: &Located,
    inputs: &PlanInputs,
    draft: &Draft,
    job: &DraftJob,
    problems: &mut Vec<Problem>,
) -> Option<Connection> {
    let (name, path) = match (&job.job.connection, &draft.workflow.connection) {
        (Some(name), _) => (Some(name), job.path.key("connection")),
        (None, Some(name)) => (Some(name), JsonPath::root().key("connection")),
        (None, None) => (None, JsonPath::root()),
    };
    let Some(connection) = connection_named(inputs, name.map(String::as_str)) else {
        let name = name.map_or("", String::as_str);
        let problem = doc.problem(&path, format!("no connection is named `{name}`"));
        problems.push(problem.one_of(name, inputs.connections.keys().map(String::as_str)));
        return None;
    };
    if let Some(problem) = connection.problem() {
        let name = name.map_or("the deployment's default connection".into(), |name| format!("connection `{name}`"));
        problems.push(doc.problem(&path, format!("{name} {problem}")));
        return None;
    }
    Some(connection.clone())
}

/// The digest of a workflow does not depend on the order or the place in which its fields were written.
fn digest(workflow: &shiftwork_protocol::Workflow) -> String {
    let value = serde_json::to_value(workflow).unwrap_or_default();
    let mut canonical = String::new();
    write_sorted(&value, &mut canonical);
    name::sha256(canonical)
}

/// JSON with the members of every object in the order of their names, whatever map `serde_json` was built with.
fn write_sorted(value: &Value, to: &mut String) {
    match value {
        Value::Object(members) => {
            to.push('{');
            for (key, member) in members.iter().collect::<BTreeMap<_, _>>() {
                to.push_str(&Value::from(key.as_str()).to_string());
                to.push(':');
                write_sorted(member, to);
                to.push(',');
            }
            to.push('}');
        }
        Value::Array(elements) => {
            to.push('[');
            for element in elements {
                write_sorted(element, to);
                to.push(',');
            }
            to.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => to.push_str(&value.to_string()),
    }
}
