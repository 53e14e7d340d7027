//! The kinds of payload that invoke the function, distinguished by their shape.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_ports::messages::{self, Message};
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest};

/// A payload of the function.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request for one run, by a person, a program or a schedule.
    Request(Box<RunRequest>),
    /// An event, which starts the workflows whose triggers match it.
    Event {
        /// Id of the event: copies of an event have the same id.
        id: String,
        /// The whole event, which the patterns of triggers are matched against.
        event: Value,
    },
    /// Messages of the request queue. Each holds a request or an event.
    Messages(Vec<Message>),
}

/// Reads the payload of an invocation.
pub(crate) fn read(event: Value) -> Result<Incoming, Failure> {
    if event.get("workflow_id").is_some() {
        return request(event).map(|request| Incoming::Request(Box::new(request)));
    }
    if let Some(messages) = messages::of_event(&event)? {
        return Ok(Incoming::Messages(messages));
    }
    match event["id"].as_str() {
        Some(id) if event.get("detail-type").is_some() => Ok(Incoming::Event { id: id.to_owned(), event }),
        Some(_) | None => Err(unreadable(
            "neither a request with a `workflow_id`, nor an EventBridge event, nor messages of a queue: \
             send {\"workflow_id\": \"…\"}"
                .into(),
        )),
    }
}

/// Reads the body of a message of the request queue: a request, or an event of any shape that patterns can match.
pub(crate) fn read_message(Message { id: message_id, body, .. }: &Message) -> Result<Incoming, Failure> {
    let value: Value = serde_json::from_str(body)
        .map_err(|error| unreadable(format!("the body of message {message_id} is not JSON: {error}")))?;
    if value.get("workflow_id").is_some() {
        return request(value).map(|request| Incoming::Request(Box::new(request)));
    }
    let id = value["id"].as_str().unwrap_or(message_id.as_str()).to_owned();
    Ok(Incoming::Event { id, event: value })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../events/trigger/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn message(body: &str) -> Message {
        Message { id: "m-1".into(), body: body.into(), queue_arn: String::new() }
    }

    #[test]
    fn every_sample_is_recognised() {
        for name in ["manual", "manual-parameters", "restart", "schedule"] {
            assert!(matches!(read(sample(name)), Ok(Incoming::Request(_))), "{name}");
        }
        for name in ["custom", "refreshed", "s3-object-created"] {
            assert!(matches!(read(sample(name)), Ok(Incoming::Event { .. })), "{name}");
        }
        assert!(matches!(read(sample("sqs-batch")), Ok(Incoming::Messages(_))));
    }

    #[test]
    fn the_smallest_request_is_read() {
        let event = json!({ "workflow_id": "blog_test_workflow", "workflow_execution_id": "demo_test_26" });
        let Ok(Incoming::Request(request)) = read(event) else { panic!("not a request") };
        assert_eq!(request.workflow_execution_id.as_deref(), Some("demo_test_26"));
    }

    #[test]
    fn an_unreadable_payload_gives_the_expected_shape() {
        let failure = read(json!({ "workflow": "x" })).unwrap_err();
        assert!(failure.message.contains(r#"send {"workflow_id": "…"}"#), "{failure}");
        let failure = read(json!({ "workflow_id": "x", "parametres": {} })).unwrap_err();
        assert!(failure.message.contains("parametres") && failure.message.contains("`parameters`"), "{failure}");
        assert!(read_message(&message("{")).unwrap_err().message.contains("message m-1 is not JSON"));
    }

    #[test]
    fn an_event_without_an_id_gets_the_id_of_its_message() {
        let Ok(Incoming::Event { id, .. }) = read_message(&message(r#"{"Records": []}"#)) else {
            panic!("not an event")
        };
        assert_eq!(id, "m-1");
    }
}
