//! Events that shiftwork publishes on EventBridge, source [`SOURCE`].

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, audit::JobRecord, audit::RunRecord, drift::Finding};

/// `source` of every event.
pub const SOURCE: &str = "shiftwork";
/// `detail-type` of [`JobEnded`].
pub const JOB_ENDED: &str = "Shiftwork Job Ended";
/// `detail-type` of [`RunEnded`].
pub const RUN_ENDED: &str = "Shiftwork Run Ended";
/// `detail-type` of [`Refreshed`].
pub const REFRESHED: &str = "Shiftwork Workflow Refreshed";
/// `detail-type` of [`DriftFound`].
pub const DRIFT_FOUND: &str = "Shiftwork Drift Found";

/// `detail-type` of [`TableRefreshed`].
pub const TABLE_REFRESHED: &str = "Shiftwork Table Refreshed";
/// `detail-type` of [`FilesLate`].
pub const FILES_LATE: &str = "Shiftwork Files Late";

/// `detail-type` of every event.
pub const DETAIL_TYPES: [&str; 6] = [JOB_ENDED, RUN_ENDED, REFRESHED, DRIFT_FOUND, TABLE_REFRESHED, FILES_LATE];

/// An event of shiftwork. Each can come twice; `idempotency_key` tells that it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job ended.
    Job(JobEnded),
    /// A run ended.
    Run(RunEnded),
    /// A run succeeded: what it loads is fresh.
    Refreshed(Refreshed),
    /// A source sends what no column takes.
    Drift(DriftFound),
    /// New files went into a table.
    Table(TableRefreshed),
    /// Files that were due did not come.
    Late(FilesLate),
}

impl Event {
    /// Its `detail-type`.
    pub const fn detail_type(&self) -> &'static str {
        match self {
            Self::Job(_) => JOB_ENDED,
            Self::Run(_) => RUN_ENDED,
            Self::Refreshed(_) => REFRESHED,
            Self::Drift(_) => DRIFT_FOUND,
            Self::Table(_) => TABLE_REFRESHED,
            Self::Late(_) => FILES_LATE,
        }
    }

    /// Its `detail`.
    pub fn detail(&self) -> serde_json::Result<String> {
        match self {
            Self::Job(detail) => serde_json::to_string(detail),
            Self::Run(detail) => serde_json::to_string(detail),
            Self::Refreshed(detail) => serde_json::to_string(detail),
            Self::Drift(detail) => serde_json::to_string(detail),
            Self::Table(detail) => serde_json::to_string(detail),
            Self::Late(detail) => serde_json::to_string(detail),
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

/// A source sends what no column takes. Once for each field and each thing to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftFound {
    /// The same for every copy of this event.
    pub idempotency_key: String,
    /// The table contract.
    pub contract: String,
    /// Its table, with its schema.
    pub table: String,
    /// The contract's `unknown`. With `evolve`, the migration is under way.
    pub unknown: String,
    /// What was not known before.
    pub findings: Vec<Finding>,
    /// How many more there are that do not fit into an event.
    #[serde(default)]
    pub more: u64,
}

/// New files went into a table: other workflows may start on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableRefreshed {
    /// The same for every copy of this event: the name of the statement.
    pub idempotency_key: String,
    /// The workflow.
    pub workflow_id: String,
    /// The run.
    pub workflow_execution_id: String,
    /// The job.
    pub job_name: String,
    /// The feed of the files.
    pub feed: String,
    /// The table.
    pub table: String,
    /// How many files.
    pub file_count: u64,
    /// The first of them, as `s3://bucket/key`.
    pub files: Vec<String>,
    /// Key of the manifest in the staging bucket, which has them all.
    pub manifest: String,
    /// How many rows, where Redshift says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<i64>,
}

/// Files that were due did not come. Once a feed and day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesLate {
    /// The same for every copy of this event.
    pub idempotency_key: String,
    /// The feed.
    pub feed: String,
    /// The day, `YYYY-MM-DD`, in the feed's time zone.
    pub day: String,
    /// When they were due.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub due_ts: Timestamp,
    /// How many were expected.
    pub expected: u32,
    /// How many came.
    pub received: u32,
}
