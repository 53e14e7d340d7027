//! Tests of metadata that says who may see a document.

use super::*;

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
