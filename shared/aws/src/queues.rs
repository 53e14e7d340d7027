//! SQS queues: requests for runs, dead messages and work items.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use shiftwork_ports::{DEAD_LETTER_BYTES, DeadLetters, Requests, Result, WorkQueue};
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest, work_item::WorkItem};

use crate::failures::Call;

/// Maximum `DelaySeconds` (SQS API reference).
const LONGEST_DELAY: i32 = 15 * 60;
/// Maximum number of messages of one `SendMessageBatch`.
const BATCH: usize = 10;

/// [`Requests`] over the request queue.
#[derive(Debug, Clone)]
pub struct SqsRequests {
    client: Client,
    url: String,
}

impl SqsRequests {
    /// Makes the adapter for the queue with this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

#[async_trait]
impl Requests for SqsRequests {
    async fn request(&self, request: &RunRequest, after: Duration) -> Result<()> {
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
    /// Makes the adapter for the queue with this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }

    async fn send(&self, messages: &[String]) -> Result<()> {
        let call = Call::new("SQS SendMessageBatch", &self.url);
        let entry = |(n, letter): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(letter).build()
        };
        let entries: std::result::Result<Vec<_>, _> = messages.iter().enumerate().map(entry).collect();
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
    async fn put(&self, messages: &[String]) -> Result<()> {
        if let Some(long) = messages.iter().find(|letter| letter.len() > DEAD_LETTER_BYTES) {
            let message = format!(
                "a dead letter has {} bytes, which is above the limit of {DEAD_LETTER_BYTES} bytes",
                long.len()
            );
            return Err(Failure::new(FailureKind::Refused, message));
        }
        for batch in batches(messages) {
            self.send(batch).await?;
        }
        Ok(())
    }
}

/// [`WorkQueue`] over the work item queue.
#[derive(Debug, Clone)]
pub struct SqsWorkItems {
    client: Client,
    url: String,
}

impl SqsWorkItems {
    /// Makes the adapter for the queue with this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

#[async_trait]
impl WorkQueue for SqsWorkItems {
    async fn send(&self, item: &WorkItem) -> Result<()> {
        let call = Call::new("SQS SendMessage", &self.url);
        let body = serde_json::to_string(item).map_err(|error| call.failure(FailureKind::Refused, error))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

/// Splits messages into batches of at most ten messages whose total size is at most that of one message, which is also
/// the limit of a batch.
fn batches(messages: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, letter) in messages.iter().enumerate() {
        if at > from && (at - from == BATCH || bytes + letter.len() > DEAD_LETTER_BYTES) {
            batches.push(&messages[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += letter.len();
    }
    if from < messages.len() {
        batches.push(&messages[from..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::{DEAD_LETTER_BYTES, batches};

    #[test]
    fn a_batch_has_at_most_ten_messages_and_the_bytes_of_one() {
        let messages: Vec<_> =
            (0..25).map(|_| "x".to_owned()).chain((0..3).map(|_| "y".repeat(DEAD_LETTER_BYTES / 2))).collect();
        let batches = batches(&messages);
        assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [10, 10, 6, 2]);
        assert_eq!(batches.concat(), messages);
        for batch in batches {
            assert!(batch.iter().map(String::len).sum::<usize>() <= DEAD_LETTER_BYTES);
        }
        assert!(super::batches(&[]).is_empty());
    }
}
