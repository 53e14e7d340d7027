//! Entry point of the Lambda function job-launcher.

use std::process::ExitCode;

use shiftwork_aws::{client::Aws, environment, lambda};
use shiftwork_job_launcher::{Environment, Launcher};

fn main() -> ExitCode {
    lambda::start(|| {
        let launcher = Launcher::over(&Aws::from_env()?, &environment::read::<Environment>()?);
        Ok(async move |event: lambda::Event<_>| launcher.handle(event.payload).await)
    })
}
