//! `shiftwork restart`: runs the jobs of a run again that did not succeed.

use anyhow::{Context as _, bail};
use shiftwork_protocol::payload::RunRequest;

use crate::{Deployment, Outcome, args, run};

/// Restarts a run.
pub async fn restart(deployment: &Deployment, asked: &args::Restart) -> anyhow::Result<Outcome> {
    let request = RunRequest {
        parameters: run::as_values(&asked.parameters),
        logical_date: asked.date.clone(),
        from_statement: asked.from_statement.iter().cloned().collect(),
        ..request(deployment, &asked.run, asked.id.clone()).await?
    };
    run::start(deployment, &request, asked.wait).await
}

/// The request that restarts a run. The trigger takes the logical date and the parameters that the request leaves out
/// from the earlier run.
pub async fn request(deployment: &Deployment, run: &str, id: Option<String>) -> anyhow::Result<RunRequest> {
    let earlier = deployment.ledger.run(run).await?.with_context(|| format!("run {run} does not exist"))?;
    if !earlier.execution_status.is_terminal() {
        bail!("{run} is still {}: wait until it ends, or use `shiftwork cancel {run}` first", earlier.execution_status);
    }
    let id = id.unwrap_or_else(|| run::new_id(&earlier.workflow_id, deployment.clock.now()));
    Ok(RunRequest {
        workflow_id: earlier.workflow_id,
        workflow_execution_id: Some(id),
        restart_of: Some(run.into()),
        ..RunRequest::default()
    })
}
