//! Whether a pattern could match an event of which only some values are known.

use serde_json::Value;

use super::rule::{Field, Glob, Pattern, Test};

/// What is known of a value before the event exists.
#[derive(Debug, Clone)]
pub(crate) enum Possible {
    /// An object with these members and no others.
    Members(Vec<(&'static str, Self)>),
    /// One of these values.
    OneOf(Vec<Value>),
    /// Any text with this beginning.
    Begins(String),
    /// A text of which nothing is known here. A test counts as met only if every text meets it, so that a pattern for one
    /// resource of the account does not count as a pattern for a resource of the stack.
    Opaque,
    /// Any value.
    Any,
    /// This value, or no value.
    Optional(Box<Self>),
}

impl Possible {
    /// Any text.
    pub(crate) const fn text() -> Self {
        Self::Begins(String::new())
    }

    pub(crate) fn exactly(text: &str) -> Self {
        Self::one_of([text])
    }

    pub(crate) fn one_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::OneOf(texts.into_iter().map(Value::from).collect())
    }

    pub(crate) fn or_absent(self) -> Self {
        Self::Optional(Box::new(self))
    }

    /// The members of an object; empty for another value.
    pub(crate) fn members(&self) -> &[(&'static str, Self)] {
        match self {
            Self::Members(members) => members,
            Self::OneOf(_) | Self::Begins(_) | Self::Opaque | Self::Any | Self::Optional(_) => &[],
        }
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Members(members) => members.iter().find(|(of, _)| *of == name).map(|(_, value)| value),
            Self::Any => Some(&Self::Any),
            Self::Optional(value) => value.member(name),
            Self::OneOf(_) | Self::Begins(_) | Self::Opaque => None,
        }
    }
}

impl Pattern {
    /// Returns true if the unknown values of the event can be such that the pattern matches.
    pub(crate) fn could_match(&self, event: Option<&Possible>) -> bool {
        let fields = self.fields.iter().all(|(name, field)| {
            let value = event.and_then(|event| event.member(name));
            match field {
                Field::Inside(pattern) => pattern.could_match(value),
                Field::AnyOf(tests) => tests.iter().any(|test| test.could_hold(value)),
            }
        });
        fields && self.or.iter().all(|branches| branches.iter().any(|branch| branch.could_match(event)))
    }
}

impl Test {
    fn could_hold(&self, value: Option<&Possible>) -> bool {
        match value {
            None => self.holds_for_field(None),
            Some(Possible::OneOf(values)) => values.iter().any(|value| self.holds_for_field(Some(value))),
            Some(Possible::Begins(beginning)) => self.could_hold_for_text(beginning),
            Some(Possible::Opaque) => self.holds_for_every_text(""),
            Some(Possible::Any) => !matches!(self, Self::Exists(false)),
            Some(Possible::Optional(value)) => self.could_hold(None) || self.could_hold(Some(value)),
            // A test of a value does not match an object.
            Some(Possible::Members(_)) => false,
        }
    }

    /// Returns true if the test holds for a text with this beginning.
    fn could_hold_for_text(&self, beginning: &str) -> bool {
        match self {
            Self::Equals(wanted) => wanted.as_str().is_some_and(|wanted| wanted.starts_with(beginning)),
            Self::Prefix(prefix) => have_common_texts(prefix, beginning),
            Self::EqualsIgnoreCase(wanted) => wanted.to_lowercase().starts_with(&beginning.to_lowercase()),
            Self::PrefixIgnoreCase(prefix) => have_common_texts(&prefix.to_lowercase(), &beginning.to_lowercase()),
            Self::Suffix(_) | Self::SuffixIgnoreCase(_) => true,
            Self::Wildcard(glob) => {
                let head = literal_head(glob);
                if glob.contains(&Glob::Any) {
                    have_common_texts(&head, beginning)
                } else {
                    head.starts_with(beginning)
                }
            }
            Self::Numeric(_) => false,
            Self::Exists(wanted) => *wanted,
            Self::AnythingBut(tests) => !tests.iter().any(|test| test.holds_for_every_text(beginning)),
        }
    }

    /// Returns true if the test holds for all texts with this beginning.
    fn holds_for_every_text(&self, beginning: &str) -> bool {
        match self {
            Self::Prefix(prefix) => beginning.starts_with(prefix.as_str()),
            Self::PrefixIgnoreCase(prefix) => beginning.to_lowercase().starts_with(&prefix.to_lowercase()),
            Self::Suffix(suffix) | Self::SuffixIgnoreCase(suffix) => suffix.is_empty(),
            Self::Wildcard(glob) => {
                let is_prefix = glob.iter().position(|part| *part == Glob::Any) == glob.len().checked_sub(1);
                is_prefix && beginning.starts_with(&literal_head(glob))
            }
            Self::Exists(wanted) => *wanted,
            Self::Equals(_) | Self::EqualsIgnoreCase(_) | Self::Numeric(_) | Self::AnythingBut(_) => false,
        }
    }
}

/// Returns true if a text can have both beginnings.
fn have_common_texts(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The characters of a wildcard before its first `*`.
fn literal_head(glob: &[Glob]) -> String {
    glob.iter()
        .map_while(|part| match part {
            Glob::Char(c) => Some(*c),
            Glob::Any => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pattern::read;

    fn could(pattern: &Value, event: &Possible) -> bool {
        read::pattern(pattern.as_object().unwrap()).unwrap().could_match(Some(event))
    }

    #[test]
    fn a_text_with_a_known_beginning() {
        let event = Possible::Members(vec![("key", Possible::Begins("orders/".into()))]);
        for (test, wanted) in [
            (json!("orders/a.csv"), true),
            (json!("items/a.csv"), false),
            (json!({ "prefix": "ord" }), true),
            (json!({ "prefix": "orders/eu/" }), true),
            (json!({ "prefix": "items/" }), false),
            (json!({ "prefix": { "equals-ignore-case": "ORDERS/EU" } }), true),
            (json!({ "suffix": ".csv" }), true),
            (json!({ "wildcard": "orders/*/a.csv" }), true),
            (json!({ "wildcard": "items/*" }), false),
            (json!({ "wildcard": "orders" }), false),
            (json!({ "equals-ignore-case": "ORDERS/A" }), true),
            (json!({ "numeric": [">", 0] }), false),
            (json!({ "exists": true }), true),
            (json!({ "exists": false }), false),
            (json!({ "anything-but": "orders/a.csv" }), true),
            (json!({ "anything-but": { "prefix": "ord" } }), false),
            (json!({ "anything-but": { "prefix": "orders/eu/" } }), true),
            (json!({ "anything-but": { "wildcard": "orders/*" } }), false),
            (json!({ "anything-but": { "suffix": ".csv" } }), true),
            (json!(1), false),
        ] {
            assert_eq!(could(&json!({ "key": [test] }), &event), wanted, "{test}");
        }
    }

    #[test]
    fn a_text_of_which_nothing_is_known_meets_only_tests_that_every_text_meets() {
        let event = Possible::Members(vec![("arn", Possible::Opaque)]);
        for (test, wanted) in [
            (json!({ "exists": true }), true),
            (json!({ "prefix": "" }), true),
            (json!({ "wildcard": "*" }), true),
            (json!("arn:a"), false),
            (json!({ "prefix": "arn:" }), false),
            (json!({ "anything-but": "arn:a" }), false),
        ] {
            assert_eq!(could(&json!({ "arn": [test] }), &event), wanted, "{test}");
        }
    }

    #[test]
    fn absent_possible_and_nested_values() {
        let event = Possible::Members(vec![
            ("source", Possible::exactly("shiftwork")),
            (
                "detail",
                Possible::Members(vec![
                    ("status", Possible::one_of(["FAILED", "SUCCEEDED"])),
                    ("error", Possible::text().or_absent()),
                    ("rows", Possible::Any.or_absent()),
                    ("list", Possible::Any),
                ]),
            ),
        ]);
        for (detail, wanted) in [
            (json!({ "status": ["FAILED"] }), true),
            (json!({ "status": ["failed"] }), false),
            (json!({ "status": [{ "anything-but": ["FAILED", "SUCCEEDED"] }] }), false),
            (json!({ "error": [{ "exists": false }] }), true),
            (json!({ "error": [{ "exists": true }], "rows": [{ "numeric": [">", 5] }] }), true),
            (json!({ "other": ["x"] }), false),
            (json!({ "other": [{ "exists": false }] }), true),
            (json!({ "list": { "workflow_id": ["a"] } }), true),
            (json!({ "$or": [{ "status": ["x"] }, { "status": ["FAILED"] }] }), true),
            (json!({ "$or": [{ "status": ["x"] }, { "status": ["y"] }] }), false),
        ] {
            assert_eq!(could(&json!({ "source": ["shiftwork"], "detail": detail }), &event), wanted, "{detail}");
        }
        assert!(!could(&json!({ "source": ["aws.s3"], "detail": { "status": ["FAILED"] } }), &event));
        assert!(could(&json!({ "detail": { "status": ["FAILED"] } }), &event), "a pattern without `source`");
    }
}
