use serde_json::{Value, json};

use super::*;
use crate::sample::repo;

mod access;

fn verdict(prefix: &str, bytes: &[u8]) -> Verdict {
    fix(bytes, repo(prefix))
}

/// The fixed content and the fixes; panics if the metadata is valid or cannot be fixed.
fn fixed(prefix: &str, source: &Value) -> (Value, Vec<(String, FixKind)>) {
    match verdict(prefix, source.to_string().as_bytes()) {
        Verdict::Fixed { bytes, fixes } => {
            (serde_json::from_slice(&bytes).unwrap(), fixes.into_iter().map(|fix| (fix.field, fix.kind)).collect())
        }
        other => panic!("{source}: {other:?}"),
    }
}

/// Asserts that metadata is fixed to `wanted`.
fn becomes(prefix: &str, source: &Value, wanted: &Value) {
    assert_eq!(fixed(prefix, source).0, *wanted);
}

fn problems(prefix: &str, source: &Value) -> String {
    match verdict(prefix, source.to_string().as_bytes()) {
        Verdict::Unfixable { problems, .. } => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn valid_metadata_for_kendra_is_unchanged_in_any_layout() {
    for text in [
        "{}",
        r#"{ "Attributes": {}, "AccessControlList": [] }"#,
        r#"{"Title":"T","DocumentId":"d-1","ContentType":"PDF"}"#,
        "{\r\n\t\"Attributes\": {\"_version\": \"1.10\", \"_authors\": [\"A\", \"B\"], \"_view_count\": 7, \"pages\": -3,
            \"_created_at\": \"2012-03-25T12:30:10+01:00\", \"tags\": [\"x\"], \"due\": \"2026-03-01T00:00:00.5Z\"}}",
        r#"{"AccessControlList": [{"Type": "GROUP", "Name": "all", "Access": "ALLOW"}, {"Name": "x", "Type": "USER", "Access": "DENY"}]}"#,
    ] {
        assert_eq!(verdict("handbook/", text.as_bytes()), Verdict::Valid, "{text}");
    }
}

#[test]
fn every_attribute_gets_its_type_in_kendra() {
    let source = json!({ "Attributes": {
        "_version": 3, "_created_at": 1_772_323_200, "_last_updated_at": "01.03.2026", "_view_count": "12",
        "_authors": "Jane Doe; Max Roe", "_category": ["HR"], "tags": [1, true, "x", ""], "pages": 4.0, "due": 1_772_323_200_000_i64,
        "_source_uri": null, "department": "" } });
    let (found, fixes) = fixed("handbook/", &source);
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
    let mut fixes = fixes;
    fixes.sort();
    assert_eq!(fixes, wanted.map(|(field, kind)| (field.to_owned(), kind)));
}

#[test]
fn a_version_keeps_its_digits() {
    let Verdict::Fixed { bytes, .. } = verdict("handbook/", br#"{"Attributes": {"_version": 1.10}}"#) else { panic!() };
    assert!(String::from_utf8(bytes).unwrap().contains(r#""_version": "1.10""#));
}

#[test]
fn fields_of_the_repository_are_mapped_to_attributes_of_the_index() {
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
fn the_encoding_becomes_utf_8_without_a_byte_order_mark() {
    let text = r#"{"Title": "Über"}"#;
    let utf16 = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
        [mark.to_vec(), text.encode_utf16().flat_map(unit).collect()].concat()
    };
    for bytes in [
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        utf16([0xFF, 0xFE], u16::to_le_bytes),
        utf16([0xFE, 0xFF], u16::to_be_bytes),
    ] {
        let Verdict::Fixed { bytes, fixes } = verdict("handbook/", &bytes) else { panic!() };
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), json!({ "Title": "Über" }));
        assert_eq!(fixes, [Fix { field: String::new(), kind: FixKind::Encoding }]);
    }
    let Verdict::Unfixable { problems, .. } = verdict("handbook/", b"{\"Title\": \"\xDCber\"}") else { panic!() };
    assert!(problems[0].message.contains("save it as UTF-8"));
    assert!(matches!(verdict("handbook/", b"\xFF\xFE{"), Verdict::Unfixable { .. }));
}

#[test]
fn a_problem_says_what_is_wrong_and_how_to_fix_it() {
    for (source, message) in [
        (json!([]), "expected a JSON object, found a list"),
        (json!({ "Attributes": [] }), "expected an object of attributes, found a list"),
        (json!({ "Attributes": { "colour": "red" } }), "`colour`: is not an attribute of the index: declare it"),
        (json!({ "Attributes": { "_author": "x" } }), "did you mean `_authors`?"),
        (json!({ "Attributes": { "no way": "x" } }), "`no way` is not a valid name of an attribute"),
        (json!({ "Attributes": { "n".repeat(201): "x" } }), "the name has 201 characters: at most 200 are allowed"),
        (
            json!({ "Attributes": { "_created_at": "someday" } }),
            "(ISO 8601, %d.%m.%Y, epoch_seconds, epoch_millis), found the text `someday`",
        ),
        (json!({ "Attributes": { "_view_count": "many" } }), "expected a whole number, found the text `many`"),
        (json!({ "Attributes": { "_view_count": 1.5 } }), "the number 1.5"),
        (json!({ "Attributes": { "_category": { "a": 1 } } }), "expected a text, found an object"),
        (json!({ "Attributes": { "_authors": [["x"]] } }), "found a list in the list"),
        (
            json!({ "Attributes": { "_category": "x".repeat(2049) } }),
            "the text has 2049 characters: at most 2048 are allowed; `cut_long_text: true`",
        ),
        (json!({ "Attributes": { "tags": vec!["x"; 11] } }), "the list has 11 texts: at most 10 are allowed"),
        (json!({ "ContentType": "SCROLL" }), "`SCROLL` is not one of `PDF`"),
        (json!({ "DocumentId": "x".repeat(2049) }), "2049"),
        (
            json!({ "AccessControlList": [{ "Name": "x", "Type": "ROLE", "Access": "ALLOW" }] }),
            "AccessControlList[0]`: `Type` must be USER or GROUP",
        ),
        (json!({ "AccessControlList": [{ "Name": "x", "Type": "USER" }] }), "each once"),
        (json!({ "AccessControlList": "all users" }), "a list of principals"),
        (
            json!({ "author": "A", "Attributes": { "_authors": ["B"] } }),
            "another field sets `_authors` to another value",
        ),
        (json!({ "Doc Title": "A", "Title": "B" }), "another field sets Title to `A`"),
        (json!({ "metadataAttributes": { "pages": { "value": { "type": "NUMBER" } } } }), "one of `stringValue`"),
        (
            json!({ "metadataAttributes": { "pages": 1 }, "documentStructureConfiguration": {} }),
            "Kendra does not support it",
        ),
    ] {
        let found = problems("handbook/", &source);
        assert!(found.contains(message), "{source}: {found}");
    }
}

#[test]
fn all_problems_are_reported_together() {
    let found =
        problems("handbook/", &json!({ "Attributes": { "_created_at": "x", "_view_count": "x", "colour": 1 } }));
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn undeclared_fields_are_kept_or_dropped_as_configured() {
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
fn metadata_for_kendra_is_converted_to_bedrock_and_back() {
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
    assert_eq!(verdict("research/", bedrock.to_string().as_bytes()), Verdict::Valid);
    // `_created_at` is a date for Kendra; here it is written as a string, because `loose` has no format of seconds.
    let mut back = bedrock;
    back["metadataAttributes"]["_created_at"] = json!("2026-03-01T00:00:00Z");
    becomes("loose/", &back, &kendra);
}

#[test]
fn values_for_bedrock_are_written_with_their_types_as_configured() {
    let plain = json!({ "metadataAttributes": { "a": "x", "b": 1.50, "c": true, "d": ["x", "y"] } });
    assert_eq!(verdict("research/", plain.to_string().as_bytes()), Verdict::Valid);
    let typed = json!({ "metadataAttributes": {
        "a": { "value": { "type": "STRING", "stringValue": "x" }, "includeForEmbedding": false },
        "b": { "value": { "type": "NUMBER", "numberValue": 1.5 }, "includeForEmbedding": false },
        "c": { "value": { "type": "BOOLEAN", "booleanValue": true }, "includeForEmbedding": false },
        "d": { "value": { "type": "STRING_LIST", "stringListValue": ["x", "y"] }, "includeForEmbedding": false } } });
    becomes("research/typed/", &plain, &typed);
    // `includeForEmbedding` is kept, even if the repository does not write types.
    assert_eq!(verdict("research/", typed.to_string().as_bytes()), Verdict::Valid);
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
fn metadata_for_bedrock_has_at_most_10_kb() {
    let attributes = |length: usize| {
        json!({ "metadataAttributes": { "a": "x".repeat(2000), "b": "x".repeat(2000), "c": "x".repeat(2000),
        "d": "x".repeat(2000), "e": "x".repeat(length) } })
    };
    let spacious = format!("{}{}", attributes(2000), " ".repeat(300));
    let Verdict::Fixed { bytes, fixes } = verdict("research/", spacious.as_bytes()) else { panic!() };
    assert!(bytes.len() <= 10 * 1024);
    assert_eq!(fixes, [Fix { field: String::new(), kind: FixKind::Size }]);
    let mut large = attributes(2000);
    large["metadataAttributes"]["f"] = json!("x".repeat(300));
    assert!(problems("research/", &large).contains("Bedrock reads at most 10240"));
    assert!(problems("research/", &json!({})).contains("the file has no attributes"));
    assert!(problems("research/", &json!({ "x-amz-bedrock-kb-source-uri": "x" })).contains("reserved for Bedrock"));
}

#[test]
fn attributes_of_bedrock_keep_their_names() {
    for name in [
        "title",
        "Title",
        "TITLE",
        "contentType",
        "ContentType",
        "content_type",
        "documentid",
        "documentId",
        "DocumentId",
        "document_id",
        "filename",
        "attributes",
        "Attributes",
        "source",
        "url",
        "author",
        "language",
        "version",
    ] {
        let source = json!({ "metadataAttributes": { "filename": "paper.pdf", name: "transcript" } });
        for prefix in ["research/", "managed/drops/", "managed/"] {
            match (prefix, name) {
                ("managed/drops/", _) => {}
                // The configuration maps it.
                ("managed/", "author") => {
                    becomes(
                        prefix,
                        &source,
                        &json!({ "metadataAttributes": { "filename": "paper.pdf", "_authors": ["transcript"] } }),
                    );
                }
                (_, _) => assert_eq!(verdict(prefix, source.to_string().as_bytes()), Verdict::Valid, "{prefix} {name}"),
            }
        }
    }
    // Fields of a repository keep their names for Bedrock, too.
    becomes(
        "research/",
        &json!({ "title": "A", "topic": "x" }),
        &json!({ "metadataAttributes": { "title": "A", "topic": "x" } }),
    );
    // For Kendra they are custom attributes, and not its members.
    let bedrock =
        json!({ "metadataAttributes": { "title": "A", "_document_title": "T", "contentType": "transcript" } });
    becomes("loose/", &bedrock, &json!({ "Title": "T", "Attributes": { "title": "A", "contentType": "transcript" } }));
    // Members of Kendra's format have any case, beside its attributes.
    becomes(
        "research/",
        &json!({ "title": "T", "Attributes": { "title": "A" } }),
        &json!({ "metadataAttributes": { "_document_title": "T", "title": "A" } }),
    );
}

#[test]
fn dates_are_not_guessed() {
    for (prefix, value) in [
        ("handbook/", json!("20260301")),
        ("handbook/", json!(20_260_301)),
        ("handbook/", json!(2026)),
        ("handbook/", json!("01.03.26")),
        ("loose/", json!("20260301")),
        ("managed/", json!("20260301")),
        ("managed/", json!("01.03.26")),
    ] {
        let name = if prefix == "managed/" { "metadataAttributes" } else { "Attributes" };
        let source = json!({ name: { "_created_at": value } });
        assert!(
            matches!(verdict(prefix, source.to_string().as_bytes()), Verdict::Unfixable { .. }),
            "{prefix} {source}"
        );
    }
    assert!(
        problems("handbook/", &json!({ "Attributes": { "_created_at": "20260301" } }))
            .contains("it could be the day 2026-03-01")
    );
    let end = json!({ "Attributes": { "_created_at": "9999-12-31T23:59:59Z" } });
    assert_eq!(verdict("handbook/", end.to_string().as_bytes()), Verdict::Valid);
    becomes("research/", &end, &json!({ "metadataAttributes": { "_created_at": 253_402_300_799_i64 } }));
}
