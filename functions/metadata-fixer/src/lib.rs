//! A document's metadata lands in S3: it is made what its index needs, where its index looks.
//!
//! What is done, and why it may be done twice, says [`shiftwork_search_metadata`]; here events become keys.

mod incoming;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::{Value, json};
use shiftwork_ports::{Clock, Result, documents::Documents};
use shiftwork_protocol::{Failure, FailureKind};
use shiftwork_search_metadata::{CONFIGURATION_KEY, Fixer, Outcome, Rules};

/// What it reads from its environment.
pub const ENVIRONMENT: &[&str] = &["DOCUMENTS_BUCKET", "SCRIPTS_BUCKET"];

/// Files that are looked at side by side.
const AT_ONCE: usize = 8;
/// How long a configuration is believed: a push is heard within it.
const BELIEVED: SignedDuration = SignedDuration::from_secs(60);

/// The function.
pub struct MetadataFixer {
    bucket: String,
    documents: Arc<dyn Documents>,
    configuration: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    /// The configuration, and when it was read.
    rules: Mutex<Option<(Arc<Rules>, Timestamp)>>,
}

impl MetadataFixer {
    /// Over the bucket of the documents, by name and by content, and the bucket where pushes put the configuration.
    pub fn new(
        bucket: impl Into<String>,
        documents: Arc<dyn Documents>,
        configuration: Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { bucket: bucket.into(), documents, configuration, clock, rules: Mutex::default() }
    }

    /// Looks at the files that an event, or messages of a queue, speak of.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        if event["Records"][0]["eventSource"] == "aws:sqs" {
            let messages = SqsEvent::deserialize(event).map_err(|error| {
                Failure::new(FailureKind::InvalidRequest, format!("the queue's messages cannot be read: {error}"))
            })?;
            return Ok(json!(self.messages(messages).await));
        }
        self.message(&event.to_string()).await.map(|()| Value::Null)
    }

    /// Each message stands for itself: what fails is delivered again, or ends in the dead-letter queue.
    async fn messages(&self, messages: SqsEvent) -> SqsBatchResponse {
        // One file may be in several messages, and is looked at once.
        let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut response = SqsBatchResponse::default();
        let mut failed = |id: &str, failure: &Failure| {
            tracing::error!(message = id, failure = failure.kind.name(), "{failure}");
            if !response.batch_item_failures.iter().any(|failed: &BatchItemFailure| failed.item_identifier == id) {
                let mut item = BatchItemFailure::default();
                item.item_identifier = id.into();
                response.batch_item_failures.push(item);
            }
        };
        for message in messages.records {
            let id = message.message_id.unwrap_or_default();
            match incoming::keys(message.body.as_deref().unwrap_or_default(), &self.bucket) {
                Ok(keys) => keys.into_iter().for_each(|key| asked.entry(key).or_default().push(id.clone())),
                Err(failure) => failed(&id, &failure),
            }
        }
        let mut looks =
            stream::iter(asked).map(async |(key, ids)| (self.look(&key).await, ids)).buffer_unordered(AT_ONCE);
        while let Some((looked, ids)) = looks.next().await {
            if let Err(failure) = looked {
                for id in &ids {
                    failed(id, &failure);
                }
            }
        }
        drop(looks);
        response
    }

    async fn message(&self, message: &str) -> Result<()> {
        for key in incoming::keys(message, &self.bucket)? {
            self.look(&key).await?;
        }
        Ok(())
    }

    async fn look(&self, key: &str) -> Result<()> {
        let Some(rules) = self.rules().await? else {
            // Files from before the first push are for `shiftwork metadata fix`.
            tracing::warn!(key, "no repositories are configured: `shiftwork metadata push` does that");
            return Ok(());
        };
        let outcome = Fixer { rules, documents: Arc::clone(&self.documents) }.look(key).await?;
        record(key, &outcome);
        Ok(())
    }

    /// What was pushed last, give or take a minute.
    async fn rules(&self) -> Result<Option<Arc<Rules>>> {
        let now = self.clock.now();
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((rules, read)) = known
            && now.duration_since(read) < BELIEVED
        {
            return Ok(Some(rules));
        }
        let Some(found) = self.configuration.read(CONFIGURATION_KEY).await? else { return Ok(None) };
        let text = String::from_utf8(found.bytes)
            .map_err(|_| Failure::corrupt(format!("{CONFIGURATION_KEY} is not UTF-8: push it again")))?;
        let rules = Arc::new(Rules::pushed(&text)?);
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&rules), now));
        Ok(Some(rules))
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
