//! The metadata fixer as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment::Environment, lambda, objects::S3Objects};
use shiftwork_metadata_fixer::{ENVIRONMENT, MetadataFixer};
use shiftwork_ports::{Bucket, SystemClock};

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let objects = Arc::new(S3Objects::new(aws.config()));
        let documents = Bucket::new(objects.clone(), environment.get("DOCUMENTS_BUCKET")?);
        let configuration = Bucket::new(objects, environment.get("SCRIPTS_BUCKET")?);
        let fixer = MetadataFixer::new(documents, configuration, Arc::new(SystemClock));
        Ok(async move |event: lambda::Event<_>| fixer.handle(event.payload).await)
    })
}
