//! Which code sees which: AWS SDK types stay in the adapters, and functions do not depend on each other.

use std::{fs, path::Path};

use crate::{Findings, checkout, pages::Pages};

/// Folders whose code may use types of the AWS SDK: the adapters of the functions, and those of the command line.
const ADAPTERS: [&str; 2] = ["shared/aws/", "cli/src/aws/"];
/// Folders whose code runs in AWS or on a user's machine.
const PRODUCT: [&str; 3] = ["functions/", "shared/", "cli/"];
/// What the names of the SDK's crates begin with in code.
const SDK: [&str; 5] = ["aws_sdk_", "aws_config::", "aws_credential_types::", "aws_smithy_", "aws_types::"];

/// Lines that a function's `main.rs` has at most: it reads the environment, builds the adapters and calls `handle`.
const MAIN_LINES: usize = 25;

/// Finds dependencies that the architecture does not allow, and mains that are too long.
pub fn findings(pages: &Pages) -> Findings {
    let mut findings = Findings::new();
    for path in pages.files().filter(|path| PRODUCT.iter().any(|folder| path.starts_with(folder))) {
        let text = fs::read_to_string(checkout(&path)).unwrap_or_default();
        if Path::new(&path).extension().is_some_and(|suffix| suffix == "rs") {
            findings.extend(of_source(&path, &text));
        }
        if path.starts_with("functions/") && path.ends_with("/Cargo.toml") {
            findings.extend(of_manifest(pages, &path, &text));
        }
    }
    findings
}

/// What crosses a boundary in one Rust file.
pub fn of_source(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !ADAPTERS.iter().any(|folder| path.starts_with(folder)) {
        let lines = text.lines().enumerate().filter(|(_, line)| SDK.iter().any(|crates| line.contains(crates)));
        findings.extend(lines.map(|(at, _)| {
            format!("{path}:{}: uses a type of the AWS SDK; only {} may", at + 1, ADAPTERS.join(" and "))
        }));
    }
    let lines = text.lines().count();
    if path.starts_with("functions/") && path.ends_with("/src/main.rs") && lines > MAIN_LINES {
        findings.push(format!("{path} has {lines} lines; a main.rs has at most {MAIN_LINES}"));
    }
    findings
}

/// The functions that the manifest of a function depends on.
pub fn of_manifest(pages: &Pages, path: &str, text: &str) -> Vec<String> {
    let functions = pages.files().filter_map(|other| {
        other.strip_prefix("functions/").and_then(|rest| rest.strip_suffix("/Cargo.toml")).map(str::to_owned)
    });
    functions
        .filter(|function| {
            text.contains(&format!("\nshiftwork-{function} ")) || text.contains(&format!("\nshiftwork-{function}."))
        })
        .map(|function| {
            format!("{path} depends on the function {function}; what two functions share is a crate under shared/")
        })
        .collect()
}
