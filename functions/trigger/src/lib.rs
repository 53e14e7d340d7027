//! trigger: plans the requested run, opens it under the lease of its workflow, and starts it.
//!
//! The steps are: write run, jobs and lease in one transaction; schedule the sweeps; start the execution. After a crash
//! between two steps, a retry of the same request or the run's sweep continues.

mod incoming;
mod logical_date;
mod plan;
mod restart;
mod resume;
mod start;

use std::sync::Arc;

use serde_json::{Value, json};
use shiftwork_aws::environment;
use shiftwork_planner::{pattern, read_item};
use shiftwork_ports::{
    Bucket, Configuration, Result,
    messages::{self, Message},
};
use shiftwork_protocol::{
    Connection, Failure, FailureKind, audit::Origin, name, payload::RunRequest, payload::RunResponse,
};
use shiftwork_settlement::RunSettlement;
use shiftwork_wiring::RunsEnvironment;

use incoming::Incoming;

environment! {
    /// Environment variables of the function.
    pub struct Environment {
        pub runs: RunsEnvironment,
        pub config_table: String,
        pub scripts_bucket: String,
        pub default_connection: Connection,
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

impl Trigger {
    /// Starts the runs that the payload requests. `invocation` is Lambda's request id, which retries of the payload
    /// share.
    pub async fn handle(&self, event: Value, invocation: &str) -> Result<Value> {
        match incoming::read(event)? {
            Incoming::Request(request) => Ok(json!(self.request(*request, invocation, None).await?)),
            Incoming::Event { id, event } => Ok(json!(self.start_triggered(&id, &event).await?)),
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

    /// Starts a run of every workflow with a trigger that matches the event.
    async fn start_triggered(&self, id: &str, event: &Value) -> Result<Vec<RunResponse>> {
        let mut responses = Vec::new();
        for workflow in self.configuration.triggered().await? {
            if let Some((request, date_place)) = triggered_request(&workflow, event) {
                let run = name::derived_run_id(&request.workflow_id, &format!("event {id}"));
                let requested = IdentifiedRequest { run, request, origin: Origin::Event, date_place };
                responses.push(self.start(requested).await?);
            }
        }
        if responses.is_empty() {
            tracing::info!(event = id, "no workflow has a trigger for this event");
        }
        Ok(responses)
    }

    async fn message(&self, message: &Message) -> Result<()> {
        match incoming::read_message(message)? {
            Incoming::Request(request) => self.request(*request, &message.id, Some(Origin::Queue)).await.map(drop),
            Incoming::Event { id, event } => self.start_triggered(&id, &event).await.map(drop),
            Incoming::Messages(_) => Err(Failure::new(
                FailureKind::InvalidRequest,
                "the message contains another batch of messages: put one request or event into each message",
            )),
        }
    }
}

/// Returns the request for a run of the workflow if one of its triggers matches the event, with the trigger's parameters
/// and the logical date of the event, and the place that this date comes from.
fn triggered_request(workflow: &Value, event: &Value) -> Option<(RunRequest, Option<String>)> {
    let doc = read_item(workflow.clone());
    let workflow_id = workflow["workflow_id"].as_str()?.to_owned();
    let workflow = match shiftwork_planner::workflow(&doc) {
        Ok(workflow) => workflow,
        Err(problems) => {
            // A request for this workflow reports the problems as well; an event must not fail for the other workflows.
            tracing::error!(
                workflow = workflow_id,
                problems = plan::lines(&problems),
                "a workflow with triggers has an invalid configuration"
            );
            return None;
        }
    };
    let (position, trigger) = workflow
        .triggers
        .iter()
        .enumerate()
        .find(|(_, trigger)| pattern::matches(&trigger.pattern, event).is_ok_and(|matches| matches))?;
    let parameters = trigger
        .parameters
        .iter()
        .filter_map(|(name, path)| Some((name.clone(), pattern::pick(event, path)?.clone())))
        .collect();
    let (logical_date, date_place) =
        logical_date::of_event(trigger, position, event).map(|date| (date.text, date.place)).unzip();
    Some((RunRequest { workflow_id, parameters, logical_date, ..RunRequest::default() }, date_place))
}
