use std::{sync::Arc, time::Duration};

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::Stack;

/// Maximum delivery time of a message in seconds.
const DELIVERY_SECONDS: u64 = 30;

/// A queue that receives the notifications of the stack, for one test.
pub struct Inbox {
    stack: Arc<Stack>,
    url: String,
    /// The messages that were received so far.
    received: Mutex<Vec<Value>>,
}

impl Inbox {
    /// Receives the events on the stack's event bus that match a pattern.
    pub async fn of_events(stack: &Arc<Stack>, pattern: &Value) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let name = Stack::unique("e2e");
        let rule = stack.events.put_rule().name(&name).event_bus_name(stack.output("EventBus"));
        rule.event_pattern(pattern.to_string()).send().await.expect("the rule can be created");
        let target = Target::builder().id("inbox").arn(arn).build().expect("a target has an id and an ARN");
        let targets = stack.events.put_targets().rule(&name).event_bus_name(stack.output("EventBus")).targets(target);
        targets.send().await.expect("the target can be created");
        inbox
    }

    /// Receives failure alerts.
    pub async fn of_alerts(stack: &Arc<Stack>) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let subscribe = stack.sns.subscribe().topic_arn(stack.output("FailureTopic")).protocol("sqs").endpoint(arn);
        subscribe.send().await.expect("the subscription can be created");
        inbox
    }

    /// Receives the messages of a topic, and the EventBridge events of a bucket.
    pub async fn of_bucket(stack: &Arc<Stack>, bucket: &str, topic: &str) -> Self {
        let (inbox, arn) = Self::open(stack).await;
        let subscribe = stack.sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(&arn);
        subscribe.send().await.expect("the subscription can be created");
        let name = Stack::unique("e2e");
        let pattern = json!({ "source": ["aws.s3"], "detail": { "bucket": { "name": [bucket] } } });
        let rule = stack.events.put_rule().name(&name).event_pattern(pattern.to_string());
        rule.send().await.expect("the rule can be created");
        let target = Target::builder().id("inbox").arn(arn).build().expect("a target has an id and an ARN");
        stack.events.put_targets().rule(&name).targets(target).send().await.expect("the target can be created");
        inbox
    }

    async fn open(stack: &Arc<Stack>) -> (Self, String) {
        let queue = stack.sqs.create_queue().queue_name(Stack::unique("e2e")).send().await;
        let url = queue.expect("the queue can be created").queue_url().expect("a queue has a URL").to_owned();
        let attributes = stack.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let attributes = attributes.send().await.expect("the attributes of the queue can be read");
        let arn = attributes.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn)).cloned();
        let arn = arn.expect("a queue has an ARN");
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage",
            "Resource": arn, "Principal": { "Service": ["events.amazonaws.com", "sns.amazonaws.com"] } }] });
        let allow = stack.sqs.set_queue_attributes().queue_url(&url);
        let allow = allow.attributes(QueueAttributeName::Policy, policy.to_string());
        allow.send().await.expect("the policy can be set");
        (Self { stack: Arc::clone(stack), url, received: Mutex::default() }, arn)
    }

    /// Waits for the first message for which `picks` returns a value.
    pub async fn wait<T>(&self, what: &str, picks: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let all = self.received().await;
            if let Some(picked) = all.iter().find_map(&picks) {
                return picked;
            }
            assert!(
                begun.elapsed().as_secs() < DELIVERY_SECONDS,
                "timed out waiting for {what}; received {}",
                json!(all)
            );
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// All messages that were received so far. An alert is an SNS notification with `Subject` and `Message`.
    pub async fn received(&self) -> Vec<Value> {
        let mut messages = self.received.lock().await;
        loop {
            let receive = self.stack.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let received = receive.send().await.expect("messages can be received");
            if received.messages().is_empty() {
                return messages.clone();
            }
            for message in received.messages() {
                messages.push(serde_json::from_str(message.body().unwrap_or_default()).unwrap_or_default());
                let delete = self.stack.sqs.delete_message().queue_url(&self.url);
                let delete = delete.receipt_handle(message.receipt_handle().unwrap_or_default());
                delete.send().await.expect("the message can be deleted");
            }
        }
    }
}
