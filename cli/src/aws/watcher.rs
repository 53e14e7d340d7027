//! Client of the schema-watcher function, which adds new columns.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_types::SdkConfig;
use shiftwork_protocol::drift::{DriftRequest, DriftResponse};

use super::trigger::invoke;

/// Timeout of an invocation. The schema-watcher's own timeout is 900 s (`infra/template.yaml`), which it may need if
/// many contracts wait for a paused warehouse to resume.
const TIMEOUT: Duration = Duration::from_secs(915);

/// Client of the schema-watcher function.
#[derive(Debug, Clone)]
pub struct Watcher {
    client: Client,
    function: String,
}

impl Watcher {
    pub(super) fn new(config: &SdkConfig, function: &str) -> Self {
        Self { client: Client::new(config), function: function.into() }
    }

    /// Sends a request. A request can be repeated: completed work is detected.
    pub async fn ask(&self, request: &DriftRequest) -> anyhow::Result<DriftResponse> {
        invoke(&self.client, &self.function, request, TIMEOUT).await
    }
}
