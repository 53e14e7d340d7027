//! What a kind of job, and the engine that it runs on, need beyond what the compiler asks for.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::fs;

use serde_json::Value;
use shiftwork_infra_checks::{checkout, text};
use shiftwork_protocol::Kind;

/// The texts of the files of a folder whose names end so.
fn texts(folder: &str, suffix: &str) -> Vec<String> {
    let files = fs::read_dir(checkout(folder)).unwrap().map(|file| file.unwrap().path());
    let wanted = files.filter(|path| path.to_str().unwrap().ends_with(suffix));
    wanted.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// What is missing for a kind, a line each.
fn missing(kind: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let definition = format!("{}_job", kind.replace('-', "_"));
    if shiftwork_planner::workflow_schema()["$defs"].get(&definition).is_none() {
        missing.push(format!("shared/planner/src/kind.rs: REGISTRY has no entry for kind `{kind}`"));
    }
    if !text("docs/workflows.md").lines().any(|line| line.starts_with(&format!("| `{kind}` | "))) {
        missing.push(format!("docs/workflows.md: the table of kinds has no row for `{kind}` with its fields"));
    }
    let examples = [texts("workflows", ".yaml"), texts("docs", ".md")].concat();
    let script = ["sql"].contains(&kind);
    if !script && !examples.iter().any(|example| example.contains(&format!("kind: {kind}"))) {
        missing.push(format!("workflows/*.yaml, docs/*.md: no example has a job with `kind: {kind}`"));
    }
    missing
}

#[test]
fn every_kind_is_registered_documented_and_shown() {
    let missing: Vec<_> = Kind::ALL.iter().flat_map(|kind| missing(kind.as_str())).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_kind_that_is_nowhere_is_said_to_be_missing_everywhere() {
    assert_eq!(missing("no-such-kind").len(), 3);
}

/// An engine that announces the ends of its attempts does so by an event, which a rule delivers to job-callback.
#[test]
fn every_event_that_ends_an_attempt_has_a_sample() {
    let samples: Vec<Value> =
        texts("events/job-callback", ".json").iter().map(|sample| serde_json::from_str(sample).unwrap()).collect();
    for detail_type in shiftwork_job_callback::ENDS {
        assert!(
            samples.iter().any(|sample| sample["detail-type"] == *detail_type),
            "events/job-callback: no sample has the detail-type `{detail_type}`, which job-callback reads"
        );
    }
}
