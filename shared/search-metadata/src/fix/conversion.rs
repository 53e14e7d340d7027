//! Converts the members of a metadata file to the metadata of an index, and collects what was fixed and what is wrong.

use super::{Carried, Fix, FixKind, Problem};
use crate::{
    access::{self, Access, Principal},
    config::{AccessControl, AttributeType, Target, Undeclared},
    json::Json,
    metadata::{self, Attribute, Metadata, STRUCTURE, Value},
    names,
    rules::RepositoryRules,
    values,
};

pub(super) const ATTRIBUTES: &str = "Attributes";
pub(super) const BEDROCK: &str = "metadataAttributes";
const ACCESS: &str = "AccessControlList";

/// The structure of a metadata file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bedrock,
    Kendra,
    /// The fields of a repository, without the structure of an index.
    Own,
}

/// The object that has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    KendraAttributes,
    BedrockAttributes,
}

/// A member of a file that has a meaning of its own in the structure of an index.
enum Part<'a> {
    Attributes(Place, &'a [(String, Json)]),
    Access(&'a [Json]),
    Structure,
    Empty,
    Wrong(&'static str),
}

pub(super) struct Conversion<'a> {
    repo: &'a RepositoryRules,
    pub(super) metadata: Metadata,
    pub(super) fixes: Vec<Fix>,
    pub(super) problems: Vec<Problem>,
    shape: Shape,
    /// The name of the member that had the access control list.
    list: Option<String>,
    /// The name of a field that lists who may see the document, and is empty.
    empty_list: Option<String>,
    /// True if a problem is about something that could say who may see the document.
    access_is_unclear: bool,
}

impl<'a> Conversion<'a> {
    pub(super) fn of(repo: &'a RepositoryRules) -> Self {
        Self {
            repo,
            metadata: Metadata::default(),
            fixes: Vec::new(),
            problems: Vec::new(),
            shape: Shape::Own,
            list: None,
            empty_list: None,
            access_is_unclear: false,
        }
    }

    pub(super) fn record(&mut self, field: &str, kind: FixKind) {
        let fix = Fix { field: field.into(), kind };
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
    }

    pub(super) fn problem(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), message: message.into() });
    }

    /// A problem of an access control list: without the list, every user could find the document.
    fn access_problem(&mut self, field: &str, message: impl Into<String>) {
        self.access_is_unclear = true;
        self.problem(field, message);
    }

    /// A problem of a field with this value.
    fn refuse(&mut self, field: &str, value: &Json, message: impl Into<String>) {
        self.access_is_unclear |= access::could_be_access(field, value);
        self.problem(field, message);
    }

    /// What the file says about who may see its document.
    pub(super) fn carried(&self) -> Carried {
        let principals = self.principals();
        match (self.access_is_unclear, principals.is_empty()) {
            (true, _) => Carried::Unclear,
            (false, true) => Carried::Nothing,
            (false, false) => Carried::List(principals),
        }
    }

    /// The entries of the access control list, and of the attributes that hold one.
    fn principals(&self) -> Vec<Principal> {
        let mut principals = self.metadata.access.clone();
        for (name, attribute) in &self.metadata.attributes {
            if let (true, Value::List(names)) = (access::is_list_attribute(name), &attribute.value) {
                principals.extend(access::from_attribute(name, names.clone()));
            }
        }
        principals
    }

    pub(super) fn read(&mut self, members: &[(String, Json)]) {
        self.shape = shape(members);
        let of_target = match self.repo.config.target {
            Target::Bedrock => Shape::Bedrock,
            Target::Kendra => Shape::Kendra,
        };
        if self.shape != of_target {
            self.record("", FixKind::Shape);
        }
        for (name, value) in members {
            match self.part(name, value) {
                Some(Part::Attributes(place, attributes)) => {
                    for (name, value) in attributes {
                        self.field(place, name, value);
                    }
                }
                Some(Part::Access(entries)) => self.access(name, entries),
                Some(Part::Structure) => match self.repo.config.target {
                    Target::Bedrock => self.metadata.structure = Some(value.clone()),
                    Target::Kendra => self.problem(name, "Kendra does not support it: remove it from the file"),
                },
                Some(Part::Empty) => self.record(name, FixKind::Dropped),
                Some(Part::Wrong(expected)) => {
                    self.refuse(name, value, format!("expected {expected}, found {}", value.describe()));
                }
                None => self.field(Place::File, name, value),
            }
        }
        if self.repo.config.target == Target::Bedrock && self.repo.config.access_control() == AccessControl::Attributes
        {
            self.write_list_attributes();
        }
        // An empty list next to one with entries says nothing: the file has a field for users and one for groups.
        if let Some(field) = self.empty_list.take()
            && !self.principals().iter().any(|principal| principal.access == Access::Allow)
        {
            let message = "the list is empty, and without it every user could find the document: say who may see the document, or remove the field";
            self.access_problem(&field, message);
        }
    }

    /// The part of a structure that a member is. Ignores case, unless the configuration has a field of that name.
    fn part<'m>(&self, name: &str, value: &'m Json) -> Option<Part<'m>> {
        if access::is_list(name, value) && (name == ACCESS || name == metadata::BEDROCK_ACCESS || !self.is_named(name))
        {
            return Some(match value {
                Json::List(entries) => Part::Access(entries),
                Json::Null => Part::Empty,
                Json::Flag(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => {
                    Part::Wrong("a list of principals")
                }
            });
        }
        if self.shape == Shape::Bedrock && name == STRUCTURE {
            return Some(Part::Structure);
        }
        let places = [(BEDROCK, Place::BedrockAttributes), (ATTRIBUTES, Place::KendraAttributes)];
        let (known, place) = places.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        (known == name || !self.is_named(name)).then_some(match value {
            Json::Object(attributes) => Part::Attributes(place, attributes),
            Json::Null => Part::Empty,
            Json::Flag(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => Part::Wrong("an object of attributes"),
        })
    }

    /// True if the configuration mentions the field.
    fn is_named(&self, field: &str) -> bool {
        self.repo.config.fields.contains_key(field) || self.repo.config.attributes.contains_key(field)
    }

    fn access(&mut self, member: &str, entries: &[Json]) {
        if let Some(other) = self.list.replace(member.into()) {
            return self.access_problem(member, format!("`{other}` is a list too: keep one of the two"));
        }
        if entries.is_empty() && self.shape == Shape::Bedrock && self.repo.config.has_bedrock_lists() {
            let message = "the list is empty, and Bedrock needs at least one entry: say who may see the document, or remove the member";
            return self.access_problem(member, message);
        }
        let written = match self.repo.config.target {
            Target::Kendra => ACCESS,
            Target::Bedrock => metadata::BEDROCK_ACCESS,
        };
        if member != written {
            self.record(member, FixKind::Name);
        }
        for (index, entry) in entries.iter().enumerate() {
            match Principal::read(entry) {
                Ok(principal) => {
                    if principal.json().canonical() != entry.canonical() {
                        self.record(member, FixKind::Word);
                    }
                    self.principal(&format!("{member}[{index}]"), principal);
                }
                Err(message) => self.access_problem(&format!("{member}[{index}]"), message),
            }
        }
    }

    /// Adds the entries that a principal is for the index.
    fn principal(&mut self, source: &str, principal: Principal) {
        let config = &self.repo.config;
        match principal.clone().for_index(config.target, config.access_control(), &self.repo.people) {
            Ok(entries) => {
                if entries != [principal] {
                    self.record(source, FixKind::Principal);
                }
                for entry in entries {
                    // A user can be in several groups.
                    if !(config.has_bedrock_lists() && self.metadata.access.contains(&entry)) {
                        self.metadata.access.push(entry);
                    }
                }
            }
            Err(message) => self.access_problem(source, message),
        }
    }

    fn write_list_attributes(&mut self) {
        let max_length = usize::try_from(self.repo.config.list_length).unwrap_or(usize::MAX);
        for (name, names) in access::to_attributes(&std::mem::take(&mut self.metadata.access)) {
            if names.len() > max_length {
                let found = names.len();
                self.access_problem(
                    ACCESS,
                    format!("`{name}` would have {found} names: a list has at most {max_length}; see `list_length`"),
                );
            }
            self.put(ACCESS, name, Attribute { value: Value::List(names), embed: None });
        }
    }

    /// Adds one field of the source; `source` is its name there.
    fn field(&mut self, place: Place, source: &str, value: &Json) {
        let (untyped, embed) = match metadata::untyped(value) {
            Some(Ok((value, embed))) => (value, embed),
            Some(Err(message)) => return self.refuse(source, value, message),
            None => (value.clone(), None),
        };
        let name = match self.repo.config.fields.get(source) {
            Some(None) => return self.record(source, FixKind::Dropped),
            Some(Some(name)) => Some(name.as_str()),
            None if self.is_named(source) => None,
            None => self.kendra_name(place, source),
        };
        // Members of Kendra's format are attributes with these names in the format of Bedrock, in both directions.
        let parts = [("DocumentId", names::DOCUMENT_ID), ("Title", names::TITLE), ("ContentType", names::CONTENT_TYPE)];
        let renamed = match self.repo.config.target {
            Target::Kendra if place == Place::BedrockAttributes => {
                parts.iter().find(|(_, attribute)| *attribute == name.unwrap_or(source)).map(|(part, _)| *part)
            }
            Target::Kendra => None,
            Target::Bedrock => parts.iter().find(|(part, _)| Some(*part) == name).map(|(_, attribute)| *attribute),
        };
        let is_member = renamed.or(name).is_some_and(metadata::is_kendra_member);
        let name = renamed.or(name).unwrap_or(source).to_owned();
        if name != source {
            self.record(source, FixKind::Name);
        }
        let lists = match self.repo.config.target {
            Target::Kendra => place == Place::BedrockAttributes,
            Target::Bedrock => self.repo.config.has_bedrock_lists(),
        };
        match self.repo.config.target {
            Target::Kendra if is_member => self.kendra_member(source, &name, &untyped),
            Target::Kendra | Target::Bedrock if lists && access::is_list_attribute(&name) => {
                self.access_list(source, &name, &untyped);
            }
            Target::Kendra => self.attribute(source, &name, &untyped, None),
            Target::Bedrock => self.attribute(source, &name, &untyped, embed),
        }
    }

    /// The member of Kendra's format that a field is without being mapped to it, in any case. An attribute of Bedrock or Kendra
    /// keeps its name: `title` and `contentType` are attributes like any other.
    fn kendra_name(&self, place: Place, source: &str) -> Option<&'static str> {
        let can_be_member = match (place, self.shape, self.repo.config.target) {
            (Place::File, Shape::Kendra, _) | (Place::File, Shape::Own, Target::Kendra) => true,
            (Place::File | Place::KendraAttributes | Place::BedrockAttributes, _, _) => false,
        };
        metadata::KENDRA_MEMBERS.into_iter().find(|part| can_be_member && part.eq_ignore_ascii_case(source))
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
            Err(message) => return self.refuse(source, value, message),
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
                if self.repo.config.target == Target::Bedrock {
                    self.record(source, FixKind::Name);
                }
                for principal in access::from_attribute(name, names) {
                    self.principal(source, principal);
                }
            }
            Ok(_) => self.leave_out(source, name, value),
            Err(message) => self.access_problem(source, message),
        }
    }

    fn attribute(&mut self, source: &str, name: &str, value: &Json, embed: Option<bool>) {
        let config = &self.repo.config;
        let declared = names::known(name, config.target).or_else(|| config.attributes.get(name).copied());
        let of = match (declared, config.undeclared()) {
            (Some(of), _) => of,
            (None, Undeclared::Drop) if access::could_be_access(source, value) => {
                let message = "could say who may see the document, so it is not left out: write it as `AccessControlList`, or \
                               map the field to an attribute or drop it by its name, in `fields`";
                return self.refuse(source, value, message);
            }
            (None, Undeclared::Drop) => return self.record(source, FixKind::Dropped),
            (None, undeclared) => {
                if let Some(message) = names::problem(name, config.target) {
                    let message = format!("{message}; map the field to another attribute, or drop it, in `fields`");
                    return self.refuse(source, value, message);
                }
                if undeclared == Undeclared::Quarantine {
                    let message =
                        "is not an attribute of the index: declare it in `attributes`, or map or drop it in `fields`";
                    return self.refuse(source, value, message);
                }
                values::inferred_type(value, config.target == Target::Kendra)
            }
        };
        let converted = match values::convert(value, of, self.repo) {
            Ok(Some((converted, kind))) => {
                if let Some(kind) = kind {
                    self.record(source, kind);
                }
                converted
            }
            Ok(None) => return self.leave_out(source, name, value),
            Err(message) => return self.refuse(source, value, message),
        };
        self.put(source, name, Attribute { value: converted, embed });
    }

    /// Leaves out a field that has no value, and remembers it if it lists who may see the document.
    fn leave_out(&mut self, source: &str, name: &str, value: &Json) {
        self.record(source, FixKind::Dropped);
        let is_list = access::is_allow_attribute(name) || access::is_usual_list_name(source) && !self.is_named(source);
        if is_list && *value != Json::Null {
            self.empty_list = Some(source.into());
        }
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

fn shape(members: &[(String, Json)]) -> Shape {
    let has = |wanted: &str| members.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let of_kendra = |name: &str| metadata::is_kendra_member(name) || name == ATTRIBUTES || name == ACCESS;
    if has(BEDROCK) {
        Shape::Bedrock
    } else if has(ATTRIBUTES) || has(ACCESS) || members.iter().all(|(name, _)| of_kendra(name)) {
        Shape::Kendra
    } else {
        Shape::Own
    }
}

fn content_type(text: &str) -> Option<&'static str> {
    let known = names::CONTENT_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(text.trim()));
    // `text/html; charset=utf-8`
    let mime = text.split(';').next().unwrap_or_default().trim();
    known
        .or_else(|| names::MIME_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(mime)).map(|(_, known)| *known))
}
