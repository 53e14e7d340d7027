//! HTTP: the AWS JSON 1.1 protocol on `POST /`, and the endpoints for tests under `/_…`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::config::Config;
use crate::error::ApiError;
use crate::faults::Rule;
use crate::quotas::Quotas;
use crate::service::{CallOutcome, Operation, Service};
use crate::statements::Statement;

/// Maximum size of a request: a batch of 40 statements of 100 KB, plus JSON escapes.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// `targetPrefix` of the service model.
const TARGET_PREFIX: &str = "RedshiftData.";

/// The connection is closed without a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped, as a fault rule asked")]
struct Dropped;

struct Server {
    service: Service,
    /// Number of calls by operation and result: `ok` or an error code.
    counters: Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>,
}

/// A listening server.
pub struct Running {
    /// The address on which the server listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits until the server stops: when its task is aborted or panics.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server stopped");
        }
    }
}

/// Starts a server; returns when it listens.
///
/// # Errors
/// Returns an error if the address is in use, the PostgreSQL URL is not valid, or the fault file is not a list of
/// rules.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let service = Service::new(config.clone())?;
    if let Some(path) = &config.fault_file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read fault file {}", path.display()))?;
        let rules: Vec<Rule> =
            serde_json::from_str(&text).with_context(|| format!("{} is not a list of rules", path.display()))?;
        service.faults.add(rules).with_context(|| format!("an sql_regex in {} does not compile", path.display()))?;
    }
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let server = Arc::new(Server { service, counters: Mutex::default() });
    let task = tokio::spawn(async move {
        tokio::join!(accept(listener, Arc::clone(&server)), server.service.sweep());
    });
    Ok(Running { address, task })
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Probably out of file descriptors: wait until some are closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without TCP_NODELAY, Nagle's algorithm delays small responses by 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let server = Arc::clone(&server);
                async move { server.handle(request).await }
            });
            let ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

impl Server {
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        if path != "/" {
            return Ok(self.admin(&method, &path, request).await);
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let target = header("x-amz-target").unwrap_or_default();
        let name = target.strip_prefix(TARGET_PREFIX).unwrap_or(&target).to_owned();
        let operation = Operation::named(&name).filter(|_| method == Method::POST && target.starts_with(TARGET_PREFIX));
        let authorization = header(AUTHORIZATION.as_str());
        let reply = match (operation, crate::principal::access_key(authorization.as_deref())) {
            (_, Err(error)) => Err(error),
            (None, Ok(_)) => Err(ApiError::UnknownOperation(target)),
            (Some(operation), Ok(access_key)) => match self.call(&name, operation, access_key, request).await {
                CallOutcome::Reply(reply) => reply,
                CallOutcome::DropConnection => {
                    self.count(&name, "connection dropped");
                    return Err(Dropped);
                }
            },
        };
        let counted = if operation.is_some() { name.as_str() } else { "unknown" };
        self.count(counted, reply.as_ref().map_or_else(ApiError::code, |_| "ok"));
        Ok(respond(reply))
    }

    async fn call(
        &self,
        name: &str,
        operation: Operation,
        access_key: &str,
        request: Request<Incoming>,
    ) -> CallOutcome {
        let caller = match self.service.principals.of(access_key).await {
            Ok(caller) => caller,
            Err(error) => return CallOutcome::Reply(Err(error)),
        };
        match read_body(request).await {
            Ok(body) => self.service.call(name, operation, caller, &body).await,
            Err(error) => CallOutcome::Reply(Err(error)),
        }
    }

    fn count(&self, operation: &str, outcome: &'static str) {
        let mut counters = crate::lock(&self.counters);
        *counters.entry(operation.to_owned()).or_default().entry(outcome).or_default() += 1;
    }

    /// The endpoints for tests: `/_faults`, `/_quotas`, `/_requests`, `/_statements`, `/_health`.
    async fn admin(&self, method: &Method, path: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (method, path) {
            (&Method::GET, "/_health") => (200, json!({ "status": "ok" })),
            (&Method::GET, "/_requests") => (200, json!(*crate::lock(&self.counters))),
            (&Method::DELETE, "/_requests") => {
                crate::lock(&self.counters).clear();
                (200, json!({}))
            }
            (&Method::GET, "/_statements") => (200, self.all_statements()),
            (&Method::GET, "/_faults") => (200, json!(self.service.faults.rules())),
            (&Method::DELETE, "/_faults") => {
                self.service.faults.clear();
                (200, json!([]))
            }
            (&Method::POST, "/_faults") => self.add_faults(request).await,
            (&Method::GET, "/_quotas") => (200, json!(self.service.limiter.quotas())),
            (&Method::PUT, "/_quotas") => self.set_quotas(request).await,
            (&Method::DELETE, "/_quotas") => {
                self.service.limiter.set(Quotas::default());
                (200, json!({}))
            }
            _ => (404, json!({ "message": format!("unknown endpoint {method} {path}: AWS calls are POST /") })),
        };
        json_response(status, &body)
    }

    async fn add_faults(&self, request: Request<Incoming>) -> (u16, Value) {
        let added = match read_body(request).await {
            Ok(body) => serde_json::from_slice(&body)
                .map_err(|error| format!("expected a JSON list of rules: {error}"))
                .and_then(|rules| self.service.faults.add(rules).map_err(|error| error.to_string())),
            Err(error) => Err(error.to_string()),
        };
        match added {
            Ok(()) => (200, json!(self.service.faults.rules())),
            Err(message) => (400, json!({ "message": message })),
        }
    }

    async fn set_quotas(&self, request: Request<Incoming>) -> (u16, Value) {
        let quotas = match read_body(request).await {
            Ok(body) => serde_json::from_slice(&body).map_err(|error| format!("expected quotas as JSON: {error}")),
            Err(error) => Err(error.to_string()),
        };
        match quotas {
            Ok(quotas) => {
                self.service.limiter.set(quotas);
                (200, json!(self.service.limiter.quotas()))
            }
            Err(message) => (400, json!({ "message": message })),
        }
    }

    /// All statements of all roles, oldest first, so that tests can check what ran and how often.
    fn all_statements(&self) -> Value {
        let statements = crate::lock(&self.service.statements);
        let mut all: Vec<Value> =
            statements.newest_first(u64::MAX).map(|(_, statement)| statement_json(statement)).collect();
        all.reverse();
        Value::Array(all)
    }
}

fn statement_json(statement: &Statement) -> Value {
    let progress = statement.progress();
    let parts = progress.parts.iter().zip(&statement.sqls).map(|(part, sql)| {
        json!({ "sql_sha256": hex::encode(Sha256::digest(sql)), "status": part.status, "runs": part.runs, "rows": part.rows })
    });
    json!({
        "id": statement.id,
        "name": statement.name,
        "principal": statement.owner.arn,
        "status": progress.status,
        "error": progress.error,
        "created_at": statement.created_at,
        "started_at": progress.started_at,
        "ended_at": progress.ended_at,
        "parts": parts.collect::<Vec<_>>(),
    })
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::Validation(format!("The request is larger than {MAX_BODY_BYTES} bytes.")))
        }
        Err(error) => Err(ApiError::Serialization(format!("the body could not be read: {error}"))),
    }
}

fn respond(reply: Result<Value, ApiError>) -> Response<Full<Bytes>> {
    match reply {
        Ok(body) => json_response(200, &body),
        Err(error) => {
            let mut response = json_response(error.http_status(), &error.body());
            response.headers_mut().insert("x-amzn-errortype", hyper::header::HeaderValue::from_static(error.code()));
            response
        }
    }
}

fn json_response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amzn-requestid", Uuid::new_v4().to_string())
        .body(Full::new(Bytes::from(body.to_string())));
    response.expect("status, header names and values are valid")
}
