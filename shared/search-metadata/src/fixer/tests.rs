//! Tests of the fixer, among them a simulation: processes end between any two requests, events arrive twice, late and out of
//! order, several processes run at once, and new files are uploaded meanwhile. The newest upload is never lost.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use serde_json::json;
use shiftwork_ports::{
    NewObject, ObjectHead, Objects, OpenObject, Page, StoredObject, Version,
    fake::{MemoryBucket, MemoryObjects},
};

use super::*;
use crate::{
    fix::{Verdict, fix},
    sample::{repo, rules},
};

const DOCUMENT: &str = "handbook/a/b.pdf";
const TARGET: &str = "metadata/handbook/a/b.pdf.metadata.json";
const SOURCE: &str = "handbook/a/b.pdf.meta.json";
const BESIDE: &str = "handbook/a/b.pdf.metadata.json";
const STEM: &str = "handbook/a/b.json";

fn fixer(bucket: &MemoryBucket) -> Fixer {
    Fixer { rules: Arc::new(rules().clone()), documents: bucket.bucket() }
}

/// Processes a key, and then each written key, as its events would.
async fn settle(fixer: &Fixer, key: &str) -> Vec<Outcome> {
    let mut outcomes = vec![fixer.process(key).await.unwrap()];
    while let Some(Outcome::Written { key, .. }) = outcomes.last() {
        let next = fixer.process(&key.clone()).await.unwrap();
        outcomes.push(next);
    }
    outcomes
}

fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(Outcome::as_str).collect()
}

fn text(bucket: &MemoryBucket, key: &str) -> serde_json::Value {
    serde_json::from_slice(&bucket.files()[key].bytes).unwrap()
}

#[tokio::test]
async fn metadata_moves_to_its_target_key() {
    for source in [SOURCE, BESIDE, "handbook/_meta/a/b.pdf.json"] {
        let bucket = MemoryBucket::default();
        bucket.put(source, json!({ "Title": "T", "author": "Jane" }).to_string());
        assert_eq!(names(&settle(&fixer(&bucket), source).await), ["written", "retired"], "{source}");
        assert_eq!(bucket.files().keys().collect::<Vec<_>>(), [TARGET]);
        assert_eq!(text(&bucket, TARGET), json!({ "Title": "T", "Attributes": { "_authors": ["Jane"] } }));
        // Events of the target file and of the deleted source have no effect.
        assert_eq!(fixer(&bucket).process(TARGET).await, Ok(Outcome::Valid));
        assert_eq!(fixer(&bucket).process(source).await, Ok(Outcome::Gone));
    }
}

#[tokio::test]
async fn metadata_at_its_target_key_is_fixed_there_and_its_original_is_kept() {
    let bad = json!({ "Attributes": { "_version": 2 } }).to_string();
    let bucket = MemoryBucket::default();
    bucket.put(TARGET, bad.clone());
    assert_eq!(names(&settle(&fixer(&bucket), TARGET).await), ["written", "valid"]);
    assert_eq!(text(&bucket, TARGET), json!({ "Attributes": { "_version": "2" } }));
    let original = rules().original_key(TARGET, bad.as_bytes());
    assert_eq!(bucket.files()[&original].bytes, bad.as_bytes());
    // A versioned bucket needs no copy of the original.
    let bucket = MemoryBucket::versioned();
    bucket.put(TARGET, bad);
    settle(&fixer(&bucket), TARGET).await;
    assert_eq!(bucket.files().keys().collect::<Vec<_>>(), [TARGET]);
}

#[tokio::test]
async fn unfixable_metadata_is_in_quarantine_with_its_reason() {
    let bucket = MemoryBucket::default();
    bucket.put(SOURCE, "{ not JSON");
    let outcomes = settle(&fixer(&bucket), SOURCE).await;
    let [Outcome::Quarantined { key, .. }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(key.starts_with("metadata-quarantine/handbook/a/b.pdf.meta.json."), "{key}");
    assert_eq!(bucket.files()[key].bytes, b"{ not JSON");
    let reason = text(&bucket, &format!("{key}.reason.json"));
    assert_eq!(reason["key"], SOURCE);
    assert!(reason["problems"][0]["problem"].as_str().unwrap().contains("line 1"), "{reason}");
    assert_eq!(bucket.files().len(), 2);
    assert_eq!(fixer(&bucket).process(key).await, Ok(Outcome::Foreign));
}

#[tokio::test]
async fn metadata_with_a_stem_waits_for_its_document() {
    let bucket = MemoryBucket::default();
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    bucket.put("handbook/a/b.c.pdf", "of another stem");
    assert_eq!(fixer(&bucket).process(STEM).await, Ok(Outcome::Waiting));
    bucket.put(DOCUMENT, "the document");
    assert_eq!(names(&settle(&fixer(&bucket), DOCUMENT).await), ["written", "retired"]);
    assert_eq!(text(&bucket, TARGET), json!({ "Title": "T" }));
    // The document arrives first, and the listing of keys with the same stem has several pages.
    let bucket = MemoryBucket::default();
    for neighbour in ["1.pdf", "2.pdf", "3.pdf", "4.pdf"] {
        bucket.put(&format!("handbook/a/b.{neighbour}"), "of another stem");
    }
    bucket.put(DOCUMENT, "the document");
    assert_eq!(fixer(&bucket).process(DOCUMENT).await, Ok(Outcome::Foreign));
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    assert_eq!(names(&settle(&fixer(&bucket), STEM).await), ["written", "retired"]);
    // Two documents have the stem.
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    bucket.put("handbook/a/b.docx", "another document");
    let outcomes = settle(&fixer(&bucket), STEM).await;
    assert_eq!(names(&outcomes), ["quarantined"]);
}

#[tokio::test]
async fn a_listing_for_a_stem_ends_at_a_limit() {
    let bucket = MemoryBucket::default();
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    bucket.put(DOCUMENT, "the document");
    // A page of the fake has 3 keys: the neighbours, the document and the metadata fill the last page.
    for number in 0..28 {
        bucket.put(&format!("handbook/a/b.2026/{number}.pdf"), "of a folder with the same stem");
    }
    assert_eq!(fixer(&bucket).check(STEM).await.unwrap().as_str(), "written");
    bucket.put("handbook/a/b.2026/28.pdf", "one more");
    let failure = fixer(&bucket).process(STEM).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
    assert!(failure.message.contains("`handbook/a/b.`"), "{failure}");
    assert!(bucket.files().contains_key(STEM) && !bucket.files().contains_key(TARGET));
}

#[tokio::test]
async fn a_new_version_of_the_source_replaces_the_target_and_another_file_does_not() {
    let bucket = MemoryBucket::default();
    for version in [1, 2] {
        bucket.put(SOURCE, json!({ "Attributes": { "_version": version } }).to_string());
        assert_eq!(names(&settle(&fixer(&bucket), SOURCE).await), ["written", "retired"]);
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], version.to_string());
    }
    bucket.put(BESIDE, json!({ "Title": "another source" }).to_string());
    assert_eq!(names(&settle(&fixer(&bucket), BESIDE).await), ["quarantined"]);
    assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "2");
    // A source with the same content as the target is deleted.
    bucket.put(BESIDE, json!({ "Attributes": { "_version": 2 } }).to_string());
    assert_eq!(names(&settle(&fixer(&bucket), BESIDE).await), ["retired"]);
}

#[tokio::test]
async fn a_check_changes_nothing_and_returns_the_outcome_of_the_next_step() {
    let bucket = MemoryBucket::default();
    bucket.put(SOURCE, json!({ "Attributes": { "_version": 2 } }).to_string());
    bucket.put("loose/x.metadata.json", "{}");
    let before = bucket.files();
    let Outcome::Written { key, from, fixes } = fixer(&bucket).check(SOURCE).await.unwrap() else { panic!() };
    assert_eq!((key.as_str(), from.as_deref(), fixes.len()), (TARGET, Some(SOURCE), 1));
    assert_eq!(fixer(&bucket).check("loose/x.metadata.json").await, Ok(Outcome::Valid));
    assert_eq!(fixer(&bucket).check("elsewhere/x.metadata.json").await, Ok(Outcome::Foreign));
    assert_eq!(bucket.files(), before);
    // The target file is written and the source still exists; then the source is deleted.
    fixer(&bucket).process(SOURCE).await.unwrap();
    assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Retired { source: SOURCE.into() }));
    fixer(&bucket).process(TARGET).await.unwrap();
    assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Valid));
}

/// A bucket that yields to other tasks before and after each call, and records the key of each new object.
struct YieldingBucket {
    objects: Arc<MemoryObjects>,
    events: Mutex<Vec<String>>,
}

impl YieldingBucket {
    async fn between_turns<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        Yield(false).await;
        let result = call.await;
        Yield(false).await;
        result
    }
}

/// A future that is pending once, so that another task is polled.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let before = std::mem::replace(&mut self.0, true);
        if before { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[async_trait]
impl Objects for YieldingBucket {
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        self.between_turns(self.objects.open(bucket, key, version)).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>> {
        self.between_turns(self.objects.head(bucket, key)).await
    }

    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.between_turns(self.objects.tail(bucket, key, bytes)).await
    }

    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        let put = async {
            let result = self.objects.put(bucket, key, object, condition).await;
            if result == Ok(Changed::Done) {
                self.events.lock().unwrap().push(key.into());
            }
            result
        };
        self.between_turns(put).await
    }

    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed> {
        self.between_turns(self.objects.delete(bucket, key, etag)).await
    }

    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()> {
        self.between_turns(self.objects.delete_all(bucket, keys)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.between_turns(self.objects.list(bucket, prefix, after)).await
    }
}

/// The key and the content of an uploaded file.
type Upload = (&'static str, String);

/// The newest upload for a key, with its fixed content and its key in quarantine.
struct NewestUpload {
    content: String,
    fixed: Vec<u8>,
    quarantined: String,
}

impl NewestUpload {
    fn of(key: &str, content: &str) -> Self {
        let fixed = match fix(content.as_bytes(), repo("handbook/")) {
            Verdict::Fixed { bytes, .. } => bytes,
            Verdict::Valid | Verdict::Unfixable { .. } => content.into(),
        };
        let quarantined = rules().quarantine_key(key, content.as_bytes());
        Self { content: content.into(), fixed, quarantined }
    }

    /// True if the upload is unchanged at its key, fixed at its target key, or in quarantine.
    fn is_kept(&self, key: &str, files: &BTreeMap<String, StoredObject>) -> bool {
        let is = |key: &str, bytes: &[u8]| files.get(key).is_some_and(|file| file.bytes == bytes);
        let content = self.content.as_bytes();
        is(key, content) || is(TARGET, &self.fixed) || is(&self.quarantined, content)
    }
}

/// A process that works on a key.
type Process = Pin<Box<dyn Future<Output = Result<Outcome>>>>;

/// Simulates uploads with faults that a seed determines, and returns the bucket after all events are processed.
fn simulate(seed: u64, versioned: bool, uploads: &[Upload]) -> MemoryBucket {
    let mut rng = fastrand::Rng::with_seed(seed);
    let objects = Arc::new(if versioned { MemoryObjects::versioned() } else { MemoryObjects::default() });
    let bucket = MemoryBucket::of(Arc::clone(&objects), "documents");
    let yielding = Arc::new(YieldingBucket { objects, events: Mutex::default() });
    let documents = Bucket::new(yielding.clone(), "documents");
    let fixer = Fixer { rules: Arc::new(rules().clone()), documents };
    let mut uploads = uploads.iter().cloned().collect::<std::collections::VecDeque<_>>();
    let mut newest: BTreeMap<&str, NewestUpload> = BTreeMap::new();
    let mut queue: Vec<String> = Vec::new();
    let mut running: Vec<(String, Process)> = Vec::new();
    let (mut crashes, mut duplicates) = (6, 6);
    for _ in 0..20_000 {
        queue.append(&mut yielding.events.lock().unwrap());
        if uploads.is_empty() && queue.is_empty() && running.is_empty() {
            return bucket;
        }
        match rng.u32(0..16) {
            0 => {
                if let Some((key, content)) = uploads.pop_front() {
                    newest.insert(key, NewestUpload::of(key, &content));
                    bucket.put(key, content);
                    queue.push(key.into());
                }
            }
            // An event is delivered twice.
            1 if duplicates > 0 && !queue.is_empty() => {
                duplicates -= 1;
                let again = queue[rng.usize(0..queue.len())].clone();
                queue.push(again);
            }
            // A process ends early; its message is delivered again.
            2 if crashes > 0 && !running.is_empty() => {
                crashes -= 1;
                let (key, process) = running.swap_remove(rng.usize(0..running.len()));
                drop(process);
                queue.push(key);
            }
            3..6 if running.len() < 4 && !queue.is_empty() => {
                let key = queue.swap_remove(rng.usize(0..queue.len()));
                let fixer = fixer.clone();
                let of = key.clone();
                running.push((key, Box::pin(async move { fixer.process(&of).await })));
            }
            _ if !running.is_empty() => {
                let turn = rng.usize(0..running.len());
                if let Poll::Ready(result) = running[turn].1.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    let (key, _) = running.swap_remove(turn);
                    if result.is_err() {
                        queue.push(key);
                    }
                }
            }
            _ => {}
        }
        let files = bucket.files();
        for (key, upload) in &newest {
            let lost =
                || format!("seed {seed}: {key} = {} is lost; the bucket has {:#?}", upload.content, files.keys());
            assert!(upload.is_kept(key, &files), "{}", lost());
        }
    }
    panic!("seed {seed}: the simulation does not end; events: {queue:?}; bucket: {:#?}", bucket.files())
}

const SEEDS: u64 = 1000;

fn version(number: u32) -> String {
    json!({ "Attributes": { "_version": number } }).to_string()
}

#[test]
fn the_newest_source_is_at_the_target_key_and_no_other_file_is_left() {
    for seed in 0..SEEDS {
        let bucket = simulate(seed, seed % 2 == 0, &[(SOURCE, version(1)), (SOURCE, version(2)), (SOURCE, version(3))]);
        let files = bucket.files();
        assert_eq!(files.keys().collect::<Vec<_>>(), [TARGET], "seed {seed}");
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "3", "seed {seed}");
    }
}

#[test]
fn an_upload_to_the_target_key_is_fixed_there() {
    for seed in 0..SEEDS {
        let bucket = simulate(seed, false, &[(TARGET, version(1)), (TARGET, version(2))]);
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "2", "seed {seed}");
        // The first version can be overwritten before it is processed; then it has no copy.
        let original = rules().original_key(TARGET, version(2).as_bytes());
        assert_eq!(bucket.files()[&original].bytes, version(2).as_bytes(), "seed {seed}");
    }
}

#[test]
fn of_two_sources_one_is_at_the_target_key_and_the_other_in_quarantine() {
    for seed in 0..SEEDS {
        let bucket = simulate(seed, seed % 2 == 0, &[(SOURCE, version(1)), (BESIDE, version(2))]);
        let files = bucket.files();
        assert!(!files.contains_key(SOURCE) && !files.contains_key(BESIDE), "seed {seed}: {:?}", files.keys());
        assert_eq!(files.keys().filter(|key| key.starts_with("metadata-quarantine/")).count(), 2, "seed {seed}");
        assert!(files.contains_key(TARGET));
    }
}

#[test]
fn unfixable_uploads_end_in_quarantine_with_their_reason() {
    for seed in 0..SEEDS {
        let uploads = [(SOURCE, "{ not JSON".to_owned()), (SOURCE, version(1)), (SOURCE, "[]".to_owned())];
        let bucket = simulate(seed, seed % 2 == 0, &uploads);
        let files = bucket.files();
        assert!(!files.contains_key(SOURCE), "seed {seed}");
        for copy in files.keys().filter(|key| key.starts_with("metadata-quarantine/") && !key.ends_with(".reason.json"))
        {
            assert!(files.contains_key(&format!("{copy}.reason.json")), "seed {seed}: {copy}");
        }
        assert!(files.get(TARGET).is_none_or(|file| fix(&file.bytes, repo("handbook/")) == Verdict::Valid));
    }
}

fn entry(name: &str) -> serde_json::Value {
    json!({ "Name": name, "Type": "GROUP", "Access": "ALLOW" })
}

/// Metadata with an access control list and an attribute that the index does not have.
fn restricted(group: &str) -> String {
    json!({ "Title": "t", "AccessControlList": [entry(group)], "Attributes": { "Tags": ["x"] } }).to_string()
}

#[tokio::test]
async fn a_document_stays_closed_while_its_metadata_is_in_quarantine() {
    for key in [SOURCE, BESIDE, STEM, TARGET] {
        let bucket = MemoryBucket::default();
        bucket.put(DOCUMENT, "the document");
        bucket.put(key, restricted("finance"));
        let check = fixer(&bucket).check(key).await.unwrap();
        let outcome = fixer(&bucket).process(key).await.unwrap();
        assert_eq!(check, outcome, "{key}");
        assert!(outcome.concerns_access());
        let Outcome::Quarantined { key: quarantined, stubs, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(stubs, [TARGET]);
        assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }), "{key}");
        assert_eq!(bucket.files()[&quarantined].bytes, restricted("finance").into_bytes());
        assert_eq!(text(&bucket, &format!("{quarantined}.reason.json"))["stubs"], json!([TARGET]));
        assert_eq!(bucket.files().len(), 4, "{key}: {:?}", bucket.files().keys());
        // The event of the stub has no effect, and a check names the stub.
        assert_eq!(fixer(&bucket).process(TARGET).await, Ok(Outcome::Stub));
        assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Stub));
        // The corrected file takes the place of the stub.
        bucket.put(key, json!({ "Title": "t", "AccessControlList": [entry("hr")] }).to_string());
        settle(&fixer(&bucket), key).await;
        assert_eq!(text(&bucket, TARGET), json!({ "Title": "t", "AccessControlList": [entry("hr")] }), "{key}");
        assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Valid));
    }
}

#[tokio::test]
async fn a_stub_replaces_what_an_earlier_version_of_the_source_said() {
    let bucket = MemoryBucket::default();
    bucket.put(SOURCE, json!({ "Title": "t", "AccessControlList": [entry("all")] }).to_string());
    settle(&fixer(&bucket), SOURCE).await;
    bucket.put(SOURCE, restricted("finance"));
    settle(&fixer(&bucket), SOURCE).await;
    assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }));
    // A file of another source is replaced neither by metadata nor by a stub; a person is told.
    bucket.put(TARGET, json!({ "Title": "by hand" }).to_string());
    bucket.put(SOURCE, restricted("finance"));
    let outcomes = settle(&fixer(&bucket), SOURCE).await;
    assert!(
        outcomes[0].concerns_access() && matches!(&outcomes[0], Outcome::Quarantined { stubs, .. } if stubs.is_empty())
    );
    assert_eq!(text(&bucket, TARGET), json!({ "Title": "by hand" }));
    // Metadata without a list has no stub.
    let bucket = MemoryBucket::default();
    bucket.put(SOURCE, json!({ "Attributes": { "Tags": ["x"] } }).to_string());
    let outcomes = settle(&fixer(&bucket), SOURCE).await;
    assert!(!outcomes[0].concerns_access());
    assert!(!bucket.files().contains_key(TARGET));
}

#[tokio::test]
async fn a_stub_is_replaced_only_by_its_own_source_or_at_its_own_key() {
    let open = json!({ "Title": "open to everyone" }).to_string();
    for (closed_by, other) in [(TARGET, SOURCE), (TARGET, BESIDE), (SOURCE, BESIDE), (BESIDE, SOURCE), (STEM, SOURCE)] {
        let bucket = MemoryBucket::default();
        bucket.put(DOCUMENT, "the document");
        bucket.put(closed_by, restricted("finance"));
        settle(&fixer(&bucket), closed_by).await;
        // Other metadata, with and without a list, and metadata that needs a stub itself.
        for content in [open.clone(), json!({ "AccessControlList": [entry("all")] }).to_string(), restricted("hr")] {
            bucket.put(other, content.clone());
            let outcomes = settle(&fixer(&bucket), other).await;
            assert_eq!(names(&outcomes), ["quarantined"], "{closed_by} {other} {content}");
            assert_eq!(outcomes[0].concerns_access(), content != open, "{closed_by} {other} {content}");
            assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }), "{content}");
            assert_eq!(fixer(&bucket).process(TARGET).await, Ok(Outcome::Stub), "{closed_by} {other} {content}");
        }
        bucket.put(other, open.clone());
        let outcomes = settle(&fixer(&bucket), other).await;
        let [Outcome::Quarantined { problems, .. }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert!(problems[0].message.contains(&format!("`{TARGET}` is a stub")), "{}", problems[0]);
        // The corrected metadata replaces the stub.
        bucket.put(closed_by, json!({ "Title": "corrected" }).to_string());
        settle(&fixer(&bucket), closed_by).await;
        assert_eq!(text(&bucket, TARGET), json!({ "Title": "corrected" }), "{closed_by}");
    }
}

#[tokio::test]
async fn the_stub_of_a_target_file_is_replaced_by_a_later_version_of_its_source() {
    let bucket = MemoryBucket::default();
    bucket.put(
        SOURCE,
        json!({ "AccessControlList": [entry("finance")], "Attributes": { "department": "x" } }).to_string(),
    );
    settle(&fixer(&bucket), SOURCE).await;
    // The configuration does not have the attribute any more.
    let rules = crate::sample::of(&crate::sample::YAML.replace("department: string, tags", "tags"));
    let fixer = Fixer { rules: Arc::new(rules), documents: bucket.bucket() };
    assert_eq!(names(&settle(&fixer, TARGET).await), ["quarantined"]);
    assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }));
    bucket.put(SOURCE, json!({ "Title": "t", "AccessControlList": [entry("hr")] }).to_string());
    assert_eq!(names(&settle(&fixer, SOURCE).await), ["written", "retired"]);
    assert_eq!(text(&bucket, TARGET)["AccessControlList"], json!([entry("hr")]));
}

#[test]
fn metadata_of_another_source_does_not_open_a_closed_document() {
    let open = json!({ "Title": "open to everyone" }).to_string();
    for seed in 0..SEEDS {
        let uploads = [(TARGET, restricted("finance")), (SOURCE, open.clone()), (BESIDE, version(1))];
        let bucket = simulate(seed, seed % 2 == 0, &uploads);
        assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }), "seed {seed}");
        assert!(!bucket.files().contains_key(SOURCE) && !bucket.files().contains_key(BESIDE), "seed {seed}");
    }
}

#[tokio::test]
async fn every_document_that_ambiguous_metadata_could_describe_is_closed() {
    let bucket = MemoryBucket::default();
    for document in [DOCUMENT, "handbook/a/b.docx", "handbook/a/b.txt"] {
        bucket.put(document, "a document");
    }
    bucket.put(STEM, json!({ "Title": "t", "AccessControlList": [entry("finance")] }).to_string());
    let outcomes = settle(&fixer(&bucket), STEM).await;
    assert!(outcomes[0].concerns_access());
    for document in [DOCUMENT, "handbook/a/b.docx", "handbook/a/b.txt"] {
        let target = format!("metadata/{document}.metadata.json");
        assert_eq!(text(&bucket, &target), json!({ "AccessControlList": [entry("finance")] }), "{document}");
    }
}

#[test]
fn a_document_is_closed_after_any_crash_while_its_metadata_is_quarantined() {
    for seed in 0..SEEDS {
        let uploads = [(SOURCE, version(1)), (SOURCE, restricted("finance"))];
        let bucket = simulate(seed, seed % 2 == 0, &uploads);
        assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }), "seed {seed}");
        assert!(!bucket.files().contains_key(SOURCE), "seed {seed}");
        let bucket = simulate(seed, seed % 2 == 0, &[(SOURCE, restricted("finance")), (SOURCE, version(2))]);
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "2", "seed {seed}");
        let bucket = simulate(seed, seed % 2 == 0, &[(TARGET, version(1)), (TARGET, restricted("finance"))]);
        assert_eq!(text(&bucket, TARGET), json!({ "AccessControlList": [entry("finance")] }), "seed {seed}");
    }
}

#[tokio::test]
async fn a_json_document_is_not_taken_for_metadata() {
    let catalog = json!({ "products": "lamp", "price": 7 }).to_string();
    // `catalog.json` would be metadata of a document `catalog`, which does not exist.
    let bucket = MemoryBucket::default();
    bucket.put("managed/catalog.json", catalog.clone());
    assert_eq!(fixer(&bucket).process("managed/catalog.json").await, Ok(Outcome::Waiting));
    bucket.put("managed/catalog.json.metadata.json", json!({ "metadataAttributes": { "dept": "x" } }).to_string());
    assert_eq!(fixer(&bucket).process("managed/catalog.json.metadata.json").await, Ok(Outcome::Valid));
    // Another document has its stem.
    for content in [catalog.as_str(), "[1]", "7", "{\"a\": 1}\n{\"a\": 2}"] {
        bucket.put("handbook/catalog.json", content);
        bucket.put("handbook/catalog.pdf", "a document");
        for key in ["handbook/catalog.json", "handbook/catalog.pdf"] {
            let outcome = fixer(&bucket).process(key).await.unwrap();
            let wanted = if key.ends_with("json") { Outcome::Unrecognized } else { Outcome::Foreign };
            assert_eq!(outcome, wanted, "{key} {content}");
        }
        assert_eq!(bucket.files()["handbook/catalog.json"].bytes, content.as_bytes());
    }
    assert_eq!(bucket.files().len(), 4, "{:?}", bucket.files().keys());
    // Metadata waits for its document.
    bucket.put("managed/paper.md.json", json!({ "author": "Jane" }).to_string());
    assert_eq!(fixer(&bucket).process("managed/paper.md.json").await, Ok(Outcome::Waiting));
    bucket.put("managed/paper.md", "a document");
    assert_eq!(names(&settle(&fixer(&bucket), "managed/paper.md").await), ["written", "retired"]);
    assert_eq!(
        text(&bucket, "managed/paper.md.metadata.json"),
        json!({ "metadataAttributes": { "_authors": ["Jane"] } })
    );
}

#[tokio::test]
async fn a_file_with_only_an_access_list_closes_its_document() {
    let list = json!({ "AccessControlList": [entry("finance")] });
    let closed =
        json!({ "AccessControlList": [{ "Name": crate::access::NO_USER, "Type": "USER", "Access": "ALLOW" }] });
    for (content, wanted) in [
        (json!({ "acl": [entry("finance")] }).to_string(), &list),
        (json!({ "access_list": [entry("finance")] }).to_string(), &list),
        (json!({ "allowed_groups": ["finance"] }).to_string(), &closed),
        (json!({ "permissions": { "read": ["finance"] } }).to_string(), &closed),
        (json!([entry("finance")]).to_string(), &closed),
        ("{\"acl\": [{\"Name\": \"fin".to_owned(), &closed),
    ] {
        for event in [STEM, DOCUMENT] {
            let bucket = MemoryBucket::default();
            bucket.put(DOCUMENT, "the document");
            bucket.put(STEM, content.clone());
            let outcomes = settle(&fixer(&bucket), event).await;
            assert_eq!(&text(&bucket, TARGET), wanted, "{event} {content}");
            assert_eq!(outcomes[0].concerns_access(), *wanted == closed, "{event} {content}");
        }
    }
}

#[tokio::test]
async fn the_global_acl_file_is_fixed_or_left_in_its_place() {
    let (bucket, key) = (MemoryBucket::default(), "managed/acl/global.json");
    let prefix = format!("s3://{}/managed/finance/", bucket.bucket().name());
    bucket.put(key, json!([{ "keyPrefix": prefix, "aclEntries": [entry("finance")] }]).to_string());
    assert_eq!(names(&settle(&fixer(&bucket), key).await), ["written", "valid"]);
    assert_eq!(text(&bucket, key)[0]["aclEntries"][1]["Name"], "b@example.com");
    let bad = json!([{ "keyPrefix": prefix, "aclEntries": [entry("hr")] }]).to_string();
    bucket.put(key, bad.clone());
    let outcome = fixer(&bucket).process(key).await.unwrap();
    assert!(matches!(&outcome, Outcome::Left { .. }) && outcome.concerns_access(), "{outcome:?}");
    assert_eq!(fixer(&bucket).check(key).await, Ok(outcome));
    assert_eq!(bucket.files()[key].bytes, bad.into_bytes());
}

#[tokio::test]
async fn documents_without_an_entry_are_found() {
    let bucket = MemoryBucket::default();
    let user = json!({ "Name": "a@example.com", "Type": "USER", "Access": "ALLOW" });
    let list = json!({ "metadataAttributes": {}, "accessControlList": [user] }).to_string();
    let none = json!({ "metadataAttributes": { "dept": "x" } }).to_string();
    let prefix = format!("s3://{}/managed/finance/", bucket.bucket().name());
    bucket.put("managed/acl/global.json", json!([{ "keyPrefix": prefix, "aclEntries": [user] }]).to_string());
    for document in ["own.pdf", "source.pdf", "finance/a.pdf", "without.pdf", "bare.pdf", "catalog.json", "closed.pdf"]
    {
        bucket.put(&format!("managed/{document}"), "a document");
    }
    bucket.put("managed/own.pdf.metadata.json", list.clone());
    bucket.put("managed/source.pdf.json", list);
    bucket.put("managed/finance/a.pdf.metadata.json", none.clone());
    bucket.put("managed/without.pdf.metadata.json", none);
    bucket.put(
        "managed/closed.pdf.metadata.json",
        json!({ "metadataAttributes": {}, "accessControlList": "x" }).to_string(),
    );
    bucket.put("research/a.pdf", "of a knowledge base without lists");
    bucket.put("handbook/a.pdf", "of Kendra");
    let fixer = fixer(&bucket);
    let coverage = fixer.coverage().await.unwrap();
    let mut without = Vec::new();
    for key in bucket.files().into_keys() {
        let outcome = fixer.check(&key).await.unwrap();
        if let Some(access) = fixer.access_of(&coverage, &key, &outcome).await.unwrap() {
            assert_eq!(access.is_needed, Some(true));
            if !access.has_entry {
                without.push(key);
            }
        }
    }
    assert_eq!(without, ["managed/bare.pdf", "managed/catalog.json", "managed/without.pdf"]);
}
