//! The ledger: records of runs and jobs, through which the functions also coordinate, and the leases of workflows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shiftwork_port_macro::port;
use shiftwork_protocol::{
    Attempt, Cancelling, FailedAttempt, FailureKind, JobRecord, Lease, RunRecord, SkipReason, SlotHolder, SlotPool,
    Slots, StatementReport, Status, Times,
};

use crate::Result;

/// A run to open.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// Record of the run, with its status after the opening.
    pub run: RunRecord,
    /// Jobs of the run; none for a run that is only recorded.
    pub jobs: Vec<JobRecord>,
    /// Request for the lease of the workflow.
    pub lease: LeaseRequest,
}

/// A request for the lease of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    /// Take the lease.
    Take {
        /// Expiry of the lease unless the run begins before.
        until: Timestamp,
    },
    /// Join the queue for the lease, which another run holds.
    Queue,
    /// Leave the lease as it is: the run is only recorded.
    Leave,
}

/// The result of opening a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// Run, jobs and lease were written, in one transaction.
    New,
    /// The run already exists.
    Existing(Box<RunRecord>),
    /// Another invocation is writing the plan of this run.
    BeingPlanned,
    /// [`LeaseRequest::Take`]: another run holds the lease. Nothing was written.
    Held {
        /// Run that holds the lease.
        holder: String,
        /// Time at which the lease expires unless it is renewed.
        expires_ts: Timestamp,
    },
    /// [`LeaseRequest::Queue`]: no run holds the lease. Nothing was written.
    Free,
}

/// The result of beginning a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The run is RUNNING, by this or an earlier call, and its lease was renewed.
    Running,
    /// The run has ended, or does not exist.
    Ended,
    /// The run does not hold the lease any more and must not start its jobs.
    LeaseLost,
}

/// What a submission that ended adds to the record of its job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Times of the submission.
    pub times: Times,
    /// Reports of the statements that the submission committed.
    pub statements: Vec<StatementReport>,
    /// Rows that these statements changed, loaded or unloaded; `None` if the engine reports none.
    pub rows: Option<i64>,
}

/// The end of a job that ran, or that was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Final status.
    pub status: Status,
    /// Failure; none for a job that succeeded.
    pub error: Option<FailureKind>,
    /// Reason why the job did not succeed.
    pub message: Option<String>,
    /// Id of the last statement; none if nothing was submitted.
    pub statement_id: Option<String>,
    /// Totals of the last submission; empty if nothing was submitted.
    pub totals: Totals,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The job ends.
    End(End),
    /// The job ends as SKIPPED, without an attempt.
    Skip {
        /// Reason for the skip.
        reason: SkipReason,
        /// Reason in words.
        message: String,
    },
    /// The attempt failed, and another one follows: the job becomes PENDING with the same part of the next attempt.
    NextAttempt(FailedAttempt),
    /// The attempt is about to be cancelled, for the given reason. It stays the current attempt until its engine reports
    /// the end.
    Cancel(Cancelling),
    /// The part finished, and the next part of the attempt follows.
    NextPart {
        /// Id of the finished part's statement.
        statement_id: Option<String>,
        /// Session of the finished part, if it is kept.
        session_id: Option<String>,
        /// Whether the caller is about to submit the next part. The step then records the intent, as [`Ledger::claim`]
        /// does.
        submitting: bool,
        /// Totals of the finished part.
        totals: Totals,
    },
    /// The claimed attempt cannot be submitted before the job has its slots: the job becomes PENDING and waits for
    /// [`SLOT`](shiftwork_protocol::SLOT), and the intent to submit is withdrawn.
    Hold,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    /// True if this call took the step; false if the job was past this attempt and part, and was not changed.
    pub fresh: bool,
    /// Record of the job after the call.
    pub job: JobRecord,
}

/// The result of releasing a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// No run waits, so no run holds the lease.
    Rest,
    /// The next run of the queue holds the lease. The caller must start it.
    Handed(String),
    /// The run did not hold the lease.
    NotHeld,
}

/// Records of runs and jobs, and leases. Every write is conditional, so no call overwrites the result of another.
#[port]
pub trait Ledger: Send + Sync {
    /// Reads a run.
    async fn run(&self, run: &str) -> Result<Option<RunRecord>>;
    /// Reads all jobs of a run, ordered by position.
    async fn jobs(&self, run: &str) -> Result<Vec<JobRecord>>;
    /// Reads a job.
    async fn job(&self, run: &str, job: &str) -> Result<Option<JobRecord>>;

    /// Reads the lease of a workflow; `None` if the workflow has never run.
    async fn lease(&self, workflow: &str) -> Result<Option<Lease>>;

    /// Writes a run, its jobs and its lease, all or nothing. If a planner crashed while it wrote a large plan, the next
    /// call for the same request takes over.
    async fn open(&self, opening: &Opening) -> Result<Opened>;

    /// Begins the execution of a run: PENDING or QUEUED becomes RUNNING, and the lease is renewed. Idempotent.
    async fn begin(&self, workflow: &str, run: &str, now: Timestamp, lease_until: Timestamp) -> Result<Begun>;

    /// Records the intent to submit a job before the submission. The job becomes RUNNING with this token.
    /// `submitted_ts` is set to `now` unless an earlier launcher of the same attempt and part has set it. A job that
    /// ended, or that waits for upstreams, is returned unchanged.
    async fn claim(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord>;

    /// Takes a step of a job if the job has this attempt and part and has not ended.
    async fn advance(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced>;

    /// Sets the number of rows of a job that succeeded, and returns the job. Idempotent.
    async fn count(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord>;

    /// Removes `upstream`, which ended, from the dependent's `waiting_on`, and adds `failed` to its
    /// `failed_upstreams`. Returns the dependent, which may run if `waiting_on` is empty. Idempotent.
    async fn free(&self, run: &str, dependent: &str, upstream: &str, failed: &BTreeSet<String>) -> Result<JobRecord>;

    /// Ends a run unless it has ended before. The first value is true if this call ended it.
    async fn finish(&self, run: &str, status: Status, error: Option<&str>, now: Timestamp)
    -> Result<(bool, RunRecord)>;

    /// Releases the lease that `run` holds. The first run of the queue takes it, with expiry `until`.
    async fn release(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released>;

    /// Takes a slot of a pool for a job, if a slot is free. Returns true if the job has a slot, by this or an earlier call.
    async fn take_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<bool>;

    /// Does what [`Ledger::take_slot`] does, and adds the job to the queue of the pool if no slot is free. A job is in a queue
    /// once. A full queue ([`SLOT_QUEUE`](shiftwork_protocol::limits::SLOT_QUEUE)) does not take the job.
    async fn request_slot(&self, pool: &SlotPool, holder: &SlotHolder, now: Timestamp) -> Result<bool>;

    /// Gives back the slot of a job, or its place in the queue, and gives the free slots of the pool to jobs of the queue
    /// ([`Slots::next`]). Returns these jobs. Idempotent; another call does not return them again.
    async fn return_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<Vec<SlotHolder>>;

    /// Reads the slots of a pool, by its name.
    async fn slots(&self, pool: &str) -> Result<Slots>;
}
