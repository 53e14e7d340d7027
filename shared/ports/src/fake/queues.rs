use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest};

use super::lock;
use crate::{DEAD_LETTER_BYTES, DeadLetters, Requests, Result};

/// Requests for runs, kept.
#[derive(Debug, Default)]
pub struct MemoryRequests(Mutex<Vec<(RunRequest, Duration)>>);

impl MemoryRequests {
    /// Every request so far.
    pub fn asked(&self) -> Vec<(RunRequest, Duration)> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl Requests for MemoryRequests {
    async fn ask(&self, request: &RunRequest, after: Duration) -> Result<()> {
        lock(&self.0).push((request.clone(), after));
        Ok(())
    }
}

/// Dead letters, kept.
#[derive(Debug, Default)]
pub struct MemoryDeadLetters(Mutex<Vec<String>>);

impl MemoryDeadLetters {
    /// Every letter so far.
    pub fn letters(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn put(&self, letters: &[String]) -> Result<()> {
        if letters.iter().any(|letter| letter.len() > DEAD_LETTER_BYTES) {
            return Err(Failure::new(FailureKind::Refused, "a letter is longer than a message may be"));
        }
        lock(&self.0).extend_from_slice(letters);
        Ok(())
    }
}
