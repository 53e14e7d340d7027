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

use shiftwork_ports::{Bucket, Changed, Condition, Result};
use shiftwork_protocol::{Failure, FailureKind};

use crate::{
    decide::{self, Move, Occupant, Plan},
    fix::{Fix, Problem},
    pattern::{Pattern, Subject},
    rules::{RepositoryRules, Role, Rules},
};

/// Maximum number of attempts for a key that changes concurrently. After that, its next event processes it.
const ATTEMPTS: u32 = 3;

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
                Plan::Quarantine { key, object, problems } => {
                    Outcome::Quarantined { key: self.rules.quarantine_key(&key, &object.bytes), problems }
                }
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
            Role::Source { repo, pattern, subject: Subject::Document(below) } => {
                self.decide_for_source(repo, pattern, key, &repo.key(&below)).await
            }
            Role::Source { repo, pattern, subject: Subject::Stem(below) } => {
                let stem = repo.key(&below);
                let documents = self.documents_of(&stem).await?;
                match documents.as_slice() {
                    [] => Ok(Decision::Done(Outcome::Waiting)),
                    [document] => self.decide_for_source(repo, pattern, key, document).await,
                    several => Ok(match self.documents.read(key).await? {
                        Some(object) => decide::ambiguous(key, several, object).into(),
                        None => Decision::Done(Outcome::Gone),
                    }),
                }
            }
            Role::Document { repo, document } => self.decide_for_document(repo, &document).await,
        }
    }

    async fn decide_for_source(
        &self,
        repo: &RepositoryRules,
        pattern: &Pattern,
        key: &str,
        document: &str,
    ) -> Result<Decision> {
        Ok(match self.documents.read(key).await? {
            Some(object) => decide::at_source(repo, pattern, key, document, object).into(),
            None => Decision::Done(Outcome::Gone),
        })
    }

    /// Decides about the metadata files that match a document by its stem.
    async fn decide_for_document(&self, repo: &RepositoryRules, document: &str) -> Result<Decision> {
        for (pattern, key) in repo.stem_sources(document) {
            let is_source = matches!(self.rules.role(&key), Role::Source { pattern: named, .. } if named == pattern);
            if is_source && let Decision::Act(plan) = self.decide_for_source(repo, pattern, &key, document).await? {
                return Ok(Decision::Act(plan));
            }
        }
        Ok(Decision::Done(Outcome::Foreign))
    }

    /// The keys of the documents with this stem. Stops after the page with the second document.
    async fn documents_of(&self, stem: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.documents.page(&format!("{stem}."), after.as_deref()).await?;
            found.extend(self.rules.documents_of(stem, page.objects.iter().map(|object| object.key.as_str())));
            if !page.more || found.len() > 1 {
                return Ok(found);
            }
            after = page.objects.last().map(|object| object.key.clone());
        }
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
            Plan::Quarantine { key, object, problems } => {
                let quarantined = self.rules.quarantine_key(&key, &object.bytes);
                let reason = decide::reason(&key, &quarantined, &object, &problems);
                // The key contains a digest of the content, so an existing object has the same content. The reason file is
                // written first, so that every file in quarantine has one.
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
                self.documents.delete_unchanged(&key, &object.head.etag).await?;
                Ok(Some(Outcome::Quarantined { key: quarantined, problems }))
            }
        }
    }

    async fn move_to_target(&self, Move { from, object, to, draft, fixes }: Move) -> Result<Option<Outcome>> {
        let mut written = self.documents.write(&to, draft.clone(), &Condition::IfAbsent).await?;
        if written == Changed::ConditionFailed {
            let Some(found) = self.documents.read(&to).await? else { return Ok(None) };
            match decide::occupant(&draft, &found) {
                // The target file has just been read back.
                Occupant::Same => {
                    return Ok(match self.documents.delete_unchanged(&from, &object.head.etag).await? {
                        Changed::Done => Some(Outcome::Retired { source: from }),
                        Changed::ConditionFailed => None,
                    });
                }
                Occupant::Outdated => {
                    // The target file was made from an older or a newer version of the source. It is outdated only if the
                    // source has not changed.
                    let now = self.documents.read(&from).await?;
                    if now.is_none_or(|now| now.head.etag != object.head.etag) {
                        return Ok(None);
                    }
                    written = self.documents.write(&to, draft, &Condition::IfUnchanged(found.head.etag)).await?;
                }
                Occupant::Unrelated => return Box::pin(self.perform(decide::target_taken(from, &to, object))).await,
            }
        }
        Ok((written == Changed::Done).then_some(Outcome::Written { key: to, from: Some(from), fixes }))
    }
}

impl From<Plan> for Decision {
    fn from(plan: Plan) -> Self {
        Self::Act(Box::new(plan))
    }
}

#[cfg(test)]
mod tests;
