//! The errors of the API, in the shapes of the `redshift-data` service model.

use serde_json::{Value, json};

/// An error response. The variants are the exceptions of the service model and of the AWS JSON 1.1 protocol.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The request violates a constraint of the model or a documented limit.
    #[error("{0}")]
    Validation(String),
    /// The statement, session or result does not exist for this caller.
    #[error("{message}")]
    ResourceNotFound {
        /// Error message.
        message: String,
        /// The identifier in the request.
        resource_id: String,
    },
    /// Too many statements are waiting or running on the cluster or workgroup.
    #[error("{0}")]
    ActiveStatementsExceeded(String),
    /// Too many sessions are open on the cluster or workgroup.
    #[error("{0}")]
    ActiveSessionsExceeded(String),
    /// A catalog operation could not connect to the database.
    #[error("{0}")]
    DatabaseConnection(String),
    /// An internal error of the service.
    #[error("{0}")]
    Internal(String),
    /// Too many requests per second.
    #[error("{0}")]
    Throttling(String),
    /// The body is not JSON, or a member has the wrong type.
    #[error("{0}")]
    Serialization(String),
    /// `X-Amz-Target` does not name an operation of this service.
    #[error("Unknown operation {0}")]
    UnknownOperation(String),
    /// The request has no `Authorization` header of signature version 4.
    #[error("Missing Authentication Token")]
    MissingAuthentication,
    /// The access key is unknown.
    #[error("The security token included in the request is invalid.")]
    UnrecognizedClient,
}

impl ApiError {
    /// Name of the exception, as in the service model.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "ValidationException",
            Self::ResourceNotFound { .. } => "ResourceNotFoundException",
            Self::ActiveStatementsExceeded(_) => "ActiveStatementsExceededException",
            Self::ActiveSessionsExceeded(_) => "ActiveSessionsExceededException",
            Self::DatabaseConnection(_) => "DatabaseConnectionException",
            Self::Internal(_) => "InternalServerException",
            Self::Throttling(_) => "ThrottlingException",
            Self::Serialization(_) => "SerializationException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::MissingAuthentication => "MissingAuthenticationTokenException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
        }
    }

    /// HTTP status: 500 for server errors of the model, 403 for authentication errors, otherwise 400.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::DatabaseConnection(_) | Self::Internal(_) => 500,
            Self::MissingAuthentication | Self::UnrecognizedClient => 403,
            Self::Validation(_)
            | Self::ResourceNotFound { .. }
            | Self::ActiveStatementsExceeded(_)
            | Self::ActiveSessionsExceeded(_)
            | Self::Throttling(_)
            | Self::Serialization(_)
            | Self::UnknownOperation(_) => 400,
        }
    }

    /// The JSON response body.
    pub fn body(&self) -> Value {
        let mut body = json!({ "__type": self.code(), "Message": self.to_string() });
        if let Self::ResourceNotFound { resource_id, .. } = self {
            body["ResourceId"] = json!(resource_id);
        }
        body
    }
}
