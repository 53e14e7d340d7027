//! Matches events against EventBridge event patterns. `shiftwork push` makes a rule from each pattern; the trigger matches the event again,
//! because the workflow can have changed since, and to find the trigger whose parameters are used.
//!
//! The semantics are those of the EventBridge user guide, "Creating EventBridge event patterns", and of event-ruler, the library that
//! EventBridge uses. The operator `cidr` is not supported. `event_ruler_tests` lists the other differences.

pub(crate) mod possible;
mod read;
mod rule;

use serde_json::{Map, Value};

pub(crate) use read::PatternProblem;
pub(crate) use rule::{Field, Pattern, Test};
use shiftwork_config::{JsonPath, Place, Problem};

/// Returns true if the event matches the pattern.
///
/// # Errors
/// Returns the first problem of the pattern.
pub fn matches(pattern: &Map<String, Value>, event: &Value) -> Result<bool, Problem> {
    match read::pattern(pattern) {
        Ok(pattern) => Ok(pattern.matches(event)),
        Err(mut wrong) => {
            let PatternProblem { steps: _, message, hint } = &mut wrong[0];
            let (message, hint) = (std::mem::take(message), hint.take());
            let path = wrong[0].under(&JsonPath::root()).to_string();
            Err(Problem { place: Place { path: Some(path), ..Place::default() }, message, hint })
        }
    }
}

/// Parses a pattern. The error has all problems, at least one.
pub(crate) fn read(pattern: &Map<String, Value>) -> Result<Pattern, Vec<PatternProblem>> {
    read::pattern(pattern)
}

/// Returns the value at a path such as `$.detail.object.key`, `$.detail["object key"]` or `$.resources[0]`.
pub fn pick<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path)?.into_iter().try_fold(event, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// Returns true if the path is valid for [`pick`].
pub(crate) fn is_path(path: &str) -> bool {
    steps(path).is_some()
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(dotted) = rest.strip_prefix('.') {
            let end = dotted.find(['.', '[']).unwrap_or(dotted.len());
            let (key, after) = dotted.split_at(end);
            (!key.is_empty()).then(|| steps.push(Step::Key(key)))?;
            rest = after;
        } else {
            let bracketed = rest.strip_prefix('[')?;
            let quote = bracketed.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (step, after) = if let Some(quote) = quote {
                let (key, after) = bracketed[1..].split_once(quote)?;
                (Step::Key(key), after.strip_prefix(']')?)
            } else {
                let (index, after) = bracketed.split_once(']')?;
                (Step::Index(index.parse().ok()?), after)
            };
            steps.push(step);
            rest = after;
        }
    }
    // `$` alone is refused: the whole event cannot be the value of a parameter.
    (path.starts_with("$.") || path.starts_with("$[")).then_some(steps)
}

#[cfg(test)]
mod event_ruler_tests;
#[cfg(test)]
mod tests;
