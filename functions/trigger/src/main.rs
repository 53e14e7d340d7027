//! Entry point of the Lambda function trigger.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, configuration::DynamoConfiguration, environment, lambda, objects::S3Objects};
use shiftwork_ports::Bucket;
use shiftwork_trigger::{Environment, Trigger};
use shiftwork_wiring::runs;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, environment::read::<Environment>()?);
        let objects = Arc::new(S3Objects::new(aws.config()));
        let trigger = Trigger {
            runs: runs(&aws, &environment.runs, objects.clone()),
            configuration: Arc::new(DynamoConfiguration::new(aws.config(), &environment.config_table)),
            scripts: Bucket::new(objects, &environment.scripts_bucket),
            default_connection: environment.default_connection,
            max_causes: environment.max_causes,
        };
        Ok(async move |event: lambda::Event<_>| trigger.handle(event.payload, &event.context.request_id).await)
    })
}
