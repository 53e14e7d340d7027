//! The kinds of payload that invoke the function, distinguished by their shape.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_planner::list;
use shiftwork_ports::messages::{self, Message};
use shiftwork_protocol::{
    Failure, FailureKind,
    payload::{RunRequest, TriggerEvent},
};

/// A payload of the function.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request or an event.
    One(One),
    /// Messages of the request queue. Each holds a request or an event.
    Messages(Vec<Message>),
}

/// An input that starts runs.
#[derive(Debug)]
pub(crate) enum One {
    /// A request for one run, by a person, a program or a schedule.
    Request(Box<RunRequest>),
    /// An event of EventBridge.
    Event {
        /// The workflow that the event is for, from the rule of its trigger. Without it, the event starts every workflow with
        /// a trigger that matches.
        workflow_id: Option<String>,
        /// Id of the event, or of the message that contains it.
        id: String,
        /// The whole event, which the patterns of triggers are matched against.
        event: Value,
    },
}

/// The syntax of a payload, for messages.
const SYNTAX: &str =
    "send a request, {\"workflow_id\": \"…\"}, or an event of EventBridge with `source`, `detail-type` and `detail`";

/// Reads the payload of an invocation.
pub(crate) fn read(payload: Value) -> Result<Incoming, Failure> {
    match messages::of_event(&payload)? {
        Some(messages) => Ok(Incoming::Messages(messages)),
        None => read_one(payload, None).map(Incoming::One),
    }
}

/// Reads the body of a message of the request queue.
pub(crate) fn read_message(Message { id, body, .. }: &Message) -> Result<One, Failure> {
    let in_message = |reason: &dyn std::fmt::Display| unreadable(format!("message {id} cannot be used: {reason}"));
    let value =
        serde_json::from_str(body).map_err(|error| in_message(&format_args!("its body is not JSON: {error}")))?;
    read_one(value, Some(id)).map_err(|failure| in_message(&failure))
}

fn read_one(payload: Value, message_id: Option<&str>) -> Result<One, Failure> {
    let Value::Object(fields) = &payload else {
        return Err(unreadable(format!("expected an object, found {}: {SYNTAX}", type_of(&payload))));
    };
    if fields.contains_key("workflow_id") {
        return request(payload).map(|request| One::Request(Box::new(request)));
    }
    if fields.contains_key("triggered_workflow") {
        let TriggerEvent { triggered_workflow, event } = TriggerEvent::deserialize(payload).map_err(|error| {
            unreadable(format!("the event of a rule cannot be read: {error}. It has `triggered_workflow` and `event`"))
        })?;
        return event_of(event, Some(triggered_workflow), message_id);
    }
    event_of(payload, None, message_id)
}

fn event_of(event: Value, workflow_id: Option<String>, message_id: Option<&str>) -> Result<One, Failure> {
    let is_event = event["source"].is_string() && event["detail-type"].is_string() && event["detail"].is_object();
    if !is_event {
        let mut fields: Vec<_> = event.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        fields.sort_unstable();
        let has = if fields.is_empty() { "it has no field".into() } else { format!("it has {}", list(fields)) };
        return Err(unreadable(format!("neither a request nor an event, because {has}: {SYNTAX}")));
    }
    match event["id"].as_str().or(message_id) {
        Some(id) => Ok(One::Event { workflow_id, id: id.to_owned(), event }),
        None => Err(unreadable("the event has no `id`: EventBridge sets it".into())),
    }
}

fn request(event: Value) -> Result<RunRequest, Failure> {
    RunRequest::deserialize(event).map_err(|error| {
        unreadable(format!(
            "the request cannot be read: {error}. A request has `workflow_id` and may have `workflow_execution_id`, \
             `parameters`, `restart_of`, `logical_date` and `caused_by`"
        ))
    })
}

/// The type of a value that is not an object. The value itself does not belong into a log.
const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
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
            assert!(matches!(read(sample(name)), Ok(Incoming::One(One::Request(_)))), "{name}");
        }
        for name in ["custom", "s3-object-created"] {
            let Ok(Incoming::One(One::Event { workflow_id: None, .. })) = read(sample(name)) else { panic!("{name}") };
        }
        for name in ["refreshed", "run-ended", "table-refreshed", "rule-s3-object-created"] {
            let Ok(Incoming::One(One::Event { workflow_id: Some(_), .. })) = read(sample(name)) else {
                panic!("{name}")
            };
        }
        assert!(matches!(read(sample("sqs-batch")), Ok(Incoming::Messages(_))));
    }

    #[test]
    fn the_smallest_request_is_read() {
        let event = json!({ "workflow_id": "blog_test_workflow", "workflow_execution_id": "demo_test_26" });
        let Ok(Incoming::One(One::Request(request))) = read(event) else { panic!("not a request") };
        assert_eq!(request.workflow_execution_id.as_deref(), Some("demo_test_26"));
    }

    /// Payloads that are neither a request nor an event, each with a part of its message.
    #[test]
    fn every_other_payload_is_refused_with_the_reason() {
        let event = json!({ "id": "1", "source": "custom", "detail-type": "Month Closed", "detail": {} });
        let without = |field: &str| {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove(field);
            event
        };
        let cases = [
            (json!({ "workfow_id": "nightly" }), "it has `workfow_id`"),
            (json!({ "workflow": "x" }), "it has `workflow`"),
            (json!({ "workflow_id": "x", "parametres": {} }), "parametres"),
            (json!({ "workflow_id": 1 }), "invalid type"),
            (json!({}), "it has no field"),
            (json!([]), "found a list"),
            (json!([{ "workflow_id": "x" }]), "found a list"),
            (json!("nightly"), "found a string"),
            (json!(7), "found a number"),
            (json!(null), "found null"),
            (json!(true), "found a boolean"),
            (without("source"), "it has `detail`, `detail-type`, `id`"),
            (without("detail-type"), "it has `detail`, `id`, `source`"),
            (without("detail"), "it has `detail-type`, `id`, `source`"),
            (
                json!({ "id": "1", "source": "custom", "detail-type": "t", "detail": [] }),
                "neither a request nor an event",
            ),
            (json!({ "Records": [] }), "it has `Records`"),
            (json!({ "Records": [{ "eventSource": "aws:s3" }] }), "it has `Records`"),
            (json!({ "triggered_workflow": "w" }), "missing field `event`"),
            (json!({ "triggered_workflow": "w", "event": event, "other": 1 }), "unknown field `other`"),
            (json!({ "triggered_workflow": "w", "event": { "source": "x" } }), "it has `source`"),
        ];
        for (payload, part) in cases {
            let failures = [
                read(payload.clone()).map(drop).unwrap_err(),
                read_message(&message(&payload.to_string())).map(drop).unwrap_err(),
            ];
            for failure in failures {
                assert_eq!(failure.kind, FailureKind::InvalidRequest);
                assert!(failure.message.contains(part), "{payload}: {failure}");
            }
        }
        for body in ["", "{", "not JSON"] {
            let failure = read_message(&message(body)).map(drop).unwrap_err();
            assert!(failure.message.contains("message m-1 cannot be used: its body is not JSON"), "{failure}");
        }
        let failure = read(without("id")).map(drop).unwrap_err();
        assert!(failure.message.contains("has no `id`"), "{failure}");
    }

    #[test]
    fn an_event_without_an_id_gets_the_id_of_its_message() {
        let body = r#"{"source": "custom", "detail-type": "Month Closed", "detail": {}}"#;
        let Ok(One::Event { id, .. }) = read_message(&message(body)) else { panic!("not an event") };
        assert_eq!(id, "m-1");
    }

    #[test]
    fn a_message_with_a_batch_of_messages_is_refused() {
        let failure = read_message(&message(&sample("sqs-batch").to_string())).map(drop).unwrap_err();
        assert!(failure.message.contains("it has `Records`"), "{failure}");
    }
}
