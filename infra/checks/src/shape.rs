//! The shape of a JSON value: of the input of a state, of a payload, of a result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde_json::Value;

/// The shape of a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Anything.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A text; one of these if they are known.
    Text(Option<BTreeSet<String>>),
    /// A list of such values.
    Array(Box<Shape>),
    /// An object with these members and no others.
    Object(BTreeMap<String, Member>),
    /// One of these.
    OneOf(Vec<Shape>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its value.
    pub shape: Shape,
    /// True if it is always present and never null.
    pub required: bool,
}

impl Shape {
    /// The shape of a Rust type, from its JSON Schema.
    pub fn of<T: JsonSchema>() -> Self {
        let schema = schemars::schema_for!(T).to_value();
        Self::from_schema(&schema, &schema)
    }

    fn from_schema(root: &Value, schema: &Value) -> Self {
        if let Some(target) = schema["$ref"].as_str() {
            return root
                .pointer(target.trim_start_matches('#'))
                .map_or(Self::Any, |found| Self::from_schema(root, found));
        }
        if let Some(text) = schema["const"].as_str() {
            return Self::word(text);
        }
        if let Some(texts) = schema["enum"].as_array() {
            return Self::Text(Some(texts.iter().filter_map(Value::as_str).map(Into::into).collect()));
        }
        if let Some(variants) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            return Self::one_of(variants.iter().filter(|one| !is_null(one)).map(|one| Self::from_schema(root, one)));
        }
        match kind(schema) {
            Some("boolean") => Self::Boolean,
            Some("integer") => Self::Integer,
            Some("string") => Self::Text(None),
            Some("array") => Self::Array(Box::new(Self::from_schema(root, &schema["items"]))),
            Some("object") => Self::Object(Self::members(root, schema)),
            Some(_) | None => Self::Any,
        }
    }

    fn members(root: &Value, schema: &Value) -> BTreeMap<String, Member> {
        let required: BTreeSet<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, schema)| {
                let required = required.contains(name.as_str()) && !is_nullable(schema);
                (name.clone(), Member { shape: Self::from_schema(root, schema), required })
            })
            .collect()
    }

    fn one_of(variants: impl Iterator<Item = Self>) -> Self {
        let mut variants: Vec<_> = variants.collect();
        let words: Option<BTreeSet<String>> = variants
            .iter()
            .map(|variant| if let Self::Text(Some(words)) = variant { Some(words.clone()) } else { None })
            .try_fold(BTreeSet::new(), |mut all, words| {
                all.extend(words?);
                Some(all)
            });
        match (words, variants.len()) {
            (Some(words), 1..) => Self::Text(Some(words)),
            (None, 1) => variants.remove(0),
            (Some(_) | None, _) => Self::OneOf(variants),
        }
    }

    /// Exactly this text.
    pub fn word(text: &str) -> Self {
        Self::Text(Some([text.to_owned()].into()))
    }

    /// An object whose members are all required.
    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, shape)| (name.into(), Member { shape, required: true })).collect())
    }

    /// What a path such as `$.end.execution_status` reads.
    ///
    /// # Errors
    /// The path reads a member that is missing, or that may be missing.
    pub fn at(&self, path: &str) -> Result<&Self, String> {
        let mut shape = self;
        for name in path.trim_start_matches('$').split('.').filter(|name| !name.is_empty()) {
            shape = match shape {
                Self::Any => return Ok(shape),
                Self::Object(members) => match members.get(name) {
                    Some(member) if member.required => &member.shape,
                    Some(_) => return Err(format!("`{path}`: `{name}` is not always there")),
                    None => return Err(format!("`{path}`: no `{name}` among {}", names(members.keys()))),
                },
                Self::Boolean | Self::Integer | Self::Text(_) | Self::Array(_) | Self::OneOf(_) => {
                    return Err(format!("`{path}`: `{name}` of {shape}"));
                }
            };
        }
        Ok(shape)
    }

    /// This shape with another one set at a `ResultPath` such as `$.plan`; `$` replaces all of it.
    #[must_use]
    pub fn with(&self, path: &str, value: Self) -> Self {
        let Some((first, rest)) = path.trim_start_matches('$').trim_start_matches('.').split_once('.').or_else(|| {
            let last = path.trim_start_matches('$').trim_start_matches('.');
            (!last.is_empty()).then_some((last, ""))
        }) else {
            return value;
        };
        let mut members = match self {
            Self::Any => return Self::Any,
            Self::Object(members) => members.clone(),
            Self::Boolean | Self::Integer | Self::Text(_) | Self::Array(_) | Self::OneOf(_) => BTreeMap::new(),
        };
        let below = members.get(first).map_or_else(|| Self::Object(BTreeMap::new()), |member| member.shape.clone());
        members.insert(first.into(), Member { shape: below.with(rest, value), required: true });
        Self::Object(members)
    }

    /// The differences between this shape and `given`, in both directions: members that are missing, and members that this
    /// shape does not have.
    pub fn mismatches(&self, given: &Self, place: &str) -> Vec<String> {
        match (self, given) {
            (Self::Any, _) | (_, Self::Any) => Vec::new(),
            (Self::OneOf(variants), _) => Self::variant(variants, given)
                .map_or_else(|problem| vec![format!("{place} {problem}")], |variant| variant.mismatches(given, place)),
            (Self::Text(Some(known)), Self::Text(Some(words))) => words
                .difference(known)
                .map(|word| format!("{place} cannot be `{word}`, only {}", names(known)))
                .collect(),
            (Self::Array(wanted), Self::Array(given)) => wanted.mismatches(given, &format!("{place}[]")),
            (Self::Object(wanted), Self::Object(given)) => {
                let unread = given.keys().filter(|name| !wanted.contains_key(*name));
                let mut problems: Vec<_> = unread.map(|name| format!("{place} has no field `{name}`")).collect();
                for (name, member) in wanted {
                    match given.get(name) {
                        Some(found) => {
                            problems.extend(member.shape.mismatches(&found.shape, &format!("{place}.{name}")));
                        }
                        None if member.required => problems.push(format!("{place} needs `{name}`")),
                        None => {}
                    }
                }
                problems
            }
            (Self::Text(None), Self::Text(_)) | (Self::Boolean, Self::Boolean) | (Self::Integer, Self::Integer) => {
                Vec::new()
            }
            (wanted, given) => vec![format!("{place}: expected {wanted}, found {given}")],
        }
    }

    /// The variant whose tag (a member that can only be one word) is the given one's.
    fn variant<'a>(variants: &'a [Self], given: &Self) -> Result<&'a Self, String> {
        let mut known = BTreeSet::new();
        for variant in variants {
            let Self::Object(members) = variant else { continue };
            for (name, member) in members {
                let Self::Text(Some(words)) = &member.shape else { continue };
                known.extend(words.iter().map(|word| format!("{name}: {word}")));
                if given.at(&format!("$.{name}")) == Ok(&member.shape) {
                    return Ok(variant);
                }
            }
        }
        Err(format!("is not one of {}", names(&known)))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Boolean => f.write_str("a boolean"),
            Self::Integer => f.write_str("an integer"),
            Self::Text(None) => f.write_str("a string"),
            Self::Text(Some(words)) => write!(f, "one of {}", names(words)),
            Self::Array(item) => write!(f, "a list of {item}"),
            Self::Object(members) => write!(f, "an object of {}", names(members.keys())),
            Self::OneOf(_) => f.write_str("one of several objects"),
        }
    }
}

/// A list of quoted names, for a message.
pub fn names(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    if quoted.is_empty() { "nothing".into() } else { quoted.join(", ") }
}

fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

fn is_nullable(schema: &Value) -> bool {
    let kinds = schema["type"].as_array().into_iter().flatten().any(|kind| kind == "null");
    kinds || schema["anyOf"].as_array().into_iter().flatten().any(is_null)
}
