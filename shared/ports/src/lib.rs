//! What shiftwork needs from the world, in its own words: one trait a collaborator.
//!
//! `shiftwork-aws` implements them over AWS, [`fake`] in memory, and [`conformance`] holds both to the same behaviour.
//! Every method may be called again after a crash or a lost answer; each says what happens then.

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
pub use engine::{AttemptState, Engine, Engines, Progress};
pub use files::{AdvancedFile, FileRegister, WorkQueue};
pub use ledger::{Advanced, Begun, End, LeaseRequest, Ledger, Opened, Opening, Released, Step};
pub use objects::{
    Bucket, Changed, Condition, KmsEncryption, ListedObject, MAX_SMALL_OBJECT_BYTES, NewObject, ObjectHead,
    ObjectStream, ObjectVersion, Objects, OpenObject, Page, StoredObject, Version,
};
pub use queues::{DEAD_LETTER_BYTES, DeadLetters, Requests};
pub use scripts::ScriptText;
pub use warehouse::{Row, Submission, Warehouse, failure_kind};

/// Result of every port: our own failures, classified where they arise.
pub type Result<T> = std::result::Result<T, Failure>;

/// Step Functions' task tokens. A token that is closed already (answered, timed out, its execution stopped) is a success:
/// whoever closed it was first.
#[port]
pub trait TaskTokens: Send + Sync {
    /// An await is over: the state machine goes on to Launch.
    async fn release(&self, token: &str) -> Result<()>;
    /// A job ended, well or not; the audit has it already.
    async fn end(&self, token: &str, end: &JobEnd) -> Result<()>;
    /// A task failed under a name that the state machine's `Retry` and `Catch` know.
    async fn fail(&self, token: &str, failure: &Failure) -> Result<()>;
    /// The job has more to submit: the state machine goes back to Launch at once.
    async fn proceed(&self, token: &str) -> Result<()>;
}

/// Error name of [`TaskTokens::proceed`]: no failure, but the only word that leads from a waiting task to another state.
pub const PROCEED: &str = "Shiftwork.Proceed";

/// An execution of the run state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// It runs.
    Running,
    /// It ended: the run can do nothing any more.
    Closed {
        /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`, with Step Functions' error and cause where there are any.
        reason: String,
    },
}

/// The run state machine. An execution's name is the run's id.
#[port]
pub trait Executions: Send + Sync {
    /// Starts the execution; one that was started before is a success, running or ended.
    async fn start(&self, input: &RunInput) -> Result<()>;
    /// How it stands; `None` when it was never started.
    async fn state(&self, run: &str) -> Result<Option<Execution>>;
    /// Stops it; one that ended already is no failure.
    async fn stop(&self, run: &str, cause: &str) -> Result<()>;
}

/// The configuration table.
#[port]
pub trait Configuration: Send + Sync {
    /// A workflow as it was pushed, unvalidated.
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>>;
    /// A named connection.
    async fn connection(&self, name: &str) -> Result<Option<Connection>>;
    /// Every workflow that events can start.
    async fn triggered(&self) -> Result<Vec<Value>>;
}

/// What goes out: EventBridge events, and a message to people when a run did not succeed.
#[port]
pub trait Notices: Send + Sync {
    /// Publishes events. Delivered at least once.
    async fn publish(&self, events: &[Event]) -> Result<()>;
    /// Tells people that a run failed: its first error, and the command that restarts it.
    async fn alert(&self, run: &RunRecord) -> Result<()>;
    /// Tells people that a source sends what no column takes, and the command that takes it in.
    async fn drift(&self, found: &DriftFound) -> Result<()>;
    /// Tells people that files of a feed are late.
    async fn late(&self, late: &FilesLate) -> Result<()>;
}

/// The safety net: a schedule of a run's own that wakes job-callback once a minute while the run lives. Nothing is
/// scheduled between runs.
#[port]
pub trait Sweeps: Send + Sync {
    /// Starts to watch a run; again is no failure.
    async fn watch(&self, run: &str, now: Timestamp) -> Result<()>;
    /// Stops; a run that is not watched is no failure.
    async fn unwatch(&self, run: &str) -> Result<()>;
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
