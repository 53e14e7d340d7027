//! The job callback as a Lambda function.

use std::process::ExitCode;

use shiftwork_aws::{client::Aws, environment::Environment, lambda};
use shiftwork_job_callback::{ENVIRONMENT, handle};
use shiftwork_settlement::wiring;

fn main() -> ExitCode {
    lambda::start(|| {
        let runs = wiring::runs(&Aws::from_env()?, &Environment::read(ENVIRONMENT)?)?;
        Ok(async move |event: lambda::Event<_>| handle(&runs, &event.payload).await)
    })
}
