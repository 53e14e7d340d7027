//! The Rust types of the payloads and results of the functions that the state machine calls.

use std::collections::BTreeMap;

use shiftwork_protocol::payload::{AuditRequest, JobEnd, Lanes, Launch, Recorded, RunEnd, RunInput};

use crate::shape::Shape;

/// The payloads that a function accepts from the state machine.
#[derive(Debug, Clone)]
pub struct Payloads {
    /// Payloads, each with its result.
    pub calls: Vec<Call>,
}

/// One payload and its result.
#[derive(Debug, Clone)]
pub struct Call {
    /// The payload.
    pub payload: Shape,
    /// The result of the state: what the function returns, or what the task token is settled with where the task waits for one.
    pub result: Shape,
}

/// The functions that the state machine calls, by their substitution in `run.asl.json`.
pub fn functions() -> BTreeMap<&'static str, Payloads> {
    let only = |payload, result| Payloads { calls: vec![Call { payload, result }] };
    let audit = match Shape::of::<AuditRequest>() {
        Shape::OneOf(variants) => variants,
        one => vec![one],
    };
    let result_of = |payload: &Shape| {
        let action = payload.at("$.action");
        if action == Ok(&Shape::word("record_job")) { Shape::of::<Recorded>() } else { Shape::of::<RunEnd>() }
    };
    let calls = audit.into_iter().map(|payload| Call { result: result_of(&payload), payload }).collect();
    BTreeMap::from([
        ("${IteratorFunctionArn}", only(Shape::of::<RunInput>(), Shape::of::<Lanes>())),
        ("${JobLauncherFunctionArn}", only(Shape::of::<Launch>(), Shape::of::<JobEnd>())),
        ("${AuditUpdaterFunctionArn}", Payloads { calls }),
    ])
}

impl Payloads {
    /// All payloads, as one shape.
    pub fn accepted(&self) -> Shape {
        match self.calls.as_slice() {
            [one] => one.payload.clone(),
            many => Shape::OneOf(many.iter().map(|call| call.payload.clone()).collect()),
        }
    }

    /// The result of a payload.
    pub fn result(&self, payload: &Shape) -> Shape {
        let fitting = self.calls.iter().find(|call| call.payload.mismatches(payload, "").is_empty());
        match (fitting, self.calls.as_slice()) {
            (Some(call), _) => call.result.clone(),
            (None, [only]) => only.result.clone(),
            // The payload is a finding already, so its result is not checked.
            (None, _) => Shape::Any,
        }
    }
}
