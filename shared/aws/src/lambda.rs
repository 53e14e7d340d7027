//! The frame of a Lambda function: one thread, JSON logs, and errors that Step Functions can match by name.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use shiftwork_aws::{client::Aws, lambda};
//! use shiftwork_protocol::Failure;
//!
//! fn main() -> ExitCode {
//!     lambda::start(|| {
//!         let aws = Aws::from_env()?;
//!         Ok(async move |event: lambda::Event<String>| -> Result<String, Failure> {
//!             Ok(format!("{} in {:?}", event.payload, aws.config().region()))
//!         })
//!     })
//! }
//! ```

mod lines;

use std::env;
use std::error::Error;
use std::panic;
use std::process::ExitCode;

use lambda_runtime::{Diagnostic, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shiftwork_ports::log;
use shiftwork_protocol::{Failure, FailureKind};
use tracing::Instrument as _;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use lines::JsonLines;

/// An event with its invocation: `payload`, and `context` with `request_id` and `deadline` (Unix time in milliseconds).
pub type Event<Payload> = lambda_runtime::LambdaEvent<Payload>;

/// Why a function cannot start: a missing variable, a certificate bundle that cannot be read.
pub type StartError = Box<dyn Error + Send + Sync>;

/// Runs a function until Lambda ends the process.
///
/// `init` runs once, inside the runtime: it reads the configuration, builds the clients and returns the handler. If it
/// fails, the reason is logged and the process ends, so Lambda reports `Runtime.ExitError` and starts the process again.
///
/// The handler runs once for each event. The caller receives a [`Failure`] under its stable name: `errorType` is
/// [`FailureKind::name`], `errorMessage` the message, which `Retry` and `Catch` of a state machine see as `Error` and `Cause`.
/// An event that is not a valid `Payload` is [`FailureKind::InvalidRequest`].
pub fn start<Init, Handler, Payload, Output>(init: Init) -> ExitCode
where
    Init: FnOnce() -> Result<Handler, StartError>,
    Handler: AsyncFn(Event<Payload>) -> Result<Output, Failure>,
    Payload: DeserializeOwned,
    Output: Serialize,
{
    init_logging();
    match run(init) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

fn run<Init, Handler, Payload, Output>(init: Init) -> Result<(), StartError>
where
    Init: FnOnce() -> Result<Handler, StartError>,
    Handler: AsyncFn(Event<Payload>) -> Result<Output, Failure>,
    Payload: DeserializeOwned,
    Output: Serialize,
{
    // An execution environment serves one event at a time and, below 1,769 MB, has less than one core.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let handler = init()?;
        let handler = &handler;
        lambda_runtime::run(service_fn(async |event: Event<Value>| respond(handler, event).await)).await
    })
}

async fn respond<Handler, Payload, Output>(handler: &Handler, event: Event<Value>) -> Result<Output, Diagnostic>
where
    Handler: AsyncFn(Event<Payload>) -> Result<Output, Failure>,
    Payload: DeserializeOwned,
{
    let Event { payload, context, .. } = event;
    let span = log::invocation(&context.request_id);
    let outcome = async {
        let payload = parse_event(payload)?;
        handler(Event::new(payload, context)).await
    };
    outcome.instrument(span.clone()).await.map_err(|failure| {
        span.in_scope(|| tracing::error!(failure = failure.kind.name(), "{failure}"));
        Diagnostic { error_type: failure.kind.name().to_owned(), error_message: failure.message }
    })
}

/// Parses an event. The failure names the field that is not valid.
fn parse_event<Payload: DeserializeOwned>(event: Value) -> Result<Payload, Failure> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.inner());
        let place = if path == "." { "the event".to_owned() } else { format!("the event at `{path}`") };
        Failure::new(FailureKind::InvalidRequest, format!("{place} cannot be read: {reason}"))
    })
}

/// Module of the Lambda runtime that logs the failures of the handler, which [`respond`] logs, and panics, which the panic
/// hook logs.
const RUNTIME_FAILURES: &str = "lambda_runtime::layers::panic";

/// [`JsonLines`] on standard output, panics included.
///
/// `SHIFTWORK_LOG` takes a level, or levels by target (`info,aws_smithy_runtime=debug`); without it,
/// `AWS_LAMBDA_LOG_LEVEL` of the function's logging configuration; without both, `info`.
fn init_logging() {
    let levels = env::var("SHIFTWORK_LOG").or_else(|_| env::var("AWS_LAMBDA_LOG_LEVEL"));
    let info = Targets::new().with_default(LevelFilter::INFO);
    let (levels, unreadable) = match levels.as_deref() {
        // Lambda has this level above ours.
        Ok("FATAL") => (Targets::new().with_default(LevelFilter::ERROR), None),
        Ok(levels) => levels.parse().map_or_else(|error: ParseError| (info, Some(error)), |levels| (levels, None)),
        Err(_) => (info, None),
    };
    // A subscriber that a test installed stays.
    let levels = levels.with_target(RUNTIME_FAILURES, LevelFilter::OFF);
    let installed = tracing_subscriber::registry().with(JsonLines::new(std::io::stdout)).with(levels).try_init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "the function panicked: {}", panic.payload_as_str().unwrap_or("without a message"));
    }));
    if let (Ok(()), Some(error)) = (installed, unreadable) {
        tracing::warn!(%error, "the log level cannot be read; logging at info");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shiftwork_ports::log::Subject;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{lines::tests::log, *};

    /// What Lambda's runtime does with a failure: it logs it as well, in a module that is turned off.
    #[tokio::test]
    async fn a_failure_is_logged_once_with_the_ids_of_its_job() {
        let (written, subscriber) = log();
        let levels = Targets::new().with_default(LevelFilter::INFO).with_target(RUNTIME_FAILURES, LevelFilter::OFF);
        let _guard = tracing::subscriber::set_default(subscriber.with(levels));
        let handler = async |event: Event<Value>| {
            let job = event.payload["job"].as_str().unwrap_or_default().to_owned();
            let failed = async { Err::<(), _>(Failure::new(FailureKind::Throttled, "slow down")) };
            Subject::of_job("r", &job).scope(failed).await
        };
        let event = Event::new(json!({ "job": "load" }), lambda_runtime::Context::default());
        let diagnostic = respond(&handler, event).await.unwrap_err();
        assert_eq!(diagnostic.error_type, "Shiftwork.Throttled");
        tracing::error!(target: RUNTIME_FAILURES, "{diagnostic:?}");

        let [line] = written.parsed().try_into().unwrap();
        for (key, expected) in [
            ("level", "ERROR"),
            ("failure", "Shiftwork.Throttled"),
            ("message", "slow down"),
            ("run", "r"),
            ("job", "load"),
            ("requestId", ""),
        ] {
            assert_eq!(line[key], expected, "{line:?}");
        }
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_read_is_logged_once() {
        let (written, subscriber) = log();
        let _guard = tracing::subscriber::set_default(subscriber);
        let handler = async |event: Event<String>| Ok::<_, Failure>(event.payload);
        let event = Event::new(json!(7), lambda_runtime::Context::default());
        assert!(respond(&handler, event).await.is_err());
        assert_eq!(written.parsed().len(), 1);
    }
}
