//! Typed parameters: checks their values and converts them to the strings that the Data API binds.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Problem, is_identifier, shape::found};
use shiftwork_protocol::{
    Workflow,
    secret::{self, Secrets},
    workflow::{Parameter, ParameterType},
};

use crate::builtin;

/// Converts a value to the string to bind. The error describes the expected value.
///
/// A value can be of the JSON type or a string in the same form, because command lines and events pass numbers as strings.
pub(crate) fn text(of_type: ParameterType, value: &Value) -> Result<String, String> {
    let wrong = || format!("expected {}, found {}", expected(of_type), found(value));
    if value == secret::MASK {
        return Err(format!("`{}` is the text that is shown for a secret value, and cannot be a value", secret::MASK));
    }
    if value == "" {
        return Err(format!("expected {}, found an empty string, which the Data API cannot bind", expected(of_type)));
    }
    match (of_type, value) {
        (ParameterType::String, Value::String(text)) => Ok(text.clone()),
        (ParameterType::Integer, Value::Number(number)) => number.as_i64().map(|n| n.to_string()).ok_or_else(wrong),
        (ParameterType::Integer, Value::String(text)) => {
            text.parse::<i64>().map(|n| n.to_string()).map_err(|_| wrong())
        }
        (ParameterType::Decimal, Value::Number(number)) => {
            let text = number.to_string();
            if is_exact(&text) {
                Ok(text)
            } else {
                Err(format!("`{text}` has more digits than a JSON number can represent: put the value in quotes"))
            }
        }
        (ParameterType::Decimal, Value::String(text)) => {
            if is_decimal(text) {
                Ok(text.clone())
            } else {
                Err(wrong())
            }
        }
        (ParameterType::Boolean, Value::Bool(value)) => Ok(value.to_string()),
        (ParameterType::Boolean, Value::String(text)) if text == "true" || text == "false" => Ok(text.clone()),
        (ParameterType::Date, Value::String(text)) => match text.parse::<Date>() {
            Ok(date) if date.to_string() == *text => Ok(text.clone()),
            Ok(_) | Err(_) => Err(wrong()),
        },
        (ParameterType::Timestamp, Value::String(text)) => text.parse::<Timestamp>().map(instant).map_err(|_| wrong()),
        (
            ParameterType::String
            | ParameterType::Integer
            | ParameterType::Decimal
            | ParameterType::Boolean
            | ParameterType::Date
            | ParameterType::Timestamp,
            _,
        ) => Err(wrong()),
    }
}

/// Converts an argument without a declared type to the string to bind.
pub(crate) fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("the Data API cannot bind an empty string".into()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(_) => text(ParameterType::Decimal, value),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("expected a string, a number, `true` or `false`, found {}", found(value)))
        }
    }
}

/// Writes a timestamp with milliseconds, or with microseconds, which is the precision of Redshift, if it has any.
fn instant(at: Timestamp) -> String {
    if at.subsec_nanosecond() % 1_000_000 == 0 {
        shiftwork_protocol::timestamp(at)
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }
}

/// Returns true for a decimal number such as `-12.50` or `1e6`.
fn is_decimal(text: &str) -> bool {
    let (number, exponent) =
        text.split_once(['e', 'E']).map_or((text, None), |(number, exponent)| (number, Some(exponent)));
    let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.is_none_or(|e| e.parse::<i16>().is_ok())
}

/// Returns false for a number whose digits may have been rounded when it was parsed: a 64-bit float represents 15 decimal digits exactly.
fn is_exact(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let is_float = number.contains(['.', 'e', 'E']);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    !is_float || digits.trim_start_matches('0').trim_end_matches('0').len() <= 15
}

const fn expected(of_type: ParameterType) -> &'static str {
    match of_type {
        ParameterType::String => "a string",
        ParameterType::Integer => "an integer",
        ParameterType::Decimal => "a number (decimal)",
        ParameterType::Boolean => "`true` or `false` (boolean)",
        ParameterType::Date => "a date such as `2026-03-01` (date)",
        ParameterType::Timestamp => "a time such as `2026-03-01T02:00:00Z` (timestamp)",
    }
}

/// Checks the names and the default values of declared parameters.
pub(crate) fn check(doc: &Located, declared: &BTreeMap<String, Parameter>, problems: &mut Vec<Problem>) {
    let path = JsonPath::root().key("parameters");
    for (name, parameter) in declared {
        let path = path.key(name);
        if builtin::ALL.contains(&name.as_str()) {
            let problem = doc.problem(&path, format!("`{name}` is a parameter that every run has"));
            problems.push(problem.hint("choose another name"));
        } else if !is_identifier(name) {
            let problem = doc.problem(&path, format!("`{name}` is not a valid name of a parameter"));
            problems.push(problem.hint("use letters, digits and `_`, and do not begin with a digit"));
        }
        if parameter.secret && parameter.default.is_some() {
            let problem = doc.problem(&path.key("default"), format!("the secret parameter `{name}` has a default"));
            problems.push(
                problem.hint(
                    "remove it: everyone who reads the file would see the secret; give the value with each request",
                ),
            );
        }
        if let Some(default) = &parameter.default
            && let Err(message) = text(parameter.of_type, default)
        {
            problems.push(doc.problem(&path.key("default"), message));
        }
    }
}

/// The parameter values of a run.
pub(crate) enum GivenParameters<'a> {
    /// The values of a request.
    Values(&'a BTreeMap<String, Value>),
    /// There is no run yet: every parameter without a default counts as given.
    Anything,
}

/// The strings to bind.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Every declared parameter; a secret one has the value [`secret::MASK`].
    pub(crate) shown: BTreeMap<String, String>,
    /// The values of the secret parameters.
    pub(crate) secrets: Secrets,
}

/// Returns the string to bind for every declared parameter. Problems do not quote a value of the run, because they are logged.
pub(crate) fn bind(doc: &Located, workflow: &Workflow, given: &GivenParameters, problems: &mut Vec<Problem>) -> Bound {
    let path = JsonPath::root().key("parameters");
    let none = BTreeMap::new();
    let values = match given {
        GivenParameters::Values(values) => *values,
        GivenParameters::Anything => &none,
    };
    let mut bound = BTreeMap::new();
    let mut secrets = Secrets::new();
    for (name, parameter) in &workflow.parameters {
        match values.get(name) {
            Some(value) => match text(parameter.of_type, value) {
                Ok(text) if parameter.secret => {
                    secrets.insert(name.clone(), text);
                    bound.insert(name.clone(), secret::MASK.to_owned());
                }
                Ok(text) => {
                    bound.insert(name.clone(), text);
                }
                Err(_) => {
                    let (kind, wanted) = (found_kind(value), expected(parameter.of_type));
                    let (message, hint) = if *value == "" || value.is_null() {
                        (format!("is {kind}, which the Data API cannot bind"), format!("give {wanted}"))
                    } else {
                        (format!("is not {wanted}"), format!("the request has {kind}"))
                    };
                    let message = format!("the value of parameter `{name}` {message}");
                    problems.push(doc.problem(&path.key(name), message).hint(hint));
                    // The name is known, so a placeholder that uses it is not reported again.
                    bound.insert(name.clone(), String::new());
                }
            },
            None => match (&parameter.default, given) {
                // A default of the wrong type is reported where it is declared.
                (Some(default), _) => {
                    bound.insert(name.clone(), text(parameter.of_type, default).unwrap_or_default());
                }
                (None, GivenParameters::Anything) => {
                    bound.insert(name.clone(), String::from("given"));
                }
                (None, GivenParameters::Values(_)) => {
                    let message = format!("parameter `{name}` ({}) is missing", parameter.of_type.as_str());
                    problems.push(doc.problem(&path.key(name), message).hint(if parameter.secret {
                        "set it in the request: a secret parameter has no `default`"
                    } else {
                        "set it in the request, or add a `default`"
                    }));
                    bound.insert(name.clone(), String::new());
                }
            },
        }
    }
    for name in values.keys().filter(|name| !workflow.parameters.contains_key(*name)) {
        let known = workflow.parameters.keys().map(String::as_str);
        let problem = doc.problem(&path, format!("the workflow has no parameter `{name}`"));
        problems.push(problem.one_of(name, known));
    }
    Bound { shown: bound, secrets }
}

/// Describes a value without its content.
fn found_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string in another form",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
