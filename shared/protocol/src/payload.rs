//! What goes in and out of each function. The state machine's `Payload`s are held against these by the contract test.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Status;

/// A person's or a program's request for a run. The smallest is `{"workflow_id": "…"}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The workflow.
    pub workflow_id: String,
    /// The run's id; derived from the request where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_execution_id: Option<String>,
    /// Values for the workflow's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// An earlier run of this workflow: what succeeded there is reused, the rest runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_of: Option<String>,
    /// The instant that the run is about; now where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub logical_date: Option<Timestamp>,
    /// Set by the schedules that `shiftwork push` makes: the time they were due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub scheduled_time: Option<Timestamp>,
}

/// The trigger's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAnswer {
    /// The run: a new one, or the one that the same request made before.
    pub workflow_execution_id: String,
    /// Where it stands.
    pub execution_status: Status,
    /// What a person should know, for instance which run it overlapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Input of the run state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunInput {
    /// The run.
    pub workflow_execution_id: String,
}

/// The iterator's answer: every job that has to run, in lanes of at most 40, in topological order. An inline Map runs 40
/// iterations at once, so a Map of Maps lets every job wait for its own upstreams only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lanes {
    /// The lanes.
    pub lanes: Vec<Vec<LaneJob>>,
}

/// One job as the state machine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaneJob {
    /// The job.
    pub job_name: String,
    /// Seconds that the Launch state waits: what one attempt may take.
    pub timeout_seconds: u32,
}

/// Input of job-launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The run.
    pub workflow_execution_id: String,
    /// The job.
    pub job_name: String,
    /// Token of the state that waits for the job's end.
    pub task_token: String,
}

/// What a settled job's Launch state returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobEnd {
    /// The job.
    pub job_name: String,
    /// How it ended.
    pub execution_status: Status,
}

/// Input of audit-updater from the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuditRequest {
    /// The Launch or Await state of a job ended in an error: a timeout, a launcher that failed.
    RecordJob {
        /// The run.
        workflow_execution_id: String,
        /// The job.
        job_name: String,
        /// What Step Functions caught.
        failure: CaughtError,
    },
    /// Every job of the run ended, or none of the others can.
    FinishRun {
        /// The run.
        workflow_execution_id: String,
        /// Why the rest cannot, where that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<CaughtError>,
    },
}

/// What `Catch` puts under its `ResultPath`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaughtError {
    /// Error name.
    #[serde(rename = "Error")]
    pub error: String,
    /// Words; Lambda puts JSON here.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

/// audit-updater's answer to [`AuditRequest::RecordJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// True when the job has another attempt left: the state machine goes back to Launch.
    pub relaunch: bool,
}

/// audit-updater's answer to [`AuditRequest::FinishRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEnd {
    /// The run.
    pub workflow_execution_id: String,
    /// How it ended.
    pub execution_status: Status,
    /// The first error of a run that failed; empty otherwise, for the state machine reads it on both paths.
    pub error_message: String,
}

/// What a run's own schedule sends to job-callback while the run lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The run to look after.
    pub sweep: String,
}

/// What the schedule of file-intake sends: plan the batches of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The feed, or `all`.
    pub plan: String,
}
