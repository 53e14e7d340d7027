//! The items of the audit tables and of the lease table: what a run is, and what happened to it.
//!
//! One item serves both as the audit that people read and as the state that the functions coordinate over, so that one
//! conditional write moves both (docs/decisions/0002-one-item-a-job.md).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    attempt::{Attempt, Owner},
    failure::FailureKind,
    status::Status,
    work::Work,
    workflow::RunIf,
};

/// One job of a frozen plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// Unique in the run.
    pub job_name: String,
    /// Position in the plan, from 0, in topological order: no job stands before one that it waits on.
    pub position: u32,
    /// Stage, from 1, as the workflow counts them (stages left out count too).
    pub stage: u32,
    /// What the stage does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_description: Option<String>,
    /// Jobs that must end first.
    #[serde(default)]
    pub upstreams: BTreeSet<String>,
    /// Jobs that wait on this one.
    #[serde(default)]
    pub dependents: BTreeSet<String>,
    /// What failed upstreams mean for it.
    #[serde(default)]
    pub run_if: RunIf,
    /// Seconds that one attempt may take.
    pub timeout_seconds: u32,
    /// Further attempts after a terminal failure.
    #[serde(default)]
    pub retries: u32,
    /// What it does, and over which connection.
    #[serde(flatten, with = "crate::work::stored")]
    pub work: Work,
}

/// A job of a run: an item of the job audit table, keyed by `workflow_execution_id` and `job_name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The run.
    pub workflow_execution_id: String,
    /// The workflow.
    pub workflow_id: String,
    /// The frozen plan of the job.
    #[serde(flatten)]
    pub plan: PlannedJob,
    /// Where it stands.
    pub execution_status: Status,
    /// When its first attempt was handed to Redshift.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_start_ts: Option<Timestamp>,
    /// When it ended for good.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_end_ts: Option<Timestamp>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The failure's name, such as `Shiftwork.StatementFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// The attempt that runs or ran last, from 1.
    pub attempt: u32,
    /// The part of the attempt (`transaction: per_statement` past 40 statements), from 1.
    pub part: u32,
    /// When the present attempt's present part was meant to be submitted: written before the submission.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub submitted_ts: Option<Timestamp>,
    /// Attempts that failed and were tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_attempts: Vec<FailedAttempt>,
    /// Why the statement of the present attempt is being cancelled: what it means when Redshift says ABORTED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelling: Option<Cancelling>,
    /// The Data API's id of the last statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_id: Option<String>,
    /// Rows that the last statement returned or changed, or that a load of change data has loaded, where Redshift says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// What it still waits on. DynamoDB keeps no empty set: no attribute means that nothing holds it back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waiting_on: BTreeSet<String>,
    /// Upstreams that ended otherwise than well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed_upstreams: BTreeSet<String>,
    /// Task token of the state that waits for the upstreams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub await_token: Option<String>,
    /// Task token of the state that waits for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_token: Option<String>,
    /// On a restart: the run whose success is taken over instead of running the job again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<String>,
    /// On a restart: the hash of the script of the earlier run, where the script was changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_was: Option<String>,
}

impl JobRecord {
    /// A job that has not begun.
    pub fn pending(workflow_id: &str, workflow_execution_id: &str, plan: PlannedJob) -> Self {
        Self {
            workflow_execution_id: workflow_execution_id.into(),
            workflow_id: workflow_id.into(),
            waiting_on: plan.upstreams.clone(),
            plan,
            execution_status: Status::Pending,
            execution_start_ts: None,
            execution_end_ts: None,
            error_message: None,
            error_name: None,
            attempt: 1,
            part: 1,
            submitted_ts: None,
            failed_attempts: Vec::new(),
            cancelling: None,
            statement_id: None,
            rows: None,
            failed_upstreams: BTreeSet::new(),
            await_token: None,
            task_token: None,
            reused_from: None,
            script_was: None,
        }
    }

    /// The attempt and part that it stands at: what is submitted next, or was submitted last.
    pub fn current_attempt(&self) -> Attempt {
        Attempt {
            owner: Owner::Job,
            run: self.workflow_execution_id.clone(),
            job: self.plan.job_name.clone(),
            attempt: self.attempt,
            part: self.part,
            parts: self.plan.work.parts(),
        }
    }
}

/// Why we cancel a statement of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// The failure that the attempt then ends with.
    pub error_name: String,
    /// Its words.
    pub error_message: String,
}

/// An attempt that failed and was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it was submitted.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub submitted_ts: Option<Timestamp>,
    /// When its end was noticed.
    #[serde(with = "crate::millis")]
    pub ended_ts: Timestamp,
    /// The failure.
    pub error_name: String,
    /// Its words.
    pub error_message: String,
    /// The Data API's id of its statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_id: Option<String>,
}

impl FailedAttempt {
    /// True for an attempt that failed through a conflict or a limit, which `retries` does not pay for.
    pub fn was_retryable(&self) -> bool {
        FailureKind::from_name(&self.error_name).is_some_and(|kind| kind.class() == crate::Class::Retryable)
    }
}

/// What asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A person or a program, by name.
    Manual,
    /// The clock.
    Schedule,
    /// An EventBridge event.
    Event,
    /// A message of the request queue.
    Queue,
    /// A restart of an earlier run.
    Restart,
}

/// A run: an item of the workflow audit table, keyed by `workflow_execution_id`; an index finds the runs of a workflow by
/// `workflow_id` and `created_ts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's id: the unit of restart, cancel and audit.
    pub workflow_execution_id: String,
    /// The workflow.
    pub workflow_id: String,
    /// What the workflow is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_description: Option<String>,
    /// Where it stands.
    pub execution_status: Status,
    /// When it was asked for.
    #[serde(with = "crate::millis")]
    pub created_ts: Timestamp,
    /// When its execution began.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_start_ts: Option<Timestamp>,
    /// When it ended.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_end_ts: Option<Timestamp>,
    /// The first error of a run that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The instant that the run is about: the scheduled time, or when it was asked for. A restart keeps it.
    #[serde(with = "crate::millis")]
    pub logical_date: Timestamp,
    /// Its parameters, as text that the Data API binds.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What asked for it.
    pub requested_by: Origin,
    /// Digest of the request: the same id with another request is a mistake, not the same run.
    pub request_sha256: String,
    /// Digest of the configuration that was planned.
    pub workflow_sha256: String,
    /// The run that this one restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_of: Option<String>,
    /// How many jobs its plan has, barriers included.
    pub jobs: u32,
    /// Who plans it, while it is [`Status::Planning`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planner: Option<String>,
}

/// Who may run a workflow now: an item of the lease table, keyed by `workflow_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The workflow.
    pub workflow_id: String,
    /// The run that holds it; none while the workflow is at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Grows by one with every holder, and never goes back. The holder itself is the fence: a run holds a lease once, and
    /// every write of its owner is conditional on being the holder still.
    pub fence: u64,
    /// When the holder's right ends without a renewal.
    #[serde(with = "crate::millis")]
    pub expires_ts: Timestamp,
    /// Runs that wait for it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<String>,
}
