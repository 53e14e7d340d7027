//! Messages to SQS queues: requests for runs, dead letters.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use shiftwork_ports::{DEAD_LETTER_BYTES, DeadLetters, Requests, Result, WorkQueue};
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest, work_item::WorkItem};

use crate::failures::Call;

/// Longest `DelaySeconds` (SQS API reference).
const LONGEST_DELAY: i32 = 15 * 60;
/// Messages of one `SendMessageBatch`.
const BATCH: usize = 10;

/// [`Requests`] over the request queue.
#[derive(Debug, Clone)]
pub struct SqsRequests {
    client: Client,
    url: String,
}

impl SqsRequests {
    /// Over the queue of this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

#[async_trait]
impl Requests for SqsRequests {
    async fn ask(&self, request: &RunRequest, after: Duration) -> Result<()> {
        let call = Call::new("SQS SendMessage", &self.url);
        let body = serde_json::to_string(request).map_err(|error| call.failure(FailureKind::InvalidRequest, error))?;
        let delay = i32::try_from(after.as_secs() + u64::from(after.subsec_nanos() > 0)).unwrap_or(LONGEST_DELAY);
        let message = self.client.send_message().queue_url(&self.url).message_body(body);
        let sent = message.delay_seconds(delay.min(LONGEST_DELAY)).send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

/// [`DeadLetters`] over the dead-letter queue of change data.
#[derive(Debug, Clone)]
pub struct SqsDeadLetters {
    client: Client,
    url: String,
}

impl SqsDeadLetters {
    /// Over the queue of this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }

    async fn send(&self, letters: &[String]) -> Result<()> {
        let call = Call::new("SQS SendMessageBatch", &self.url);
        let entry = |(n, letter): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(letter).build()
        };
        let entries: std::result::Result<Vec<_>, _> = letters.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| call.failure(FailureKind::Refused, error))?;
        let sent = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        match sent.map_err(|error| call.failed(error))?.failed().first() {
            None => Ok(()),
            Some(failed) => {
                let kind = if failed.sender_fault() { FailureKind::Refused } else { FailureKind::Unavailable };
                Err(call.failure(kind, format_args!("{}: {}", failed.code(), failed.message().unwrap_or_default())))
            }
        }
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    async fn put(&self, letters: &[String]) -> Result<()> {
        if let Some(long) = letters.iter().find(|letter| letter.len() > DEAD_LETTER_BYTES) {
            let words = format!("a dead letter of {} bytes; a message holds {DEAD_LETTER_BYTES}", long.len());
            return Err(Failure::new(FailureKind::Refused, words));
        }
        for batch in batches(letters) {
            self.send(batch).await?;
        }
        Ok(())
    }
}

/// [`WorkQueue`] over the queue of work items.
#[derive(Debug, Clone)]
pub struct SqsWorkItems {
    client: Client,
    url: String,
}

impl SqsWorkItems {
    /// Over the queue of this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

#[async_trait]
impl WorkQueue for SqsWorkItems {
    async fn hand_out(&self, item: &WorkItem) -> Result<()> {
        let call = Call::new("SQS SendMessage", &self.url);
        let body = serde_json::to_string(item).map_err(|error| call.failure(FailureKind::Refused, error))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

/// Runs of at most ten letters that together are no longer than a message may be: the limit of a batch is the same.
fn batches(letters: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, letter) in letters.iter().enumerate() {
        if at > from && (at - from == BATCH || bytes + letter.len() > DEAD_LETTER_BYTES) {
            batches.push(&letters[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += letter.len();
    }
    if from < letters.len() {
        batches.push(&letters[from..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::{DEAD_LETTER_BYTES, batches};

    #[test]
    fn a_batch_holds_ten_letters_and_no_more_bytes_than_a_message() {
        let letters: Vec<_> =
            (0..25).map(|_| "x".to_owned()).chain((0..3).map(|_| "y".repeat(DEAD_LETTER_BYTES / 2))).collect();
        let batches = batches(&letters);
        assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [10, 10, 6, 2]);
        assert_eq!(batches.concat(), letters);
        for batch in batches {
            assert!(batch.iter().map(String::len).sum::<usize>() <= DEAD_LETTER_BYTES);
        }
        assert!(super::batches(&[]).is_empty());
    }
}
