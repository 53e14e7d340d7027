//! The function that takes new columns in.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_types::SdkConfig;
use shiftwork_protocol::drift::{DriftAnswer, DriftRequest};

use super::trigger::invoke;

/// It may take its whole timeout (900 s in `infra/template.yaml`), where many contracts wait on a sleeping warehouse.
const PATIENCE: Duration = Duration::from_secs(915);

/// The schema-watcher, asked directly.
#[derive(Debug, Clone)]
pub struct Watcher {
    client: Client,
    function: String,
}

impl Watcher {
    pub(super) fn new(config: &SdkConfig, function: &str) -> Self {
        Self { client: Client::new(config), function: function.into() }
    }

    /// Asks. A request may be sent again: what was done is found.
    pub async fn ask(&self, request: &DriftRequest) -> anyhow::Result<DriftAnswer> {
        invoke(&self.client, &self.function, request, PATIENCE).await
    }
}
