//! `shiftwork run`: requests a run and optionally waits for it.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::Timestamp;
use serde_json::Value;
use shiftwork_protocol::{
    Status, limits,
    name::is_run_id,
    payload::{RunRequest, RunResponse},
};

use crate::{Deployment, Outcome, args, wait, words};

/// Requests a run.
pub async fn run(deployment: &Deployment, asked: &args::Run) -> anyhow::Result<Outcome> {
    let id = asked.id.clone().unwrap_or_else(|| new_id(&asked.workflow_id, deployment.clock.now()));
    let request = RunRequest {
        workflow_id: asked.workflow_id.clone(),
        workflow_execution_id: Some(id),
        parameters: as_values(&asked.parameters),
        logical_date: asked.date.clone(),
        ..RunRequest::default()
    };
    start(deployment, &request, asked.wait).await
}

/// The parameters of a request. The trigger converts them to their types.
pub(crate) fn as_values(parameters: &[(String, String)]) -> BTreeMap<String, Value> {
    parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// Sends a request, prints the result, and waits for the run if `wait` is set.
pub(crate) async fn start(deployment: &Deployment, request: &RunRequest, wait: bool) -> anyhow::Result<Outcome> {
    if let Some(id) = &request.workflow_execution_id {
        ensure!(
            is_run_id(id),
            "`{id}` is not a valid run id: use 1 to {} letters, digits, `_` and `-`",
            limits::EXECUTION_NAME_CHARS
        );
    }
    let response = deployment.trigger.request(request).await?;
    let id = &response.workflow_execution_id;
    println!("{}", line(&response));
    if wait && !response.execution_status.is_terminal() {
        return wait::command(&*deployment.ledger, &*deployment.clock, id).await;
    }
    Ok(match response.execution_status {
        Status::Failed | Status::TimedOut | Status::Aborted => Outcome::Failed,
        // `on_overlap: skip` asks for a skipped run, so it is a success; with --wait the caller expects the jobs to
        // have run.
        Status::Skipped if wait => Outcome::Failed,
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded | Status::Skipped => {
            Outcome::Done
        }
    })
}

fn line(response: &RunResponse) -> String {
    let status = response.execution_status;
    let text = format!("{} {}", words::coloured(status, status.as_str()), response.workflow_execution_id);
    match &response.message {
        Some(message) => format!("{text}  {message}"),
        None => text,
    }
}

/// A new run id. It is generated before the request is sent, so that a request that is sent twice starts one run.
pub fn new_id(workflow_id: &str, now: Timestamp) -> String {
    let tail = format!("-{}-{}", now.strftime("%Y%m%dT%H%M%S"), random(4));
    let head = limits::EXECUTION_NAME_CHARS - tail.len();
    format!("{}{tail}", workflow_id.chars().take(head).collect::<String>())
}

/// Random letters and digits, without those that look alike, such as `1` and `l`.
fn random(length: usize) -> String {
    const ALPHABET: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";
    (0..length).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use shiftwork_protocol::name::is_run_id;

    use super::new_id;

    #[test]
    fn run_ids_are_valid_and_unique_for_every_workflow() {
        let now = "2026-03-01T02:00:00Z".parse().unwrap();
        let id = new_id("yearly_sales", now);
        assert!(id.starts_with("yearly_sales-20260301T020000-"), "{id}");
        assert_ne!(id, new_id("yearly_sales", now));
        assert!(is_run_id(&new_id(&"w".repeat(64), now)));
    }
}
