//! job-callback: settles a job when an attempt ends, and sweeps runs in case the event was lost.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_ports::{Result, log::Subject};
use shiftwork_protocol::{Attempt, Failure, FailureKind, Owner, payload::Sweep};
use shiftwork_settlement::RunSettlement;

/// `detail-type` of the event at a statement's end (Redshift docs, "Monitoring events for the Amazon Redshift Data API").
const STATEMENT_ENDED: &str = "Redshift Data Statement Status Change";

/// `detail-type` of the events that end an attempt, one for each engine that publishes events.
pub const ENDS: &[&str] = &[STATEMENT_ENDED];

/// `detail` of the event at a statement's end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatementEnd {
    statement_name: String,
    statement_id: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Finished,
    Failed,
    Aborted,
}

/// A payload of the function.
#[derive(Debug, PartialEq, Eq)]
enum Incoming {
    /// An attempt of a job succeeded.
    Finished { attempt: Attempt, id: String },
    /// An attempt of a job failed or was cancelled. The event does not have the reason.
    Unsuccessful { attempt: Attempt, id: String },
    /// The schedule of a run requests a sweep of the run.
    Sweep(String),
    /// Not the end of a job's attempt, for this reason.
    Ignored(String),
}

fn read(event: &Value) -> Result<Incoming> {
    let unreadable = |error: serde_json::Error| {
        Failure::new(FailureKind::InvalidRequest, format!("neither a Data API event nor a sweep: {error}; got {event}"))
    };
    if event.get("sweep").is_some() {
        return Sweep::deserialize(event).map(|sweep| Incoming::Sweep(sweep.sweep)).map_err(unreadable);
    }
    match event["detail-type"].as_str() {
        Some(STATEMENT_ENDED) => read_statement(&event["detail"]).map_err(unreadable),
        Some(other) => Err(unreadable(serde::de::Error::unknown_variant(other, ENDS))),
        None => Err(unreadable(serde::de::Error::missing_field("detail-type"))),
    }
}

fn read_statement(detail: &Value) -> std::result::Result<Incoming, serde_json::Error> {
    let end = StatementEnd::deserialize(detail)?;
    let attempt = match end.statement_name.parse::<Attempt>() {
        Ok(attempt) => attempt,
        Err(foreign) => return Ok(Incoming::Ignored(foreign.to_string())),
    };
    Ok(match (attempt.owner, end.state) {
        (Owner::Migration, State::Finished | State::Failed | State::Aborted) => {
            Incoming::Ignored(format!("{attempt} is a migration: schema-watcher continues it"))
        }
        (Owner::Job, State::Finished) => Incoming::Finished { attempt, id: end.statement_id },
        (Owner::Job, State::Failed | State::Aborted) => Incoming::Unsuccessful { attempt, id: end.statement_id },
    })
}

/// Settles the job of an event. Idempotent.
pub async fn handle(runs: &RunSettlement, event: &Value) -> Result<()> {
    match read(event)? {
        Incoming::Finished { attempt, id } if attempt.is_last_part() => {
            runs.jobs.statement_finished(&attempt, &id).await
        }
        Incoming::Finished { attempt, id } => runs.jobs.part_finished(&attempt, &id).await,
        Incoming::Unsuccessful { attempt, id } => runs.jobs.attempt_unsuccessful(&attempt, &id).await,
        Incoming::Sweep(run) => Subject::of_run(&run).scope(runs.sweep(&run)).await,
        Incoming::Ignored(why) => {
            tracing::info!(why, "the event is ignored");
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
        assert!(matches!(read(&sample("statement-failed")), Ok(Incoming::Unsuccessful { .. })));
        assert!(matches!(read(&sample("statement-aborted")), Ok(Incoming::Unsuccessful { .. })));
        assert!(matches!(read(&sample("sweep")), Ok(Incoming::Sweep(_))));
    }

    #[test]
    fn events_about_other_statements_are_ignored() {
        let mut event = sample("statement-finished");
        for (name, why) in [
            ("shiftwork:not-ours", "not an attempt of shiftwork"),
            ("shiftwork:drift.orders:0123456789abcdef:1", "schema-watcher"),
        ] {
            event["detail"]["statementName"] = json!(name);
            let Ok(Incoming::Ignored(reason)) = read(&event) else { panic!("{name} is not ignored") };
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn an_unreadable_event_gives_the_reason() {
        let no_name = json!({ "detail-type": STATEMENT_ENDED, "detail": { "state": "FINISHED" } });
        for event in [json!({}), json!({ "sweep": 1 }), json!({ "detail": { "state": "FINISHED" } }), no_name] {
            let failure = read(&event).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert!(failure.message.contains("neither a Data API event nor a sweep"), "{failure}");
        }
    }
}
