//! Checks `infra/run.asl.json`, `infra/template.yaml` and the documentation against the Rust types.
//!
//! A state machine and a template have no compiler: a misspelt key is found by the first run that takes the path. The
//! modules of this crate read both sides and return findings, one line each, that say where and what. The tests expect no
//! finding, and check that each seeded mistake gives exactly one.
//!
//! | module | what must hold |
//! | --- | --- |
//! | [`asl`] | every path that a state reads is set on every way to it; payloads and answers are those of the types |
//! | [`errors`] | the names in `Retry` and `Catch` exist, and say what the failure's class says |
//! | [`template`] | variables, outputs, queues, logs, tables |
//! | [`keys`] | roles may do with object keys what functions do, and no more |
//! | [`policy`] | named actions on named resources, each only where it is needed |
//! | [`schemas`] | the JSON Schemas under `infra/schemas` are those of the types |
//! | [`event_page`] | `docs/events.md` is made from the types of the events |
//! | [`pages`] | links, paths and tests that Markdown files name exist |
//! | [`boundaries`] | types of the AWS SDK stay in the adapters; functions do not depend on each other |

pub mod asl;
pub mod boundaries;
pub mod contracts;
pub mod dashboard;
pub mod errors;
pub mod event_page;
pub mod expand;
pub mod keys;
pub mod missing;
pub mod pages;
pub mod policy;
pub mod schemas;
pub mod shape;
pub mod source;
pub mod template;
pub mod yaml;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What does not hold, a line each, in order and without repetition.
pub type Findings = std::collections::BTreeSet<String>;

/// A path under the checkout's root.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The text of a file of the checkout.
///
/// # Panics
/// When it cannot be read: there is nothing to test without it.
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
