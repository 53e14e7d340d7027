//! Property tests: no input causes a panic, and the output is valid for a check that follows the documentation of Kendra and
//! Bedrock and uses no code of this crate.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use crate::{
    fix::{Verdict, fix, is_recognized, restricts},
    pattern::{Pattern, Subject},
    sample::{repo, rules},
};

const PREFIXES: [&str; 7] =
    ["handbook/", "research/", "research/typed/", "loose/", "drops/", "managed/", "managed/drops/"];

fn name() -> impl Strategy<Value = String> {
    let known = [
        "_authors",
        "_category",
        "_created_at",
        "_last_updated_at",
        "_version",
        "_view_count",
        "_document_title",
        "_document_id",
        "_content_type",
        "_allowed_groups",
        "Title",
        "title",
        "DocumentId",
        "ContentType",
        "Attributes",
        "AccessControlList",
        "accessControlList",
        "access_control_list",
        "acl",
        "allowed_groups",
        "contentType",
        "metadataAttributes",
        "documentStructureConfiguration",
        "author",
        "Doc Title",
        "Changed",
        "internal_id",
        "department",
        "tags",
        "pages",
        "due",
        "score",
        "peer_reviewed",
        "_kept",
        "value",
        "x-amz-bedrock-kb-x",
    ];
    prop_oneof![6 => prop::sample::select(known.to_vec()).prop_map(String::from), 1 => "\\PC{0,12}", 1 => "[a-z_-]{195,205}"]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_000_000_000_000_i64..2_000_000_000_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "2026-03-01",
            "01.03.2026",
            "3/1/2026",
            "1772323200",
            "2026-03-01T00:00:00Z",
            "PDF",
            "text/html",
            "a; b ;",
            "true",
            "12",
            " ",
            "-0",
            "1e400",
            "9999-12-31T23:59:59Z",
            "99999999999",
            "2026-03-29 02:30",
            "0000-01-01",
        ])
        .prop_map(Value::from),
        (2040_usize..2056).prop_map(|length| Value::from("ü".repeat(length))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let principal = (
        prop_oneof![scalar(), Just(json!("a@example.com"))],
        prop::sample::select(vec!["USER", "group", "x"]),
        prop::sample::select(vec!["ALLOW", "deny", "x"]),
    )
        .prop_map(|(name, of, access)| json!({ "Name": name, "Type": of, "Access": access }));
    let typed = (prop::sample::select(vec!["stringValue", "numberValue", "booleanValue", "stringListValue"]), scalar(), any::<Option<bool>>())
        .prop_map(|(member, value, embed)| json!({ "value": { "type": "STRING", member: value }, "includeForEmbedding": embed }));
    prop_oneof![6 => scalar(), 2 => vec(scalar(), 0..13).prop_map(Value::from), 1 => typed, 1 => vec(principal, 0..4).prop_map(Value::from)]
}

fn members() -> impl Strategy<Value = Map<String, Value>> {
    vec((name(), value()), 0..8).prop_map(|members| members.into_iter().collect())
}

fn document() -> impl Strategy<Value = Value> {
    let inner = prop::sample::select(vec!["Attributes", "metadataAttributes", "attributes"]);
    prop_oneof![
        members().prop_map(Value::from),
        (members(), inner, members()).prop_map(|(mut outer, name, inner)| {
            outer.insert(name.into(), inner.into());
            outer.into()
        }),
        (name(), members()).prop_map(|(name, inner)| json!({ name: inner })),
        value(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fixed_metadata_is_valid_and_is_not_fixed_again(source in document(), prefix in prop::sample::select(PREFIXES.to_vec())) {
        let repo = repo(prefix);
        let bytes = source.to_string().into_bytes();
        match fix(&bytes, repo) {
            Verdict::Valid => prop_assert_eq!(first_error(&bytes, prefix), None),
            Verdict::Fixed { bytes, fixes } => {
                prop_assert!(!fixes.is_empty());
                prop_assert_eq!(first_error(&bytes, prefix), None, "{}", String::from_utf8_lossy(&bytes));
                prop_assert_eq!(fix(&bytes, repo), Verdict::Valid);
            }
            Verdict::Unfixable { problems, stub } => {
                prop_assert!(!problems.is_empty());
                // A stub is valid, and is an access control list.
                if let Some(stub) = stub {
                    prop_assert_eq!(fix(&stub, repo), Verdict::Valid);
                    prop_assert_eq!(first_error(&stub, prefix), None);
                    prop_assert!(restricts(&stub, repo));
                }
                // Only some configurations fix a file again each time; the configuration of the tests does not.
                prop_assert!(!problems[0].message.contains("again each time"), "{problems:?}");
            }
        }
    }

    #[test]
    fn an_object_that_says_who_may_see_a_document_is_recognized(
        source in members(), cut in any::<prop::sample::Index>(), prefix in prop::sample::select(PREFIXES.to_vec()),
    ) {
        let repo = repo(prefix);
        let bytes = Value::from(source).to_string().into_bytes();
        prop_assert!(!restricts(&bytes, repo) || is_recognized(&bytes, repo));
        // The upload ended early.
        let broken = &bytes[..cut.index(bytes.len())];
        prop_assert!(!restricts(broken, repo) || is_recognized(broken, repo));
    }

    #[test]
    fn any_bytes_have_a_verdict(bytes in vec(any::<u8>(), 0..200), mark in prop::sample::select(vec![vec![], vec![0xEF, 0xBB, 0xBF], vec![0xFF, 0xFE]])) {
        for prefix in PREFIXES {
            let _ = fix(&[mark.clone(), bytes.clone()].concat(), repo(prefix));
        }
    }

    #[test]
    fn converting_metadata_from_kendra_to_bedrock_and_back_loses_nothing(source in document()) {
        if let Verdict::Fixed { bytes: kendra, .. } = fix(source.to_string().as_bytes(), repo("loose/"))
            && let Verdict::Fixed { bytes: bedrock, .. } = fix(&kendra, repo("research/typed/"))
        {
            // Kendra has a member and an attribute for a title, an id and a type; they are converted back to the member.
            let before: Value = serde_json::from_slice(&kendra).unwrap();
            let two = ["_document_title", "_document_id", "_content_type"].iter().any(|name| before["Attributes"].get(name).is_some());
            let list = before["Attributes"].as_object().into_iter().flatten().any(|(name, _)| name.contains("_allowed") );
            if !two && !list {
                let Verdict::Fixed { bytes: back, .. } = fix(&bedrock, repo("loose/")) else { panic!("{}", String::from_utf8_lossy(&bedrock)) };
                prop_assert_eq!(sorted(&kendra), sorted(&back));
            }
        }
    }

    #[test]
    fn a_pattern_maps_a_key_back_to_its_document(
        text in prop::sample::select(vec!["{document}.json", "_m/{document}", "{folder}_m/{name}.j", "{folder}.{name}", "x/{folder}y-{name}-z"]),
        document in "([a-y.]{1,3}/){0,3}[a-y.]{1,5}\\.pdf",
    ) {
        let pattern = Pattern::read(text).unwrap();
        let key = pattern.key(&document).unwrap();
        prop_assert_eq!(pattern.subject(&key), Some(Subject::Document(document)));
    }

    #[test]
    fn any_key_has_a_role(key in "\\PC{0,40}") {
        let rules = rules();
        let _ = rules.role(&key);
        let _ = rules.role(&format!("handbook/{key}.json"));
        let _ = rules.role(&format!("metadata/handbook/{key}.metadata.json"));
    }
}

/// The value with sorted principals, because their order has no meaning.
fn sorted(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    if let Some(entries) = value["AccessControlList"].as_array_mut() {
        entries.sort_by_key(ToString::to_string);
    }
    value
}

/// The first error that Kendra or Bedrock would report, according to their documentation.
fn first_error(bytes: &[u8], prefix: &str) -> Option<String> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Some("not valid JSON".into()) };
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Some("a byte order mark".into());
    }
    if prefix.starts_with("research/") || prefix.starts_with("managed/") {
        bedrock(bytes, &value)
    } else {
        kendra(&value)
    }
}

fn kendra(value: &Value) -> Option<String> {
    for (name, value) in value.as_object()? {
        let fits = match name.as_str() {
            "DocumentId" | "Title" => value.is_string(),
            "ContentType" => {
                value.as_str().is_some_and(|text| text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
            }
            "AccessControlList" => value.as_array().is_some_and(|entries| entries.iter().all(principal)),
            "Attributes" => {
                let wrong = value.as_object()?.iter().find(|(name, value)| !attribute(name, value));
                if let Some((name, value)) = wrong {
                    return Some(format!("{name}: {value}"));
                }
                true
            }
            _ => false,
        };
        if !fits {
            return Some(format!("{name}: {value}"));
        }
    }
    None
}

fn principal(entry: &Value) -> bool {
    let word = |name: &str, message: [&str; 2]| entry[name].as_str().is_some_and(|word| message.contains(&word));
    entry["Name"].as_str().is_some_and(|name| !name.is_empty())
        && word("Type", ["USER", "GROUP"])
        && word("Access", ["ALLOW", "DENY"])
        && entry.as_object().is_some_and(|members| members.len() == 3)
}

fn attribute(name: &str, value: &Value) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty() && text.chars().count() <= 2048);
    let texts =
        |value: &Value| value.as_array().is_some_and(|items| (1..=10).contains(&items.len()) && items.iter().all(text));
    let pattern = name.len() <= 200
        && name.bytes().enumerate().all(|(at, b)| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' && at > 0)
        && !name.is_empty();
    pattern
        && match name {
            "_authors" => texts(value),
            "_created_at" | "_last_updated_at" => instant(value),
            "_view_count" | "_excerpt_page_number" => value.is_i64(),
            _ => text(value) || texts(value) || value.is_i64(),
        }
}

fn instant(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let zone = text.ends_with('Z')
            || text.as_bytes().get(text.len().saturating_sub(6)).is_some_and(|b| *b == b'+' || *b == b'-');
        // An instant of jiff ends a day before the year 9999 does. The years 9998 and 9999 have the same days.
        let instant = text.replacen("9999-", "9998-", 1).parse::<jiff::Timestamp>();
        zone && text.as_bytes().get(10) == Some(&b'T') && instant.is_ok()
    })
}

fn bedrock(bytes: &[u8], value: &Value) -> Option<String> {
    if bytes.len() > 10_240 {
        return Some(format!("{} bytes", bytes.len()));
    }
    let members = ["metadataAttributes", "accessControlList", "documentStructureConfiguration"];
    if value.as_object()?.keys().any(|name| !members.contains(&name.as_str())) {
        return Some("a member that Bedrock does not have".into());
    }
    let entry =
        |entry: &Value| principal(entry) && entry["Type"] == "USER" && entry["Name"].as_str().unwrap().contains('@');
    if value
        .get("accessControlList")
        .is_some_and(|list| !list.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(entry)))
    {
        return Some("an access control list that Bedrock does not accept".into());
    }
    let scalar = |value: &Value| match value {
        Value::String(text) => (1..=2048).contains(&text.chars().count()),
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        Value::Bool(_) => true,
        Value::Array(items) => {
            (1..=10).contains(&items.len())
                && items.iter().all(|item| item.as_str().is_some_and(|text| (1..=2048).contains(&text.chars().count())))
        }
        Value::Null | Value::Object(_) => false,
    };
    let fits = |value: &Value| {
        let inner = &value["value"];
        let member = match inner["type"].as_str() {
            Some("STRING") => &inner["stringValue"],
            Some("NUMBER") => &inner["numberValue"],
            Some("BOOLEAN") => &inner["booleanValue"],
            Some("STRING_LIST") => &inner["stringListValue"],
            Some(_) | None => &Value::Null,
        };
        if value.is_object() { scalar(member) && value["includeForEmbedding"].is_boolean() } else { scalar(value) }
    };
    let wrong = value["metadataAttributes"].as_object()?.iter().find(|(name, value)| name.is_empty() || !fits(value));
    wrong.map(|(name, value)| format!("{name}: {value}"))
}
