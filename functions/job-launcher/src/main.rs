//! The job launcher as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment::Environment, lambda, scripts::S3Scripts};
use shiftwork_job_launcher::{ENVIRONMENT, Launcher};
use shiftwork_settlement::wiring;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let launcher = Launcher {
            jobs: wiring::jobs(&aws, &environment)?,
            statements: wiring::statements(&aws, &environment)?,
            scripts: Arc::new(S3Scripts::new(aws.config(), environment.get("SCRIPTS_BUCKET")?)),
        };
        Ok(async move |event: lambda::Event<_>| launcher.handle(event.payload).await)
    })
}
