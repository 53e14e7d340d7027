//! The responses of a function to Lambda's runtime API, over a real socket.
//!
//! The function under test is this test binary, started as another process with `--ignored`, because a process reads
//! its environment once and a test must not change its own.

#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_aws::lambda;
use shiftwork_protocol::{Failure, FailureKind};

#[derive(Deserialize)]
struct Request {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    attempt: u32,
}

#[test]
#[ignore = "the function under test, not a test"]
fn function() {
    lambda::start(|| {
        Ok(async |event: lambda::Event<Request>| {
            assert_ne!(event.payload.run.attempt, 3, "a defect of the function");
            if event.payload.run.attempt == 1 {
                return Err(Failure::new(FailureKind::Throttled, "DynamoDB asked for fewer calls"));
            }
            Ok(json!({ "attempt": event.payload.run.attempt }))
        })
    });
}

#[test]
fn a_failure_reaches_step_functions_under_its_name() {
    let (path, body, lines) = invoke(&json!({ "run": { "attempt": 1 } }));
    assert!(path.ends_with("/invocation/request-1/error"), "{path}");
    let [line] = &lines[..] else { panic!("the failure is not logged once: {lines:?}") };
    assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("DynamoDB asked for fewer calls")));
    assert_eq!((&line["failure"], &line["requestId"]), (&json!("Shiftwork.Throttled"), &json!("request-1")));
    assert_eq!(body, json!({ "errorType": "Shiftwork.Throttled", "errorMessage": "DynamoDB asked for fewer calls" }));
}

#[test]
fn an_unreadable_event_is_an_invalid_request_with_its_place() {
    let (path, body, lines) = invoke(&json!({ "run": { "attempt": "first" } }));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(path.ends_with("/error"), "{path}");
    assert_eq!(body["errorType"], "Shiftwork.InvalidRequest");
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("the event at `run.attempt` cannot be read"), "{message}");
}

#[test]
fn a_response_is_sent_unchanged() {
    let (path, body, lines) = invoke(&json!({ "run": { "attempt": 2 } }));
    assert_eq!(lines, Vec::<Value>::new());
    assert!(path.ends_with("/invocation/request-1/response"), "{path}");
    assert_eq!(body, json!({ "attempt": 2 }));
}

#[test]
fn a_panic_is_logged_once_with_its_place() {
    let (path, _, lines) = invoke(&json!({ "run": { "attempt": 3 } }));
    assert!(path.ends_with("/invocation/request-1/error"), "{path}");
    let [line] = &lines[..] else { panic!("the panic is not logged once: {lines:?}") };
    assert!(line["message"].as_str().unwrap().contains("a defect of the function"), "{line}");
    assert!(line["place"].as_str().unwrap().contains("lambda.rs"), "{line}");
    assert_eq!((&line["level"], &line["requestId"]), (&json!("ERROR"), &json!("request-1")));
}

/// Sends an event to the function, and returns the path and body of the function's request and the lines of its log.
fn invoke(event: &Value) -> (String, Value, Vec<Value>) {
    let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut function = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "function", "--ignored", "--nocapture"])
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.local_addr().unwrap().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "test")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    loop {
        let (stream, _) = runtime_api.accept().unwrap();
        let mut stream = BufReader::new(stream);
        while let Some((path, body)) = request(&mut stream) {
            if path.ends_with("/invocation/next") {
                let event = event.to_string();
                write!(
                    stream.get_mut(),
                    "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: request-1\r\n\
                     Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
                     Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:test\r\n\
                     Content-Length: {}\r\n\r\n{event}",
                    event.len()
                )
                .unwrap();
            } else {
                function.0.kill().unwrap();
                let mut output = String::new();
                function.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
                let lines = output.lines().filter_map(|line| line.find('{').map(|start| &line[start..]));
                let lines = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
                return (path, serde_json::from_slice(&body).unwrap(), lines);
            }
        }
    }
}

/// Reads one HTTP/1.1 request with a body of known length; `None` if the connection is closed.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// A process that is killed at the end of its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}
