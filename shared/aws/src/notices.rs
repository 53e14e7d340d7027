//! Events on an EventBridge bus and notifications on an SNS topic.

use std::fmt::Write as _;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use shiftwork_ports::{Notices, Result};
use shiftwork_protocol::{FailureKind, RunRecord, event};

use crate::{client::Aws, environment, failures::Call};

/// Maximum number of entries of one `PutEvents` (EventBridge quota).
const ENTRIES: usize = 10;
/// Maximum length of a subject in characters (SNS `Publish`: ASCII, at most 100).
const SUBJECT_CHARS: usize = 100;
/// Maximum size of an error in a notification in bytes. SNS allows 256 KB, which is too long for an email.
const ERROR_BYTES: usize = 8 * 1024;
/// Maximum size of a notification about drift in bytes.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Maximum length of a field's name in a notification in characters.
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
    /// Makes the adapter for the bus with this name or ARN and the topic with this ARN.
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

    async fn notify(&self, about: &str, message: String) -> Result<()> {
        let publish = self.messages.publish().topic_arn(&self.topic).subject(subject(about)).message(message);
        publish.send().await.map(drop).map_err(|error| Call::new("SNS Publish", &self.topic).failed(error))
    }

    /// Sends at most ten entries. Returns the entries that EventBridge did not accept, and its message about the first of
    /// them.
    async fn put(&self, entries: Vec<PutEventsRequestEntry>) -> Result<Option<(Vec<PutEventsRequestEntry>, String)>> {
        let response = self
            .events
            .put_events()
            .set_entries(Some(entries.clone()))
            .send()
            .await
            .map_err(|error| Call::new("EventBridge PutEvents", &self.bus).failed(error))?;
        if response.failed_entry_count == 0 {
            return Ok(None);
        }
        // The results have the order of the entries.
        let (left, errors): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .zip(response.entries())
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
                    format_args!(
                        "{} of {} events were not accepted on two tries; the first: {first}",
                        left.len(),
                        page.len()
                    ),
                ));
            }
        }
        Ok(())
    }

    async fn alert(&self, run: &RunRecord) -> Result<()> {
        let RunRecord { workflow_id, execution_status, workflow_execution_id, .. } = run;
        self.notify(&format!("{workflow_id} {execution_status}: {workflow_execution_id}"), body(run)).await
    }

    async fn drift(&self, found: &event::DriftFound) -> Result<()> {
        self.notify(&format!("new fields for {}", found.contract), drift_body(found)).await
    }

    async fn late(&self, late: &event::FilesLate) -> Result<()> {
        self.notify(&format!("files of {} are late", late.feed), late_body(late)).await
    }
}

fn subject(about: &str) -> String {
    let whole = format!("shiftwork: {about}");
    // Ids are ASCII. Characters of an invalid id are replaced, because SNS would refuse the notification.
    whole.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(SUBJECT_CHARS).collect()
}

fn body(run: &RunRecord) -> String {
    let error = run.error_message.as_deref().unwrap_or("no error was recorded");
    let mut error = error.to_owned();
    if error.len() > ERROR_BYTES {
        error.truncate(error.floor_char_boundary(ERROR_BYTES));
        error.push_str(" …");
    }
    let advice = match &run.request {
        None => {
            "Jobs that succeeded are not run again. If work of another job may be committed, the restart does not begin and \
             says what you have to decide. Fix the cause, then run the other jobs with"
        }
        Some(_) => {
            "No job was started, and the request is kept. Fix the cause, or complete the request with --param NAME=VALUE \
             or --date DATE, and start the run with"
        }
    };
    format!(
        "The run did not succeed.\n\n\
         workflow      {}\n\
         run           {}\n\
         status        {}\n\
         date          {}\n\
         logical date  {}\n\n\
         First error:\n{error}\n\n\
         {advice}\n\n    \
         shiftwork restart {}\n",
        run.workflow_id,
        run.workflow_execution_id,
        run.execution_status,
        run.date_text(),
        shiftwork_protocol::timestamp(run.logical_date),
        run.workflow_execution_id,
    )
}

fn late_body(late: &event::FilesLate) -> String {
    format!(
        "The feed {} expects {} files for {} by {}; {} arrived.\n\nTo list them:\n\n    shiftwork files {}\n",
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
    let mut body = format!(
        "The source of {table} sends values for which the table has no column. The rows keep these values until a migration adds the columns.\n\n"
    );
    for finding in findings {
        // The source chooses the name of a field, so its length is limited.
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
            "\nThe contract has `unknown: evolve`, so columns are added, and VARCHAR columns made longer, automatically. To see what is \
             left, and to apply it:\n\n    shiftwork drift {contract}\n    shiftwork drift {contract} --apply\n"
        ),
        _ => write!(
            body,
            "\nTo see the migration, and to apply it:\n\n    shiftwork drift {contract}\n    shiftwork drift {contract} --apply\n"
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
        payload::RunRequest,
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
            time_zone: None,
            run_date: None,
            parameters: BTreeMap::new(),
            requested_by: Origin::Manual,
            request_sha256: String::new(),
            workflow_sha256: String::new(),
            restart_of: None,
            caused_by: Vec::new(),
            request: None,
            jobs: 0,
            planner: None,
        }
    }

    #[test]
    fn a_subject_meets_the_limits_of_sns() {
        for id in ["r".repeat(800), "löschen\nund".into()] {
            let subject = super::subject(&id);
            assert!(subject.len() <= 100 && subject.is_ascii() && !subject.contains('\n'), "{subject}");
        }
    }

    #[test]
    fn a_notification_has_the_error_and_the_restart_command() {
        let body = super::body(&run("demo_test_26", "ERROR: relation \"x\" does not exist"));
        for part in ["ERROR: relation \"x\" does not exist", "shiftwork restart demo_test_26", "TIMED_OUT"] {
            assert!(body.contains(part), "{body}");
        }
    }

    #[test]
    fn a_notification_about_a_request_that_cannot_be_planned_says_how_to_correct_it() {
        let run = RunRecord { request: Some(RunRequest::default()), ..run("r", "parameter `n` (integer) is missing") };
        let body = super::body(&run);
        for part in ["parameter `n` (integer) is missing", "--param NAME=VALUE", "shiftwork restart r"] {
            assert!(body.contains(part), "{body}");
        }
        assert!(!body.contains("Jobs that succeeded"), "{body}");
    }

    #[test]
    fn a_notification_stays_below_the_limit_of_sns() {
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
    fn a_notification_about_drift_has_the_field_and_the_command() {
        let body = super::drift_body(&drift(1, "colour"));
        let line = "colour: texts up to 7 bytes, 3 rows; add column colour varchar(64)\n";
        assert!(body.contains(line) && body.contains("shiftwork drift orders --apply"), "{body}");
    }
}
