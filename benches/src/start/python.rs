use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::Subject;

/// A Python function with boto3 that makes the same two calls with the same Runtime API.
const FUNCTION: &str = r#"
import http.client, json, os
import boto3

host = os.environ["AWS_LAMBDA_RUNTIME_API"]
items = boto3.client("dynamodb")
tokens = boto3.client("stepfunctions")
api = http.client.HTTPConnection(host)
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse()
    body = event.read()
    items.get_item(TableName="jobs", Key={"id": {"S": "a"}})
    tokens.send_task_success(taskToken="token", output="{}")
    request = event.headers["lambda-runtime-aws-request-id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", body)
    api.getresponse().read()
"#;

/// The peer, if a Python interpreter with boto3 exists; nothing is installed for it.
pub(crate) fn subject() -> Option<Subject> {
    let python = [".venv/bin/python", "python3"].into_iter().find(|python| has_boto3(python))?;
    Some(Subject::script("Python with boto3", PathBuf::from(python), vec!["-c".into(), FUNCTION.into()]))
}

fn has_boto3(python: &str) -> bool {
    Command::new(python)
        .args(["-c", "import boto3"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
