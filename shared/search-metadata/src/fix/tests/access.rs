//! Tests of metadata that says who may see a document.

use super::*;
use crate::access;

/// The stub of metadata that cannot be fixed.
fn stub(prefix: &str, source: &str) -> Option<Value> {
    match verdict(prefix, source.as_bytes()) {
        Verdict::Unfixable { stub, .. } => stub.map(|stub| serde_json::from_slice(&stub).unwrap()),
        other => panic!("{source}: {other:?}"),
    }
}

fn entry(name: &str, kind: &str, access: &str) -> Value {
    json!({ "Name": name, "Type": kind, "Access": access })
}

#[test]
fn access_control_lists_of_bedrock_are_kept_and_written() {
    let user = |access| entry("user@example.com", "USER", access);
    let source = json!({ "metadataAttributes": { "dept": "x" }, "accessControlList": [user("ALLOW")] });
    assert_eq!(verdict("managed/", source.to_string().as_bytes()), Verdict::Valid);
    let only = json!({ "metadataAttributes": {}, "accessControlList": [user("ALLOW"), entry("b@example.com", "USER", "DENY")] });
    assert_eq!(verdict("managed/", only.to_string().as_bytes()), Verdict::Valid);
    // The form of an inline request, and the name of Kendra.
    for name in ["accessControlList", "AccessControlList", "access_control_list", "acl"] {
        let source = json!({ "metadataAttributes": { "dept": "x" },
            name: [{ "name": "user@example.com", "type": "user", "access": "allow" }] });
        becomes(
            "managed/",
            &source,
            &json!({ "metadataAttributes": { "dept": "x" }, "accessControlList": [user("ALLOW")] }),
        );
    }
    // The list of Kendra: a group becomes its members, and a user the email address.
    let kendra = json!({ "Title": "T", "AccessControlList": [entry("finance", "GROUP", "ALLOW"), entry("max", "USER", "DENY"),
        entry("a@example.com", "USER", "ALLOW")] });
    let wanted = json!({ "metadataAttributes": { "_document_title": "T" }, "accessControlList": [
        entry("a@example.com", "USER", "ALLOW"), entry("b@example.com", "USER", "ALLOW"), entry("max@example.com", "USER", "DENY")] });
    becomes("managed/", &kendra, &wanted);
    becomes("loose/", &wanted, &json!({ "Title": "T", "AccessControlList": wanted["accessControlList"] }));
    // Attributes of a knowledge base without lists.
    let attributes = json!({ "metadataAttributes": { "dept": "x", "_allowed_users": ["user@example.com"] } });
    becomes("managed/", &attributes, &source);
    becomes("research/", &source, &attributes);
    for (list, words) in [
        (json!([entry("hr", "GROUP", "ALLOW")]), "`hr` is a group"),
        (json!([entry("jane", "USER", "ALLOW")]), "email address"),
        (json!([]), "the list is empty"),
        (json!("all"), "a list of principals"),
        (json!([{ "Name": "a@example.com", "Access": "ALLOW" }]), "each once"),
    ] {
        let source = json!({ "metadataAttributes": { "dept": "x" }, "accessControlList": list });
        let found = problems("managed/", &source);
        assert!(found.contains(words), "{source}: {found}");
        let closed =
            json!({ "metadataAttributes": {}, "accessControlList": [entry(access::NO_USER, "USER", "ALLOW")] });
        assert_eq!(stub("managed/", &source.to_string()), Some(closed), "{source}");
    }
    let two = json!({ "AccessControlList": [user("ALLOW")], "accessControlList": [user("DENY")] });
    assert!(problems("managed/", &two).contains("is a list too"));
}

#[test]
fn metadata_that_cannot_be_fixed_has_a_stub_with_its_list() {
    let list = json!([entry("finance", "GROUP", "ALLOW"), entry("max", "USER", "DENY")]);
    for (prefix, bad) in [("handbook/", json!({ "Tags": ["x"] })), ("handbook/", json!({ "_created_at": "someday" }))] {
        let source = json!({ "Title": "t", "AccessControlList": list, "Attributes": bad });
        assert_eq!(stub(prefix, &source.to_string()), Some(json!({ "AccessControlList": list })), "{source}");
    }
    let bedrock = json!({ "AccessControlList": list, "Attributes": { "x-amz-bedrock-kb-chunk-id": "x" } }).to_string();
    let attributes = json!({ "metadataAttributes": { "_allowed_groups": ["finance"], "_denied_users": ["max"] } });
    assert_eq!(stub("research/", &bedrock), Some(attributes));
    let users = json!({ "metadataAttributes": {}, "accessControlList": [entry("a@example.com", "USER", "ALLOW"),
        entry("b@example.com", "USER", "ALLOW"), entry("max@example.com", "USER", "DENY")] });
    assert_eq!(stub("managed/", &bedrock), Some(users));
    // A list that is not clear closes the document.
    let closed = json!({ "AccessControlList": [entry(access::NO_USER, "USER", "ALLOW")] });
    for source in [
        r#"{"AccessControlList": [{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}, {"Name": "x", "Type": "ROLE", "Access": "DENY"}]}"#,
        r#"{"AccessControlList": "finance"}"#,
        r#"{"Attributes": {"AccessControlList": [{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]}}"#,
        r#"{"Title": "t", "acl": ["finance"]}"#,
        r#"{"Title": "t", "zugriff": [{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]}"#,
        r#"{"AccessControlList": [{"Name": "finance", "Type": "GROUP", "Acc"#,
        r#"[{"AccessControlList": []}]"#,
        r#"{"Title": "t", "Title": "u", "acl": "finance"}"#,
        "{\"AccessControlList\": [{\"Name\": \"\u{FC}",
    ] {
        assert_eq!(stub("handbook/", source).as_ref(), Some(&closed), "{source}");
    }
    let Verdict::Unfixable { stub: latin, .. } =
        verdict("handbook/", b"{\"AccessControlList\": [{\"Name\": \"\xDCber\"")
    else {
        panic!()
    };
    assert!(latin.is_some());
    // A file that says nothing about access has no stub.
    for source in ["{", "[]", r#"{"colour": "red"}"#, r#"{"Attributes": {"_created_at": "x"}}"#] {
        assert_eq!(stub("handbook/", source), None, "{source}");
    }
}

#[test]
fn an_empty_list_of_who_may_see_a_document_does_not_open_it() {
    for prefix in ["managed/", "research/", "loose/"] {
        for (name, empty) in [
            ("_allowed_groups", json!([])),
            ("_allowed_groups", json!([""])),
            ("_allowed_groups", json!([null, " "])),
            ("_allowed_users", json!("")),
            ("_allowed_users", json!({})),
            ("acl", json!([])),
            ("access_list", json!([""])),
        ] {
            let denied = json!({ "dept": "x", name: empty, "_denied_users": ["max@example.com"] });
            for source in [
                json!({ "dept": "x", name: empty }),
                json!({ "metadataAttributes": { "dept": "x", name: empty } }),
                denied,
            ] {
                let found = problems(prefix, &source);
                // Fields of a file for Kendra do not have names with `_`, so another message is right, too.
                let is_kendra_name = prefix == "loose/" && found.contains("is not a predefined attribute of Kendra");
                assert!(found.contains("the list is empty") || is_kendra_name, "{prefix} {source}: {found}");
                let closed = stub(prefix, &source.to_string()).expect("a stub").to_string();
                assert!(closed.contains(access::NO_USER), "{prefix} {source}: {closed}");
            }
        }
    }
    // Null is not a value, and an empty list next to one with entries, or of denied users, says nothing.
    let users = json!({ "metadataAttributes": { "dept": "x" }, "accessControlList": [entry("a@example.com", "USER", "ALLOW")] });
    for lists in [
        json!({ "dept": "x", "_allowed_groups": [], "_allowed_users": ["a@example.com"] }),
        json!({ "dept": "x", "_allowed_users": ["a@example.com"], "_denied_users": [], "_denied_groups": [""] }),
        json!({ "dept": "x", "_allowed_users": ["a@example.com"], "acl": [] }),
    ] {
        becomes("managed/", &json!({ "metadataAttributes": lists }), &users);
    }
    for nothing in [json!({ "dept": "x", "_allowed_groups": null }), json!({ "dept": "x", "_denied_groups": [] })] {
        becomes("managed/", &nothing, &json!({ "metadataAttributes": { "dept": "x" } }));
    }
}

#[test]
fn undeclared_fields_that_could_say_who_may_see_a_document_are_not_dropped() {
    let entries = json!([entry("finance", "GROUP", "ALLOW")]);
    // `AccessControlList` in another spelling is the list.
    for name in ["access_control_list", "access-control-list", "Access Control List", "ACCESSCONTROLLIST", "acl", "ACL"]
    {
        becomes(
            "drops/",
            &json!({ "Title": "t", name: entries }),
            &json!({ "Title": "t", "AccessControlList": entries }),
        );
    }
    for (name, value) in [
        ("allowed_groups", json!(["finance"])),
        ("allowedUsers", json!("max")),
        ("acl", json!("finance")),
        ("Permissions", json!({ "read": ["finance"] })),
        ("zugriff", entries.clone()),
        ("doc-acl", json!("finance")),
        ("_allowed_groups", json!(["finance"])),
    ] {
        for source in [json!({ "Title": "t", name: value }), json!({ "Title": "t", "Attributes": { name: value } })] {
            let found = problems("drops/", &source);
            assert!(found.contains("so it is not left out"), "{source}: {found}");
            assert!(stub("drops/", &source.to_string()).is_some(), "{source}");
        }
    }
    let bedrock = json!({ "metadataAttributes": { "dept": "x", "allowed_groups": ["finance"], "colour": "red" } });
    assert!(problems("managed/drops/", &bedrock).contains("`allowed_groups`"));
    // A field that the configuration drops by its name is left out.
    becomes(
        "managed/",
        &json!({ "dept": "x", "internal_acl": "finance" }),
        &json!({ "metadataAttributes": { "dept": "x" } }),
    );
}

#[test]
fn a_file_is_recognized_by_its_structure_or_a_known_field() {
    let is = |source: &str| is_recognized(source.as_bytes(), repo("handbook/"));
    for source in [
        r#"{"Title": "t"}"#,
        r#"{"Attributes": {}}"#,
        r#"{"metadataAttributes": {}}"#,
        r#"{"author": "x"}"#,
        r#"{"pages": 1, "x": 2}"#,
        r#"{"_category": "x"}"#,
        r#"{"access_control_list": []}"#,
        r#"{"Title": "t",}"#,
        // The only content is about access.
        r#"{"acl": [{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]}"#,
        r#"{"access_list": ["finance"]}"#,
        r#"{"allowed_groups": ["finance"]}"#,
        r#"{"permissions": {"read": ["finance"]}}"#,
        r#"{"zugriff": [{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]}"#,
        r#"[{"Name": "finance", "Type": "GROUP", "Access": "ALLOW"}]"#,
        r#"[{"userName": "max", "kind": "user"}]"#,
        r#"{"acl": [{"Name": "finance", "Type": "GROUP","#,
        "{allowedGroups: finance}",
    ] {
        assert!(is(source), "{source}");
    }
    for source in [
        r#"{"products": "lamp", "price": 7}"#,
        "[1, 2]",
        r#"[{"Title": "t"}]"#,
        "7",
        "{}",
        "{\"products\": 1}\n{\"products\": 2}",
        r#"{"access_count": 7}"#,
    ] {
        assert!(!is(source), "{source}");
    }
    let utf_16: Vec<u8> = "\u{FEFF}{allowedGroups: x}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(is_recognized(&utf_16, repo("handbook/")));
    assert!(is_recognized(b"{\"acl\": \"\xDCber\"}", repo("handbook/")));
    // A list of principals that has no word of access closes the document, too.
    assert!(stub("handbook/", r#"[{"userName": "max", "kind": "user"}]"#).is_some());
}
