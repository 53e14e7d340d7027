//! Finds out whether a document has an access control list that a Bedrock managed knowledge base reads. Its data source does not
//! ingest a document without one if `aclEnabled` is set.

use shiftwork_ports::Result;

use crate::{
    access_file::AccessFile,
    fix,
    fixer::{Fixer, Outcome},
    rules::{RepositoryRules, Role},
};

/// The global ACL file, read once for a walk over documents.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    file: AccessFile,
}

/// The access control list of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentAccess {
    /// True if the document has an entry, in its metadata file or in the global ACL file.
    pub has_entry: bool,
    /// True if every document of its repository needs an entry; `None` if the configuration does not say so.
    pub is_needed: Option<bool>,
}

impl Fixer {
    /// Reads the global ACL file.
    ///
    /// # Errors
    /// Failures of S3.
    pub async fn coverage(&self) -> Result<Coverage> {
        let Some(key) = self.rules.access_file() else { return Ok(Coverage::default()) };
        let found = self.documents.read(key).await?;
        let file = found.map(|found| AccessFile::read(&found.bytes, self.documents.name(), self.rules.people()));
        Ok(Coverage { file: file.unwrap_or_default() })
    }

    /// The access control list of the document with this key, for which [`Fixer::check`] returned `outcome`. `None` if the key is
    /// not that of a document, or its index reads no lists of Bedrock.
    ///
    /// # Errors
    /// Failures of S3.
    pub async fn access_of(&self, coverage: &Coverage, key: &str, outcome: &Outcome) -> Result<Option<DocumentAccess>> {
        let repo = match (self.rules.role(key), outcome) {
            (Role::Document { repo, .. }, _)
            | (Role::Source { repo, .. }, Outcome::Waiting | Outcome::Unrecognized) => repo,
            (Role::Source { .. } | Role::Target { .. } | Role::AccessFile | Role::Archived | Role::Foreign, _) => {
                return Ok(None);
            }
        };
        if !repo.config.has_bedrock_lists() {
            return Ok(None);
        }
        let has_entry = coverage.file.has(key) || self.has_own_list(repo, key).await?;
        let is_needed = repo.config.acl_enabled.or(self.rules.access_file().map(|_| true));
        Ok(Some(DocumentAccess { has_entry, is_needed }))
    }

    /// True if the metadata of a document has a list, at its target key or at one of its sources.
    async fn has_own_list(&self, repo: &RepositoryRules, document: &str) -> Result<bool> {
        let keys = std::iter::once(repo.target_key(document)).chain(repo.source_keys(document));
        for key in keys.filter(|key| key != document) {
            if let Some(found) = self.documents.read(&key).await? {
                return Ok(fix::restricts(&found.bytes, repo));
            }
        }
        Ok(false)
    }
}
