//! Queues that messages are sent to.

use std::time::Duration;

use shiftwork_port_macro::port;
use shiftwork_protocol::payload::RunRequest;

use crate::Result;

/// The queue of requests for runs.
#[port]
pub trait Requests: Send + Sync {
    /// Requests a run after a delay of at most 15 minutes. Again with the same run id: the same run.
    async fn ask(&self, request: &RunRequest, after: Duration) -> Result<()>;
}

/// A dead-letter queue: messages that need a person. Delivered at least once.
#[port]
pub trait DeadLetters: Send + Sync {
    /// Puts messages, each of at most [`DEAD_LETTER_BYTES`].
    async fn put(&self, messages: &[String]) -> Result<()>;
}

/// The largest message of a dead-letter queue, in bytes. SQS has taken 1 MiB since August 2025 and took 256 KiB before; tools
/// that redrive messages may know only the latter.
pub const DEAD_LETTER_BYTES: usize = 256 * 1024;
