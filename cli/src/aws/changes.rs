//! Change data that needs a replay: messages in the dead-letter queue, and records that no contract claims.

use anyhow::Context as _;
use aws_sdk_sqs::{Client, types::MessageSystemAttributeName};
use aws_types::SdkConfig;
use jiff::Timestamp;
use serde_json::{Value, json};
use shiftwork_protocol::keys::UNCLAIMED;

use super::{Outputs, failed};

/// Maximum number of messages per receive (SQS API reference).
const RECEIVED: i32 = 10;

/// The queues of change data and the staging bucket.
#[derive(Debug, Clone)]
pub struct Changes {
    sqs: Client,
    s3: aws_sdk_s3::Client,
    queue: String,
    dead_letters: String,
    bucket: String,
}

/// A received message of the dead-letter queue. It is invisible to other receivers until its visibility timeout ends.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The SQS message id.
    pub id: String,
    /// The message body.
    pub body: String,
    /// When the message was sent to the queue.
    pub sent: Timestamp,
    handle: String,
}

/// A staged file of unclaimed records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclaimedFile {
    /// S3 key in the staging bucket.
    pub key: String,
    version: String,
}

impl Changes {
    pub(super) fn new(config: &SdkConfig, outputs: &Outputs) -> Self {
        Self {
            sqs: Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
            queue: outputs.change_queue.clone(),
            dead_letters: outputs.change_dead_letter_queue.clone(),
            bucket: outputs.staging_bucket.clone(),
        }
    }

    /// Receives dead letters; the result is empty when no more are visible.
    pub async fn receive(&self) -> anyhow::Result<Vec<DeadLetter>> {
        let receive = self.sqs.receive_message().queue_url(&self.dead_letters).max_number_of_messages(RECEIVED);
        let received = receive
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .wait_time_seconds(1)
            .send()
            .await;
        let received = received.map_err(|error| failed("SQS ReceiveMessage", &self.dead_letters, &error))?;
        let dead_letter = |message: aws_sdk_sqs::types::Message| {
            let sent = message.attributes.as_ref().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
            let sent = sent.and_then(|millis| Timestamp::from_millisecond(millis.parse().ok()?).ok());
            let sent = sent.unwrap_or(Timestamp::UNIX_EPOCH);
            let (id, handle) = (message.message_id.unwrap_or_default(), message.receipt_handle.unwrap_or_default());
            DeadLetter { id, body: message.body.unwrap_or_default(), sent, handle }
        };
        Ok(received.messages.unwrap_or_default().into_iter().map(dead_letter).collect())
    }

    /// Sends a message to the change queue, then deletes the dead letter that contained it.
    pub async fn send_again(&self, body: &str, dead_letter: &DeadLetter) -> anyhow::Result<()> {
        self.send(body).await?;
        let delete = self.sqs.delete_message().queue_url(&self.dead_letters).receipt_handle(&dead_letter.handle);
        delete.send().await.map_err(|error| failed("SQS DeleteMessage", &self.dead_letters, &error))?;
        Ok(())
    }

    /// Makes a dead letter visible to other receivers again.
    pub async fn put_back(&self, dead_letter: &DeadLetter) -> anyhow::Result<()> {
        let show =
            self.sqs.change_message_visibility().queue_url(&self.dead_letters).receipt_handle(&dead_letter.handle);
        let shown = show.visibility_timeout(0).send().await;
        shown.map_err(|error| failed("SQS ChangeMessageVisibility", &self.dead_letters, &error))?;
        Ok(())
    }

    /// All files of unclaimed records.
    pub async fn unclaimed(&self) -> anyhow::Result<Vec<UnclaimedFile>> {
        let mut files = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let list = self.s3.list_object_versions().bucket(&self.bucket).prefix(UNCLAIMED);
            let page = list.set_key_marker(key.take()).set_version_id_marker(version.take()).send().await;
            let page = page.map_err(|error| failed("S3 ListObjectVersions", &self.bucket, &error))?;
            files.extend(page.versions().iter().filter(|object| object.is_latest() == Some(true)).filter_map(
                |object| Some(UnclaimedFile { key: object.key()?.into(), version: object.version_id()?.into() }),
            ));
            if page.is_truncated() != Some(true) {
                return Ok(files);
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
            key.as_ref().context("S3 ListObjectVersions: a truncated page without a marker for the next page")?;
        }
    }

    /// Notifies the change-data loader of a file of unclaimed records, then deletes the file. Its version can still be
    /// read.
    pub async fn send_file(&self, file: &UnclaimedFile) -> anyhow::Result<()> {
        self.send(&self.notice(file).to_string()).await?;
        let deleted = self.s3.delete_object().bucket(&self.bucket).key(&file.key).send().await;
        deleted.map_err(|error| failed("S3 DeleteObject", &format!("s3://{}/{}", self.bucket, file.key), &error))?;
        Ok(())
    }

    /// The event that S3 sends through EventBridge for a created object.
    fn notice(&self, UnclaimedFile { key, version }: &UnclaimedFile) -> Value {
        let object = json!({ "key": key, "version-id": version });
        json!({
            "source": "aws.s3",
            "detail-type": "Object Created",
            "time": Timestamp::now(),
            "detail": { "bucket": { "name": self.bucket }, "object": object },
        })
    }

    async fn send(&self, body: &str) -> anyhow::Result<()> {
        let sent = self.sqs.send_message().queue_url(&self.queue).message_body(body).send().await;
        sent.map_err(|error| failed("SQS SendMessage", &self.queue, &error))?;
        Ok(())
    }
}
