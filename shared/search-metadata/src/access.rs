//! The users and groups that may find a document: the access control list of Kendra, and its attributes for Bedrock.

use crate::{json::Json, names::PRINCIPAL_CHARS};

/// `Type` in an entry of an access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PrincipalKind {
    User,
    Group,
}

/// `Access` in an entry of an access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Allow,
    Deny,
}

/// An entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Principal {
    pub(crate) access: Access,
    pub(crate) kind: PrincipalKind,
    pub(crate) name: String,
}

/// The attributes that hold the names of an access control list for Bedrock, which has no access control of its own: an
/// application has to filter by them.
const LIST_ATTRIBUTES: [(&str, Access, PrincipalKind); 4] = [
    ("_allowed_groups", Access::Allow, PrincipalKind::Group),
    ("_allowed_users", Access::Allow, PrincipalKind::User),
    ("_denied_groups", Access::Deny, PrincipalKind::Group),
    ("_denied_users", Access::Deny, PrincipalKind::User),
];

/// True for the name of an attribute in [`LIST_ATTRIBUTES`].
pub(crate) fn is_list_attribute(name: &str) -> bool {
    LIST_ATTRIBUTES.iter().any(|(list, _, _)| *list == name)
}

/// The names of an access control list by attribute, without attributes that would be empty.
pub(crate) fn to_attributes(principals: &[Principal]) -> Vec<(&'static str, Vec<String>)> {
    let lists = LIST_ATTRIBUTES.iter().map(|(name, access, kind)| {
        let entries = principals.iter().filter(|principal| (principal.access, principal.kind) == (*access, *kind));
        (*name, entries.map(|principal| principal.name.clone()).collect::<Vec<_>>())
    });
    lists.filter(|(_, names)| !names.is_empty()).collect()
}

/// The entries of an access control list that an attribute of [`LIST_ATTRIBUTES`] holds.
pub(crate) fn from_attribute(name: &str, names: Vec<String>) -> Vec<Principal> {
    let Some((_, access, kind)) = LIST_ATTRIBUTES.iter().find(|(list, _, _)| *list == name) else { return Vec::new() };
    names.into_iter().map(|name| Principal { access: *access, kind: *kind, name }).collect()
}

impl Principal {
    /// Reads an entry. An invalid entry is an error and never guessed, because a wrong entry could make a document visible
    /// to unauthorized users.
    pub(crate) fn read(entry: &Json) -> Result<Self, String> {
        let Json::Object(members) = entry else {
            return Err(format!("expected an object, found {}", entry.describe()));
        };
        let (mut name, mut kind, mut access) = (None, None, None);
        for (member, value) in members {
            let Json::Text(text) = value else {
                return Err(format!("`{member}`: expected a text, found {}", value.describe()));
            };
            let word = text.trim().to_ascii_uppercase();
            match member.to_ascii_lowercase().as_str() {
                "name" if !text.is_empty() && text.chars().count() <= PRINCIPAL_CHARS => name = Some(text.clone()),
                "name" => return Err(format!("`Name` must have 1 to {PRINCIPAL_CHARS} characters")),
                "type" => {
                    kind = Some(match word.as_str() {
                        "USER" => PrincipalKind::User,
                        "GROUP" => PrincipalKind::Group,
                        _ => return Err(format!("`Type` must be USER or GROUP, found `{text}`")),
                    });
                }
                "access" => {
                    access = Some(match word.as_str() {
                        "ALLOW" => Access::Allow,
                        "DENY" => Access::Deny,
                        _ => return Err(format!("`Access` must be ALLOW or DENY, found `{text}`")),
                    });
                }
                _ => return Err(format!("unknown member `{member}`: expected `Name`, `Type` and `Access`")),
            }
        }
        match (name, kind, access) {
            (Some(name), Some(kind), Some(access)) if members.len() == 3 => Ok(Self { access, kind, name }),
            (_, _, _) => Err("an entry must have `Name`, `Type` and `Access`, each once".into()),
        }
    }

    pub(crate) fn json(&self) -> Json {
        let text = |text: &str| Json::Text(text.into());
        let kind = match self.kind {
            PrincipalKind::User => "USER",
            PrincipalKind::Group => "GROUP",
        };
        let access = match self.access {
            Access::Allow => "ALLOW",
            Access::Deny => "DENY",
        };
        Json::Object(vec![
            ("Name".into(), text(&self.name)),
            ("Type".into(), text(kind)),
            ("Access".into(), text(access)),
        ])
    }
}
