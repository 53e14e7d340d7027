//! The ledger: the audit of runs and jobs, which is at once the state that the functions coordinate over, and the leases.

use jiff::Timestamp;
use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, Cancelling, FailedAttempt, FailureKind, JobRecord, Lease, RunRecord, Status};

use crate::Result;

/// A run that is about to exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// The run, with the status that it is to have once all is written.
    pub run: RunRecord,
    /// Its jobs; none for a run that is only put on record.
    pub jobs: Vec<JobRecord>,
    /// What it wants of the workflow's lease.
    pub lease: LeaseRequest,
}

/// What a run wants of the lease when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    /// Hold it until then.
    Take {
        /// By when the run must have begun.
        until: Timestamp,
    },
    /// Wait behind its holder.
    Queue,
    /// Nothing: the run is only put on record.
    Leave,
}

/// What became of an [`Opening`].
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// Run, jobs and lease are written, all or nothing.
    New,
    /// The run exists already.
    Existing(Box<RunRecord>),
    /// Another invocation is writing this run at this moment.
    BeingPlanned,
    /// Wanted the lease; a run holds it. Nothing was written.
    Held {
        /// That run.
        holder: String,
        /// When its right ends.
        expires_ts: Timestamp,
    },
    /// Wanted to queue; nobody holds the lease any more. Nothing was written.
    Free,
}

/// What became of a run's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It runs, now or since an earlier try, and its lease holds until the time given.
    Running,
    /// It ended already, or is not there.
    Ended,
    /// The lease is not its own any more: it must not run.
    LeaseLost,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// A terminal status.
    pub status: Status,
    /// The failure, unless it went well or was skipped.
    pub error: Option<FailureKind>,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// The statement, if there was one.
    pub statement_id: Option<String>,
    /// Rows, where Redshift counts them.
    pub rows: Option<i64>,
}

/// One step of a job's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It ends.
    End(End),
    /// This attempt failed, the next one follows: back to PENDING, with its first part.
    NextAttempt(FailedAttempt),
    /// Its statement is about to be cancelled, and why. The attempt goes on until Redshift says how it ended.
    Cancel(Cancelling),
    /// This part of the attempt is done, the next one follows.
    NextPart {
        /// The statement of the part that is done.
        statement_id: Option<String>,
    },
}

/// A job after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    /// True when this call made the step; false when the job had gone on already, and was left as it is.
    pub fresh: bool,
    /// The job as it now is.
    pub job: JobRecord,
}

/// What became of a lease that its holder gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// The workflow is at rest.
    Rest,
    /// The next run of the queue holds it now, and wants to be started.
    Handed(String),
    /// It was not the holder (any more).
    NotHeld,
}

/// Runs, jobs and leases. Every write is conditional; none overwrites what another invocation did.
#[port]
pub trait Ledger: Send + Sync {
    /// A run.
    async fn run(&self, run: &str) -> Result<Option<RunRecord>>;
    /// All jobs of a run, by their position.
    async fn jobs(&self, run: &str) -> Result<Vec<JobRecord>>;
    /// One job.
    async fn job(&self, run: &str, job: &str) -> Result<Option<JobRecord>>;

    /// The lease of a workflow; `None` when it never ran.
    async fn lease(&self, workflow: &str) -> Result<Option<Lease>>;

    /// Writes a run, its jobs and its lease, all or nothing. A planner that died halfway through a large plan is taken
    /// over by the next try of the same request.
    async fn open(&self, opening: &Opening) -> Result<Opened>;

    /// The execution of a run begins: PENDING or QUEUED becomes RUNNING and the lease is renewed. Again: the same.
    async fn begin(&self, workflow: &str, run: &str, now: Timestamp, lease_until: Timestamp) -> Result<Begun>;

    /// A launcher is about to submit: the intent, written before the act. The job becomes RUNNING under this token;
    /// `submitted_ts` is set to `now` unless an earlier launcher of the same attempt and part set it. A job that ended, or
    /// that still waits, is returned as it is.
    async fn claim(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord>;

    /// Takes a job one step on, if it still stands at exactly this attempt and part and has not ended.
    async fn advance(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced>;

    /// How many rows a job that ended well has loaded, where its end could not say so. Answers the job as it now is. Again: the same.
    async fn count(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord>;

    /// `upstream` ended: its dependent no longer waits on it, and remembers whether it went well. Answers the dependent as
    /// it now is: it may run when `waiting_on` is empty. Again: the same.
    async fn free(&self, run: &str, dependent: &str, upstream: &str, succeeded: bool) -> Result<JobRecord>;

    /// A run ends, unless it ended before. `fresh` as in [`Advanced`].
    async fn finish(&self, run: &str, status: Status, error: Option<&str>, now: Timestamp)
    -> Result<(bool, RunRecord)>;

    /// The holder gives its lease back; the first run of the queue takes it over until then.
    async fn release(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released>;
}
