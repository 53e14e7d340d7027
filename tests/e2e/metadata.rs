//! Metadata of documents in S3 is converted for its index: for every kind of event, for repeated events, and if the
//! function is killed.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::types::{EventBridgeConfiguration, NotificationConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use shiftwork_e2e::Stack;
use tokio::time::{Instant, sleep};

/// S3 key of the deployment's repository configuration.
const CONFIGURATION: &str = "metadata/repositories.json";
/// Maximum time for a file, in seconds.
const SECONDS: u64 = 60;

/// A folder of a Kendra repository, for one test.
struct Folder<'a> {
    stack: &'a Stack,
    prefix: String,
}

impl<'a> Folder<'a> {
    /// All tests share a bucket and a configuration, because the function caches the configuration for a minute.
    async fn of(stack: &'a Stack) -> Folder<'a> {
        let bucket = stack.output("DocumentsBucket");
        // The bucket may exist from another test.
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

    /// Puts metadata of a document, and returns the key of its target.
    async fn put_source(&self, document: &str, body: &Value) -> String {
        self.put(&format!("{}{document}.meta.json", self.prefix), &body.to_string()).await;
        self.target(document)
    }

    fn target(&self, document: &str) -> String {
        format!("index/{}{document}.metadata.json", self.prefix)
    }

    /// All files of the folder, with the prefixes of targets, quarantine and originals.
    async fn files(&self) -> BTreeMap<String, String> {
        let bucket = self.stack.output("DocumentsBucket");
        let mut files = BTreeMap::new();
        for space in ["", "index/", "metadata-quarantine/", "metadata-originals/index/"] {
            let listed = self.stack.s3.list_objects_v2().bucket(bucket).prefix(format!("{space}{}", self.prefix));
            for object in listed.send().await.unwrap().contents() {
                let key = object.key().unwrap();
                // The file may be deleted between the two calls.
                if let Ok(found) = self.stack.s3.get_object().bucket(bucket).key(key).send().await {
                    let body = found.body.collect().await.unwrap().to_vec();
                    files.insert(key.to_owned(), String::from_utf8_lossy(&body).into_owned());
                }
            }
        }
        files
    }

    /// Waits until the files of the folder meet a condition.
    async fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, String>) -> bool) -> BTreeMap<String, String> {
        let begun = Instant::now();
        loop {
            let files = self.files().await;
            if holds(&files) {
                return files;
            }
            assert!(begun.elapsed().as_secs() < SECONDS, "timed out waiting for {what}: {files:#?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until only this file is left.
    async fn until_only(&self, key: &str, wanted: &Value) {
        let files = self.until(key, |files| files.len() == 1 && files.contains_key(key)).await;
        assert_eq!(serde_json::from_str::<Value>(&files[key]).unwrap(), *wanted);
    }
}

fn source(version: u32) -> Value {
    json!({ "Title": "Sheet", "author": "Jane Doe", "Attributes": { "_version": version } })
}

fn fixed(version: u32) -> Value {
    json!({ "Title": "Sheet", "Attributes": { "_authors": ["Jane Doe"], "_version": version.to_string() } })
}

#[tokio::test]
async fn a_metadata_file_is_fixed_and_moved_and_its_source_is_deleted() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let target = folder.put_source("Über uns/a+b 50%.pdf", &source(1)).await;
    folder.until_only(&target, &fixed(1)).await;
    // The next version of the file is converted too.
    folder.put_source("Über uns/a+b 50%.pdf", &source(2)).await;
    folder.until("the second version", |files| files.get(&target).is_some_and(|text| text.contains("\"2\""))).await;
    folder.until_only(&target, &fixed(2)).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_fixed_is_quarantined_with_a_reason() {
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
    assert!(aside[1].0.ends_with(".reason.json") && aside[1].1.contains("the file is not valid JSON"), "{aside:?}");
    assert_eq!(files[&in_place], r#"{"Title": "Sheet"}"#, "a valid file is unchanged");
    let original = files.keys().find(|key| key.starts_with("metadata-originals/")).unwrap();
    assert_eq!(files[original], r#"{"Attributes": {"_view_count": "7"}}"#);
}

#[tokio::test]
async fn a_document_stays_closed_while_its_metadata_is_in_quarantine() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let list = json!([{ "Name": "finance", "Type": "GROUP", "Access": "ALLOW" }]);
    let bad = json!({ "Title": "Sheet", "AccessControlList": list, "Attributes": { "Tags": ["x"] } });
    let target = folder.put_source("closed.pdf", &bad).await;
    let source = format!("{}closed.pdf.meta.json", folder.prefix);
    let files = folder.until("the stub", |files| files.contains_key(&target) && !files.contains_key(&source)).await;
    assert_eq!(serde_json::from_str::<Value>(&files[&target]).unwrap(), json!({ "AccessControlList": list }));
    assert!(files.keys().any(|key| key.starts_with("metadata-quarantine/") && key.ends_with(".reason.json")));
    // The corrected file replaces the stub.
    let right = json!({ "Title": "Sheet", "AccessControlList": list });
    folder.put_source("closed.pdf", &right).await;
    folder.until("the corrected file", |files| files.get(&target).is_some_and(|text| text.contains("Sheet"))).await;
}

#[tokio::test]
async fn every_kind_of_event_is_processed() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let bucket = stack.output("DocumentsBucket");
    for (number, way) in ["s3", "sns"].into_iter().enumerate() {
        let document = format!("{way}.pdf");
        let key = format!("{}{document}.meta.json", folder.prefix);
        let encoded = key.replace('/', "%2F");
        let notification = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-11-21T10:00:00.000Z",
            "s3": { "bucket": { "name": bucket }, "object": { "key": encoded } } }] });
        let body = match way {
            "sns" => json!({ "Type": "Notification", "Message": notification.to_string() }),
            _ => notification,
        };
        // The event of S3 is dropped, so that only this event can cause the result.
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
async fn duplicate_events_have_no_effect() {
    let stack = Stack::shared().await;
    let folder = Folder::of(&stack).await;
    let pattern = json!({ "source": ["aws.s3"], "detail": { "object": { "key": [{ "wildcard": format!("*{}*", folder.prefix) }] } } });
    stack.fault(json!({ "kind": "double", "pattern": pattern, "count": 8 })).await;
    let targets = [folder.put_source("a.pdf", &source(1)).await, folder.put_source("b.pdf", &source(1)).await];
    let files =
        folder.until("both", |files| files.len() == 2 && targets.iter().all(|target| files.contains_key(target))).await;
    for target in &targets {
        assert_eq!(serde_json::from_str::<Value>(&files[target]).unwrap(), fixed(1));
    }
}

#[tokio::test]
async fn metadata_fixer_can_only_access_documents_and_its_configuration() {
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

/// Sets the time after which an unprocessed message becomes visible again; the default of six minutes is too long for a
/// test.
async fn visible_again_after(stack: &Stack, seconds: &str) {
    let set = stack.sqs.set_queue_attributes().queue_url(stack.output("MetadataQueue"));
    set.attributes(QueueAttributeName::VisibilityTimeout, seconds).send().await.unwrap();
}

#[tokio::test]
async fn metadata_fixer_can_be_killed_at_any_call() {
    let stack = Stack::exclusive().await;
    let folder = Folder::of(&stack).await;
    visible_again_after(&stack, "1").await;
    // Calls: read the configuration, read the source, write the target; then, for the event of the target: read it, and
    // delete the source.
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
        assert_eq!(serde_json::from_str::<Value>(&files[&target]).unwrap(), fixed(3), "{document}");
    }
    stack.control.delete("faults").await;
    visible_again_after(&stack, "360").await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_in_the_dead_letter_queue() {
    let stack = Stack::exclusive().await;
    visible_again_after(&stack, "1").await;
    let unreadable = format!("not an event, {}", Stack::unique("p"));
    stack.sqs.send_message().queue_url(stack.output("MetadataQueue")).message_body(&unreadable).send().await.unwrap();
    let begun = Instant::now();
    loop {
        let dead = stack.sqs.receive_message().queue_url(stack.output("MetadataDeadLetterQueue")).visibility_timeout(1);
        let dead = dead.max_number_of_messages(10).send().await.unwrap();
        if dead.messages().iter().any(|message| message.body() == Some(&unreadable)) {
            break;
        }
        assert!(begun.elapsed().as_secs() < SECONDS, "the unreadable message did not arrive in the dead-message queue");
        sleep(Duration::from_millis(500)).await;
    }
    visible_again_after(&stack, "360").await;
}
