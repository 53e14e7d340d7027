//! Files land in S3: each is put on record once, grouped with others of its feed, and handed on.
//!
//! - a message of the file event queue: what S3 saw goes on record; then the feeds of it are planned
//! - a message of the file result queue: what a worker says about a work item goes on record
//! - the clock: every feed is planned; a feed whose files are late is told about
//!
//! A message that nobody can read goes to the dead-letter queue with the reason; one that AWS could not take now is given
//! back alone.

mod catalog;
mod plan;

use std::{collections::BTreeSet, sync::Arc};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shiftwork_feeds::{
    Batches, Ending, Entry, FileRegister, FileStatus, Landing, Message, ObjectEvent, UNCLAIMED, WorkQueue, event,
    feed::Feeds,
    item::{Completion, Outcome},
};
use shiftwork_ports::{Clock, DEAD_LETTER_BYTES, DeadLetters, Notices, Requests, Result, Scripts};
use shiftwork_protocol::{Failure, FailureKind, payload::PlanRequest};

use catalog::Catalog;
use plan::RecentRequests;

/// What it reads from its environment.
pub const ENVIRONMENT: &[&str] = &[
    "EVENT_BUS_NAME",
    "FAILURE_TOPIC_ARN",
    "FILE_AUDIT_TABLE",
    "FILE_DEAD_LETTER_QUEUE_URL",
    "FILE_WORK_QUEUE_URL",
    "REQUEST_QUEUE_URL",
    "SCRIPTS_BUCKET",
];

/// Messages at once.
const AT_ONCE: usize = 16;

/// A message that nobody can read, as the dead-letter queue gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableMessage {
    /// What is wrong with it.
    pub reason: String,
    /// Its id in the queue that it came from.
    pub message_id: String,
    /// The queue that it came from.
    pub source: String,
    /// Its body, as it came; cut where it is longer than a letter may be.
    pub body: String,
}

/// The function.
pub struct Intake {
    batches: Batches,
    landing: Arc<dyn Landing>,
    catalog: Catalog,
    requests: Arc<dyn Requests>,
    items: Arc<dyn WorkQueue>,
    dead_letters: Arc<dyn DeadLetters>,
    notices: Arc<dyn Notices>,
    clock: Arc<dyn Clock>,
    lately: RecentRequests,
}

impl Intake {
    /// Over these collaborators.
    #[allow(clippy::too_many_arguments, reason = "one a collaborator")]
    pub fn new(
        register: Arc<dyn FileRegister>,
        landing: Arc<dyn Landing>,
        scripts: Arc<dyn Scripts>,
        requests: Arc<dyn Requests>,
        items: Arc<dyn WorkQueue>,
        dead_letters: Arc<dyn DeadLetters>,
        notices: Arc<dyn Notices>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            batches: Batches { register, clock: clock.clone() },
            landing,
            catalog: Catalog::new(scripts),
            requests,
            items,
            dead_letters,
            notices,
            clock,
            lately: RecentRequests::default(),
        }
    }

    /// Takes messages, or plans.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        if event.get("plan").is_some() {
            let request = PlanRequest::deserialize(&event).map_err(|error| unreadable(&error))?;
            let feeds = self.catalog.feeds().await?;
            let wanted = feeds.iter().filter(|feed| request.plan == "all" || feed.feed == request.plan);
            return self
                .plan_all(&feeds, wanted.map(|feed| feed.feed.clone()).collect())
                .await
                .map(|planned| json!(planned));
        }
        let messages = SqsEvent::deserialize(&event).map_err(|error| unreadable(&error))?;
        Ok(json!(self.messages(messages.records).await?))
    }

    /// Each message stands for itself.
    async fn messages(&self, messages: Vec<SqsMessage>) -> Result<SqsBatchResponse> {
        let feeds = self.catalog.feeds().await?;
        let mut response = SqsBatchResponse::default();
        let mut touched = BTreeSet::new();
        let known = &feeds;
        let mut done = stream::iter(messages)
            .map(|message| async move {
                let id = message.message_id.clone().unwrap_or_default();
                let outcome = self.message(&message, known).await;
                (id, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((id, outcome)) = done.next().await {
            match outcome {
                Ok(of_feeds) => touched.extend(of_feeds),
                Err(failure) => {
                    tracing::error!(message = id, failure = failure.kind.name(), "{failure}");
                    let mut failed = BatchItemFailure::default();
                    failed.item_identifier = id;
                    response.batch_item_failures.push(failed);
                }
            }
        }
        // The files are on record; a plan that fails now is made by the clock.
        if let Err(failure) = self.plan_touched(&feeds, touched).await {
            tracing::warn!(failure = failure.kind.name(), "the feeds are planned later: {failure}");
        }
        Ok(response)
    }

    /// Takes one message, and answers the feeds that have something new.
    async fn message(&self, message: &SqsMessage, feeds: &Feeds) -> Result<BTreeSet<String>> {
        let body = message.body.as_deref().unwrap_or_default();
        match event::read(body) {
            Ok(Message::Seen(seen)) => self.register(seen, feeds).await,
            Ok(Message::Completed(completion)) => self.complete(&completion).await,
            Err(reason) => self.refuse(message, reason).await,
        }
    }

    async fn register(&self, seen: Vec<ObjectEvent>, feeds: &Feeds) -> Result<BTreeSet<String>> {
        let mut touched = BTreeSet::new();
        for sighting in seen {
            let entry = sighting.entry(feeds, self.clock.now());
            let new = self.batches.register.put(&entry).await?;
            let (feed, key, what) = match &entry {
                Entry::File(file) => (&file.feed, &file.key, "file"),
                Entry::Deletion(deletion) => (&deletion.feed, &deletion.key, "deletion"),
            };
            tracing::info!(feed, key, new, "{what} registered");
            if feed != UNCLAIMED {
                touched.insert(feed.clone());
            }
        }
        Ok(touched)
    }

    /// A worker says what became of files. Of those that it does not have any more it has nothing to say.
    async fn complete(&self, completion: &Completion) -> Result<BTreeSet<String>> {
        let Completion { feed, batch, .. } = completion;
        let ending = |file: &shiftwork_feeds::FileRecord| match completion.of(file) {
            None => Ending::Keep,
            Some((FileStatus::Processed, _)) => Ending::End(FileStatus::Processed, None),
            Some((to, reason)) => {
                Ending::End(to, Some(reason.unwrap_or_else(|| "the worker gave no reason".to_owned())))
            }
        };
        let files = self.batches.end(feed, batch, &ending).await?;
        let named = completion.files.iter().filter(|file| file.outcome == Outcome::Quarantined).count();
        tracing::info!(feed, batch, files, quarantined = named, "work item completed");
        Ok(BTreeSet::new())
    }

    /// Trying again changes nothing: the message goes where a person looks, with what is wrong.
    async fn refuse(&self, message: &SqsMessage, reason: String) -> Result<BTreeSet<String>> {
        let id = message.message_id.clone().unwrap_or_default();
        tracing::error!(message = id, reason, "a message that nobody can read");
        let body = message.body.as_deref().unwrap_or_default();
        let poison = |bytes: usize| UnreadableMessage {
            reason: reason.clone(),
            message_id: id.clone(),
            source: message.event_source_arn.clone().unwrap_or_default(),
            body: body[..body.floor_char_boundary(bytes)].to_owned(),
        };
        // A body is escaped once more on its way, and may grow: the longest that surely fits is a sixth of a letter.
        let whole = serde_json::to_string(&poison(body.len())).unwrap_or_default();
        let letter = if whole.len() <= DEAD_LETTER_BYTES {
            whole
        } else {
            serde_json::to_string(&poison(DEAD_LETTER_BYTES / 6 - 1024)).unwrap_or_default()
        };
        self.dead_letters.put(&[letter]).await.map(|()| BTreeSet::new())
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    let words = format!("neither messages of a queue nor {{\"plan\": \"all\"}}: {error}");
    Failure::new(FailureKind::InvalidRequest, words)
}

#[cfg(test)]
mod tests;
