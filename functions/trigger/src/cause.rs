//! What an event reports, and the runs that led to it.

use serde::Deserialize;
use serde_json::Value;
use shiftwork_ports::Result;
use shiftwork_protocol::{Attempt, Cause, Failure, FailureKind, Owner, event, payload::RunRequest};

use crate::Trigger;

/// Where the runs that led to an event are found.
#[derive(Debug, PartialEq, Eq)]
enum Causes {
    /// In the event. The last one is the run that published it.
    InEvent(Vec<Cause>),
    /// In the record of this run, if the deployment has it: the event is about a statement or an execution of the run.
    OfRun(String),
    /// No run led to the event, or its runs are not known.
    Unknown,
}

/// The fields of the events of a run.
#[derive(Deserialize)]
struct EventOfRun {
    workflow_id: String,
    workflow_execution_id: String,
    #[serde(default)]
    caused_by: Vec<Cause>,
}

fn find(event: &Value) -> Causes {
    let detail = &event["detail"];
    match event["source"].as_str() {
        Some(event::SOURCE) => match EventOfRun::deserialize(detail) {
            Ok(EventOfRun { workflow_id, workflow_execution_id, mut caused_by }) => {
                caused_by.push(Cause { workflow_id, workflow_execution_id });
                Causes::InEvent(caused_by)
            }
            Err(_) => Causes::Unknown,
        },
        Some("aws.redshift-data") => {
            let attempt = detail["statementName"].as_str().and_then(|name| name.parse::<Attempt>().ok());
            match attempt {
                Some(Attempt { owner: Owner::Job, run, .. }) => Causes::OfRun(run),
                Some(Attempt { owner: Owner::Migration, .. }) | None => Causes::Unknown,
            }
        }
        Some("aws.states") => detail["name"].as_str().map_or(Causes::Unknown, |name| Causes::OfRun(name.into())),
        Some(_) | None => Causes::Unknown,
    }
}

/// Identifies what an event reports. shiftwork can publish an event more than once; the copies have different ids.
pub(crate) fn identity(id: &str, event: &Value) -> String {
    match (event["source"].as_str(), event["detail-type"].as_str(), event["detail"]["idempotency_key"].as_str()) {
        (Some(event::SOURCE), Some(detail_type), Some(key)) => format!("event {detail_type} {key}"),
        (_, _, _) => format!("event {id}"),
    }
}

impl Trigger {
    /// The runs that led to an event, the first one first; empty if no run is known.
    pub(crate) async fn causes(&self, event: &Value) -> Result<Vec<Cause>> {
        match find(event) {
            Causes::InEvent(causes) => Ok(causes),
            Causes::OfRun(id) => Ok(self.runs.jobs.ledger.run(&id).await?.map_or_else(Vec::new, |run| {
                let cause = Cause { workflow_id: run.workflow_id, workflow_execution_id: run.workflow_execution_id };
                run.caused_by.into_iter().chain([cause]).collect()
            })),
            Causes::Unknown => Ok(Vec::new()),
        }
    }

    /// Keeps the latest causes, one more than a run may have: a request of any size is then recorded and refused.
    pub(crate) fn bound(&self, request: &mut RunRequest) {
        let surplus = request.caused_by.len().saturating_sub(self.max_causes + 1);
        request.caused_by.drain(..surplus);
    }

    /// Refuses a request to which more runs led than a run may have.
    pub(crate) fn check_causes(&self, request: &RunRequest) -> Result<()> {
        if !self.is_refused_for(&request.caused_by) {
            return Ok(());
        }
        let causes: Vec<_> = request.caused_by.iter().map(ToString::to_string).collect();
        let message = format!(
            "more than {} runs led to this run: {} → {}. The workflows probably start each other in a circle: remove one of \
             their triggers, or make its pattern narrower. The template parameter MaxCauses sets the limit",
            self.max_causes,
            causes.join(" → "),
            request.workflow_id,
        );
        Err(Failure::new(FailureKind::ChainTooLong, message))
    }

    pub(crate) const fn is_refused_for(&self, causes: &[Cause]) -> bool {
        causes.len() > self.max_causes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cause(n: u32) -> Cause {
        Cause { workflow_id: format!("w{n}"), workflow_execution_id: format!("r{n}") }
    }

    #[test]
    fn the_causes_of_an_event() {
        let ours =
            |detail: Value| json!({ "source": "shiftwork", "detail-type": "Shiftwork Run Ended", "detail": detail });
        let statement = |name: &str| json!({ "source": "aws.redshift-data", "detail": { "statementName": name } });
        let run = json!({ "workflow_id": "w1", "workflow_execution_id": "r1" });
        let later = json!({ "workflow_id": "w1", "workflow_execution_id": "r1", "caused_by": [cause(0)] });
        for (event, wanted) in [
            (ours(run), Causes::InEvent(vec![cause(1)])),
            (ours(later), Causes::InEvent(vec![cause(0), cause(1)])),
            (ours(json!({ "feed": "orders" })), Causes::Unknown),
            (statement("shiftwork:r1:a.sql:1"), Causes::OfRun("r1".into())),
            (statement("nightly-vacuum"), Causes::Unknown),
            (json!({ "source": "aws.states", "detail": { "name": "r1" } }), Causes::OfRun("r1".into())),
            (
                json!({ "source": "aws.s3", "detail": { "workflow_id": "w1", "workflow_execution_id": "r1" } }),
                Causes::Unknown,
            ),
            (json!({}), Causes::Unknown),
        ] {
            assert_eq!(find(&event), wanted, "{event}");
        }
    }

    #[test]
    fn copies_of_an_event_of_shiftwork_have_one_identity() {
        let event = |source: &str, detail_type: &str| json!({ "source": source, "detail-type": detail_type, "detail": { "idempotency_key": "r1" } });
        let ended = event("shiftwork", "Shiftwork Run Ended");
        assert_eq!(identity("1", &ended), identity("2", &ended));
        assert_ne!(identity("1", &ended), identity("1", &event("shiftwork", "Shiftwork Workflow Refreshed")));
        assert_ne!(identity("1", &event("custom", "t")), identity("2", &event("custom", "t")));
    }
}
