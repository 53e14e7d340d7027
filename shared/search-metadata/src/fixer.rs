//! Looks at one key, and does what is to be done about it.
//!
//! Everything is decided by what is in the bucket now, never by what an event says: an event may come twice, late, or after
//! the next one. Metadata moves in two steps, each good for two requests:
//!
//! 1. the source is read, and its successor written where nothing is yet; it notes what it was made from;
//! 2. the successor's own event has it read back, and only then is the source deleted, if it is still the same.
//!
//! Whatever dies in between leaves a source that leads to step 1 again, or a successor that leads to step 2. Two that do the
//! same at once meet at a condition of S3, and the one that loses looks again.

use std::sync::Arc;

use shiftwork_ports::{Bucket, Changed, Condition, Result};
use shiftwork_protocol::{Failure, FailureKind};

use crate::{
    decide::{self, Destination, Move, Plan},
    mend::{Change, Problem},
    pattern::{Pattern, Subject},
    rules::{Repo, Role, Rules},
};

/// How often a key is looked at again because it changed meanwhile. More often, and its next event will do.
const TRIES: u32 = 3;

/// The rules of a bucket, and the bucket.
#[derive(Clone)]
pub struct Fixer {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The bucket.
    pub documents: Bucket,
}

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// In no repository, or no metadata.
    Foreign,
    /// There is no such file, or no longer.
    Gone,
    /// Metadata whose document has not arrived. The document's event will find it.
    Waiting,
    /// Metadata that the index takes.
    Valid,
    /// Mended, or moved, or both. What was written is to be looked at in turn.
    Written {
        /// Where it is now.
        key: String,
        /// Where it came from, if from elsewhere.
        from: Option<String>,
        /// What was mended.
        changes: Vec<Change>,
    },
    /// The successor was read back, and what it was made from is deleted.
    Retired {
        /// What is deleted.
        source: String,
    },
    /// It cannot be mended.
    Quarantined {
        /// Where it is now.
        key: String,
        /// Why.
        problems: Vec<Problem>,
    },
}

impl Outcome {
    /// One word, as logs and tables have it.
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

/// Either it is clear already, or something is to be done.
enum Sight {
    Clear(Outcome),
    Plan(Box<Plan>),
}

impl Fixer {
    /// Looks at a key and does the next step, if there is one. Again: nothing happens twice.
    pub async fn look(&self, key: &str) -> Result<Outcome> {
        for _ in 0..TRIES {
            let done = match self.sight(key).await? {
                Sight::Clear(outcome) => Some(outcome),
                Sight::Plan(plan) => self.perform(*plan).await?,
            };
            if let Some(outcome) = done {
                return Ok(outcome);
            }
        }
        Err(Failure::new(FailureKind::Unavailable, format!("{key} changed {TRIES} times while it was looked at")))
    }

    /// Says what [`Fixer::look`] would do, and does nothing.
    pub async fn check(&self, key: &str) -> Result<Outcome> {
        Ok(match self.sight(key).await? {
            Sight::Clear(outcome) => outcome,
            Sight::Plan(plan) => match *plan {
                Plan::Rest => Outcome::Valid,
                Plan::Retire { source, etag } => match self.documents.read(&source).await? {
                    Some(found) if found.head.etag == etag => Outcome::Retired { source },
                    Some(_) | None => Outcome::Valid,
                },
                Plan::Replace { key, changes, .. } => Outcome::Written { key, from: None, changes },
                Plan::Move(Move { from, to, changes, .. }) => Outcome::Written { key: to, from: Some(from), changes },
                Plan::Quarantine { key, was, problems } => {
                    Outcome::Quarantined { key: self.rules.quarantine_key(&key, &was.bytes), problems }
                }
            },
        })
    }

    /// Reads, and decides.
    async fn sight(&self, key: &str) -> Result<Sight> {
        match self.rules.role(key) {
            Role::Aside | Role::Foreign => Ok(Sight::Clear(Outcome::Foreign)),
            Role::Target { repo, document } => Ok(match self.documents.read(key).await? {
                Some(was) => decide::in_place(repo, key, &document, was).into(),
                None => Sight::Clear(Outcome::Gone),
            }),
            Role::Source { repo, pattern, subject: Subject::Document(below) } => {
                self.source(repo, pattern, key, &repo.key(&below)).await
            }
            Role::Source { repo, pattern, subject: Subject::Stem(below) } => {
                let stem = repo.key(&below);
                let documents = self.documents_of(&stem).await?;
                match documents.as_slice() {
                    [] => Ok(Sight::Clear(Outcome::Waiting)),
                    [document] => self.source(repo, pattern, key, document).await,
                    several => Ok(match self.documents.read(key).await? {
                        Some(was) => decide::ambiguous(key, several, was).into(),
                        None => Sight::Clear(Outcome::Gone),
                    }),
                }
            }
            Role::Document { repo, document } => self.waiting(repo, &document).await,
        }
    }

    async fn source(&self, repo: &Repo, pattern: &Pattern, key: &str, document: &str) -> Result<Sight> {
        Ok(match self.documents.read(key).await? {
            Some(was) => decide::elsewhere(repo, pattern, key, document, was).into(),
            None => Sight::Clear(Outcome::Gone),
        })
    }

    /// A document arrived: metadata may have waited for it that could not name it.
    async fn waiting(&self, repo: &Repo, document: &str) -> Result<Sight> {
        for (pattern, key) in repo.waiting(document) {
            let names_it = matches!(self.rules.role(&key), Role::Source { pattern: named, .. } if named == pattern);
            if names_it && let Sight::Plan(plan) = self.source(repo, pattern, &key, document).await? {
                return Ok(Sight::Plan(plan));
            }
        }
        Ok(Sight::Clear(Outcome::Foreign))
    }

    /// The documents that a stem may mean; more than one is too many already.
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

    /// Does it. `None`: somebody was faster, look again.
    async fn perform(&self, plan: Plan) -> Result<Option<Outcome>> {
        match plan {
            Plan::Rest => Ok(Some(Outcome::Valid)),
            Plan::Retire { source, etag } => Ok(Some(match self.documents.delete_unchanged(&source, &etag).await? {
                Changed::Done => Outcome::Retired { source },
                Changed::ConditionFailed => Outcome::Valid,
            })),
            Plan::Replace { key, was, draft, changes } => {
                // A bucket that keeps versions keeps the original by itself.
                if was.head.version.is_none() {
                    let original = self.rules.original_key(&key, &was.bytes);
                    self.documents.write(&original, decide::copy(&was), &Condition::IfAbsent).await?;
                }
                let written = self.documents.write(&key, draft, &Condition::IfUnchanged(was.head.etag)).await?;
                Ok((written == Changed::Done).then_some(Outcome::Written { key, from: None, changes }))
            }
            Plan::Move(wanted) => self.put_in_place(wanted).await,
            Plan::Quarantine { key, was, problems } => {
                let quarantined = self.rules.quarantine_key(&key, &was.bytes);
                let reason = decide::reason(&key, &quarantined, &was, &problems);
                // The key has a digest of the content in it: what is there already is the same. The reason comes first, so that
                // nothing lies there without one.
                self.documents.write(&decide::reason_key(&quarantined), reason, &Condition::IfAbsent).await?;
                if self.documents.write(&quarantined, decide::copy(&was), &Condition::IfAbsent).await?
                    == Changed::ConditionFailed
                {
                    let there = self.documents.read(&quarantined).await?;
                    if there.is_none_or(|there| there.bytes != was.bytes) {
                        let words = format!("{quarantined} is something else, so {key} stays where it is");
                        return Err(Failure::new(FailureKind::Unavailable, words));
                    }
                }
                self.documents.delete_unchanged(&key, &was.head.etag).await?;
                Ok(Some(Outcome::Quarantined { key: quarantined, problems }))
            }
        }
    }

    async fn put_in_place(&self, Move { from, was, to, draft, changes }: Move) -> Result<Option<Outcome>> {
        let mut written = self.documents.write(&to, draft.clone(), &Condition::IfAbsent).await?;
        if written == Changed::ConditionFailed {
            let Some(found) = self.documents.read(&to).await? else { return Ok(None) };
            match decide::occupant(&draft, &found) {
                // Read back just now.
                Destination::Same => {
                    return Ok(match self.documents.delete_unchanged(&from, &was.head.etag).await? {
                        Changed::Done => Some(Outcome::Retired { source: from }),
                        Changed::ConditionFailed => None,
                    });
                }
                Destination::Predecessor => {
                    // Made from an older state of the source, or from a newer one: only the source itself can tell.
                    let now = self.documents.read(&from).await?;
                    if now.is_none_or(|now| now.head.etag != was.head.etag) {
                        return Ok(None);
                    }
                    written = self.documents.write(&to, draft, &Condition::IfUnchanged(found.head.etag)).await?;
                }
                Destination::Stranger => return Box::pin(self.perform(decide::occupied(from, &to, was))).await,
            }
        }
        Ok((written == Changed::Done).then_some(Outcome::Written { key: to, from: Some(from), changes }))
    }
}

impl From<Plan> for Sight {
    fn from(plan: Plan) -> Self {
        Self::Plan(Box::new(plan))
    }
}

#[cfg(test)]
#[path = "fixer_tests.rs"]
mod tests;
