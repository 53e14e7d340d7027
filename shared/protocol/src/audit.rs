//! The items of the audit tables and of the lease table.
//!
//! An item of an audit table is both the record that people read and the state that the functions coordinate through,
//! so one conditional write changes both (docs/decisions/0002-one-item-a-job.md).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    attempt::{Attempt, Owner},
    cause::Cause,
    failure::FailureKind,
    payload::RunRequest,
    slots::{SLOT, SlotHolder, SlotPool},
    status::{SkipReason, Status},
    times::{StatementReport, Times, dropped_rows},
    work::Work,
    workflow::RunIf,
};

/// One job of a frozen plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// Name of the job, unique in the run.
    pub job_name: String,
    /// Position in the plan, from 0, in topological order: a job comes after all of its upstreams.
    pub position: u32,
    /// Number of the stage in the workflow, from 1. Stages with `execution_flag: n` are counted.
    pub stage: u32,
    /// Description of the stage, from the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_description: Option<String>,
    /// Names of the jobs that must end before this job starts.
    #[serde(default)]
    pub upstreams: BTreeSet<String>,
    /// Names of the jobs that wait for this job.
    #[serde(default)]
    pub dependents: BTreeSet<String>,
    /// Condition on the upstreams' status under which the job runs.
    #[serde(default)]
    pub run_if: RunIf,
    /// Timeout of one attempt in seconds.
    pub timeout_seconds: u32,
    /// Number of further attempts after a terminal failure.
    #[serde(default)]
    pub retries: u32,
    /// Pause in seconds before the first of these attempts. Each further pause is twice as long, up to
    /// [`RETRY_DELAY_SECONDS`](crate::limits::RETRY_DELAY_SECONDS).
    #[serde(default)]
    pub retry_delay_seconds: u32,
    /// Pools of which the job needs a slot while it has an attempt, in the order in which it takes them. Empty if no pool can
    /// be full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotPool>,
    /// Work of the job, and the connection that the work uses.
    #[serde(flatten, with = "crate::work::stored")]
    pub work: Work,
}

/// A job of a run: an item of the job audit table, keyed by `workflow_execution_id` and `job_name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Id of the run.
    pub workflow_execution_id: String,
    /// Id of the workflow.
    pub workflow_id: String,
    /// Logical date of the run.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<Timestamp>,
    /// Time zone of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Frozen plan of the job.
    #[serde(flatten)]
    pub plan: PlannedJob,
    /// Status of the job.
    pub execution_status: Status,
    /// Time at which the launcher recorded that it is about to submit the first attempt.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_start_ts: Option<Timestamp>,
    /// Time at which shiftwork recorded the final status of the job. The time at which the engine ended it is
    /// [`Times::engine_ended_ts`].
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_end_ts: Option<Timestamp>,
    /// Reason why a job with status SKIPPED was skipped; absent for every other status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<SkipReason>,
    /// Reason why the job did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Name of the failure, such as `Shiftwork.StatementFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// Number of the current or last attempt, from 1.
    pub attempt: u32,
    /// Number of the current or last part, from 1: with `transaction: per_statement` the position of the statement. An
    /// attempt that follows a failure has the part that failed.
    pub part: u32,
    /// Time at which the launcher recorded that it is about to submit the current part.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub submitted_ts: Option<Timestamp>,
    /// Earlier attempts of the job, all of which failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_attempts: Vec<FailedAttempt>,
    /// Reason why shiftwork cancels the current attempt's statement; it becomes the failure when Redshift reports
    /// ABORTED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelling: Option<Cancelling>,
    /// Id of the last statement in the Data API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_id: Option<String>,
    /// Id of the session in which the last part ran, if the statements of the job share a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Times of the current attempt on its engine, over the submissions that ended so far.
    #[serde(flatten)]
    pub times: Times,
    /// Report of each statement that was committed, in order: the first [`KEPT_STATEMENTS`](crate::KEPT_STATEMENTS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementReport>,
    /// Rows that the statements of the job changed, loaded or unloaded ([`changed_rows`](crate::changed_rows)); for a
    /// load of change data, the rows that were copied into the staging table. Absent if the engine reports none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Upstreams that have not ended; only [`SLOT`] for a job that waits for a slot. DynamoDB does not store empty sets, so the attribute is absent when the set is
    /// empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waiting_on: BTreeSet<String>,
    /// Jobs before this job that failed: upstreams, and the jobs because of which upstreams were skipped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed_upstreams: BTreeSet<String>,
    /// Task token of the Await state, which waits for the upstreams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub await_token: Option<String>,
    /// Task token of the Launch state, which waits for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_token: Option<String>,
    /// In a restart: the earlier run whose success is reused instead of running the job again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<String>,
    /// In a restart: the earlier run whose committed statements this job does not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// In a restart, of a job that runs again: SHA-256 of the earlier run's script, if the script has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_was: Option<String>,
    /// In a restart, of a reused job: SHA-256 of the script as it is now, if it has changed since the earlier run. The
    /// work of the record is the work that ran, so its script is the earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_now: Option<String>,
    /// `caused_by` of the run, so that the event of the job has it without a read of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
}

impl JobRecord {
    /// Rows that a load of change data dropped although they may be of a topic that was created again; `None` if there are none.
    pub fn dropped_rows(&self) -> Option<i64> {
        match self.plan.work {
            Work::Cdc { .. } => dropped_rows(&self.statements),
            Work::Sql { .. } | Work::Procedure { .. } | Work::Unload { .. } | Work::Copy { .. } | Work::Barrier {} => {
                None
            }
        }
    }

    /// Makes the item of a job that has not started.
    pub fn pending(workflow_id: &str, workflow_execution_id: &str, plan: PlannedJob) -> Self {
        Self {
            workflow_execution_id: workflow_execution_id.into(),
            workflow_id: workflow_id.into(),
            logical_date: None,
            time_zone: None,
            waiting_on: plan.upstreams.clone(),
            plan,
            execution_status: Status::Pending,
            execution_start_ts: None,
            execution_end_ts: None,
            skip_reason: None,
            error_message: None,
            error_name: None,
            attempt: 1,
            part: 1,
            submitted_ts: None,
            failed_attempts: Vec::new(),
            cancelling: None,
            statement_id: None,
            session_id: None,
            times: Times::default(),
            statements: Vec::new(),
            rows: None,
            failed_upstreams: BTreeSet::new(),
            await_token: None,
            task_token: None,
            reused_from: None,
            resumed: None,
            script_was: None,
            script_now: None,
            caused_by: Vec::new(),
        }
    }

    /// Times of all attempts of the job on their engine.
    pub fn all_times(&self) -> Times {
        let failed = self.failed_attempts.iter().map(|attempt| attempt.times);
        failed.fold(Times::default(), Times::then).then(self.times)
    }

    /// The first part that the job submits, from 1: in a restart it can be a later one.
    pub fn first_part(&self) -> u32 {
        self.resumed.as_ref().map_or(1, |resumed| resumed.part)
    }

    /// Returns true if the job was launched before and has another attempt or another part to launch.
    pub fn has_more(&self) -> bool {
        !self.execution_status.is_terminal()
            && self.submitted_ts.is_none()
            && (self.attempt > 1 || self.part > self.first_part())
    }

    /// Returns true if all upstreams of the job have ended, and it waits for a slot.
    pub fn waits_for_slot(&self) -> bool {
        self.waiting_on.iter().eq([SLOT])
    }

    /// The job as a holder of slots.
    pub fn slot_holder(&self) -> SlotHolder {
        SlotHolder { run: self.workflow_execution_id.clone(), job: self.plan.job_name.clone() }
    }

    /// The current attempt and part: the next to submit, or the last submitted.
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

/// The place at which a job of a restart continues the work of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Id of the run that committed the parts before `part`.
    pub from: String,
    /// The first part that this run submits.
    pub part: u32,
}

/// The reason why shiftwork cancels a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// Name of the failure that the attempt ends with.
    pub error_name: String,
    /// Message of the failure.
    pub error_message: String,
}

/// An attempt that failed and was followed by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of the part that failed, from 1.
    #[serde(default = "first_part")]
    pub part: u32,
    /// Time at which the attempt was submitted.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub submitted_ts: Option<Timestamp>,
    /// Time at which shiftwork recorded the end of the attempt.
    #[serde(with = "crate::millis")]
    pub ended_ts: Timestamp,
    /// Name of the failure.
    pub error_name: String,
    /// Message of the failure.
    pub error_message: String,
    /// Id of the attempt's statement in the Data API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_id: Option<String>,
    /// Time before which the next attempt is not launched; none if it is launched at once or after a pause of the state
    /// machine.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub retry_ts: Option<Timestamp>,
    /// Times of the attempt on its engine.
    #[serde(flatten)]
    pub times: Times,
}

/// The part of failed attempts in items without the attribute.
const fn first_part() -> u32 {
    1
}

impl FailedAttempt {
    /// Returns true if the failure was a conflict or a limit. Such attempts do not count towards `retries`.
    pub fn was_retryable(&self) -> bool {
        FailureKind::from_name(&self.error_name).is_some_and(|kind| kind.class() == crate::Class::Retryable)
    }
}

/// The source of a request for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An invocation by a person or a program.
    Manual,
    /// A schedule.
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
    /// Id of the run.
    pub workflow_execution_id: String,
    /// Id of the workflow.
    pub workflow_id: String,
    /// Description of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_description: Option<String>,
    /// Status of the run.
    pub execution_status: Status,
    /// Time of the request.
    #[serde(with = "crate::millis")]
    pub created_ts: Timestamp,
    /// Time at which the execution started.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_start_ts: Option<Timestamp>,
    /// Time at which the run ended.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    pub execution_end_ts: Option<Timestamp>,
    /// First error of a run that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Logical date of the run: the scheduled time, or the time of the request. A restart has the logical date of the
    /// earlier run.
    #[serde(with = "crate::millis")]
    pub logical_date: Timestamp,
    /// IANA time zone of the run, in which `run_date` is read; absent if the run could not be planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Day of the logical date in the time zone of the run, `YYYY-MM-DD`, which SQL uses as `:run_date`; absent if the
    /// run could not be planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_date: Option<String>,
    /// Values of the parameters, as text that the Data API binds.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Source of the request.
    pub requested_by: Origin,
    /// SHA-256 of the request. A request with the same run id and another digest is refused.
    pub request_sha256: String,
    /// SHA-256 of the configuration that was planned.
    pub workflow_sha256: String,
    /// The earlier run that this run restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_of: Option<String>,
    /// Runs whose events led to this run, the first one first; empty unless an event of a run started it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caused_by: Vec<Cause>,
    /// The request as it was received, if the run could not be planned. A restart completes or corrects it. Only values of
    /// parameters that the workflow declares as not secret are shown; the others are [`crate::secret::MASK`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RunRequest>,
    /// Number of jobs in the plan, barriers included.
    pub jobs: u32,
    /// Id of the invocation that writes the plan, while the status is [`Status::Planning`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planner: Option<String>,
}

impl RunRecord {
    /// The day of the logical date with its time zone, for people: `2026-07-01 (Europe/Berlin)`. The instant, for a run
    /// that could not be planned.
    pub fn date_text(&self) -> String {
        match (&self.run_date, &self.time_zone) {
            (Some(day), Some(zone)) => format!("{day} ({zone})"),
            (Some(_) | None, _) => crate::timestamp(self.logical_date),
        }
    }
}

/// The right of one run to run its workflow: an item of the lease table, keyed by `workflow_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Run that holds the lease; none if no run of the workflow is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Number of holders so far; never decreases. Writes of the holder are conditional on `holder`, which suffices
    /// because a run holds a lease at most once.
    pub fence: u64,
    /// Time at which the lease expires unless the holder renews it.
    #[serde(with = "crate::millis")]
    pub expires_ts: Timestamp,
    /// Runs that wait for the lease, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<String>,
}
