//! The floor: the overhead of the emulator for the states and invocations of a run, with functions that do nothing.
//!
//! The twin of a graph enters the states and makes the invocations of a real run at the times of a perfect schedule,
//! with no-op functions and `Wait` states with the durations of the jobs. The time beyond the critical path is the
//! overhead of the emulator. The functions of the busy twin make as many requests as shiftwork's functions, and do
//! nothing else.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shiftwork_benches::graph::Graph;
use shiftwork_benches::machine::{self, Made};
use shiftwork_benches::stack::{Stack, between};

/// Number of states of the machines that measure one state and one invocation.
const REPEATS: u32 = 200;

/// Requests of a job's launcher: two updates or reads of items, and the submission of the statement.
const LAUNCH_REQUESTS: u32 = 3;

/// Requests of a job's callback: settle the job, free one dependent, complete one task, publish the event.
const CALLBACK_REQUESTS: u32 = 4;

/// The work of a twin's functions.
pub(crate) enum Work<'a> {
    /// No requests.
    Nothing {
        /// The function.
        noop: &'a Made,
    },
    /// As many requests as shiftwork's functions make.
    Requests {
        /// The function.
        busy: &'a Made,
        /// The table that receives the requests.
        table: &'a str,
    },
}

impl Work<'_> {
    fn invoke(&self, requests: u32) -> Value {
        let (function, payload) = match self {
            Self::Nothing { noop } => (noop, json!({})),
            Self::Requests { busy, table } => (busy, json!({ "action": "touch", "table": table, "times": requests })),
        };
        json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName": function.arn(), "Payload": payload },
            "ResultPath": null,
            // As in shiftwork's state machine: MiniStack occasionally loses a process when a hundred start at once.
            "Retry": [{ "ErrorEquals": ["Runtime.ExitError"], "IntervalSeconds": 1, "MaxAttempts": 3, "JitterStrategy": "FULL" }],
        })
    }
}

/// The overhead of one state and one invocation in the emulator, measured sequentially on an idle machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// Overhead of entering and leaving a state.
    pub(crate) state: Duration,
    /// Overhead of invoking a no-op function, in addition to its state.
    pub(crate) invocation: Duration,
    /// Overhead of starting and ending an execution.
    pub(crate) execution: Duration,
}

/// Measures [`Unit`].
pub(crate) async fn unit(stack: &Stack, noop: &Made, role: &str, stamp: i64) -> Result<Unit> {
    let mut times = Vec::new();
    let pass = |next: Value| with_next(json!({ "Type": "Pass" }), &next);
    let call = |next: Value| with_next(Work::Nothing { noop }.invoke(0), &next);
    let machines = [
        ("one-state", sequence(1, pass)),
        ("states", sequence(REPEATS + 1, pass)),
        ("invocations", sequence(REPEATS + 1, call)),
    ];
    for (name, definition) in machines {
        let made = machine::machine(stack, &format!("shiftwork-bench-{name}-{stamp}"), &definition, role).await?;
        let mut best = Duration::MAX;
        for attempt in 0..3 {
            let begun = Timestamp::now();
            let ended = machine::execute(stack, &made, &format!("bench-{name}-{stamp}-{attempt}")).await?;
            best = best.min(between(begun, ended));
        }
        machine::remove_machine(stack, &made).await?;
        times.push(best);
    }
    let state = times[1].saturating_sub(times[0]) / REPEATS;
    let invocation = (times[2].saturating_sub(times[0]) / REPEATS).saturating_sub(state);
    Ok(Unit { state, invocation, execution: times[0].saturating_sub(state) })
}

fn sequence(states: u32, state: impl Fn(Value) -> Value) -> Value {
    let mut all = Map::new();
    for number in 0..states {
        let next = if number + 1 < states { json!(format!("S{}", number + 1)) } else { Value::Null };
        all.insert(format!("S{number}"), state(next));
    }
    json!({ "StartAt": "S0", "States": all })
}

/// The state with its `Next`, or with `End` if there is none.
fn with_next(mut state: Value, next: &Value) -> Value {
    if next.is_null() {
        state["End"] = json!(true);
    } else {
        state["Next"] = next.clone();
    }
    state
}

/// The twin of a graph: the jobs of the critical path are in one branch, every other job is in a separate branch that
/// starts at the time of a perfect schedule.
pub(crate) fn twin(graph: &Graph, work: &Work<'_>) -> Value {
    let path = graph.critical_path(&graph.lengths()).jobs;
    let starts = graph.earliest_starts();
    let mut branches = vec![branch(graph, &path, Duration::ZERO, work)];
    let others = (0..graph.jobs.len()).filter(|job| !path.contains(job));
    branches.extend(others.map(|job| branch(graph, &[job], starts[job], work)));
    json!({
        "StartAt": "Iterate",
        "States": {
            "Iterate": with_next(work.invoke(2), &json!("Jobs")),
            "Jobs": { "Type": "Parallel", "Branches": branches, "ResultPath": null, "Next": "Finish" },
            "Finish": with_next(work.invoke(LAUNCH_REQUESTS), &Value::Null),
        }
    })
}

fn branch(graph: &Graph, jobs: &[usize], start: Duration, work: &Work<'_>) -> Value {
    let mut states = Map::new();
    let wait = |time: Duration| json!({ "Type": "Wait", "Seconds": time.as_secs_f64() });
    let name = |kind: &str, job: usize| json!(format!("{kind} {}", graph.jobs[job].name));
    let mut first = name("Launch", jobs[0]);
    if !start.is_zero() {
        states.insert("Until".to_owned(), with_next(wait(start), &first));
        first = json!("Until");
    }
    for (place, job) in jobs.iter().copied().enumerate() {
        let following = jobs.get(place + 1).map_or(Value::Null, |next| name("Launch", *next));
        let links = [
            ("Launch", work.invoke(LAUNCH_REQUESTS), name("Statement", job)),
            ("Statement", wait(graph.jobs[job].length), name("Callback", job)),
            ("Callback", work.invoke(CALLBACK_REQUESTS), following),
        ];
        for (kind, state, next) in links {
            states.insert(format!("{kind} {}", graph.jobs[job].name), with_next(state, &next));
        }
    }
    json!({ "StartAt": first, "States": states })
}

/// Runs the twin of a graph; returns the time from the request to the end, as for a real run.
pub(crate) async fn run_twin(stack: &Stack, twin: &Made, noop: &Made, name: &str) -> Result<Duration> {
    let asked = Timestamp::now();
    stack.invoke(noop.arn(), &json!({})).await?;
    Ok(between(asked, machine::execute(stack, twin, name).await?))
}
