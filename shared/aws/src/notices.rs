//! What goes out: events on an EventBridge bus, messages to people on an SNS topic.

use std::fmt::Write as _;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use shiftwork_ports::{Notices, Result};
use shiftwork_protocol::{FailureKind, RunRecord, event};

use crate::{client::Aws, environment, failures::Call};

/// Entries of one `PutEvents` (EventBridge quota).
const ENTRIES: usize = 10;
/// Characters of a subject (SNS `Publish`: ASCII, at most 100).
const SUBJECT_CHARS: usize = 100;
/// Bytes of an error in a message; SNS takes 256 KB in all, and nobody reads more than this in a mail.
const ERROR_BYTES: usize = 8 * 1024;
/// Bytes of a message about drift.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Characters of a field's name in a message.
const FIELD_CHARS: usize = 200;

environment! {
    /// Where [`AwsNotices`] publish, as the environment of a function says.
    pub struct NoticesEnvironment {
        pub event_bus_name: String,
        pub failure_topic_arn: String,
    }
}

/// [`Notices`] over EventBridge and SNS.
#[derive(Debug, Clone)]
pub struct AwsNotices {
    events: aws_sdk_eventbridge::Client,
    messages: aws_sdk_sns::Client,
    bus: String,
    topic: String,
}

impl AwsNotices {
    /// Over the bus of this name (or ARN) and the topic of this ARN.
    pub fn new(config: &SdkConfig, bus: impl Into<String>, topic_arn: impl Into<String>) -> Self {
        Self {
            events: aws_sdk_eventbridge::Client::new(config),
            messages: aws_sdk_sns::Client::new(config),
            bus: bus.into(),
            topic: topic_arn.into(),
        }
    }

    /// The notices of a function.
    pub fn of_function(aws: &Aws, environment: &NoticesEnvironment) -> Self {
        Self::new(aws.config(), &environment.event_bus_name, &environment.failure_topic_arn)
    }

    async fn tell(&self, about: &str, message: String) -> Result<()> {
        let publish = self.messages.publish().topic_arn(&self.topic).subject(subject(about)).message(message);
        publish.send().await.map(drop).map_err(|error| Call::new("SNS Publish", &self.topic).failed(error))
    }

    /// Sends at most ten entries and answers those that EventBridge did not take, with its words on the first.
    async fn put(&self, entries: Vec<PutEventsRequestEntry>) -> Result<Option<(Vec<PutEventsRequestEntry>, String)>> {
        let answer = self
            .events
            .put_events()
            .set_entries(Some(entries.clone()))
            .send()
            .await
            .map_err(|error| Call::new("EventBridge PutEvents", &self.bus).failed(error))?;
        if answer.failed_entry_count == 0 {
            return Ok(None);
        }
        // One result an entry, in order.
        let (left, errors): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .zip(answer.entries())
            .filter_map(|(entry, result)| {
                let code = result.error_code()?;
                Some((entry, format!("{code}: {}", result.error_message().unwrap_or("without a message"))))
            })
            .unzip();
        Ok(errors.into_iter().next().map(|first| (left, first)))
    }
}

#[async_trait]
impl Notices for AwsNotices {
    async fn publish(&self, events: &[event::Event]) -> Result<()> {
        let call = Call::new("EventBridge PutEvents", &self.bus);
        for page in events.chunks(ENTRIES) {
            let entries = page
                .iter()
                .map(|event| {
                    let detail = event.detail().map_err(|error| call.failure(FailureKind::Refused, error))?;
                    Ok(PutEventsRequestEntry::builder()
                        .event_bus_name(&self.bus)
                        .source(event::SOURCE)
                        .detail_type(event.detail_type())
                        .detail(detail)
                        .build())
                })
                .collect::<Result<Vec<_>>>()?;
            let Some((left, _)) = self.put(entries).await? else { continue };
            if let Some((left, first)) = self.put(left).await? {
                return Err(call.failure(
                    FailureKind::Unavailable,
                    format_args!("{} of {} events were not taken, twice; the first: {first}", left.len(), page.len()),
                ));
            }
        }
        Ok(())
    }

    async fn alert(&self, run: &RunRecord) -> Result<()> {
        let RunRecord { workflow_id, execution_status, workflow_execution_id, .. } = run;
        self.tell(&format!("{workflow_id} {execution_status}: {workflow_execution_id}"), body(run)).await
    }

    async fn drift(&self, found: &event::DriftFound) -> Result<()> {
        self.tell(&format!("new fields for {}", found.contract), drift_body(found)).await
    }

    async fn late(&self, late: &event::FilesLate) -> Result<()> {
        self.tell(&format!("files of {} are late", late.feed), late_body(late)).await
    }
}

fn subject(about: &str) -> String {
    let whole = format!("shiftwork: {about}");
    // Ids are ASCII; one that a table holds by mistake must not keep the message back.
    whole.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(SUBJECT_CHARS).collect()
}

fn body(run: &RunRecord) -> String {
    let error = run.error_message.as_deref().unwrap_or("no error was recorded");
    let mut error = error.to_owned();
    if error.len() > ERROR_BYTES {
        error.truncate(error.floor_char_boundary(ERROR_BYTES));
        error.push_str(" …");
    }
    format!(
        "The run did not succeed.\n\n\
         workflow      {}\n\
         run           {}\n\
         status        {}\n\
         logical date  {}\n\n\
         First error:\n{error}\n\n\
         What succeeded is kept. Once the cause is mended, run the rest with\n\n    \
         shiftwork restart {}\n",
        run.workflow_id,
        run.workflow_execution_id,
        run.execution_status,
        shiftwork_protocol::timestamp(run.logical_date),
        run.workflow_execution_id,
    )
}

fn late_body(late: &event::FilesLate) -> String {
    format!(
        "The feed {} expects {} files of {} by {}; {} came.\n\nWhat came:\n\n    shiftwork files {}\n",
        late.feed,
        late.expected,
        late.day,
        shiftwork_protocol::timestamp(late.due_ts),
        late.received,
        late.feed
    )
}

fn drift_body(found: &event::DriftFound) -> String {
    let event::DriftFound { contract, table, unknown, findings, more, .. } = found;
    let mut body =
        format!("The source of {table} sends what no column takes. Nothing is lost: it waits in the rows.\n\n");
    for finding in findings {
        // A field's name is the source's to choose.
        let field: String = finding.field.chars().take(FIELD_CHARS).collect();
        let line = format!("{field}: {}, {} rows; {}\n", finding.seen, finding.rows, finding.remedy);
        if body.len() + line.len() > MESSAGE_BYTES {
            body.push_str("…\n");
            break;
        }
        body.push_str(&line);
    }
    if *more > 0 {
        let _ = writeln!(body, "and {more} more");
    }
    let _ = match unknown.as_str() {
        "evolve" => write!(
            body,
            "\nThe contract says `unknown: evolve`: it is taken in by itself. To look:\n\n    shiftwork drift {contract}\n"
        ),
        _ => write!(
            body,
            "\nTo look, and to take it in:\n\n    shiftwork drift {contract}\n    shiftwork drift {contract} --apply\n"
        ),
    };
    body
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use shiftwork_protocol::{
        RunRecord, Status,
        audit::Origin,
        drift::{Finding, Remedy},
        event::DriftFound,
    };

    fn run(id: &str, error: &str) -> RunRecord {
        RunRecord {
            workflow_execution_id: id.into(),
            workflow_id: "w".repeat(64),
            workflow_description: None,
            execution_status: Status::TimedOut,
            created_ts: Timestamp::UNIX_EPOCH,
            execution_start_ts: None,
            execution_end_ts: None,
            error_message: Some(error.into()),
            logical_date: Timestamp::UNIX_EPOCH,
            parameters: BTreeMap::new(),
            requested_by: Origin::Manual,
            request_sha256: String::new(),
            workflow_sha256: String::new(),
            restart_of: None,
            jobs: 0,
            planner: None,
        }
    }

    #[test]
    fn a_subject_is_what_sns_takes() {
        for id in ["r".repeat(800), "löschen\nund".into()] {
            let subject = super::subject(&id);
            assert!(subject.len() <= 100 && subject.is_ascii() && !subject.contains('\n'), "{subject}");
        }
    }

    #[test]
    fn a_message_names_the_error_and_the_command_that_restarts() {
        let body = super::body(&run("demo_test_26", "ERROR: relation \"x\" does not exist"));
        for part in ["ERROR: relation \"x\" does not exist", "shiftwork restart demo_test_26", "TIMED_OUT"] {
            assert!(body.contains(part), "{body}");
        }
    }

    #[test]
    fn a_message_stays_below_what_sns_takes() {
        assert!(super::body(&run("r", &"é".repeat(300_000))).len() < 10_000);
        assert!(super::drift_body(&drift(10_000, &"é".repeat(300_000))).len() < 100_000);
    }

    fn drift(fields: usize, name: &str) -> DriftFound {
        let remedy = Remedy::Add { column: "colour".into(), column_type: "varchar(64)".into() };
        let finding = Finding { field: name.into(), since: None, rows: 3, seen: "texts up to 7 bytes".into(), remedy };
        DriftFound {
            idempotency_key: String::new(),
            contract: "orders".into(),
            table: "shop.orders".into(),
            unknown: "capture".into(),
            findings: vec![finding; fields],
            more: 0,
        }
    }

    #[test]
    fn a_message_about_drift_names_the_field_and_the_command() {
        let body = super::drift_body(&drift(1, "colour"));
        let line = "colour: texts up to 7 bytes, 3 rows; add column colour varchar(64)\n";
        assert!(body.contains(line) && body.contains("shiftwork drift orders --apply"), "{body}");
    }
}
