//! A document's metadata lands in S3: it is made what its index needs, where its index looks.
//!
//! What is done, and why it may be done twice, says [`shiftwork_search_metadata`]; here events become keys.

mod incoming;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::SignedDuration;
use serde_json::{Value, json};
use shiftwork_aws::environment;
use shiftwork_ports::{
    Bucket, Cache, Clock, Result,
    messages::{self, Message},
};
use shiftwork_protocol::{Failure, keys::REPOSITORIES_KEY};
use shiftwork_search_metadata::{Fixer, Outcome, Rules};
use tokio::sync::OnceCell;

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub documents_bucket: String,
        pub scripts_bucket: String,
    }
}

/// Messages at once.
const AT_ONCE: usize = 8;
/// How long a configuration is believed: a push takes effect within it.
const BELIEVED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// The function.
pub struct MetadataFixer {
    documents: Bucket,
    configuration: Bucket,
    clock: Arc<dyn Clock>,
    rules: Cache<(), Arc<Rules>>,
}

impl MetadataFixer {
    /// Over the bucket of the documents, and the bucket that the configuration is pushed to.
    pub fn new(documents: Bucket, configuration: Bucket, clock: Arc<dyn Clock>) -> Self {
        Self { documents, configuration, clock, rules: Cache::default() }
    }

    /// Looks at the files that an event, or messages of a queue, name.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        let looks = Looks::default();
        match messages::of_event(&event)? {
            Some(messages) => {
                let (_, response) =
                    messages::each(&messages, AT_ONCE, async |Message { body, .. }| self.message(body, &looks).await)
                        .await;
                Ok(json!(response))
            }
            None => self.message(&event.to_string(), &looks).await.map(|()| Value::Null),
        }
    }

    /// Looks at each key of a message, and fails with the first failure. A key that several messages name is looked at once.
    async fn message(&self, message: &str, looks: &Looks) -> Result<()> {
        let mut result = Ok(());
        for key in incoming::keys(message, self.documents.name())? {
            let look = looks.of(&key);
            let looked = look.get_or_init(|| self.look(&key)).await.clone();
            result = result.and(looked);
        }
        result
    }

    async fn look(&self, key: &str) -> Result<()> {
        let Some(rules) = self.rules().await? else {
            // Files from before the first push are for `shiftwork metadata fix`.
            tracing::warn!(key, "no repositories are configured: `shiftwork metadata push` does that");
            return Ok(());
        };
        let outcome = Fixer { rules, documents: self.documents.clone() }.look(key).await?;
        record(key, &outcome);
        Ok(())
    }

    /// The configuration that was pushed last, at most [`BELIEVED_FOR`] ago.
    async fn rules(&self) -> Result<Option<Arc<Rules>>> {
        let now = self.clock.now();
        if let Some(rules) = self.rules.get(&(), now) {
            return Ok(Some(rules));
        }
        let Some(found) = self.configuration.read(REPOSITORIES_KEY).await? else { return Ok(None) };
        let text = String::from_utf8(found.bytes)
            .map_err(|_| Failure::corrupt(format!("{REPOSITORIES_KEY} is not UTF-8: push it again")))?;
        let rules = Arc::new(Rules::pushed(&text)?);
        self.rules.put((), Arc::clone(&rules), now + BELIEVED_FOR);
        Ok(Some(rules))
    }
}

/// The keys of one invocation, and what a look at each came to.
#[derive(Default)]
struct Looks(Mutex<BTreeMap<String, Arc<OnceCell<Result<()>>>>>);

impl Looks {
    fn of(&self, key: &str) -> Arc<OnceCell<Result<()>>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.to_owned()).or_default())
    }
}

/// One line a file.
fn record(key: &str, outcome: &Outcome) {
    let words = outcome.as_str();
    match outcome {
        Outcome::Foreign | Outcome::Gone | Outcome::Waiting | Outcome::Valid => tracing::info!(key, outcome = words),
        Outcome::Written { key: now, from, changes } => {
            let changes: Vec<_> =
                changes.iter().map(|change| format!("{} {}", change.sort.as_str(), change.field)).collect();
            tracing::info!(key, outcome = words, now, moved = from.is_some(), changes = changes.join(", "));
        }
        Outcome::Retired { source } => tracing::info!(key, outcome = words, source),
        // Which fields, and not what they say: that is in the reason beside the file, for those who may read it.
        Outcome::Quarantined { key: now, problems } => {
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            tracing::warn!(key, outcome = words, now, problems = problems.len(), fields = fields.join(", "));
        }
    }
}

#[cfg(test)]
mod tests;
