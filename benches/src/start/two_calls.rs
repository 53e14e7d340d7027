//! The overhead of shiftwork's client and Lambda adapter: a function that makes two AWS calls.

use std::process::ExitCode;

use aws_sdk_dynamodb::types::AttributeValue;
use shiftwork_aws::client::Aws;
use shiftwork_aws::lambda;
use shiftwork_protocol::{Failure, FailureKind};

fn main() -> ExitCode {
    lambda::start(|| {
        let aws = Aws::from_env()?;
        let items = aws_sdk_dynamodb::Client::new(aws.config());
        let tokens = aws_sdk_sfn::Client::new(aws.config());
        Ok(async move |event: lambda::Event<serde_json::Value>| {
            let key = AttributeValue::S("a".to_owned());
            let read = items.get_item().table_name("jobs").key("id", key).send();
            read.await.map_err(|error| unavailable("GetItem", &error))?;
            let settled = tokens.send_task_success().task_token("token").output("{}").send();
            settled.await.map_err(|error| unavailable("SendTaskSuccess", &error))?;
            Ok(event.payload)
        })
    })
}

fn unavailable(call: &str, error: &impl std::fmt::Debug) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("{call}: {error:?}"))
}
