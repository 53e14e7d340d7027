//! Tests of the fixer.

use std::sync::Arc;

use serde_json::json;
use shiftwork_ports::fake::{MemoryBucket, MemoryObjects};

use super::*;
use crate::sample::rules;

mod access;
mod documents;
mod simulation;

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

fn entry(name: &str) -> serde_json::Value {
    json!({ "Name": name, "Type": "GROUP", "Access": "ALLOW" })
}

/// Metadata with an access control list and an attribute that the index does not have.
fn restricted(group: &str) -> String {
    json!({ "Title": "t", "AccessControlList": [entry(group)], "Attributes": { "Tags": ["x"] } }).to_string()
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

/// Returns the reason file of the outcome that quarantined a file.
fn reason(bucket: &MemoryBucket, outcomes: &[Outcome]) -> serde_json::Value {
    let Some(Outcome::Quarantined { key, .. }) = outcomes.last() else { panic!("{outcomes:?}") };
    text(bucket, &format!("{key}.reason.json"))
}

#[tokio::test]
async fn what_the_reason_file_says_makes_the_metadata_effective() {
    let right = json!({ "Title": "right" }).to_string();
    // Metadata that only has a wrong field goes back to its key.
    for key in [SOURCE, TARGET] {
        let bucket = MemoryBucket::default();
        bucket.put(key, json!({ "Attributes": { "Tags": ["x"] } }).to_string());
        let what = reason(&bucket, &settle(&fixer(&bucket), key).await)["what_to_do"].to_string();
        assert!(what.contains(&format!("put it back as {key}")), "{what}");
        assert_eq!(what.contains("or, if"), key == SOURCE, "{what}");
        bucket.put(key, right.clone());
        settle(&fixer(&bucket), key).await;
        assert_eq!(text(&bucket, TARGET)["Title"], "right", "{key}");
    }
    // The target key has another file, or a stub of other metadata. With and without a mistake, the metadata goes to the target key.
    for (at_target, content) in [
        (json!({ "Title": "by hand" }).to_string(), right.clone()),
        (json!({ "Title": "by hand" }).to_string(), restricted("finance")),
        (restricted("hr"), right.clone()),
        (restricted("hr"), restricted("finance")),
    ] {
        let bucket = MemoryBucket::default();
        bucket.put(TARGET, at_target.clone());
        settle(&fixer(&bucket), TARGET).await;
        bucket.put(SOURCE, content.clone());
        let reason = reason(&bucket, &settle(&fixer(&bucket), SOURCE).await);
        let what = reason["what_to_do"].to_string();
        assert!(what.contains(&format!("put it at {TARGET}: as {SOURCE}")), "{at_target} {content}: {what}");
        assert_eq!(reason.get("stubs"), None, "{at_target} {content}: no stub was written");
        bucket.put(SOURCE, right.clone());
        assert_eq!(names(&settle(&fixer(&bucket), SOURCE).await), ["quarantined"], "{at_target} {content}");
        bucket.put(TARGET, right.clone());
        assert_eq!(names(&settle(&fixer(&bucket), TARGET).await), ["valid"], "{at_target} {content}");
    }
    // Metadata of several documents goes to the key of each.
    let bucket = MemoryBucket::default();
    for (key, content) in [(DOCUMENT, "a document"), ("handbook/a/b.docx", "a document"), (STEM, right.as_str())] {
        bucket.put(key, content);
    }
    let what = reason(&bucket, &settle(&fixer(&bucket), STEM).await)["what_to_do"].to_string();
    let targets = format!("put it at metadata/handbook/a/b.docx.metadata.json and {TARGET}: as {STEM}");
    assert!(what.contains(&targets), "{what}");
    // A document whose metadata would have too long a key.
    let long = format!("handbook/{}.pdf.meta.json", "x".repeat(1000));
    bucket.put(&long, right);
    let what = reason(&bucket, &settle(&fixer(&bucket), &long).await)["what_to_do"].to_string();
    assert!(what.contains("give the document a shorter key"), "{what}");
}
