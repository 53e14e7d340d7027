//! The global ACL file of Bedrock managed knowledge bases: the principals of prefixes and of single documents (Bedrock User
//! Guide, "Document-level access controls"). The ACL file of Kendra has the same structure, but also groups. Pure.

use std::collections::BTreeSet;

use crate::{
    access::{People, Principal},
    config::{AccessControl, Target},
    fix::{self, Fix, FixKind, Problem, Verdict},
    json::Json,
};

const PREFIX: &str = "keyPrefix";
const ENTRIES: &str = "aclEntries";

/// A valid global ACL file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccessFile {
    /// Key prefixes that end with `/` or are empty, and keys of documents.
    prefixes: BTreeSet<String>,
}

/// Validates the global ACL file of a bucket, and fixes it if no information is lost.
pub(crate) fn fix(bytes: &[u8], bucket: &str, people: &People) -> Verdict {
    let unreadable = |message| Verdict::Unfixable { problems: vec![problem("", message)], stub: None };
    let (source, encoded) = match fix::decoded(bytes).and_then(|(text, marked)| Ok((Json::parse(&text)?, marked))) {
        Ok(read) => read,
        Err(message) => return unreadable(message),
    };
    let Json::List(items) = &source else {
        return unreadable(format!("expected a list of `{PREFIX}` and `{ENTRIES}`, found {}", source.describe()));
    };
    let mut reading = Reading { bucket, people, fixes: Vec::new(), problems: Vec::new(), prefixes: BTreeSet::new() };
    if encoded {
        reading.record("", FixKind::Encoding);
    }
    let written = Json::List(items.iter().enumerate().map(|(index, item)| reading.item(index, item)).collect());
    let Reading { mut fixes, problems, .. } = reading;
    if !problems.is_empty() {
        return Verdict::Unfixable { problems, stub: None };
    }
    if written.canonical() == source.canonical() && !encoded {
        return Verdict::Valid;
    }
    if fixes.is_empty() {
        fixes.push(Fix { field: String::new(), kind: FixKind::Shape });
    }
    Verdict::Fixed { bytes: written.pretty().into_bytes(), fixes }
}

impl AccessFile {
    /// Reads a file that [`fix()`] accepts or has fixed; of another file it has the prefixes that can be read.
    pub(crate) fn read(bytes: &[u8], bucket: &str, people: &People) -> Self {
        let parsed = fix::decoded(bytes).and_then(|(text, _)| Json::parse(&text));
        let Ok(Json::List(items)) = parsed else { return Self::default() };
        let mut reading =
            Reading { bucket, people, fixes: Vec::new(), problems: Vec::new(), prefixes: BTreeSet::new() };
        for (index, item) in items.iter().enumerate() {
            reading.item(index, item);
        }
        Self { prefixes: reading.prefixes }
    }

    /// True if the file has an entry for the document with this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        let is_below = |prefix: &String| prefix.is_empty() || prefix.ends_with('/') && key.starts_with(prefix.as_str());
        self.prefixes.iter().any(|prefix| prefix == key || is_below(prefix))
    }
}

struct Reading<'a> {
    bucket: &'a str,
    people: &'a People,
    fixes: Vec<Fix>,
    problems: Vec<Problem>,
    /// Prefixes and keys below the bucket, of the items without a problem.
    prefixes: BTreeSet<String>,
}

fn problem(field: &str, message: impl Into<String>) -> Problem {
    Problem { field: field.into(), message: message.into() }
}

impl Reading<'_> {
    fn record(&mut self, field: &str, kind: FixKind) {
        let fix = Fix { field: field.into(), kind };
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
    }

    /// Reads one item, and returns it as it is written.
    fn item(&mut self, index: usize, item: &Json) -> Json {
        let problems = self.problems.len();
        let place = format!("[{index}]");
        let (mut prefix, mut entries) = (None, None);
        match item {
            Json::Object(members) => {
                for (name, value) in members {
                    if name.eq_ignore_ascii_case(PREFIX) && prefix.is_none() {
                        prefix = self.prefix(&format!("{place}.{name}"), value);
                    } else if name.eq_ignore_ascii_case(ENTRIES) && entries.is_none() {
                        entries = Some(self.entries(&format!("{place}.{name}"), value));
                    } else {
                        let message = format!("unknown member: expected `{PREFIX}` and `{ENTRIES}`, each once");
                        self.problems.push(problem(&format!("{place}.{name}"), message));
                    }
                    if ![PREFIX, ENTRIES].contains(&name.as_str()) {
                        self.record(&format!("{place}.{name}"), FixKind::Name);
                    }
                }
            }
            other => self.problems.push(problem(&place, format!("expected an object, found {}", other.describe()))),
        }
        if self.problems.len() == problems && (prefix.is_none() || entries.is_none()) {
            self.problems.push(problem(&place, format!("an entry must have `{PREFIX}` and `{ENTRIES}`")));
        }
        let uri = prefix.unwrap_or_default();
        let key =
            uri.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, key)| key).to_owned();
        if self.problems.len() == problems && !self.prefixes.insert(key) {
            self.problems.push(problem(&place, format!("`{uri}` has two entries: join them")));
        }
        Json::Object(vec![
            (PREFIX.into(), Json::Text(uri)),
            (ENTRIES.into(), Json::List(entries.unwrap_or_default().iter().map(Principal::json).collect())),
        ])
    }

    fn prefix(&mut self, place: &str, value: &Json) -> Option<String> {
        let start = format!("s3://{}/", self.bucket);
        match value {
            Json::Text(text) if text.starts_with(&start) => Some(text.clone()),
            other => {
                let message = format!(
                    "expected the URI of a folder or a document in this bucket, such as {start}finance/, found {}",
                    other.describe()
                );
                self.problems.push(problem(place, message));
                None
            }
        }
    }

    fn entries(&mut self, place: &str, value: &Json) -> Vec<Principal> {
        let Json::List(items) = value else {
            self.problems.push(problem(place, format!("expected a list of principals, found {}", value.describe())));
            return Vec::new();
        };
        if items.is_empty() {
            self.problems.push(problem(place, "the list is empty: say who may see the documents, or remove the entry"));
        }
        let mut entries = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = format!("{place}[{index}]");
            let read = Principal::read(item).and_then(|principal| {
                if principal.json().canonical() != item.canonical() {
                    self.record(&place, FixKind::Word);
                }
                let written = principal.clone().for_index(Target::Bedrock, AccessControl::List, self.people)?;
                if written != [principal] {
                    self.record(&place, FixKind::Principal);
                }
                Ok(written)
            });
            match read {
                Ok(read) => {
                    for entry in read {
                        if !entries.contains(&entry) {
                            entries.push(entry);
                        }
                    }
                }
                Err(message) => self.problems.push(problem(&place, message)),
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn people() -> People {
        People {
            users: BTreeMap::from([("max".into(), "max@example.com".into())]),
            groups: BTreeMap::from([("finance".into(), vec!["a@example.com".into(), "max@example.com".into()])]),
        }
    }

    fn verdict(source: &Value) -> Verdict {
        fix(source.to_string().as_bytes(), "docs", &people())
    }

    fn of(prefix: &str, name: &str, kind: &str, access: &str) -> Value {
        json!({ "keyPrefix": prefix, "aclEntries": [{ "Name": name, "Type": kind, "Access": access }] })
    }

    #[test]
    fn a_file_of_users_is_valid_and_a_file_of_kendra_is_written_for_bedrock() {
        let valid = json!([of("s3://docs/finance/", "a@example.com", "USER", "ALLOW")]);
        assert_eq!(verdict(&valid), Verdict::Valid);
        let kendra = json!([
            of("s3://docs/finance/", "finance", "GROUP", "ALLOW"),
            of("s3://docs/finance/secret.pdf", "max", "user", "deny"),
        ]);
        let Verdict::Fixed { bytes, .. } = verdict(&kendra) else { panic!("{:?}", verdict(&kendra)) };
        let entry = |name: &str, access: &str| json!({ "Name": name, "Type": "USER", "Access": access });
        let wanted = json!([
            { "keyPrefix": "s3://docs/finance/", "aclEntries": [entry("a@example.com", "ALLOW"), entry("max@example.com", "ALLOW")] },
            { "keyPrefix": "s3://docs/finance/secret.pdf", "aclEntries": [entry("max@example.com", "DENY")] },
        ]);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), wanted);
        assert_eq!(fix(&bytes, "docs", &people()), Verdict::Valid);
    }

    #[test]
    fn what_bedrock_does_not_accept_is_a_problem_with_its_place() {
        let entry = json!({ "Name": "a@example.com", "Type": "USER", "Access": "ALLOW" });
        for (source, field, words) in [
            (json!({}), "", "expected a list"),
            (json!([7]), "[0]", "expected an object"),
            (json!([{ "aclEntries": [entry] }]), "[0]", "must have `keyPrefix`"),
            (json!([{ "keyPrefix": "s3://docs/a/", "aclEntries": [] }]), "[0].aclEntries", "empty"),
            (json!([of("s3://other/a/", "a@example.com", "USER", "ALLOW")]), "[0].keyPrefix", "s3://docs/"),
            (json!([of("/a/", "a@example.com", "USER", "ALLOW")]), "[0].keyPrefix", "s3://docs/"),
            (json!([of("s3://docs/a/", "hr", "GROUP", "ALLOW")]), "[0].aclEntries[0]", "`hr` is a group"),
            (json!([of("s3://docs/a/", "jane", "USER", "ALLOW")]), "[0].aclEntries[0]", "email address"),
            (json!([of("s3://docs/a/", "a@example.com", "USER", "READ")]), "[0].aclEntries[0]", "ALLOW or DENY"),
            (
                json!([of("s3://docs/a/", "a@b.c", "USER", "ALLOW"), of("s3://docs/a/", "d@b.c", "USER", "ALLOW")]),
                "[1]",
                "two entries",
            ),
            (
                json!([{ "keyPrefix": "s3://docs/a/", "aclEntries": [entry], "note": "x" }]),
                "[0].note",
                "unknown member",
            ),
        ] {
            let Verdict::Unfixable { problems, .. } = verdict(&source) else { panic!("{source}") };
            assert_eq!(problems[0].field, field, "{source}");
            assert!(problems[0].message.contains(words), "{source}: {problems:?}");
        }
    }

    #[test]
    fn a_folder_covers_what_is_below_it_and_a_document_only_itself() {
        let source = json!([
            of("s3://docs/finance/", "a@example.com", "USER", "ALLOW"),
            of("s3://docs/a.pdf", "a@example.com", "USER", "ALLOW"),
            of("s3://docs/wrong/", "jane", "USER", "ALLOW"),
        ]);
        let file = AccessFile::read(source.to_string().as_bytes(), "docs", &people());
        for (key, covered) in [
            ("finance/a/b.pdf", true),
            ("finance/", true),
            ("finance", false),
            ("finances/a.pdf", false),
            ("a.pdf", true),
            ("a.pdf.old", false),
            ("wrong/a.pdf", false),
            ("b.pdf", false),
        ] {
            assert_eq!(file.has(key), covered, "{key}");
        }
        let all = json!([of("s3://docs/", "a@example.com", "USER", "ALLOW")]);
        assert!(AccessFile::read(all.to_string().as_bytes(), "docs", &people()).has("a/b.pdf"));
    }
}
