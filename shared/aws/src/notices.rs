//! What goes out: events on an EventBridge bus, messages to people on an SNS topic.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use shiftwork_contract::{FailureKind, RunRecord, event};
use shiftwork_ports::{Notices, Result};

use crate::failures::Call;

/// Entries of one `PutEvents` (EventBridge quota).
const ENTRIES: usize = 10;
/// Characters of a subject (SNS `Publish`: ASCII, at most 100).
const SUBJECT_CHARS: usize = 100;
/// Bytes of an error in a message; SNS takes 256 KB in all, and nobody reads more than this in a mail.
const ERROR_BYTES: usize = 8 * 1024;

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
        let publish = self.messages.publish().topic_arn(&self.topic).subject(subject(run)).message(body(run));
        publish.send().await.map_err(|error| Call::new("SNS Publish", &self.topic).failed(error))?;
        Ok(())
    }
}

fn subject(run: &RunRecord) -> String {
    let whole = format!("shiftwork: {} {}: {}", run.workflow_id, run.execution_status, run.workflow_execution_id);
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
        shiftwork_contract::timestamp(run.logical_date),
        run.workflow_execution_id,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use shiftwork_contract::{RunRecord, Status, audit::Origin};

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
        for id in ["r".repeat(80), "löschen\nund".into()] {
            let subject = super::subject(&run(&id, ""));
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
    }
}
