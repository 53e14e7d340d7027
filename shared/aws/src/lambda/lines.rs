//! Log lines: one JSON object a line, in which no key occurs twice.
//!
//! `timestamp` (RFC 3339) and `level` are the keys that Lambda reads from a line. Lambda logs a line without a valid
//! timestamp at level INFO (Lambda developer guide, "Log-level filtering"). `message` and the fields of the event follow,
//! and then the fields of the spans around it that the line does not have yet, the innermost span first. The fields of a
//! span whose work failed are also those of the spans around it, so that the line of the failure has them.
//!
//! An event with the field `metric` also counts: CloudWatch reads the line as a value 1 of the metric with that name, in the
//! namespace `shiftwork`, with the name of the function as the dimension `function` (CloudWatch User Guide, "Specification:
//! Embedded metric format").

use std::fmt;
use std::io::Write as _;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shiftwork_ports::log::FAILED;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The field of an event whose value is the name of a metric.
const METRIC: &str = "metric";
/// The namespace of all metrics.
const NAMESPACE: &str = "shiftwork";

/// Keys and values of a line or of a span, in the order in which they were recorded.
#[derive(Debug, Clone, Default)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }

    /// Adds a field of a line. A key that exists is not replaced: the new one gets the suffix `_`.
    fn add(&mut self, key: &str, value: Value) {
        let mut key = key.to_owned();
        while self.has(&key) {
            key.push('_');
        }
        self.0.push((key, value));
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).and_then(|(_, value)| value.as_str())
    }

    /// Adds what makes the line a value of a metric.
    fn count(&mut self, metric: &str, function: &str, now: jiff::Timestamp) {
        let metrics = json!([{ "Name": metric, "Unit": "Count" }]);
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics });
        self.add("_aws", json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive] }));
        self.add("function", function.into());
        self.add(metric, 1.into());
    }

    /// Removes a field. Returns true if it existed.
    fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != key);
        self.0.len() < before
    }

    /// Sets a field of a span, which can be recorded again.
    fn set(&mut self, key: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Passes each value to a function as JSON.
struct Each<F>(F);

impl<F: FnMut(&str, Value)> Visit for Each<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        (self.0)(field.name(), format!("{value:?}").into());
    }
}

/// Writes each event as one line.
#[derive(Debug)]
pub struct JsonLines<W>(W);

impl<W> JsonLines<W> {
    /// Writes the lines to `out`.
    pub const fn new(out: W) -> Self {
        Self(out)
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut Each(|key: &str, value| fields.set(key, value)));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let failed = span.extensions_mut().get_mut::<Fields>().and_then(|fields| {
            values.record(&mut Each(|key: &str, value| fields.set(key, value)));
            fields.remove(FAILED).then(|| fields.clone())
        });
        if let (Some(failed), Some(parent)) = (failed, span.parent())
            && let Some(fields) = parent.extensions_mut().get_mut::<Fields>()
        {
            for (key, value) in failed.0 {
                fields.set(&key, value);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        line.add("timestamp", shiftwork_protocol::timestamp(jiff::Timestamp::now()).into());
        line.add("level", event.metadata().level().as_str().into());
        event.record(&mut Each(|key: &str, value| line.add(key, value)));
        if let Some(metric) = line.text(METRIC).map(str::to_owned) {
            let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
            line.count(&metric, &function, jiff::Timestamp::now());
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (key, value) in &fields.0 {
                    if !line.has(key) {
                        line.add(key, value.clone());
                    }
                }
            }
        }
        // A line that cannot be written has no other place to go.
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            drop(self.0.make_writer().write_all(&text));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use shiftwork_ports::fake::LogLines;
    use shiftwork_ports::log::{self, Subject};
    use shiftwork_protocol::{Failure, FailureKind};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A log of JSON lines, and the subscriber that writes it.
    pub(in crate::lambda) fn log() -> (LogLines, impl Subscriber + Send + Sync) {
        let lines = LogLines::default();
        let writer = lines.clone();
        (lines, tracing_subscriber::registry().with(JsonLines::new(move || writer.clone())))
    }

    #[test]
    fn no_key_occurs_twice_and_the_innermost_value_is_kept() {
        let (written, subscriber) = log();
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::error_span!("outer", run = "outer", job = "a", requestId = "id");
            let _outer = outer.enter();
            let inner = tracing::error_span!("inner", run = "inner", attempt = tracing::field::Empty);
            inner.record("attempt", 1);
            inner.record("attempt", 2);
            let _inner = inner.enter();
            tracing::warn!(job = "b", level = "mine", message = "a field", timestamp = 7, "the {}", "text");
        });
        let [line] = written.parsed().try_into().unwrap();
        for (key, expected) in [
            ("level", "WARN".into()),
            ("message", "the text".into()),
            ("job", "b".into()),
            ("run", "inner".into()),
            ("attempt", Value::from(2)),
            ("requestId", "id".into()),
            ("message_", "a field".into()),
            ("level_", "mine".into()),
            ("timestamp_", Value::from(7)),
        ] {
            assert_eq!(line.get(key), Some(&expected), "{key}: {line:?}");
        }
        assert_eq!(line.len(), 10, "{line:?}");
    }

    #[test]
    fn a_line_with_a_metric_is_a_value_of_it() {
        let (written, subscriber) = log();
        tracing::subscriber::with_default(subscriber, || tracing::warn!(metric = "Refused", key = "a", "text"));
        let line = written.parsed().remove(0);
        assert_eq!((&line["Refused"], &line["key"], &line["message"]), (&1.into(), &"a".into(), &"text".into()));
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "shiftwork");
        assert_eq!(directive["Metrics"], json!([{ "Name": "Refused", "Unit": "Count" }]));
        // CloudWatch ignores a line without a value for each dimension.
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string());
        }
        assert!(line["_aws"]["Timestamp"].is_i64());
    }

    #[test]
    fn a_line_has_a_timestamp_that_lambda_reads() {
        let (written, subscriber) = log();
        tracing::subscriber::with_default(subscriber, || tracing::error!("text"));
        let line = written.parsed().remove(0);
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.parse::<jiff::Timestamp>().is_ok() && at.ends_with('Z'), "{at}");
        assert_eq!(line["level"], "ERROR");
    }

    #[tokio::test]
    async fn the_line_of_a_failure_has_the_ids_of_the_work_that_failed() {
        let (written, subscriber) = log();
        let _guard = tracing::subscriber::set_default(subscriber);
        let span = log::invocation("request");
        let work = async {
            Subject::of_job("r", "done")
                .scope(async {
                    tracing::info!("inside");
                    Ok(())
                })
                .await?;
            Subject::of_run("r")
                .in_workflow("w")
                .scope(
                    Subject::of_job("r", "load")
                        .scope(async { Err::<(), _>(Failure::new(FailureKind::Throttled, "slow down")) }),
                )
                .await
        };
        let result = tracing::Instrument::instrument(work, span.clone()).await;
        span.in_scope(|| tracing::error!("{}", result.unwrap_err()));
        let lines = written.parsed();
        assert_eq!((&lines[0]["job"], &lines[0]["run"]), (&"done".into(), &"r".into()));
        for (key, expected) in [("requestId", "request"), ("run", "r"), ("workflow", "w"), ("job", "load")] {
            assert_eq!(lines[1][key], expected, "{:?}", lines[1]);
        }
    }
}
