//! A workflow as users write it. Field names of the original RSQL framework are kept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shiftwork_config::Duration;

/// A workflow: an item of the configuration table, or a file under `workflows/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Id of the workflow: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub workflow_id: String,
    /// Description of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_description: Option<String>,
    /// Stages, which run one after the other.
    pub workflow_stages: Vec<Stage>,
    /// Named connection of all jobs; the deployment's default connection if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Maximum number of jobs of the workflow that have an active attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Parameters of a run, by name. SQL uses a parameter as `:name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// IANA time zone in which the day of the logical date (`:run_date`) is read, such as `Europe/Berlin`. The time zone
    /// of the schedule if it is left out; UTC if there is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Schedule on which the workflow runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Events that start a run. Each is an EventBridge event pattern that is matched against the whole event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<EventTrigger>,
    /// How to treat a request while another run of this workflow is in progress.
    #[serde(default)]
    pub on_overlap: OnOverlap,
}

impl Workflow {
    /// Time zone of the runs that the schedule starts; `None` for UTC.
    pub fn schedule_time_zone(&self) -> Option<&str> {
        self.schedule.as_ref().and_then(|schedule| schedule.time_zone.as_deref()).or(self.time_zone.as_deref())
    }

    /// Time zone of the runs that requests and events start; `None` if the workflow has none.
    pub fn request_time_zone(&self) -> Option<&str> {
        self.time_zone.as_deref().or_else(|| self.schedule_time_zone())
    }
}

/// Jobs that run one after the other or in parallel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// `n` leaves the stage out of the plan.
    #[serde(default)]
    pub execution_flag: ExecutionFlag,
    /// Order in which the jobs run.
    pub execution_type: ExecutionType,
    /// Description of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_description: Option<String>,
    /// Maximum number of jobs of the stage that have an active attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Jobs of the stage: script names or job objects.
    pub scripts: Vec<Job>,
}

/// Whether a stage runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionFlag {
    /// The stage runs.
    #[default]
    #[serde(alias = "Y")]
    Y,
    /// The stage is left out.
    #[serde(alias = "N")]
    N,
}

/// The order in which the jobs of a stage run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionType {
    /// One after the other, in the order of the list.
    Sequential,
    /// All at the same time.
    Parallel,
}

/// A script name, or a job object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Job {
    /// Name of a script, which is also the name of the job. The suffix determines the kind.
    Script(String),
    /// A job object.
    Full(Box<FullJob>),
}

/// A job object. The fields of its kind (`script`, `call`, `select`, `to`, …) are in the same object; the kind's module
/// in
/// `planner::kind` reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullJob {
    /// Name of the job, unique in the workflow; the script's name if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Kind of the job; determined by the script's suffix if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Jobs of this workflow that must end before the job starts, in addition to those that the stage requires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Condition on the status of the upstreams under which the job runs.
    #[serde(default)]
    pub run_if: RunIf,
    /// Timeout of one attempt, such as `90s`, `30m` or `2h`; at most 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Number of further attempts after a failed one. Retries after conflicts and throttling are not counted.
    #[serde(default)]
    pub retries: u32,
    /// Pause before the first of these attempts, such as `30s` or `5m`; 30 seconds if it is left out, at most 1 hour. Each
    /// further pause is twice as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<Duration>,
    /// Named connection of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Fields that the kind defines.
    #[serde(flatten)]
    pub work: serde_json::Map<String, serde_json::Value>,
}

/// Condition on the jobs before a job under which the job runs. Evaluated once all upstreams have ended.
///
/// An upstream counts as failed if its status is FAILED, TIMED_OUT or ABORTED, or if it was skipped because of such a
/// job. An upstream that was skipped because its own condition was not met does not count as failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunIf {
    /// Run only if no upstream failed; otherwise the job is skipped.
    #[default]
    AllSuccess,
    /// Run in every case.
    AllDone,
    /// Run only if at least one upstream failed, for instance to clean up or to alert. Otherwise the job is skipped, and
    /// the jobs after it run.
    OneFailed,
}

/// How to treat a request while another run of the same workflow is in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOverlap {
    /// Record the request as SKIPPED and do not run it.
    #[default]
    Skip,
    /// Plan the run now, and start it when the other run ends, in the order of the requests.
    Queue,
    /// Record the request as FAILED and send a notification.
    Fail,
}

/// A typed parameter of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Type of the parameter. A request with a value of another type is refused.
    #[serde(rename = "type")]
    pub of_type: ParameterType,
    /// Value if the request has none. Without a default, a request must have a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Description of the parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `true` keeps the value out of the audit tables, reports, events, messages and logs, which show `(secret)`. A secret parameter has no
    /// default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// Types of parameters. The Data API binds values as text, so the type defines which texts are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// A text with at least one character, because the Data API does not bind empty values.
    String,
    /// A 64-bit integer.
    Integer,
    /// A decimal number, passed to Redshift with all of its digits.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// An ISO 8601 instant.
    Timestamp,
}

impl ParameterType {
    /// Value of `type` in a workflow's configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

/// The schedule of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// `cron(…)` or `rate(…)`, in the syntax of EventBridge Scheduler.
    pub expression: String,
    /// IANA time zone of a cron expression, and of the logical dates of scheduled runs. The time zone of the workflow if
    /// it is left out; UTC if there is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `false` disables the schedule.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn enabled() -> bool {
    true
}

/// An event that starts a run of the workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTrigger {
    /// EventBridge event pattern (`source`, `detail-type`, `detail`, …).
    pub pattern: serde_json::Map<String, serde_json::Value>,
    /// Parameters taken from the event: name of the parameter to a path such as `$.detail.object.key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Path to the logical date of the run in the event, such as `$.detail.day`: a day (`2026-03-01`) or an instant
    /// (`2026-03-01T02:00:00Z`). Without it, the run has the logical date of the run that the event is about, or the
    /// time of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
}
