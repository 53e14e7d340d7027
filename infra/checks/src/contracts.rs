//! Which Rust types stand behind the names of the template.

use std::collections::BTreeMap;

use shiftwork_protocol::payload::{AuditRequest, JobEnd, Lanes, Launch, Recorded, RunEnd, RunInput};

use crate::shape::Shape;

/// What a function takes from the state machine and gives back.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Requests, each with the answer to it.
    pub calls: Vec<Call>,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Call {
    /// The payload.
    pub request: Shape,
    /// What the state gets: the function's answer, or, where the task waits for a token, what settles the token.
    pub answer: Shape,
}

/// The functions that the state machine calls, by their substitution in `run.asl.json`.
pub fn functions() -> BTreeMap<&'static str, Contract> {
    let only = |request, answer| Contract { calls: vec![Call { request, answer }] };
    let audit = match Shape::of::<AuditRequest>() {
        Shape::OneOf(variants) => variants,
        one => vec![one],
    };
    let answer_to = |request: &Shape| {
        let action = request.at("$.action");
        if action == Ok(&Shape::word("record_job")) { Shape::of::<Recorded>() } else { Shape::of::<RunEnd>() }
    };
    let calls = audit.into_iter().map(|request| Call { answer: answer_to(&request), request }).collect();
    BTreeMap::from([
        ("${IteratorFunctionArn}", only(Shape::of::<RunInput>(), Shape::of::<Lanes>())),
        ("${JobLauncherFunctionArn}", only(Shape::of::<Launch>(), Shape::of::<JobEnd>())),
        ("${AuditUpdaterFunctionArn}", Contract { calls }),
    ])
}

impl Contract {
    /// All requests, as one shape.
    pub fn request(&self) -> Shape {
        match self.calls.as_slice() {
            [one] => one.request.clone(),
            many => Shape::OneOf(many.iter().map(|call| call.request.clone()).collect()),
        }
    }

    /// The answer to a payload.
    pub fn answer(&self, payload: &Shape) -> Shape {
        let fitting = self.calls.iter().find(|call| call.request.refuses(payload, "").is_empty());
        match (fitting, self.calls.as_slice()) {
            (Some(call), _) => call.answer.clone(),
            (None, [only]) => only.answer.clone(),
            // The payload is a finding already; its answer shall not be another.
            (None, _) => Shape::Any,
        }
    }
}
