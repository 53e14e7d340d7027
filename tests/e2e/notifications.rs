//! Notifications of a bucket in the formats of S3: test events, and two notifications for the same file.

use std::time::Duration;

use serde_json::Value;
use shiftwork_e2e::{Inbox, LANDING_BOTH, Stack};
use tokio::time::{Instant, sleep};

const NAME: &str = "it's 1+1=2 & ü %41.csv";

/// The channel of a message, and the key in it, as encoded in the message.
fn way_and_key(message: &Value) -> Option<(&'static str, &str)> {
    let on_bus = message["detail"]["object"]["key"].as_str().map(|key| ("bus", key));
    on_bus.or_else(|| Some(("topic", message["Records"][0]["s3"]["object"]["key"].as_str()?)))
}

/// Waits until file-intake has received all messages of the queue.
async fn drained(stack: &Stack) {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesNotVisible as UnderWay,
    };
    let begun = Instant::now();
    loop {
        let attributes = stack.sqs.get_queue_attributes().queue_url(stack.output("FileEventQueue"));
        let attributes = attributes.attribute_names(Waiting).attribute_names(UnderWay).send().await.unwrap();
        if attributes.attributes().unwrap().values().all(|messages| messages == "0") {
            return;
        }
        assert!(
            begun.elapsed().as_secs() < 90,
            "file-intake does not receive the messages: {:?}",
            attributes.attributes()
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_file_with_two_notifications_is_registered_once() {
    let stack = Stack::shared().await;
    let by_queue = stack.landing("by_queue", LANDING_BOTH, "").await;
    let by_topic = stack.landing("by_topic", LANDING_BOTH, "").await;
    let topic = stack.notify_twice(&by_queue.key(""), &by_topic.key("")).await;
    let inbox = Inbox::of_bucket(&stack, LANDING_BOTH, &topic).await;
    // The configuration is written again, so that its test event arrives in the inbox.
    stack.notify_twice(&by_queue.key(""), &by_topic.key("")).await;
    let text = "n,word\n1,a\n";
    for landing in [&by_queue, &by_topic] {
        landing.put(NAME, text).await;
        landing.put("gone.csv", text).await;
        landing.delete("gone.csv").await;
    }
    inbox.wait("the test event", |message| (message["Event"] == "s3:TestEvent").then_some(())).await;
    for (way, key) in [
        ("bus", by_queue.key(NAME)),
        ("bus", by_topic.key(NAME)),
        ("topic", by_topic.key("it%27s+1%2B1%3D2+%26+%C3%BC+%2541.csv")),
    ] {
        inbox.wait(way, |message| (way_and_key(message) == Some((way, &key))).then_some(())).await;
    }
    for landing in [&by_queue, &by_topic] {
        let files = landing.until("two registered files", |files| files.len() >= 2).await;
        assert!(files.iter().any(|file| file.key == landing.key(NAME)), "{files:#?}");
    }
    drained(&stack).await;
    for landing in [by_queue, by_topic] {
        let files = landing.files().await;
        assert_eq!(files.len(), 2, "{files:#?}");
        landing.flow.start().await.end().await.succeeded();
        assert_eq!(landing.rows().await, [1], "a deleted file is not loaded, an existing file is loaded once");
    }
    let dead = stack.sqs.receive_message().queue_url(stack.output("FileDeadLetterQueue")).visibility_timeout(1);
    let dead = dead.max_number_of_messages(10).send().await.unwrap();
    let test_events = dead.messages().iter().filter(|message| message.body().unwrap().contains("s3:TestEvent"));
    assert_eq!(test_events.count(), 0, "test events are not errors");
}
