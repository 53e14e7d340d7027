use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::bucket;
use crate::certificate::Authority;

/// Services with a separate endpoint, `AWS_ENDPOINT_URL_<name>`. All other services share the last one.
const SERVICES: [&str; 7] = ["DYNAMODB", "SFN", "REDSHIFT_DATA", "S3", "STS", "SQS", "EVENTBRIDGE"];

/// Local AWS endpoints with TLS that return the minimum response that each SDK accepts.
pub(crate) struct Cloud {
    authority: Authority,
    endpoints: Vec<(String, String)>,
    counts: Arc<Counts>,
}

/// Counters of the endpoints.
#[derive(Default)]
struct Counts {
    handshakes: AtomicU64,
    calls: AtomicU64,
}

impl Cloud {
    pub(crate) async fn start() -> Result<Self> {
        let authority = Authority::new()?;
        let counts = Arc::<Counts>::default();
        let mut endpoints = Vec::new();
        for service in SERVICES {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("https://{}", listener.local_addr()?);
            endpoints.push((format!("AWS_ENDPOINT_URL_{service}"), url));
            let acceptor = TlsAcceptor::from(Arc::clone(&authority.server));
            tokio::spawn(serve(listener, acceptor, Arc::clone(&counts)));
        }
        if let Some((_, url)) = endpoints.last().cloned() {
            endpoints.push(("AWS_ENDPOINT_URL".to_owned(), url));
        }
        Ok(Self { authority, endpoints, counts })
    }

    /// Environment variables that direct an SDK to these endpoints.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&str, &str)> {
        self.endpoints.iter().map(|(name, url)| (name.as_str(), url.as_str()))
    }

    /// Path of the endpoints' root certificate in PEM format.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.authority.bundle()
    }

    /// Number of completed TLS handshakes.
    pub(crate) fn handshakes(&self) -> u64 {
        self.counts.handshakes.load(Ordering::Relaxed)
    }

    /// Number of completed AWS calls.
    pub(crate) fn calls(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, counts: Arc<Counts>) {
    // The listener fails when the process ends or has no file descriptors left; both end the benchmark.
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let (Ok(()), Ok(stream)) = (stream.set_nodelay(true), acceptor.accept(stream).await) else {
                // A client that does not trust the certificate closes the connection, which the check relies on.
                return;
            };
            counts.handshakes.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request| respond(request, &counts));
            // Each run ends by killing the client.
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, counts: &Counts) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request
        .headers()
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.split_once('.'))
        .map(|(_, operation)| operation.to_owned());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let media =
        request.headers().get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    counts.calls.fetch_add(1, Ordering::Relaxed);
    let (status, media, body) = match target.as_deref() {
        Some(operation) => (StatusCode::OK, "application/x-amz-json-1.0", json(operation, &body)),
        None if media.starts_with("application/x-www-form-urlencoded") => {
            (StatusCode::OK, "text/xml", Bytes::from_static(query(&body).as_bytes()))
        }
        None => {
            let (media, body) = bucket::respond(&method, &uri);
            (StatusCode::OK, media, body)
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static(media));
    // Scripts must be in a bucket with versioning.
    response.headers_mut().insert("x-amz-version-id", HeaderValue::from_static("1"));
    response.headers_mut().insert("etag", HeaderValue::from_static("\"a\""));
    Ok(response)
}

/// The response of a JSON service; most operations accept an empty one.
fn json(operation: &str, body: &[u8]) -> Bytes {
    let about = |table: &str| body.windows(table.len()).any(|part| part == table.as_bytes());
    let text = match operation {
        "Query" => return Bytes::from(format!(r#"{{"Items":[{}],"Count":1,"ScannedCount":1}}"#, ended(JOB))),
        "UpdateItem" if about("execution_end_ts") && about("bench-job-audit") => {
            return Bytes::from(format!(r#"{{"Attributes":{}}}"#, ended(JOB)));
        }
        "UpdateItem" if about("bench-job-audit") => return Bytes::from(format!(r#"{{"Attributes":{JOB}}}"#)),
        "UpdateItem" if about("bench-workflow-audit") => return Bytes::from(format!(r#"{{"Attributes":{RUN}}}"#)),
        "UpdateItem" => {
            r#"{"Attributes":{"workflow_id":{"S":"bench"},"fence":{"N":"1"},"expires_ts":{"S":"2026-03-01T02:00:00.000Z"}}}"#
        }
        "Scan" => r#"{"Items":[],"Count":0,"ScannedCount":0}"#,
        "BatchWriteItem" => r#"{"UnprocessedItems":{}}"#,
        "BatchGetItem" => r#"{"Responses":{},"UnprocessedKeys":{}}"#,
        "StartExecution" => {
            r#"{"executionArn":"arn:aws:states:eu-west-1:123456789012:execution:run:a","startDate":1767225600.0}"#
        }
        "ExecuteStatement" | "BatchExecuteStatement" => {
            r#"{"Id":"d9b6c0c9-0747-4bf4-b142-e8883122f766","CreatedAt":1767225600.0}"#
        }
        "DescribeStatement" => r#"{"Id":"d9b6c0c9-0747-4bf4-b142-e8883122f766","Status":"FINISHED"}"#,
        "ListStatements" => r#"{"Statements":[]}"#,
        "PutEvents" => r#"{"FailedEntryCount":0,"Entries":[]}"#,
        _ => "{}",
    };
    Bytes::from_static(text.as_bytes())
}

/// The item of a job with a procedure call, which waits to be launched or settled.
const JOB: &str = r#"{"workflow_execution_id":{"S":"bench-1"},"job_name":{"S":"load"},"workflow_id":{"S":"bench"},
"position":{"N":"0"},"stage":{"N":"1"},"upstreams":{"L":[]},"dependents":{"L":[]},"run_if":{"S":"all_success"},
"timeout_seconds":{"N":"3600"},"retries":{"N":"0"},"connection":{"M":{"workgroup":{"S":"bench"},"database":{"S":"dev"}}},
"work":{"M":{"kind":{"S":"procedure"},"sql":{"S":"CALL load.orders()"},"parameters":{"M":{}}}},
"execution_status":{"S":"RUNNING"},"attempt":{"N":"1"},"part":{"N":"1"},"task_token":{"S":"bench"}}"#;

fn ended(job: &str) -> String {
    job.replace("RUNNING", "SUCCEEDED")
}

/// The item of a run that has ended.
const RUN: &str = r#"{"workflow_execution_id":{"S":"bench-1"},"workflow_id":{"S":"bench"},"execution_status":{"S":"SUCCEEDED"},
"created_ts":{"S":"2026-03-01T02:00:00.000Z"},"logical_date":{"S":"2026-03-01T02:00:00.000Z"},"parameters":{"M":{}},
"requested_by":{"S":"manual"},"request_sha256":{"S":"0"},"workflow_sha256":{"S":"0"},"jobs":{"N":"1"}}"#;

/// The response of a query service; functions call only STS and SNS.
fn query(body: &[u8]) -> &'static str {
    if body.windows(b"Action=AssumeRole".len()).any(|part| part == b"Action=AssumeRole") {
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>example</SecretAccessKey>\
         <SessionToken>example</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>A:a</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/a/a</Arn></AssumedRoleUser></AssumeRoleResult>\
         <ResponseMetadata><RequestId>a</RequestId></ResponseMetadata></AssumeRoleResponse>"
    } else {
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>a</MessageId>\
         </PublishResult><ResponseMetadata><RequestId>a</RequestId></ResponseMetadata></PublishResponse>"
    }
}
