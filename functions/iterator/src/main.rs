//! Entry point of the Lambda function iterator.

use std::{process::ExitCode, sync::Arc};

use shiftwork_aws::{
    client::Aws,
    environment, lambda,
    ledger::{DynamoLedger, LedgerEnvironment},
};
use shiftwork_iterator::RunIterator;
use shiftwork_ports::SystemClock;

fn main() -> ExitCode {
    lambda::start(|| {
        let ledger = Arc::new(DynamoLedger::of_function(&Aws::from_env()?, &environment::read::<LedgerEnvironment>()?));
        let iterator = RunIterator { ledger, clock: Arc::new(SystemClock) };
        Ok(async move |event: lambda::Event<_>| iterator.handle(event.payload).await)
    })
}
