use shiftwork_config::read_file;

use super::*;
use crate::{config::Undeclared, sample};

fn problems_of(yaml: &str) -> String {
    let problems = read_file("metadata.yaml", yaml).and_then(|doc| read(&doc)).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_problems_are_reported_with_their_lines() {
    let yaml = r#"
quarantine: aside/
originals: aside/originals/
access_file: aside/global.json
users: { max: max, jane: jane@example.com }
groups: { empty: [], finance: [max] }
repositories:
  one:
    prefix: handbook
    target: kendra
    index_prefix: /metadata
    sources: ["{document}", "{folder}.json", "x/{name}.json"]
    fields: { author: _author, Author: author, "a b": "no way" }
    attributes: { _version: string, score: number, "a b": string }
    dates: ["%d.%m.%Y", "dd.mm.yyyy", "%H:%M"]
    time_zone: Europe/Berlim
    list_separator: ""
    list_length: 0
    embed: [_category]
    acl_enabled: true
  two:
    prefix: handbook
    index_prefix: metadata/
    access_control: attributes
    acl_enabled: true
    fields: { _document_title: topic }
  three:
    prefix: aside/x/
    target: kendra
"#;
    insta::assert_snapshot!(problems_of(yaml));
}

#[test]
fn an_invalid_value_is_reported_with_the_nearest_valid_one() {
    insta::assert_snapshot!(problems_of(
        "repositories: { one: { taget: kendra, target: kendar, dates: epoch_seconds, undeclared: keep } }"
    ));
}

#[test]
fn the_pattern_with_most_literal_bytes_determines_the_role_of_a_key() {
    let rules = sample::rules();
    let word = |key: &str| match rules.role(key) {
        Role::Target { document, .. } => format!("target of {document}"),
        Role::Source { pattern, subject, .. } => format!("{} {subject:?}", pattern.text()),
        Role::Document { document, .. } => format!("document {document}"),
        Role::AccessFile => "access file".into(),
        Role::Archived => "archived".into(),
        Role::Foreign => "foreign".into(),
    };
    let about = |what: &str, document: &str| format!("{what} Document({document:?})");
    for (key, wanted) in [
        ("handbook/a/b.pdf", "document handbook/a/b.pdf".to_owned()),
        ("metadata/handbook/a/b.pdf.metadata.json", "target of handbook/a/b.pdf".into()),
        ("handbook/a/b.pdf.metadata.json", about("{document}.metadata.json", "a/b.pdf")),
        ("handbook/a/b.pdf.meta.json", about("{document}.meta.json", "a/b.pdf")),
        ("handbook/_meta/a/b.pdf.json", about("_meta/{document}.json", "a/b.pdf")),
        ("handbook/a/b.json", "{folder}{stem}.json Stem(\"a/b\")".into()),
        ("research/p.md.metadata.json", "target of research/p.md".into()),
        ("research/p.md.json", about("{document}.json", "p.md")),
        ("research/typed/p.md.json", "document research/typed/p.md.json".into()),
        ("metadata/elsewhere/b.pdf.metadata.json", "foreign".into()),
        ("metadata/handbook/.metadata.json", "foreign".into()),
        ("metadata-quarantine/handbook/a/b.json.0123456789ab", "archived".into()),
        ("metadata-originals/handbook/a/b.json", "archived".into()),
        ("handbook/a/", "foreign".into()),
        ("handbook/", "foreign".into()),
        ("elsewhere/b.pdf", "foreign".into()),
        ("managed/acl/global.json", "access file".into()),
        ("managed/acl/other.json", about("{document}.json", "acl/other")),
        ("", "foreign".into()),
    ] {
        assert_eq!(word(key), wanted, "{key}");
    }
}

#[test]
fn keys_in_quarantine_are_valid_in_s3() {
    let rules = sample::rules();
    let long = format!("handbook/{}.json", "ü".repeat(505));
    for key in ["handbook/a.json", &long] {
        let quarantined = rules.quarantine_key(key, b"x");
        assert!(Rules::reason_key(&quarantined).len() <= names::KEY_BYTES);
        assert_ne!(quarantined, rules.quarantine_key(key, b"y"), "another content has another key");
        assert!(matches!(rules.role(&quarantined), Role::Archived));
    }
}

#[test]
fn a_pushed_configuration_is_read_again() {
    let doc = read_file("metadata.yaml", sample::YAML).unwrap();
    let (configuration, _) = read(&doc).unwrap();
    assert_eq!(configuration.repositories["handbook"].undeclared(), Undeclared::Quarantine);
    assert_eq!(configuration.repositories["research"].undeclared(), Undeclared::Keep);
    let pushed = serde_json::to_string(&configuration).unwrap();
    assert!(Rules::pushed(&pushed).is_ok());
    let failure = Rules::pushed("{").unwrap_err();
    assert!(failure.message.contains("shiftwork metadata push"), "{failure}");
}
