//! JSON over HTTP to the local stack's own endpoints, which no SDK knows.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One server, by its URL.
#[derive(Debug, Clone)]
pub struct Server {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Server {
    /// The server whose URL an environment variable holds.
    ///
    /// # Errors
    /// When the variable is not set: the local stack's environment file was not sourced.
    pub fn from_env(variable: &str) -> Result<Self> {
        let url = std::env::var(variable).with_context(|| {
            format!("{variable} is not set: start the stack (`make up`), then `. target/local/env`")
        })?;
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Asks, and answers with the body; null of an empty one.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}/{path}", self.url);
        let body = body.map(Value::to_string).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(&url).header("content-type", "application/json").body(body.into())?;
        let answer = self.client.request(request).await.with_context(|| format!("{url} does not answer"))?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{url} answers {status}: {}", String::from_utf8_lossy(&bytes));
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{url} answers what is no JSON"))
    }
}
