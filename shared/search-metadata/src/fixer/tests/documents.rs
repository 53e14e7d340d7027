//! Tests of metadata that waits for its document, or can be a document itself.

use super::*;

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
async fn the_event_of_a_document_finds_other_documents_with_its_stem() {
    for event in [DOCUMENT, "handbook/a/b.docx"] {
        let bucket = MemoryBucket::default();
        for (key, content) in [
            (STEM, json!({ "Title": "T" }).to_string()),
            (DOCUMENT, "a document".to_owned()),
            ("handbook/a/b.docx", "a document".to_owned()),
            ("handbook/a/b.c.pdf", "of another stem".to_owned()),
        ] {
            bucket.put(key, content);
        }
        let outcomes = settle(&fixer(&bucket), event).await;
        assert_eq!(names(&outcomes), ["quarantined"], "{event}");
        assert!(!bucket.files().contains_key(TARGET), "{event}");
    }
}
