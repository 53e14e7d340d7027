use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::run::{Bench, Measured, Subject};

/// Maximum peak resident set of a function, in bytes.
const MEMORY: u64 = 12 * 1024 * 1024;

/// Maximum size of a deployment package, in bytes.
const PACKAGE: usize = 5 * 1_000_000;

/// Maximum CPU time from start to response. The goal is 7 ms of wall time on an idle machine. Twice that as CPU time is
/// more than noise adds, and much less than the entropy collection of AWS-LC takes.
const PROCESSOR: Duration = Duration::from_millis(14);

/// Checks for causes of slow starts and large packages, which a check of the time on a noisy machine would miss.
pub(crate) async fn all(bench: &Bench<'_>, functions: &[Subject], measured: &[Measured]) -> Result<Vec<String>> {
    let mut complaints: Vec<String> = measured.iter().filter(|one| one.checked).flat_map(limits).collect();
    for function in functions {
        if bench.trusts_the_machine(function).await? {
            complaints.push(format!(
                "{} reads the system's directory of root certificates, which takes 3 to 5 ms per start. Build every client from \
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
        complaints.push(format!("{} needs {peak} bytes of memory at its peak; the limit is {MEMORY}", one.name));
    }
    if let Some(cpu) = one.cpu.filter(|cpu| *cpu > PROCESSOR) {
        complaints.push(format!(
            "{} needs {cpu:?} of CPU time until its first response; the limit is {PROCESSOR:?}",
            one.name
        ));
    }
    if let Some(zip) = one.zip.filter(|zip| *zip > PACKAGE) {
        complaints.push(format!("the deployment package of {} has {zip} bytes; the limit is {PACKAGE}", one.name));
    }
    complaints
}

/// Checks that AWS-LC is not a dependency: it collects 30 ms of CPU-jitter entropy before its first handshake.
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
        "AWS-LC is a dependency: `cargo tree -i aws-lc-sys` shows the crate that requires it. Disable the default features \
         of that crate and use ring (docs/decisions/0003-tls.md)"
            .to_owned()
    }))
}
