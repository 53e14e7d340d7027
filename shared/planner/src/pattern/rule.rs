//! A parsed event pattern, and how it matches an event.

use serde_json::{Map, Value};

/// An object of a pattern. It matches if every field matches, and one of the branches of every `$or`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern {
    pub(crate) fields: Vec<(String, Field)>,
    pub(crate) or: Vec<Vec<Pattern>>,
}

/// A field of a pattern.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    /// A pattern for the members of the field.
    Inside(Pattern),
    /// Tests of which one must hold for the value of the field.
    AnyOf(Vec<Test>),
}

/// A test of a value.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Equals(Value),
    Prefix(String),
    Suffix(String),
    EqualsIgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
    Wildcard(Vec<Glob>),
    /// All comparisons must hold.
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
    /// None of the tests must hold.
    AnythingBut(Vec<Test>),
}

/// An element of a wildcard: a character, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Glob {
    Char(char),
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Pattern {
    pub(crate) fn matches(&self, event: &Value) -> bool {
        match event {
            Value::Object(members) => self.matches_object(members),
            // All fields must match within the same element.
            Value::Array(elements) if !elements.is_empty() => elements.iter().any(|element| self.matches(element)),
            // The value has no fields, so only `exists: false` can match.
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.matches_object(&Map::new())
            }
        }
    }

    fn matches_object(&self, members: &Map<String, Value>) -> bool {
        let fields = self.fields.iter().all(|(name, field)| match (field, members.get(name)) {
            (Field::Inside(pattern), Some(value)) => pattern.matches(value),
            (Field::Inside(pattern), None) => pattern.matches(&Value::Null),
            (Field::AnyOf(tests), value) => tests.iter().any(|test| test.holds_for_field(value)),
        });
        fields && self.or.iter().all(|branches| branches.iter().any(|branch| branch.matches_object(members)))
    }
}

impl Test {
    /// The text that the test compares with; `None` for another test.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Equals(wanted) => wanted.as_str(),
            Self::Prefix(_)
            | Self::Suffix(_)
            | Self::EqualsIgnoreCase(_)
            | Self::PrefixIgnoreCase(_)
            | Self::SuffixIgnoreCase(_)
            | Self::Wildcard(_)
            | Self::Numeric(_)
            | Self::Exists(_)
            | Self::AnythingBut(_) => None,
        }
    }

    /// Tests the value of a field. A list matches if one of its elements does.
    pub(super) fn holds_for_field(&self, value: Option<&Value>) -> bool {
        let mut leaves = Vec::new();
        collect_leaves(value, &mut leaves);
        match self {
            Self::Exists(wanted) => *wanted != leaves.is_empty(),
            Self::Equals(_)
            | Self::Prefix(_)
            | Self::Suffix(_)
            | Self::EqualsIgnoreCase(_)
            | Self::PrefixIgnoreCase(_)
            | Self::SuffixIgnoreCase(_)
            | Self::Wildcard(_)
            | Self::Numeric(_)
            | Self::AnythingBut(_) => leaves.iter().any(|leaf| self.holds(leaf)),
        }
    }

    fn holds(&self, leaf: &Value) -> bool {
        let text = leaf.as_str();
        match self {
            Self::Equals(wanted) => leaf == wanted || same_number(leaf, wanted),
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::EqualsIgnoreCase(wanted) => text.is_some_and(|text| text.to_lowercase() == wanted.to_lowercase()),
            Self::PrefixIgnoreCase(prefix) => {
                text.is_some_and(|text| text.to_lowercase().starts_with(&prefix.to_lowercase()))
            }
            Self::SuffixIgnoreCase(suffix) => {
                text.is_some_and(|text| text.to_lowercase().ends_with(&suffix.to_lowercase()))
            }
            Self::Wildcard(glob) => text.is_some_and(|text| glob_matches(glob, text)),
            Self::Numeric(comparisons) => leaf
                .as_f64()
                .is_some_and(|number| comparisons.iter().all(|(comparison, bound)| comparison.holds(number, *bound))),
            Self::Exists(wanted) => *wanted,
            Self::AnythingBut(tests) => !tests.iter().any(|test| test.holds(leaf)),
        }
    }
}

/// Returns true if two numbers are equal and at least one is a float: `300`, `300.0` and `3e2`. `==` compares two integers exactly.
#[allow(clippy::float_cmp, reason = "equal numbers are parsed to the same 64-bit float")]
fn same_number(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => false,
    }
}

/// Collects the values of a field that are neither lists nor objects. Tests apply to these values only.
fn collect_leaves<'a>(value: Option<&'a Value>, leaves: &mut Vec<&'a Value>) {
    match value {
        Some(Value::Array(elements)) => elements.iter().for_each(|element| collect_leaves(Some(element), leaves)),
        Some(leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))) => leaves.push(leaf),
        Some(Value::Object(_)) | None => {}
    }
}

impl Comparison {
    #[allow(clippy::float_cmp, reason = "equal numbers are parsed to the same 64-bit float")]
    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Equal => number == bound,
            Self::GreaterOrEqual => number >= bound,
            Self::Greater => number > bound,
        }
    }
}

/// Matches greedily and backtracks only to the last `*`, so that the time is at most the product of both lengths.
fn glob_matches(glob: &[Glob], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(Glob::Char(c)) if *c == text[t] => (g, t) = (g + 1, t + 1),
            Some(Glob::Any) => {
                star = Some((g + 1, t));
                g += 1;
            }
            Some(Glob::Char(_)) | None => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (g, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|piece| *piece == Glob::Any)
}
