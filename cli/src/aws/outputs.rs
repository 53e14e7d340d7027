//! The outputs of the stack: how everything is called.

use std::collections::HashMap;

use anyhow::{Context as _, anyhow};
use aws_sdk_cloudformation::{Client, error::ProvideErrorMetadata as _};
use aws_types::SdkConfig;

/// Names and ARNs, as `infra/template.yaml` puts them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// Table of workflows and connections.
    pub config_table: String,
    /// Table of runs.
    pub workflow_audit_table: String,
    /// Table of jobs.
    pub job_audit_table: String,
    /// Table of leases.
    pub lease_table: String,
    /// Bucket of scripts.
    pub scripts_bucket: String,
    /// Bucket of staged change data.
    pub staging_bucket: String,
    /// Queue of files and replays of change data: its URL.
    pub change_queue: String,
    /// Queue of change data that nobody could read: its URL.
    pub change_dead_letter_queue: String,
    /// Table of files.
    pub file_audit_table: String,
    /// Queue that buckets tell of their files: its ARN.
    pub file_event_queue_arn: String,
    /// Function that starts runs: its name.
    pub trigger_function: String,
    /// The same: its ARN.
    pub trigger_function_arn: String,
    /// Function that stages change events: its name.
    pub cdc_loader_function: String,
    /// Function that takes new columns in: its name.
    pub schema_watcher_function: String,
    /// State machine of a run: its ARN.
    pub run_state_machine: String,
    /// Group of the schedules of workflows.
    pub workflow_schedule_group: String,
    /// Role of the schedules of workflows: its ARN.
    pub workflow_schedule_role: String,
    /// Queue of what could not be delivered: its ARN.
    pub event_dead_letter_queue_arn: String,
}

impl Outputs {
    fn from(stack: &str, outputs: &HashMap<String, String>) -> anyhow::Result<Self> {
        let output = |name: &str| {
            outputs.get(name).cloned().with_context(|| {
                format!("stack `{stack}` has no output `{name}`: is it shiftwork's, and deployed from this version's template?")
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
            event_dead_letter_queue_arn: output("EventDeadLetterQueueArn")?,
        })
    }
}

/// Reads the outputs of a stack.
pub(super) async fn read(config: &SdkConfig, stack: &str) -> anyhow::Result<Outputs> {
    let described = Client::new(config).describe_stacks().stack_name(stack).send().await.map_err(|error| {
        let missing = error.as_service_error().is_some_and(|answer| answer.code() == Some("ValidationError"));
        if missing {
            let region = config.region().map(ToString::to_string).unwrap_or_default();
            anyhow!("there is no stack `{stack}` in {region}: deploy it (`make deploy`, or `make up` for a laptop), or name another with --stack and --region")
        } else {
            super::failed("CloudFormation DescribeStacks", stack, &error)
        }
    })?;
    let outputs = described.stacks().first().map(aws_sdk_cloudformation::types::Stack::outputs).unwrap_or_default();
    let pairs = outputs.iter().filter_map(|output| Some((output.output_key()?.into(), output.output_value()?.into())));
    Outputs::from(stack, &pairs.collect())
}
