//! JSON Schemas of everything that crosses a boundary, for editors and for clients that are not written in Rust.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde_json::Value;
use shiftwork_planner::{connections_schema, workflow_schema};
use shiftwork_protocol::{
    drift::{DriftRequest, DriftResponse},
    event::{DriftFound, FilesLate, JobEnded, Refreshed, RunEnded, TableRefreshed},
    payload::{AuditRequest, JobEnd, Lanes, Launch, Recorded, RunEnd, RunInput, RunRequest, RunResponse, Sweep},
    work_item::{Completion, WorkItem},
};

/// Every schema, by the name of its file under `infra/schemas`.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("audit-request.json", of::<AuditRequest>()),
        ("connections.json", connections_schema()),
        ("drift-answer.json", of::<DriftResponse>()),
        ("drift-request.json", of::<DriftRequest>()),
        ("event-drift-found.json", of::<DriftFound>()),
        ("event-job-ended.json", of::<JobEnded>()),
        ("event-refreshed.json", of::<Refreshed>()),
        ("event-run-ended.json", of::<RunEnded>()),
        ("event-files-late.json", of::<FilesLate>()),
        ("event-table-refreshed.json", of::<TableRefreshed>()),
        ("feed.json", shiftwork_feeds::feed::feed_schema()),
        ("job-end.json", of::<JobEnd>()),
        ("lanes.json", of::<Lanes>()),
        ("launch.json", of::<Launch>()),
        ("metadata.json", shiftwork_search_metadata::schema()),
        ("recorded.json", of::<Recorded>()),
        ("run-answer.json", of::<RunResponse>()),
        ("run-end.json", of::<RunEnd>()),
        ("run-input.json", of::<RunInput>()),
        ("run-request.json", of::<RunRequest>()),
        ("sweep.json", of::<Sweep>()),
        ("work-completion.json", of::<Completion>()),
        ("work-item.json", of::<WorkItem>()),
        ("table-contract.json", shiftwork_change_data::contract::schema()),
        ("workflow.json", workflow_schema()),
    ]
}

/// The text of a schema's file: its keys are sorted, because the order in `serde_json` depends on the features of a build.
pub fn written(schema: &Value) -> String {
    format!("{:#}\n", sorted(schema))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.into_iter().collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}
