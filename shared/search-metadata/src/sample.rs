//! A configuration for the tests of this crate.

use std::sync::LazyLock;

use shiftwork_config::read_file;

use crate::rules::{RepositoryRules, Role, Rules};

/// Seven repositories in the format of `metadata.yaml`.
pub(crate) const YAML: &str = r#"
access_file: managed/acl/global.json
users: { max: max@example.com }
groups: { finance: [a@example.com, b@example.com] }
repositories:
  handbook:
    prefix: handbook/
    target: kendra
    index_prefix: metadata/
    sources: ["{document}.meta.json", "_meta/{document}.json", "{folder}{stem}.json"]
    fields: { author: _authors, "Doc Title": Title, Changed: _last_updated_at, internal_id: null }
    attributes: { department: string, tags: string_list, pages: long, due: date }
    dates: ["%d.%m.%Y", epoch_seconds, epoch_millis]
    time_zone: Europe/Berlin
    list_separator: ";"
  research:
    prefix: research/
    target: bedrock
    access_control: attributes
    sources: ["{document}.json"]
    attributes: { peer_reviewed: boolean, score: number, _kept: string }
    dates: ["%m/%d/%Y"]
    dates_as: epoch_seconds
    embed: [_category]
  typed:
    prefix: research/typed/
    access_control: attributes
    typed: true
  loose:
    prefix: loose/
    target: kendra
    undeclared: keep
    cut_long_text: true
  drops:
    prefix: drops/
    target: kendra
    undeclared: drop
  managed:
    prefix: managed/
    sources: ["{document}.json"]
    fields: { author: _authors, internal_id: null, internal_acl: null }
    dates: ["%d.%m.%Y", epoch_seconds]
  managed_drops:
    prefix: managed/drops/
    undeclared: drop
    attributes: { dept: string }
"#;

/// The rules of [`YAML`].
pub(crate) fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| of(YAML));
    &RULES
}

/// The rules of a configuration; panics if it is not valid.
pub(crate) fn of(yaml: &str) -> Rules {
    let read = read_file("metadata.yaml", yaml).and_then(|doc| crate::read(&doc));
    let (_, rules) = read.unwrap_or_else(|problems| panic!("{problems:#?}"));
    rules
}

/// The repository with a prefix.
pub(crate) fn repo(prefix: &str) -> &'static RepositoryRules {
    match rules().role(&format!("{prefix}x.pdf")) {
        Role::Document { repo, .. } => repo,
        other => panic!("{prefix} does not belong to a repository: {other:?}"),
    }
}
