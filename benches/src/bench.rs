//! Runs all benchmarks in sequence; `make bench` calls it.
//!
//! The benchmarks are binaries in the same directory: `cargo build --release -p shiftwork-benches --bins`.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

/// The binaries and their titles.
const BENCHES: [(&str, &str); 5] = [
    ("bench-cost", "Cost of a run"),
    ("bench-scheduling", "Scheduling"),
    ("bench-start", "Start of a function"),
    ("bench-files", "Files registered and planned"),
    ("bench-change-data", "Change data, from event to row"),
];

fn main() -> Result<ExitCode> {
    let directory = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .context("the path of this program has no parent directory")?;
    let mut failed = Vec::new();
    for (name, title) in BENCHES {
        let program = directory.join(name);
        let rule = "─".repeat(100 - title.chars().count().min(90));
        println!("\n── {title} {rule}\n");
        let status = Command::new(&program).status().with_context(|| {
            format!("cannot start {}: build it with `cargo build -p shiftwork-benches --bins`", program.display())
        })?;
        if !status.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}
