//! Validates and fixes the content of one metadata file. Pure.

use crate::{
    access::{self, Principal},
    config::{AttributeType, Target, Undeclared},
    json::Json,
    metadata::{self, Attribute, Metadata, STRUCTURE, Value},
    names,
    rules::RepositoryRules,
    values,
};

const ATTRIBUTES: &str = "Attributes";
const ACCESS: &str = "AccessControlList";
const BEDROCK: &str = "metadataAttributes";

/// The kind of a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FixKind {
    /// Another encoding, or a byte order mark, was replaced by UTF-8 without a byte order mark.
    Encoding,
    /// The file had the structure of another index, or of none.
    Shape,
    /// A field was renamed to the attribute of the index.
    Name,
    /// A number or a boolean was converted to a string.
    Text,
    /// A string was converted to a number.
    Number,
    /// A string was converted to a boolean.
    Flag,
    /// A date was converted to the format of the index: ISO 8601 with a UTC offset, or seconds since 1970.
    Date,
    /// A single value was converted to a list, or empty values were removed from a list.
    List,
    /// A value of a fixed set, for example `PDF`, got the spelling of the index.
    Word,
    /// A string was truncated to the maximum length of the index.
    Cut,
    /// A field was removed: it has no value, or the configuration drops it.
    Dropped,
    /// White space was removed, because the file exceeded the maximum size of the index.
    Size,
}

impl FixKind {
    /// All kinds, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Encoding,
        Self::Shape,
        Self::Name,
        Self::Text,
        Self::Number,
        Self::Flag,
        Self::Date,
        Self::List,
        Self::Word,
        Self::Cut,
        Self::Dropped,
        Self::Size,
    ];

    /// The name of the kind in log records and in the tables of the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Shape => "shape",
            Self::Name => "name",
            Self::Text => "text",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Date => "date",
            Self::List => "list",
            Self::Word => "word",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
            Self::Size => "size",
        }
    }
}

/// A fix to one field, or to the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// Name of the field in the source file; empty if the fix concerns the whole file.
    pub field: String,
    /// The kind of the fix.
    pub kind: FixKind,
}

/// An error in a metadata file that only a person can fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the field in the source file; empty if the problem concerns the whole file.
    pub field: String,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "`{}`: {}", self.field, self.message) }
    }
}

/// The result of validating and fixing a metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The index accepts the file without changes.
    Valid,
    /// The index accepts the fixed content.
    Fixed {
        /// The fixed content: JSON in UTF-8.
        bytes: Vec<u8>,
        /// The fixes, in the order of the fields in the source file; never empty.
        fixes: Vec<Fix>,
    },
    /// The index does not accept the file, and it cannot be fixed without losing information. The list is never empty.
    Unfixable(Vec<Problem>),
}

/// Validates a file, and fixes it if no information is lost.
pub(crate) fn fix(bytes: &[u8], repo: &RepositoryRules) -> Verdict {
    let verdict = fix_once(bytes, repo);
    // The fixed file causes another event. If it were not valid then, it would be written again and again.
    if let Verdict::Fixed { bytes, .. } = &verdict
        && fix_once(bytes, repo) != Verdict::Valid
    {
        return unfixable(
            "the configuration of the repository would fix the file again each time: check `fields`, `dates` and `attributes`".into(),
        );
    }
    verdict
}

/// True if two files have the same content for every index: order of members, white space and empty members are ignored.
pub(crate) fn are_equivalent(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Json::parse(text).ok());
    one == other
        || read(one).is_some_and(|one| {
            read(other).is_some_and(|other| {
                without_empty_members(&one).canonical() == without_empty_members(&other).canonical()
            })
        })
}

fn fix_once(bytes: &[u8], repo: &RepositoryRules) -> Verdict {
    let mut conversion = Conversion {
        repo,
        metadata: Metadata::default(),
        fixes: Vec::new(),
        problems: Vec::new(),
        from_bedrock: false,
    };
    let source = match conversion.decode(bytes).and_then(|text| Json::parse(&text)) {
        Ok(source) => source,
        Err(message) => return unfixable(message),
    };
    let Json::Object(members) = &source else {
        return unfixable(format!("expected a JSON object, found {}", source.describe()));
    };
    let encoded = !conversion.fixes.is_empty();
    conversion.read(members);
    if conversion.problems.is_empty() && repo.config.target == Target::Bedrock && conversion.metadata.is_empty() {
        return unfixable("the file has no attributes: Bedrock needs at least one".into());
    }
    let max_bytes = match repo.config.target {
        Target::Kendra => usize::MAX,
        Target::Bedrock => names::BEDROCK_BYTES,
    };
    let written = conversion.metadata.json(repo);
    let (pretty, compact) = (written.pretty(), written.compact());
    let text = if pretty.len() <= max_bytes { pretty } else { compact };
    if text.len() > max_bytes {
        conversion.problem(
            "",
            format!("the metadata has {} bytes without white space: Bedrock reads at most {max_bytes}", text.len()),
        );
    }
    if !conversion.problems.is_empty() {
        return Verdict::Unfixable(conversion.problems);
    }
    let same = without_empty_members(&source).canonical() == written.canonical();
    if same && !encoded && bytes.len() <= max_bytes {
        return Verdict::Valid;
    }
    if same && bytes.len() > max_bytes {
        conversion.record("", FixKind::Size);
    }
    // Every difference has at least one fix that reports it.
    if conversion.fixes.is_empty() {
        conversion.record("", FixKind::Shape);
    }
    Verdict::Fixed { bytes: text.into_bytes(), fixes: conversion.fixes }
}

fn unfixable(message: String) -> Verdict {
    Verdict::Unfixable(vec![Problem { field: String::new(), message }])
}

/// The source without empty `Attributes` and `AccessControlList`: to Kendra they mean the same as absent members.
fn without_empty_members(source: &Json) -> Json {
    let Json::Object(members) = source else { return source.clone() };
    let empty = |(name, value): &&(String, Json)| {
        name == "Attributes" && *value == Json::Object(vec![])
            || name == "AccessControlList" && *value == Json::List(vec![])
    };
    Json::Object(members.iter().filter(|member| !empty(member)).cloned().collect())
}

struct Conversion<'a> {
    repo: &'a RepositoryRules,
    metadata: Metadata,
    fixes: Vec<Fix>,
    problems: Vec<Problem>,
    /// True if the source has the structure of Bedrock.
    from_bedrock: bool,
}

impl Conversion<'_> {
    fn record(&mut self, field: &str, kind: FixKind) {
        let fix = Fix { field: field.into(), kind };
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
    }

    fn problem(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), message: message.into() });
    }

    /// Decodes a file by its byte order mark; a file without one must be UTF-8.
    fn decode(&mut self, bytes: &[u8]) -> Result<String, String> {
        let (marked, text) = match bytes {
            [0xEF, 0xBB, 0xBF, rest @ ..] => (true, String::from_utf8(rest.to_vec()).ok()),
            [0xFF, 0xFE, rest @ ..] => (true, utf16(rest, u16::from_le_bytes)),
            [0xFE, 0xFF, rest @ ..] => (true, utf16(rest, u16::from_be_bytes)),
            bytes => (false, String::from_utf8(bytes.to_vec()).ok()),
        };
        if marked {
            self.record("", FixKind::Encoding);
        }
        text.ok_or_else(|| {
            "the file is not valid UTF-8, and has no byte order mark of another encoding: save it as UTF-8".into()
        })
    }

    fn read(&mut self, members: &[(String, Json)]) {
        self.from_bedrock = members.iter().any(|(name, _)| name == BEDROCK);
        let of_kendra = |name: &str| [ATTRIBUTES, ACCESS].contains(&name) || metadata::is_kendra_member(name);
        let shape = if self.from_bedrock {
            Some(Target::Bedrock)
        } else if members.iter().all(|(name, _)| of_kendra(name)) {
            Some(Target::Kendra)
        } else {
            None
        };
        if shape != Some(self.repo.config.target) {
            self.record("", FixKind::Shape);
        }
        for (name, value) in members {
            // Ignores case, unless the configuration has a field of that name.
            let known = [BEDROCK, ATTRIBUTES, ACCESS].into_iter().find(|known| known.eq_ignore_ascii_case(name));
            match (known.filter(|known| known == name || !self.is_named(name)), value) {
                (Some(BEDROCK | ATTRIBUTES), Json::Object(attributes)) => {
                    for (name, value) in attributes {
                        self.field(name, value);
                    }
                }
                (Some(ACCESS), Json::List(entries)) => self.access(entries),
                (Some(_), Json::Null) => self.record(name, FixKind::Dropped),
                (Some(ACCESS), other) => {
                    self.problem(name, format!("expected a list of principals, found {}", other.describe()));
                }
                (Some(_), other) => {
                    self.problem(name, format!("expected an object of attributes, found {}", other.describe()));
                }
                (None, structure) if self.from_bedrock && name == STRUCTURE => match self.repo.config.target {
                    Target::Bedrock => self.metadata.structure = Some(structure.clone()),
                    Target::Kendra => {
                        self.problem(name, "Kendra does not support it: remove it from the file");
                    }
                },
                (None, value) => self.field(name, value),
            }
        }
        if self.repo.config.target == Target::Bedrock {
            let max_length = usize::try_from(self.repo.config.list_length).unwrap_or(usize::MAX);
            for (name, names) in access::to_attributes(&std::mem::take(&mut self.metadata.access)) {
                if names.len() > max_length {
                    self.problem(
                        ACCESS,
                        format!(
                            "`{name}` would have {} names: a list has at most {max_length}; see `list_length`",
                            names.len()
                        ),
                    );
                }
                self.put(ACCESS, name, Attribute { value: Value::List(names), embed: None });
            }
        }
    }

    /// True if the configuration mentions the field.
    fn is_named(&self, field: &str) -> bool {
        self.repo.config.fields.contains_key(field) || self.repo.config.attributes.contains_key(field)
    }

    fn access(&mut self, entries: &[Json]) {
        for (index, entry) in entries.iter().enumerate() {
            match Principal::read(entry) {
                Ok(principal) => {
                    if principal.json().canonical() != entry.canonical() {
                        self.record("AccessControlList", FixKind::Word);
                    }
                    self.metadata.access.push(principal);
                }
                // Without its access control list, every user could find the document.
                Err(message) => self.problem(&format!("AccessControlList[{index}]"), message),
            }
        }
    }

    /// Adds one field of the source; `source` is its name there.
    fn field(&mut self, source: &str, value: &Json) {
        let (value, embed) = match metadata::untyped(value) {
            Some(Ok((value, embed))) => (value, embed),
            Some(Err(message)) => return self.problem(source, message),
            None => (value.clone(), None),
        };
        let name = match self.repo.config.fields.get(source) {
            Some(None) => return self.record(source, FixKind::Dropped),
            Some(Some(name)) => name.as_str(),
            None if self.is_named(source) => source,
            // Members of Kendra's format in another case.
            None => {
                metadata::KENDRA_MEMBERS.into_iter().find(|part| part.eq_ignore_ascii_case(source)).unwrap_or(source)
            }
        };
        // Members of Kendra's format are attributes with these names in the format of Bedrock, in both directions.
        let parts = [("DocumentId", names::DOCUMENT_ID), ("Title", names::TITLE), ("ContentType", names::CONTENT_TYPE)];
        let renamed = match self.repo.config.target {
            Target::Kendra if self.from_bedrock => {
                parts.iter().find(|(_, attribute)| *attribute == name).map(|(part, _)| *part)
            }
            Target::Kendra => None,
            Target::Bedrock => parts.iter().find(|(part, _)| *part == name).map(|(_, attribute)| *attribute),
        };
        let name = renamed.unwrap_or(name).to_owned();
        if name != source {
            self.record(source, FixKind::Name);
        }
        match self.repo.config.target {
            Target::Kendra if metadata::is_kendra_member(&name) => self.kendra_member(source, &name, &value),
            Target::Kendra if self.from_bedrock && access::is_list_attribute(&name) => {
                self.access_list(source, &name, &value);
            }
            Target::Kendra => self.attribute(source, &name, &value, None),
            Target::Bedrock => self.attribute(source, &name, &value, embed),
        }
    }

    fn kendra_member(&mut self, source: &str, part: &str, value: &Json) {
        let text = match values::convert(value, AttributeType::String, self.repo) {
            Ok(Some((Value::Text(text), kind))) => {
                if let Some(kind) = kind {
                    self.record(source, kind);
                }
                text
            }
            Ok(_) => return self.record(source, FixKind::Dropped),
            Err(message) => return self.problem(source, message),
        };
        let text = match part {
            "ContentType" => match content_type(&text) {
                Some(known) if known == text => text,
                Some(known) => {
                    self.record(source, FixKind::Word);
                    known.into()
                }
                None => {
                    let known = shiftwork_config::list(names::CONTENT_TYPES);
                    return self.problem(source, format!("`{text}` is not one of {known}, nor the MIME type of one"));
                }
            },
            "DocumentId" if text.chars().count() > names::ID_CHARS => {
                return self.problem(source, format!("a document id has at most {} characters", names::ID_CHARS));
            }
            _ => text,
        };
        let place = match part {
            "DocumentId" => &mut self.metadata.document_id,
            "Title" => &mut self.metadata.title,
            _ => &mut self.metadata.content_type,
        };
        match place {
            Some(before) if *before != text => {
                let message = format!("another field sets {part} to `{before}`: drop one of the two in `fields`");
                self.problem(source, message);
            }
            Some(_) => self.record(source, FixKind::Name),
            None => *place = Some(text),
        }
    }

    fn access_list(&mut self, source: &str, name: &str, value: &Json) {
        match values::convert(value, AttributeType::StringList, self.repo) {
            Ok(Some((Value::List(names), kind))) => {
                if let Some(kind) = kind {
                    self.record(source, kind);
                }
                if names.iter().any(|name| name.chars().count() > names::PRINCIPAL_CHARS) {
                    return self.problem(
                        source,
                        format!("the name of a principal has at most {} characters", names::PRINCIPAL_CHARS),
                    );
                }
                self.metadata.access.extend(access::from_attribute(name, names));
            }
            Ok(_) => self.record(source, FixKind::Dropped),
            Err(message) => self.problem(source, message),
        }
    }

    fn attribute(&mut self, source: &str, name: &str, value: &Json, embed: Option<bool>) {
        let config = &self.repo.config;
        let declared = names::known(name, config.target).or_else(|| config.attributes.get(name).copied());
        let of = match (declared, config.undeclared()) {
            (Some(of), _) => of,
            (None, Undeclared::Drop) => return self.record(source, FixKind::Dropped),
            (None, undeclared) => {
                if let Some(message) = names::problem(name, config.target) {
                    return self.problem(
                        source,
                        format!("{message}; map the field to another attribute, or drop it, in `fields`"),
                    );
                }
                if undeclared == Undeclared::Quarantine {
                    let message =
                        "is not an attribute of the index: declare it in `attributes`, or map or drop it in `fields`";
                    return self.problem(source, message);
                }
                values::inferred_type(value, config.target == Target::Kendra)
            }
        };
        let value = match values::convert(value, of, self.repo) {
            Ok(Some((value, kind))) => {
                if let Some(kind) = kind {
                    self.record(source, kind);
                }
                value
            }
            Ok(None) => return self.record(source, FixKind::Dropped),
            Err(message) => return self.problem(source, message),
        };
        self.put(source, name, Attribute { value, embed });
    }

    fn put(&mut self, source: &str, name: &str, attribute: Attribute) {
        match self.metadata.attributes.get(name) {
            Some(before) if *before != attribute => {
                self.problem(
                    source,
                    format!("another field sets `{name}` to another value: drop one of the two in `fields`"),
                );
            }
            Some(_) => self.record(source, FixKind::Name),
            None => {
                self.metadata.attributes.insert(name.into(), attribute);
            }
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>()).ok()
}

fn content_type(text: &str) -> Option<&'static str> {
    let known = names::CONTENT_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(text.trim()));
    // `text/html; charset=utf-8`
    let mime = text.split(';').next().unwrap_or_default().trim();
    known
        .or_else(|| names::MIME_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(mime)).map(|(_, known)| *known))
}

#[cfg(test)]
mod tests;
