use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// A server of the local stack with a JSON API.
#[derive(Debug, Clone)]
pub struct Endpoint {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Endpoint {
    /// The server at this URL.
    pub fn new(base: impl Into<String>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), base: base.into() }
    }

    /// Sends a GET request and returns the response body.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Sends a POST request and returns the response body.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, body).await
    }

    /// Sends a DELETE request and returns the response body.
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
            .unwrap_or_else(|error| panic!("{method} {url} is not a valid request: {error}"));
        let response = self
            .client
            .request(request)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {method} {url}: {error}"));
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let bytes = bytes.to_bytes();
        assert!(status.is_success(), "{method} {url} returned status {status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("the response of {method} {url} is not valid JSON: {error}"))
    }
}
