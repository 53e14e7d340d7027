//! The loader of change data as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::queues::{SqsDeadLetters, SqsRequests};
use shiftwork_aws::{client::Aws, environment::Environment, lambda, objects::S3Objects};
use shiftwork_cdc_loader::{Collaborators, ENVIRONMENT, Loader};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let (config, objects) = (aws.config(), Arc::new(S3Objects::new(aws.config())));
        let with = Collaborators {
            staging: Bucket::new(objects.clone(), environment.get("STAGING_BUCKET")?),
            scripts: Bucket::new(objects.clone(), environment.get("SCRIPTS_BUCKET")?),
            files: objects,
            requests: Arc::new(SqsRequests::new(config, environment.get("REQUEST_QUEUE_URL")?)),
            dead_letters: Arc::new(SqsDeadLetters::new(config, environment.get("DEAD_LETTER_QUEUE_URL")?)),
            clock: Arc::new(SystemClock),
        };
        let loader = Loader::new(with);
        Ok(async move |event: lambda::Event<_>| loader.handle(event.payload).await)
    })
}
