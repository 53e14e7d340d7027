//! The users and groups that may find a document: the access control lists of Kendra and Bedrock, and the attributes that
//! hold the names of a list for a knowledge base without lists.

use std::collections::BTreeMap;

use crate::{
    config::{AccessControl, Target},
    json::Json,
    names::{BEDROCK_PRINCIPAL_CHARS, PRINCIPAL_CHARS},
};

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

/// The users of Bedrock that the users and groups of Kendra are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct People {
    /// Email address of a user, by the name that Kendra's lists have.
    pub(crate) users: BTreeMap<String, String>,
    /// Email addresses of the members of a group, by the name of the group.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
}

/// The user that is allowed in the list of a stub whose document is closed. The domain cannot exist (RFC 2606), so no person is
/// this user.
pub(crate) const NO_USER: &str = "quarantine@shiftwork.invalid";

/// The attributes that hold the names of an access control list for a knowledge base of Bedrock without lists: an application
/// has to filter by them.
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

/// True for the name of a list of the users or groups that may see a document: an attribute in [`LIST_ATTRIBUTES`].
pub(crate) fn is_allow_attribute(name: &str) -> bool {
    LIST_ATTRIBUTES.iter().any(|(list, access, _)| *list == name && *access == Access::Allow)
}

/// True for a usual name of an access control list other than `AccessControlList`, in any spelling.
pub(crate) fn is_usual_list_name(name: &str) -> bool {
    matches!(letters(name).as_str(), "acl" | "accesscontrol" | "accesslist" | "accesscontrolentries")
}

/// True for the member of a file that holds its access control list: `AccessControlList` in any spelling, and another usual
/// name of it if its value is a list of objects.
pub(crate) fn is_list(name: &str, value: &Json) -> bool {
    let is_list_of_objects = || match value {
        Json::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Json::Object(_))),
        Json::Null | Json::Flag(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => false,
    };
    letters(name) == "accesscontrollist" || is_usual_list_name(name) && is_list_of_objects()
}

/// Words of names that say who may see a document.
const ACCESS_WORDS: [&str; 23] = [
    "acl",
    "acls",
    "ace",
    "aces",
    "allow",
    "allowed",
    "allows",
    "deny",
    "denied",
    "denies",
    "forbidden",
    "permitted",
    "readers",
    "viewers",
    "grants",
    "grantees",
    "principal",
    "principals",
    "rights",
    "visibility",
    "clearance",
    "entitled",
    "restricted",
];
/// Parts of names, without case and separators, that say who may see a document.
const ACCESS_PARTS: [&str; 20] = [
    "accesscontrol",
    "accesslist",
    "accessright",
    "accessgroup",
    "accessuser",
    "accesslevel",
    "accessrole",
    "allowlist",
    "denylist",
    "whitelist",
    "blacklist",
    "permission",
    "entitlement",
    "privilege",
    "authoriz",
    "authoris",
    "securitygroup",
    "visibleto",
    "readableby",
    "restrictedto",
];

/// True for a field that could say who may see the document, by its name in any spelling or by the form of its value. Such a
/// field is never left out because it is not declared.
pub(crate) fn could_be_access(name: &str, value: &Json) -> bool {
    names_access(name) || words(name).any(|word| word == "access") && !measures(value) || has_entry(value)
}

/// True for text that has a name or a word about access, for a file that cannot be parsed.
pub(crate) fn mentions_access(text: &str) -> bool {
    names_access(text) || words(text).any(|word| word == "access")
}

fn names_access(name: &str) -> bool {
    let letters = letters(name);
    ACCESS_PARTS.iter().any(|part| letters.contains(part)) || words(name).any(|word| ACCESS_WORDS.contains(&&*word))
}

/// True for a number, a flag or a date: the value of a field such as `access_count` or `last_access`.
fn measures(value: &Json) -> bool {
    match value {
        Json::Number(_) | Json::Flag(_) => true,
        Json::Text(text) => text.trim().len() >= 8 && text.trim().bytes().take(4).all(|b| b.is_ascii_digit()),
        Json::Null | Json::List(_) | Json::Object(_) => false,
    }
}

/// True for a value that has an entry of an access control list: an object with the text `ALLOW` or `DENY`, or with a name
/// and `USER` or `GROUP`.
fn has_entry(value: &Json) -> bool {
    match value {
        Json::Object(members) => {
            let says = |words: &[&str]| {
                members.iter().any(|(_, value)| {
                    matches!(value, Json::Text(text) if words.iter().any(|word| word.eq_ignore_ascii_case(text.trim())))
                })
            };
            says(&["allow", "deny"])
                || says(&["user", "group"]) && members.iter().any(|(name, _)| letters(name).contains("name"))
                || members.iter().any(|(name, value)| names_access(name) || has_entry(value))
        }
        Json::List(items) => items.iter().any(has_entry),
        Json::Null | Json::Flag(_) | Json::Number(_) | Json::Text(_) => false,
    }
}

/// The letters and digits of a name in lower case.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a name in lower case: `allowedGroups`, `allowed_groups` and `ALLOWED-GROUPS` have the same two.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && lower_before {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words.into_iter().filter(|word| !word.is_empty())
}

impl Principal {
    /// The only entry of the list of a closed document.
    pub(crate) fn no_user() -> Self {
        Self { access: Access::Allow, kind: PrincipalKind::User, name: NO_USER.into() }
    }

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
                "name" if !text.trim().is_empty() => name = Some(text.clone()),
                "name" => return Err("`Name` must not be empty".into()),
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

    /// The entries with the same meaning for an index. The lists of Bedrock have only users, which are email addresses
    /// (Bedrock User Guide, "Document-level access controls"), so a group becomes its members.
    pub(crate) fn for_index(
        self,
        target: Target,
        control: AccessControl,
        people: &People,
    ) -> Result<Vec<Self>, String> {
        let Self { access, kind, name } = &self;
        let chars = name.chars().count();
        let (of, most) = match (target, control) {
            (Target::Bedrock, AccessControl::List) => {
                let names = match (kind, people.groups.get(name), people.users.get(name)) {
                    (PrincipalKind::Group, Some(members), _) => members.clone(),
                    (PrincipalKind::Group, None, _) => {
                        return Err(format!(
                            "the lists of Bedrock have only users, and `{name}` is a group: add its members under `groups`, or \
                             set `access_control: attributes` if your application filters by group"
                        ));
                    }
                    (PrincipalKind::User, _, Some(email)) => vec![email.clone()],
                    (PrincipalKind::User, _, None) => vec![name.clone()],
                };
                if let Some(wrong) = names.iter().find(|name| !is_email(name)) {
                    return Err(format!(
                        "Bedrock identifies a user by the email address, and `{wrong}` is not one: add it under `users`"
                    ));
                }
                let user = |name| Self { access: *access, kind: PrincipalKind::User, name };
                return Ok(names.into_iter().map(user).collect());
            }
            (Target::Bedrock, AccessControl::Attributes) => ("Bedrock", BEDROCK_PRINCIPAL_CHARS),
            (Target::Kendra, _) => ("Kendra", PRINCIPAL_CHARS),
        };
        if chars > most {
            return Err(format!("the name of a principal has at most {most} characters for {of}, found {chars}"));
        }
        Ok(vec![self])
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

/// True for text of the form of an email address, of a length that Bedrock accepts.
pub(crate) fn is_email(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(user, domain)| !user.is_empty() && !domain.is_empty());
    parts.is_some_and(|(_, domain)| !domain.contains('@'))
        && !text.contains(char::is_whitespace)
        && text.chars().count() <= BEDROCK_PRINCIPAL_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_found_in_any_spelling_and_form() {
        let text = |text: &str| Json::Text(text.into());
        for name in [
            "AccessControlList",
            "access_control_list",
            "access-control-list",
            "ACCESS CONTROL LIST",
            "accesscontrollist",
            "acl",
            "ACL",
            "documentAcl",
            "doc_acls",
            "allowed_groups",
            "allowedUsers",
            "_denied_users",
            "DenyGroups",
            "permissions",
            "Principals",
            "access",
            "accessRights",
            "Access Groups",
            "restricted_to",
            "visibleTo",
            "readers",
            "whitelist",
            "security_groups",
            "authorizedUsers",
        ] {
            assert!(could_be_access(name, &text("finance")), "{name}");
        }
        for name in
            ["oracle", "miracle", "accessories", "color", "title", "group_size", "successor", "place", "surface"]
        {
            assert!(!could_be_access(name, &text("finance")), "{name}");
        }
        for (name, value) in
            [("access_count", "7"), ("last_access", r#""2026-03-01T00:00:00Z""#), ("accessed_at", "\"x\"")]
        {
            assert!(!could_be_access(name, &Json::parse(value).unwrap()), "{name}");
        }
        for value in [
            r#"[{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]"#,
            r#"{"x": [{"who": "finance", "may": "allow"}]}"#,
            r#"[{"userName": "max", "kind": "user"}]"#,
            r#"{"allowed": ["finance"]}"#,
        ] {
            assert!(could_be_access("zugriff", &Json::parse(value).unwrap()), "{value}");
        }
        assert!(!could_be_access("sizes", &Json::parse(r#"[{"name": "s", "count": 2}]"#).unwrap()));
    }

    #[test]
    fn a_group_becomes_its_members_and_a_user_the_email_address_for_bedrock() {
        let people = People {
            users: BTreeMap::from([("max".into(), "max@example.com".into())]),
            groups: BTreeMap::from([("finance".into(), vec!["a@example.com".into(), "b@example.com".into()])]),
        };
        let of = |kind, name: &str| {
            let principal = Principal { access: Access::Deny, kind, name: name.into() };
            let entries = principal.for_index(Target::Bedrock, AccessControl::List, &people)?;
            Ok::<_, String>(entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>())
        };
        assert_eq!(of(PrincipalKind::Group, "finance").unwrap(), ["a@example.com", "b@example.com"]);
        assert_eq!(of(PrincipalKind::User, "max").unwrap(), ["max@example.com"]);
        assert_eq!(of(PrincipalKind::User, "jane@example.com").unwrap(), ["jane@example.com"]);
        assert!(of(PrincipalKind::Group, "hr").unwrap_err().contains("under `groups`"));
        assert!(of(PrincipalKind::User, "jane").unwrap_err().contains("under `users`"));
    }
}
