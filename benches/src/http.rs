//! JSON over HTTP for the endpoints of the local stack that are not AWS APIs.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A server at a URL.
#[derive(Debug, Clone)]
pub struct Server {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Server {
    /// The server at the URL in an environment variable.
    ///
    /// # Errors
    /// Returns an error if the variable is not set, because the environment file of the local stack was not sourced.
    pub fn from_env(variable: &str) -> Result<Self> {
        let url = std::env::var(variable).with_context(|| {
            format!("{variable} is not set: start the stack (`make up`), then `. target/local/env`")
        })?;
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Sends a request; returns the body of the response, or null if it is empty.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}/{path}", self.url);
        let body = body.map(Value::to_string).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(&url).header("content-type", "application/json").body(body.into())?;
        let response = self.client.request(request).await.with_context(|| format!("cannot connect to {url}"))?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{url} returned status {status}: {}", String::from_utf8_lossy(&bytes));
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| format!("the response of {url} is not valid JSON"))
    }
}
