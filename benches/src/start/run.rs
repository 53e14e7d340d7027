use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cloud::Cloud;
use crate::runtime_api::RuntimeApi;

/// Maximum time until a response, which is much longer than any start.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Unmeasured starts before the measurement, so that the binary is in the page cache.
const WARM_UP: u16 = 3;

/// Environment variables that the template sets for the functions.
const CONFIGURATION: [(&str, &str); 21] = [
    ("CONFIG_TABLE", "bench-config"),
    ("DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/bench-dead"),
    ("DEFAULT_CONNECTION", r#"{"workgroup":"bench","database":"dev"}"#),
    ("DOCUMENTS_BUCKET", "amzn-s3-demo-documents"),
    ("EVENT_BUS_NAME", "default"),
    ("FAILURE_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:bench"),
    ("FILE_AUDIT_TABLE", "bench-file-audit"),
    ("FILE_DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/bench-dead"),
    ("FILE_WORK_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/bench-work"),
    ("JOB_AUDIT_TABLE", "bench-job-audit"),
    ("JOB_CALLBACK_ARN", "arn:aws:lambda:eu-west-1:123456789012:function:bench"),
    ("LEASE_TABLE", "bench-leases"),
    ("MAX_CAUSES", "20"),
    ("REQUEST_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/bench-requests"),
    ("SCRIPTS_BUCKET", "bench-scripts"),
    ("STAGING_BUCKET", "bench-staging"),
    ("STATEMENT_ROLE_ARN", "arn:aws:iam::123456789012:role/bench"),
    ("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:123456789012:stateMachine:bench"),
    ("SWEEP_ROLE_ARN", "arn:aws:iam::123456789012:role/bench"),
    ("SWEEP_SCHEDULE_GROUP", "bench"),
    ("WORKFLOW_AUDIT_TABLE", "bench-workflow-audit"),
];

/// A function under test.
pub(crate) struct Subject {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    event: String,
    /// True if `--check` applies the limits to it.
    pub(crate) checked: bool,
    /// Size of its deployment package in bytes.
    zip: Option<usize>,
}

impl Subject {
    pub(crate) fn binary(name: &str, program: PathBuf, checked: bool, event: String) -> Self {
        let zip = deflated(&program).ok();
        Self { name: name.to_owned(), program, arguments: Vec::new(), event, checked, zip }
    }

    pub(crate) fn script(name: &str, program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { name: name.to_owned(), program, arguments, event: "{}".to_owned(), checked: false, zip: None }
    }
}

/// The measurements of a function.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) checked: bool,
    /// The fastest start, which is least affected by the load of the machine.
    pub(crate) fastest: Duration,
    pub(crate) median: Duration,
    pub(crate) p90: Duration,
    /// Median CPU time, if the system reports it. Lambda gives a function with 128 MB about 1/14 of a core.
    pub(crate) cpu: Option<Duration>,
    /// Maximum resident set of all starts in bytes, if the system reports it.
    pub(crate) peak: Option<u64>,
    pub(crate) zip: Option<usize>,
    /// AWS calls per start.
    pub(crate) calls: u64,
    /// The error of the function, if it did not succeed.
    pub(crate) failure: Option<String>,
}

struct Start {
    took: Duration,
    cpu: Option<Duration>,
    peak: Option<u64>,
    failure: Option<String>,
}

/// The environment in which functions are started.
pub(crate) struct Bench<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) runs: u16,
}

impl Bench<'_> {
    pub(crate) async fn measure(&self, subject: &Subject) -> Result<Measured> {
        let bundle = [("AWS_CA_BUNDLE", self.cloud.bundle())];
        for _ in 0..WARM_UP {
            self.start(subject, &bundle).await?;
        }
        let before = self.cloud.calls();
        let mut times = Vec::new();
        let mut cpu = Vec::new();
        let mut peak = None;
        let mut failure = None;
        for _ in 0..self.runs {
            let start = self.start(subject, &bundle).await?;
            times.push(start.took);
            cpu.extend(start.cpu);
            peak = peak.max(start.peak);
            failure = start.failure.or(failure);
        }
        times.sort();
        cpu.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        Ok(Measured {
            name: subject.name.clone(),
            checked: subject.checked,
            fastest: at(0),
            median: at(50),
            p90: at(90),
            cpu: cpu.get(cpu.len() / 2).copied(),
            peak,
            zip: subject.zip,
            calls: (self.cloud.calls() - before) / u64::from(self.runs),
            failure,
        })
    }

    /// True if the function completes a handshake with endpoints whose certificate is trusted only by the system's
    /// roots.
    ///
    /// Such a function reads the system's roots, a directory with a few hundred files, on every cold start.
    pub(crate) async fn trusts_the_machine(&self, subject: &Subject) -> Result<bool> {
        let before = self.cloud.handshakes();
        // The path in which OpenSSL and rustls-native-certs look for the system's roots.
        let start = self.start(subject, &[("SSL_CERT_FILE", self.cloud.bundle())]).await;
        let trusted = self.cloud.handshakes() > before;
        // Without a trusted endpoint, the function may return an error or exit; both are accepted.
        drop(start);
        Ok(trusted)
    }

    async fn start(&self, subject: &Subject, bundle: &[(&str, PathBuf)]) -> Result<Start> {
        let mut api = RuntimeApi::start(subject.event.clone()).await?;
        let mut command = Command::new(&subject.program);
        command
            .args(&subject.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "example")
            .env("AWS_SESSION_TOKEN", "example")
            .envs(CONFIGURATION)
            .envs(self.cloud.endpoints())
            .envs(bundle.iter().map(|(name, path)| (*name, path)))
            .envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIFTWORK_")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {}", subject.program.display()))?;
        let response = tokio::select! {
            response = timeout(MAX_WAIT, api.response()) => response.context("no response within 20 s")??,
            ended = child.wait() => bail!("the function exited without a response: {}", ended?),
        };
        let (peak, cpu) = child.id().map_or((None, None), |process| (peak(process), cpu(process)));
        child.kill().await?;
        Ok(Start { took: response.at.duration_since(began), cpu, peak, failure: response.failure })
    }
}

/// The maximum resident set of a process so far, from `/proc`.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The CPU time of all threads of a process, from `/proc`.
fn cpu(process: u32) -> Option<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let times = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += times.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// The compressed size of a file in a zip archive, without its directory entry of about a hundred bytes.
fn deflated(path: &Path) -> Result<usize> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&fs::read(path)?)?;
    Ok(encoder.finish()?.len())
}
