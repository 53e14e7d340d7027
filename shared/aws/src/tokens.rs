//! Task tokens of Step Functions.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sfn::{
    Client,
    operation::{send_task_failure::SendTaskFailureError, send_task_success::SendTaskSuccessError},
};
use jiff::Timestamp;
use shiftwork_ports::{PAUSE, PROCEED, Result, TaskTokens, WAIT};
use shiftwork_protocol::{Failure, FailureKind, payload::JobEnd, timestamp};

use crate::failures::Call;

/// Maximum size of `cause` in bytes (Step Functions `SendTaskFailure`: 32,768 characters).
const CAUSE_BYTES: usize = 32_768;
/// Resource in failures. Task tokens are secrets, so failures do not contain them.
const TOKEN: &str = "a task token";

/// [`TaskTokens`] over Step Functions.
#[derive(Debug, Clone)]
pub struct StepFunctionsTokens {
    client: Client,
}

impl StepFunctionsTokens {
    /// Makes the adapter for the role of this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    async fn succeed(&self, token: &str, output: String) -> Result<()> {
        let Err(error) = self.client.send_task_success().task_token(token).output(output).send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(
                SendTaskSuccessError::TaskDoesNotExist(_)
                | SendTaskSuccessError::TaskTimedOut(_)
                | SendTaskSuccessError::InvalidToken(_),
            ) => Ok(()),
            Some(_) | None => Err(Call::new("Step Functions SendTaskSuccess", TOKEN).failed(error)),
        }
    }

    async fn send_failure(&self, token: &str, name: &str, cause: &str) -> Result<()> {
        // `error` allows 256 characters, and all names of failures are shorter.
        let cause = &cause[..cause.floor_char_boundary(CAUSE_BYTES)];
        let Err(error) = self.client.send_task_failure().task_token(token).error(name).cause(cause).send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(
                SendTaskFailureError::TaskDoesNotExist(_)
                | SendTaskFailureError::TaskTimedOut(_)
                | SendTaskFailureError::InvalidToken(_),
            ) => Ok(()),
            Some(_) | None => Err(Call::new("Step Functions SendTaskFailure", TOKEN).failed(error)),
        }
    }
}

#[async_trait]
impl TaskTokens for StepFunctionsTokens {
    async fn release(&self, token: &str) -> Result<()> {
        self.succeed(token, "{}".into()).await
    }

    async fn end(&self, token: &str, end: &JobEnd) -> Result<()> {
        let output = serde_json::to_string(end)
            .map_err(|error| Call::new("Step Functions SendTaskSuccess", TOKEN).failure(FailureKind::Refused, error))?;
        self.succeed(token, output).await
    }

    async fn fail(&self, token: &str, failure: &Failure) -> Result<()> {
        self.send_failure(token, failure.kind.name(), &failure.message).await
    }

    async fn proceed(&self, token: &str) -> Result<()> {
        self.send_failure(token, PROCEED, "the job has another part or attempt").await
    }

    async fn pause(&self, token: &str, until: Timestamp) -> Result<()> {
        self.send_failure(token, PAUSE, &timestamp(until)).await
    }

    async fn wait(&self, token: &str) -> Result<()> {
        self.send_failure(token, WAIT, "the job waits for a free slot").await
    }
}
