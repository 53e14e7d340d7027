//! The status of a run or a job.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The status of a run or a job. The audit tables, the events and the CLI show the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Run: the plan is being written. No job of the run can start.
    Planning,
    /// Run: waits for another run of its workflow to end (`on_overlap: queue`).
    Queued,
    /// Run: planned, not started. Job: waits for its upstreams or for its next attempt.
    Pending,
    /// Run: its execution is running. Job: an attempt was submitted or is about to be submitted.
    Running,
    /// Ended without an error.
    Succeeded,
    /// Ended with an error; `error_message` has the reason.
    Failed,
    /// Job: did not end within its `timeout`, and its statement was cancelled.
    TimedOut,
    /// Stopped by a cancel request, a stopped execution, or the loss of the lease.
    Aborted,
    /// Never ran. Job: its `run_if` was not met; [`SkipReason`] says why. Run: it overlapped another run
    /// (`on_overlap: skip`).
    Skipped,
}

impl Status {
    /// Every status, in the order in which a run or a job goes through them.
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

    /// The text in tables, events and the CLI.
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

    /// Returns true if the status never changes again.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Planning | Self::Queued | Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Aborted | Self::Skipped => true,
        }
    }

    /// Returns true for a status that a person has to act on. A skipped job follows from a job that failed, or was not
    /// needed; a skipped run was requested.
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

/// The reason why a job was skipped. It decides what the jobs after it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// `run_if: one_failed`, and no job before it failed. The job was not needed; jobs after it run.
    ConditionNotMet,
    /// `run_if: all_success`, and a job before it failed or was itself skipped for this reason. Jobs after it treat it
    /// as a job that failed.
    UpstreamFailed,
}

impl SkipReason {
    /// The text in tables and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConditionNotMet => "condition_not_met",
            Self::UpstreamFailed => "upstream_failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SkipReason, Status};

    #[test]
    fn the_stored_text_equals_the_serialised_text() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), serde_json::json!(status.as_str()));
        }
        for reason in [SkipReason::ConditionNotMet, SkipReason::UpstreamFailed] {
            assert_eq!(serde_json::to_value(reason).unwrap(), serde_json::json!(reason.as_str()));
        }
    }
}
