//! Processes one key of the bucket: decides the next step, and executes it.
//!
//! Every decision depends on the current content of the bucket, not on the content of an event, because an event can arrive
//! twice, late, or after a later one. A metadata file moves in two steps of two requests each:
//!
//! 1. The source is read, and the target file is written on the condition that its key has no object. The user metadata of
//!    the target file records the source.
//! 2. The event of the target file causes it to be read back. Then the source is deleted on the condition that its ETag has
//!    not changed.
//!
//! If the process ends between the two steps, the source remains and its next event repeats step 1, or the target file is
//! there and its event causes step 2. Of two concurrent processes, the one whose conditional request fails reads the
//! objects again.

use std::sync::Arc;

use shiftwork_ports::{Bucket, Changed, Condition, NewObject, Result, StoredObject};
use shiftwork_protocol::{Failure, FailureKind};

use crate::{
    decide::{self, Move, Occupant, Plan, Quarantine, Remedy},
    fix::{self, Fix, Problem},
    pattern::{Pattern, Subject},
    rules::{RepositoryRules, Role, Rules},
};

/// Maximum number of attempts for a key that changes concurrently. After that, its next event processes it.
const ATTEMPTS: u32 = 3;

/// Maximum number of pages that are listed to find the documents with a stem. A page of S3 has at most 1,000 keys.
const PAGES: usize = 10;

/// Fixes and moves the metadata files of a bucket.
#[derive(Clone)]
pub struct Fixer {
    /// The configuration of the repositories in the bucket.
    pub rules: Arc<Rules>,
    /// The bucket that holds the documents and their metadata files.
    pub documents: Bucket,
}

/// The result of processing a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The key belongs to no repository, or is not the key of a metadata file.
    Foreign,
    /// No object exists at the key.
    Gone,
    /// The name of the metadata file matches no document yet. The event of the document processes the file.
    Waiting,
    /// The metadata file is valid and at its target key.
    Valid,
    /// The metadata file was fixed, moved, or both. The new object causes an event, and is processed in turn.
    Written {
        /// Key of the new object.
        key: String,
        /// Key of the source; `None` if the file was fixed at its key.
        from: Option<String>,
        /// The fixes, in the order of the fields.
        fixes: Vec<Fix>,
    },
    /// The target file was read back, and its source was deleted.
    Retired {
        /// Key of the deleted source.
        source: String,
    },
    /// The metadata file cannot be fixed and was moved to quarantine.
    Quarantined {
        /// Key of the file in quarantine.
        key: String,
        /// The reasons; never empty.
        problems: Vec<Problem>,
        /// True if the file says who may see its document. A person must be told, because the document is now as closed as its
        /// stub says, or, without a stub, as open as the other file at its target key says.
        restricts: bool,
        /// Keys of the stubs that keep the documents closed.
        stubs: Vec<String>,
    },
    /// The file is a stub: the metadata of the document is in quarantine, and the document is as closed as it says.
    Stub,
    /// The file has the name of metadata of a document, but no field that its repository or index knows, and no field about
    /// access: it can be a document.
    Unrecognized,
    /// The global ACL file is not valid and cannot be fixed. It is left at its key, where Bedrock reads it.
    Left {
        /// The reasons; never empty.
        problems: Vec<Problem>,
    },
}

impl Outcome {
    /// The name of the outcome in log records and in the tables of the command line.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Gone => "gone",
            Self::Waiting => "waiting",
            Self::Valid => "valid",
            Self::Written { .. } => "written",
            Self::Retired { .. } => "retired",
            Self::Quarantined { .. } => "quarantined",
            Self::Stub => "stub",
            Self::Unrecognized => "unrecognized",
            Self::Left { .. } => "left",
        }
    }

    /// True if the outcome concerns who may see a document, so that a person must be told.
    pub const fn concerns_access(&self) -> bool {
        match self {
            Self::Quarantined { restricts, .. } => *restricts,
            Self::Left { .. } => true,
            Self::Foreign
            | Self::Gone
            | Self::Waiting
            | Self::Valid
            | Self::Written { .. }
            | Self::Retired { .. }
            | Self::Stub
            | Self::Unrecognized => false,
        }
    }
}

/// The outcome if no request is needed, or the step to execute.
enum Decision {
    Done(Outcome),
    Act(Box<Plan>),
}

impl Fixer {
    /// Executes the next step for a key, if it needs one. The call is idempotent.
    ///
    /// # Errors
    /// Failures of S3, and [`FailureKind::Unavailable`] if the object changes during each of the attempts.
    pub async fn process(&self, key: &str) -> Result<Outcome> {
        for _ in 0..ATTEMPTS {
            let done = match self.decide(key).await? {
                Decision::Done(outcome) => Some(outcome),
                Decision::Act(plan) => self.perform(*plan).await?,
            };
            if let Some(outcome) = done {
                return Ok(outcome);
            }
        }
        Err(Failure::new(FailureKind::Unavailable, format!("{key} changed during {ATTEMPTS} attempts to process it")))
    }

    /// The outcome that [`Fixer::process`] would have, without changing an object.
    ///
    /// # Errors
    /// Failures of S3.
    pub async fn check(&self, key: &str) -> Result<Outcome> {
        Ok(match self.decide(key).await? {
            Decision::Done(outcome) => outcome,
            Decision::Act(plan) => match *plan {
                Plan::Keep => Outcome::Valid,
                Plan::Retire { source, etag } => match self.documents.read(&source).await? {
                    Some(found) if found.head.etag == etag => Outcome::Retired { source },
                    Some(_) | None => Outcome::Valid,
                },
                Plan::Replace { key, fixes, .. } => Outcome::Written { key, from: None, fixes },
                Plan::Move(Move { from, to, fixes, .. }) => Outcome::Written { key: to, from: Some(from), fixes },
                Plan::Quarantine(Quarantine { key, object, problems, restricts, stubs, .. }) => Outcome::Quarantined {
                    key: self.rules.quarantine_key(&key, &object.bytes),
                    problems,
                    restricts,
                    stubs: stubs.into_iter().map(|(key, _)| key).collect(),
                },
                Plan::KeepStub => Outcome::Stub,
                Plan::Leave { problems } => Outcome::Left { problems },
            },
        })
    }

    /// Reads the objects that a key concerns, and decides the next step.
    async fn decide(&self, key: &str) -> Result<Decision> {
        match self.rules.role(key) {
            Role::Archived | Role::Foreign => Ok(Decision::Done(Outcome::Foreign)),
            Role::Target { repo, document } => Ok(match self.documents.read(key).await? {
                Some(object) => decide::at_target(repo, key, &document, object).into(),
                None => Decision::Done(Outcome::Gone),
            }),
            Role::AccessFile => Ok(match self.documents.read(key).await? {
                Some(object) => decide::access_file(&self.rules, key, self.documents.name(), object).into(),
                None => Decision::Done(Outcome::Gone),
            }),
            Role::Source { repo, pattern, subject: Subject::Document(below) } => {
                let document = repo.key(&below);
                // `catalog.json` is metadata of the document `catalog`, or a document itself.
                if pattern.is_plain_json() && self.documents.head(&document).await?.is_none() {
                    return Ok(Decision::Done(Outcome::Waiting));
                }
                self.decide_for_source(repo, pattern, key, &[document]).await
            }
            Role::Source { repo, pattern, subject: Subject::Stem(below) } => {
                let documents = self.documents_of(&repo.key(&below)).await?;
                self.decide_for_source(repo, pattern, key, &documents).await
            }
            Role::Document { repo, document } => self.decide_for_document(repo, &document).await,
        }
    }

    async fn decide_for_source(
        &self,
        repo: &RepositoryRules,
        pattern: &Pattern,
        key: &str,
        documents: &[String],
    ) -> Result<Decision> {
        if documents.is_empty() {
            return Ok(Decision::Done(Outcome::Waiting));
        }
        Ok(match self.documents.read(key).await? {
            Some(object) if can_be_document(repo, pattern, &object) => Decision::Done(Outcome::Unrecognized),
            Some(object) => about_source(repo, pattern, key, documents, object),
            None => Decision::Done(Outcome::Gone),
        })
    }

    /// Decides about the metadata files that wait for a document. Other documents can have the same stem, so they are listed, but only
    /// after a file is found: most documents have no waiting metadata.
    async fn decide_for_document(&self, repo: &RepositoryRules, document: &str) -> Result<Decision> {
        for (pattern, key) in repo.waiting_sources(document) {
            let subject = match self.rules.role(&key) {
                Role::Source { pattern: named, subject, .. } if named == pattern => subject,
                Role::Source { .. }
                | Role::Archived
                | Role::Foreign
                | Role::Target { .. }
                | Role::AccessFile
                | Role::Document { .. } => continue,
            };
            let Some(object) = self.documents.read(&key).await? else { continue };
            if can_be_document(repo, pattern, &object) {
                continue;
            }
            let documents = match subject {
                Subject::Document(_) => vec![document.to_owned()],
                Subject::Stem(below) => self.documents_of(&repo.key(&below)).await?,
            };
            if let Decision::Act(plan) = about_source(repo, pattern, &key, &documents, object) {
                return Ok(Decision::Act(plan));
            }
        }
        Ok(Decision::Done(Outcome::Foreign))
    }

    /// The keys of the documents with this stem.
    async fn documents_of(&self, stem: &str) -> Result<Vec<String>> {
        let prefix = format!("{stem}.");
        let (mut documents, mut after) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = self.documents.page(&prefix, after.as_deref()).await?;
            documents.extend(self.rules.documents_of(stem, page.objects.iter().map(|object| object.key.as_str())));
            match page.objects.into_iter().next_back() {
                Some(last) if page.more => after = Some(last.key),
                Some(_) | None => return Ok(documents),
            }
        }
        let message = format!(
            "more keys begin with `{prefix}` than {PAGES} pages list, so the document of the metadata is not found: name the metadata file after its document, with the extension, as a source with {{document}} does"
        );
        Err(Failure::new(FailureKind::InvalidRequest, message))
    }

    /// Executes a plan. `None` if the condition of a request failed: the plan must be made again.
    async fn perform(&self, plan: Plan) -> Result<Option<Outcome>> {
        match plan {
            Plan::Keep => Ok(Some(Outcome::Valid)),
            Plan::Retire { source, etag } => Ok(Some(match self.documents.delete_unchanged(&source, &etag).await? {
                Changed::Done => Outcome::Retired { source },
                Changed::ConditionFailed => Outcome::Valid,
            })),
            Plan::Replace { key, object, draft, fixes } => {
                // A versioned bucket keeps the original as a previous version.
                if object.head.version.is_none() {
                    let original = self.rules.original_key(&key, &object.bytes);
                    self.documents.write(&original, decide::copy(&object), &Condition::IfAbsent).await?;
                }
                let written = self.documents.write(&key, draft, &Condition::IfUnchanged(object.head.etag)).await?;
                Ok((written == Changed::Done).then_some(Outcome::Written { key, from: None, fixes }))
            }
            Plan::Move(wanted) => self.move_to_target(wanted).await,
            Plan::Quarantine(wanted) => self.quarantine(wanted).await,
            Plan::KeepStub => Ok(Some(Outcome::Stub)),
            Plan::Leave { problems } => Ok(Some(Outcome::Left { problems })),
        }
    }

    /// Moves a file to quarantine. Its documents are closed first. Where the target key of a stub has a file that was not made from the
    /// source, that file stays.
    async fn quarantine(&self, mut wanted: Quarantine) -> Result<Option<Outcome>> {
        let (key, etag) = (wanted.key.clone(), wanted.object.head.etag.clone());
        let (own, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut wanted.stubs).into_iter().partition(|(to, _)| *to == key);
        let (mut closed, mut taken) = (Vec::new(), Vec::new());
        for (to, stub) in others {
            match self.put_at_target(&key, &etag, &to, stub).await? {
                Put::Written | Put::Same => closed.push(to),
                Put::Taken { .. } => taken.push(to),
                Put::Changed => return Ok(None),
            }
        }
        closed.extend(own.iter().map(|(to, _)| to.clone()));
        if wanted.remedy == Remedy::PutBack && !taken.is_empty() {
            wanted.remedy = Remedy::WriteTo(taken);
        }
        let quarantined = self.rules.quarantine_key(&key, &wanted.object.bytes);
        // The key contains a digest of the content, so an existing object has the same content. The reason file is written
        // first, so that every file in quarantine has one.
        let reason = decide::reason(&quarantined, &wanted, &closed);
        let Quarantine { object, problems, restricts, .. } = wanted;
        self.documents.write(&Rules::reason_key(&quarantined), reason, &Condition::IfAbsent).await?;
        if self.documents.write(&quarantined, decide::copy(&object), &Condition::IfAbsent).await?
            == Changed::ConditionFailed
        {
            let existing = self.documents.read(&quarantined).await?;
            if existing.is_none_or(|existing| existing.bytes != object.bytes) {
                let message = format!(
                    "{quarantined} exists with other content, so {key} is not moved there: delete it or move it away"
                );
                return Err(Failure::new(FailureKind::Unavailable, message));
            }
        }
        let outcome = Outcome::Quarantined { key: quarantined, problems, restricts, stubs: closed };
        if let Some((_, stub)) = own.into_iter().next() {
            let written = self.documents.write(&key, stub, &Condition::IfUnchanged(etag)).await?;
            return Ok((written == Changed::Done).then_some(outcome));
        }
        self.documents.delete_unchanged(&key, &etag).await?;
        Ok(Some(outcome))
    }

    async fn move_to_target(&self, wanted: Move) -> Result<Option<Outcome>> {
        let Move { from, object, to, draft, .. } = &wanted;
        match self.put_at_target(from, &object.head.etag, to, draft.clone()).await? {
            Put::Written => Ok(Some(Outcome::Written { key: wanted.to, from: Some(wanted.from), fixes: wanted.fixes })),
            // The target file has just been read back.
            Put::Same => Ok(match self.documents.delete_unchanged(from, &object.head.etag).await? {
                Changed::Done => Some(Outcome::Retired { source: wanted.from }),
                Changed::ConditionFailed => None,
            }),
            Put::Taken { by_stub } => self.quarantine(decide::target_taken(wanted, by_stub)).await,
            Put::Changed => Ok(None),
        }
    }

    /// Writes a file that is made from the source at `from` to its target key, unless an unrelated file is there.
    async fn put_at_target(&self, from: &str, etag: &str, to: &str, draft: NewObject) -> Result<Put> {
        if self.documents.write(to, draft.clone(), &Condition::IfAbsent).await? == Changed::Done {
            return Ok(Put::Written);
        }
        let Some(found) = self.documents.read(to).await? else { return Ok(Put::Changed) };
        match decide::occupant(&draft, &found) {
            Occupant::Same => Ok(Put::Same),
            Occupant::Outdated => {
                // The target file was made from an older or a newer version of the source. It is outdated only if the source
                // has not changed.
                let now = self.documents.read(from).await?;
                if now.is_none_or(|now| now.head.etag != etag) {
                    return Ok(Put::Changed);
                }
                Ok(match self.documents.write(to, draft, &Condition::IfUnchanged(found.head.etag)).await? {
                    Changed::Done => Put::Written,
                    Changed::ConditionFailed => Put::Changed,
                })
            }
            Occupant::OtherStub => Ok(Put::Taken { by_stub: true }),
            Occupant::Unrelated => Ok(Put::Taken { by_stub: false }),
        }
    }
}

/// True for an object at the key of metadata that can be a document itself.
fn can_be_document(repo: &RepositoryRules, pattern: &Pattern, object: &StoredObject) -> bool {
    pattern.is_stem() && pattern.is_plain_json() && !fix::is_recognized(&object.bytes, repo)
}

/// Decides about the metadata at a source key, which describes one of `documents`.
fn about_source(
    repo: &RepositoryRules,
    pattern: &Pattern,
    key: &str,
    documents: &[String],
    object: StoredObject,
) -> Decision {
    match documents {
        [] => Decision::Done(Outcome::Waiting),
        [document] => decide::at_source(repo, pattern, key, document, object).into(),
        several => decide::ambiguous(repo, pattern, key, several, object).into(),
    }
}

/// The result of writing a file to its target key.
enum Put {
    Written,
    /// The key has an equivalent file.
    Same,
    /// The key has a file that was not made from the source: the stub of other metadata, or another file.
    Taken {
        by_stub: bool,
    },
    /// The source or the target changed meanwhile.
    Changed,
}

impl From<Plan> for Decision {
    fn from(plan: Plan) -> Self {
        Self::Act(Box::new(plan))
    }
}

#[cfg(test)]
mod tests;
