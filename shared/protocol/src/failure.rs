//! Every failure has one name, and one class that says what to do about it.
//!
//! The names are what Step Functions' `Retry` and `Catch` match and what `docs/errors` explains, one page a name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try the same thing again, later.
    Retryable,
    /// Trying again changes nothing until a person mends something.
    Terminal,
    /// It was done already; take what is there.
    Duplicate,
}

/// The failures that shiftwork knows. [`FailureKind::name`] is what a state machine sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum FailureKind {
    /// An AWS API asked for fewer calls.
    Throttled,
    /// A call did not reach AWS, or its answer did not reach us. The work may have been done.
    Unavailable,
    /// Redshift's limit of active statements is reached.
    ActiveStatementsExceeded,
    /// Redshift 1023: another transaction came between. Nothing was committed.
    SerializationConflict,
    /// Redshift lost the connection under a running statement, or restarted.
    ConnectionLost,
    /// Redshift refused or failed the SQL.
    StatementFailed,
    /// Somebody cancelled the statement.
    StatementAborted,
    /// The launcher kept failing, and the state machine gave up on it.
    LaunchFailed,
    /// The job did not end within its timeout.
    TimedOut,
    /// AWS refused the request as malformed.
    Refused,
    /// A permission is missing.
    AccessDenied,
    /// A script is missing, or is not what the plan pinned.
    ScriptUnreadable,
    /// No such workflow.
    UnknownWorkflow,
    /// The workflow's configuration, its scripts or the request's parameters do not hold together.
    InvalidWorkflow,
    /// The request itself cannot be read.
    InvalidRequest,
    /// Another run of the workflow is under way, and `on_overlap` is `fail`.
    RunOverlaps,
    /// The lease of the run is somebody else's by now.
    LeaseLost,
    /// A table holds something that shiftwork did not write, or a record is missing.
    Corrupt,
    /// A conditional write lost: another invocation was first.
    AlreadyDone,
}

impl FailureKind {
    /// Every failure.
    pub const ALL: [Self; 19] = [
        Self::Throttled,
        Self::Unavailable,
        Self::ActiveStatementsExceeded,
        Self::SerializationConflict,
        Self::ConnectionLost,
        Self::StatementFailed,
        Self::StatementAborted,
        Self::LaunchFailed,
        Self::TimedOut,
        Self::Refused,
        Self::AccessDenied,
        Self::ScriptUnreadable,
        Self::UnknownWorkflow,
        Self::InvalidWorkflow,
        Self::InvalidRequest,
        Self::RunOverlaps,
        Self::LeaseLost,
        Self::Corrupt,
        Self::AlreadyDone,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "Shiftwork.Throttled",
            Self::Unavailable => "Shiftwork.Unavailable",
            Self::ActiveStatementsExceeded => "Shiftwork.ActiveStatementsExceeded",
            Self::SerializationConflict => "Shiftwork.SerializationConflict",
            Self::ConnectionLost => "Shiftwork.ConnectionLost",
            Self::StatementFailed => "Shiftwork.StatementFailed",
            Self::StatementAborted => "Shiftwork.StatementAborted",
            Self::LaunchFailed => "Shiftwork.LaunchFailed",
            Self::TimedOut => "Shiftwork.TimedOut",
            Self::Refused => "Shiftwork.Refused",
            Self::AccessDenied => "Shiftwork.AccessDenied",
            Self::ScriptUnreadable => "Shiftwork.ScriptUnreadable",
            Self::UnknownWorkflow => "Shiftwork.UnknownWorkflow",
            Self::InvalidWorkflow => "Shiftwork.InvalidWorkflow",
            Self::InvalidRequest => "Shiftwork.InvalidRequest",
            Self::RunOverlaps => "Shiftwork.RunOverlaps",
            Self::LeaseLost => "Shiftwork.LeaseLost",
            Self::Corrupt => "Shiftwork.Corrupt",
            Self::AlreadyDone => "Shiftwork.AlreadyDone",
        }
    }

    /// What to do about it.
    pub const fn class(self) -> Class {
        match self {
            Self::Throttled
            | Self::Unavailable
            | Self::ActiveStatementsExceeded
            | Self::SerializationConflict
            | Self::ConnectionLost => Class::Retryable,
            Self::StatementFailed
            | Self::StatementAborted
            | Self::LaunchFailed
            | Self::TimedOut
            | Self::Refused
            | Self::AccessDenied
            | Self::ScriptUnreadable
            | Self::UnknownWorkflow
            | Self::InvalidWorkflow
            | Self::InvalidRequest
            | Self::RunOverlaps
            | Self::LeaseLost
            | Self::Corrupt => Class::Terminal,
            Self::AlreadyDone => Class::Duplicate,
        }
    }

    /// Reads a name that Step Functions hands back.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A failure with the words for a person: what happened, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which one.
    pub kind: FailureKind,
    /// The words.
    pub message: String,
}

impl Failure {
    /// A failure of a kind, with its words.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A record that should be there is not, or does not read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Corrupt, message)
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind;

    #[test]
    fn names_are_distinct_and_read_back() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_name(kind.name()), Some(kind));
        }
    }
}
