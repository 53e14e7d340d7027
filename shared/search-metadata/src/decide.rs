//! Decides what to do with one metadata file. Pure.

use std::collections::BTreeMap;

use serde_json::json;
use shiftwork_ports::{NewObject, StoredObject};
use shiftwork_protocol::name::sha256;

use crate::{
    access_file,
    fix::{self, Fix, Problem, Verdict},
    names,
    pattern::Pattern,
    rules::{RepositoryRules, Rules},
};

/// User metadata of the target file: the pattern and the ETag of its source, and the SHA-256 of its content. They identify
/// the source, which is deleted after the target file has been read back.
const SOURCE: &str = "shiftwork-source";
const SOURCE_ETAG: &str = "shiftwork-source-etag";
const DIGEST: &str = "shiftwork-sha256";
/// User metadata of a stub: the SHA-256 of the file in quarantine whose place it takes.
const STUB: &str = "shiftwork-stub-of";

/// The next step for one metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// No step: the file is valid and at its target key.
    Keep,
    /// Delete the source: the target file was made from it, was read back, and is valid.
    Retire { source: String, etag: String },
    /// Replace the file at its key with its fixed content.
    Replace { key: String, object: StoredObject, draft: NewObject, fixes: Vec<Fix> },
    /// Write the file to its target key.
    Move(Move),
    /// Move the file to quarantine.
    Quarantine(Quarantine),
    /// No step: the file is a stub, and the metadata of the document is in quarantine.
    KeepStub,
    /// No step: the file cannot be fixed, and is left at its key because the index needs a file there.
    Leave { problems: Vec<Problem> },
}

/// A move to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quarantine {
    pub(crate) key: String,
    pub(crate) object: StoredObject,
    pub(crate) problems: Vec<Problem>,
    /// True if the file says who may see its document.
    pub(crate) restricts: bool,
    /// The stubs that keep the documents closed, by target key. A stub at the key of the file itself replaces the file.
    pub(crate) stubs: Vec<(String, NewObject)>,
    pub(crate) remedy: Remedy,
}

/// How a person makes the metadata of a file in quarantine effective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Put the corrected file back at its key.
    PutBack,
    /// Put the corrected file back at its key, or at this target key if another file is there.
    PutBackUnlessTaken(String),
    /// Write the metadata to these target keys. At its own key, the corrected file would be quarantined again.
    WriteTo(Vec<String>),
    /// Give the document a shorter key.
    ShortenKey,
}

impl Remedy {
    /// The instruction for the file that was quarantined from `key` as `quarantined`.
    fn text(&self, key: &str, quarantined: &str) -> String {
        let what = match self {
            Self::PutBack => format!("fix {quarantined} and put it back as {key}"),
            Self::PutBackUnlessTaken(target) => format!(
                "fix {quarantined} and put it back as {key}, or, if {target} has other metadata that is not right, put it there"
            ),
            Self::WriteTo(targets) => {
                let targets = targets.join(" and ");
                format!(
                    "fix {quarantined} and, if it is the right metadata, put it at {targets}: as {key} it would be quarantined again"
                )
            }
            Self::ShortenKey => {
                format!(
                    "give the document a shorter key, and put {quarantined} at the key of its metadata under the new name"
                )
            }
        };
        format!("{what}. Then delete both files here")
    }
}

/// A move from the source key to the target key, at which the index reads the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) object: StoredObject,
    pub(crate) to: String,
    pub(crate) draft: NewObject,
    pub(crate) fixes: Vec<Fix>,
    /// True if the file says who may see its document.
    pub(crate) restricts: bool,
}

/// Decides about a file at its target key.
pub(crate) fn at_target(repo: &RepositoryRules, key: &str, document: &str, object: StoredObject) -> Plan {
    match fix::fix(&object.bytes, repo) {
        Verdict::Valid if is_stub(&object) => Plan::KeepStub,
        Verdict::Valid => retirement(repo, document, &object).unwrap_or(Plan::Keep),
        Verdict::Fixed { bytes, fixes } => {
            // Keeps the reference to the source, which has yet to be deleted.
            let kept = [SOURCE, SOURCE_ETAG, STUB]
                .into_iter()
                .filter_map(|name| Some((name.into(), object.head.user_metadata.get(name)?.clone())));
            let draft = draft(bytes, kept.collect(), &object);
            Plan::Replace { key: key.into(), object, draft, fixes }
        }
        Verdict::Unfixable { problems, stub } => {
            let restricts = stub.is_some();
            // A file that was made from a source is followed by a later version of that source, and so is its stub.
            let source = source_of(&object).map(ToOwned::to_owned);
            let stubs = stub.map(|bytes| (key.to_owned(), stub_draft(bytes, source, &object))).into_iter().collect();
            let remedy = Remedy::PutBack;
            Plan::Quarantine(Quarantine { key: key.into(), object, problems, restricts, stubs, remedy })
        }
    }
}

/// Decides about the global ACL file.
pub(crate) fn access_file(rules: &Rules, key: &str, bucket: &str, object: StoredObject) -> Plan {
    match access_file::fix(&object.bytes, bucket, rules.people()) {
        Verdict::Valid => Plan::Keep,
        Verdict::Fixed { bytes, fixes } => {
            let draft = draft(bytes, BTreeMap::new(), &object);
            Plan::Replace { key: key.into(), object, draft, fixes }
        }
        Verdict::Unfixable { problems, .. } => Plan::Leave { problems },
    }
}

/// True for an object whose content is still the one with which it was written.
fn is_intact(object: &StoredObject) -> bool {
    object.head.user_metadata.get(DIGEST) == Some(&sha256(&object.bytes))
}

/// True for an unchanged stub.
fn is_stub(object: &StoredObject) -> bool {
    object.head.user_metadata.contains_key(STUB) && is_intact(object)
}

/// The pattern of the source that an object was made from; `None` if the object was changed since, or was not made from a source.
fn source_of(object: &StoredObject) -> Option<&str> {
    object.head.user_metadata.get(SOURCE).filter(|_| is_intact(object)).map(String::as_str)
}

/// A stub for a file. A later version of the source with the pattern `source` replaces it; without a source, only a file that is
/// written to the key of the stub does.
fn stub_draft(bytes: Vec<u8>, source: Option<String>, of: &StoredObject) -> NewObject {
    let source = source.map(|pattern| (SOURCE.to_owned(), pattern));
    let notes = source.into_iter().chain([(STUB.to_owned(), sha256(&of.bytes))]);
    draft(bytes, notes.collect(), of)
}

fn retirement(repo: &RepositoryRules, document: &str, successor: &StoredObject) -> Option<Plan> {
    let source = repo.source_key(repo.pattern(source_of(successor)?)?, document)?;
    Some(Plan::Retire { source, etag: successor.head.user_metadata.get(SOURCE_ETAG)?.clone() })
}

/// Decides about a file at its source key; `document` is the key of the document that it describes.
pub(crate) fn at_source(
    repo: &RepositoryRules,
    pattern: &Pattern,
    key: &str,
    document: &str,
    object: StoredObject,
) -> Plan {
    let to = repo.target_key(document);
    if to.len() > names::KEY_BYTES {
        let message =
            format!("its target key would have {} bytes: a key in S3 has at most {}", to.len(), names::KEY_BYTES);
        let restricts = fix::restricts(&object.bytes, repo);
        return Plan::Quarantine(Quarantine {
            key: key.into(),
            object,
            problems: of_file(message),
            restricts,
            stubs: Vec::new(),
            remedy: Remedy::ShortenKey,
        });
    }
    let restricts = fix::restricts(&object.bytes, repo);
    let (bytes, fixes) = match fix::fix(&object.bytes, repo) {
        Verdict::Valid => (object.bytes.clone(), Vec::new()),
        Verdict::Fixed { bytes, fixes } => (bytes, fixes),
        Verdict::Unfixable { problems, stub } => {
            // Only a stub shows whether the target key is taken.
            let remedy = if stub.is_some() { Remedy::PutBack } else { Remedy::PutBackUnlessTaken(to.clone()) };
            let stubs =
                stub.map(|bytes| (to, stub_draft(bytes, Some(pattern.text().into()), &object))).into_iter().collect();
            return Plan::Quarantine(Quarantine { key: key.into(), object, problems, restricts, stubs, remedy });
        }
    };
    let notes = BTreeMap::from([
        (SOURCE.to_owned(), pattern.text().to_owned()),
        (SOURCE_ETAG.to_owned(), object.head.etag.clone()),
    ]);
    let draft = draft(bytes, notes, &object);
    Plan::Move(Move { from: key.into(), object, to, draft, fixes, restricts })
}

/// Decides about a file whose name matches several documents.
pub(crate) fn ambiguous(
    repo: &RepositoryRules,
    pattern: &Pattern,
    key: &str,
    documents: &[String],
    object: StoredObject,
) -> Plan {
    let named = shiftwork_config::list(documents.iter().map(String::as_str));
    let targets: Vec<_> =
        documents.iter().map(|document| repo.target_key(document)).filter(|to| to.len() <= names::KEY_BYTES).collect();
    let places = shiftwork_config::list(targets.iter().map(String::as_str));
    let message = format!(
        "the name of the file matches several documents, {named}: write the metadata of each document to its own key, {places}"
    );
    let stub = fix::stub(&object.bytes, repo);
    let restricts = stub.is_some();
    let remedy = Remedy::WriteTo(targets.clone());
    let stubs = targets
        .into_iter()
        .filter_map(|to| Some((to, stub_draft(stub.clone()?, Some(pattern.text().into()), &object))))
        .collect();
    Plan::Quarantine(Quarantine { key: key.into(), object, problems: of_file(message), restricts, stubs, remedy })
}

fn of_file(message: String) -> Vec<Problem> {
    vec![Problem { field: String::new(), message }]
}

/// The object at the target key of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Its content is equivalent to the draft: an earlier attempt or another process wrote it.
    Same,
    /// It was made from an earlier version of the source, or is the stub of one.
    Outdated,
    /// It is the stub of other metadata: of another source, or of a file that was written to the target key.
    OtherStub,
    /// It was not made from the source.
    Unrelated,
}

/// Classifies the object that is at the target key of a draft.
pub(crate) fn occupant(draft: &NewObject, found: &StoredObject) -> Occupant {
    let source = source_of(found);
    if fix::are_equivalent(&found.bytes, &draft.bytes) {
        Occupant::Same
    } else if source.is_some() && source == draft.user_metadata.get(SOURCE).map(String::as_str) {
        Occupant::Outdated
    } else if is_stub(found) {
        Occupant::OtherStub
    } else {
        Occupant::Unrelated
    }
}

/// Decides about a source whose target key holds an object that was not made from the source: the stub of other metadata, or
/// another file.
pub(crate) fn target_taken(Move { from, object, to, restricts, .. }: Move, by_stub: bool) -> Quarantine {
    let message = if by_stub {
        format!(
            "`{to}` is a stub that keeps the document closed, because other metadata of the document is in quarantine: fix that metadata, or write the right metadata to `{to}`"
        )
    } else {
        format!(
            "`{to}` exists already, has other content, and was not made from this file: keep one of the two files at that key"
        )
    };
    let remedy = Remedy::WriteTo(vec![to]);
    Quarantine { key: from, object, problems: of_file(message), restricts, stubs: Vec::new(), remedy }
}

fn draft(bytes: Vec<u8>, mut notes: BTreeMap<String, String>, of: &StoredObject) -> NewObject {
    notes.insert(DIGEST.into(), sha256(&bytes));
    NewObject { user_metadata: notes, ..encrypted_as(of, bytes) }
}

fn encrypted_as(of: &StoredObject, bytes: Vec<u8>) -> NewObject {
    NewObject { encryption: of.head.encryption.clone(), ..NewObject::json(bytes) }
}

/// A copy of an object, with the same content and encryption.
pub(crate) fn copy(of: &StoredObject) -> NewObject {
    encrypted_as(of, of.bytes.clone())
}

/// The reason file of a file in quarantine. `closed` are the keys of the stubs that keep its documents closed. It contains no time, so that
/// a second attempt writes the same content.
pub(crate) fn reason(quarantined: &str, plan: &Quarantine, closed: &[String]) -> NewObject {
    let Quarantine { key, object, problems, remedy, .. } = plan;
    let problems: Vec<_> =
        problems.iter().map(|problem| json!({ "field": problem.field, "problem": problem.message })).collect();
    let mut reason = json!({
        "key": key,
        "quarantined_as": quarantined,
        "etag": object.head.etag,
        "version": object.head.version,
        "problems": problems,
        "what_to_do": remedy.text(key, quarantined),
    });
    if !closed.is_empty() {
        reason["stubs"] = closed.iter().map(String::as_str).collect();
        reason["until_then"] = "a stub with only the access control list keeps the document closed".into();
    }
    encrypted_as(object, format!("{reason:#}\n").into_bytes())
}
