use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Lambda's Runtime API for one process: one event, and no further events.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    responses: mpsc::UnboundedReceiver<FunctionResponse>,
}

/// The response of the function, and the time at which its last byte was received.
pub(crate) struct FunctionResponse {
    pub(crate) at: Instant,
    /// The `errorType` of a failure.
    pub(crate) failure: Option<String>,
}

struct Server {
    event: String,
    handed_out: AtomicBool,
    responses: mpsc::UnboundedSender<FunctionResponse>,
}

impl RuntimeApi {
    pub(crate) async fn start(event: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, responses) = mpsc::unbounded_channel();
        let server = Arc::new(Server { event, handed_out: AtomicBool::new(false), responses: sender });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    let service = service_fn(|request| server.respond(request));
                    // The connection ends when the function is killed.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, responses })
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits for the response to the event.
    pub(crate) async fn response(&mut self) -> Result<FunctionResponse> {
        self.responses.recv().await.context("the Runtime API ended before the function responded")
    }
}

impl Server {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/invocation/next") {
            if self.handed_out.swap(true, Ordering::Relaxed) {
                // Like Lambda between two events: the process waits.
                std::future::pending::<()>().await;
            }
            let response = Response::builder()
                .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .header("lambda-runtime-deadline-ms", "4102444800000")
                .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:a")
                .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
                .body(Full::from(self.event.clone()));
            return Ok(response.unwrap_or_default());
        }
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let at = Instant::now();
        let failure = path.ends_with("/error").then(|| {
            serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|error| error["errorType"].as_str().map(str::to_owned))
                .unwrap_or_else(|| "an error without a type".to_owned())
        });
        // The receiver is closed only if the run was cancelled.
        let _cancelled = self.responses.send(FunctionResponse { at, failure });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}
