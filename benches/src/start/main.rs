//! Time from the start of a function's process to its first response, with AWS calls over TLS.
//!
//! The binary of each function runs with a local Runtime API and local AWS endpoints (one per service, so that each
//! first call includes a handshake). For comparison: a function that does nothing, and Python with boto3.
//!
//! ```text
//! bench-start                       measure the binaries in target/aws, which have the profile of the deployment
//! bench-start --bin-dir target/release --check
//! bench-start --also aws-lc=/some/binary
//! ```

mod bucket;
mod certificate;
mod check;
mod cloud;
mod python;
mod run;
mod runtime_api;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use self::cloud::Cloud;
use self::run::{Bench, Subject};

/// Measures how fast the functions start
#[derive(Parser)]
struct Options {
    /// Directory of the functions' binaries; the peers are in the directory of this program
    #[arg(long, default_value = "target/aws")]
    bin_dir: PathBuf,
    /// Number of starts per function
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Directory of the sample events, `<function>/<sample>.json`
    #[arg(long, default_value = "events")]
    events: PathBuf,
    /// Another binary to measure
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    also: Vec<(String, PathBuf)>,
    /// Exit with an error if a function is too large, needs too much CPU time, or has a known cause of slow starts; the
    /// wall time is not checked, because it depends on the load of the machine
    #[arg(long)]
    check: bool,
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    Ok((name.to_owned(), PathBuf::from(path)))
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(bench(&options))
}

async fn bench(options: &Options) -> Result<ExitCode> {
    let cloud = Cloud::start().await?;
    let bench = Bench { cloud: &cloud, runs: options.runs };
    let mut measured = Vec::new();
    let mut functions = Vec::new();
    for subject in subjects(options)? {
        let result = bench.measure(&subject).await.with_context(|| format!("measuring {}", subject.name))?;
        if subject.checked {
            functions.push(subject);
        }
        measured.push(result);
    }
    match python::subject() {
        // A failure of the peer does not hide the other results.
        Some(python) => match bench.measure(&python).await {
            Ok(python) => measured.push(python),
            Err(error) => println!("Python with boto3 is skipped: {error:#}."),
        },
        None => println!("Python with boto3 is skipped: neither .venv/bin/python nor python3 can import boto3."),
    }
    println!("{}", table::render(&measured));
    if !options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let broken = check::all(&bench, &functions, &measured).await?;
    for complaint in &broken {
        eprintln!("start: {complaint}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The floor, the client alone, and all functions that have been built.
fn subjects(options: &Options) -> Result<Vec<Subject>> {
    let peers =
        [("no-op Rust Lambda", "bench-start-noop", false), ("two calls, our client", "bench-start-two-calls", true)];
    let beside = std::env::current_exe()?;
    let mut subjects = Vec::new();
    for (name, binary, checked) in peers {
        let path = beside.with_file_name(binary);
        anyhow::ensure!(
            path.exists(),
            "{} does not exist: build it with `cargo build --release -p shiftwork-benches --bins`",
            path.display()
        );
        subjects.push(Subject::binary(name, path, checked, "{}".to_owned()));
    }
    for (name, event) in functions()? {
        let path = options.bin_dir.join(&name);
        if path.exists() {
            let sample = options.events.join(&name).join(format!("{event}.json"));
            let event = std::fs::read_to_string(&sample).with_context(|| format!("reading {}", sample.display()))?;
            subjects.push(Subject::binary(&name, path, true, event));
        } else {
            println!("{name} is skipped: {} does not exist.", path.display());
        }
    }
    for (name, path) in &options.also {
        subjects.push(Subject::binary(name, path.clone(), false, "{}".to_owned()));
    }
    Ok(subjects)
}

/// The functions, each with the sample event for its most frequent use: `[package.metadata.start]` of their manifests.
fn functions() -> Result<Vec<(String, String)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .context("running cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let workspace: serde_json::Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let packages = workspace["packages"].as_array().into_iter().flatten();
    let named = packages.filter_map(|package| {
        let event = package["metadata"]["start"]["event"].as_str()?;
        let binary = package["targets"].as_array()?.iter().find(|target| target["kind"][0] == "bin")?;
        Some((binary["name"].as_str()?.to_owned(), event.to_owned()))
    });
    let mut functions: Vec<_> = named.collect();
    functions.sort();
    Ok(functions)
}
