//! The function of the peer and of the busy floor: submits a statement, returns the status of a statement, or makes
//! requests that change nothing.

use std::process::ExitCode;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_aws::client::Aws;
use shiftwork_aws::lambda;
use shiftwork_protocol::{Failure, FailureKind};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Request {
    /// Submit `select 1` with a name.
    Submit { workgroup: String, database: String, name: String },
    /// Return the status of a statement.
    Describe { id: String },
    /// Make conditional updates whose condition is false.
    Touch { table: String, times: u32 },
}

struct Clients {
    statements: aws_sdk_redshiftdata::Client,
    items: aws_sdk_dynamodb::Client,
}

fn main() -> ExitCode {
    lambda::start(|| {
        let aws = Aws::from_env()?;
        let clients = Clients {
            statements: aws_sdk_redshiftdata::Client::new(aws.config()),
            items: aws_sdk_dynamodb::Client::new(aws.config()),
        };
        Ok(async move |event: lambda::Event<Request>| clients.handle(event.payload).await)
    })
}

impl Clients {
    async fn handle(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::Submit { workgroup, database, name } => {
                let submit = self.statements.execute_statement().workgroup_name(workgroup).database(database);
                let submitted = submit.statement_name(name).sql("select 1").send().await;
                Ok(json!({ "id": submitted.map_err(|error| unavailable(&error))?.id }))
            }
            Request::Describe { id } => {
                let described = self.statements.describe_statement().id(id).send().await;
                let status = described.map_err(|error| unavailable(&error))?.status;
                Ok(json!({ "status": status.map(|status| status.as_str().to_owned()) }))
            }
            Request::Touch { table, times } => {
                for _ in 0..times {
                    self.touch(&table).await?;
                }
                Ok(Value::Null)
            }
        }
    }

    async fn touch(&self, table: &str) -> Result<(), Failure> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = self
            .items
            .update_item()
            .table_name(table)
            .key("workflow_execution_id", text("bench"))
            .key("job_name", text("bench"))
            .update_expression("SET touched = :now")
            .condition_expression("attribute_exists(workflow_id)")
            .expression_attribute_values(":now", text("now"));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn unavailable(error: &(impl std::error::Error + 'static)) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("{error}: {:?}", error.source().map(ToString::to_string)))
}
