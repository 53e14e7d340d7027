//! Every failure has one name, and one class that says whether to retry.
//!
//! Step Functions' `Retry` and `Catch` match the names, and `docs/errors` explains each of them on a page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a caller treats a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Retry the same call later.
    Retryable,
    /// A retry fails as well until a person fixes the cause.
    Terminal,
    /// Another invocation already did the work. Continue with its result.
    Duplicate,
}

/// The failures of shiftwork. A state machine sees [`FailureKind::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum FailureKind {
    /// An AWS API throttled the call.
    Throttled,
    /// A call did not reach AWS, or its response was lost. The call may have taken effect.
    Unavailable,
    /// Redshift's limit of active statements was reached.
    ActiveStatementsExceeded,
    /// Redshift error 1023: a conflict with another transaction. Redshift rolled the transaction back.
    SerializationConflict,
    /// Redshift lost the connection of a running statement, or restarted.
    ConnectionLost,
    /// Redshift rejected the SQL, or the statement failed.
    StatementFailed,
    /// The attempt failed after it had committed a part of its work, or may have. A retry could repeat that part.
    MayHaveCommitted,
    /// The session in which the earlier statements of a script ran has ended, and a statement needs what they left in it.
    SessionLost,
    /// The statement was cancelled outside of shiftwork.
    StatementAborted,
    /// The launcher failed on every retry of the state machine.
    LaunchFailed,
    /// The job did not end within its timeout.
    TimedOut,
    /// AWS rejected the request as malformed.
    Refused,
    /// A function's role or a database user lacks a permission.
    AccessDenied,
    /// A script does not exist, or its content differs from the version that the plan pinned.
    ScriptUnreadable,
    /// The workflow does not exist.
    UnknownWorkflow,
    /// The workflow's configuration, its scripts or the request's parameters are invalid.
    InvalidWorkflow,
    /// The request cannot be read.
    InvalidRequest,
    /// Another run of the workflow is in progress, and `on_overlap` is `fail`.
    RunOverlaps,
    /// More runs started each other by their events than the deployment allows.
    ChainTooLong,
    /// The run no longer holds the lease of its workflow.
    LeaseLost,
    /// A table has an item that shiftwork did not write, or an expected item does not exist.
    Corrupt,
    /// A conditional write failed because another invocation wrote first.
    AlreadyDone,
}

impl FailureKind {
    /// Every failure.
    pub const ALL: [Self; 22] = [
        Self::Throttled,
        Self::Unavailable,
        Self::ActiveStatementsExceeded,
        Self::SerializationConflict,
        Self::ConnectionLost,
        Self::StatementFailed,
        Self::MayHaveCommitted,
        Self::SessionLost,
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
        Self::ChainTooLong,
        Self::LeaseLost,
        Self::Corrupt,
        Self::AlreadyDone,
    ];

    /// The name that state machines match and that `docs/errors` explains. It never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "Shiftwork.Throttled",
            Self::Unavailable => "Shiftwork.Unavailable",
            Self::ActiveStatementsExceeded => "Shiftwork.ActiveStatementsExceeded",
            Self::SerializationConflict => "Shiftwork.SerializationConflict",
            Self::ConnectionLost => "Shiftwork.ConnectionLost",
            Self::StatementFailed => "Shiftwork.StatementFailed",
            Self::MayHaveCommitted => "Shiftwork.MayHaveCommitted",
            Self::SessionLost => "Shiftwork.SessionLost",
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
            Self::ChainTooLong => "Shiftwork.ChainTooLong",
            Self::LeaseLost => "Shiftwork.LeaseLost",
            Self::Corrupt => "Shiftwork.Corrupt",
            Self::AlreadyDone => "Shiftwork.AlreadyDone",
        }
    }

    /// Whether to retry after this failure.
    pub const fn class(self) -> Class {
        match self {
            Self::Throttled
            | Self::Unavailable
            | Self::ActiveStatementsExceeded
            | Self::SerializationConflict
            | Self::ConnectionLost => Class::Retryable,
            Self::StatementFailed
            | Self::MayHaveCommitted
            | Self::SessionLost
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
            | Self::ChainTooLong
            | Self::LeaseLost
            | Self::Corrupt => Class::Terminal,
            Self::AlreadyDone => Class::Duplicate,
        }
    }

    /// Finds the failure by the name that Step Functions reports.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A failure with a message for a person: what happened, where, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind of failure.
    pub kind: FailureKind,
    /// Message for a person.
    pub message: String,
}

impl Failure {
    /// Makes a failure of a kind with a message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Makes a [`FailureKind::Corrupt`]: an expected item does not exist or cannot be read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Corrupt, message)
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind;

    #[test]
    fn every_name_reads_back_to_its_failure() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::from_name(kind.name()), Some(kind));
        }
    }
}
