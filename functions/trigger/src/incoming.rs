//! What can come in, told apart by its shape.

use aws_lambda_events::event::sqs::SqsEvent;
use serde::Deserialize;
use serde_json::Value;
use shiftwork_contract::{Failure, FailureKind, payload::RunRequest};

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request for one run: a person's, a program's, a schedule's.
    Request(Box<RunRequest>),
    /// Something happened; workflows say in their configuration whether it concerns them.
    Happened {
        /// Tells copies of this event from other events.
        id: String,
        /// The whole event.
        event: Value,
    },
    /// Messages of the request queue, each one of the above.
    Messages(SqsEvent),
}

/// Reads an event as Lambda hands it over.
pub(crate) fn read(event: Value) -> Result<Incoming, Failure> {
    if event.get("workflow_id").is_some() {
        return request(event).map(|request| Incoming::Request(Box::new(request)));
    }
    if event["Records"][0]["eventSource"] == "aws:sqs" {
        return SqsEvent::deserialize(event)
            .map(Incoming::Messages)
            .map_err(|error| unreadable(format!("the queue's messages cannot be read: {error}")));
    }
    match event["id"].as_str() {
        Some(id) if event.get("detail-type").is_some() => Ok(Incoming::Happened { id: id.to_owned(), event }),
        Some(_) | None => Err(unreadable(
            "neither a request with a `workflow_id`, nor an EventBridge event, nor messages of a queue: \
             send {\"workflow_id\": \"…\"}"
                .into(),
        )),
    }
}

/// Reads the body of one message of the request queue: a request, or an event of any shape that patterns match.
pub(crate) fn read_message(message_id: &str, body: &str) -> Result<Incoming, Failure> {
    let value: Value = serde_json::from_str(body)
        .map_err(|error| unreadable(format!("the body of message {message_id} is not JSON: {error}")))?;
    if value.get("workflow_id").is_some() {
        return request(value).map(|request| Incoming::Request(Box::new(request)));
    }
    let id = value["id"].as_str().unwrap_or(message_id).to_owned();
    Ok(Incoming::Happened { id, event: value })
}

fn request(event: Value) -> Result<RunRequest, Failure> {
    RunRequest::deserialize(event).map_err(|error| {
        unreadable(format!(
            "the request cannot be read: {error}. A request has `workflow_id` and may have `workflow_execution_id`, \
             `parameters`, `restart_of` and `logical_date`"
        ))
    })
}

fn unreadable(message: String) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}
