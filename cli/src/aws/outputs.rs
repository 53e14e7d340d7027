//! The outputs of the stack: names and ARNs of its resources.

use std::collections::HashMap;

use anyhow::{Context as _, anyhow};
use aws_sdk_cloudformation::{Client, error::ProvideErrorMetadata as _};
use aws_types::SdkConfig;

/// Names and ARNs, as the `Outputs` of `infra/template.yaml` define them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// Name of the table of workflows and connections.
    pub config_table: String,
    /// Name of the table of runs.
    pub workflow_audit_table: String,
    /// Name of the table of jobs.
    pub job_audit_table: String,
    /// Name of the table of leases.
    pub lease_table: String,
    /// Name of the bucket of scripts.
    pub scripts_bucket: String,
    /// Name of the bucket of staged change data.
    pub staging_bucket: String,
    /// URL of the queue of change-data files and replays.
    pub change_queue: String,
    /// URL of the dead-letter queue of change data.
    pub change_dead_letter_queue: String,
    /// Name of the table of files.
    pub file_audit_table: String,
    /// ARN of the queue that receives the event notifications of landing buckets.
    pub file_event_queue_arn: String,
    /// Name of the function that starts runs.
    pub trigger_function: String,
    /// ARN of the function that starts runs.
    pub trigger_function_arn: String,
    /// Name of the function that stages change events.
    pub cdc_loader_function: String,
    /// Name of the function that adds new columns.
    pub schema_watcher_function: String,
    /// ARN of the state machine of a run.
    pub run_state_machine: String,
    /// Name of the schedule group of workflows.
    pub workflow_schedule_group: String,
    /// ARN of the role of the schedules of workflows.
    pub workflow_schedule_role: String,
    /// Name of the event bus on which the deployment publishes events.
    pub event_bus: String,
    /// ARN of the dead-letter queue of events.
    pub event_dead_letter_queue_arn: String,
}

impl Outputs {
    fn from(stack: &str, outputs: &HashMap<String, String>) -> anyhow::Result<Self> {
        let output = |name: &str| {
            outputs.get(name).cloned().with_context(|| {
                format!("stack `{stack}` has no output `{name}`: check that it is a shiftwork stack, and deploy the template of this version")
            })
        };
        Ok(Self {
            config_table: output("ConfigTable")?,
            workflow_audit_table: output("WorkflowAuditTable")?,
            job_audit_table: output("JobAuditTable")?,
            lease_table: output("LeaseTable")?,
            scripts_bucket: output("ScriptsBucket")?,
            staging_bucket: output("StagingBucket")?,
            change_queue: output("ChangeQueue")?,
            change_dead_letter_queue: output("ChangeDeadLetterQueue")?,
            file_event_queue_arn: output("FileEventQueueArn")?,
            file_audit_table: output("FileAuditTable")?,
            trigger_function: output("TriggerFunction")?,
            trigger_function_arn: output("TriggerFunctionArn")?,
            cdc_loader_function: output("CdcLoaderFunction")?,
            schema_watcher_function: output("SchemaWatcherFunction")?,
            run_state_machine: output("RunStateMachine")?,
            workflow_schedule_group: output("WorkflowScheduleGroup")?,
            workflow_schedule_role: output("WorkflowScheduleRole")?,
            event_bus: output("EventBus")?,
            event_dead_letter_queue_arn: output("EventDeadLetterQueueArn")?,
        })
    }
}

/// Reads the outputs of a stack, and the id of its account.
pub(super) async fn read(config: &SdkConfig, stack: &str) -> anyhow::Result<(Outputs, String)> {
    let described = Client::new(config).describe_stacks().stack_name(stack).send().await.map_err(|error| {
        let missing = error.as_service_error().is_some_and(|error| error.code() == Some("ValidationError"));
        if missing {
            let region = config.region().map(ToString::to_string).unwrap_or_default();
            anyhow!("stack `{stack}` does not exist in {region}: deploy it (`make deploy`, or `make up` for the local stack), or select another one with --stack and --region")
        } else {
            super::failed("CloudFormation DescribeStacks", stack, &error)
        }
    })?;
    let found = described.stacks().first();
    let outputs = found.map(aws_sdk_cloudformation::types::Stack::outputs).unwrap_or_default();
    // `arn:aws:cloudformation:<Region>:<account>:stack/<name>/<id>`
    let account = found.and_then(|stack| stack.stack_id()?.split(':').nth(4));
    let account =
        account.with_context(|| format!("CloudFormation DescribeStacks returned no id of stack `{stack}`"))?;
    let pairs = outputs.iter().filter_map(|output| Some((output.output_key()?.into(), output.output_value()?.into())));
    Ok((Outputs::from(stack, &pairs.collect())?, account.to_owned()))
}
