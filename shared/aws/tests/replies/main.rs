//! The adapters over canned responses of AWS: how each response is interpreted, and what was requested.
#![allow(clippy::unwrap_used, reason = "a canned response or a call that fails here fails the test")]

mod warehouse;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::{
    client::orchestrator::{HttpRequest, HttpResponse},
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use shiftwork_aws::{
    executions::StepFunctionsExecutions,
    ledger::{DynamoLedger, Tables},
    notices::AwsNotices,
    objects::S3Objects,
    queues::{SqsDeadLetters, SqsRequests},
    sweeps::{SchedulerSweeps, SweepTarget},
    tokens::StepFunctionsTokens,
    warehouse::RedshiftWarehouse,
};
use shiftwork_ports::{
    Bucket, DeadLetters, EngineReport, Execution, Executions, Ledger, Listed, Notices, Progress, Requests, Session,
    Submission, Sweeps, TaskTokens, Warehouse, scripts,
};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind, Owner, ScriptPin, Status, Times,
    event::{Event, JobEnded},
    name::sha256,
    payload::{JobEnd, RunInput, RunRequest},
};

/// AWS with canned responses, in order.
struct Canned {
    config: SdkConfig,
    http: StaticReplayClient,
}

impl Canned {
    fn new(responses: impl IntoIterator<Item = (u16, String)>) -> Self {
        let events = responses.into_iter().map(|(status, body)| {
            let status = StatusCode::try_from(status).unwrap();
            ReplayEvent::new(HttpRequest::new(SdkBody::empty()), HttpResponse::new(status, SdkBody::from(body)))
        });
        let http = StaticReplayClient::new(events.collect());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .retry_config(RetryConfig::disabled())
            .http_client(http.clone())
            .build();
        Self { config, http }
    }

    fn json(responses: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self::new(responses.into_iter().map(|(status, body)| (status, body.to_string())))
    }

    fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(std::sync::Arc::new(S3Objects::new(&self.config)), name)
    }

    /// The bodies of the requests so far.
    fn requested(&self) -> Vec<Value> {
        self.http
            .actual_requests()
            .map(|request| serde_json::from_slice(request.body().bytes().unwrap()).unwrap())
            .collect()
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"__type": code, "message": message, "Message": message})
}

#[tokio::test]
async fn a_closed_token_is_a_success() {
    for code in ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"] {
        let aws = Canned::json(vec![(400, error(code, "closed")); 4]);
        let tokens = StepFunctionsTokens::new(&aws.config);
        let end = JobEnd { job_name: "job".into(), execution_status: Status::Succeeded };
        assert_eq!(tokens.release("t").await, Ok(()));
        assert_eq!(tokens.end("t", &end).await, Ok(()));
        assert_eq!(tokens.fail("t", &Failure::new(FailureKind::StatementFailed, "é".repeat(40_000))).await, Ok(()));
        assert_eq!(tokens.proceed("t").await, Ok(()));
        let requested = aws.requested();
        assert_eq!(requested[0]["output"], "{}");
        assert_eq!(requested[1]["output"], json!({"job_name": "job", "execution_status": "SUCCEEDED"}).to_string());
        assert_eq!(requested[2]["error"], "Shiftwork.StatementFailed");
        assert_eq!(requested[2]["cause"].as_str().unwrap().len(), 32_768);
        assert_eq!(requested[3]["error"], "Shiftwork.Proceed");
    }
    let aws = Canned::json([(400, error("InvalidOutput", "too long"))]);
    let failure = StepFunctionsTokens::new(&aws.config).release("secret").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(!failure.message.contains("secret"), "{failure}");
}

#[tokio::test]
async fn an_execution_is_named_by_its_run() {
    let aws = Canned::json([
        (400, error("ExecutionAlreadyExists", "done")),
        (400, error("ExecutionDoesNotExist", "none")),
        (200, json!({"executionArn": "x", "stateMachineArn": "y", "startDate": 0, "status": "RUNNING"})),
        (
            200,
            json!({"executionArn": "x", "stateMachineArn": "y", "startDate": 0, "status": "FAILED",
                   "error": "States.Runtime", "cause": "why"}),
        ),
    ]);
    let executions =
        StepFunctionsExecutions::new(&aws.config, "arn:aws:states:eu-central-1:1:stateMachine:shiftwork-run");
    assert_eq!(executions.start(&RunInput { workflow_execution_id: "run".into() }).await, Ok(()));
    assert_eq!(executions.state("run").await, Ok(None));
    assert_eq!(executions.state("run").await, Ok(Some(Execution::Running)));
    let reason = "FAILED: States.Runtime: why".into();
    assert_eq!(executions.state("run").await, Ok(Some(Execution::Closed { reason })));
    let requested = aws.requested();
    assert_eq!(
        (&requested[0]["name"], &requested[0]["input"]),
        (&json!("run"), &json!(r#"{"workflow_execution_id":"run"}"#))
    );
    assert_eq!(requested[1]["executionArn"], "arn:aws:states:eu-central-1:1:execution:shiftwork-run:run");
}

#[tokio::test]
async fn a_watched_run_is_watched_once() {
    let aws = Canned::json([
        (409, error("ConflictException", "is there")),
        (404, error("ResourceNotFoundException", "gone")),
    ]);
    let target = SweepTarget { group: "shiftwork".into(), function_arn: "arn:f".into(), role_arn: "arn:r".into() };
    let sweeps = SchedulerSweeps::new(&aws.config, target);
    assert_eq!(sweeps.watch("run", "2026-03-01T02:00:00Z".parse().unwrap()).await, Ok(()));
    let requested = &aws.requested()[0];
    assert_eq!(requested["Target"], json!({"Arn": "arn:f", "RoleArn": "arn:r", "Input": r#"{"sweep":"run"}"#}));
    assert_eq!(
        (&requested["ScheduleExpression"], &requested["ActionAfterCompletion"]),
        (&json!("rate(1 minute)"), &json!("DELETE"))
    );
    assert_eq!(requested["GroupName"], "shiftwork");
    assert!(requested["EndDate"].as_f64() > requested["StartDate"].as_f64());
    // The body of a DELETE is empty, so it is not compared.
    assert_eq!(sweeps.unwatch("run").await, Ok(()));
}

#[tokio::test]
async fn events_that_were_not_accepted_are_sent_once_more() {
    let event = |job: &str| {
        Event::Job(JobEnded {
            idempotency_key: format!("run/{job}"),
            workflow_id: "w".into(),
            workflow_execution_id: "run".into(),
            logical_date: None,
            time_zone: None,
            job_name: job.into(),
            execution_status: Status::Succeeded,
            skip_reason: None,
            execution_start_ts: None,
            execution_end_ts: None,
            error_message: None,
            rows: None,
            dropped_rows: None,
            times: Times::default(),
            caused_by: Vec::new(),
        })
    };
    let half = json!({"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure", "ErrorMessage": "m"}]});
    let whole = json!({"FailedEntryCount": 0, "Entries": [{"EventId": "2"}]});
    let none = json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "m"}]});

    let aws = Canned::json([(200, half.clone()), (200, whole)]);
    let notices = AwsNotices::new(&aws.config, "bus", "arn:topic");
    assert_eq!(notices.publish(&[event("a"), event("b")]).await, Ok(()));
    let again = &aws.requested()[1]["Entries"];
    assert_eq!(again.as_array().unwrap().len(), 1);
    assert_eq!((&again[0]["Source"], &again[0]["EventBusName"]), (&json!("shiftwork"), &json!("bus")));
    assert!(again[0]["Detail"].as_str().unwrap().contains("run/b"));

    let aws = Canned::json([(200, half), (200, none)]);
    let failure =
        AwsNotices::new(&aws.config, "bus", "arn:topic").publish(&[event("a"), event("b")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("InternalFailure: m"), "{failure}");
}

#[tokio::test]
async fn a_script_is_the_pinned_bytes_or_unreadable() {
    let pin =
        |text: &str| ScriptPin { key: "a.sql".into(), version_id: "v".into(), sha256: sha256(text), statements: 1 };
    let xml = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    let aws = Canned::new([
        (200, "SELECT 1".to_owned()),
        (200, "SELECT 2".to_owned()),
        (404, xml("NoSuchVersion")),
        (405, xml("MethodNotAllowed")),
        (404, xml("NoSuchKey")),
        (200, "no version in this response".to_owned()),
        (403, xml("AccessDenied")),
        (503, xml("SlowDown")),
    ]);
    let bucket = aws.bucket("scripts");
    assert_eq!(scripts::pinned(&bucket, &pin("SELECT 1")).await.unwrap(), "SELECT 1");
    for _ in 0..3 {
        let failure = scripts::pinned(&bucket, &pin("SELECT 1")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::ScriptUnreadable);
        assert!(failure.message.contains("s3://scripts/a.sql (version v)"), "{failure}");
    }
    assert_eq!(scripts::newest(&bucket, "a.sql").await, Ok(None));
    assert_eq!(scripts::newest(&bucket, "a.sql").await.unwrap_err().kind, FailureKind::ScriptUnreadable);
    assert_eq!(scripts::newest(&bucket, "a.sql").await.unwrap_err().kind, FailureKind::AccessDenied);
    assert_eq!(scripts::newest(&bucket, "a.sql").await.unwrap_err().kind, FailureKind::Throttled);
}

#[tokio::test]
async fn a_transaction_conflict_is_retried_within_the_call() {
    let tables = Tables { workflow_audit: "runs".into(), job_audit: "jobs".into(), leases: "leases".into() };
    let conflict = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": "cancelled",
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "ongoing"}],
    });
    let now = "2026-03-01T02:00:00Z".parse().unwrap();
    let aws = Canned::json([(400, conflict.clone()), (400, conflict.clone()), (200, json!({}))]);
    let begun = DynamoLedger::new(&aws.config, tables.clone()).begin("w", "run", now, now).await;
    assert_eq!(begun, Ok(shiftwork_ports::Begun::Running));
    assert_eq!(aws.requested().len(), 3);

    let aws = Canned::json(vec![(400, conflict); 5]);
    let failure = DynamoLedger::new(&aws.config, tables).begin("w", "run", now, now).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled);
    assert!(failure.message.contains("action 2: TransactionConflict: ongoing"), "{failure}");
}

#[tokio::test]
async fn put_once_returns_the_content_of_the_first_writer() {
    let xml = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    let aws = Canned::new([
        (412, xml("PreconditionFailed")),
        (200, "theirs".to_owned()),
        // Another writer is active, but does not write the object.
        (409, xml("ConditionalRequestConflict")),
        (404, xml("NoSuchKey")),
        (200, String::new()),
        (403, xml("AccessDenied")),
    ]);
    let staging = aws.bucket("staging");
    assert_eq!(staging.put_once("a", b"ours".to_vec()).await, Ok(b"theirs".to_vec()));
    assert_eq!(staging.put_once("a", b"ours".to_vec()).await, Ok(b"ours".to_vec()));
    let failure = staging.put_once("a", b"ours".to_vec()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::AccessDenied);
    assert!(failure.message.contains("s3://staging/a"), "{failure}");
    let puts = aws.http.actual_requests().filter(|request| request.method() == "PUT");
    assert!(puts.into_iter().all(|put| put.headers().get("if-none-match") == Some("*")));
}

#[tokio::test]
async fn an_object_that_could_not_be_deleted_is_a_failure() {
    let response =
        "<DeleteResult><Error><Key>b</Key><Code>InternalError</Code><Message>m</Message></Error></DeleteResult>";
    let aws = Canned::new([(200, response.to_owned())]);
    let failure = aws.bucket("staging").delete(&["a".into(), "b".into()]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("b: InternalError"), "{failure}");
}

#[tokio::test]
async fn a_request_is_delayed_up_to_the_maximum_of_the_queue() {
    let aws = Canned::json([(200, json!({"MessageId": "1"})), (200, json!({"MessageId": "2"}))]);
    let requests = SqsRequests::new(&aws.config, "https://sqs.eu-central-1.amazonaws.com/1/requests");
    let request = RunRequest { workflow_id: "w".into(), ..RunRequest::default() };
    for after in [1_500, 2_000_000] {
        requests.request(&request, std::time::Duration::from_millis(after)).await.unwrap();
    }
    let requested = aws.requested();
    // The delay is rounded up to a whole second, so that the staged files are visible when the run begins.
    assert_eq!([&requested[0]["DelaySeconds"], &requested[1]["DelaySeconds"]], [&json!(2), &json!(900)]);
    assert_eq!(requested[0]["MessageBody"], r#"{"workflow_id":"w"}"#);
}

#[tokio::test]
async fn a_message_that_was_not_accepted_is_a_failure() {
    let failed = json!({"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "Message": "m", "SenderFault": false}]});
    let aws = Canned::json([(200, failed)]);
    let letters = SqsDeadLetters::new(&aws.config, "https://sqs.eu-central-1.amazonaws.com/1/letters");
    let failure = letters.put(&["{}".into()]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("InternalError: m"), "{failure}");
    assert_eq!(letters.put(&["x".repeat(300_000)]).await.unwrap_err().kind, FailureKind::Refused);
}
