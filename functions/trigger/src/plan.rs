//! Plans a run: makes its records from the request, after all checks that can be made before the run starts.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_planner::{self as planner, PlanInputs, Problem, Script, read_item};
use shiftwork_ports::{Result, scripts};
use shiftwork_protocol::{
    Connection, Failure, FailureKind, JobRecord, RunRecord, Status, Workflow, keys, name, payload::RunRequest, secret,
    workflow::OnOverlap,
};

use crate::{IdentifiedRequest, Trigger, logical_date, restart, resume};

/// Number of scripts that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// A run that is ready to be opened.
pub(crate) struct Planned {
    pub(crate) run: RunRecord,
    pub(crate) jobs: Vec<JobRecord>,
    pub(crate) on_overlap: OnOverlap,
}

impl Trigger {
    pub(crate) async fn plan(&self, requested: &IdentifiedRequest, now: Timestamp) -> Result<Planned> {
        let request = &requested.request;
        self.check_causes(request)?;
        let Some(item) = self.configuration.workflow(&request.workflow_id).await? else {
            let message = format!(
                "workflow `{}` does not exist in the configuration table: upload it with `shiftwork push`",
                request.workflow_id
            );
            return Err(Failure::new(FailureKind::UnknownWorkflow, message));
        };
        let doc = read_item(item);
        let workflow = planner::workflow(&doc).map_err(|problems| invalid(&problems))?;
        let earlier = self.earlier(request).await?;
        let earlier_run = earlier.as_ref().map(|(run, _)| run);
        let request = match earlier_run {
            Some(run) => self.with_secrets(run, restart::completed(run, request)).await?,
            None => request.clone(),
        };
        let logical_date = logical_date::of_run(&workflow, &request, earlier_run, now).map_err(|message| {
            let place = requested.date_place.as_deref().unwrap_or("`logical_date` of the request");
            Failure::new(FailureKind::InvalidRequest, format!("{place}: {message}"))
        })?;
        let inputs = PlanInputs {
            scripts: self
                .read_scripts(planner::script_names(&workflow), |script| {
                    keys::script_key(&workflow.workflow_id, script)
                })
                .await?,
            other_scripts: BTreeSet::new(),
            contracts: self.read_scripts(planner::contract_names(&workflow), keys::contract_key).await?,
            feeds: self.read_scripts(planner::feed_names(&workflow), keys::feed_key).await?,
            connections: self.read_connections(&workflow).await?,
            default_connection: self.default_connection.clone(),
        };
        let wanted = planner::RequestedRun {
            workflow_execution_id: requested.run.clone(),
            logical_date: logical_date.clone(),
            parameters: request.parameters,
        };
        let plan = planner::plan(&doc, &inputs, &wanted).map_err(|problems| invalid(&problems))?;
        self.store_secrets(&requested.run, &plan.secrets).await?;
        for warning in &plan.warnings {
            tracing::warn!("{warning}");
        }
        let job_of = |job| JobRecord {
            logical_date: Some(logical_date.at()),
            time_zone: Some(logical_date.time_zone().into()),
            caused_by: request.caused_by.clone(),
            ..JobRecord::pending(&workflow.workflow_id, &requested.run, job)
        };
        let mut jobs: Vec<_> = plan.jobs.into_iter().map(job_of).collect();
        if let Some((_, earlier)) = &earlier {
            let engines = &self.runs.jobs.engines;
            let given = &requested.request;
            let done = resume::resume(earlier, &mut jobs, given, engines, &self.scripts, now).await?;
            let reused = restart::reuse(earlier, &mut jobs, &done);
            resume::check_reused(&given.from_statement, &reused)?;
        }
        let run = RunRecord {
            workflow_description: workflow.workflow_description.clone(),
            logical_date: logical_date.at(),
            time_zone: Some(logical_date.time_zone().into()),
            run_date: Some(logical_date.day()),
            request_sha256: digest(&requested.request, secret::names(&plan.parameters)),
            parameters: plan.parameters,
            workflow_sha256: plan.workflow_sha256,
            jobs: u32::try_from(jobs.len()).unwrap_or(u32::MAX),
            ..record_of(requested, Status::Pending, now)
        };
        Ok(Planned { run, jobs, on_overlap: workflow.on_overlap })
    }

    /// Reads the run to restart and its jobs; `None` if the request is not a restart.
    async fn earlier(&self, request: &RunRequest) -> Result<Option<(RunRecord, Vec<JobRecord>)>> {
        let refuse = |message: String| Err(Failure::new(FailureKind::InvalidRequest, message));
        let Some(id) = &request.restart_of else {
            return if request.from_statement.is_empty() {
                Ok(None)
            } else {
                refuse("`from_statement` is for a restart: add `restart_of`, or remove it".into())
            };
        };
        let Some(run) = self.runs.jobs.ledger.run(id).await? else {
            return refuse(format!("run {id} does not exist and cannot be restarted"));
        };
        if run.workflow_id != request.workflow_id {
            return refuse(format!("run {id} belongs to workflow {}, not to {}", run.workflow_id, request.workflow_id));
        }
        match run.execution_status {
            Status::Failed | Status::TimedOut | Status::Aborted => {}
            Status::Succeeded => return refuse(format!("run {id} succeeded: there is nothing to restart")),
            Status::Skipped => return refuse(format!("run {id} was skipped and has no jobs: request a new run")),
            Status::Planning | Status::Queued | Status::Pending | Status::Running => {
                return refuse(format!("run {id} is {}: wait until it ends, or cancel it", run.execution_status));
            }
        }
        let jobs = self.runs.jobs.ledger.jobs(id).await?;
        match restart::conflict(&jobs, request) {
            Some(message) => refuse(format!("run {id}: {message}")),
            None => Ok(Some((run, jobs))),
        }
    }

    async fn read_scripts(
        &self,
        names: BTreeSet<String>,
        key: impl Fn(&str) -> String,
    ) -> Result<BTreeMap<String, Script>> {
        let found: Vec<_> = stream::iter(names.into_iter().map(|name| (key(&name), name)))
            .map(|(key, name)| async move { Result::Ok((name, scripts::newest(&self.scripts, &key).await?)) })
            .buffer_unordered(CONCURRENT_READS)
            .try_collect()
            .await?;
        // The planner reports missing scripts, because it knows the jobs that use them.
        Ok(found
            .into_iter()
            .filter_map(|(name, text)| {
                let text = text?;
                Some((name, Script { key: text.key, version_id: text.version_id, text: text.text }))
            })
            .collect())
    }

    async fn read_connections(&self, workflow: &Workflow) -> Result<BTreeMap<String, Connection>> {
        let mut connections = BTreeMap::new();
        for name in planner::connection_names(workflow) {
            if let Some(connection) = self.configuration.connection(&name).await? {
                connections.insert(name, connection);
            }
        }
        Ok(connections)
    }
}

/// Makes the record of a run from the request alone.
pub(crate) fn record_of(requested: &IdentifiedRequest, status: Status, now: Timestamp) -> RunRecord {
    let request = &requested.request;
    RunRecord {
        workflow_execution_id: requested.run.clone(),
        workflow_id: request.workflow_id.clone(),
        workflow_description: None,
        execution_status: status,
        created_ts: now,
        execution_start_ts: None,
        execution_end_ts: status.is_terminal().then_some(now),
        error_message: None,
        logical_date: logical_date::of_refused(request, now),
        time_zone: None,
        run_date: None,
        parameters: BTreeMap::new(),
        requested_by: requested.origin,
        request_sha256: digest(request, []),
        workflow_sha256: String::new(),
        restart_of: request.restart_of.clone(),
        caused_by: request.caused_by.clone(),
        request: None,
        jobs: 0,
        planner: None,
    }
}

/// Digest of a request without the values of these parameters, which are secret. Two requests with the same run id must have the same digest.
pub(crate) fn digest<'a>(request: &RunRequest, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut same = RunRequest { workflow_execution_id: None, ..request.clone() };
    for name in secrets {
        same.parameters.remove(name);
    }
    name::sha256(serde_json::to_vec(&same).unwrap_or_default())
}

/// Formats problems, one per line.
pub(crate) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn invalid(problems: &[Problem]) -> Failure {
    Failure::new(FailureKind::InvalidWorkflow, lines(problems))
}
