//! Each function may do its own work and no other's. That it may do its own, every other test shows: the laptop's AWS
//! refuses what a role does not allow.

use shiftwork_aws::client::Aws;
use shiftwork_e2e::Stack;

async fn role_of(stack: &Stack, function: &str) -> aws_sdk_dynamodb::config::SharedCredentialsProvider {
    let function =
        stack.lambda.get_function_configuration().function_name(stack.output(function)).send().await.unwrap();
    let config = Aws::from_env().unwrap().assume(function.role().unwrap(), "e2e");
    config.credentials_provider().unwrap()
}

#[tokio::test]
async fn the_iterator_cannot_reach_redshift_nor_change_a_job() {
    let Some(stack) = Stack::shared().await else { return };
    let credentials = role_of(&stack, "IteratorFunction").await;
    let data = stack.data.config().to_builder().credentials_provider(credentials.clone()).build();
    let data = aws_sdk_redshiftdata::Client::from_conf(data);
    let refused =
        data.execute_statement().workgroup_name("default-workgroup").database("dev").sql("select 1").send().await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("AccessDenied"));
    let dynamodb = stack.dynamodb.config().to_builder().credentials_provider(credentials).build();
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb);
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.into());
    let put = dynamodb.put_item().table_name(stack.output("JobAuditTable"));
    let refused = put.item("workflow_execution_id", text("x")).item("job_name", text("x")).send().await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("AccessDenied"));
    let read =
        dynamodb.get_item().table_name(stack.output("WorkflowAuditTable")).key("workflow_execution_id", text("x"));
    read.send().await.expect("its own work it may do");
}
