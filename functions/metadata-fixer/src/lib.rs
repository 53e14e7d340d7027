//! Fixes a metadata file of a document when it lands in S3, and moves it to the key at which the index reads it.
//!
//! This crate reads keys from events; [`shiftwork_search_metadata`] processes each key, and documents why that is idempotent.

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
use shiftwork_search_metadata::{Fixer, Outcome, Problem, Rules};
use tokio::sync::OnceCell;

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub documents_bucket: String,
        pub scripts_bucket: String,
    }
}

/// Number of messages that are processed concurrently.
const AT_ONCE: usize = 8;
/// How long a configuration is cached. A push takes effect within this time.
const CACHED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// The metadata fixer: processes the keys of events, with a cached configuration.
pub struct MetadataFixer {
    documents: Bucket,
    configuration: Bucket,
    clock: Arc<dyn Clock>,
    rules: Cache<(), Arc<Rules>>,
}

impl MetadataFixer {
    /// Creates the function for a bucket of documents; `configuration` is the scripts bucket, which holds the configuration.
    pub fn new(documents: Bucket, configuration: Bucket, clock: Arc<dyn Clock>) -> Self {
        Self { documents, configuration, clock, rules: Cache::default() }
    }

    /// Processes an event of EventBridge, or a batch of messages of SQS. The result of a batch is its partial batch response.
    ///
    /// # Errors
    /// The event has another form, or its keys cannot be processed. Failures of single messages are in the response.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        let results = Results::default();
        match messages::of_event(&event)? {
            Some(messages) => {
                let (_, response) =
                    messages::each(&messages, AT_ONCE, async |Message { body, .. }| self.message(body, &results).await)
                        .await;
                Ok(json!(response))
            }
            None => self.message(&event.to_string(), &results).await.map(|()| Value::Null),
        }
    }

    /// Processes all keys of a message, and returns the first failure. A key in several messages is processed once.
    async fn message(&self, message: &str, results: &Results) -> Result<()> {
        let (keys, mut result) = incoming::keys(message, self.documents.name())?;
        for key in keys {
            let of_key = results.of(&key).get_or_init(|| self.process(&key)).await.clone();
            result = result.and(of_key);
        }
        result
    }

    async fn process(&self, key: &str) -> Result<()> {
        let Some(rules) = self.rules().await? else {
            // `shiftwork metadata fix` processes the files that landed before the first push.
            tracing::warn!(key, "no repositories are configured: configure them with `shiftwork metadata push`");
            return Ok(());
        };
        let outcome = Fixer { rules, documents: self.documents.clone() }.process(key).await?;
        log(key, &outcome);
        Ok(())
    }

    /// The pushed configuration, at most [`CACHED_FOR`] old; `None` if none was pushed.
    async fn rules(&self) -> Result<Option<Arc<Rules>>> {
        let now = self.clock.now();
        if let Some(rules) = self.rules.get(&(), now) {
            return Ok(Some(rules));
        }
        let Some(found) = self.configuration.read(REPOSITORIES_KEY).await? else { return Ok(None) };
        let text = String::from_utf8(found.bytes)
            .map_err(|_| Failure::corrupt(format!("{REPOSITORIES_KEY} is not UTF-8: push it again")))?;
        let rules = Arc::new(Rules::pushed(&text)?);
        self.rules.put((), Arc::clone(&rules), now + CACHED_FOR);
        Ok(Some(rules))
    }
}

/// The results of one invocation by key.
#[derive(Default)]
struct Results(Mutex<BTreeMap<String, Arc<OnceCell<Result<()>>>>>);

impl Results {
    fn of(&self, key: &str) -> Arc<OnceCell<Result<()>>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.to_owned()).or_default())
    }
}

/// The metric of files that concern who may see a document and cannot be fixed; MetadataAccessAlarm of the template watches it.
pub const ACCESS_METRIC: &str = "MetadataAccessUnfixed";

/// The names of the fields with problems. Values can be confidential, and are in the reason file, which IAM protects.
fn fields(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>().join(", ")
}

/// Writes one log record for a key.
fn log(key: &str, outcome: &Outcome) {
    let name = outcome.as_str();
    match outcome {
        Outcome::Foreign
        | Outcome::Gone
        | Outcome::Waiting
        | Outcome::Valid
        | Outcome::Stub
        | Outcome::Unrecognized => {
            tracing::info!(key, outcome = name);
        }
        Outcome::Written { key: now, from, fixes } => {
            let fixes: Vec<_> = fixes.iter().map(|fix| format!("{} {}", fix.kind.as_str(), fix.field)).collect();
            tracing::info!(key, outcome = name, now, moved = from.is_some(), changes = fixes.join(", "));
        }
        Outcome::Retired { source } => tracing::info!(key, outcome = name, source),
        Outcome::Quarantined { key: now, problems, restricts: false, .. } => {
            tracing::warn!(key, outcome = name, now, problems = problems.len(), fields = fields(problems));
        }
        Outcome::Quarantined { key: now, problems, restricts: true, stubs } => {
            let (closed, count) = (stubs.join(", "), problems.len());
            tracing::warn!(
                metric = ACCESS_METRIC,
                key,
                outcome = name,
                now,
                closed,
                problems = count,
                fields = fields(problems)
            );
        }
        Outcome::Left { problems } => {
            tracing::warn!(
                metric = ACCESS_METRIC,
                key,
                outcome = name,
                problems = problems.len(),
                fields = fields(problems)
            );
        }
    }
}

#[cfg(test)]
mod tests;
