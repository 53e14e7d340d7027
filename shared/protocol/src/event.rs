//! Events that shiftwork publishes on EventBridge, source [`SOURCE`].

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SkipReason, Status, Times, audit::JobRecord, audit::RunRecord, cause::Cause, drift::Finding};

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

/// An event of shiftwork. EventBridge may deliver it more than once; copies have the same `idempotency_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job ended.
    Job(JobEnded),
    /// A run ended.
    Run(RunEnded),
    /// A run succeeded.
    Refreshed(Refreshed),
    /// A source sends fields that its table has no column for, or texts that are longer than their VARCHAR.
    Drift(DriftFound),
    /// Files of a feed were loaded into their table.
    Table(TableRefreshed),
    /// Fewer files than expected came by the time that the feed names.
    Late(FilesLate),
}

impl Event {
    /// The event's `detail-type`.
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

    /// The event's `detail` as JSON.
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
    /// Identifies the event: `<run>/<job>`.
    pub idempotency_key: String,
    /// `workflow_id` of the workflow.
    pub workflow_id: String,
    /// `workflow_execution_id` of the run.
    pub workflow_execution_id: String,
    /// Logical date of the run.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub logical_date: Option<Timestamp>,
    /// IANA time zone of the run, in which the day of its logical date is read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_zone: Option<String>,
    /// Name of the job.
    pub job_name: String,
    /// Status of the job: `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED` or `SKIPPED`.
    pub execution_status: Status,
    /// Reason why the job was skipped; absent for every other status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skip_reason: Option<SkipReason>,
    /// Time at which the first attempt was submitted; absent if none was.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub execution_start_ts: Option<Timestamp>,
    /// Time at which shiftwork recorded the end of the job.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub execution_end_ts: Option<Timestamp>,
    /// Reason why the job did not succeed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Rows that the statements of the job changed, loaded or unloaded, or that a load of change data has copied; absent if
    /// Redshift does not report them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<i64>,
    /// Rows below the watermark that a load of change data dropped although they may be of a topic that was created again; absent if there
    /// are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dropped_rows: Option<i64>,
    /// Times on the engine, over all attempts.
    #[serde(flatten)]
    pub times: Times,
    /// Runs whose events led to this run, the first one first; empty unless an event of a run started it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
}

impl From<&JobRecord> for JobEnded {
    fn from(job: &JobRecord) -> Self {
        Self {
            idempotency_key: format!("{}/{}", job.workflow_execution_id, job.plan.job_name),
            workflow_id: job.workflow_id.clone(),
            workflow_execution_id: job.workflow_execution_id.clone(),
            logical_date: job.logical_date,
            time_zone: job.time_zone.clone(),
            job_name: job.plan.job_name.clone(),
            execution_status: job.execution_status,
            skip_reason: job.skip_reason,
            execution_start_ts: job.execution_start_ts,
            execution_end_ts: job.execution_end_ts,
            error_message: job.error_message.clone(),
            rows: job.rows,
            dropped_rows: job.dropped_rows(),
            times: job.all_times(),
            caused_by: job.caused_by.clone(),
        }
    }
}

/// A run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEnded {
    /// Identifies the event: the id of the run.
    pub idempotency_key: String,
    /// `workflow_id` of the workflow.
    pub workflow_id: String,
    /// `workflow_execution_id` of the run.
    pub workflow_execution_id: String,
    /// Status of the run: `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED` or `SKIPPED`.
    pub execution_status: Status,
    /// Logical date of the run.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub logical_date: Timestamp,
    /// IANA time zone of the run, in which the day of its logical date is read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_zone: Option<String>,
    /// First error of the run; absent if it succeeded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_message: Option<String>,
    /// Runs whose events led to this run, the first one first; empty unless an event of a run started it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
}

impl From<&RunRecord> for RunEnded {
    fn from(run: &RunRecord) -> Self {
        Self {
            idempotency_key: run.workflow_execution_id.clone(),
            workflow_id: run.workflow_id.clone(),
            workflow_execution_id: run.workflow_execution_id.clone(),
            execution_status: run.execution_status,
            logical_date: run.logical_date,
            time_zone: run.time_zone.clone(),
            error_message: run.error_message.clone(),
            caused_by: run.caused_by.clone(),
        }
    }
}

/// A run succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refreshed {
    /// Identifies the event: the id of the run.
    pub idempotency_key: String,
    /// `workflow_id` of the workflow whose run succeeded.
    pub workflow_id: String,
    /// `workflow_execution_id` of the run.
    pub workflow_execution_id: String,
    /// Logical date of the run.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub logical_date: Timestamp,
    /// Runs whose events led to this run, the first one first; empty unless an event of a run started it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
    /// IANA time zone of the run, in which the day of its logical date is read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_zone: Option<String>,
}

/// A source sends fields that its table has no column for, or texts that are longer than their VARCHAR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftFound {
    /// Identifies the event: the contract and a digest of the findings.
    pub idempotency_key: String,
    /// Name of the table contract.
    pub contract: String,
    /// Table of the contract, as `schema.table`.
    pub table: String,
    /// Value of `unknown` in the contract: `capture`, `evolve` or `freeze`. With `evolve`, the migration has been started.
    pub unknown: String,
    /// Fields that were not reported before, at most 50.
    pub findings: Vec<Finding>,
    /// Number of further fields that the event leaves out.
    #[serde(default)]
    pub more: u64,
}

/// Files of a feed were loaded into their table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableRefreshed {
    /// Identifies the event: the name of the statement that loaded the files.
    pub idempotency_key: String,
    /// `workflow_id` of the workflow.
    pub workflow_id: String,
    /// `workflow_execution_id` of the run.
    pub workflow_execution_id: String,
    /// Logical date of the run.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub logical_date: Option<Timestamp>,
    /// IANA time zone of the run, in which the day of its logical date is read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_zone: Option<String>,
    /// Name of the job.
    pub job_name: String,
    /// Name of the feed.
    pub feed: String,
    /// Table that the files were loaded into, as `schema.table`.
    pub table: String,
    /// Number of files.
    pub file_count: u64,
    /// The first 100 files, as `s3://bucket/key`.
    pub files: Vec<String>,
    /// Key of the manifest in the staging bucket, which lists all files.
    pub manifest: String,
    /// Rows that were loaded; absent if Redshift does not report them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<i64>,
    /// Runs whose events led to this run, the first one first; empty unless an event of a run started it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
}

/// Fewer files than expected came by the time that the feed names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesLate {
    /// Identifies the event: the feed and the day.
    pub idempotency_key: String,
    /// Name of the feed.
    pub feed: String,
    /// The day, `YYYY-MM-DD`, in the feed's time zone.
    pub day: String,
    /// Time at which the files were due.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub due_ts: Timestamp,
    /// Number of files that were expected.
    pub expected: u32,
    /// Number of files that came.
    pub received: u32,
}
