//! Events that shiftwork publishes on EventBridge, source [`SOURCE`].

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, audit::JobRecord, audit::RunRecord};

/// `source` of every event.
pub const SOURCE: &str = "shiftwork";
/// `detail-type` of [`JobEnded`].
pub const JOB_ENDED: &str = "Shiftwork Job Ended";
/// `detail-type` of [`RunEnded`].
pub const RUN_ENDED: &str = "Shiftwork Run Ended";
/// `detail-type` of [`Refreshed`].
pub const REFRESHED: &str = "Shiftwork Workflow Refreshed";

/// An event of shiftwork. Each can come twice; `idempotency_key` tells that it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job ended.
    Job(JobEnded),
    /// A run ended.
    Run(RunEnded),
    /// A run succeeded: what it loads is fresh.
    Refreshed(Refreshed),
}

impl Event {
    /// Its `detail-type`.
    pub const fn detail_type(&self) -> &'static str {
        match self {
            Self::Job(_) => JOB_ENDED,
            Self::Run(_) => RUN_ENDED,
            Self::Refreshed(_) => REFRESHED,
        }
    }

    /// Its `detail`.
    pub fn detail(&self) -> serde_json::Result<String> {
        match self {
            Self::Job(detail) => serde_json::to_string(detail),
            Self::Run(detail) => serde_json::to_string(detail),
            Self::Refreshed(detail) => serde_json::to_string(detail),
        }
    }
}

/// A job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobEnded {
    /// The same for every copy of this event.
    pub idempotency_key: String,
    /// The workflow.
    pub workflow_id: String,
    /// The run.
    pub workflow_execution_id: String,
    /// The job.
    pub job_name: String,
    /// How it ended.
    pub execution_status: Status,
    /// When its first attempt was submitted.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub execution_start_ts: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub execution_end_ts: Option<Timestamp>,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Rows, where Redshift says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<i64>,
}

impl From<&JobRecord> for JobEnded {
    fn from(job: &JobRecord) -> Self {
        Self {
            idempotency_key: format!("{}/{}", job.workflow_execution_id, job.plan.job_name),
            workflow_id: job.workflow_id.clone(),
            workflow_execution_id: job.workflow_execution_id.clone(),
            job_name: job.plan.job_name.clone(),
            execution_status: job.execution_status,
            execution_start_ts: job.execution_start_ts,
            execution_end_ts: job.execution_end_ts,
            error_message: job.error_message.clone(),
            rows: job.rows,
        }
    }
}

/// A run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEnded {
    /// The same for every copy of this event.
    pub idempotency_key: String,
    /// The workflow.
    pub workflow_id: String,
    /// The run.
    pub workflow_execution_id: String,
    /// How it ended.
    pub execution_status: Status,
    /// The instant that the run is about.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub logical_date: Timestamp,
    /// The first error.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
}

impl From<&RunRecord> for RunEnded {
    fn from(run: &RunRecord) -> Self {
        Self {
            idempotency_key: run.workflow_execution_id.clone(),
            workflow_id: run.workflow_id.clone(),
            workflow_execution_id: run.workflow_execution_id.clone(),
            execution_status: run.execution_status,
            logical_date: run.logical_date,
            error_message: run.error_message.clone(),
        }
    }
}

/// A run succeeded: other workflows may start on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refreshed {
    /// The same for every copy of this event.
    pub idempotency_key: String,
    /// The workflow whose tables are fresh.
    pub workflow_id: String,
    /// The run.
    pub workflow_execution_id: String,
    /// The instant that the run is about.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub logical_date: Timestamp,
}
