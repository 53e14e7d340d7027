//! The Lambda function cdc-loader.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::queues::{SqsDeadLetters, SqsRequests};
use shiftwork_aws::{client::Aws, environment, lambda, objects::S3Objects};
use shiftwork_cdc_loader::{Collaborators, Environment, Loader};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, environment::read::<Environment>()?);
        let (config, objects) = (aws.config(), Arc::new(S3Objects::new(aws.config())));
        let loader = Loader::new(Collaborators {
            staging: Bucket::new(objects.clone(), &environment.staging_bucket),
            scripts: Bucket::new(objects.clone(), &environment.scripts_bucket),
            files: objects,
            requests: Arc::new(SqsRequests::new(config, &environment.request_queue_url)),
            dead_letters: Arc::new(SqsDeadLetters::new(config, &environment.dead_letter_queue_url)),
            clock: Arc::new(SystemClock),
        });
        Ok(async move |event: lambda::Event<_>| loader.handle(event.payload).await)
    })
}
