//! A Redshift statement ends, or its event is lost: the job is settled.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_ports::{Progress, Result};
use shiftwork_protocol::{Failure, FailureKind, StatementName, payload::Sweep};
use shiftwork_settlement::{RunSettlement, wiring};

/// What it reads from its environment.
pub const ENVIRONMENT: &[&str] = wiring::ENVIRONMENT;

/// `detail` of "Redshift Data Statement Status Change"
/// (Redshift docs, "Monitoring events for the Amazon Redshift Data API").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatementEnd {
    statement_name: String,
    statement_id: String,
    state: State,
    #[serde(default)]
    rows: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Finished,
    Failed,
    Aborted,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
enum Incoming {
    /// A statement of ours ended well: the event says all.
    Finished { name: StatementName, id: String, rows: Option<i64> },
    /// It did not; the message is Redshift's to tell.
    Unwell { name: StatementName, id: String },
    /// A run's own schedule asks to look after it.
    Sweep(String),
    /// Nobody's business here.
    Foreign(String),
}

fn read(event: &Value) -> Result<Incoming> {
    let unreadable = |error: serde_json::Error| {
        Failure::new(FailureKind::InvalidRequest, format!("neither a Data API event nor a sweep: {error}; got {event}"))
    };
    if event.get("sweep").is_some() {
        return Sweep::deserialize(event).map(|sweep| Incoming::Sweep(sweep.sweep)).map_err(unreadable);
    }
    let end = StatementEnd::deserialize(&event["detail"]).map_err(unreadable)?;
    Ok(match (end.statement_name.parse::<StatementName>(), end.state) {
        (Err(foreign), State::Finished | State::Failed | State::Aborted) => Incoming::Foreign(foreign.to_string()),
        (Ok(name), State::Finished) => {
            Incoming::Finished { name, id: end.statement_id, rows: end.rows.filter(|rows| *rows >= 0) }
        }
        (Ok(name), State::Failed | State::Aborted) => Incoming::Unwell { name, id: end.statement_id },
    })
}

/// Settles what came in. Again: nothing happens twice.
pub async fn handle(runs: &RunSettlement, event: &Value) -> Result<()> {
    match read(event)? {
        Incoming::Finished { name, id, rows } => {
            runs.jobs.statement_ended(&name, &id, &Progress::Finished { rows }).await
        }
        Incoming::Unwell { name, id } => match runs.statements.describe(&id, &name).await? {
            Some(statement) => runs.jobs.statement_ended(&name, &id, &statement.progress).await,
            None => {
                let message = "Redshift said that it failed, and no longer knows why".to_owned();
                runs.jobs.statement_ended(&name, &id, &Progress::Failed { message }).await
            }
        },
        Incoming::Sweep(run) => runs.sweep(&run).await,
        Incoming::Foreign(why) => {
            tracing::info!(why, "ignored");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../events/job-callback/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn the_events_of_the_data_api_are_read() {
        assert!(matches!(read(&sample("statement-finished")), Ok(Incoming::Finished { .. })));
        assert!(matches!(read(&sample("statement-failed")), Ok(Incoming::Unwell { .. })));
        assert!(matches!(read(&sample("statement-aborted")), Ok(Incoming::Unwell { .. })));
        assert!(matches!(read(&sample("sweep")), Ok(Incoming::Sweep(_))));
    }

    #[test]
    fn other_peoples_statements_are_left_alone() {
        let mut event = sample("statement-finished");
        event["detail"]["statementName"] = json!("shiftwork:not-ours");
        assert!(matches!(read(&event), Ok(Incoming::Foreign(_))));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for event in [json!({}), json!({ "sweep": 1 }), json!({ "detail": { "state": "FINISHED" } })] {
            let failure = read(&event).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert!(failure.message.contains("neither a Data API event nor a sweep"), "{failure}");
        }
    }
}
