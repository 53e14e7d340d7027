//! The Markdown files refer to what exists, and `docs/events.md` is made from the types. `UPDATE_SCHEMAS=1` writes the latter.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{collections::BTreeSet, fs, path::Path};

use shiftwork_infra_checks::{checkout, event_page, pages::Pages, sam_template, schemas, services, text};

#[test]
fn links_paths_and_named_tests_exist() {
    let findings = Pages::read().findings();
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The workflow that the README shows is the one that the demo runs.
#[test]
fn the_workflow_of_the_readme_is_the_file() {
    let lines =
        |text: &str| -> Vec<String> { text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect() };
    let readme = fs::read_to_string(checkout("README.md")).unwrap();
    let shown = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(lines(shown), lines(&fs::read_to_string(checkout("workflows/nightly.yaml")).unwrap()));
}

#[test]
fn a_reference_to_nothing_is_one_finding_that_names_the_place() {
    let pages = Pages::read();
    let found = |page: &str, text: &str| pages.findings_of(Path::new(page), text).into_iter().collect::<Vec<_>>();
    for (page, text, wanted) in [
        ("README.md", "See [the limits](docs/limit.md).", "`docs/limit.md` leads to docs/limit.md"),
        ("docs/files.md", "See\n[them](../README.md#no-such-heading).", "a heading that README.md does not have"),
        ("docs/files.md", "The code is in `shared/feedz/src/lib.rs`.", "no file of the repository is called"),
        ("README.md", "A sample is `events/trigger/missing.json`.", "`events/trigger/missing.json` does not exist"),
        ("infra/README.md", "A schema is `schemas/missing.json`.", "`schemas/missing.json` does not exist"),
        ("docs/first-deploy.md", "The log of it, or LandingPolicy.", "declares no `LandingPolicy`"),
        ("docs/guarantees.md", "[x](../infra/checks/tests/pages.rs) `no_such_test`", "has no function `no_such_test`"),
        ("docs/guarantees.md", "| Promise | Proof |\n| --- | --- |\n| a | because |", "neither names a test"),
    ] {
        let findings = found(page, text);
        assert_eq!(findings.len(), 1, "{page}: {text}: {findings:?}");
        assert!(findings[0].contains(wanted), "{findings:?}");
    }
    for (page, text) in [
        (
            "README.md",
            "Nothing of `target/local/env`, `staged/orders/x.csv` or `feeds/orders.yaml` is in the repository.",
        ),
        ("README.md", "```\nworkflows/no/such.sql is fenced\n```"),
        ("docs/files.md", "`functions/<name>/src/main.rs`, `events/*/x.json`, `infra/schemas/event-*.json`"),
        ("docs/guarantees.md", "| Promise | Proof |\n| --- | --- |\n| a | No test: why |"),
        ("docs/guarantees.md", "[x](../infra/checks/tests/pages.rs) `links_paths_and_named_tests_exist`"),
    ] {
        assert_eq!(found(page, text), Vec::<String>::new(), "{page}: {text}");
    }
}

#[test]
fn the_costs_count_what_the_template_has() {
    let (template, page) = (sam_template(), text("docs/costs.md"));
    for (what, number) in [
        ("CloudWatch alarms", services::default_alarms(&template)),
        ("queues that Lambda polls", services::polled_queues(&template)),
    ] {
        let row = format!("| {what} | {number} |");
        assert!(page.contains(&row), "docs/costs.md: expected `{row} …`, and the amounts that follow from it");
    }
}

#[test]
fn the_page_of_events_is_that_of_the_types() {
    let (path, wanted) = (checkout("docs/events.md"), event_page::written());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/events.md is not what the types say: run UPDATE_SCHEMAS=1 cargo test -p shiftwork-infra-checks --test pages"
    );
}

#[test]
fn every_event_with_a_schema_is_on_the_page() {
    let schemas = schemas::all().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("event-"));
    let shown = event_page::shown().iter().map(|shown| shown.schema).collect::<BTreeSet<_>>();
    assert_eq!(shown, schemas.collect());
}
