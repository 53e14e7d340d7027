//! Requests and responses of the functions. A test in `infra/checks` compares them with each `Payload` of the state
//! machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, cause::Cause};

/// A request for a run. The smallest is `{"workflow_id": "…"}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Id of the run; derived from the request if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_execution_id: Option<String>,
    /// Values of the workflow's parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// An earlier run of this workflow. Jobs that succeeded in it are reused; the other jobs run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_of: Option<String>,
    /// In a restart: the statement, from 1, at which a job continues, by name of the job. Jobs that are not named continue
    /// at the statement that failed (`transaction: per_statement`) or run again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub from_statement: BTreeMap<String, u32>,
    /// Logical date of the run, which its data is about: a day (`2026-03-01`, from its first instant in the workflow's
    /// time zone) or an instant (`2026-03-01T02:00:00Z`). The present time if it is left out. A time zone after an
    /// instant (`[Europe/Berlin]`) applies to a workflow that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
    /// Time at which a schedule that `shiftwork push` created was due. Only schedules set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub scheduled_time: Option<Timestamp>,
    /// Runs whose events led to this request, the first one first. A program that requests a run because of an event of
    /// shiftwork copies `caused_by` of the event and adds the event's run, so that a circle of requests is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
}

/// An event for one workflow: a rule that `shiftwork push` makes from a trigger of the workflow sends it to trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerEvent {
    /// Id of the workflow.
    pub triggered_workflow: String,
    /// The whole event of EventBridge.
    pub event: serde_json::Value,
}

/// The response of trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunResponse {
    /// Id of the run. Equal requests return the same run.
    pub workflow_execution_id: String,
    /// Status of the run.
    pub execution_status: Status,
    /// A note for the caller, for instance which run it overlapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Input of the run state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunInput {
    /// Id of the run.
    pub workflow_execution_id: String,
}

/// The response of iterator: the jobs to run, in lanes of at most 40, in topological order. An inline Map runs 40
/// iterations at once, so a Map of Maps lets every job start as soon as its upstreams ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lanes {
    /// Jobs of each lane.
    pub lanes: Vec<Vec<LaneJob>>,
}

/// A job in the input of the state machine's Map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaneJob {
    /// Name of the job.
    pub job_name: String,
    /// Timeout of one attempt in seconds, which is the timeout of the Launch state.
    pub timeout_seconds: u32,
}

/// Input of job-launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Id of the run.
    pub workflow_execution_id: String,
    /// Name of the job.
    pub job_name: String,
    /// Task token of the Launch state.
    pub task_token: String,
}

/// The result of the Launch state of a job that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobEnd {
    /// Name of the job.
    pub job_name: String,
    /// Status of the job.
    pub execution_status: Status,
}

/// Input of audit-updater from the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuditRequest {
    /// The Launch or Await state of a job failed, for instance by a timeout or because the launcher failed.
    RecordJob {
        /// Id of the run.
        workflow_execution_id: String,
        /// Name of the job.
        job_name: String,
        /// Error that Step Functions caught.
        failure: CaughtError,
    },
    /// All jobs of the run ended, or a failure stops the rest of them.
    FinishRun {
        /// Id of the run.
        workflow_execution_id: String,
        /// Error that stops the remaining jobs; none if all jobs ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<CaughtError>,
    },
}

/// The error object that a `Catch` writes to its `ResultPath`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaughtError {
    /// Name of the error.
    #[serde(rename = "Error")]
    pub error: String,
    /// Cause of the error. For a failed Lambda function it is a JSON object as text.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

/// The response of audit-updater to [`AuditRequest::RecordJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// True if the job has another attempt: the state machine returns to the Launch state.
    pub relaunch: bool,
    /// Time before which the state machine does not return to the Launch state.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub not_before: Timestamp,
}

/// The response of audit-updater to [`AuditRequest::FinishRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEnd {
    /// Id of the run.
    pub workflow_execution_id: String,
    /// Status of the run.
    pub execution_status: Status,
    /// First error of a run that failed; empty otherwise, because the state machine reads the field in both cases.
    pub error_message: String,
}

/// The payload that the schedule of a run sends to job-callback while the run is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Id of the run to check.
    pub sweep: String,
}

/// The payload that the schedule of file-intake sends: plan the batches of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// Name of the feed, or `all`.
    pub plan: String,
}
