//! One metadata file: valid as it is, mended, or beyond mending. Pure.

use crate::{
    access::{self, Principal},
    config::{AttributeType, Target, Undeclared},
    json::Json,
    metadata::{self, Attribute, Metadata, STRUCTURE, Value},
    names,
    rules::Repo,
    values,
};

const ATTRIBUTES: &str = "Attributes";
const ACCESS: &str = "AccessControlList";
const BEDROCK: &str = "metadataAttributes";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FixKind {
    /// The file is UTF-8 without a byte order mark now.
    Encoding,
    /// It was written for another index, or for none.
    Shape,
    /// A field has the name that the index knows.
    Name,
    /// A number or a flag became a text.
    Text,
    /// A text became a number.
    Number,
    /// A text became true or false.
    Flag,
    /// A date is ISO 8601 with its zone.
    Date,
    /// A text became a list, or a list lost what was empty in it.
    List,
    /// A word of a fixed list is spelt as the index spells it.
    Word,
    /// A text was cut.
    Cut,
    /// A field without a value, or one that nobody wants, is gone.
    Dropped,
    /// It says the same in fewer bytes.
    Size,
}

impl FixKind {
    /// Every one.
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

    /// One word, as logs and tables have it.
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

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field; empty for the file.
    pub field: String,
    /// What was done.
    pub sort: FixKind,
}

/// Something that nobody but a person can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field; empty for the file.
    pub field: String,
    /// What is wrong, and how to mend it.
    pub words: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.words) } else { write!(f, "`{}`: {}", self.field, self.words) }
    }
}

/// What is to be said of a metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The index takes it as it is.
    Valid,
    /// The index takes this instead.
    Mended {
        /// UTF-8 JSON.
        bytes: Vec<u8>,
        /// What was done.
        changes: Vec<Change>,
    },
    /// Never empty.
    Unmendable(Vec<Problem>),
}

/// Judges a file, and mends it as far as that loses nothing.
pub(crate) fn mend(bytes: &[u8], repo: &Repo) -> Verdict {
    let verdict = once(bytes, repo);
    // What is written here comes back as an event. It must be valid then, or it would be written for ever.
    if let Verdict::Mended { bytes, .. } = &verdict
        && once(bytes, repo) != Verdict::Valid
    {
        return unmendable(
            "the rules of the repository mend it anew each time: look at `fields`, `dates` and `attributes`".into(),
        );
    }
    verdict
}

/// True for two files of which no index could tell the difference.
pub(crate) fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Json::parse(text).ok());
    one == other
        || read(one)
            .is_some_and(|one| read(other).is_some_and(|other| pruned(&one).canonical() == pruned(&other).canonical()))
}

fn once(bytes: &[u8], repo: &Repo) -> Verdict {
    let mut work =
        Work { repo, metadata: Metadata::default(), changes: Vec::new(), problems: Vec::new(), bedrock: false };
    let source = match work.decode(bytes).and_then(|text| Json::parse(&text)) {
        Ok(source) => source,
        Err(words) => return unmendable(words),
    };
    let Json::Object(members) = &source else {
        return unmendable(format!("metadata is a JSON object, and this is {}", source.found()));
    };
    let encoded = !work.changes.is_empty();
    work.read(members);
    if work.problems.is_empty() && repo.config.target == Target::Bedrock && work.metadata.is_empty() {
        return unmendable("there is no attribute in it".into());
    }
    let most = match repo.config.target {
        Target::Kendra => usize::MAX,
        Target::Bedrock => names::BEDROCK_BYTES,
    };
    let written = work.metadata.json(repo);
    let (pretty, compact) = (written.pretty(), written.compact());
    let text = if pretty.len() <= most { pretty } else { compact };
    if text.len() > most {
        work.problem(
            "",
            format!("Bedrock takes {most} bytes of metadata, and this has {} without any white space", text.len()),
        );
    }
    if !work.problems.is_empty() {
        return Verdict::Unmendable(work.problems);
    }
    let same = pruned(&source).canonical() == written.canonical();
    if same && !encoded && bytes.len() <= most {
        return Verdict::Valid;
    }
    if same && bytes.len() > most {
        work.change("", FixKind::Size);
    }
    // Nothing that differs may go without a word.
    if work.changes.is_empty() {
        work.change("", FixKind::Shape);
    }
    Verdict::Mended { bytes: text.into_bytes(), changes: work.changes }
}

fn unmendable(words: String) -> Verdict {
    Verdict::Unmendable(vec![Problem { field: String::new(), words }])
}

/// Empty lists of Kendra's mean what no list means.
fn pruned(source: &Json) -> Json {
    let Json::Object(members) = source else { return source.clone() };
    let empty = |(name, value): &&(String, Json)| {
        name == "Attributes" && *value == Json::Object(vec![])
            || name == "AccessControlList" && *value == Json::List(vec![])
    };
    Json::Object(members.iter().filter(|member| !empty(member)).cloned().collect())
}

struct Work<'a> {
    repo: &'a Repo,
    metadata: Metadata,
    changes: Vec<Change>,
    problems: Vec<Problem>,
    /// It was written for Bedrock.
    bedrock: bool,
}

impl Work<'_> {
    fn change(&mut self, field: &str, sort: FixKind) {
        let change = Change { field: field.into(), sort };
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    fn problem(&mut self, field: &str, words: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), words: words.into() });
    }

    /// The text of a file. What has a byte order mark says its encoding; anything else is UTF-8, or nobody knows what.
    fn decode(&mut self, bytes: &[u8]) -> Result<String, String> {
        let (marked, text) = match bytes {
            [0xEF, 0xBB, 0xBF, rest @ ..] => (true, String::from_utf8(rest.to_vec()).ok()),
            [0xFF, 0xFE, rest @ ..] => (true, utf16(rest, u16::from_le_bytes)),
            [0xFE, 0xFF, rest @ ..] => (true, utf16(rest, u16::from_be_bytes)),
            bytes => (false, String::from_utf8(bytes.to_vec()).ok()),
        };
        if marked {
            self.change("", FixKind::Encoding);
        }
        text.ok_or_else(|| "it is not UTF-8, and has no byte order mark that says what it is: save it as UTF-8".into())
    }

    fn read(&mut self, members: &[(String, Json)]) {
        self.bedrock = members.iter().any(|(name, _)| name == BEDROCK);
        let of_kendra = |name: &str| [ATTRIBUTES, ACCESS].contains(&name) || metadata::is_part(name);
        let shape = if self.bedrock {
            Some(Target::Bedrock)
        } else if members.iter().all(|(name, _)| of_kendra(name)) {
            Some(Target::Kendra)
        } else {
            None
        };
        if shape != Some(self.repo.config.target) {
            self.change("", FixKind::Shape);
        }
        for (name, value) in members {
            // In another spelling, too, unless the repository has a field of that name.
            let known = [BEDROCK, ATTRIBUTES, ACCESS].into_iter().find(|known| known.eq_ignore_ascii_case(name));
            match (known.filter(|known| known == name || !self.is_named(name)), value) {
                (Some(BEDROCK | ATTRIBUTES), Json::Object(attributes)) => {
                    for (name, value) in attributes {
                        self.field(name, value);
                    }
                }
                (Some(ACCESS), Json::List(entries)) => self.access(entries),
                (Some(_), Json::Null) => self.change(name, FixKind::Dropped),
                (Some(ACCESS), other) => {
                    self.problem(name, format!("expected a list of principals, found {}", other.found()));
                }
                (Some(_), other) => {
                    self.problem(name, format!("expected an object of attributes, found {}", other.found()));
                }
                (None, structure) if self.bedrock && name == STRUCTURE => match self.repo.config.target {
                    Target::Bedrock => self.metadata.structure = Some(structure.clone()),
                    Target::Kendra => {
                        self.problem(name, "Kendra has nothing like it, and takes no CSV file apart by it");
                    }
                },
                (None, value) => self.field(name, value),
            }
        }
        if self.repo.config.target == Target::Bedrock {
            let most = usize::try_from(self.repo.config.list_length).unwrap_or(usize::MAX);
            for (name, names) in access::as_lists(&std::mem::take(&mut self.metadata.access)) {
                if names.len() > most {
                    self.problem(
                        ACCESS,
                        format!("`{name}` would have {} names, and a list has {most} at most", names.len()),
                    );
                }
                self.put(ACCESS, name, Attribute { value: Value::List(names), embed: None });
            }
        }
    }

    /// True for a field that the configuration speaks of.
    fn is_named(&self, field: &str) -> bool {
        self.repo.config.fields.contains_key(field) || self.repo.config.attributes.contains_key(field)
    }

    fn access(&mut self, entries: &[Json]) {
        for (index, entry) in entries.iter().enumerate() {
            match Principal::read(entry) {
                Ok(principal) => {
                    if principal.json().canonical() != entry.canonical() {
                        self.change("AccessControlList", FixKind::Word);
                    }
                    self.metadata.access.push(principal);
                }
                // Without its list, everybody would find the document.
                Err(words) => self.problem(&format!("AccessControlList[{index}]"), words),
            }
        }
    }

    /// One field of the source, under the name that it has there.
    fn field(&mut self, source: &str, value: &Json) {
        let (value, embed) = match metadata::untyped(value) {
            Some(Ok((value, embed))) => (value, embed),
            Some(Err(words)) => return self.problem(source, words),
            None => (value.clone(), None),
        };
        let name = match self.repo.config.fields.get(source) {
            Some(None) => return self.change(source, FixKind::Dropped),
            Some(Some(name)) => name.as_str(),
            None if self.is_named(source) => source,
            // Kendra's own members, in another spelling.
            None => metadata::PARTS.into_iter().find(|part| part.eq_ignore_ascii_case(source)).unwrap_or(source),
        };
        // Kendra's parts are attributes of these names in Bedrock's metadata, there and back.
        let parts = [("DocumentId", names::DOCUMENT_ID), ("Title", names::TITLE), ("ContentType", names::CONTENT_TYPE)];
        let renamed = match self.repo.config.target {
            Target::Kendra if self.bedrock => {
                parts.iter().find(|(_, attribute)| *attribute == name).map(|(part, _)| *part)
            }
            Target::Kendra => None,
            Target::Bedrock => parts.iter().find(|(part, _)| *part == name).map(|(_, attribute)| *attribute),
        };
        let name = renamed.unwrap_or(name).to_owned();
        if name != source {
            self.change(source, FixKind::Name);
        }
        match self.repo.config.target {
            Target::Kendra if metadata::is_part(&name) => self.part(source, &name, &value),
            Target::Kendra if self.bedrock && access::is_list(&name) => self.access_list(source, &name, &value),
            Target::Kendra => self.attribute(source, &name, &value, None),
            Target::Bedrock => self.attribute(source, &name, &value, embed),
        }
    }

    fn part(&mut self, source: &str, part: &str, value: &Json) {
        let text = match values::fit(value, AttributeType::String, self.repo) {
            Ok(Some((Value::Text(text), sort))) => {
                if let Some(sort) = sort {
                    self.change(source, sort);
                }
                text
            }
            Ok(_) => return self.change(source, FixKind::Dropped),
            Err(words) => return self.problem(source, words),
        };
        let text = match part {
            "ContentType" => match content_type(&text) {
                Some(known) if known == text => text,
                Some(known) => {
                    self.change(source, FixKind::Word);
                    known.into()
                }
                None => {
                    let known = shiftwork_config::list(names::CONTENT_TYPES);
                    return self.problem(source, format!("`{text}` is none of {known}, and no MIME type of one"));
                }
            },
            "DocumentId" if text.chars().count() > names::ID_CHARS => {
                return self.problem(source, format!("an id has {} characters at most", names::ID_CHARS));
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
                let words = format!("another field says `{before}` for {part} already; leave one out in `fields`");
                self.problem(source, words);
            }
            Some(_) => self.change(source, FixKind::Name),
            None => *place = Some(text),
        }
    }

    fn access_list(&mut self, source: &str, name: &str, value: &Json) {
        match values::fit(value, AttributeType::StringList, self.repo) {
            Ok(Some((Value::List(names), sort))) => {
                if let Some(sort) = sort {
                    self.change(source, sort);
                }
                if names.iter().any(|name| name.chars().count() > names::PRINCIPAL_CHARS) {
                    return self
                        .problem(source, format!("a principal has {} characters at most", names::PRINCIPAL_CHARS));
                }
                self.metadata.access.extend(access::of_list(name, names));
            }
            Ok(_) => self.change(source, FixKind::Dropped),
            Err(words) => self.problem(source, words),
        }
    }

    fn attribute(&mut self, source: &str, name: &str, value: &Json, embed: Option<bool>) {
        let config = &self.repo.config;
        let declared = names::known(name, config.target).or_else(|| config.attributes.get(name).copied());
        let of = match (declared, config.undeclared()) {
            (Some(of), _) => of,
            (None, Undeclared::Drop) => return self.change(source, FixKind::Dropped),
            (None, undeclared) => {
                if let Some(words) = names::problem(name, config.target) {
                    return self.problem(
                        source,
                        format!("{words}; say in `fields` what it is to be called, or leave it out there"),
                    );
                }
                if undeclared == Undeclared::Quarantine {
                    let words =
                        "is no attribute of the index: declare it in `attributes`, map it or leave it out in `fields`";
                    return self.problem(source, words);
                }
                values::natural(value, config.target == Target::Kendra)
            }
        };
        let value = match values::fit(value, of, self.repo) {
            Ok(Some((value, sort))) => {
                if let Some(sort) = sort {
                    self.change(source, sort);
                }
                value
            }
            Ok(None) => return self.change(source, FixKind::Dropped),
            Err(words) => return self.problem(source, words),
        };
        self.put(source, name, Attribute { value, embed });
    }

    fn put(&mut self, source: &str, name: &str, attribute: Attribute) {
        match self.metadata.attributes.get(name) {
            Some(before) if *before != attribute => {
                self.problem(
                    source,
                    format!("another field is `{name}` already, and says something else; leave one out in `fields`"),
                );
            }
            Some(_) => self.change(source, FixKind::Name),
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
#[path = "mend_tests.rs"]
mod tests;
