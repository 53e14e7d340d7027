//! Entry point of the Lambda function audit-updater.

use std::{process::ExitCode, sync::Arc};

use shiftwork_audit_updater::handle;
use shiftwork_aws::{client::Aws, environment, lambda, objects::S3Objects};
use shiftwork_wiring::{RunsEnvironment, runs};

fn main() -> ExitCode {
    lambda::start(|| {
        let aws = Aws::from_env()?;
        let runs = runs(&aws, &environment::read::<RunsEnvironment>()?, Arc::new(S3Objects::new(aws.config())));
        Ok(async move |event: lambda::Event<_>| handle(&runs, &event.payload).await)
    })
}
