//! The job launcher as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{
    client::Aws, environment::Environment, files::S3Landing, lambda, queues::SqsRequests, scripts::S3Scripts,
};
use shiftwork_job_launcher::{ENVIRONMENT, Launcher};
use shiftwork_settlement::wiring;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let launcher = Launcher {
            jobs: wiring::jobs(&aws, &environment)?,
            statements: wiring::statements(&aws, &environment)?,
            scripts: Arc::new(S3Scripts::new(aws.config(), environment.get("SCRIPTS_BUCKET")?)),
            queries: wiring::queries(&aws, &environment)?,
            requests: Arc::new(SqsRequests::new(aws.config(), environment.get("REQUEST_QUEUE_URL")?)),
            landing: Arc::new(S3Landing::new(aws.config())),
            staging_bucket: environment.get("STAGING_BUCKET")?.into(),
        };
        Ok(async move |event: lambda::Event<_>| launcher.handle(event.payload).await)
    })
}
