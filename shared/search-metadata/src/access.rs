//! Who may find a document: Kendra's access control list, and what becomes of it where there is none.

use crate::{json::Json, names::PRINCIPAL_CHARS};

/// A user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PrincipalKind {
    User,
    Group,
}

/// Allowed, or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Allow,
    Deny,
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Principal {
    pub(crate) access: Access,
    pub(crate) sort: PrincipalKind,
    pub(crate) name: String,
}

/// Bedrock's metadata knows no access control: there the list is attributes, which an application has to filter by.
const LISTS: [(&str, Access, PrincipalKind); 4] = [
    ("_allowed_groups", Access::Allow, PrincipalKind::Group),
    ("_allowed_users", Access::Allow, PrincipalKind::User),
    ("_denied_groups", Access::Deny, PrincipalKind::Group),
    ("_denied_users", Access::Deny, PrincipalKind::User),
];

/// True for the name of such an attribute.
pub(crate) fn is_list(name: &str) -> bool {
    LISTS.iter().any(|(list, _, _)| *list == name)
}

/// The entries of an access control list as attributes, those without entries left out.
pub(crate) fn as_lists(principals: &[Principal]) -> Vec<(&'static str, Vec<String>)> {
    let lists = LISTS.iter().map(|(name, access, sort)| {
        let entries = principals.iter().filter(|principal| (principal.access, principal.sort) == (*access, *sort));
        (*name, entries.map(|principal| principal.name.clone()).collect::<Vec<_>>())
    });
    lists.filter(|(_, names)| !names.is_empty()).collect()
}

/// The way back.
pub(crate) fn of_list(name: &str, names: Vec<String>) -> Vec<Principal> {
    let Some((_, access, sort)) = LISTS.iter().find(|(list, _, _)| *list == name) else { return Vec::new() };
    names.into_iter().map(|name| Principal { access: *access, sort: *sort, name }).collect()
}

impl Principal {
    /// Reads an entry. An entry is never guessed: a mistake here would show a document to the wrong people.
    pub(crate) fn read(entry: &Json) -> Result<Self, String> {
        let Json::Object(members) = entry else { return Err(format!("expected an object, found {}", entry.found())) };
        let (mut name, mut sort, mut access) = (None, None, None);
        for (member, value) in members {
            let Json::Text(text) = value else {
                return Err(format!("`{member}`: expected a text, found {}", value.found()));
            };
            let word = text.trim().to_ascii_uppercase();
            match member.to_ascii_lowercase().as_str() {
                "name" if !text.is_empty() && text.chars().count() <= PRINCIPAL_CHARS => name = Some(text.clone()),
                "name" => return Err(format!("`Name` has 1 to {PRINCIPAL_CHARS} characters")),
                "type" => {
                    sort = Some(match word.as_str() {
                        "USER" => PrincipalKind::User,
                        "GROUP" => PrincipalKind::Group,
                        _ => return Err(format!("`Type` is USER or GROUP, not `{text}`")),
                    });
                }
                "access" => {
                    access = Some(match word.as_str() {
                        "ALLOW" => Access::Allow,
                        "DENY" => Access::Deny,
                        _ => return Err(format!("`Access` is ALLOW or DENY, not `{text}`")),
                    });
                }
                _ => return Err(format!("`{member}` is none of `Name`, `Type`, `Access`")),
            }
        }
        match (name, sort, access) {
            (Some(name), Some(sort), Some(access)) if members.len() == 3 => Ok(Self { access, sort, name }),
            (_, _, _) => Err("an entry has `Name`, `Type` and `Access`, each once".into()),
        }
    }

    pub(crate) fn json(&self) -> Json {
        let text = |text: &str| Json::Text(text.into());
        let sort = match self.sort {
            PrincipalKind::User => "USER",
            PrincipalKind::Group => "GROUP",
        };
        let access = match self.access {
            Access::Allow => "ALLOW",
            Access::Deny => "DENY",
        };
        Json::Object(vec![
            ("Name".into(), text(&self.name)),
            ("Type".into(), text(sort)),
            ("Access".into(), text(access)),
        ])
    }
}
