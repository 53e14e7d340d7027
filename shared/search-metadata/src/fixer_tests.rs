//! Kills between any two calls, events twice, late and out of order, several at once, and a repository that goes on changing:
//! nothing is ever lost, and the end is the same.

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
    mend::{Verdict, mend},
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

/// Looks at a key, and at what comes of it, as the events would.
async fn settle(fixer: &Fixer, key: &str) -> Vec<Outcome> {
    let mut outcomes = vec![fixer.look(key).await.unwrap()];
    while let Some(Outcome::Written { key, .. }) = outcomes.last() {
        let next = fixer.look(&key.clone()).await.unwrap();
        outcomes.push(next);
    }
    outcomes
}

fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(Outcome::as_str).collect()
}

fn text(bucket: &MemoryBucket, key: &str) -> serde_json::Value {
    serde_json::from_slice(&bucket.files()[key].bytes).unwrap()
}

#[tokio::test]
async fn metadata_moves_to_where_its_index_looks() {
    for source in [SOURCE, BESIDE, "handbook/_meta/a/b.pdf.json"] {
        let bucket = MemoryBucket::default();
        bucket.put(source, json!({ "Title": "T", "author": "Jane" }).to_string());
        assert_eq!(words(&settle(&fixer(&bucket), source).await), ["written", "retired"], "{source}");
        assert_eq!(bucket.files().keys().collect::<Vec<_>>(), [TARGET]);
        assert_eq!(text(&bucket, TARGET), json!({ "Title": "T", "Attributes": { "_authors": ["Jane"] } }));
        // Its own work is no work for it.
        assert_eq!(fixer(&bucket).look(TARGET).await, Ok(Outcome::Valid));
        assert_eq!(fixer(&bucket).look(source).await, Ok(Outcome::Gone));
    }
}

#[tokio::test]
async fn metadata_in_its_place_is_mended_there_and_its_original_kept() {
    let bad = json!({ "Attributes": { "_version": 2 } }).to_string();
    let bucket = MemoryBucket::default();
    bucket.put(TARGET, bad.clone());
    assert_eq!(words(&settle(&fixer(&bucket), TARGET).await), ["written", "valid"]);
    assert_eq!(text(&bucket, TARGET), json!({ "Attributes": { "_version": "2" } }));
    let original = rules().original_key(TARGET, bad.as_bytes());
    assert_eq!(bucket.files()[&original].bytes, bad.as_bytes());
    // A bucket that keeps versions needs no copy.
    let bucket = MemoryBucket::versioned();
    bucket.put(TARGET, bad);
    settle(&fixer(&bucket), TARGET).await;
    assert_eq!(bucket.files().keys().collect::<Vec<_>>(), [TARGET]);
}

#[tokio::test]
async fn what_cannot_be_mended_is_found_with_its_reason() {
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
    assert_eq!(fixer(&bucket).look(key).await, Ok(Outcome::Foreign));
}

#[tokio::test]
async fn a_stem_waits_for_its_document_and_is_found_by_it() {
    let bucket = MemoryBucket::default();
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    bucket.put("handbook/a/b.c.pdf", "of another stem");
    assert_eq!(fixer(&bucket).look(STEM).await, Ok(Outcome::Waiting));
    bucket.put(DOCUMENT, "the document");
    assert_eq!(words(&settle(&fixer(&bucket), DOCUMENT).await), ["written", "retired"]);
    assert_eq!(text(&bucket, TARGET), json!({ "Title": "T" }));
    // The other way round, over several pages of neighbours.
    let bucket = MemoryBucket::default();
    for neighbour in ["1.pdf", "2.pdf", "3.pdf", "4.pdf"] {
        bucket.put(&format!("handbook/a/b.{neighbour}"), "of another stem");
    }
    bucket.put(DOCUMENT, "the document");
    assert_eq!(fixer(&bucket).look(DOCUMENT).await, Ok(Outcome::Foreign));
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    assert_eq!(words(&settle(&fixer(&bucket), STEM).await), ["written", "retired"]);
    // Two documents: nobody knows which one is meant.
    bucket.put(STEM, json!({ "Title": "T" }).to_string());
    bucket.put("handbook/a/b.docx", "another document");
    let outcomes = settle(&fixer(&bucket), STEM).await;
    assert_eq!(words(&outcomes), ["quarantined"]);
}

#[tokio::test]
async fn news_of_a_source_reach_its_successor_and_a_stranger_does_not() {
    let bucket = MemoryBucket::default();
    for version in [1, 2] {
        bucket.put(SOURCE, json!({ "Attributes": { "_version": version } }).to_string());
        assert_eq!(words(&settle(&fixer(&bucket), SOURCE).await), ["written", "retired"]);
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], version.to_string());
    }
    bucket.put(BESIDE, json!({ "Title": "another hand's" }).to_string());
    assert_eq!(words(&settle(&fixer(&bucket), BESIDE).await), ["quarantined"]);
    assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "2");
    // The same words need no second file.
    bucket.put(BESIDE, json!({ "Attributes": { "_version": 2 } }).to_string());
    assert_eq!(words(&settle(&fixer(&bucket), BESIDE).await), ["retired"]);
}

#[tokio::test]
async fn a_check_changes_nothing_and_says_what_would_be_done() {
    let bucket = MemoryBucket::default();
    bucket.put(SOURCE, json!({ "Attributes": { "_version": 2 } }).to_string());
    bucket.put("loose/x.metadata.json", "{}");
    let before = bucket.files();
    let Outcome::Written { key, from, changes } = fixer(&bucket).check(SOURCE).await.unwrap() else { panic!() };
    assert_eq!((key.as_str(), from.as_deref(), changes.len()), (TARGET, Some(SOURCE), 1));
    assert_eq!(fixer(&bucket).check("loose/x.metadata.json").await, Ok(Outcome::Valid));
    assert_eq!(fixer(&bucket).check("elsewhere/x.metadata.json").await, Ok(Outcome::Foreign));
    assert_eq!(bucket.files(), before);
    // Its successor is written, and it is still there; then it is not.
    fixer(&bucket).look(SOURCE).await.unwrap();
    assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Retired { source: SOURCE.into() }));
    fixer(&bucket).look(TARGET).await.unwrap();
    assert_eq!(fixer(&bucket).check(TARGET).await, Ok(Outcome::Valid));
}

/// A bucket that gives others a turn before and after each call, and tells of each new file.
struct Busy {
    objects: Arc<MemoryObjects>,
    events: Mutex<Vec<String>>,
}

impl Busy {
    async fn between_turns<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        Turn(false).await;
        let answer = call.await;
        Turn(false).await;
        answer
    }
}

/// One turn for whoever else is there.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let before = std::mem::replace(&mut self.0, true);
        if before { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[async_trait]
impl Objects for Busy {
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
            let answer = self.objects.put(bucket, key, object, condition).await;
            if answer == Ok(Changed::Done) {
                self.events.lock().unwrap().push(key.into());
            }
            answer
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

/// Something that somebody uploads, and the key that it is uploaded under.
type Upload = (&'static str, String);

/// What was uploaded last under a key, and the ways in which it may still be there.
struct Newest {
    content: String,
    mended: Vec<u8>,
    quarantined: String,
}

impl Newest {
    fn of(key: &str, content: &str) -> Self {
        let mended = match mend(content.as_bytes(), repo("handbook/")) {
            Verdict::Mended { bytes, .. } => bytes,
            Verdict::Valid | Verdict::Unmendable(_) => content.into(),
        };
        let quarantined = rules().quarantine_key(key, content.as_bytes());
        Self { content: content.into(), mended, quarantined }
    }

    /// As it was, mended in its place, or in quarantine.
    fn is_held(&self, key: &str, files: &BTreeMap<String, StoredObject>) -> bool {
        let is = |key: &str, bytes: &[u8]| files.get(key).is_some_and(|file| file.bytes == bytes);
        let content = self.content.as_bytes();
        is(key, content) || is(TARGET, &self.mended) || is(&self.quarantined, content)
    }
}

/// A look at a key, under way.
type Look = Pin<Box<dyn Future<Output = Result<Outcome>>>>;

/// Plays a story under bad luck, and answers the bucket as it is in the end.
fn play(seed: u64, versioned: bool, story: &[Upload]) -> MemoryBucket {
    let mut dice = fastrand::Rng::with_seed(seed);
    let objects = Arc::new(if versioned { MemoryObjects::versioned() } else { MemoryObjects::default() });
    let bucket = MemoryBucket::of(Arc::clone(&objects), "documents");
    let busy = Arc::new(Busy { objects, events: Mutex::default() });
    let documents = Bucket::new(busy.clone(), "documents");
    let fixer = Fixer { rules: Arc::new(rules().clone()), documents };
    let mut story = story.iter().cloned().collect::<std::collections::VecDeque<_>>();
    let mut newest: BTreeMap<&str, Newest> = BTreeMap::new();
    let mut queue: Vec<String> = Vec::new();
    let mut running: Vec<(String, Look)> = Vec::new();
    let (mut kills, mut doubles) = (6, 6);
    for _ in 0..20_000 {
        queue.append(&mut busy.events.lock().unwrap());
        if story.is_empty() && queue.is_empty() && running.is_empty() {
            return bucket;
        }
        match dice.u32(0..16) {
            0 => {
                if let Some((key, content)) = story.pop_front() {
                    newest.insert(key, Newest::of(key, &content));
                    bucket.put(key, content);
                    queue.push(key.into());
                }
            }
            // An event comes again, while or after it is worked on.
            1 if doubles > 0 && !queue.is_empty() => {
                doubles -= 1;
                let again = queue[dice.usize(0..queue.len())].clone();
                queue.push(again);
            }
            // A process dies; its message comes back.
            2 if kills > 0 && !running.is_empty() => {
                kills -= 1;
                let (key, dead) = running.swap_remove(dice.usize(0..running.len()));
                drop(dead);
                queue.push(key);
            }
            3..6 if running.len() < 4 && !queue.is_empty() => {
                let key = queue.swap_remove(dice.usize(0..queue.len()));
                let fixer = fixer.clone();
                let of = key.clone();
                running.push((key, Box::pin(async move { fixer.look(&of).await })));
            }
            _ if !running.is_empty() => {
                let turn = dice.usize(0..running.len());
                if let Poll::Ready(answer) = running[turn].1.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    let (key, _) = running.swap_remove(turn);
                    if answer.is_err() {
                        queue.push(key);
                    }
                }
            }
            _ => {}
        }
        let files = bucket.files();
        for (key, upload) in &newest {
            let words = || format!("seed {seed}: {key} = {} is lost; there are {:#?}", upload.content, files.keys());
            assert!(upload.is_held(key, &files), "{}", words());
        }
    }
    panic!("seed {seed}: it never ends; {queue:?}; {:#?}", bucket.files())
}

const SEEDS: u64 = 1000;

fn version(number: u32) -> String {
    json!({ "Attributes": { "_version": number } }).to_string()
}

#[test]
fn the_newest_source_wins_and_leaves_nothing_behind() {
    for seed in 0..SEEDS {
        let bucket = play(seed, seed % 2 == 0, &[(SOURCE, version(1)), (SOURCE, version(2)), (SOURCE, version(3))]);
        let files = bucket.files();
        assert_eq!(files.keys().collect::<Vec<_>>(), [TARGET], "seed {seed}");
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "3", "seed {seed}");
    }
}

#[test]
fn what_is_uploaded_into_its_place_is_fixed_there() {
    for seed in 0..SEEDS {
        let bucket = play(seed, false, &[(TARGET, version(1)), (TARGET, version(2))]);
        assert_eq!(text(&bucket, TARGET)["Attributes"]["_version"], "2", "seed {seed}");
        // Of what was overwritten before anybody looked, nobody kept a copy.
        let original = rules().original_key(TARGET, version(2).as_bytes());
        assert_eq!(bucket.files()[&original].bytes, version(2).as_bytes(), "seed {seed}");
    }
}

#[test]
fn of_two_sources_one_is_in_its_place_and_the_other_in_quarantine() {
    for seed in 0..SEEDS {
        let bucket = play(seed, seed % 2 == 0, &[(SOURCE, version(1)), (BESIDE, version(2))]);
        let files = bucket.files();
        assert!(!files.contains_key(SOURCE) && !files.contains_key(BESIDE), "seed {seed}: {:?}", files.keys());
        assert_eq!(files.keys().filter(|key| key.starts_with("metadata-quarantine/")).count(), 2, "seed {seed}");
        assert!(files.contains_key(TARGET));
    }
}

#[test]
fn what_cannot_be_mended_ends_in_quarantine_with_its_reason() {
    for seed in 0..SEEDS {
        let story = [(SOURCE, "{ not JSON".to_owned()), (SOURCE, version(1)), (SOURCE, "[]".to_owned())];
        let bucket = play(seed, seed % 2 == 0, &story);
        let files = bucket.files();
        assert!(!files.contains_key(SOURCE), "seed {seed}");
        for copy in files.keys().filter(|key| key.starts_with("metadata-quarantine/") && !key.ends_with(".reason.json"))
        {
            assert!(files.contains_key(&format!("{copy}.reason.json")), "seed {seed}: {copy}");
        }
        assert!(files.get(TARGET).is_none_or(|file| mend(&file.bytes, repo("handbook/")) == Verdict::Valid));
    }
}
