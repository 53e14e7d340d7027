//! The trigger as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{
    client::Aws, configuration::DynamoConfiguration, environment::Environment, lambda, objects::S3Objects,
};
use shiftwork_ports::Bucket;
use shiftwork_settlement::wiring;
use shiftwork_trigger::{ENVIRONMENT, Trigger};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let trigger = Trigger {
            runs: wiring::runs(&aws, &environment)?,
            configuration: Arc::new(DynamoConfiguration::new(aws.config(), environment.get("CONFIG_TABLE")?)),
            scripts: Bucket::new(Arc::new(S3Objects::new(aws.config())), environment.get("SCRIPTS_BUCKET")?),
            default_connection: serde_json::from_str(environment.get("DEFAULT_CONNECTION")?)?,
        };
        Ok(async move |event: lambda::Event<_>| trigger.handle(event.payload, &event.context.request_id).await)
    })
}
