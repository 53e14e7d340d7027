use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::run::{Bench, Measured, Subject};

/// A function's resident set at its peak.
const MEMORY: u64 = 12 * 1024 * 1024;

/// A function's deployment package.
const PACKAGE: usize = 5 * 1_000_000;

/// Time on a core from start to answer. The goal is 7 ms of wall time on a quiet machine; twice that on a core is more
/// than noise adds, and far less than AWS-LC's entropy.
const PROCESSOR: Duration = Duration::from_millis(14);

/// What makes a start slow, or large, and would go unnoticed on a noisy machine if only the time was checked.
pub(crate) async fn all(bench: &Bench<'_>, functions: &[Subject], measured: &[Measured]) -> Result<Vec<String>> {
    let mut complaints: Vec<String> = measured.iter().filter(|one| one.checked).flat_map(limits).collect();
    for function in functions {
        if bench.trusts_the_machine(function).await? {
            complaints.push(format!(
                "{} reads the machine's directory of root certificates, 3 to 5 ms a start. Build every client from \
                 `shiftwork_aws::client::Aws`",
                function.name
            ));
        }
    }
    complaints.extend(jitter_entropy().await?);
    Ok(complaints)
}

fn limits(one: &Measured) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(peak) = one.peak.filter(|peak| *peak > MEMORY) {
        complaints.push(format!("{} takes {peak} bytes of memory at its peak; the limit is {MEMORY}", one.name));
    }
    if let Some(cpu) = one.cpu.filter(|cpu| *cpu > PROCESSOR) {
        complaints.push(format!("{} takes {cpu:?} on a core to answer first; the limit is {PROCESSOR:?}", one.name));
    }
    if let Some(zip) = one.zip.filter(|zip| *zip > PACKAGE) {
        complaints.push(format!("{} zips to {zip} bytes; the limit is {PACKAGE}", one.name));
    }
    complaints
}

/// AWS-LC among the dependencies: it gathers 30 ms of CPU-jitter entropy before its first handshake.
async fn jitter_entropy() -> Result<Option<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .output()
        .await
        .context("running cargo tree")?;
    anyhow::ensure!(tree.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&tree.stderr));
    let found = String::from_utf8_lossy(&tree.stdout).lines().any(|line| line.starts_with("aws-lc-"));
    Ok(found.then(|| {
        "AWS-LC is among the dependencies: `cargo tree -i aws-lc-sys` says through whom. Switch that crate's default \
         features off and take ring (docs/decisions/0003-tls.md)"
            .to_owned()
    }))
}
