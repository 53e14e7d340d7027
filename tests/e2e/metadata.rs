//! Metadata of documents lands in S3, and is made what its index needs: on whichever way the event comes, however often, and
//! wherever the function dies.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::types::{EventBridgeConfiguration, NotificationConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use shiftwork_e2e::Stack;
use tokio::time::{Instant, sleep};

/// Where the deployment looks for its repositories.
const CONFIGURATION: &str = "metadata/repositories.json";
/// How long a file may take.
const SECONDS: u64 = 60;

/// A folder of a test's own in a repository for Kendra.
struct Folder<'a> {
    stack: &'a Stack,
    prefix: String,
}

impl<'a> Folder<'a> {
    /// All tests share one bucket and one configuration: the function believes what it read for a minute.
    async fn of(stack: &'a Stack) -> Folder<'a> {
        let bucket = stack.output("DocumentsBucket");
        // There already, if another test was here before.
        drop(stack.s3.create_bucket().bucket(bucket).send().await);
        let events = NotificationConfiguration::builder()
            .event_bridge_configuration(EventBridgeConfiguration::builder().build())
            .build();
        let put = stack.s3.put_bucket_notification_configuration().bucket(bucket).notification_configuration(events);
        put.send().await.unwrap();
        let kendra = json!({ "prefix": "e2e/", "target": "kendra", "index_prefix": "index/",
            "sources": ["{document}.meta.json"], "fields": { "author": "_authors" } });
        let configuration = json!({ "repositories": { "e2e": kendra } }).to_string();
        let scripts = stack.s3.put_object().bucket(stack.output("ScriptsBucket")).key(CONFIGURATION);
        scripts.body(configuration.into_bytes().into()).send().await.unwrap();
        Folder { stack, prefix: format!("e2e/{}/", Stack::unique("m")) }
    }

    async fn put(&self, key: &str, body: &str) {
        let put = self.stack.s3.put_object().bucket(self.stack.output("DocumentsBucket")).key(key);
        put.body(body.as_bytes().to_vec().into()).send().await.unwrap();
    }

    /// Puts metadata of a document, and answers where it has to end.
    async fn put_source(&self, document: &str, body: &Value) -> String {
        self.put(&format!("{}{document}.meta.json", self.prefix), &body.to_string()).await;
        self.target(document)
    }

    fn target(&self, document: &str) -> String {
        format!("index/{}{document}.metadata.json", self.prefix)
    }

    /// Every file of the folder, under whichever prefix it is by now.
    async fn files(&self) -> BTreeMap<String, String> {
        let bucket = self.stack.output("DocumentsBucket");
        let mut files = BTreeMap::new();
        for space in ["", "index/", "metadata-quarantine/", "metadata-originals/index/"] {
            let listed = self.stack.s3.list_objects_v2().bucket(bucket).prefix(format!("{space}{}", self.prefix));
            for object in listed.send().await.unwrap().contents() {
                let key = object.key().unwrap();
                // It may be gone between the two calls.
                if let Ok(found) = self.stack.s3.get_object().bucket(bucket).key(key).send().await {
                    let body = found.body.collect().await.unwrap().to_vec();
                    files.insert(key.to_owned(), String::from_utf8_lossy(&body).into_owned());
                }
            }
        }
        files
    }

    /// Waits until the folder is as it has to be.
    async fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, String>) -> bool) -> BTreeMap<String, String> {
        let begun = Instant::now();
        loop {
            let files = self.files().await;
            if holds(&files) {
                return files;
            }
            assert!(begun.elapsed().as_secs() < SECONDS, "{what}: never; there are {files:#?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until nothing is left but this.
    async fn until_only(&self, key: &str, wanted: &Value) {
        let files = self.until(key, |files| files.len() == 1 && files.contains_key(key)).await;
        assert_eq!(serde_json::from_str::<Value>(&files[key]).unwrap(), *wanted);
    }
}

fn source(version: u32) -> Value {
    json!({ "Title": "Sheet", "author": "Jane Doe", "Attributes": { "_version": version } })
}

fn mended(version: u32) -> Value {
    json!({ "Title": "Sheet", "Attributes": { "_authors": ["Jane Doe"], "_version": version.to_string() } })
}

#[tokio::test]
async fn a_file_of_a_bucket_is_mended_moved_and_its_source_deleted() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let target = folder.put_source("Über uns/a+b 50%.pdf", &source(1)).await;
    folder.until_only(&target, &mended(1)).await;
    // The next version of it finds its way, too.
    folder.put_source("Über uns/a+b 50%.pdf", &source(2)).await;
    folder.until("the second version", |files| files.get(&target).is_some_and(|text| text.contains("\"2\""))).await;
    folder.until_only(&target, &mended(2)).await;
}

#[tokio::test]
async fn what_cannot_be_mended_is_in_quarantine_with_its_reason_and_the_rest_goes_on() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    folder.put(&format!("{}bad.pdf.meta.json", folder.prefix), "{ no JSON").await;
    let in_place = folder.target("right.pdf");
    folder.put(&in_place, r#"{"Title": "Sheet"}"#).await;
    let wrong = folder.target("wrong.pdf");
    folder.put(&wrong, r#"{"Attributes": {"_view_count": "7"}}"#).await;
    let files = folder
        .until("all three", |files| files.len() == 5 && files.get(&wrong).is_some_and(|text| !text.contains("\"7\"")))
        .await;
    let quarantined = format!("metadata-quarantine/{}bad.pdf.meta.json.", folder.prefix);
    let aside: Vec<_> = files.iter().filter(|(key, _)| key.starts_with(&quarantined)).collect();
    assert_eq!(aside[0].1, "{ no JSON");
    assert!(aside[1].0.ends_with(".reason.json") && aside[1].1.contains("it is not JSON"), "{aside:?}");
    assert_eq!(files[&in_place], r#"{"Title": "Sheet"}"#, "what is valid is left alone");
    let original = files.keys().find(|key| key.starts_with("metadata-originals/")).unwrap();
    assert_eq!(files[original], r#"{"Attributes": {"_view_count": "7"}}"#);
}

#[tokio::test]
async fn an_event_works_on_whichever_way_it_comes() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let bucket = stack.output("DocumentsBucket");
    for (number, way) in ["s3", "sns"].into_iter().enumerate() {
        let document = format!("{way}.pdf");
        let key = format!("{}{document}.meta.json", folder.prefix);
        let encoded = key.replace('/', "%2F");
        let notification = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": bucket }, "object": { "key": encoded } } }] });
        let body = match way {
            "sns" => json!({ "Type": "Notification", "Message": notification.to_string() }),
            _ => notification,
        };
        // S3's own event is lost, so that this one alone can have done it.
        let lost = json!({ "kind": "drop", "count": 1, "pattern": { "source": ["aws.s3"], "detail": { "object": { "key": [key] } } } });
        stack.fault(lost).await;
        let target = folder.put_source(&document, &source(1)).await;
        stack
            .sqs
            .send_message()
            .queue_url(stack.output("MetadataQueue"))
            .message_body(body.to_string())
            .send()
            .await
            .unwrap();
        let done = |files: &BTreeMap<String, String>| files.len() == number + 1 && files.contains_key(&target);
        folder.until(way, done).await;
    }
}

#[tokio::test]
async fn events_that_come_twice_change_nothing() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let pattern = json!({ "source": ["aws.s3"], "detail": { "object": { "key": [{ "wildcard": format!("*{}*", folder.prefix) }] } } });
    stack.fault(json!({ "kind": "double", "pattern": pattern, "count": 8 })).await;
    let targets = [folder.put_source("a.pdf", &source(1)).await, folder.put_source("b.pdf", &source(1)).await];
    let files =
        folder.until("both", |files| files.len() == 2 && targets.iter().all(|target| files.contains_key(target))).await;
    for target in &targets {
        assert_eq!(serde_json::from_str::<Value>(&files[target]).unwrap(), mended(1));
    }
}

#[tokio::test]
async fn it_may_read_and_write_documents_and_nothing_else() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let fixer = aws_sdk_s3::Client::new(&stack.as_function("MetadataFixerFunction").await);
    let scripts = stack.output("ScriptsBucket");
    fixer.get_object().bucket(scripts).key(CONFIGURATION).send().await.expect("it reads its configuration");
    folder.put(&format!("{}a.pdf", folder.prefix), "a document").await;
    let own = fixer.get_object().bucket(stack.output("DocumentsBucket")).key(format!("{}a.pdf", folder.prefix));
    own.send().await.expect("it reads documents");
    let script = fixer.get_object().bucket(scripts).key("workflows/x/a.sql").send().await;
    let configuration = fixer.put_object().bucket(scripts).key(CONFIGURATION).send().await;
    for (what, error) in
        [("reads scripts", format!("{script:?}")), ("changes its configuration", format!("{configuration:?}"))]
    {
        assert!(error.contains("AccessDenied"), "it {what}: {error}");
    }
}

/// Sets how soon a message comes back that was not worked off: a test has no six minutes.
async fn visible_again_after(stack: &Stack, seconds: &str) {
    let set = stack.sqs.set_queue_attributes().queue_url(stack.output("MetadataQueue"));
    set.attributes(QueueAttributeName::VisibilityTimeout, seconds).send().await.unwrap();
}

#[tokio::test]
async fn wherever_the_function_dies_nothing_is_lost_and_the_end_is_the_same() {
    let stack = Stack::alone().await;
    let folder = Folder::of(&stack).await;
    visible_again_after(&stack, "1").await;
    // The configuration, the source, its successor; then the successor's own event: read back, and the source deleted.
    let points: Vec<(u32, &str, u32)> = [(1, "start", 0), (1, "end", 0), (2, "start", 0), (2, "end", 0)]
        .into_iter()
        .chain((1..=3).flat_map(|call| [(1, "before-call", call), (1, "after-call", call)]))
        .chain((1..=2).flat_map(|call| [(2, "before-call", call), (2, "after-call", call)]))
        .collect();
    for (invocation, at, call) in points {
        stack.control.delete("faults").await;
        let kill =
            json!({ "kind": "kill", "function": "*metadata-fixer", "invocation": invocation, "at": at, "call": call });
        stack.fault(kill).await;
        let document = format!("{invocation}-{at}-{call}.pdf");
        let target = folder.put_source(&document, &source(3)).await;
        let source_key = format!("{}{document}.meta.json", folder.prefix);
        let files = folder
            .until(&document, |files| {
                assert!(
                    files.contains_key(&source_key) || files.contains_key(&target),
                    "{document} is lost: {files:#?}"
                );
                files.contains_key(&target) && !files.contains_key(&source_key)
            })
            .await;
        assert_eq!(serde_json::from_str::<Value>(&files[&target]).unwrap(), mended(3), "{document}");
    }
    stack.control.delete("faults").await;
    visible_again_after(&stack, "360").await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_in_the_dead_letter_queue() {
    let stack = Stack::alone().await;
    visible_again_after(&stack, "1").await;
    let poison = format!("no event, {}", Stack::unique("p"));
    stack.sqs.send_message().queue_url(stack.output("MetadataQueue")).message_body(&poison).send().await.unwrap();
    let begun = Instant::now();
    loop {
        let dead = stack.sqs.receive_message().queue_url(stack.output("MetadataDeadLetterQueue")).visibility_timeout(1);
        let dead = dead.max_number_of_messages(10).send().await.unwrap();
        if dead.messages().iter().any(|message| message.body() == Some(&poison)) {
            break;
        }
        assert!(begun.elapsed().as_secs() < SECONDS, "the message that cannot be read was never given up");
        sleep(Duration::from_millis(500)).await;
    }
    visible_again_after(&stack, "360").await;
}
