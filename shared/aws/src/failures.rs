//! Turns an error of AWS into a [`Failure`]: its kind says what to do, its message has the call, the resource and the message of
//! AWS.

use std::fmt::Display;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shiftwork_protocol::{Failure, FailureKind};

/// A call and its resource, for the message of its failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    operation: &'static str,
    resource: &'a str,
}

impl<'a> Call<'a> {
    /// `operation` with its service: `DynamoDB UpdateItem`. `resource` as the console shows it.
    pub(crate) const fn new(operation: &'static str, resource: &'a str) -> Self {
        Self { operation, resource }
    }

    /// The failure of an error of the SDK.
    #[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
    pub(crate) fn failed<E>(self, error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.failure(kind(&error), message(&error))
    }

    /// A failure of this call with a message of its own.
    pub(crate) fn failure(self, kind: FailureKind, message: impl Display) -> Failure {
        Failure::new(kind, format!("{} on {}: {message}", self.operation, self.resource))
    }
}

/// The code and message of AWS, and the ID of the request, which AWS Support asks for; the chain of causes where there was no
/// response.
fn message<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.as_service_error() {
        Some(service) => {
            let meta = service.meta();
            // Without a code the response could not be parsed, and the cause says where.
            let Some(code) = meta.code() else { return crate::error_chain(service) };
            let mut text = code.to_owned();
            if let Some(message) = meta.message() {
                text = format!("{text}: {message}");
            }
            if let Some(id) = meta.extra("aws_request_id") {
                text = format!("{text} (request {id})");
            }
            text
        }
        None => crate::error_chain(error),
    }
}

fn kind<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> FailureKind {
    match error {
        // The request could not be built: a required field is empty, an endpoint is not valid.
        SdkError::ConstructionFailure(_) => FailureKind::Refused,
        SdkError::ServiceError(answer) => match answer.err().code().and_then(kind_of_code) {
            Some(kind) => kind,
            None => kind_of_status(answer.raw().status().as_u16()),
        },
        // No response, or one that cannot be parsed: the call may have been carried out. `SdkError` is non-exhaustive; an unknown
        // variant has no response of the service either.
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
            FailureKind::Unavailable
        }
    }
}

/// The kind of an error code, for all services that we call. `None` for codes whose HTTP status gives the kind.
fn kind_of_code(code: &str) -> Option<FailureKind> {
    Some(match code {
        "ActiveStatementsExceededException" => FailureKind::ActiveStatementsExceeded,
        "DatabaseConnectionException" => FailureKind::ConnectionLost,

        // Another transaction wrote the item at the same time; a retry succeeds.
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

        // `ExecuteStatementException` is "an environmental error" in its documentation: Redshift has not parsed the SQL yet.
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
        // A success that cannot be parsed is not a refusal: the call was carried out, and its response was lost.
        0..400 | 408 | 500.. => FailureKind::Unavailable,
        400..500 => FailureKind::Refused,
    }
}
