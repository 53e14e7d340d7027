//! The Lambda function `file-intake`. It registers files that are created in S3, groups the files of a feed into batches, and requests runs
//! or sends work items for complete batches. It handles three events:
//!
//! - Messages of the file event queue: the objects of the S3 events are registered, and their feeds are planned.
//! - Messages of the file result queue: the results of workers are recorded.
//! - The schedule, `{"plan": "all"}`: all feeds are planned, and a notification is sent for each feed whose files are late.
//!
//! A message that is not valid is moved to the dead-letter queue with the reason. A message for which a request to AWS failed is reported
//! in `batchItemFailures`, so that SQS delivers only this message again.

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
    file::{Deletion, Entry, FileRecord, FileStatus, UNCLAIMED},
    payload::PlanRequest,
    s3_event::{ObjectEvent, UnreadableRecord},
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

/// Maximum number of messages that are handled concurrently.
const AT_ONCE: usize = 16;

/// A message of the dead-letter queue: a message that is not valid, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableMessage {
    /// Reason why the message is not valid.
    pub reason: String,
    /// Id of the message in its source queue.
    pub message_id: String,
    /// ARN of the source queue.
    pub source: String,
    /// Body of the message, truncated if the dead letter would exceed the size of an SQS message.
    pub body: String,
}

/// The handler of the function.
pub struct Intake {
    batches: Batches,
    objects: Arc<dyn Objects>,
    feeds: Catalog<Feed, Feeds>,
    requests: Arc<dyn Requests>,
    items: Arc<dyn WorkQueue>,
    dead_letters: Arc<dyn DeadLetters>,
    notices: Arc<dyn Notices>,
    clock: Arc<dyn Clock>,
    /// Run ids that were requested and feeds that were planned, until the time at which they may be requested or planned again.
    recent: Cache<String, ()>,
}

impl Intake {
    /// Creates the handler. `scripts` is the bucket of the feeds.
    #[allow(clippy::too_many_arguments, reason = "one argument for each port")]
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
            recent: Cache::default(),
        }
    }

    /// Handles a batch of SQS messages or a request to plan.
    pub async fn handle(&self, event: Value) -> Result<Value> {
        if event.get("plan").is_some() {
            let request = PlanRequest::deserialize(&event).map_err(|error| {
                Failure::new(FailureKind::InvalidRequest, format!("the plan request is not valid: {error}"))
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
                let message =
                    "the event is neither a batch of SQS messages nor a plan request such as {\"plan\": \"all\"}";
                Err(Failure::new(FailureKind::InvalidRequest, message))
            }
        }
    }

    async fn messages(&self, messages: &[Message]) -> Result<BatchResponse> {
        let feeds = self.feeds.newest(self.clock.now()).await?;
        let (touched, response) =
            messages::each(messages, AT_ONCE, async |message| self.message(message, &feeds).await).await;
        let touched = touched.into_iter().flatten().collect();
        // The files are registered, so the messages succeed. The schedule plans the feeds again.
        if let Err(failure) = self.plan_touched(&feeds, touched).await {
            tracing::warn!(failure = failure.kind.name(), "the feeds could not be planned: {failure}");
        }
        Ok(response)
    }

    /// Handles one message, and returns the feeds that have new files.
    async fn message(&self, message: &Message, feeds: &Feeds) -> Result<BTreeSet<String>> {
        match event::read(&message.body) {
            Ok(event::Message::Objects(events)) => {
                for UnreadableRecord { record, failure } in events.unreadable {
                    let message = Message { body: json!({ "Records": [record] }).to_string(), ..message.clone() };
                    self.refuse(&message, failure.message).await?;
                }
                self.register(events.readable, feeds).await
            }
            Ok(event::Message::Completed(completion)) => self.complete(&completion).await,
            Err(failure) => self.refuse(message, failure.message).await,
        }
    }

    async fn register(&self, events: Vec<ObjectEvent>, feeds: &Feeds) -> Result<BTreeSet<String>> {
        let mut touched = BTreeSet::new();
        for event in events {
            if event::is_folder(&event) {
                tracing::info!(key = event.key, "an empty object that stands for a folder is not a file");
                continue;
            }
            let entry = event::entry(event, feeds, self.clock.now());
            let new = self.batches.register.put(&entry).await?;
            let (feed, key, object) = match &entry {
                Entry::File(file) => (&file.feed, &file.key, "file"),
                Entry::Deletion(deletion) => (&deletion.feed, &deletion.key, "deletion"),
            };
            tracing::info!(feed, key, new, "{object} registered");
            // The deletion of a version or of a delete marker can uncover an older content of the key.
            if let Entry::Deletion(Deletion { feed, bucket, key, version_id: Some(_), .. }) = &entry
                && self.batches.open_current(feed, bucket, key).await?
            {
                tracing::info!(feed, key, "the key has an earlier content again: file opened");
            }
            if feed != UNCLAIMED {
                touched.insert(feed.clone());
            }
        }
        Ok(touched)
    }

    /// Records a worker's result for the files of a batch. Files that have left the batch are not changed.
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
        let quarantined = completion.files.iter().filter(|file| file.outcome == Outcome::Quarantined).count();
        tracing::info!(feed, batch, files, quarantined, "work item completed");
        Ok(BTreeSet::new())
    }

    /// Moves a message that is not valid to the dead-letter queue, because a retry cannot succeed.
    async fn refuse(&self, message: &Message, reason: String) -> Result<BTreeSet<String>> {
        // The reason can quote the message. The dead-letter queue has it.
        tracing::error!("the message is not valid: see the dead-letter queue");
        let body = message.body.as_str();
        let unreadable = |bytes: usize| UnreadableMessage {
            reason: reason.clone(),
            message_id: message.id.clone(),
            source: message.queue_arn.clone(),
            body: body[..body.floor_char_boundary(bytes)].to_owned(),
        };
        // The body is escaped as a JSON string, in which one byte becomes at most six.
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
