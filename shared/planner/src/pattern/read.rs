//! Reads a pattern and says what is wrong with it.

use serde_json::{Map, Value};
use shiftwork_config::{JsonPath, list, nearest, shape::found};

use super::rule::{Comparison, Field, Glob, Pattern, Test};

/// Something wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatternProblem {
    /// Keys and positions on the way to it.
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
    /// Its path, for a pattern that stands at `path`.
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
    // Last: refused, but known, so that the refusal can say so.
    "cidr",
    "$or",
];

/// What is wrong with a test, before it is known where the test stands.
type Unplaced = (String, Option<String>);

fn plain(message: impl Into<String>) -> Unplaced {
    (message.into(), None)
}

/// Reads a pattern; else everything that is wrong with it (never nothing).
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
                ("$or", _) => reader.wrong(plain("`$or` takes a list of at least two patterns")),
                (_, Value::Object(inside)) => pattern.fields.push((key.clone(), Field::Inside(reader.object(inside)))),
                (_, Value::Array(tests)) => pattern.fields.push((key.clone(), Field::AnyOf(reader.tests(tests)))),
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                    reader.wrong((
                        format!("expected a list or an object, found {}", found(value)),
                        Some(format!("a pattern lists the values it takes: `[{value}]`")),
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
            self.wrong(plain(format!("expected a pattern, found {}", found(branch))));
            None
        }
    }

    fn tests(&mut self, tests: &[Value]) -> Vec<Test> {
        if tests.is_empty() {
            self.wrong(plain("an empty list matches nothing"));
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
        Value::Array(_) => Err(plain("expected a value or an operator, found a list")),
        Value::Object(operator) => {
            let (name, operand) = only(operator)?;
            match name {
                "anything-but" => anything_but(operand).map(Test::AnythingBut),
                "numeric" => numeric(operand).map(Test::Numeric),
                "exists" => {
                    operand.as_bool().map(Test::Exists).ok_or_else(|| plain("`exists` takes `true` or `false`"))
                }
                "cidr" => Err((
                    "`cidr` is not available in this version".into(),
                    Some("match a prefix of the address".into()),
                )),
                text_operator => text_test(text_operator, operand),
            }
        }
    }
}

/// The only operator of an object.
fn only(operator: &Map<String, Value>) -> Result<(&str, &Value), Unplaced> {
    match operator.iter().collect::<Vec<_>>()[..] {
        [(name, operand)] => Ok((name, operand)),
        ref many => Err((
            format!("an operator is an object with one member, this one has {}", many.len()),
            Some("list several operators one after the other: any of them may match".into()),
        )),
    }
}

fn text_test(name: &str, operand: &Value) -> Result<Test, Unplaced> {
    let ignoring_case = |operand: &Value| match operand.as_object().map(only)? {
        Ok(("equals-ignore-case", text)) => text.as_str().map(str::to_owned),
        Ok(_) | Err(_) => None,
    };
    let text = || operand.as_str().map(str::to_owned);
    let takes_text = || plain(format!("`{name}` takes a text, found {}", found(operand)));
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

/// `*` stands for any characters, `\*` for a star, `\\` for a backslash.
fn wildcard(text: &str) -> Result<Vec<Glob>, Unplaced> {
    let mut glob = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        glob.push(match c {
            '*' if glob.last() == Some(&Glob::Any) => {
                return Err(plain("`**` stands in a wildcard; one `*` is enough"));
            }
            '*' => Glob::Any,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '\\')) => Glob::Char(escaped),
                Some(_) | None => return Err(plain("a `\\` in a wildcard stands before `*` or `\\`")),
            },
            c => Glob::Char(c),
        });
    }
    Ok(glob)
}

fn anything_but(operand: &Value) -> Result<Vec<Test>, Unplaced> {
    let takes =
        || plain(format!("`anything-but` takes texts, or numbers, or one operator on texts, found {}", found(operand)));
    let value = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(Test::Equals(value.clone())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(takes()),
    };
    match operand {
        Value::Array(values) if values.iter().any(Value::is_string) && values.iter().any(Value::is_number) => {
            Err(plain("`anything-but` takes a list of texts or a list of numbers, and this one has both"))
        }
        Value::Array(values) if !values.is_empty() => values.iter().map(value).collect(),
        Value::Object(operator) => {
            let (name, operand) = only(operator)?;
            let one = |operand: &Value| match (name, operand) {
                ("prefix" | "suffix", Value::String(text)) if text.is_empty() => {
                    Err(plain(format!("every text has an empty {name}, so this matches nothing")))
                }
                (_, Value::String(_)) => text_test(name, operand),
                (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => text_test(
                    name,
                    &Value::from(""),
                )
                .and(Err(plain(format!("`{name}` within `anything-but` takes texts, found {}", found(operand))))),
            };
            match operand {
                Value::Array(operands) if !operands.is_empty() => operands.iter().map(one).collect(),
                operand => Ok(vec![one(operand)?]),
            }
        }
        one => Ok(vec![value(one)?]),
    }
}

/// `["=", 3]`, `[">", 0, "<=", 5]`
fn numeric(operand: &Value) -> Result<Vec<(Comparison, f64)>, Unplaced> {
    let wrong = || {
        let message = "`numeric` takes comparisons and numbers in turn".to_owned();
        (message, Some("write `[\">\", 0, \"<=\", 5]`: `=`, `<`, `<=`, `>`, `>=`".to_owned()))
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
            let hint = "write the lower bound first, with `>` or `>=`, then a higher one, with `<` or `<=`";
            Err(("these two comparisons are not a range".into(), Some(hint.into())))
        }
    }
}
