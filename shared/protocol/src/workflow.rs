//! A workflow as users write it. Field names of the original RSQL framework stay theirs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shiftwork_config::Duration;

/// One item of the configuration table, or one file under `workflows/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Its name: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub workflow_id: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_description: Option<String>,
    /// Stages, run one after the other.
    pub workflow_stages: Vec<Stage>,
    /// Named connection of all its jobs; without one, the deployment's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Parameters that a run takes, by name. SQL uses them as `:name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// When it runs by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Events that start it. Each is an EventBridge event pattern, matched against the whole event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<EventTrigger>,
    /// What a request does while another run of this workflow is under way.
    #[serde(default)]
    pub on_overlap: OnOverlap,
}

/// Jobs that run one after the other, or side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// `n` leaves the stage out.
    #[serde(default)]
    pub execution_flag: ExecutionFlag,
    /// How its jobs follow each other.
    pub execution_type: ExecutionType,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_description: Option<String>,
    /// Its jobs: script names, or jobs in full.
    pub scripts: Vec<Job>,
}

/// Whether a stage runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionFlag {
    /// Run it.
    #[default]
    #[serde(alias = "Y")]
    Y,
    /// Leave it out.
    #[serde(alias = "N")]
    N,
}

/// How the jobs of a stage follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionType {
    /// In the order they are written.
    Sequential,
    /// All at once.
    Parallel,
}

/// A bare script name, or a job in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Job {
    /// A script; its name is the job's name and its suffix says its kind.
    Script(String),
    /// A job in full.
    Full(Box<FullJob>),
}

/// A job in full. What its kind needs beyond these fields (`script`, `call`, `select`, `to`, …) stands beside them and is
/// read by the kind's own module (`planner::kind`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullJob {
    /// Its name, unique in the workflow; a script's name where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// The kind of job; a script's suffix says it where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Jobs of this workflow that must end before it starts, on top of what its stage asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What failed upstreams mean for it.
    #[serde(default)]
    pub run_if: RunIf,
    /// How long one attempt may take: `90s`, `30m`, `2h`; at most 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Further attempts after a failed one. Conflicts and throttling are retried without it.
    #[serde(default)]
    pub retries: u32,
    /// Named connection of this job alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What the kind needs.
    #[serde(flatten)]
    pub work: serde_json::Map<String, serde_json::Value>,
}

/// What a job does about upstreams that did not succeed. It is asked once all of them ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunIf {
    /// Run only if every upstream succeeded; else be skipped.
    #[default]
    AllSuccess,
    /// Run whatever happened.
    AllDone,
    /// Run only if at least one upstream did not succeed: the clean-up, the alarm.
    OneFailed,
}

/// What a request does while another run of the same workflow is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOverlap {
    /// Record the request as SKIPPED and do nothing.
    #[default]
    Skip,
    /// Plan it now, run it when the other one ended, in the order of the requests.
    Queue,
    /// Record the request as FAILED and notify.
    Fail,
}

/// A typed parameter of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type; a value of another type is refused before anything runs.
    #[serde(rename = "type")]
    pub of_type: ParameterType,
    /// The value of a run that gives none; without it the parameter must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Types of parameters. The Data API binds text; the type says which text is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Any text but the empty one, which the Data API cannot bind.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number, kept digit for digit.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// An ISO 8601 instant.
    Timestamp,
}

impl ParameterType {
    /// As configuration writes it.
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

/// When a workflow runs by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// `cron(…)` or `rate(…)`, as EventBridge Scheduler takes them.
    pub expression: String,
    /// IANA time zone of a cron expression; UTC where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `false` keeps the schedule but switches it off.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// An event that starts the workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTrigger {
    /// EventBridge event pattern (`source`, `detail-type`, `detail`, …).
    pub pattern: serde_json::Map<String, serde_json::Value>,
    /// Parameters taken from the event: parameter name to a path such as `$.detail.object.key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}
