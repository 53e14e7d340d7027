//! The metadata fixer as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment, lambda, objects::S3Objects};
use shiftwork_metadata_fixer::{Environment, MetadataFixer};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, environment::read::<Environment>()?);
        let objects = Arc::new(S3Objects::new(aws.config()));
        let documents = Bucket::new(objects.clone(), &environment.documents_bucket);
        let configuration = Bucket::new(objects, &environment.scripts_bucket);
        let fixer = MetadataFixer::new(documents, configuration, Arc::new(SystemClock));
        Ok(async move |event: lambda::Event<_>| fixer.handle(event.payload).await)
    })
}
