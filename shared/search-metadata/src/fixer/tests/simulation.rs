//! A simulation: processes end between any two requests, events arrive twice, late and out of order, several processes run at once, and new
//! files are uploaded meanwhile. The newest upload is never lost.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use shiftwork_ports::{ObjectHead, Objects, OpenObject, Page, Version};

use super::*;
use crate::{
    fix::{Verdict, fix},
    sample::repo,
};

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

#[test]
fn metadata_of_several_documents_is_given_to_none_of_them() {
    for seed in 0..SEEDS {
        let document = || "a document".to_owned();
        let uploads = [(DOCUMENT, document()), ("handbook/a/b.docx", document()), (STEM, restricted("finance"))];
        let bucket = simulate(seed, seed % 2 == 0, &uploads);
        for target in [TARGET, "metadata/handbook/a/b.docx.metadata.json"] {
            assert_eq!(text(&bucket, target), json!({ "AccessControlList": [entry("finance")] }), "seed {seed}");
        }
    }
}
