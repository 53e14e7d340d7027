//! Validates and fixes the content of one metadata file. Pure.

mod conversion;

use crate::{
    access::{self, Principal},
    config::{AccessControl, Target},
    json::Json,
    metadata::{self, Attribute, Metadata, Value},
    names,
    rules::RepositoryRules,
};
use conversion::Conversion;

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
    /// The principals of an access control list were written for the index: a group as its members, a user as an email address.
    Principal,
    /// A field was removed: it has no value, or the configuration drops it.
    Dropped,
    /// White space was removed, because the file exceeded the maximum size of the index.
    Size,
}

impl FixKind {
    /// All kinds, in the order of the enum.
    pub const ALL: [Self; 13] = [
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
        Self::Principal,
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
            Self::Principal => "principal",
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
    /// The index does not accept the file, and it cannot be fixed without losing information.
    Unfixable {
        /// What is wrong; never empty.
        problems: Vec<Problem>,
        /// The content of the stub that keeps the document as closed as the file says, if the file says who may see the
        /// document. It has only an access control list: that of the file, or, if that is not clear, one of no user.
        stub: Option<Vec<u8>>,
    },
}

/// What a file says about who may see its document.
enum Carried {
    Nothing,
    List(Vec<Principal>),
    /// The file has something that could be about access and was not read as a list.
    Unclear,
}

/// Validates a file, and fixes it if no information is lost.
pub(crate) fn fix(bytes: &[u8], repo: &RepositoryRules) -> Verdict {
    let (verdict, carried) = fix_once(bytes, repo);
    // The fixed file causes another event. If it were not valid then, it would be written again and again.
    if let Verdict::Fixed { bytes, .. } = &verdict
        && fix_once(bytes, repo).0 != Verdict::Valid
    {
        let message = "the configuration of the repository would fix the file again each time: check `fields`, `dates` and `attributes`";
        return unfixable(vec![of_file(message.into())], &carried, repo);
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

/// True if a file has the structure of an index, a field that the repository or its index knows, or a field that could say who
/// may see the document. Any other JSON file can be a document.
pub(crate) fn is_recognized(bytes: &[u8], repo: &RepositoryRules) -> bool {
    let knows = |name: &str| {
        [conversion::ATTRIBUTES, conversion::BEDROCK].iter().any(|known| known.eq_ignore_ascii_case(name))
            || metadata::is_kendra_member(name)
            || repo.config.fields.contains_key(name)
            || repo.config.attributes.contains_key(name)
            || names::known(name, repo.config.target).is_some()
    };
    // A file that cannot be parsed is metadata if its text has one of the names, or mentions access.
    let is_broken_metadata = |text: &str| text.split('"').any(knows) || mentions_access(bytes);
    match decoded(bytes).map(|(text, _)| Json::parse(&text).map_err(|_| text)) {
        Ok(Ok(Json::Object(members))) => {
            members.iter().any(|(name, value)| knows(name) || access::could_be_access(name, value))
        }
        Ok(Ok(value)) => access::could_be_access("", &value),
        Ok(Err(text)) => is_broken_metadata(&text),
        Err(_) => is_broken_metadata(&String::from_utf8_lossy(bytes)),
    }
}

/// True for a file whose text mentions access, in its encoding or as UTF-8.
fn mentions_access(bytes: &[u8]) -> bool {
    access::mentions_access(&String::from_utf8_lossy(bytes))
        || decoded(bytes).is_ok_and(|(text, _)| access::mentions_access(&text))
}

/// True if a file says who may see its document.
pub(crate) fn restricts(bytes: &[u8], repo: &RepositoryRules) -> bool {
    match fix_once(bytes, repo).1 {
        Carried::Nothing => false,
        Carried::List(_) | Carried::Unclear => true,
    }
}

/// The content of the stub that keeps the document of a file as closed as the file says; `None` if it says nothing about access.
pub(crate) fn stub(bytes: &[u8], repo: &RepositoryRules) -> Option<Vec<u8>> {
    fix_once(bytes, repo).1.stub(repo)
}

/// The content of the stub of a document that no user may find until its metadata is corrected.
fn closed_stub(repo: &RepositoryRules) -> Vec<u8> {
    stub_of(vec![Principal::no_user()], repo)
}

fn stub_of(access: Vec<Principal>, repo: &RepositoryRules) -> Vec<u8> {
    let mut metadata = Metadata { access, ..Metadata::default() };
    if repo.config.target == Target::Bedrock && repo.config.access_control() == AccessControl::Attributes {
        for (name, names) in access::to_attributes(&std::mem::take(&mut metadata.access)) {
            metadata.attributes.insert(name.into(), Attribute { value: Value::List(names), embed: None });
        }
    }
    metadata.json(repo).pretty().into_bytes()
}

fn fix_once(bytes: &[u8], repo: &RepositoryRules) -> (Verdict, Carried) {
    let unreadable = |message: String, has_access: bool| {
        let carried = if has_access || mentions_access(bytes) { Carried::Unclear } else { Carried::Nothing };
        (unfixable(vec![of_file(message)], &carried, repo), carried)
    };
    let (source, encoded) = match decoded(bytes).and_then(|(text, marked)| Ok((Json::parse(&text)?, marked))) {
        Ok(read) => read,
        Err(message) => return unreadable(message, false),
    };
    let Json::Object(members) = &source else {
        let message = format!("expected a JSON object, found {}", source.describe());
        return unreadable(message, access::could_be_access("", &source));
    };
    let mut conversion = Conversion::of(repo);
    if encoded {
        conversion.record("", FixKind::Encoding);
    }
    conversion.read(members);
    if conversion.problems.is_empty() && repo.config.target == Target::Bedrock && conversion.metadata.is_empty() {
        conversion.problem("", "the file has no attributes: Bedrock needs at least one");
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
    let carried = conversion.carried();
    if !conversion.problems.is_empty() {
        return (unfixable(conversion.problems, &carried, repo), carried);
    }
    let same = without_empty_members(&source).canonical() == written.canonical();
    if same && !encoded && bytes.len() <= max_bytes {
        return (Verdict::Valid, carried);
    }
    if same && bytes.len() > max_bytes {
        conversion.record("", FixKind::Size);
    }
    // Every difference has at least one fix that reports it.
    if conversion.fixes.is_empty() {
        conversion.record("", FixKind::Shape);
    }
    (Verdict::Fixed { bytes: text.into_bytes(), fixes: conversion.fixes }, carried)
}

fn of_file(message: String) -> Problem {
    Problem { field: String::new(), message }
}

fn unfixable(problems: Vec<Problem>, carried: &Carried, repo: &RepositoryRules) -> Verdict {
    Verdict::Unfixable { problems, stub: carried.stub(repo) }
}

impl Carried {
    fn stub(&self, repo: &RepositoryRules) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => None,
            Self::Unclear => Some(closed_stub(repo)),
            Self::List(principals) => {
                let stub = stub_of(principals.clone(), repo);
                let fits = repo.config.target == Target::Kendra || stub.len() <= names::BEDROCK_BYTES;
                Some(if fits { stub } else { closed_stub(repo) })
            }
        }
    }
}

/// The source without empty `Attributes` and `AccessControlList`: to Kendra they mean the same as absent members.
fn without_empty_members(source: &Json) -> Json {
    let Json::Object(members) = source else { return source.clone() };
    let empty = |(name, value): &&(String, Json)| {
        name == conversion::ATTRIBUTES && *value == Json::Object(vec![])
            || name == "AccessControlList" && *value == Json::List(vec![])
    };
    Json::Object(members.iter().filter(|member| !empty(member)).cloned().collect())
}

/// Decodes a file by its byte order mark, and returns true if it has one; a file without one must be UTF-8.
pub(crate) fn decoded(bytes: &[u8]) -> Result<(String, bool), String> {
    let (marked, text) = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (true, String::from_utf8(rest.to_vec()).ok()),
        [0xFF, 0xFE, rest @ ..] => (true, utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => (true, utf16(rest, u16::from_be_bytes)),
        bytes => (false, String::from_utf8(bytes.to_vec()).ok()),
    };
    let text =
        text.ok_or("the file is not valid UTF-8, and has no byte order mark of another encoding: save it as UTF-8")?;
    Ok((text, marked))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>()).ok()
}

#[cfg(test)]
mod tests;
