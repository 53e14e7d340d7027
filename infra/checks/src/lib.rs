//! Checks `infra/run.asl.json`, `infra/template.yaml` and the documentation against the Rust types.
//!
//! No compiler reads a state machine or a template: AWS finds a misspelt key at the first run that reads it. Each module of
//! this crate checks one part and returns findings, one line each, with the place and the fix. The tests expect no finding,
//! and change one place at a time to show that the change is found.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`asl`] | every path that a state reads is set on every transition to it; payloads and results have the fields of the types |
//! | [`errors`] | the names in `Retry` and `Catch` exist, and agree with the class of the failure |
//! | [`template`] | variables, outputs, queues, log groups, tables |
//! | [`keys`] | the roles may do with object keys what the functions do, and nothing else |
//! | [`policy`] | named actions on named resources, and for each function those that its code needs |
//! | [`services`] | what AWS services require of the template: conditions, order, event source mappings, names, partitions |
//! | [`missing`] | every function, alarm and queue is registered wherever it has to be |
//! | [`dashboard`] | the dashboard is valid JSON and shows every alarm, function and queue |
//! | [`schemas`] | the JSON Schemas under `infra/schemas` are those of the types |
//! | [`event_page`] | `docs/events.md` is made from the types of the events |
//! | [`pages`] | links, paths and tests that Markdown files name exist |
//! | [`boundaries`] | types of the AWS SDK stay in the adapters; functions do not depend on each other |
//!
//! [`source`] reads what the checks need to know from the Rust source, [`yaml`] and [`expand`] read the template.

pub mod asl;
pub mod boundaries;
pub mod dashboard;
pub mod errors;
pub mod event_page;
pub mod expand;
pub mod keys;
pub mod missing;
pub mod pages;
pub mod payloads;
pub mod policy;
pub mod schemas;
pub mod services;
pub mod shape;
pub mod source;
pub mod template;
pub mod yaml;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What does not hold: one line each, sorted, without duplicates.
pub type Findings = std::collections::BTreeSet<String>;

/// A path under the checkout's root.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The text of a file of the checkout.
///
/// # Panics
/// When the file cannot be read.
pub fn text(path: &str) -> String {
    let path = checkout(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The state machine of a run, with its substitutions unresolved.
pub fn state_machine() -> Value {
    serde_json::from_str(&text("infra/run.asl.json")).unwrap_or_else(|error| panic!("infra/run.asl.json: {error}"))
}

/// The SAM template, its short forms (`!Ref`, `!Sub` …) written out and its loops expanded.
pub fn sam_template() -> Value {
    yaml::read(&text("infra/template.yaml"))
        .and_then(expand::expand)
        .unwrap_or_else(|error| panic!("infra/template.yaml: {error}"))
}
