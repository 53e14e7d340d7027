//! A separate server and database for each test, with replacements for EventBridge, IAM and S3.

#![allow(dead_code)] // Each test binary uses a part of this module.
#![allow(clippy::unwrap_used)] // A panic in a replacement fails its test.

mod bucket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) use bucket::Bucket;

/// A server under test, with its replacements for other services.
pub(crate) struct TestServer {
    pub(crate) database: String,
    pub(crate) events: Arc<Mutex<Vec<Value>>>,
    pub(crate) bucket: Bucket,
    base: String,
    pg_url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Starts a server on the PostgreSQL at `SHIFTWORK_PG_URL`. Panics if the variable is not set.
pub(crate) async fn start(arguments: &[&str]) -> TestServer {
    let pg_url = std::env::var("SHIFTWORK_PG_URL").unwrap_or_else(|_| {
        panic!(
            "SHIFTWORK_PG_URL is not set, and this test needs the local stack. Run `make test`, or \
             `make up-test && . target/local-test/env` before `cargo test`"
        )
    });
    let database = format!("rd_{}", uuid::Uuid::new_v4().simple());
    administer(&pg_url, None, &format!("create database {database}")).await;
    // Redshift has no function that sleeps.
    let sleep = "create function sleep(seconds float) returns void language sql volatile as 'select pg_sleep(seconds)'";
    administer(&pg_url, Some(&database), sleep).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let bucket = Bucket::default();
    let sink = serve({
        let events = Arc::clone(&events);
        move |request| take_event(request, Arc::clone(&events))
    })
    .await;
    let iam = serve(identity).await;
    let s3 = serve({
        let bucket = bucket.clone();
        move |request| bucket.clone().handle(request)
    })
    .await;
    let (sink, iam, s3) = (format!("http://{sink}/"), format!("http://{iam}/"), format!("http://{s3}"));
    let mut all = vec!["redshift-data", "--postgres-url", &pg_url, "--events-url", &sink, "--principals-url", &iam];
    all.extend(["--s3-endpoint", &s3]);
    all.extend(arguments);
    let running = redshift_data::start(redshift_data::Config::parse_from(all)).await.unwrap();
    let base = format!("http://{}", running.address);
    let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
    TestServer { database, events, bucket, base, pg_url, http }
}

impl TestServer {
    /// Calls an operation as `role1/a`; returns the HTTP status and the body.
    pub(crate) async fn call(&self, operation: &str, body: Value) -> (u16, Value) {
        self.call_as("AKIAROLE1SESSIONA", operation, body).await
    }

    pub(crate) async fn call_as(&self, key: &str, operation: &str, body: Value) -> (u16, Value) {
        self.post(Some(key), &format!("RedshiftData.{operation}"), body.to_string()).await.unwrap()
    }

    /// Sends one request on a new connection; `Err` if the connection closes without a response.
    pub(crate) async fn post(&self, key: Option<&str>, target: &str, body: String) -> Result<(u16, Value), String> {
        let mut request = Request::post(&self.base).header("x-amz-target", target);
        if let Some(key) = key {
            let signature = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/redshift-data/aws4_request");
            request = request.header("authorization", signature);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let response = self.http.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap()))
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let response = self.http.request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{method} {path}");
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    /// Adds the members that select this test's database.
    pub(crate) fn on_database(&self, mut members: Value) -> Value {
        members["WorkgroupName"] = json!("shift");
        members["Database"] = json!(self.database);
        members
    }

    /// Submits a statement without waiting; returns its id.
    pub(crate) async fn submit(&self, members: Value) -> String {
        let operation = if members.get("Sqls").is_some() { "BatchExecuteStatement" } else { "ExecuteStatement" };
        let (status, body) = self.call(operation, self.on_database(members)).await;
        assert_eq!(status, 200, "{body}");
        body["Id"].as_str().unwrap().to_owned()
    }

    /// Waits for the end of a statement; returns its description.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let (status, body) = self.call("DescribeStatement", json!({ "Id": id, "WaitTimeSeconds": 30 })).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Runs one statement until it ends, with any status.
    pub(crate) async fn run(&self, sql: &str) -> Value {
        let id = self.submit(json!({ "Sql": sql })).await;
        self.ended(&id).await
    }

    /// Runs one statement that must finish successfully.
    pub(crate) async fn finish(&self, sql: &str) -> Value {
        let end = self.run(sql).await;
        assert_eq!(end["Status"], "FINISHED", "{sql}: {end}");
        end
    }

    /// The records of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Value {
        let id = self.finish(sql).await["Id"].clone();
        let (status, body) = self.call("GetStatementResult", json!({ "Id": id })).await;
        assert_eq!(status, 200, "{body}");
        body["Records"].clone()
    }

    /// Waits for `count` events, and then briefly for additional ones.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        for _ in 0..100 {
            if self.events.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        self.events.lock().unwrap().clone()
    }

    /// Drops the database of the test.
    pub(crate) async fn drop_database(self) {
        administer(&self.pg_url, None, &format!("drop database {} with (force)", self.database)).await;
    }
}

/// Runs `sql` directly on PostgreSQL, on the test's database or the database of the URL.
async fn administer(url: &str, database: Option<&str>, sql: &str) {
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    if let Some(database) = database {
        config.dbname(database);
    }
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
}

async fn serve<F, R>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn take_event(request: Request<Incoming>, events: Arc<Mutex<Vec<Value>>>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    events.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    Response::new(Full::default())
}

/// Identities: two sessions of one role, and another role; all other keys are unknown.
async fn identity(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let role = match request.uri().query() {
        Some("access_key_id=AKIAROLE1SESSIONA") => "role1/a",
        Some("access_key_id=AKIAROLE1SESSIONB") => "role1/b",
        Some("access_key_id=AKIAROLE2") => "role2/a",
        _ => return Response::builder().status(404).body(Full::default()).unwrap(),
    };
    let body = json!({ "arn": format!("arn:aws:sts::000000000000:assumed-role/{role}") });
    Response::new(Full::new(Bytes::from(body.to_string())))
}
