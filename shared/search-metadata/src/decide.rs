//! What is to be done about one file: from what is known to a plan. Pure.

use std::collections::BTreeMap;

use serde_json::json;
use shiftwork_ports::{NewObject, StoredObject};
use shiftwork_protocol::name::sha256;

use crate::{
    mend::{self, Change, Problem, Verdict},
    names,
    pattern::Pattern,
    rules::{Repo, Rules},
};

/// Notes on what metadata-fixer wrote: the pattern and the ETag of what it was made from, and a digest of what was written.
/// They lead from the successor back to the source, which is deleted once the successor was read back.
const SOURCE: &str = "shiftwork-source";
const SOURCE_ETAG: &str = "shiftwork-source-etag";
const DIGEST: &str = "shiftwork-sha256";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: the index takes it, where it is.
    Rest,
    /// Metadata in its place was read back, is valid, and was made from this file, which can go.
    Retire { source: String, etag: String },
    /// It becomes another where it is.
    Replace { key: String, was: StoredObject, draft: NewObject, changes: Vec<Change> },
    /// It becomes another, in its place.
    Move(Move),
    /// It goes to quarantine.
    Quarantine { key: String, was: StoredObject, problems: Vec<Problem> },
}

/// From where the repository keeps it to where the index looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) was: StoredObject,
    pub(crate) to: String,
    pub(crate) draft: NewObject,
    pub(crate) changes: Vec<Change>,
}

/// Metadata where the index looks for it.
pub(crate) fn in_place(repo: &Repo, key: &str, document: &str, was: StoredObject) -> Plan {
    match mend::mend(&was.bytes, repo) {
        Verdict::Valid => retirement(repo, document, &was).unwrap_or(Plan::Rest),
        Verdict::Mended { bytes, changes } => {
            // What it was made from has yet to go.
            let kept = [SOURCE, SOURCE_ETAG]
                .into_iter()
                .filter_map(|name| Some((name.into(), was.head.user_metadata.get(name)?.clone())));
            let draft = draft(bytes, kept.collect(), &was);
            Plan::Replace { key: key.into(), was, draft, changes }
        }
        Verdict::Unmendable(problems) => Plan::Quarantine { key: key.into(), was, problems },
    }
}

fn retirement(repo: &Repo, document: &str, successor: &StoredObject) -> Option<Plan> {
    let notes = &successor.head.user_metadata;
    let pattern = repo.pattern(notes.get(SOURCE)?)?;
    let written = notes.get(DIGEST)? == &sha256(&successor.bytes);
    let source = repo.source_key(pattern, document)?;
    written.then_some(Plan::Retire { source, etag: notes.get(SOURCE_ETAG)?.clone() })
}

/// Metadata as the repository keeps it, and the document that it is about.
pub(crate) fn elsewhere(repo: &Repo, pattern: &Pattern, key: &str, document: &str, was: StoredObject) -> Plan {
    let to = repo.target_key(document);
    if to.len() > names::KEY_BYTES {
        let words =
            format!("the index would look for it under a key of {} bytes, and S3 has {}", to.len(), names::KEY_BYTES);
        return Plan::Quarantine { key: key.into(), was, problems: vec![Problem { field: String::new(), words }] };
    }
    let (bytes, changes) = match mend::mend(&was.bytes, repo) {
        Verdict::Valid => (was.bytes.clone(), Vec::new()),
        Verdict::Mended { bytes, changes } => (bytes, changes),
        Verdict::Unmendable(problems) => return Plan::Quarantine { key: key.into(), was, problems },
    };
    let notes = BTreeMap::from([
        (SOURCE.to_owned(), pattern.text().to_owned()),
        (SOURCE_ETAG.to_owned(), was.head.etag.clone()),
    ]);
    let draft = draft(bytes, notes, &was);
    Plan::Move(Move { from: key.into(), was, to, draft, changes })
}

/// More than one document could be meant.
pub(crate) fn ambiguous(key: &str, documents: &[String], was: StoredObject) -> Plan {
    let documents = shiftwork_config::list(documents.iter().map(String::as_str));
    let words = format!("it does not say which of {documents} it is about: name it after the whole document");
    Plan::Quarantine { key: key.into(), was, problems: vec![Problem { field: String::new(), words }] }
}

/// What is in the place that metadata is to be moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// What was to be put there: an earlier try did it, or another hand.
    Same,
    /// What was made from this file when it said something else.
    Predecessor,
    /// Somebody else's.
    Stranger,
}

/// Who is in the place of a draft.
pub(crate) fn occupant(draft: &NewObject, found: &StoredObject) -> Destination {
    let intact = found.head.user_metadata.get(DIGEST) == Some(&sha256(&found.bytes));
    if mend::says_the_same(&found.bytes, &draft.bytes) {
        Destination::Same
    } else if intact
        && found.head.user_metadata.contains_key(SOURCE)
        && found.head.user_metadata.get(SOURCE) == draft.user_metadata.get(SOURCE)
    {
        Destination::Predecessor
    } else {
        Destination::Stranger
    }
}

/// The place is taken by something that was not made from this file.
pub(crate) fn occupied(from: String, to: &str, was: StoredObject) -> Plan {
    let words = format!(
        "`{to}` is there already, says something else, and was not made from this file: keep one of the two, and put it into its place"
    );
    Plan::Quarantine { key: from, was, problems: vec![Problem { field: String::new(), words }] }
}

fn draft(bytes: Vec<u8>, mut notes: BTreeMap<String, String>, of: &StoredObject) -> NewObject {
    notes.insert(DIGEST.into(), sha256(&bytes));
    NewObject { user_metadata: notes, ..encrypted_as(of, bytes) }
}

fn encrypted_as(of: &StoredObject, bytes: Vec<u8>) -> NewObject {
    NewObject { encryption: of.head.encryption.clone(), ..NewObject::json(bytes) }
}

/// A file as it was, under another key.
pub(crate) fn copy(of: &StoredObject) -> NewObject {
    encrypted_as(of, of.bytes.clone())
}

/// Why something is in quarantine, for the person who looks there. It names no time, so that a second try writes the same.
pub(crate) fn reason(key: &str, quarantined: &str, was: &StoredObject, problems: &[Problem]) -> NewObject {
    let problems: Vec<_> =
        problems.iter().map(|problem| json!({ "field": problem.field, "problem": problem.words })).collect();
    let reason = json!({
        "key": key,
        "quarantined_as": quarantined,
        "etag": was.head.etag,
        "version": was.head.version,
        "problems": problems,
        "what_to_do": format!("mend {quarantined}, put it back as {key}, and delete both files here"),
    });
    encrypted_as(was, format!("{reason:#}\n").into_bytes())
}

/// A reason is found beside what it is about.
pub(crate) fn reason_key(quarantined: &str) -> String {
    Rules::reason_key(quarantined)
}
