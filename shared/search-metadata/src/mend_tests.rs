use serde_json::{Value, json};

use super::*;
use crate::sample::repo;

fn judge(prefix: &str, bytes: &[u8]) -> Verdict {
    mend(bytes, repo(prefix))
}

/// What becomes of some metadata, and what was done to it.
fn mended(prefix: &str, source: &Value) -> (Value, Vec<(String, FixKind)>) {
    match judge(prefix, source.to_string().as_bytes()) {
        Verdict::Mended { bytes, changes } => (
            serde_json::from_slice(&bytes).unwrap(),
            changes.into_iter().map(|change| (change.field, change.sort)).collect(),
        ),
        other => panic!("{source}: {other:?}"),
    }
}

fn becomes(prefix: &str, source: &Value, wanted: &Value) {
    assert_eq!(mended(prefix, source).0, *wanted);
}

fn problems(prefix: &str, source: &Value) -> String {
    match judge(prefix, source.to_string().as_bytes()) {
        Verdict::Unmendable(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn what_kendra_takes_is_left_alone_however_it_is_laid_out() {
    for text in [
        "{}",
        r#"{ "Attributes": {}, "AccessControlList": [] }"#,
        r#"{"Title":"T","DocumentId":"d-1","ContentType":"PDF"}"#,
        "{\r\n\t\"Attributes\": {\"_version\": \"1.10\", \"_authors\": [\"A\", \"B\"], \"_view_count\": 7, \"pages\": -3,
            \"_created_at\": \"2012-03-25T12:30:10+01:00\", \"tags\": [\"x\"], \"due\": \"2026-03-01T00:00:00.5Z\"}}",
        r#"{"AccessControlList": [{"Type": "GROUP", "Name": "all", "Access": "ALLOW"}, {"Name": "x", "Type": "USER", "Access": "DENY"}]}"#,
    ] {
        assert_eq!(judge("handbook/", text.as_bytes()), Verdict::Valid, "{text}");
    }
}

#[test]
fn every_attribute_gets_the_type_that_kendra_knows_it_by() {
    let source = json!({ "Attributes": {
        "_version": 3, "_created_at": 1_772_323_200, "_last_updated_at": "01.03.2026", "_view_count": "12",
        "_authors": "Jane Doe; Max Roe", "_category": ["HR"], "tags": [1, true, "x", ""], "pages": 4.0, "due": 1_772_323_200_000_i64,
        "_source_uri": null, "department": "" } });
    let (found, changes) = mended("handbook/", &source);
    let wanted = json!({ "Attributes": {
        "_version": "3", "_created_at": "2026-03-01T00:00:00Z", "_last_updated_at": "2026-03-01T00:00:00+01:00", "_view_count": 12,
        "_authors": ["Jane Doe", "Max Roe"], "_category": "HR", "tags": ["1", "true", "x"], "pages": 4, "due": "2026-03-01T00:00:00Z" } });
    assert_eq!(found, wanted);
    let wanted = [
        ("_authors", FixKind::List),
        ("_category", FixKind::Text),
        ("_created_at", FixKind::Date),
        ("_last_updated_at", FixKind::Date),
        ("_source_uri", FixKind::Dropped),
        ("_version", FixKind::Text),
        ("_view_count", FixKind::Number),
        ("department", FixKind::Dropped),
        ("due", FixKind::Date),
        ("pages", FixKind::Number),
        ("tags", FixKind::Text),
    ];
    let mut changes = changes;
    changes.sort();
    assert_eq!(changes, wanted.map(|(field, sort)| (field.to_owned(), sort)));
}

#[test]
fn a_version_keeps_the_digits_that_it_was_written_with() {
    let Verdict::Mended { bytes, .. } = judge("handbook/", br#"{"Attributes": {"_version": 1.10}}"#) else { panic!() };
    assert!(String::from_utf8(bytes).unwrap().contains(r#""_version": "1.10""#));
}

#[test]
fn names_of_the_repository_become_names_of_the_index() {
    becomes(
        "handbook/",
        &json!({ "author": "Jane", "Doc Title": "T", "Changed": "2026-03-01", "internal_id": 9, "contenttype": "application/pdf",
                 "attributes": { "pages": 1 }, "accessControlList": [{ "name": "hr", "type": "group", "access": "allow" }] }),
        &json!({ "Title": "T", "ContentType": "PDF",
                 "Attributes": { "_authors": ["Jane"], "_last_updated_at": "2026-03-01T00:00:00+01:00", "pages": 1 },
                 "AccessControlList": [{ "Name": "hr", "Type": "GROUP", "Access": "ALLOW" }] }),
    );
}

#[test]
fn the_encoding_becomes_utf_8_without_a_mark() {
    let text = r#"{"Title": "Über"}"#;
    let utf16 = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
        [mark.to_vec(), text.encode_utf16().flat_map(unit).collect()].concat()
    };
    for bytes in [
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        utf16([0xFF, 0xFE], u16::to_le_bytes),
        utf16([0xFE, 0xFF], u16::to_be_bytes),
    ] {
        let Verdict::Mended { bytes, changes } = judge("handbook/", &bytes) else { panic!() };
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), json!({ "Title": "Über" }));
        assert_eq!(changes, [Change { field: String::new(), sort: FixKind::Encoding }]);
    }
    let Verdict::Unmendable(problems) = judge("handbook/", b"{\"Title\": \"\xDCber\"}") else { panic!() };
    assert!(problems[0].words.contains("save it as UTF-8"));
    assert!(matches!(judge("handbook/", b"\xFF\xFE{"), Verdict::Unmendable(_)));
}

#[test]
fn what_nobody_can_mend_says_what_to_do() {
    for (source, words) in [
        (json!([]), "metadata is a JSON object"),
        (json!({ "Attributes": [] }), "expected an object of attributes, found a list"),
        (json!({ "Attributes": { "colour": "red" } }), "`colour`: is no attribute of the index: declare it"),
        (json!({ "Attributes": { "_author": "x" } }), "did you mean `_authors`?"),
        (json!({ "Attributes": { "no way": "x" } }), "`no way` cannot name an attribute"),
        (json!({ "Attributes": { "n".repeat(201): "x" } }), "200 characters"),
        (
            json!({ "Attributes": { "_created_at": "someday" } }),
            "ISO 8601, %d.%m.%Y, epoch_seconds, epoch_millis): the text `someday`",
        ),
        (json!({ "Attributes": { "_view_count": "many" } }), "expected a whole number, found the text `many`"),
        (json!({ "Attributes": { "_view_count": 1.5 } }), "the number 1.5"),
        (json!({ "Attributes": { "_category": { "a": 1 } } }), "expected a text, found an object"),
        (json!({ "Attributes": { "_authors": [["x"]] } }), "found a list in it"),
        (json!({ "Attributes": { "_category": "x".repeat(2049) } }), "and this one 2049; `cut_long_text: true`"),
        (json!({ "Attributes": { "tags": vec!["x"; 11] } }), "a list has 10 texts at most, and this one 11"),
        (json!({ "ContentType": "SCROLL" }), "`SCROLL` is none of `PDF`"),
        (json!({ "DocumentId": "x".repeat(2049) }), "2049"),
        (
            json!({ "AccessControlList": [{ "Name": "x", "Type": "ROLE", "Access": "ALLOW" }] }),
            "AccessControlList[0]`: `Type` is USER or GROUP",
        ),
        (json!({ "AccessControlList": [{ "Name": "x", "Type": "USER" }] }), "each once"),
        (json!({ "AccessControlList": "everybody" }), "a list of principals"),
        (json!({ "author": "A", "Attributes": { "_authors": ["B"] } }), "another field is `_authors` already"),
        (json!({ "Doc Title": "A", "Title": "B" }), "another field says"),
        (json!({ "metadataAttributes": { "pages": { "value": { "type": "NUMBER" } } } }), "one of `stringValue`"),
        (
            json!({ "metadataAttributes": { "pages": 1 }, "documentStructureConfiguration": {} }),
            "takes no CSV file apart",
        ),
    ] {
        let found = problems("handbook/", &source);
        assert!(found.contains(words), "{source}: {found}");
    }
}

#[test]
fn all_problems_come_at_once() {
    let found =
        problems("handbook/", &json!({ "Attributes": { "_created_at": "x", "_view_count": "x", "colour": 1 } }));
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn what_nobody_declared_is_kept_or_dropped_where_the_repository_says_so() {
    let source = json!({ "Attributes": { "colour": 3, "sizes": ["s"], "is_new": true }, "Title": "T" });
    becomes(
        "loose/",
        &source,
        &json!({ "Title": "T", "Attributes": { "colour": 3, "sizes": ["s"], "is_new": "true" } }),
    );
    becomes("drops/", &source, &json!({ "Title": "T" }));
    becomes("loose/", &json!({ "a": "ü".repeat(3000) }), &json!({ "Attributes": { "a": "ü".repeat(2048) } }));
}

#[test]
fn kendra_becomes_bedrock_and_nothing_is_lost() {
    let kendra = json!({
        "DocumentId": "d-1", "Title": "T", "ContentType": "PDF",
        "Attributes": { "_category": "HR", "_authors": ["A"], "_view_count": 7, "_created_at": "2026-03-01T00:00:00Z", "colour": "red" },
        "AccessControlList": [{ "Name": "hr", "Type": "GROUP", "Access": "ALLOW" }, { "Name": "max", "Type": "USER", "Access": "DENY" }],
    });
    let bedrock = json!({ "metadataAttributes": {
        "_document_id": "d-1", "_document_title": "T", "_content_type": "PDF", "_authors": ["A"], "_view_count": 7, "colour": "red",
        "_category": { "value": { "type": "STRING", "stringValue": "HR" }, "includeForEmbedding": true },
        "_created_at": 1_772_323_200, "_allowed_groups": ["hr"], "_denied_users": ["max"] } });
    becomes("research/", &kendra, &bedrock);
    assert_eq!(judge("research/", bedrock.to_string().as_bytes()), Verdict::Valid);
    // Where the numbers of dates are known for dates, they come back.
    let mut back = bedrock;
    back["metadataAttributes"]["_created_at"] = json!("2026-03-01T00:00:00Z");
    becomes("loose/", &back, &kendra);
}

#[test]
fn bedrock_knows_its_own_types() {
    let plain = json!({ "metadataAttributes": { "a": "x", "b": 1.50, "c": true, "d": ["x", "y"] } });
    assert_eq!(judge("research/", plain.to_string().as_bytes()), Verdict::Valid);
    let typed = json!({ "metadataAttributes": {
        "a": { "value": { "type": "STRING", "stringValue": "x" }, "includeForEmbedding": false },
        "b": { "value": { "type": "NUMBER", "numberValue": 1.5 }, "includeForEmbedding": false },
        "c": { "value": { "type": "BOOLEAN", "booleanValue": true }, "includeForEmbedding": false },
        "d": { "value": { "type": "STRING_LIST", "stringListValue": ["x", "y"] }, "includeForEmbedding": false } } });
    becomes("research/typed/", &plain, &typed);
    // The flag was somebody's will.
    assert_eq!(judge("research/", typed.to_string().as_bytes()), Verdict::Valid);
    becomes(
        "research/",
        &json!({ "metadataAttributes": { "score": "4.50", "peer_reviewed": "TRUE", "_created_at": "3/1/2026" } }),
        &json!({ "metadataAttributes": { "score": 4.50, "peer_reviewed": true, "_created_at": 1_772_323_200 } }),
    );
    let wrong = json!({ "metadataAttributes": { "a": { "value": { "type": "NUMBER", "stringValue": "x" }, "includeForEmbedding": "true" } } });
    let right = json!({ "metadataAttributes": { "a": { "value": { "type": "STRING", "stringValue": "x" }, "includeForEmbedding": true } } });
    becomes("research/", &wrong, &right);
}

#[test]
fn bedrock_reads_ten_kilobytes() {
    let attributes = |length: usize| {
        json!({ "metadataAttributes": { "a": "x".repeat(2000), "b": "x".repeat(2000), "c": "x".repeat(2000),
        "d": "x".repeat(2000), "e": "x".repeat(length) } })
    };
    let spacious = format!("{}{}", attributes(2000), " ".repeat(300));
    let Verdict::Mended { bytes, changes } = judge("research/", spacious.as_bytes()) else { panic!() };
    assert!(bytes.len() <= 10 * 1024);
    assert_eq!(changes, [Change { field: String::new(), sort: FixKind::Size }]);
    let mut large = attributes(2000);
    large["metadataAttributes"]["f"] = json!("x".repeat(300));
    assert!(problems("research/", &large).contains("Bedrock takes 10240 bytes"));
    assert!(problems("research/", &json!({})).contains("no attribute in it"));
    assert!(problems("research/", &json!({ "x-amz-bedrock-kb-source-uri": "x" })).contains("Bedrock's own"));
}
