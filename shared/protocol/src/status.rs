//! One enum for every status, spelt once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a run or a job stands. The text is what the audit tables, the events and the CLI show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// A run whose plan is still being written. No job of it can start.
    Planning,
    /// A run behind another one of its workflow (`on_overlap: queue`).
    Queued,
    /// Planned, not started; a job that waits for its upstreams or for its next attempt.
    Pending,
    /// A run whose execution works; a job whose statement was handed to Redshift, or is about to be.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error; `error_message` says which.
    Failed,
    /// Did not end within its `timeout`; its statement was cancelled.
    TimedOut,
    /// Stopped from outside: a cancel, a stopped execution, a lease that was taken over.
    Aborted,
    /// Never ran: a job whose `run_if` did not hold; a run that overlapped another (`on_overlap: skip`).
    Skipped,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Planning,
        Self::Queued,
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
        Self::Skipped,
    ];

    /// The text that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "PLANNING",
            Self::Queued => "QUEUED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
            Self::Skipped => "SKIPPED",
        }
    }

    /// True when nothing will change it any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Planning | Self::Queued | Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Aborted | Self::Skipped => true,
        }
    }

    /// True for an end that somebody has to look at. A skip is a consequence of one, or was asked for.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::TimedOut | Self::Aborted => true,
            Self::Planning | Self::Queued | Self::Pending | Self::Running | Self::Succeeded | Self::Skipped => false,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn the_stored_text_is_the_serialised_text() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), serde_json::json!(status.as_str()));
        }
    }
}
