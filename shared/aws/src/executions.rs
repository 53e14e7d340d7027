//! Executions of the run state machine.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sfn::{
    Client,
    operation::{
        describe_execution::DescribeExecutionError, start_execution::StartExecutionError,
        stop_execution::StopExecutionError,
    },
    types::ExecutionStatus,
};
use shiftwork_ports::{Execution, Executions, Result};
use shiftwork_protocol::{FailureKind, payload::RunInput};

use crate::failures::Call;

/// Maximum size of `cause` in bytes (Step Functions `StopExecution`: 32,768 characters).
const CAUSE_BYTES: usize = 32_768;

/// [`Executions`] over Step Functions, with a standard state machine. The name of an execution is the id of its run.
#[derive(Debug, Clone)]
pub struct StepFunctionsExecutions {
    client: Client,
    state_machine: String,
}

impl StepFunctionsExecutions {
    /// Makes the adapter for the state machine with this ARN
    /// (`arn:aws:states:eu-central-1:123456789012:stateMachine:shiftwork-run`).
    pub fn new(config: &SdkConfig, state_machine_arn: impl Into<String>) -> Self {
        Self { client: Client::new(config), state_machine: state_machine_arn.into() }
    }

    /// ARN of a run's execution, which need not exist.
    pub fn arn(&self, run: &str) -> String {
        format!("{}:{run}", self.state_machine.replacen(":stateMachine:", ":execution:", 1))
    }
}

#[async_trait]
impl Executions for StepFunctionsExecutions {
    async fn start(&self, input: &RunInput) -> Result<()> {
        let run = &input.workflow_execution_id;
        let call = Call::new("Step Functions StartExecution", run);
        let body = serde_json::to_string(input).map_err(|error| call.failure(FailureKind::Refused, error))?;
        let start = self.client.start_execution().state_machine_arn(&self.state_machine).name(run).input(body);
        let Err(error) = start.send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(StartExecutionError::ExecutionAlreadyExists(_)) => Ok(()),
            Some(_) | None => Err(call.failed(error)),
        }
    }

    async fn state(&self, run: &str) -> Result<Option<Execution>> {
        let described = match self.client.describe_execution().execution_arn(self.arn(run)).send().await {
            Ok(described) => described,
            Err(error) => {
                return match error.as_service_error() {
                    Some(DescribeExecutionError::ExecutionDoesNotExist(_)) => Ok(None),
                    Some(_) | None => Err(Call::new("Step Functions DescribeExecution", run).failed(error)),
                };
            }
        };
        Ok(Some(match &described.status {
            // The state machine is not configured for redrive, but a redrive that a person requested is treated like any
            // execution.
            ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Execution::Running,
            ended => {
                let words = [Some(ended.as_str()), described.error(), described.cause()];
                Execution::Closed { reason: words.into_iter().flatten().collect::<Vec<_>>().join(": ") }
            }
        }))
    }

    async fn stop(&self, run: &str, cause: &str) -> Result<()> {
        let cause = &cause[..cause.floor_char_boundary(CAUSE_BYTES)];
        let Err(error) = self.client.stop_execution().execution_arn(self.arn(run)).cause(cause).send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            // Stopping an execution that has ended has no effect and succeeds. An execution that does not exist need not
            // be stopped.
            Some(StopExecutionError::ExecutionDoesNotExist(_)) => Ok(()),
            Some(_) | None => Err(Call::new("Step Functions StopExecution", run).failed(error)),
        }
    }
}
