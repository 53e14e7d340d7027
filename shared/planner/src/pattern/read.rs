//! Parses an event pattern and reports its problems.

use serde_json::{Map, Value};
use shiftwork_config::{JsonPath, list, nearest, shape::found};

use super::rule::{Comparison, Field, Glob, Pattern, Test};

/// A problem of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatternProblem {
    /// Path of the problem inside the pattern.
    pub(crate) steps: Vec<Step>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl PatternProblem {
    /// The path of the problem in the document, for a pattern at `path`.
    pub(crate) fn under(&self, path: &JsonPath) -> JsonPath {
        self.steps.iter().fold(path.clone(), |path, step| match step {
            Step::Key(key) => path.key(key),
            Step::Index(index) => path.index(*index),
        })
    }
}

const OPERATORS: [&str; 10] = [
    "exactly",
    "prefix",
    "suffix",
    "equals-ignore-case",
    "wildcard",
    "anything-but",
    "numeric",
    "exists",
    // The last two are not listed as known operators: `cidr` is refused with its own message, and `$or` is not a test of a value.
    "cidr",
    "$or",
];

/// A message and its hint, without a place.
type Unplaced = (String, Option<String>);

fn without_hint(message: impl Into<String>) -> Unplaced {
    (message.into(), None)
}

/// Parses a pattern. The error has all problems, at least one.
pub(crate) fn pattern(pattern: &Map<String, Value>) -> Result<Pattern, Vec<PatternProblem>> {
    let mut reader = Reader { steps: Vec::new(), wrong: Vec::new() };
    let read = reader.object(pattern);
    if reader.wrong.is_empty() { Ok(read) } else { Err(reader.wrong) }
}

struct Reader {
    steps: Vec<Step>,
    wrong: Vec<PatternProblem>,
}

impl Reader {
    fn wrong(&mut self, (message, hint): Unplaced) {
        self.wrong.push(PatternProblem { steps: self.steps.clone(), message, hint });
    }

    fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let read = read(self);
        self.steps.pop();
        read
    }

    fn object(&mut self, object: &Map<String, Value>) -> Pattern {
        let mut pattern = Pattern::default();
        if object.is_empty() {
            self.wrong(("an empty pattern matches nothing".into(), Some("name at least one field".into())));
        }
        for (key, value) in object {
            self.within(Step::Key(key.clone()), |reader| match (key.as_str(), value) {
                ("$or", Value::Array(branches)) if branches.len() >= 2 => {
                    let branches = branches.iter().enumerate();
                    let read = branches
                        .filter_map(|(i, branch)| reader.within(Step::Index(i), |reader| reader.branch(branch)));
                    let read = read.collect();
                    pattern.or.push(read);
                }
                ("$or", _) => reader.wrong(without_hint("`$or` must be a list of at least two patterns")),
                (_, Value::Object(inside)) => pattern.fields.push((key.clone(), Field::Inside(reader.object(inside)))),
                (_, Value::Array(tests)) => pattern.fields.push((key.clone(), Field::AnyOf(reader.tests(tests)))),
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                    reader.wrong((
                        format!("expected a list or an object, found {}", found(value)),
                        Some(format!("write the values that match as a list: `[{value}]`")),
                    ));
                }
            });
        }
        pattern
    }

    fn branch(&mut self, branch: &Value) -> Option<Pattern> {
        if let Value::Object(branch) = branch {
            Some(self.object(branch))
        } else {
            self.wrong(without_hint(format!("expected a pattern, found {}", found(branch))));
            None
        }
    }

    fn tests(&mut self, tests: &[Value]) -> Vec<Test> {
        if tests.is_empty() {
            self.wrong(without_hint("an empty list matches nothing"));
        }
        let mut read = Vec::with_capacity(tests.len());
        for (i, value) in tests.iter().enumerate() {
            match test(value) {
                Ok(test) => read.push(test),
                Err(wrong) => self.within(Step::Index(i), |reader| reader.wrong(wrong)),
            }
        }
        read
    }
}

fn test(value: &Value) -> Result<Test, Unplaced> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Test::Equals(value.clone())),
        Value::Array(_) => Err(without_hint("expected a value or an operator, found a list")),
        Value::Object(operator) => {
            let (name, operand) = only(operator)?;
            match name {
                "anything-but" => anything_but(operand).map(Test::AnythingBut),
                "numeric" => numeric(operand).map(Test::Numeric),
                "exists" => operand
                    .as_bool()
                    .map(Test::Exists)
                    .ok_or_else(|| without_hint("`exists` must be `true` or `false`")),
                "cidr" => Err((
                    "`cidr` is not available in this version".into(),
                    Some("use `prefix` with the beginning of the address".into()),
                )),
                text_operator => text_test(text_operator, operand),
            }
        }
    }
}

/// Returns the name and the operand of an object with one operator.
fn only(operator: &Map<String, Value>) -> Result<(&str, &Value), Unplaced> {
    match operator.iter().collect::<Vec<_>>()[..] {
        [(name, operand)] => Ok((name, operand)),
        ref many => Err((
            format!("an operator must be an object with one member, and this one has {}", many.len()),
            Some(
                "write several operators as separate elements of the list: a value matches if any of them does".into(),
            ),
        )),
    }
}

fn text_test(name: &str, operand: &Value) -> Result<Test, Unplaced> {
    let ignoring_case = |operand: &Value| match operand.as_object().map(only)? {
        Ok(("equals-ignore-case", text)) => text.as_str().map(str::to_owned),
        Ok(_) | Err(_) => None,
    };
    let text = || operand.as_str().map(str::to_owned);
    let takes_text = || without_hint(format!("`{name}` must be a string, found {}", found(operand)));
    match name {
        "exactly" => text().map(|text| Test::Equals(text.into())).ok_or_else(takes_text),
        "prefix" => match ignoring_case(operand) {
            Some(prefix) => Ok(Test::PrefixIgnoreCase(prefix)),
            None => text().map(Test::Prefix).ok_or_else(takes_text),
        },
        "suffix" => match ignoring_case(operand) {
            Some(suffix) => Ok(Test::SuffixIgnoreCase(suffix)),
            None => text().map(Test::Suffix).ok_or_else(takes_text),
        },
        "equals-ignore-case" => text().map(Test::EqualsIgnoreCase).ok_or_else(takes_text),
        "wildcard" => wildcard(&text().ok_or_else(takes_text)?).map(Test::Wildcard),
        unknown => {
            let known = &OPERATORS[..8];
            let hint = match nearest(unknown, OPERATORS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", list(known.iter().copied())),
            };
            Err((format!("`{unknown}` is not an operator"), Some(hint)))
        }
    }
}

/// Parses a wildcard: `*` matches any characters, `\*` a star, `\\` a backslash.
fn wildcard(text: &str) -> Result<Vec<Glob>, Unplaced> {
    let mut glob = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        glob.push(match c {
            '*' if glob.last() == Some(&Glob::Any) => {
                return Err(without_hint("a wildcard cannot contain `**`: write one `*`"));
            }
            '*' => Glob::Any,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '\\')) => Glob::Char(escaped),
                Some(_) | None => return Err(without_hint("a `\\` in a wildcard must be followed by `*` or `\\`")),
            },
            c => Glob::Char(c),
        });
    }
    Ok(glob)
}

fn anything_but(operand: &Value) -> Result<Vec<Test>, Unplaced> {
    let takes = || {
        without_hint(format!(
            "`anything-but` must be strings, numbers, or one operator on strings, found {}",
            found(operand)
        ))
    };
    let value = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(Test::Equals(value.clone())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(takes()),
    };
    match operand {
        Value::Array(values) if values.iter().any(Value::is_string) && values.iter().any(Value::is_number) => {
            Err(without_hint("`anything-but` must be a list of strings or a list of numbers, and this list has both"))
        }
        Value::Array(values) if !values.is_empty() => values.iter().map(value).collect(),
        Value::Object(operator) => {
            let (name, operand) = only(operator)?;
            let one = |operand: &Value| match (name, operand) {
                ("prefix" | "suffix", Value::String(text)) if text.is_empty() => {
                    Err(without_hint(format!("every string has an empty {name}, so `anything-but` matches nothing")))
                }
                (_, Value::String(_)) => text_test(name, operand),
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    text_test(name, &Value::from("")).and(Err(without_hint(format!(
                        "`{name}` in `anything-but` must be strings, found {}",
                        found(operand)
                    ))))
                }
            };
            match operand {
                Value::Array(operands) if !operands.is_empty() => operands.iter().map(one).collect(),
                operand => Ok(vec![one(operand)?]),
            }
        }
        one => Ok(vec![value(one)?]),
    }
}

/// Parses the operand of `numeric`: `["=", 3]` or `[">", 0, "<=", 5]`.
fn numeric(operand: &Value) -> Result<Vec<(Comparison, f64)>, Unplaced> {
    let wrong = || {
        let message = "`numeric` must be one or two comparisons, each followed by a number".to_owned();
        (message, Some("write `[\">\", 0, \"<=\", 5]`, with `=`, `<`, `<=`, `>` or `>=`".to_owned()))
    };
    let parts = operand.as_array().filter(|parts| matches!(parts.len(), 2 | 4)).ok_or_else(wrong)?;
    let comparisons = parts.chunks(2).map(|pair| {
        let comparison = match pair[0].as_str().ok_or_else(wrong)? {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" => Comparison::Equal,
            ">=" => Comparison::GreaterOrEqual,
            ">" => Comparison::Greater,
            _ => return Err(wrong()),
        };
        Ok((comparison, pair[1].as_f64().ok_or_else(wrong)?))
    });
    let comparisons: Vec<_> = comparisons.collect::<Result<_, _>>()?;
    match comparisons[..] {
        [_] => Ok(comparisons),
        [
            (Comparison::Greater | Comparison::GreaterOrEqual, low),
            (Comparison::Less | Comparison::LessOrEqual, high),
        ] if low < high => Ok(comparisons),
        _ => {
            let hint = "write the lower bound with `>` or `>=`, then a higher bound with `<` or `<=`";
            Err(("these two comparisons are not a range".into(), Some(hint.into())))
        }
    }
}
