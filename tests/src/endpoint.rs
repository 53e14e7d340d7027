use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// JSON over HTTP to one of the laptop's own servers.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Endpoint {
    /// Under this URL.
    pub fn new(base: impl Into<String>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), base: base.into() }
    }

    /// What is there.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Orders something.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, body).await
    }

    /// Forgets something.
    pub async fn delete(&self, path: &str) -> Value {
        self.call(Method::DELETE, path, &Value::Null).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.base);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(&method)
            .uri(&url)
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap_or_else(|error| panic!("{method} {url} is no request: {error}"));
        let answer =
            self.client.request(request).await.unwrap_or_else(|error| panic!("{method} {url}: no answer: {error}"));
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let bytes = bytes.to_bytes();
        assert!(status.is_success(), "{method} {url} answered {status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{method} {url} answered no JSON: {error}"))
    }
}
