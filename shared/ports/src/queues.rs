//! Queues that shiftwork sends messages to.

use std::time::Duration;

use shiftwork_port_macro::port;
use shiftwork_protocol::payload::RunRequest;

use crate::Result;

/// The queue of requests for runs.
#[port]
pub trait Requests: Send + Sync {
    /// Requests a run after a delay of at most 15 minutes. Requests with the same run id start one run.
    async fn request(&self, request: &RunRequest, after: Duration) -> Result<()>;
}

/// A dead-letter queue, whose messages a person has to handle. Messages are delivered at least once.
#[port]
pub trait DeadLetters: Send + Sync {
    /// Sends messages, each of at most [`DEAD_LETTER_BYTES`].
    async fn put(&self, messages: &[String]) -> Result<()>;
}

/// Maximum size of a message of a dead-letter queue in bytes. SQS allows 1 MiB since August 2025 and allowed 256 KiB
/// before; tools that redrive messages may support only the earlier limit.
pub const DEAD_LETTER_BYTES: usize = 256 * 1024;
