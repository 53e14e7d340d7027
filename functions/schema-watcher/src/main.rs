//! The Lambda function schema-watcher.

use std::process::ExitCode;

use shiftwork_aws::{client::Aws, environment, lambda};
use shiftwork_schema_watcher::{Environment, Watcher};

fn main() -> ExitCode {
    lambda::start(|| {
        let watcher = Watcher::over(&Aws::from_env()?, &environment::read::<Environment>()?);
        Ok(async move |event: lambda::Event<_>| watcher.handle(&event.payload).await)
    })
}
