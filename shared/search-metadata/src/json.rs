//! JSON values that keep the digits of numbers, because version 1.10 is not version 1.1. A duplicate member is an error.

use std::fmt;

use serde::de::{Deserialize as _, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum nesting depth. The functions in this module are recursive, so deeper values could overflow the stack.
const MAX_DEPTH: usize = 16;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    /// The number as written in the source.
    Number(String),
    Text(String),
    List(Vec<Json>),
    /// Members in the order of the file, with unique names.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a file. The error is a message with line and column if the parser knows them.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|error| format!("the file is not valid JSON: {error}"))?;
        Self::of(raw.get(), 0)
    }

    fn of(raw: &str, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its values are nested more than {MAX_DEPTH} levels deep"));
        }
        let wrong = |error: serde_json::Error| format!("the file is not valid JSON: {error}");
        let mut reader = serde_json::Deserializer::from_str(raw);
        Ok(match raw.as_bytes().first() {
            Some(b'{') => {
                let members = reader.deserialize_map(Members).map_err(wrong)?;
                let members: Result<Vec<_>, String> =
                    members.into_iter().map(|(name, raw)| Ok((name, Self::of(raw.get(), depth + 1)?))).collect();
                Self::Object(members?)
            }
            Some(b'[') => {
                let items = reader.deserialize_seq(Items).map_err(wrong)?;
                Self::List(items.into_iter().map(|raw| Self::of(raw.get(), depth + 1)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(String::deserialize(&mut reader).map_err(wrong)?),
            Some(b't' | b'f') => Self::Flag(bool::deserialize(&mut reader).map_err(wrong)?),
            Some(b'n') => Self::Null,
            Some(_) | None => Self::Number(raw.to_owned()),
        })
    }

    /// Describes the value for an error message: "found …".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Flag(flag) => format!("`{flag}`"),
            Self::Number(digits) => format!("the number {}", brief(digits)),
            Self::Text(text) => format!("the text `{}`", brief(text)),
            Self::List(_) => "a list".into(),
            Self::Object(_) => "an object".into(),
        }
    }

    /// JSON text with an indentation of two spaces and a line break at the end.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out.push('\n');
        out
    }

    /// JSON text without white space.
    pub(crate) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// Compact JSON text with the members sorted by name; equal for two values that differ only in the order of members.
    pub(crate) fn canonical(&self) -> String {
        self.sorted().compact()
    }

    fn sorted(&self) -> Self {
        match self {
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value.sorted())).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
            Self::List(items) => Self::List(items.iter().map(Self::sorted).collect()),
            Self::Null | Self::Flag(_) | Self::Number(_) | Self::Text(_) => self.clone(),
        }
    }

    fn write(&self, out: &mut String, indent: Option<usize>) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::List(items) => write_all(out, indent, ['[', ']'], items, Self::write),
            Self::Object(members) => write_all(out, indent, ['{', '}'], members, |(name, value), out, indent| {
                out.push_str(&quoted(name));
                out.push_str(if indent.is_some() { ": " } else { ":" });
                value.write(out, indent);
            }),
        }
    }
}

fn write_all<T>(
    out: &mut String,
    indent: Option<usize>,
    [open, close]: [char; 2],
    items: &[T],
    each: impl Fn(&T, &mut String, Option<usize>),
) {
    let inner = indent.map(|depth| depth + 1);
    let line = |out: &mut String, depth: Option<usize>| {
        if let Some(depth) = depth {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(out, inner);
        each(item, out, inner);
    }
    if !items.is_empty() {
        line(out, indent);
    }
    out.push(close);
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text, truncated to 40 characters for a message.
fn brief(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    if text.chars().count() <= MAX_CHARS {
        return text.into();
    }
    let mut cut: String = text.chars().take(MAX_CHARS - 1).collect();
    cut.push('…');
    cut
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(serde::de::Error::custom(format!("the member `{name}` occurs twice")));
            }
            members.push((name, value));
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn numbers_keep_their_digits() {
        let json = Json::parse(r#" {"v": 1.10, "n": [1e3, -0]} "#).unwrap();
        assert_eq!(json.compact(), r#"{"v":1.10,"n":[1e3,-0]}"#);
        assert_eq!(Json::parse(&json.pretty()), Ok(json));
    }

    #[test]
    fn invalid_json_is_an_error_with_its_line() {
        assert!(Json::parse("{\"a\": 1,}").unwrap_err().contains("line 1"));
        assert!(Json::parse(r#"{"a": 1, "a": 2}"#).unwrap_err().contains("the member `a` occurs twice"));
        assert!(Json::parse(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap_err().contains("16 levels"));
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
        assert!(Json::parse(r#"{"a": "\ud800"}"#).is_err());
    }

    #[test]
    fn the_canonical_text_ignores_the_order_of_members() {
        let (a, b) = (Json::parse(r#"{"a":1,"b":[{"c":1,"d":2}]}"#), Json::parse(r#"{"b":[{"d":2,"c":1}],"a":1}"#));
        assert_eq!(a.unwrap().canonical(), b.unwrap().canonical());
    }
}
