//! Reads the events of this function: a request of a user or of the schedule, or the end of a migration's statement.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_protocol::{Attempt, Failure, FailureKind, Owner, attempt::ForeignAttempt, drift::DriftRequest};

/// An event of this function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A request.
    Request(DriftRequest),
    /// A statement of a migration of this contract ended, with or without success.
    StatementEnded(String),
}

/// Reads the payload of an invocation.
pub(crate) fn read(event: &Value) -> Result<Incoming, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let reason = format!(
            "the event is neither a request nor the end of a migration's statement: {error}; the event is {event}"
        );
        Failure::new(FailureKind::InvalidRequest, reason)
    };
    // "Redshift Data Statement Status Change" (Redshift docs, "Monitoring events for the Amazon Redshift Data API").
    if let Some(name) = event["detail"]["statementName"].as_str() {
        let attempt: Attempt = name.parse().map_err(|error: ForeignAttempt| unreadable(&error))?;
        return match attempt.owner {
            Owner::Migration => Ok(Incoming::StatementEnded(attempt.run)),
            Owner::Job => Err(unreadable(&format!("`{name}` belongs to a job of a run"))),
        };
    }
    DriftRequest::deserialize(event).map(Incoming::Request).map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shiftwork_protocol::drift::DriftRequest;

    use super::{Incoming, read};

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../events/schema-watcher/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn samples_read() {
        assert_eq!(read(&sample("watch")), Ok(Incoming::Request(DriftRequest::Watch { scheduled: true })));
        assert!(matches!(read(&sample("look")), Ok(Incoming::Request(DriftRequest::Look { .. }))));
        assert!(matches!(read(&sample("apply")), Ok(Incoming::Request(DriftRequest::Apply { .. }))));
        assert_eq!(read(&sample("statement-finished")), Ok(Incoming::StatementEnded("orders".into())));
        let name = "shiftwork:drift.shop_orders-2:0123456789abcdef:2.3of5";
        assert_eq!(
            read(&json!({ "detail": { "statementName": name } })),
            Ok(Incoming::StatementEnded("shop_orders-2".into()))
        );
    }

    #[test]
    fn an_invalid_event_is_an_error() {
        for event in [
            json!({}),
            json!({ "action": "drop" }),
            json!({ "action": "look" }),
            json!({ "detail": { "statementName": "shiftwork:nightly:load:1" } }),
            json!([1]),
        ] {
            assert!(read(&event).unwrap_err().message.contains("neither a request"), "{event}");
        }
    }
}
