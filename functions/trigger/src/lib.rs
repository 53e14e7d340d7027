//! trigger: plans the requested run, opens it under the lease of its workflow, and starts it.
//!
//! The steps are: write run, jobs and lease in one transaction; schedule the sweeps; start the execution. After a crash
//! between two steps, a retry of the same request or the run's sweep continues.

mod cause;
mod incoming;
mod logical_date;
mod plan;
mod restart;
mod resume;
mod secrets;
mod start;

use std::sync::Arc;

use serde_json::{Value, json};
use shiftwork_aws::environment;
use shiftwork_planner::{Problem, pattern, read_item};
use shiftwork_ports::{
    Bucket, Configuration, Result,
    messages::{self, Message},
};
use shiftwork_protocol::{
    Connection,
    audit::Origin,
    name,
    payload::{RunRequest, RunResponse},
    workflow::EventTrigger,
};
use shiftwork_settlement::RunSettlement;
use shiftwork_wiring::RunsEnvironment;

use incoming::{Incoming, One};

environment! {
    /// Environment variables of the function.
    pub struct Environment {
        pub runs: RunsEnvironment,
        pub config_table: String,
        pub scripts_bucket: String,
        pub default_connection: Connection,
        pub max_causes: usize,
    }
}

/// The function trigger.
pub struct Trigger {
    /// Runs, and their settlement: a request may have to close an earlier run that cannot end by itself.
    pub runs: RunSettlement,
    /// Workflows and named connections.
    pub configuration: Arc<dyn Configuration>,
    /// Scripts bucket; the plan pins the versions of the scripts.
    pub scripts: Bucket,
    /// Connection of jobs without a named connection.
    pub default_connection: Connection,
    /// Maximum number of runs whose events led to a run.
    pub max_causes: usize,
}

/// A request with the id of its run.
#[derive(Debug, Clone)]
struct IdentifiedRequest {
    run: String,
    request: RunRequest,
    origin: Origin,
    /// The place that `logical_date` of the request comes from, if it is not the request itself.
    date_place: Option<String>,
}

/// The request that an event makes, and the place in the configuration or the event that its logical date comes from.
type Triggered = (RunRequest, Option<String>);

impl Trigger {
    /// Starts the runs that the payload requests. `invocation` is Lambda's request id, which retries of the payload
    /// share.
    pub async fn handle(&self, event: Value, invocation: &str) -> Result<Value> {
        match incoming::read(event)? {
            Incoming::One(One::Request(request)) => Ok(json!(self.request(*request, invocation, None).await?)),
            Incoming::One(One::Event { workflow_id, id, event }) => {
                Ok(json!(self.start_triggered(workflow_id.as_deref(), &id, &event).await?))
            }
            Incoming::Messages(messages) => {
                // One after the other, because requests for one workflow compete for its lease.
                let (_, response) = messages::each(&messages, 1, async |message| self.message(message).await).await;
                Ok(json!(response))
            }
        }
    }

    async fn request(&self, request: RunRequest, invocation: &str, origin: Option<Origin>) -> Result<RunResponse> {
        let run = match (&request.workflow_execution_id, request.scheduled_time) {
            (Some(run), _) => run.clone(),
            (None, Some(due)) => name::derived_run_id(&request.workflow_id, &format!("schedule {due}")),
            (None, None) => name::derived_run_id(&request.workflow_id, &format!("invocation {invocation}")),
        };
        let origin = origin.unwrap_or(match (&request.restart_of, request.scheduled_time) {
            (Some(_), _) => Origin::Restart,
            (None, Some(_)) => Origin::Schedule,
            (None, None) => Origin::Manual,
        });
        self.start(IdentifiedRequest { run, request, origin, date_place: None }).await
    }

    /// Starts a run of the workflow that the event is for, or of every workflow with a trigger that matches the event.
    async fn start_triggered(&self, workflow_id: Option<&str>, id: &str, event: &Value) -> Result<Vec<RunResponse>> {
        let requests = self.requests(workflow_id, event).await?;
        if requests.is_empty() {
            tracing::info!(event = id, workflow = workflow_id, "no trigger of a workflow matches this event");
            return Ok(Vec::new());
        }
        let (caused_by, identity) = (self.causes(event).await?, cause::identity(id, event));
        let mut responses = Vec::new();
        for (request, date_place) in requests {
            let run = name::derived_run_id(&request.workflow_id, &identity);
            let request = RunRequest { caused_by: caused_by.clone(), ..request };
            responses.push(self.start(IdentifiedRequest { run, request, origin: Origin::Event, date_place }).await?);
        }
        Ok(responses)
    }

    /// The requests that an event makes.
    async fn requests(&self, workflow_id: Option<&str>, event: &Value) -> Result<Vec<Triggered>> {
        let mut requests = Vec::new();
        let Some(workflow_id) = workflow_id else {
            for workflow in self.configuration.triggered().await? {
                match triggered_request(&workflow, event) {
                    Ok(request) => requests.extend(request),
                    // Whether the event is for this workflow is not known, and the others must start.
                    Err(problems) => tracing::error!(
                        workflow = workflow["workflow_id"].as_str(),
                        problems = plan::lines(&problems),
                        "a workflow with triggers has an invalid configuration"
                    ),
                }
            }
            return Ok(requests);
        };
        // The plan of this request reports that the workflow was deleted or is not valid.
        let refused = || Some((RunRequest { workflow_id: workflow_id.into(), ..RunRequest::default() }, None));
        requests.extend(match self.configuration.workflow(workflow_id).await? {
            Some(workflow) => triggered_request(&workflow, event).unwrap_or_else(|_| refused()),
            None => refused(),
        });
        Ok(requests)
    }

    async fn message(&self, message: &Message) -> Result<()> {
        match incoming::read_message(message)? {
            One::Request(request) => self.request(*request, &message.id, Some(Origin::Queue)).await.map(drop),
            One::Event { workflow_id, id, event } => {
                self.start_triggered(workflow_id.as_deref(), &id, &event).await.map(drop)
            }
        }
    }
}

/// Returns the request for a run of the workflow if one of its triggers matches the event, with the trigger's parameters
/// and the logical date of the event, and the place that this date comes from.
///
/// # Errors
/// The problems of the workflow's configuration.
fn triggered_request(workflow: &Value, event: &Value) -> std::result::Result<Option<Triggered>, Vec<Problem>> {
    let workflow = shiftwork_planner::workflow(&read_item(workflow.clone()))?;
    let matching = |trigger: &EventTrigger| pattern::matches(&trigger.pattern, event).is_ok_and(|matches| matches);
    Ok(workflow.triggers.iter().enumerate().find(|(_, trigger)| matching(trigger)).map(|(position, trigger)| {
        let parameters = trigger
            .parameters
            .iter()
            .filter_map(|(name, path)| {
                let value = pattern::pick(event, path);
                if value.is_none() {
                    tracing::warn!(
                        workflow = workflow.workflow_id,
                        "the event has no `{path}`: parameter `{name}` has its default"
                    );
                }
                Some((name.clone(), value?.clone()))
            })
            .collect();
        let (logical_date, date_place) =
            logical_date::of_event(trigger, position, event).map(|date| (date.text, date.place)).unzip();
        let workflow_id = workflow.workflow_id.clone();
        (RunRequest { workflow_id, parameters, logical_date, ..RunRequest::default() }, date_place)
    }))
}
