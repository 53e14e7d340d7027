//! The ports of shiftwork: one trait for each external service, in shiftwork's own terms.
//!
//! `shiftwork-aws` implements the ports over AWS and [`fake`] in memory; [`conformance`] tests both against the same
//! specification. Every method may be repeated after a crash or a lost response, and its documentation says what a
//! repeated call does.

// `#[port]` names this crate so, in here as in other crates.
extern crate self as shiftwork_ports;

mod cache;
mod catalog;
#[cfg(feature = "fakes")]
pub mod conformance;
mod engine;
#[cfg(feature = "fakes")]
pub mod fake;
mod files;
mod ledger;
pub mod log;
pub mod messages;
mod objects;
mod queues;
pub mod scripts;
mod warehouse;

use jiff::Timestamp;
use serde_json::Value;
use shiftwork_port_macro::port;
use shiftwork_protocol::{
    Connection, Failure, RunRecord,
    event::{DriftFound, Event, FilesLate},
    payload::{JobEnd, RunInput},
};

pub use cache::Cache;
pub use catalog::Catalog;
pub use engine::{AttemptState, Engine, EngineReport, Engines, Listed, Progress, Steps, UNKNOWN_STEPS};
pub use files::{AdvancedFile, FileRegister, WorkQueue};
pub use ledger::{Advanced, Begun, End, LeaseRequest, Ledger, Opened, Opening, Released, Step, Totals};
pub use objects::{
    Bucket, Changed, Condition, KmsEncryption, ListedObject, MAX_SMALL_OBJECT_BYTES, NewObject, ObjectHead,
    ObjectStream, ObjectVersion, Objects, OpenObject, Page, StoredObject, Version,
};
pub use queues::{DEAD_LETTER_BYTES, DeadLetters, Requests};
pub use scripts::ScriptText;
pub use warehouse::{Row, Session, Submission, Warehouse, failure_kind, steps_reached};

/// Result of a port. Adapters classify the failures of the services they call.
pub type Result<T> = std::result::Result<T, Failure>;

/// Task tokens of Step Functions. Each method succeeds without effect if the token is closed: used before, timed out,
/// or of an execution that was stopped.
#[port]
pub trait TaskTokens: Send + Sync {
    /// Completes the Await state of a job: the state machine continues with Launch.
    async fn release(&self, token: &str) -> Result<()>;
    /// Completes the Launch state of a job that ended, whatever its status. The audit table has the status already.
    async fn end(&self, token: &str, end: &JobEnd) -> Result<()>;
    /// Fails a task with a name that the state machine's `Retry` and `Catch` match.
    async fn fail(&self, token: &str, failure: &Failure) -> Result<()>;
    /// Returns a job with another part or attempt to the Launch state at once.
    async fn proceed(&self, token: &str) -> Result<()>;
    /// Returns a job with another attempt to the Launch state at this time.
    async fn pause(&self, token: &str, until: Timestamp) -> Result<()>;
    /// Returns a job that waits for a slot to the Await state.
    async fn wait(&self, token: &str) -> Result<()>;
}

/// Error name of [`TaskTokens::proceed`]. It is not a failure: an error is the only result of a task that leads to
/// another state.
pub const PROCEED: &str = "Shiftwork.Proceed";
/// Error name of [`TaskTokens::wait`]. It is not a failure either.
pub const WAIT: &str = "Shiftwork.Wait";

/// Error name of [`TaskTokens::pause`]. Its cause is the time as text, which the Wait state reads.
pub const PAUSE: &str = "Shiftwork.Pause";

/// An execution of the run state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// The execution is running.
    Running,
    /// The execution has ended.
    Closed {
        /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`, followed by the error and the cause that Step Functions
        /// reports, if any.
        reason: String,
    },
}

/// The run state machine. An execution's name is the run's id.
#[port]
pub trait Executions: Send + Sync {
    /// Starts the execution of a run. Succeeds if it was started before, running or ended.
    async fn start(&self, input: &RunInput) -> Result<()>;
    /// Returns the state of a run's execution; `None` if it was never started.
    async fn state(&self, run: &str) -> Result<Option<Execution>>;
    /// Stops the execution of a run. Succeeds if it has ended.
    async fn stop(&self, run: &str, cause: &str) -> Result<()>;
}

/// The configuration table.
#[port]
pub trait Configuration: Send + Sync {
    /// Reads a workflow as it was pushed, without validation.
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>>;
    /// Reads a named connection.
    async fn connection(&self, name: &str) -> Result<Option<Connection>>;
    /// Returns the workflows with triggers.
    async fn triggered(&self) -> Result<Vec<Value>>;
}

/// Events on EventBridge, and notifications to people.
#[port]
pub trait Notices: Send + Sync {
    /// Publishes events. They are delivered at least once.
    async fn publish(&self, events: &[Event]) -> Result<()>;
    /// Notifies people that a run did not succeed, with its first error and the command that restarts it.
    async fn alert(&self, run: &RunRecord) -> Result<()>;
    /// Notifies people of fields without a column, with the command that adds columns.
    async fn drift(&self, found: &DriftFound) -> Result<()>;
    /// Notifies people that files of a feed are late.
    async fn late(&self, late: &FilesLate) -> Result<()>;
}

/// Schedules of the sweeps: one schedule per run, which invokes job-callback once a minute while the run is in progress.
#[port]
pub trait Sweeps: Send + Sync {
    /// Creates the schedule of a run. Succeeds if it exists.
    async fn watch(&self, run: &str, now: Timestamp) -> Result<()>;
    /// Deletes the schedule of a run. Succeeds if it does not exist.
    async fn unwatch(&self, run: &str) -> Result<()>;
}

/// Source of the present time.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
