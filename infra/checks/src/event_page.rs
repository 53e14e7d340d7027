//! `docs/events.md`, made from the types of the events.

use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value;
use shiftwork_protocol::{
    Cause, Status, Times,
    drift::{Finding, Remedy},
    event::{DriftFound, Event, FilesLate, JobEnded, Refreshed, RunEnded, SOURCE, TableRefreshed},
};

/// An event as the page shows it.
pub struct Shown {
    /// Its `detail-type`.
    pub detail_type: &'static str,
    /// File of its schema under `infra/schemas`.
    pub schema: &'static str,
    when: &'static str,
    definition: Value,
    example: String,
}

/// Every event, in the order of the page.
pub fn shown() -> Vec<Shown> {
    examples().iter().map(show).collect()
}

/// The text of the page.
pub fn written() -> String {
    let shown = shown();
    let mut page = String::from(PREFACE);
    for event in &shown {
        let _ = writeln!(
            page,
            "| [{}](#{}) | {} |",
            event.detail_type,
            anchor(event.detail_type),
            first_sentence(event.when)
        );
    }
    page.push_str(DELIVERY);
    for event in &shown {
        section(&mut page, event);
    }
    page.push_str(MESSAGES);
    page
}

const PREFACE: &str = "\
<!-- Made from the types by infra/checks/src/event_page.rs. To update it:
     UPDATE_SCHEMAS=1 cargo test -p shiftwork-infra-checks --test pages -->

# Events

shiftwork publishes six kinds of event on Amazon EventBridge, on the bus that the template parameter `EventBusName` names
(`default`). A rule matches them by `source` and `detail-type`:

```json
{ \"source\": [\"shiftwork\"], \"detail-type\": [\"Shiftwork Run Ended\"], \"detail\": { \"execution_status\": [\"FAILED\", \"TIMED_OUT\", \"ABORTED\"] } }
```

| `detail-type` | Sent when |
| --- | --- |
";

const DELIVERY: &str = "
## Delivery

- **At least once.** The fact is written first (the audit tables, the file audit table), then the event is published. A function that
  fails between the two publishes the event when it is called again, so the same event can come twice. Copies have the same
  `idempotency_key`; the `id` and `time` of EventBridge differ. One exception: a Drift Found or Files Late event is
  published first and noted afterwards.
- **No order.** EventBridge does not keep the order of events. Use the times in `detail`.
- **Late.** If the event of a Redshift statement is lost, the sweep of the run finds the end of the statement, usually within two
  minutes; the events of the job and of the run are late by as much.
- **Forward compatible.** A later version may add fields. A consumer must ignore fields that it does not know.
- Times are ISO 8601 in UTC with milliseconds: `2026-03-01T02:00:00.000Z`. A field that is not required is left out if it
  has no value.

Every event can start a workflow: [`triggers`](workflows.md#start-a-run). A run that an event of another run started has that run, and the
runs that led to it, in `caused_by`. A run whose `caused_by` has more than 10 runs (the template parameter `MaxCauses`) fails before it
starts, and publishes no event, because that event could start the next run.
";

const MESSAGES: &str = "
## Messages to people

Some facts also go to the SNS topic `FailureTopic` (an output of the stack; the parameter `NotificationEmail` subscribes an address):

| Fact | Subject | The message contains |
| --- | --- | --- |
| a run is `FAILED`, `TIMED_OUT` or `ABORTED` | `shiftwork: <workflow> <status>: <run>` | the first error, cut to 8 KB, and the command that restarts the run |
| drift was found | `shiftwork: new fields for <contract>` | the fields, up to 16 KB, and the commands that show and apply the migration |
| files are late | `shiftwork: files of <feed> are late` | the numbers of files expected and received, and the command that lists them |
| a CloudWatch alarm of the stack changes to ALARM | written by CloudWatch | the description of the alarm, which says what to do |

The texts are made in [`shared/aws/src/notices.rs`](../shared/aws/src/notices.rs). Delivery is at least once, as for the events.

## Messages to workers

A feed with `work_items` sends its batches to the queue `FileWorkQueue` and reads the results from `FileResultQueue`:
[Work items](files.md#work-items), with the schemas [`work-item.json`](../infra/schemas/work-item.json) and
[`work-completion.json`](../infra/schemas/work-completion.json).
";

const RUN: &str = "nightly-20260301T020000";

fn examples() -> [Event; 6] {
    let at = |text: &str| -> Timestamp { text.parse().unwrap_or(Timestamp::UNIX_EPOCH) };
    let (workflow, run) = (|| "nightly".to_owned(), || RUN.to_owned());
    [
        Event::Job(JobEnded {
            idempotency_key: format!("{RUN}/load_orders.sql"),
            workflow_id: workflow(),
            workflow_execution_id: run(),
            logical_date: Some(at("2026-03-01T01:00:00Z")),
            time_zone: Some("Europe/Berlin".into()),
            job_name: "load_orders.sql".into(),
            execution_status: Status::Failed,
            skip_reason: None,
            execution_start_ts: Some(at("2026-03-01T02:00:01.500Z")),
            execution_end_ts: Some(at("2026-03-01T02:04:25.250Z")),
            error_message: Some("ERROR: relation \"staging.orders\" does not exist".into()),
            rows: None,
            dropped_rows: None,
            times: Times {
                engine_created_ts: Some(at("2026-03-01T02:00:01.620Z")),
                engine_started_ts: Some(at("2026-03-01T02:00:04.120Z")),
                engine_ended_ts: Some(at("2026-03-01T02:04:24.980Z")),
                queued_us: Some(2_500_000),
                ran_us: Some(260_860_000),
                noticed_us: Some(270_000),
                unreported: 0,
            },
            caused_by: Vec::new(),
        }),
        Event::Run(RunEnded {
            idempotency_key: run(),
            workflow_id: workflow(),
            workflow_execution_id: run(),
            execution_status: Status::Failed,
            logical_date: at("2026-03-01T01:00:00Z"),
            time_zone: Some("Europe/Berlin".into()),
            error_message: Some("load_orders.sql FAILED: ERROR: relation \"staging.orders\" does not exist".into()),
            caused_by: Vec::new(),
        }),
        Event::Refreshed(Refreshed {
            idempotency_key: run(),
            workflow_id: workflow(),
            workflow_execution_id: run(),
            logical_date: at("2026-03-01T01:00:00Z"),
            time_zone: Some("Europe/Berlin".into()),
            caused_by: vec![Cause {
                workflow_id: "staging".into(),
                workflow_execution_id: "staging-20260301T010000".into(),
            }],
        }),
        Event::Table(TableRefreshed {
            idempotency_key: "shiftwork:load_orders-1a2b3c4d5e6f:orders:1".into(),
            workflow_id: "load_orders".into(),
            workflow_execution_id: "load_orders-1a2b3c4d5e6f".into(),
            logical_date: Some(at("2026-03-01T02:00:00Z")),
            time_zone: Some("UTC".into()),
            job_name: "orders".into(),
            feed: "orders".into(),
            table: "sales.orders".into(),
            file_count: 2,
            files: ["eu", "us"].map(|shop| format!("s3://landing/orders/{shop}/2026-03-01/1.csv.gz")).into(),
            manifest: "manifests/load_orders-1a2b3c4d5e6f/orders/1.json".into(),
            rows: Some(184),
            caused_by: Vec::new(),
        }),
        Event::Late(FilesLate {
            idempotency_key: "orders/late 2026-03-01".into(),
            feed: "orders".into(),
            day: "2026-03-01".into(),
            due_ts: at("2026-03-01T05:00:00Z"),
            expected: 2,
            received: 1,
        }),
        Event::Drift(DriftFound {
            idempotency_key: "shop_orders-0123456789abcdef".into(),
            contract: "shop_orders".into(),
            table: "shop.orders".into(),
            unknown: "capture".into(),
            findings: vec![Finding {
                field: "colour".into(),
                since: Some(at("2026-03-01T00:00:01Z")),
                rows: 2,
                seen: "text of at most 5 bytes".into(),
                remedy: Remedy::Add { column: "colour".into(), column_type: "varchar(64)".into() },
            }],
            more: 0,
        }),
    ]
}

fn show(event: &Event) -> Shown {
    let (schema, when, (definition, example)) = match event {
        Event::Job(detail) => (
            "event-job-ended.json",
            "A job of a run has ended. Every job of a run is reported once it ends, also a job that is skipped or aborted; a job that \
             a restart reuses is not, because it ended in the earlier run.",
            described(detail),
        ),
        Event::Run(detail) => (
            "event-run-ended.json",
            "A run has ended. This includes a request that was skipped or refused because another run was in progress, and a run that a \
             schedule or an event requested and whose workflow is not valid. A run that was refused because too many runs led to it is not \
             reported.",
            described(detail),
        ),
        Event::Refreshed(detail) => (
            "event-refreshed.json",
            "A run has succeeded. It is sent together with the Run Ended event, for workflows that start after this one.",
            described(detail),
        ),
        Event::Table(detail) => (
            "event-table-refreshed.json",
            "A job of kind `copy` has loaded files of a feed. It is sent together with the Job Ended event. A job that found no file sends none.",
            described(detail),
        ),
        Event::Late(detail) => (
            "event-files-late.json",
            "Fewer files of a feed came than its `expected` asks for by its time. It is sent once a feed and day, when the feeds are planned.",
            described(detail),
        ),
        Event::Drift(detail) => (
            "event-drift-found.json",
            "schema-watcher found fields that no column takes. It is sent once for each field and each remedy: a field is reported again \
             only if its remedy changes, for example because longer texts came.",
            described(detail),
        ),
    };
    Shown { detail_type: event.detail_type(), schema, when, definition, example }
}

fn described<T: JsonSchema + Serialize>(detail: &T) -> (Value, String) {
    (schema_for!(T).to_value(), serde_json::to_string_pretty(detail).unwrap_or_default())
}

fn section(page: &mut String, event: &Shown) {
    let Shown { detail_type, schema, when, definition, example } = event;
    let _ = write!(page, "\n## {detail_type}\n\n{when} Schema: [`{schema}`](../infra/schemas/{schema}).\n\n");
    table(page, definition, example);
    for name in ["Cause", "Finding", "Remedy"] {
        let nested = &definition["$defs"][name];
        if nested.is_object() {
            let _ = write!(page, "\n`{name}`: {}\n\n", sentence(nested));
            if nested["oneOf"].is_array() { variants(page, nested) } else { table(page, nested, example) }
        }
    }
    let _ = write!(
        page,
        "\n```json\n{{\n  \"source\": \"{SOURCE}\",\n  \"detail-type\": \"{detail_type}\",\n  \"detail\": {}\n}}\n```\n",
        example.replace('\n', "\n  ")
    );
}

/// The fields of an object, in the order of the example.
fn table(page: &mut String, object: &Value, example: &str) {
    page.push_str("| Field | Type | Required | Meaning |\n| --- | --- | --- | --- |\n");
    let mut fields: Vec<_> = object["properties"].as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| (example.find(&format!("\"{name}\":")).unwrap_or(usize::MAX), (*name).clone()));
    for (name, field) in fields {
        let required = object["required"].as_array().into_iter().flatten().any(|required| required == name.as_str());
        let required = if required { "yes" } else { "no" };
        let _ = writeln!(page, "| `{name}` | {} | {required} | {} |", kind(field), sentence(field));
    }
}

/// The forms of an object that a field tells apart.
fn variants(page: &mut String, object: &Value) {
    page.push_str("| `remedy` | Further fields | Meaning |\n| --- | --- | --- |\n");
    for variant in object["oneOf"].as_array().into_iter().flatten() {
        let properties = variant["properties"].as_object();
        let tag = properties.and_then(|fields| fields["remedy"]["const"].as_str()).unwrap_or_default();
        let others = properties.into_iter().flatten().filter(|(name, _)| *name != "remedy");
        let mut others: Vec<_> = others.map(|(name, field)| format!("`{name}`: {}", sentence(field))).collect();
        others.sort();
        let _ = writeln!(page, "| `{tag}` | {} | {} |", others.join(" "), sentence(variant));
    }
}

/// The JSON type of a field, in words.
fn kind(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return if name == "Status" { "text".into() } else { format!("`{name}`") };
    }
    let types = match &field["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        Value::String(name) => Some(name.as_str()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    match types {
        Some("string") => "text".into(),
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some(other) => other.into(),
        None => "any".into(),
    }
}

fn sentence(described: &Value) -> String {
    described["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}
