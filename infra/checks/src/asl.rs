//! Follows every transition of the state machine, with shapes in place of data.
//!
//! Each state is entered with the input of every transition to it, so a path that one of them sets and another does not is
//! found: the order of the states is checked, not only their spelling.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_protocol::payload::RunInput;

use crate::{
    Findings,
    payloads::{self, Payloads},
    shape::{Shape, names},
};

/// What is wrong with the state machine. `job_keys` are the key attributes of the job audit table, `job_fields` the fields of its
/// items.
pub fn findings(machine: &Value, job_keys: &BTreeSet<String>, job_fields: &BTreeSet<String>) -> Findings {
    let mut walk = Walk {
        functions: payloads::functions(),
        job_keys,
        job_fields,
        findings: Findings::new(),
        missing: BTreeSet::new(),
        broken: false,
    };
    walk.machine(machine, Shape::of::<RunInput>(), &Context::default());
    walk.findings
}

/// Every state, also those of Maps, with its name.
pub fn states(machine: &Value) -> Vec<(&str, &Value)> {
    let mut all = Vec::new();
    for (name, state) in machine["States"].as_object().into_iter().flatten() {
        all.push((name.as_str(), state));
        all.extend(states(&state["ItemProcessor"]));
    }
    all
}

/// True for a task that waits until its token is settled.
pub fn waits_for_token(state: &Value) -> bool {
    state["Resource"].as_str().is_some_and(|resource| resource.ends_with(".waitForTaskToken"))
}

/// The number of states that a run of `jobs` jobs in `lanes` lanes enters when every job succeeds.
pub fn states_entered(machine: &Value, jobs: usize, lanes: usize) -> usize {
    let top = happy_path(machine);
    let inner: Vec<_> = top.iter().flat_map(|state| happy_path(&state["ItemProcessor"])).collect();
    let job: usize = inner.iter().map(|state| happy_path(&state["ItemProcessor"]).len()).sum();
    top.len() + lanes * inner.len() + jobs * job
}

fn happy_path(machine: &Value) -> Vec<&Value> {
    let mut path = Vec::new();
    let mut next = machine["StartAt"].as_str();
    while let Some(name) = next {
        let state = &machine["States"][name];
        path.push(state);
        next = state["Next"].as_str().or_else(|| state["Choices"][0]["Next"].as_str());
    }
    path
}

#[derive(Default, Clone)]
struct Context {
    item: Option<Shape>,
    waits: bool,
}

struct Walk<'a> {
    functions: BTreeMap<&'static str, Payloads>,
    job_keys: &'a BTreeSet<String>,
    job_fields: &'a BTreeSet<String>,
    findings: Findings,
    /// Paths that were found missing, with their state: each is reported once.
    missing: BTreeSet<(String, String)>,
    /// The current state read a path that is not set. AWS would fail the execution there, so nothing after it is a finding.
    broken: bool,
}

impl Walk<'_> {
    fn report(&mut self, state: &str, problem: impl std::fmt::Display) {
        self.findings.insert(format!("{state}: {problem}"));
    }

    fn machine(&mut self, machine: &Value, input: Shape, context: &Context) {
        let mut todo = vec![(machine["StartAt"].as_str().unwrap_or_default().to_owned(), input)];
        let mut seen = BTreeSet::new();
        while let Some(entry) = todo.pop() {
            if seen.insert(entry.clone()) {
                let (name, input) = entry;
                match machine["States"].get(&name) {
                    Some(state) => todo.extend(self.state(&name, state, &input, context)),
                    None => self.report(&name, "is not a state"),
                }
            }
        }
        for name in machine["States"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !seen.iter().any(|(entered, _)| entered == name) {
                self.report(name, "no transition leads here");
            }
        }
    }

    /// Enters a state. Returns its transitions, each with the input of the next state.
    fn state(&mut self, name: &str, state: &Value, input: &Shape, context: &Context) -> Vec<(String, Shape)> {
        let context = Context { waits: waits_for_token(state), ..context.clone() };
        self.broken = false;
        let mut transitions = Vec::new();
        let output = match state["Type"].as_str().unwrap_or_default() {
            "Task" => {
                let result = self.task(name, state, input, &context);
                self.output(name, state, input, result)
            }
            "Map" => {
                self.map(name, state, input, &context);
                self.output(name, state, input, Shape::Array(Box::new(Shape::Any)))
            }
            "Choice" => {
                transitions.extend(self.choice(name, state, input));
                input.clone()
            }
            "Succeed" => self.output(name, state, input, input.clone()),
            "Wait" => {
                if let Some(path) = state["TimestampPath"].as_str() {
                    self.expect(name, input, path, &Shape::Text(None));
                }
                self.output(name, state, input, input.clone())
            }
            "Fail" => {
                for field in ["ErrorPath", "CausePath"] {
                    if let Some(path) = state[field].as_str() {
                        self.expect(name, input, path, &Shape::Text(None));
                    }
                }
                input.clone()
            }
            other => {
                self.report(name, format_args!("this check does not know the type `{other}`"));
                Shape::Any
            }
        };
        for catcher in state["Catch"].as_array().into_iter().flatten() {
            let caught = Shape::object([("Error", Shape::Text(None)), ("Cause", Shape::Text(None))]);
            let after = match catcher.get("ResultPath") {
                Some(Value::Null) => input.clone(),
                Some(path) => input.with(path.as_str().unwrap_or("$"), caught),
                None => caught,
            };
            transitions.push((catcher["Next"].as_str().unwrap_or_default().to_owned(), after));
        }
        if let Some(next) = state["Next"].as_str() {
            transitions.push((next.to_owned(), output));
        }
        if std::mem::take(&mut self.broken) {
            for (_, input) in &mut transitions {
                *input = Shape::Any;
            }
        }
        transitions
    }

    fn task(&mut self, name: &str, state: &Value, input: &Shape, context: &Context) -> Shape {
        let resource = state["Resource"].as_str().unwrap_or_default();
        let arguments = self.fill(name, &state["Parameters"], input, context);
        if context.waits {
            let timed = state["TimeoutSeconds"].is_u64() || state["TimeoutSecondsPath"].is_string();
            if !timed {
                self.report(name, "waits for a token without a timeout");
            }
            if !catches_all(state) {
                self.report(name, "waits for a token without a Catch of States.ALL");
            }
            if !state["Parameters"].to_string().contains("\"$$.Task.Token\"") {
                self.report(name, "waits for a token that its parameters do not pass on");
            }
        }
        if let Some(path) = state["TimeoutSecondsPath"].as_str() {
            self.expect(name, input, path, &Shape::Integer);
        }
        match resource.trim_end_matches(".waitForTaskToken") {
            "arn:${Partition}:states:::lambda:invoke" => self.call(name, state, &arguments, context),
            "arn:${Partition}:states:::aws-sdk:dynamodb:updateItem" => {
                self.update_item(name, &state["Parameters"]);
                Shape::Any
            }
            _ => {
                self.report(name, format_args!("this check does not know the resource `{resource}`"));
                Shape::Any
            }
        }
    }

    fn call(&mut self, name: &str, state: &Value, arguments: &Shape, context: &Context) -> Shape {
        let function = state["Parameters"]["FunctionName"].as_str().unwrap_or_default();
        let Some(payloads) = self.functions.get(function).cloned() else {
            self.report(
                name,
                format_args!(
                    "`{function}` is not one of {}",
                    names(self.functions.keys().copied().collect::<Vec<_>>())
                ),
            );
            return Shape::Any;
        };
        let payload = arguments.at("$.Payload").cloned().unwrap_or(Shape::Any);
        for problem in payloads.accepted().mismatches(&payload, &format!("the payload of {function}")) {
            self.report(name, problem);
        }
        let result = payloads.result(&payload);
        if context.waits { result } else { Shape::object([("Payload", result)]) }
    }

    fn update_item(&mut self, name: &str, parameters: &Value) {
        if parameters["TableName"] != "${JobAuditTable}" {
            self.report(name, format_args!("writes to {}, not to `${{JobAuditTable}}`", parameters["TableName"]));
        }
        let keys: BTreeSet<String> =
            parameters["Key"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        if keys != *self.job_keys {
            self.report(name, format_args!("its Key is {}, the table's is {}", names(&keys), names(self.job_keys)));
        }
        for expression in ["UpdateExpression", "ConditionExpression"] {
            for field in attributes(parameters[expression].as_str().unwrap_or_default()) {
                if !self.job_fields.contains(field) {
                    self.report(name, format_args!("{expression}: a job record has no field `{field}`"));
                }
            }
        }
    }

    fn map(&mut self, name: &str, state: &Value, input: &Shape, context: &Context) {
        let path = state["ItemsPath"].as_str().unwrap_or("$");
        let item = match self.read(name, input, path) {
            Shape::Array(item) => *item,
            Shape::Any => Shape::Any,
            other => {
                self.report(name, format_args!("`{path}` is {other}, not a list"));
                Shape::Any
            }
        };
        let context = Context { item: Some(item.clone()), ..context.clone() };
        let selected = if state["ItemSelector"].is_null() {
            item
        } else {
            self.fill(name, &state["ItemSelector"], input, &context)
        };
        let broken = self.broken;
        self.machine(&state["ItemProcessor"], if broken { Shape::Any } else { selected }, &context);
        self.broken = broken;
    }

    fn choice(&mut self, name: &str, state: &Value, input: &Shape) -> Vec<(String, Shape)> {
        let mut transitions = Vec::new();
        for rule in state["Choices"].as_array().into_iter().flatten() {
            let path = rule["Variable"].as_str().unwrap_or_default();
            let found = self.read(name, input, path);
            let compared = match (rule.get("StringEquals"), rule.get("BooleanEquals")) {
                (Some(word), None) => Shape::word(word.as_str().unwrap_or_default()),
                (None, Some(_)) => Shape::Boolean,
                _ => {
                    self.report(name, "this check knows StringEquals and BooleanEquals only");
                    Shape::Any
                }
            };
            for problem in found.mismatches(&compared, &format!("`{path}`")) {
                self.report(name, problem);
            }
            transitions.push((rule["Next"].as_str().unwrap_or_default().to_owned(), input.clone()));
        }
        match state["Default"].as_str() {
            Some(default) => transitions.push((default.to_owned(), input.clone())),
            None => self.report(name, "has no Default: a value that no rule matches fails the run"),
        }
        transitions
    }

    /// `ResultSelector`, `ResultPath` and `OutputPath`.
    fn output(&mut self, name: &str, state: &Value, input: &Shape, result: Shape) -> Shape {
        let selected = match state.get("ResultSelector") {
            Some(selector) => self.fill(name, selector, &result, &Context::default()),
            None => result,
        };
        let merged = match state.get("ResultPath") {
            Some(Value::Null) => input.clone(),
            Some(path) => input.with(path.as_str().unwrap_or("$"), selected),
            None => selected,
        };
        match state.get("OutputPath") {
            Some(Value::Null) => Shape::object([]),
            Some(path) => self.read(name, &merged, path.as_str().unwrap_or("$")),
            None => merged,
        }
    }

    /// The shape of `Parameters`, `ItemSelector` or `ResultSelector`, with their paths read.
    fn fill(&mut self, name: &str, template: &Value, input: &Shape, context: &Context) -> Shape {
        match template {
            Value::Object(members) => {
                let mut filled = Shape::object([]);
                for (key, value) in members {
                    let shape = match (key.strip_suffix(".$"), value.as_str()) {
                        (Some(_), Some(path)) => self.path(name, path, input, context),
                        (Some(_), None) | (None, _) => self.fill(name, value, input, context),
                    };
                    filled = filled.with(&format!("$.{}", key.trim_end_matches(".$").replace('.', "_")), shape);
                }
                filled
            }
            Value::Array(items) => {
                Shape::Array(Box::new(items.first().map_or(Shape::Any, |item| self.fill(name, item, input, context))))
            }
            Value::String(text) => Shape::word(text),
            Value::Bool(_) => Shape::Boolean,
            Value::Number(_) => Shape::Integer,
            Value::Null => Shape::Any,
        }
    }

    fn path(&mut self, name: &str, path: &str, input: &Shape, context: &Context) -> Shape {
        match (path.strip_prefix("$$."), &context.item) {
            (None, _) => self.read(name, input, path),
            (Some("Task.Token"), _) if context.waits => Shape::Text(None),
            (Some(of), Some(item)) if of.starts_with("Map.Item.Value") => {
                let below = of.trim_start_matches("Map.Item.Value");
                self.read(name, item, &format!("${below}"))
            }
            (Some(_), _) => {
                self.report(name, format_args!("`{path}` is not available here"));
                Shape::Any
            }
        }
    }

    fn read(&mut self, name: &str, input: &Shape, path: &str) -> Shape {
        match input.at(path) {
            Ok(found) => found.clone(),
            Err(problem) => {
                if !self.broken && self.missing.insert((name.into(), path.into())) {
                    self.report(name, problem);
                }
                self.broken = true;
                Shape::Any
            }
        }
    }

    fn expect(&mut self, name: &str, input: &Shape, path: &str, wanted: &Shape) {
        let found = self.read(name, input, path);
        for problem in wanted.mismatches(&found, &format!("`{path}`")) {
            self.report(name, problem);
        }
    }
}

fn catches_all(state: &Value) -> bool {
    let catchers = state["Catch"].as_array();
    catchers.and_then(|catchers| catchers.last()).is_some_and(|last| last["ErrorEquals"][0] == "States.ALL")
}

/// The attributes in a DynamoDB expression.
fn attributes(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.starts_with("attribute_"))
}
