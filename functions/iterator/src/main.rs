//! The iterator as a Lambda function.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{client::Aws, environment::Environment, lambda};
use shiftwork_iterator::{ENVIRONMENT, RunIterator};
use shiftwork_ports::SystemClock;
use shiftwork_settlement::wiring;

fn main() -> ExitCode {
    lambda::start(|| {
        let (aws, environment) = (Aws::from_env()?, Environment::read(ENVIRONMENT)?);
        let iterator = RunIterator { ledger: wiring::ledger(&aws, &environment)?, clock: Arc::new(SystemClock) };
        Ok(async move |event: lambda::Event<_>| iterator.handle(event.payload).await)
    })
}
