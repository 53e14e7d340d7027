//! Client of the trigger function, which starts runs.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aws_sdk_lambda::{Client, config::timeout::TimeoutConfig, primitives::Blob};
use aws_types::SdkConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shiftwork_protocol::{
    Failure, FailureKind,
    payload::{RunRequest, RunResponse},
};

/// Timeout of an invocation. The trigger's own timeout is 60 s (`infra/template.yaml`), which a large plan may need.
const TIMEOUT: Duration = Duration::from_secs(75);

/// Client of the trigger function.
#[derive(Debug, Clone)]
pub struct Trigger {
    client: Client,
    function: String,
}

/// The payload that Lambda returns for a function that failed.
#[derive(Debug, Deserialize)]
struct FunctionError {
    #[serde(rename = "errorType", default)]
    name: String,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

impl Trigger {
    pub(super) fn new(config: &SdkConfig, function: &str) -> Self {
        Self { client: Client::new(config), function: function.into() }
    }

    /// Requests a run. A request with an id can be repeated: it returns the same run.
    pub async fn request(&self, request: &RunRequest) -> anyhow::Result<RunResponse> {
        invoke(&self.client, &self.function, request, TIMEOUT).await
    }
}

/// Invokes a function and returns its response.
pub(super) async fn invoke<T: DeserializeOwned>(
    client: &Client,
    function: &str,
    request: &impl Serialize,
    timeout: Duration,
) -> anyhow::Result<T> {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout).build();
    let invoke = client.invoke().function_name(function).payload(Blob::new(serde_json::to_vec(request)?));
    let response = invoke
        .customize()
        .config_override(aws_sdk_lambda::config::Builder::new().timeout_config(timeouts))
        .send()
        .await
        .map_err(|error| super::failed("Lambda Invoke", function, &error))?;
    let payload = response.payload().map(Blob::as_ref).unwrap_or_default();
    if response.function_error().is_none() {
        return serde_json::from_slice(payload).with_context(|| {
            format!("{function} returned a response that is not valid: {}", String::from_utf8_lossy(payload))
        });
    }
    Err(in_words(function, payload))
}

fn in_words(function: &str, payload: &[u8]) -> anyhow::Error {
    let Ok(FunctionError { name, message }) = serde_json::from_slice(payload) else {
        return anyhow!("{function} failed: {}", String::from_utf8_lossy(payload));
    };
    match FailureKind::from_name(&name) {
        Some(kind) => Failure::new(kind, message).into(),
        None => anyhow!("{function} failed ({name}): {message}; see the log group of the function"),
    }
}
