//! The metadata fixer as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, documents::S3Documents, environment::Environment, lambda};
use shiftwork_metadata_fixer::{ENVIRONMENT, MetadataFixer};
use shiftwork_ports::SystemClock;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let (bucket, scripts) = (environment.get("DOCUMENTS_BUCKET")?, environment.get("SCRIPTS_BUCKET")?);
        let documents = Arc::new(S3Documents::new(aws.config(), bucket));
        let configuration = Arc::new(S3Documents::new(aws.config(), scripts));
        let fixer = MetadataFixer::new(bucket, documents, configuration, Arc::new(SystemClock));
        Ok(async move |event: lambda::Event<_>| fixer.handle(event.payload).await)
    })
}
