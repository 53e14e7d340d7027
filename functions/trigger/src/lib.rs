//! Something asks for a run: it is planned, takes its workflow's lease, and is started.
//!
//! In this order, so that a crash between any two steps leaves what the next try of the same request, or the run's own
//! sweep, carries on: run, jobs and lease in one write; the watch; the execution.

mod incoming;
mod plan;
mod restart;
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
    Connection, Failure, FailureKind, audit::Origin, name, payload::RunAnswer, payload::RunRequest,
};
use shiftwork_settlement::RunSettlement;
use shiftwork_wiring::RunsEnvironment;

use incoming::Incoming;

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub runs: RunsEnvironment,
        pub config_table: String,
        pub scripts_bucket: String,
        pub default_connection: Connection,
    }
}

/// The function.
pub struct Trigger {
    /// Runs, and what ends them: a request may find the remains of a run that died.
    pub runs: RunSettlement,
    /// Workflows and connections.
    pub configuration: Arc<dyn Configuration>,
    /// Scripts, to be pinned.
    pub scripts: Bucket,
    /// The connection of jobs that name none.
    pub default_connection: Connection,
}

/// A request that is one run for certain: its id is known.
#[derive(Debug, Clone)]
struct Asked {
    run: String,
    request: RunRequest,
    origin: Origin,
}

impl Trigger {
    /// Starts what the event asks for. `invocation` is Lambda's request id: the same when Lambda tries an event again.
    pub async fn handle(&self, event: Value, invocation: &str) -> Result<Value> {
        match incoming::read(event)? {
            Incoming::Request(request) => Ok(json!(self.request(*request, invocation, None).await?)),
            Incoming::Happened { id, event } => Ok(json!(self.happened(&id, &event).await?)),
            Incoming::Messages(messages) => {
                // One after the other: requests for one workflow meet at its lease.
                let (_, response) = messages::each(&messages, 1, async |message| self.message(message).await).await;
                Ok(json!(response))
            }
        }
    }

    async fn request(&self, request: RunRequest, invocation: &str, origin: Option<Origin>) -> Result<RunAnswer> {
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
        self.start(Asked { run, request, origin }).await
    }

    /// Starts every workflow that has a trigger for this event.
    async fn happened(&self, id: &str, event: &Value) -> Result<Vec<RunAnswer>> {
        let mut answers = Vec::new();
        for workflow in self.configuration.triggered().await? {
            if let Some(request) = wanted_by(&workflow, event) {
                let run = name::derived_run_id(&request.workflow_id, &format!("event {id}"));
                answers.push(self.start(Asked { run, request, origin: Origin::Event }).await?);
            }
        }
        if answers.is_empty() {
            tracing::info!(id, "no workflow has a trigger for this event");
        }
        Ok(answers)
    }

    async fn message(&self, message: &Message) -> Result<()> {
        match incoming::read_message(message)? {
            Incoming::Request(request) => self.request(*request, &message.id, Some(Origin::Queue)).await.map(drop),
            Incoming::Happened { id, event } => self.happened(&id, &event).await.map(drop),
            Incoming::Messages(_) => Err(Failure::new(FailureKind::InvalidRequest, "a message within a message")),
        }
    }
}

/// The run that a workflow wants for an event, with the parameters that its trigger takes from it.
fn wanted_by(workflow: &Value, event: &Value) -> Option<RunRequest> {
    let doc = read_item(workflow.clone());
    let workflow_id = workflow["workflow_id"].as_str()?.to_owned();
    let workflow = match shiftwork_planner::workflow(&doc) {
        Ok(workflow) => workflow,
        Err(problems) => {
            // Its own request says so too; here it must not keep the other workflows from their event.
            tracing::error!(workflow_id, problems = plan::words(&problems), "a workflow with triggers is not valid");
            return None;
        }
    };
    let trigger = workflow
        .triggers
        .iter()
        .find(|trigger| pattern::matches(&trigger.pattern, event).is_ok_and(|matches| matches))?;
    let parameters = trigger
        .parameters
        .iter()
        .filter_map(|(name, path)| Some((name.clone(), pattern::pick(event, path)?.clone())))
        .collect();
    Some(RunRequest { workflow_id, parameters, ..RunRequest::default() })
}
