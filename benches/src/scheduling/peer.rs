//! The peer: a hand-made state machine of waves. The jobs of a wave run in parallel, each polls its statement every
//! second, and a wave starts when the previous wave has ended.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shiftwork_benches::graph::Graph;
use shiftwork_benches::machine::{self, Made};
use shiftwork_benches::stack::{Stack, between};

/// Interval between two polls of a statement, in seconds.
const POLL_SECONDS: u32 = 1;

/// Workgroup of the local Redshift.
const WORKGROUP: &str = "local";
const DATABASE: &str = "dev";

/// Prefix of the names of a peer's statements.
pub(crate) fn prefix(run: &str) -> String {
    format!("peer:{run}:")
}

/// The peer's definition for one run of a graph.
pub(crate) fn definition(graph: &Graph, run: &str, statement: &Made) -> Value {
    let waves = graph.waves();
    let mut states = Map::new();
    for (number, wave) in waves.iter().enumerate() {
        let branches: Vec<Value> = wave.iter().map(|job| branch(&graph.jobs[*job].name, run, statement)).collect();
        let mut state = json!({ "Type": "Parallel", "Branches": branches, "ResultPath": null });
        if number + 1 < waves.len() {
            state["Next"] = json!(format!("Wave {}", number + 1));
        } else {
            state["End"] = json!(true);
        }
        states.insert(format!("Wave {number}"), state);
    }
    json!({ "StartAt": "Wave 0", "States": states })
}

fn branch(job: &str, run: &str, statement: &Made) -> Value {
    let call = |payload: Value| {
        json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName": statement.arn(), "Payload": payload },
            "Retry": [{ "ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 3 }],
        })
    };
    let name = format!("{}{job}:1", prefix(run));
    let mut submit = call(json!({ "action": "submit", "workgroup": WORKGROUP, "database": DATABASE, "name": name }));
    submit["ResultSelector"] = json!({ "id.$": "$.Payload.id" });
    submit["Next"] = json!("Pause");
    let mut look = call(json!({ "action": "describe", "id.$": "$.id" }));
    look["ResultSelector"] = json!({ "status.$": "$.Payload.status" });
    look["ResultPath"] = json!("$.seen");
    look["Next"] = json!("Ended");
    json!({
        "StartAt": "Submit",
        "States": {
            "Submit": submit,
            "Pause": { "Type": "Wait", "Seconds": POLL_SECONDS, "Next": "Look" },
            "Look": look,
            "Ended": {
                "Type": "Choice",
                "Choices": [
                    { "Variable": "$.seen.status", "StringEquals": "FINISHED", "Next": "Done" },
                    { "Variable": "$.seen.status", "StringEquals": "FAILED", "Next": "Broken" },
                    { "Variable": "$.seen.status", "StringEquals": "ABORTED", "Next": "Broken" },
                ],
                "Default": "Pause",
            },
            "Done": { "Type": "Succeed" },
            "Broken": { "Type": "Fail", "Error": "StatementFailed" },
        }
    })
}

/// Runs the peer once; returns the time from the request to the end.
pub(crate) async fn run(stack: &Stack, peer: &Made, noop: &Made, name: &str) -> Result<Duration> {
    let asked = Timestamp::now();
    stack.invoke(noop.arn(), &json!({})).await?;
    Ok(between(asked, machine::execute(stack, peer, name).await?))
}
