//! Creates the plan of a run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Place, Problem, in_order};
use shiftwork_protocol::{
    CommitCause, Connection, Work, audit::PlannedJob, keys::script_key, name, secret::Secrets, workflow::RunIf,
};

use crate::{
    builtin,
    date::LogicalDate,
    draft::{Draft, DraftJob, draft},
    kind::{Context, ScriptFacts},
    parameters::{self, GivenParameters},
    slots,
};

/// Timeout of a barrier in seconds. A barrier does no work, so this is the time of the launcher with its retries.
const BARRIER_SECONDS: u32 = 5 * 60;

/// A version of a script in the scripts bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Key in the scripts bucket.
    pub key: String,
    /// S3 version id.
    pub version_id: String,
    /// The unchanged text; the plan pins its SHA-256.
    pub text: String,
}

/// The input of a plan in addition to the workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanInputs {
    /// The existing scripts by their name in the workflow ([`crate::script_names`]).
    pub scripts: BTreeMap<String, Script>,
    /// Names of other scripts in the folder of the workflow, which are suggested for a misspelt name.
    pub other_scripts: BTreeSet<String>,
    /// The existing table contracts by name ([`crate::contract_names`]).
    pub contracts: BTreeMap<String, Script>,
    /// The existing feeds by name ([`crate::feed_names`]).
    pub feeds: BTreeMap<String, Script>,
    /// The connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// The connection of jobs without a `connection`.
    pub default_connection: Connection,
}

/// A run to plan.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedRun {
    /// Id of the run.
    pub workflow_execution_id: String,
    /// Logical date of the run, such as the scheduled time.
    pub logical_date: LogicalDate,
    /// Values of the workflow's parameters by name.
    pub parameters: BTreeMap<String, Value>,
}

/// The plan of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Jobs and barriers in topological order, with their positions.
    pub jobs: Vec<PlannedJob>,
    /// The declared parameters as the strings that the Data API binds; [`shiftwork_protocol::secret::MASK`] for a secret one.
    pub parameters: BTreeMap<String, String>,
    /// The values of the secret parameters.
    pub secrets: Secrets,
    /// SHA-256 of the workflow; equal for a YAML file and for its item in the configuration table.
    pub workflow_sha256: String,
    /// What is probably wrong although the run can start.
    pub warnings: Vec<Problem>,
}

/// What is wrong with a workflow and its scripts, each list sorted by file and line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What has to be fixed before a run can start.
    pub problems: Vec<Problem>,
    /// What is probably wrong although a run can start.
    pub warnings: Vec<Problem>,
}

/// Plans a run.
///
/// # Errors
/// Returns all problems that can be found before a statement runs, sorted by line.
pub fn plan(doc: &Located, inputs: &PlanInputs, run: &RequestedRun) -> Result<Plan, Vec<Problem>> {
    let id = &run.workflow_execution_id;
    let mut problems = Vec::new();
    if !name::is_run_id(id) {
        let problem = Problem::new(Place::default(), format!("`{id}` is not a valid run id"));
        problems.push(problem.hint("use 1 to 80 letters, digits, `_` and `-`"));
    }
    let (plan, findings) = make(doc, inputs, run, &GivenParameters::Values(&run.parameters), problems);
    plan.ok_or(findings.problems)
}

/// Returns the problems that [`plan`] would report for every run of the workflow, and its warnings. Parameters without a default count as
/// given.
pub fn check(doc: &Located, inputs: &PlanInputs) -> Findings {
    let any_run = RequestedRun {
        workflow_execution_id: "check".into(),
        logical_date: LogicalDate::in_utc(Timestamp::UNIX_EPOCH),
        parameters: BTreeMap::new(),
    };
    make(doc, inputs, &any_run, &GivenParameters::Anything, Vec::new()).1
}

fn make(
    doc: &Located,
    inputs: &PlanInputs,
    run: &RequestedRun,
    given: &GivenParameters,
    mut problems: Vec<Problem>,
) -> (Option<Plan>, Findings) {
    let (draft, found) = draft(doc);
    problems.extend(found);
    let Some(mut draft) = draft else {
        return (None, Findings { problems: in_order(problems), warnings: Vec::new() });
    };
    let mut found = Findings { problems: Vec::new(), warnings: std::mem::take(&mut draft.warnings) };
    let parameters = parameters::bind(doc, &draft.workflow, given, &mut found.problems);
    let jobs = plan_jobs(doc, inputs, run, &draft, &parameters.shown, &mut found);
    problems.extend(draft.without_consequences(found.problems));
    let findings = Findings { problems: in_order(problems), warnings: in_order(found.warnings) };
    let plan = jobs.filter(|_| findings.problems.is_empty()).map(|jobs| Plan {
        jobs,
        parameters: parameters.shown,
        secrets: parameters.secrets,
        workflow_sha256: digest(&draft.workflow),
        warnings: findings.warnings.clone(),
    });
    (plan, findings)
}

/// Returns the planned jobs, or `None` after it reported a problem.
fn plan_jobs(
    doc: &Located,
    inputs: &PlanInputs,
    run: &RequestedRun,
    draft: &Draft,
    parameters: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<Vec<PlannedJob>> {
    let workflow = &draft.workflow;
    let mut bindings = builtin::values(&workflow.workflow_id, &run.workflow_execution_id, &run.logical_date);
    bindings.extend(parameters.iter().map(|(name, text)| (name.clone(), text.clone())));

    let script_facts = ScriptFacts::of(inputs.scripts.values().map(|script| script.text.as_str()));
    let mut works = Vec::with_capacity(draft.jobs.len());
    for job in &draft.jobs {
        let script_key = |script: &str| script_key(&workflow.workflow_id, script);
        let mut context = Context {
            doc,
            path: &job.path,
            inputs,
            script_key: &script_key,
            script_facts: &script_facts,
            bindings: &bindings,
            knows_parameters: draft.knows_parameters(),
            connection: &|problems: &mut Vec<Problem>| connection(doc, inputs, draft, job, problems),
            problems: &mut findings.problems,
            warnings: &mut findings.warnings,
        };
        let work = job.kind.work(&job.job, &mut context);
        if let Some(what) = work.as_ref().filter(|_| job.job.retries > 0).and_then(not_retried) {
            let warning = doc.problem(&job.path.key("retries"), format!("{what} is not retried without `repeatable`"));
            findings
                .warnings
                .push(warning.hint("set `repeatable: true` if the work can run twice, or remove `retries`"));
        }
        works.push(work);
    }

    let busy = slots::jobs_by_warehouse(works.iter().flatten());
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
                // A barrier runs after every result of its upstreams, and passes their failures on.
                run_if: job.map_or(RunIf::AllDone, |job| job.job.run_if),
                timeout_seconds: job.map_or(BARRIER_SECONDS, |job| job.timeout_seconds),
                retries: job.map_or(0, |job| job.job.retries),
                retry_delay_seconds: job.map_or(0, |job| job.retry_delay_seconds),
                slots: job.map_or_else(Vec::new, |job| slots::pools(draft, job, &work, &busy)),
                work,
            })
        })
        .collect()
}

/// Describes the failures of a job that end it whatever the value of `retries`, because the work may be committed. `None`
/// if the plan shows no such work.
fn not_retried(work: &Work) -> Option<&'static str> {
    const CALL: &str = "a CALL, which can commit inside,";
    match work {
        Work::Procedure { repeatable: false, .. } => Some(CALL),
        Work::Sql { repeatable: false, inner_commits, .. } => inner_commits.first().map(|commit| match commit.cause {
            CommitCause::Call => CALL,
            CommitCause::Truncate => "a failure after TRUNCATE, which commits what ran before,",
        }),
        Work::Procedure { repeatable: true, .. }
        | Work::Sql { repeatable: true, .. }
        | Work::Unload { .. }
        | Work::Cdc { .. }
        | Work::Copy { .. }
        | Work::Barrier {} => None,
    }
}

fn connection_named<'a>(inputs: &'a PlanInputs, name: Option<&str>) -> Option<&'a Connection> {
    match name {
        Some(name) => inputs.connections.get(name),
        None => Some(&inputs.default_connection),
    }
}

/// Returns the connection of a job, of its workflow, or the default of the deployment, in this order. Returns `None` after it reported a
/// problem.
fn connection(
    doc: &Located,
    inputs: &PlanInputs,
    draft: &Draft,
    job: &DraftJob,
    problems: &mut Vec<Problem>,
) -> Option<Connection> {
    let name = draft.connection_of(job);
    let path = match (&job.job.connection, name) {
        (Some(_), _) => job.path.key("connection"),
        (None, Some(_)) => JsonPath::root().key("connection"),
        (None, None) => JsonPath::root(),
    };
    let Some(connection) = connection_named(inputs, name) else {
        let name = name.unwrap_or_default();
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

/// SHA-256 of a workflow, which does not depend on the order of its fields.
fn digest(workflow: &shiftwork_protocol::Workflow) -> String {
    let value = serde_json::to_value(workflow).unwrap_or_default();
    let mut canonical = String::new();
    write_sorted(&value, &mut canonical);
    name::sha256(canonical)
}

/// Writes JSON-like text with the members of every object sorted by name, independent of the features of `serde_json`.
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
