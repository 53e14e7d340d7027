//! Each function has only the permissions that it needs. All other tests show that it has these, because the local
//! stack enforces IAM policies.

use aws_sdk_dynamodb::types::AttributeValue;
use shiftwork_e2e::Stack;

fn denied<T: std::fmt::Debug, E: std::fmt::Debug>(what: &str, result: Result<T, E>) {
    let error = format!("{:?}", result.expect_err(what));
    assert!(error.contains("AccessDenied"), "{what}: {error}");
}

#[tokio::test]
async fn iterator_cannot_run_sql_write_jobs_or_read_configuration_and_scripts() {
    let stack = Stack::shared().await;
    let iterator = stack.as_function("IteratorFunction").await;
    let text = |text: &str| AttributeValue::S(text.into());

    let data = aws_sdk_redshiftdata::Client::new(&iterator);
    let submit = data.execute_statement().workgroup_name("default-workgroup").database("dev").sql("select 1");
    denied("it runs SQL", submit.send().await);
    denied("it lists statements", data.list_statements().send().await);
    let dynamodb = aws_sdk_dynamodb::Client::new(&iterator);
    let put = dynamodb.put_item().table_name(stack.output("JobAuditTable"));
    let put = put.item("workflow_execution_id", text("x")).item("job_name", text("x"));
    denied("it writes jobs", put.send().await);
    let read = dynamodb.get_item().table_name(stack.output("ConfigTable")).key("workflow_id", text("x"));
    denied("it reads the configuration", read.send().await);
    let read = aws_sdk_s3::Client::new(&iterator).get_object().bucket(stack.output("ScriptsBucket")).key("x");
    denied("it reads scripts", read.send().await);

    let own =
        dynamodb.get_item().table_name(stack.output("WorkflowAuditTable")).key("workflow_execution_id", text("x"));
    own.send().await.expect("the iterator reads runs");
}

#[tokio::test]
async fn job_launcher_cannot_start_runs_or_read_the_configuration() {
    let stack = Stack::shared().await;
    let launcher = stack.as_function("JobLauncherFunction").await;
    let start =
        aws_sdk_sfn::Client::new(&launcher).start_execution().state_machine_arn(stack.output("RunStateMachine"));
    denied("it starts runs", start.send().await);
    let scan = aws_sdk_dynamodb::Client::new(&launcher).scan().table_name(stack.output("ConfigTable"));
    denied("it reads the configuration", scan.send().await);
    // SQL runs with a separate role, not with the role of the function.
    let data = aws_sdk_redshiftdata::Client::new(&launcher);
    let submit = data.execute_statement().workgroup_name("default-workgroup").database("dev").sql("select 1");
    denied("it runs SQL with its own role", submit.send().await);
}

#[tokio::test]
async fn cdc_loader_cannot_read_or_delete_objects_or_run_sql() {
    let stack = Stack::shared().await;
    let loader = stack.as_function("CdcLoaderFunction").await;
    let (s3, bucket) = (aws_sdk_s3::Client::new(&loader), stack.output("StagingBucket"));
    let nothing = || aws_sdk_s3::primitives::ByteStream::from_static(b"");
    denied("it deletes staged files", s3.delete_object().bucket(bucket).key("staged/x").send().await);
    denied("it writes manifests", s3.put_object().bucket(bucket).key("manifests/x").body(nothing()).send().await);
    denied("it reads staged files", s3.get_object().bucket(bucket).key("staged/x").send().await);
    let scripts = stack.output("ScriptsBucket");
    denied("it reads scripts", s3.get_object().bucket(scripts).key("workflows/x/a.sql").send().await);
    denied("it writes contracts", s3.put_object().bucket(scripts).key("contracts/x.yaml").body(nothing()).send().await);
    let data = aws_sdk_redshiftdata::Client::new(&loader);
    denied(
        "it runs SQL",
        data.execute_statement().workgroup_name("local").database("dev").sql("select 1").send().await,
    );
    s3.put_object()
        .bucket(bucket)
        .key("staged/x/y")
        .body(nothing())
        .send()
        .await
        .expect("the loader writes staged files");
    stack.s3.delete_object().bucket(bucket).key("staged/x/y").send().await.expect("the root user has all permissions");
}

#[tokio::test]
async fn job_callback_can_only_delete_staged_files() {
    let stack = Stack::shared().await;
    let s3 = aws_sdk_s3::Client::new(&stack.as_function("JobCallbackFunction").await);
    let bucket = stack.output("StagingBucket");
    for key in ["manifests/x", "unclaimed/x", "refused/x"] {
        denied("it deletes other objects", s3.delete_object().bucket(bucket).key(key).send().await);
    }
    denied("it reads staged files", s3.get_object().bucket(bucket).key("staged/x").send().await);
    s3.delete_object().bucket(bucket).key("staged/x").send().await.expect("the callback deletes staged files");
}
