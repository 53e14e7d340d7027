//! The one place where an answer of AWS becomes a failure of ours: its kind says what to do, its words keep AWS's own
//! and say which call it was and on what.

use std::fmt::Display;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shiftwork_protocol::{Failure, FailureKind};

/// A call that is about to be made: what its failure names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    operation: &'static str,
    resource: &'a str,
}

impl<'a> Call<'a> {
    /// `operation` with its service, as `DynamoDB UpdateItem`; `resource` as a person finds it.
    pub(crate) const fn new(operation: &'static str, resource: &'a str) -> Self {
        Self { operation, resource }
    }

    /// What the SDK answered, as ours.
    #[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
    pub(crate) fn failed<E>(self, error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.failure(kind(&error), words(&error))
    }

    /// A failure of this call in words of our own.
    pub(crate) fn failure(self, kind: FailureKind, words: impl Display) -> Failure {
        Failure::new(kind, format!("{} on {}: {words}", self.operation, self.resource))
    }
}

/// AWS's code and message and the request's id, which AWS Support asks for; the chain of causes where AWS never answered.
fn words<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.as_service_error() {
        Some(service) => {
            let meta = service.meta();
            // No code: an answer that does not read. Its cause says where it stopped reading.
            let Some(code) = meta.code() else { return chain(service) };
            let mut words = code.to_owned();
            if let Some(message) = meta.message() {
                words = format!("{words}: {message}");
            }
            if let Some(id) = meta.extra("aws_request_id") {
                words = format!("{words} (request {id})");
            }
            words
        }
        None => chain(error),
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

fn kind<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> FailureKind {
    match error {
        // The request could not even be built: a required field is empty, an endpoint does not read.
        SdkError::ConstructionFailure(_) => FailureKind::Refused,
        SdkError::ServiceError(answer) => match answer.err().code().and_then(kind_of_code) {
            Some(kind) => kind,
            None => kind_of_status(answer.raw().status().as_u16()),
        },
        // No answer, or none that reads: what was asked for may have been done. `SdkError` may grow variants; one that
        // we do not know has no answer of the service in it either.
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
            FailureKind::Unavailable
        }
    }
}

/// What AWS's error codes mean, over all services that we call. `None` for the codes that the status explains as well.
fn kind_of_code(code: &str) -> Option<FailureKind> {
    Some(match code {
        "ActiveStatementsExceededException" => FailureKind::ActiveStatementsExceeded,
        "DatabaseConnectionException" => FailureKind::ConnectionLost,

        // Another transaction touched the item at the same moment; the same call a moment later succeeds.
        "TransactionConflictException"
        | "TransactionInProgressException"
        | "ConflictingOperationException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "Throttled"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded"
        | "SlowDown"
        | "PriorRequestNotComplete"
        | "KMSThrottlingException"
        | "KMSThrottling"
        | "ExecutionLimitExceeded"
        | "ServiceQuotaExceededException"
        | "ActiveSessionsExceededException"
        | "ActiveWaitingRequestsExceededException" => FailureKind::Throttled,

        // `ExecuteStatementException`: "an environmental error", by its documentation; the SQL has not been judged yet.
        "InternalServerException"
        | "InternalServerError"
        | "InternalException"
        | "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "QueryTimeoutException"
        | "ExecuteStatementException"
        | "BatchExecuteStatementException"
        | "ReplicatedWriteConflictException" => FailureKind::Unavailable,

        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "KMSAccessDenied"
        | "KMSAccessDeniedException"
        | "KmsAccessDeniedException"
        | "StateMachineAccessDenied" => FailureKind::AccessDenied,

        "ConditionalCheckFailedException" => FailureKind::AlreadyDone,
        _ => return None,
    })
}

const fn kind_of_status(status: u16) -> FailureKind {
    match status {
        401 | 403 => FailureKind::AccessDenied,
        429 => FailureKind::Throttled,
        // A success that does not read is no refusal: the work was done, and its answer lost.
        0..400 | 408 | 500.. => FailureKind::Unavailable,
        400..500 => FailureKind::Refused,
    }
}
