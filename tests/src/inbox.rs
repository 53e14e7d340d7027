use std::{sync::Arc, time::Duration};

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::Stack;

/// How long a message may be under way.
const DELIVERY_SECONDS: u64 = 30;

/// A queue of the test's own, that hears what a stranger could hear.
pub struct Inbox {
    stack: Arc<Stack>,
    url: String,
    /// What came in so far.
    heard: Mutex<Vec<Value>>,
}

impl Inbox {
    /// Hears the events on the stack's bus that match a pattern.
    pub async fn of_events(stack: &Arc<Stack>, pattern: &Value) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let name = Stack::unique("e2e");
        let rule = stack.events.put_rule().name(&name).event_bus_name(stack.output("EventBus"));
        rule.event_pattern(pattern.to_string()).send().await.expect("EventBridge takes the rule");
        let target = Target::builder().id("inbox").arn(arn).build().expect("a target has an id and an ARN");
        let targets = stack.events.put_targets().rule(&name).event_bus_name(stack.output("EventBus")).targets(target);
        targets.send().await.expect("EventBridge takes the target");
        inbox
    }

    /// Hears what people are told of failures.
    pub async fn of_alerts(stack: &Arc<Stack>) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let subscribe = stack.sns.subscribe().topic_arn(stack.output("FailureTopic")).protocol("sqs").endpoint(arn);
        subscribe.send().await.expect("SNS takes the subscription");
        inbox
    }

    /// Hears what a topic says, and what S3 says of a bucket on EventBridge.
    pub async fn of_bucket(stack: &Arc<Stack>, bucket: &str, topic: &str) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let subscribe = stack.sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(&arn);
        subscribe.send().await.expect("SNS takes the subscription");
        let name = Stack::unique("e2e");
        let pattern = json!({ "source": ["aws.s3"], "detail": { "bucket": { "name": [bucket] } } });
        let rule = stack.events.put_rule().name(&name).event_pattern(pattern.to_string());
        rule.send().await.expect("EventBridge takes the rule");
        let target = Target::builder().id("inbox").arn(arn).build().expect("a target has an id and an ARN");
        stack.events.put_targets().rule(&name).targets(target).send().await.expect("EventBridge takes the target");
        inbox
    }

    async fn open(stack: &Arc<Stack>) -> (Self, String) {
        let queue = stack.sqs.create_queue().queue_name(Stack::unique("e2e")).send().await;
        let url = queue.expect("SQS takes a queue").queue_url().expect("a queue has a URL").to_owned();
        let attributes = stack.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let attributes = attributes.send().await.expect("SQS describes a queue");
        let arn = attributes.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn)).cloned();
        let arn = arn.expect("a queue has an ARN");
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage",
            "Resource": arn, "Principal": { "Service": ["events.amazonaws.com", "sns.amazonaws.com"] } }] });
        let allow = stack.sqs.set_queue_attributes().queue_url(&url);
        let allow = allow.attributes(QueueAttributeName::Policy, policy.to_string());
        allow.send().await.expect("SQS takes the policy");
        (Self { stack: Arc::clone(stack), url, heard: Mutex::default() }, arn)
    }

    /// Waits for the first message that `picks` takes something from.
    pub async fn wait<T>(&self, what: &str, picks: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let all = self.heard().await;
            if let Some(picked) = all.iter().find_map(&picks) {
                return picked;
            }
            assert!(begun.elapsed().as_secs() < DELIVERY_SECONDS, "never heard of {what}; heard {}", json!(all));
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// Everything that came in until now. An alert is its notification: `Subject` and `Message`.
    pub async fn heard(&self) -> Vec<Value> {
        let mut heard = self.heard.lock().await;
        loop {
            let receive = self.stack.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let received = receive.send().await.expect("SQS gives messages");
            if received.messages().is_empty() {
                return heard.clone();
            }
            for message in received.messages() {
                heard.push(serde_json::from_str(message.body().unwrap_or_default()).unwrap_or_default());
                let delete = self.stack.sqs.delete_message().queue_url(&self.url);
                let delete = delete.receipt_handle(message.receipt_handle().unwrap_or_default());
                delete.send().await.expect("SQS forgets a message");
            }
        }
    }
}
