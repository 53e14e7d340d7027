//! The loader of change data as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::queues::{SqsDeadLetters, SqsRequests};
use shiftwork_aws::{client::Aws, environment::Environment, lambda, scripts::S3Scripts, staging::S3Staging};
use shiftwork_cdc_loader::{Collaborators, ENVIRONMENT, Loader};
use shiftwork_ports::SystemClock;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let (config, bucket) = (aws.config(), environment.get("STAGING_BUCKET")?);
        let with = Collaborators {
            staging: Arc::new(S3Staging::new(config, bucket)),
            files: Arc::new(S3Staging::new(config, bucket)),
            scripts: Arc::new(S3Scripts::new(config, environment.get("SCRIPTS_BUCKET")?)),
            requests: Arc::new(SqsRequests::new(config, environment.get("REQUEST_QUEUE_URL")?)),
            dead_letters: Arc::new(SqsDeadLetters::new(config, environment.get("DEAD_LETTER_QUEUE_URL")?)),
            clock: Arc::new(SystemClock),
        };
        let loader = Loader::new(with, bucket);
        Ok(async move |event: lambda::Event<_>| loader.handle(event.payload).await)
    })
}
