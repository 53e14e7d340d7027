//! Files land in S3: each is put on record once, grouped with others of its feed, and handed on.
//!
//! - a message of the file event queue: what S3 saw goes on record; then the feeds of it are planned
//! - a message of the file result queue: what a worker says about a work item goes on record
//! - the clock: every feed is planned; a feed whose files are late is told about
//!
//! A message that cannot be read goes to the dead-letter queue with the reason; one that AWS refused now is delivered again
//! alone.

mod catalog;
mod plan;

use std::{collections::BTreeSet, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shiftwork_aws::{environment, notices::NoticesEnvironment};
use shiftwork_feeds::{
    Batches, Ending, event,
    feed::{Feed, Feeds},
};
use shiftwork_ports::{
    Bucket, Cache, Catalog, Clock, DEAD_LETTER_BYTES, DeadLetters, FileRegister, Notices, Objects, Requests, Result,
    WorkQueue,
    messages::{self, BatchResponse, Message},
};
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{Entry, FileRecord, FileStatus, UNCLAIMED},
    payload::PlanRequest,
    s3_event::ObjectEvent,
    work_item::{Completion, Outcome},
};

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub file_audit_table: String,
        pub file_dead_letter_queue_url: String,
        pub file_work_queue_url: String,
        pub notices: NoticesEnvironment,
        pub request_queue_url: String,
        pub scripts_bucket: String,
    }
}

/// Messages at once.
const AT_ONCE: usize = 16;

/// A message that cannot be read, as it is put into the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableMessage {
    /// What is wrong with it.
    pub reason: String,
    /// Its id in the queue that it came from.
    pub message_id: String,
    /// The queue that it came from.
    pub source: String,
    /// Its body, cut where a message cannot hold it.
    pub body: String,
}

/// The function.
pub struct Intake {
    batches: Batches,
    objects: Arc<dyn Objects>,
    feeds: Catalog<Feed, Feeds>,
    requests: Arc<dyn Requests>,
    items: Arc<dyn WorkQueue>,
    dead_letters: Arc<dyn DeadLetters>,
    notices: Arc<dyn Notices>,
    clock: Arc<dyn Clock>,
    /// Runs that were asked for and feeds that were planned, until when they need not be again.
    lately: Cache<String, ()>,
}

impl Intake {
    /// Over these collaborators.
    #[allow(clippy::too_many_arguments, reason = "one a collaborator")]
    pub fn new(
        register: Arc<dyn FileRegister>,
        objects: Arc<dyn Objects>,
        scripts: Bucket,
        requests: Arc<dyn Requests>,
        items: Arc<dyn WorkQueue>,
        dead_letters: Arc<dyn DeadLetters>,
        notices: Arc<dyn Notices>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            batches: Batches { register, clock: clock.clone() },
            objects,
            feeds: catalog::feeds(scripts),
            requests,
            items,
            dead_letters,
            notices,
            clock,
            lately: Cache::default(),
        }
    }

    /// Takes messages, or plans.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        if event.get("plan").is_some() {
            let request = PlanRequest::deserialize(&event).map_err(|error| {
                Failure::new(FailureKind::InvalidRequest, format!("the plan request cannot be read: {error}"))
            })?;
            let feeds = self.feeds.newest(self.clock.now()).await?;
            let wanted = feeds.iter().filter(|feed| request.plan == "all" || feed.feed == request.plan);
            return self
                .plan_all(&feeds, wanted.map(|feed| feed.feed.clone()).collect())
                .await
                .map(|planned| json!(planned));
        }
        match messages::of_event(&event)? {
            Some(messages) => Ok(json!(self.messages(&messages).await?)),
            None => {
                let words = "the event is neither messages of a queue nor {\"plan\": \"all\"}";
                Err(Failure::new(FailureKind::InvalidRequest, words))
            }
        }
    }

    async fn messages(&self, messages: &[Message]) -> Result<BatchResponse> {
        let feeds = self.feeds.newest(self.clock.now()).await?;
        let (touched, response) =
            messages::each(messages, AT_ONCE, async |message| self.message(message, &feeds).await).await;
        let touched = touched.into_iter().flatten().collect();
        // The files are on record; a plan that fails now is made by the clock.
        if let Err(failure) = self.plan_touched(&feeds, touched).await {
            tracing::warn!(failure = failure.kind.name(), "the feeds are planned later: {failure}");
        }
        Ok(response)
    }

    /// Handles one message, and returns the feeds that have new files.
    async fn message(&self, message: &Message, feeds: &Feeds) -> Result<BTreeSet<String>> {
        match event::read(&message.body) {
            Ok(event::Message::Objects(events)) => self.register(events, feeds).await,
            Ok(event::Message::Completed(completion)) => self.complete(&completion).await,
            Err(failure) => self.refuse(message, failure.message).await,
        }
    }

    async fn register(&self, events: Vec<ObjectEvent>, feeds: &Feeds) -> Result<BTreeSet<String>> {
        let mut touched = BTreeSet::new();
        for event in events {
            let entry = event::entry(event, feeds, self.clock.now());
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

    /// Records what a worker did with the files of a batch. Files that the batch no longer has stay as they are.
    async fn complete(&self, completion: &Completion) -> Result<BTreeSet<String>> {
        let Completion { feed, batch, .. } = completion;
        let ending = |file: &FileRecord| match completion.of(file) {
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

    /// Another try changes nothing: the message goes to the dead-letter queue with the reason.
    async fn refuse(&self, message: &Message, reason: String) -> Result<BTreeSet<String>> {
        tracing::error!(message = message.id, reason, "the message cannot be read");
        let body = message.body.as_str();
        let unreadable = |bytes: usize| UnreadableMessage {
            reason: reason.clone(),
            message_id: message.id.clone(),
            source: message.queue_arn.clone(),
            body: body[..body.floor_char_boundary(bytes)].to_owned(),
        };
        // JSON escapes the body once more, which makes at most six bytes of one.
        let whole = serde_json::to_string(&unreadable(body.len())).unwrap_or_default();
        let text = if whole.len() <= DEAD_LETTER_BYTES {
            whole
        } else {
            serde_json::to_string(&unreadable(DEAD_LETTER_BYTES / 6 - 1024)).unwrap_or_default()
        };
        self.dead_letters.put(&[text]).await.map(|()| BTreeSet::new())
    }
}

#[cfg(test)]
mod tests;
