//! What shiftwork needs from the world, in its own words: one trait a collaborator.
//!
//! `shiftwork-aws` implements them over AWS, [`fake`] in memory, and [`conformance`] holds both to the same behaviour.
//! Every method may be called again after a crash or a lost answer; each says what happens then.

mod change_data;
#[cfg(feature = "fakes")]
pub mod conformance;
pub mod documents;
#[cfg(feature = "fakes")]
pub mod fake;
mod ledger;
mod queries;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use shiftwork_protocol::{
    Attempt, Connection, Failure, RunRecord, ScriptPin, Transaction,
    event::{DriftFound, Event, FilesLate},
    payload::{JobEnd, RunInput},
};
use std::collections::BTreeMap;

pub use change_data::{
    ChangeFiles, DEAD_LETTER_BYTES, DeadLetters, FileStream, FileVersion, Object, Requests, Staging, Version,
};
pub use ledger::{Advanced, Begun, End, LeaseRequest, Ledger, Opened, Opening, Released, Step};
pub use queries::{Queries, Row};

/// Result of every port: our own failures, classified where they arise.
pub type Result<T> = std::result::Result<T, Failure>;

/// What is handed to Redshift in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its name; the idempotency key is made from it.
    pub name: Attempt,
    /// Where and as whom.
    pub connection: Connection,
    /// 1 to 40 statements.
    pub sqls: Vec<String>,
    /// How they commit.
    pub transaction: Transaction,
    /// Bound values, each used by at least one statement.
    pub parameters: BTreeMap<String, String>,
}

/// A statement as Redshift sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The Data API's id.
    pub id: String,
    /// Its name.
    pub name: Attempt,
    /// How far it is.
    pub progress: Progress,
}

/// How far a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Submitted, picked or started.
    Active,
    /// Ended well; with the rows of the (last) statement where Redshift counts them.
    Finished {
        /// Rows returned or changed.
        rows: Option<i64>,
    },
    /// Ended with an error.
    Failed {
        /// Redshift's message.
        message: String,
    },
    /// Cancelled.
    Aborted,
}

/// The Redshift Data API. Only the role that submitted a statement may see or cancel it.
#[async_trait]
pub trait Statements: Send + Sync {
    /// Hands statements to Redshift and answers the id. Again with the same name within 8 hours: the same id, and nothing
    /// runs twice.
    async fn submit(&self, submission: &Submission) -> Result<String>;
    /// The statement of exactly this name, if the Data API remembers one (24 hours).
    async fn find(&self, name: &Attempt, connection: &Connection) -> Result<Option<Statement>>;
    /// Every statement of a run that is still active.
    async fn active(&self, run: &str, connection: &Connection) -> Result<Vec<Statement>>;
    /// One statement by its id; `None` when the Data API does not know it (any more).
    async fn describe(&self, id: &str, name: &Attempt) -> Result<Option<Statement>>;
    /// The same, a few seconds later if it is active until then: what [`Statements::cancel`] is followed by.
    async fn outcome(&self, id: &str, name: &Attempt) -> Result<Option<Statement>>;
    /// Rows that the COPYs of a statement that ended well have loaded; `None` where it has none, or the Data API does not know it (any more).
    async fn copied(&self, id: &str, name: &Attempt) -> Result<Option<i64>>;
    /// Asks Redshift to stop a statement. One that ended already is no failure.
    async fn cancel(&self, id: &str) -> Result<()>;
}

/// Step Functions' task tokens. A token that is closed already (answered, timed out, its execution stopped) is a success:
/// whoever closed it was first.
#[async_trait]
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
#[async_trait]
pub trait Executions: Send + Sync {
    /// Starts the execution; one that was started before is a success, running or ended.
    async fn start(&self, input: &RunInput) -> Result<()>;
    /// How it stands; `None` when it was never started.
    async fn state(&self, run: &str) -> Result<Option<Execution>>;
    /// Stops it; one that ended already is no failure.
    async fn stop(&self, run: &str, cause: &str) -> Result<()>;
}

/// A script as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    /// Key in the scripts bucket.
    pub key: String,
    /// S3 version.
    pub version_id: String,
    /// The text.
    pub text: String,
}

/// The scripts bucket.
#[async_trait]
pub trait Scripts: Send + Sync {
    /// The newest version; `None` when there is no such key.
    async fn newest(&self, key: &str) -> Result<Option<ScriptText>>;
    /// Keys that begin so, with the tag of their newest version: another tag, another text.
    async fn tags(&self, prefix: &str) -> Result<BTreeMap<String, String>>;
    /// The very bytes that a plan pinned. `ScriptUnreadable` when the version is gone or its hash is another.
    async fn pinned(&self, pin: &ScriptPin) -> Result<String>;
}

/// The configuration table.
#[async_trait]
pub trait Configuration: Send + Sync {
    /// A workflow as it was pushed, unvalidated.
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>>;
    /// A named connection.
    async fn connection(&self, name: &str) -> Result<Option<Connection>>;
    /// Every workflow that events can start.
    async fn triggered(&self) -> Result<Vec<Value>>;
}

/// What goes out: EventBridge events, and a message to people when a run did not succeed.
#[async_trait]
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
#[async_trait]
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
