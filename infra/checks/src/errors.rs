//! The names in `Retry` and `Catch`.

use std::collections::BTreeSet;

use serde_json::Value;
use shiftwork_ports::{PAUSE, PROCEED, WAIT};
use shiftwork_protocol::{Class, FailureKind, limits};

use crate::{Findings, asl, shape::names};

/// Errors of a Lambda invocation that a retry can fix.
///
/// The first four: Step Functions Developer Guide, "Handle transient Lambda service exceptions". The others: "Error
/// handling", Lambda: too many invocations, a runtime that died (`Runtime.ExitError` is how the Runtime API names it) or
/// ran out of time.
pub const LAMBDA: [&str; 8] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
];

/// Errors of a write to DynamoDB that a retry can fix: the exceptions of `UpdateItem` in the AWS SDK for Java 2.x, whose names
/// the SDK integrations report, under their prefix `DynamoDb` (Step Functions Developer Guide, "DynamoDB: exception prefix
/// differences"). `DynamoDbException` is every error that the SDK has no exception for.
pub const DYNAMODB: [&str; 8] = [
    "DynamoDb.ProvisionedThroughputExceededException",
    "DynamoDb.RequestLimitExceededException",
    "DynamoDb.ThrottlingException",
    "DynamoDb.TransactionConflictException",
    "DynamoDb.ReplicatedWriteConflictException",
    "DynamoDb.InternalServerErrorException",
    "DynamoDb.DynamoDbException",
    "DynamoDb.SdkClientException",
];

/// Errors that mean that there is no capacity at the moment. They are retried for as long as a run may last.
pub const CAPACITY: [&str; 2] = ["Lambda.TooManyRequestsException", "Shiftwork.ActiveStatementsExceeded"];

/// The condition of an update did not hold: an expected result, not a failure.
pub const CONDITION_FAILED: &str = "DynamoDb.ConditionalCheckFailedException";

/// Every other error.
pub const ALL: &str = "States.ALL";

/// The errors that lead to another state instead of a retry.
const TO_BE_CAUGHT: [&str; 5] = [PROCEED, PAUSE, WAIT, CONDITION_FAILED, ALL];

/// What is wrong with the names of a state machine.
pub fn findings(machine: &Value) -> Findings {
    let mut findings = Findings::new();
    for (name, state) in asl::states(machine) {
        let retried = listed(state, "Retry");
        let caught = listed(state, "Catch");
        let required = required(state);
        let problems = retried
            .iter()
            .filter_map(|error| retry_problem(error))
            .chain(caught.iter().filter_map(|error| catch_problem(error)))
            .chain(required.difference(&retried).map(|error| format!("does not retry `{error}`")))
            .chain(state["Retry"].as_array().into_iter().flatten().filter_map(backoff_problem))
            .chain(state["Retry"].as_array().into_iter().flatten().filter_map(capacity_problem));
        findings.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
    findings
}

fn listed(state: &Value, field: &str) -> BTreeSet<String> {
    let rules = state[field].as_array().into_iter().flatten();
    let errors = rules.flat_map(|rule| rule["ErrorEquals"].as_array().into_iter().flatten());
    errors.filter_map(Value::as_str).map(Into::into).collect()
}

/// The errors that a state must retry: those of its service, and the retryable ones of our function. Only the launcher returns
/// those of Redshift.
fn required(state: &Value) -> BTreeSet<String> {
    let resource = state["Resource"].as_str().unwrap_or_default();
    let mut required = BTreeSet::new();
    if resource.contains(":dynamodb:") {
        required.extend(DYNAMODB.map(String::from));
    }
    if resource.contains(":lambda:") {
        required.extend(LAMBDA.map(String::from));
        let launches = state["Parameters"]["FunctionName"] == "${JobLauncherFunctionArn}";
        let ours = FailureKind::ALL.into_iter().filter(|kind| match kind.class() {
            Class::Retryable => launches || matches!(kind, FailureKind::Throttled | FailureKind::Unavailable),
            Class::Terminal | Class::Duplicate => false,
        });
        required.extend(ours.map(|kind| kind.name().to_owned()));
    }
    required
}

fn retry_problem(error: &str) -> Option<String> {
    match FailureKind::from_name(error).map(FailureKind::class) {
        Some(Class::Retryable) => None,
        Some(class @ (Class::Terminal | Class::Duplicate)) => Some(format!("retries `{error}`, which is {class:?}")),
        None if LAMBDA.contains(&error) || DYNAMODB.contains(&error) => None,
        None if TO_BE_CAUGHT.contains(&error) => Some(format!("retries `{error}`, which is to be caught")),
        None => Some(unknown(error)),
    }
}

fn catch_problem(error: &str) -> Option<String> {
    let known = TO_BE_CAUGHT.contains(&error) || FailureKind::from_name(error).is_some();
    (!known).then(|| unknown(error))
}

fn unknown(error: &str) -> String {
    let ours = FailureKind::ALL.map(FailureKind::name);
    if error.starts_with("Shiftwork.") {
        format!("`{error}` is not one of {}", names(ours))
    } else {
        format!("`{error}` is not an error name that AWS documents here")
    }
}

fn backoff_problem(retrier: &Value) -> Option<String> {
    let number = |field: &str| retrier[field].as_f64().unwrap_or_default();
    let fair = retrier["JitterStrategy"] == "FULL"
        && number("BackoffRate") > 1.0
        && number("MaxAttempts") >= 1.0
        && number("MaxDelaySeconds") > number("IntervalSeconds");
    (!fair).then(|| format!("retries {} without a growing, capped and jittered delay", retrier["ErrorEquals"]))
}

/// Checks that a retrier of [`CAPACITY`] waits on average until the run times out. With full jitter, a delay is on average half
/// of its maximum.
fn capacity_problem(retrier: &Value) -> Option<String> {
    let errors: Vec<_> = retrier["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let error = errors.iter().find(|error| CAPACITY.contains(error))?;
    let number = |field: &str| retrier[field].as_f64().unwrap_or_default();
    let attempts = retrier["MaxAttempts"].as_u64().unwrap_or_default();
    let longest = std::iter::successors(Some(number("IntervalSeconds")), |delay| Some(delay * number("BackoffRate")));
    let waited: f64 =
        longest.map(|delay| delay.min(number("MaxDelaySeconds")) / 2.0).zip(0..attempts).map(|(s, _)| s).sum();
    let lasts = f64::from(limits::EXECUTION_SECONDS);
    (waited < lasts).then(|| format!("waits for {waited} s after `{error}`, but a run may last {lasts} s"))
}
