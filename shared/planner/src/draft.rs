//! Checks a workflow as far as is possible without its scripts: the jobs, their names, kinds and order.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_config::{Duration, JsonPath, Located, Problem, list, shape::SchemaMismatches};
use shiftwork_protocol::{
    Workflow, limits, name,
    workflow::{ExecutionFlag, FullJob, Job, RunIf},
};

use crate::{
    graph::{self, Graph, GraphJob},
    kind::{self, Entry},
    original, parameters, pattern, published, schedule,
};

/// Hint of messages about an invalid id.
pub(crate) const ID_HINT: &str = "use 1 to 64 letters, digits, `_` and `-`";
/// Default timeout of an attempt in seconds.
const TIMEOUT_SECONDS: u32 = 60 * 60;
/// Default pause in seconds before the first retry of a job.
const RETRY_DELAY_SECONDS: u32 = 30;
/// Maximum number of retries of a job. Each retry adds history events to the execution of the run, which limit [`limits::JOBS`].
const RETRIES: u32 = 10;

/// A workflow with its jobs and their order.
pub(crate) struct Draft {
    pub(crate) workflow: Workflow,
    /// The jobs of the stages that run, in the order of the document.
    pub(crate) jobs: Vec<DraftJob>,
    /// The order of the jobs; `None` if a problem with it was reported.
    pub(crate) graph: Option<Graph>,
    /// What is probably wrong although a run can start.
    pub(crate) warnings: Vec<Problem>,
    /// The values of the document that do not match the schema and were replaced.
    pub(crate) mismatches: SchemaMismatches,
}

impl Draft {
    /// Removes the problems that are a consequence of a value that does not match the schema, which is reported already.
    pub(crate) fn without_consequences(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        problems.retain(|problem| !self.mismatches.explains(problem));
        problems
    }

    /// Returns false if the declarations of the parameters could not be read, so that any name may be one.
    pub(crate) fn knows_parameters(&self) -> bool {
        !self.mismatches.covers("$.parameters")
    }
}

/// A job of a stage that runs.
pub(crate) struct DraftJob {
    pub(crate) name: String,
    /// Stage, from 0.
    pub(crate) stage: usize,
    pub(crate) path: JsonPath,
    pub(crate) job: FullJob,
    pub(crate) kind: &'static Entry,
    pub(crate) timeout_seconds: u32,
    pub(crate) retry_delay_seconds: u32,
}

impl Draft {
    /// Name of the connection of a job: its own, or the workflow's; `None` for the default connection of the deployment.
    pub(crate) fn connection_of<'a>(&'a self, job: &'a DraftJob) -> Option<&'a str> {
        job.job.connection.as_deref().or(self.workflow.connection.as_deref())
    }
}

/// Validates and deserializes a document. A draft is returned even if there are problems: values that do not match the schema are replaced,
/// so that later checks can add the problems of the other values.
pub(crate) fn draft(doc: &Located) -> (Option<Draft>, Vec<Problem>) {
    let mut mismatches = kind::shape(doc);
    let mut warnings = original::accept(doc, &mut mismatches);
    let mut reported = std::mem::take(&mut mismatches.problems);
    let workflow = match serde_json::from_value::<Workflow>(mismatches.repaired(doc.value())) {
        Ok(workflow) => workflow,
        Err(error) => {
            // The schema is generated from the type, so serde only fails on rules that a schema cannot express.
            if reported.is_empty() {
                reported.push(doc.problem(&JsonPath::root(), error.to_string()));
            }
            return (None, reported);
        }
    };
    let mut problems = Vec::new();
    check_workflow(doc, &workflow, &mut problems);
    let jobs = jobs(doc, &workflow, &mismatches, &mut problems);
    let graph = if jobs.len() > limits::JOBS {
        let path = JsonPath::root().key("workflow_stages");
        let message = format!("the workflow has {} jobs; a run can have at most {}", jobs.len(), limits::JOBS);
        problems.push(
            doc.problem(&path, message)
                .hint("split the workflow in two, and start the second by the refreshed event of the first"),
        );
        None
    } else {
        graph(doc, &workflow, &jobs, &mut problems, &mut warnings)
    };
    let draft = Draft { workflow, jobs, graph, warnings, mismatches };
    reported.extend(draft.without_consequences(problems));
    (Some(draft), reported)
}

fn check_workflow(doc: &Located, workflow: &Workflow, problems: &mut Vec<Problem>) {
    let root = JsonPath::root();
    if !name::is_workflow_id(&workflow.workflow_id) {
        let message = format!("`{}` is not a valid workflow id", workflow.workflow_id);
        problems.push(doc.problem(&root.key("workflow_id"), message).hint(ID_HINT));
    }
    let stages = root.key("workflow_stages");
    if workflow.workflow_stages.is_empty() {
        problems.push(doc.problem(&stages, "the workflow has no stage").hint("add a stage with a script"));
    } else if workflow.workflow_stages.iter().all(|stage| stage.execution_flag == ExecutionFlag::N) {
        problems.push(
            doc.problem(&stages, "every stage is disabled").hint("set `execution_flag: y` for at least one stage"),
        );
    }
    check_max_parallel(doc, workflow.max_parallel, &root, problems);
    for (i, stage) in workflow.workflow_stages.iter().enumerate() {
        check_max_parallel(doc, stage.max_parallel, &stages.index(i), problems);
        if stage.scripts.is_empty() {
            let path = stages.index(i).key("scripts");
            problems.push(
                doc.problem(&path, format!("stage {} has no job", i + 1)).hint("remove the stage, or add a script"),
            );
        }
    }
    parameters::check(doc, &workflow.parameters, problems);
    let needed: Vec<&str> =
        workflow.parameters.iter().filter(|(_, p)| p.default.is_none()).map(|(name, _)| name.as_str()).collect();
    if let Some(zone) = &workflow.time_zone {
        schedule::check_zone(doc, zone, &root.key("time_zone"), problems);
    }
    if let Some(schedule) = &workflow.schedule {
        let path = root.key("schedule");
        schedule::check(doc, schedule, &path, problems);
        if !needed.is_empty() {
            let message =
                format!("a scheduled run has no parameter values, and {} has no default", list(needed.iter().copied()));
            problems.push(doc.problem(&path, message).hint("add a `default`"));
        }
    }
    for (i, trigger) in workflow.triggers.iter().enumerate() {
        let path = root.key("triggers").index(i);
        published::check(doc, trigger, &path, problems);
        let at_parameters = path.key("parameters");
        for (name, event_path) in &trigger.parameters {
            let path = at_parameters.key(name);
            if !workflow.parameters.contains_key(name) {
                let problem = doc.problem(&path, format!("the workflow has no parameter `{name}`"));
                problems.push(problem.one_of(name, workflow.parameters.keys().map(String::as_str)));
            }
            if !pattern::is_path(event_path) {
                let problem = doc.problem(&path, format!("`{event_path}` is not a valid path into an event"));
                problems.push(problem.hint("write a path such as `$.detail.object.key`"));
            }
        }
        if let Some(event_path) = &trigger.logical_date
            && !pattern::is_path(event_path)
        {
            let problem =
                doc.problem(&path.key("logical_date"), format!("`{event_path}` is not a valid path into an event"));
            problems.push(problem.hint("write a path such as `$.detail.day`"));
        }
        let missing: Vec<&str> =
            needed.iter().copied().filter(|name| !trigger.parameters.contains_key(*name)).collect();
        if !missing.is_empty() {
            let message = format!("the trigger sets no value for {}, which has no default", list(missing));
            problems
                .push(doc.problem(&path, message).hint("set it from the event in `parameters`, or add a `default`"));
        }
    }
}

fn check_max_parallel(doc: &Located, limit: Option<u32>, at: &JsonPath, problems: &mut Vec<Problem>) {
    if limit == Some(0) {
        let problem = doc.problem(&at.key("max_parallel"), "no job can run with `max_parallel: 0`");
        problems.push(problem.hint("write a number from 1, or remove `max_parallel`"));
    }
}

/// Iterates over the jobs of the stages that run, each with the index of its stage and its index in the stage.
pub(crate) fn running_jobs(workflow: &Workflow) -> impl Iterator<Item = (usize, usize, &Job)> {
    let stages = workflow.workflow_stages.iter().enumerate();
    stages
        .filter(|(_, stage)| stage.execution_flag == ExecutionFlag::Y)
        .flat_map(|(s, stage)| stage.scripts.iter().enumerate().map(move |(j, job)| (s, j, job)))
}

/// Converts a job that is written as the name of a script to the full form.
pub(crate) fn in_full(job: &Job) -> FullJob {
    match job {
        Job::Full(job) => (**job).clone(),
        Job::Script(script) => FullJob {
            job_name: None,
            kind: None,
            depends_on: Vec::new(),
            run_if: RunIf::default(),
            timeout: None,
            retries: 0,
            retry_delay: None,
            connection: None,
            work: serde_json::Map::from_iter([("script".to_owned(), script.as_str().into())]),
        },
    }
}

/// Names of the jobs of the stages that run.
pub(crate) fn job_names(workflow: &Workflow) -> BTreeSet<String> {
    running_jobs(workflow).filter_map(|(_, _, job)| name_of(&in_full(job))).collect()
}

/// The script that a job runs; `None` for an unknown kind or a kind without scripts.
pub(crate) fn script_of(job: &FullJob) -> Option<String> {
    entry_of(job)?.script(job).ok()?
}

/// The name of the table contract that a job loads.
pub(crate) fn contract_of(job: &FullJob) -> Option<String> {
    entry_of(job)?.contract(job).ok()?
}

fn entry_of(job: &FullJob) -> Option<&'static Entry> {
    match &job.kind {
        Some(kind) => kind::REGISTRY.iter().find(|entry| entry.kind.as_str() == kind),
        None => kind::of_script(job.work.get("script")?.as_str()?).ok(),
    }
}

/// The name of a job: `job_name`, or the name of its script.
fn name_of(job: &FullJob) -> Option<String> {
    job.job_name.clone().or_else(|| job.work.get("script")?.as_str().map(str::to_owned))
}

fn jobs(
    doc: &Located,
    workflow: &Workflow,
    mismatches: &SchemaMismatches,
    problems: &mut Vec<Problem>,
) -> Vec<DraftJob> {
    let mut jobs: Vec<DraftJob> = Vec::new();
    let mut first: BTreeMap<String, JsonPath> = BTreeMap::new();
    for (s, j, job) in running_jobs(workflow) {
        let path = JsonPath::root().key("workflow_stages").index(s).key("scripts").index(j);
        if let Job::Script(script) = job
            && let Err(message) = kind::of_script(script)
        {
            problems.push(doc.problem(&path, message).hint(kind::suffix_hint()));
            continue;
        }
        let job = in_full(job);
        // A missing kind or name was reported as a mismatch with the schema.
        let (Some(kind), Some(name)) = (entry_of(&job), name_of(&job)) else { continue };
        if ["job_name", "script"].iter().any(|field| mismatches.covers(&path.key(field).to_string())) {
            continue;
        }
        check_names(doc, &path, &job, &name, problems);
        if let Some(earlier) = first.get(&name) {
            let place = doc.place(earlier);
            let problem = doc.problem(&path, format!("the job name `{name}` is a duplicate"));
            problems.push(
                problem.hint(format!("the first `{name}` is at {place}; give one of the jobs another `job_name`")),
            );
            continue;
        }
        first.insert(name.clone(), path.clone());
        let timeout_seconds = job.timeout.map_or(Ok(TIMEOUT_SECONDS), statement_seconds).unwrap_or_else(|message| {
            problems
                .push(doc.problem(&path.key("timeout"), message).hint("write `90s`, `30m` or `2h`, at most 24 hours"));
            TIMEOUT_SECONDS
        });
        if job.retries > RETRIES {
            let message = format!("a job can have at most {RETRIES} retries, and this one has {}", job.retries);
            problems.push(
                doc.problem(&path.key("retries"), message)
                    .hint("reduce `retries`; conflicts and throttling are retried in addition to it"),
            );
        }
        let retry_delay_seconds =
            job.retry_delay.map_or(Ok(RETRY_DELAY_SECONDS), delay_seconds).unwrap_or_else(|message| {
                let problem = doc.problem(&path.key("retry_delay"), message);
                problems.push(problem.hint("write `30s` or `5m`, at most 1 hour; each further pause is twice as long"));
                RETRY_DELAY_SECONDS
            });
        jobs.push(DraftJob { name, stage: s, path, job, kind, timeout_seconds, retry_delay_seconds });
    }
    jobs
}

/// Converts a timeout to seconds, and refuses one that is longer than the Data API's limit of a statement.
fn statement_seconds(timeout: Duration) -> Result<u32, String> {
    let seconds = u32::try_from(timeout.as_secs()).ok().filter(|seconds| *seconds <= limits::STATEMENT_SECONDS);
    seconds.ok_or_else(|| format!("`{timeout}` is longer than 24 hours, the Data API's limit for a statement"))
}

/// Converts a pause before a retry to seconds.
fn delay_seconds(delay: Duration) -> Result<u32, String> {
    let seconds = u32::try_from(delay.as_secs()).ok().filter(|seconds| *seconds <= limits::RETRY_DELAY_SECONDS);
    seconds.ok_or_else(|| format!("`{delay}` is longer than 1 hour, the longest pause before a retry"))
}

fn check_names(doc: &Located, path: &JsonPath, job: &FullJob, job_name: &str, problems: &mut Vec<Problem>) {
    const HINT: &str = "use 1 to 128 letters, digits, `_`, `-`, `.` and `/`";
    if !name::is_job_name(job_name) {
        problems.push(doc.problem(path, format!("`{job_name}` is not a valid job name")).hint(HINT));
    } else if let Some(script) = script_of(job) {
        // The key of a script must stay inside the folder of its workflow.
        let is_relative = |part: &str| matches!(part, "" | "." | "..");
        if !name::is_job_name(&script) || script.split('/').any(is_relative) {
            let hint = format!("{HINT}, without the parts `.` and `..`");
            problems.push(doc.problem(path, format!("`{script}` is not a valid script name")).hint(hint));
        }
    }
}

/// The names of all jobs as they are written in the document, including jobs that do not match the schema.
fn written_names(doc: &Located) -> BTreeSet<&str> {
    let stages = doc.value()["workflow_stages"].as_array().into_iter().flatten();
    let jobs = stages.flat_map(|stage| stage["scripts"].as_array().into_iter().flatten());
    jobs.filter_map(|job| job.as_str().or_else(|| job["job_name"].as_str()).or_else(|| job["script"].as_str()))
        .collect()
}

fn graph(
    doc: &Located,
    workflow: &Workflow,
    jobs: &[DraftJob],
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Option<Graph> {
    let index: BTreeMap<&str, usize> = jobs.iter().enumerate().map(|(i, job)| (job.name.as_str(), i)).collect();
    let left_out: BTreeMap<String, usize> = workflow
        .workflow_stages
        .iter()
        .enumerate()
        .filter(|(_, stage)| stage.execution_flag == ExecutionFlag::N)
        .flat_map(|(s, stage)| stage.scripts.iter().filter_map(move |job| Some((name_of(&in_full(job))?, s))))
        .collect();
    let written = written_names(doc);
    let mut graph_jobs = Vec::with_capacity(jobs.len());
    for (i, job) in jobs.iter().enumerate() {
        let mut after = Vec::new();
        for (d, wanted) in job.job.depends_on.iter().enumerate() {
            let path = job.path.key("depends_on").index(d);
            match (index.get(wanted.as_str()), left_out.get(wanted)) {
                (Some(upstream), _) if *upstream == i => {
                    problems.push(doc.problem(&path, format!("job `{wanted}` depends on itself")));
                }
                (Some(upstream), _) => after.push(*upstream),
                (None, Some(stage)) => {
                    let message = format!(
                        "`{}` does not wait for `{wanted}`: stage {} is disabled by its `execution_flag`",
                        job.name,
                        stage + 1
                    );
                    warnings.push(doc.problem(&path, message));
                }
                // The job has a problem of its own, because of which it is not in the list.
                (None, None) if written.contains(wanted.as_str()) => {}
                (None, None) => {
                    let known = index.keys().copied().filter(|name| *name != job.name);
                    let problem = doc.problem(&path, format!("no job is named `{wanted}`"));
                    problems.push(problem.one_of(wanted, known));
                }
            }
        }
        graph_jobs.push(GraphJob { name: job.name.clone(), stage: job.stage, after, run_if: job.job.run_if });
    }
    let types: Vec<_> = workflow.workflow_stages.iter().map(|stage| stage.execution_type).collect();
    match graph::order(&graph_jobs, &types) {
        Ok(graph) if graph.nodes.len() > limits::JOBS => {
            let path = JsonPath::root().key("workflow_stages");
            let message = format!(
                "the workflow has {} jobs and {} barriers between its stages; a run can have at most {} of both together",
                jobs.len(),
                graph.nodes.len() - jobs.len(),
                limits::JOBS
            );
            problems.push(doc.problem(&path, message));
            None
        }
        Ok(graph) => Some(graph),
        Err(cycle) => {
            let names: Vec<&str> = cycle.iter().map(|i| jobs[*i].name.as_str()).collect();
            let at = cycle.iter().find(|i| !jobs[**i].job.depends_on.is_empty()).map_or(&jobs[cycle[0]], |i| &jobs[*i]);
            let problem = doc.problem(&at.path, format!("these jobs wait for each other: {}", names.join(" → ")));
            let across = cycle.iter().any(|i| jobs[*i].stage != at.stage);
            problems.push(if across {
                problem.hint("each job waits for the next one in this list; every stage waits for the stage before it")
            } else {
                problem.hint("each job waits for the next one in this list; remove one `depends_on`")
            });
            None
        }
    }
}
