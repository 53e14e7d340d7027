//! Messages of an SQS queue, from an event source mapping with `ReportBatchItemFailures`.

use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shiftwork_protocol::{Failure, FailureKind};
use tracing::Instrument as _;

use crate::{Result, log};

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Id of the message, assigned by SQS.
    #[serde(rename = "messageId")]
    pub id: String,
    /// Body of the message.
    #[serde(default)]
    pub body: String,
    /// ARN of the queue.
    #[serde(rename = "eventSourceARN", default)]
    pub queue_arn: String,
}

#[derive(Deserialize)]
struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<Message>,
}

/// The response of the function. SQS delivers the listed messages again, or moves them to the dead-letter queue, and
/// deletes the other messages.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl BatchResponse {
    fn fail(&mut self, message: &Message) {
        self.batch_item_failures.push(BatchItemFailure { item_identifier: message.id.clone() });
    }
}

/// Reads the messages of an event; `None` if the event is not from SQS.
///
/// # Errors
/// [`FailureKind::InvalidRequest`]: the event is from SQS but cannot be read.
pub fn of_event(event: &Value) -> Result<Option<Vec<Message>>> {
    if event["Records"][0]["eventSource"] != "aws:sqs" {
        return Ok(None);
    }
    SqsEvent::deserialize(event).map(|event| Some(event.records)).map_err(|error| {
        Failure::new(FailureKind::InvalidRequest, format!("the messages of the queue cannot be read: {error}"))
    })
}

/// Handles each message by itself, at most `at_once` concurrently. A failure affects only its message. Returns the
/// results of the other messages, in the order in which they ended.
pub async fn each<T>(
    messages: &[Message],
    at_once: usize,
    handle: impl AsyncFn(&Message) -> Result<T>,
) -> (Vec<T>, BatchResponse) {
    let (mut results, mut response) = (Vec::new(), BatchResponse::default());
    let handled = stream::iter(messages).map(async |message| {
        let span = log::message(&message.id);
        let result = handle(message).instrument(span.clone()).await;
        if let Err(failure) = &result {
            span.in_scope(|| tracing::error!(failure = failure.kind.name(), "{failure}"));
        }
        (message, result)
    });
    let mut handled = std::pin::pin!(handled.buffer_unordered(at_once));
    while let Some((message, result)) = handled.next().await {
        match result {
            Ok(result) => results.push(result),
            Err(_) => response.fail(message),
        }
    }
    (results, response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_failure_affects_only_its_message() {
        let record = |id: &str, body: &str| json!({ "eventSource": "aws:sqs", "eventSourceARN": "arn:queue", "messageId": id, "body": body });
        let event = json!({ "Records": [record("a", "1"), record("b", "x"), record("c", "3"), record("d", "")] });
        let messages = of_event(&event).unwrap().unwrap();
        assert_eq!(messages[0], Message { id: "a".into(), body: "1".into(), queue_arn: "arn:queue".into() });
        for at_once in [1, 16] {
            let (mut numbers, response) = each(&messages, at_once, async |message| {
                let number = message.body.parse::<u32>();
                number.map_err(|error| Failure::new(FailureKind::InvalidRequest, error.to_string()))
            })
            .await;
            numbers.sort_unstable();
            assert_eq!(numbers, [1, 3]);
            let failed = json!({ "batchItemFailures": [{ "itemIdentifier": "b" }, { "itemIdentifier": "d" }] });
            assert_eq!(json!(response), failed);
        }
        assert_eq!(json!(each(&[], 1, async |_| Ok(())).await.1), json!({ "batchItemFailures": [] }));
    }

    #[test]
    fn an_event_of_another_source_is_none() {
        for event in [json!({}), json!({ "Records": [] }), json!({ "Records": [{ "eventSource": "aws:s3" }] })] {
            assert_eq!(of_event(&event), Ok(None));
        }
        let event = json!({ "Records": [{ "eventSource": "aws:sqs", "body": "1" }] });
        assert!(of_event(&event).unwrap_err().message.contains("messageId"));
    }
}
