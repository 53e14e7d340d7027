//! The function of the peer: submits a statement, or says how it stands. What a hand-made state machine calls in turn.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use aws_sdk_redshiftdata::Client;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_aws::client::Aws;

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Request {
    Submit { workgroup: String, database: String, name: String },
    Describe { id: String },
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Error> {
    let client = Client::new(Aws::from_env()?.config());
    let client = &client;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Request>| {
        answer(client, event.payload).await.map_err(|error| format!("{error:#}"))
    }))
    .await
}

async fn answer(client: &Client, request: Request) -> Result<Value> {
    match request {
        Request::Submit { workgroup, database, name } => {
            let submit = client
                .execute_statement()
                .workgroup_name(workgroup)
                .database(database)
                .statement_name(name)
                .sql("select 1");
            let submitted = submit.send().await.context("ExecuteStatement")?;
            Ok(json!({ "id": submitted.id }))
        }
        Request::Describe { id } => {
            let described = client.describe_statement().id(id).send().await.context("DescribeStatement")?;
            Ok(json!({ "status": described.status.map(|status| status.as_str().to_owned()) }))
        }
    }
}
