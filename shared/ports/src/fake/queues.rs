use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest};

use super::lock;
use crate::{DEAD_LETTER_BYTES, DeadLetters, Requests, Result};

/// Stores requests for runs.
#[derive(Debug, Default)]
pub struct MemoryRequests(Mutex<Vec<(RunRequest, Duration)>>);

impl MemoryRequests {
    /// All requests with their delays.
    pub fn requests(&self) -> Vec<(RunRequest, Duration)> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl Requests for MemoryRequests {
    async fn request(&self, request: &RunRequest, after: Duration) -> Result<()> {
        lock(&self.0).push((request.clone(), after));
        Ok(())
    }
}

/// Stores dead messages.
#[derive(Debug, Default)]
pub struct MemoryDeadLetters(Mutex<Vec<String>>);

impl MemoryDeadLetters {
    /// All messages.
    pub fn messages(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn put(&self, messages: &[String]) -> Result<()> {
        if messages.iter().any(|letter| letter.len() > DEAD_LETTER_BYTES) {
            return Err(Failure::new(FailureKind::Refused, "a message is larger than the limit"));
        }
        lock(&self.0).extend_from_slice(messages);
        Ok(())
    }
}
