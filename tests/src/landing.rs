use std::{sync::Arc, time::Duration};

use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Event, EventBridgeConfiguration, FilterRule, FilterRuleName,
    NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use serde_json::json;
use shiftwork_aws::files::DynamoRegister;
use shiftwork_ports::FileRegister as _;
use shiftwork_protocol::file::{FileRecord, FileStatus};
use tokio::time::{Instant, sleep};

use crate::{Flow, Stack};

/// Maximum time from the landing of a file to its final status.
const MAX_WAIT: Duration = Duration::from_secs(150);
/// A bucket with S3 event notifications to the queue; `make up` passes its name to the template.
pub const LANDING: &str = "shiftwork-landing";
/// A bucket with notifications through EventBridge.
pub const LANDING_BUS: &str = "shiftwork-landing-bus";
/// A bucket with notifications through an SNS topic.
pub const LANDING_TOPIC: &str = "shiftwork-landing-topic";

/// A bucket with notifications through EventBridge, and additionally to the queue or a topic for two prefixes.
pub const LANDING_BOTH: &str = "shiftwork-landing-both";

/// A feed of CSV files with a header line.
const CSV: &str = "keys: \"{s}/**.csv\"\nformat: csv\nheader_lines: 1\n";
/// A feed of Parquet files.
const PARQUET: &str = "keys: \"{s}/**.parquet\"\nformat: parquet\n";

/// A pushed feed with a separate workflow and schema; its files have the prefix `<feed>/`.
pub struct Landing {
    /// The workflow that loads the files in a job `files`.
    pub flow: Flow,
    /// The landing bucket.
    pub bucket: &'static str,
    /// The register of files.
    pub register: DynamoRegister,
}

impl Stack {
    /// Pushes a feed of CSV files with the columns `n` and `word`, whose workflow loads them into `{s}.t`. `{s}` is the
    /// name of the feed, of the workflow and of the schema; `feed` is additional YAML of the feed.
    pub async fn landing(self: &Arc<Self>, label: &str, bucket: &'static str, feed: &str) -> Landing {
        self.feed(label, bucket, &format!("{CSV}{feed}")).await
    }

    /// Like [`Stack::landing`], with Parquet files.
    pub async fn parquet_landing(self: &Arc<Self>, label: &str, bucket: &'static str, feed: &str) -> Landing {
        self.feed(label, bucket, &format!("{PARQUET}{feed}")).await
    }

    async fn feed(self: &Arc<Self>, label: &str, bucket: &'static str, feed: &str) -> Landing {
        self.make_bucket(bucket).await;
        let workflow = json!({ "on_overlap": "queue", "workflow_stages": [{ "execution_type": "sequential", "scripts": [
            { "job_name": "files", "kind": "copy", "files": "pending({s})" } ] }] });
        let flow = self.push(label, workflow, &[]).await;
        flow.sql("create schema {s}").await;
        flow.sql("create table {s}.t (n int, word varchar(20))").await;
        let head = "feed: {s}\nbucket: {b}\ntable: \"{s}.t\"\n";
        let text = format!("{head}{feed}").replace("{s}", &flow.id).replace("{b}", bucket);
        let put = self.s3.put_object().bucket(self.output("ScriptsBucket")).key(format!("feeds/{}.yaml", flow.id));
        put.body(text.into_bytes().into()).send().await.expect("the feed can be put into the scripts bucket");
        let register = DynamoRegister::new(self.config(), self.output("FileAuditTable"));
        Landing { flow, bucket, register }
    }

    /// Creates a landing bucket with its notifications.
    async fn make_bucket(&self, bucket: &str) {
        let region = self.config().region().map(ToString::to_string).unwrap_or_default();
        let mut create = self.s3.create_bucket().bucket(bucket);
        if region != "us-east-1" {
            let place = BucketLocationConstraint::from(region.as_str());
            create = create
                .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(place).build());
        }
        // The bucket may exist from an earlier test.
        drop(create.send().await);
        let queue = self.output("FileEventQueueArn");
        let events = [Event::from("s3:ObjectCreated:*"), Event::from("s3:ObjectRemoved:*")];
        let configuration = NotificationConfiguration::builder();
        let configuration = match bucket {
            LANDING_BUS | LANDING_BOTH => {
                configuration.event_bridge_configuration(EventBridgeConfiguration::builder().build())
            }
            LANDING_TOPIC => {
                let topic = self.topic_to("shiftwork-landing", queue).await;
                let to = TopicConfiguration::builder().topic_arn(topic).set_events(Some(events.into()));
                configuration.topic_configurations(to.build().expect("a topic and its events"))
            }
            _ => {
                let to = QueueConfiguration::builder().queue_arn(queue).set_events(Some(events.into()));
                configuration.queue_configurations(to.build().expect("a queue and its events"))
            }
        };
        let put = self.s3.put_bucket_notification_configuration().bucket(bucket);
        put.notification_configuration(configuration.build())
            .send()
            .await
            .expect("the notifications can be configured");
    }

    /// Configures notifications of the bucket [`LANDING_BOTH`] through EventBridge, and additionally to the queue of
    /// file events for the prefix `to_queue`, and to a topic with raw delivery to that queue for the prefix `to_topic`.
    /// Returns the ARN of the topic.
    ///
    /// S3 does not allow overlapping destinations besides EventBridge, so a file has at most two notifications.
    pub async fn notify_twice(&self, to_queue: &str, to_topic: &str) -> String {
        let queue = self.output("FileEventQueueArn");
        let topic = self.topic_to("shiftwork-landing-both", queue).await;
        let subscriptions = self.sns.list_subscriptions_by_topic().topic_arn(&topic).send().await;
        for subscription in subscriptions.expect("a topic has subscriptions").subscriptions() {
            let raw =
                self.sns.set_subscription_attributes().attribute_name("RawMessageDelivery").attribute_value("true");
            raw.subscription_arn(subscription.subscription_arn().unwrap_or_default())
                .send()
                .await
                .expect("raw delivery can be enabled");
        }
        let events: Vec<_> = [Event::from("s3:ObjectCreated:*"), Event::from("s3:ObjectRemoved:*")].into();
        let below = |prefix: &str| {
            let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
            let key = S3KeyFilter::builder().filter_rules(rule).build();
            NotificationConfigurationFilter::builder().key(key).build()
        };
        let queue = QueueConfiguration::builder().queue_arn(queue).set_events(Some(events.clone()));
        let to_topic = TopicConfiguration::builder().topic_arn(&topic).set_events(Some(events)).filter(below(to_topic));
        let both = NotificationConfiguration::builder()
            .event_bridge_configuration(EventBridgeConfiguration::builder().build())
            .queue_configurations(queue.filter(below(to_queue)).build().expect("a queue and its events"))
            .topic_configurations(to_topic.build().expect("a topic and its events"));
        let put = self.s3.put_bucket_notification_configuration().bucket(LANDING_BOTH);
        put.notification_configuration(both.build()).send().await.expect("the notifications can be configured");
        topic
    }

    async fn topic_to(&self, name: &str, queue: &str) -> String {
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sns:Publish", "Resource": "*" }] });
        let topic = self.sns.create_topic().name(name).attributes("Policy", policy.to_string()).send().await;
        let topic = topic.expect("the topic can be created").topic_arn.expect("a topic has an ARN");
        let subscribe = self.sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(queue);
        subscribe.send().await.expect("the queue can be subscribed");
        topic
    }
}

impl Landing {
    /// The name of the feed.
    pub fn feed(&self) -> &str {
        &self.flow.id
    }

    /// Puts a file with the prefix `<feed>/`.
    pub async fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let put = self.flow.stack.s3.put_object().bucket(self.bucket).key(self.key(name));
        put.body(content.as_ref().to_vec().into()).send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }

    /// Deletes a file.
    pub async fn delete(&self, name: &str) {
        let delete = self.flow.stack.s3.delete_object().bucket(self.bucket).key(self.key(name));
        delete.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }

    /// The S3 key of a file.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.feed())
    }

    /// All registered files, ordered by key.
    pub async fn files(&self) -> Vec<FileRecord> {
        let files = self.register.since(self.feed(), jiff::Timestamp::UNIX_EPOCH, 10_000).await;
        let mut files = files.expect("the register can be read");
        files.sort_by(|a, b| (&a.key, &a.sequencer).cmp(&(&b.key, &b.sequencer)));
        files
    }

    /// Waits until this number of files is registered and all have a final status, and returns them. Invokes the
    /// planning, as the schedule does.
    pub async fn settled(&self, files: usize) -> Vec<FileRecord> {
        let done = |all: &[FileRecord]| all.len() >= files && all.iter().all(|file| !file.file_status.is_open());
        self.until(&format!("{files} files with a final status"), done).await
    }

    /// Waits until the registered files meet a condition.
    pub async fn until(&self, wanted: &str, holds: impl Fn(&[FileRecord]) -> bool) -> Vec<FileRecord> {
        let begun = Instant::now();
        loop {
            let all = self.files().await;
            if holds(&all) {
                return all;
            }
            let stand: Vec<_> = all.iter().map(|file| (&file.key, file.file_status, &file.reason)).collect();
            assert!(begun.elapsed() < MAX_WAIT, "{}: expected {wanted}: {stand:#?}", self.feed());
            // The invocation may fail because of a requested fault.
            drop(self.flow.stack.invoke("FileIntakeFunction", &json!({ "plan": self.feed() })).await);
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The values of `n` in the table, sorted.
    pub async fn rows(&self) -> Vec<i64> {
        self.flow.traces().await
    }
}

/// Number of files with this status.
pub fn count(files: &[FileRecord], status: FileStatus) -> usize {
    files.iter().filter(|file| file.file_status == status).count()
}
