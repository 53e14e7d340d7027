//! Runs a process on one core and measures its duration, its CPU time and its maximum resident set.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use wait4::Wait4 as _;

/// The measurement of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Time from the start of the process to its end.
    pub(crate) took: Duration,
    /// CPU time, including the kernel.
    pub(crate) on_core: Duration,
    /// Maximum resident set in bytes.
    pub(crate) peak: u64,
}

impl Run {
    /// Runs a program on this core only.
    ///
    /// # Errors
    /// Returns an error if the program cannot be started or fails.
    pub(crate) fn of(core: u16, program: &Path, arguments: &[OsString]) -> Result<Self> {
        let began = Instant::now();
        let child = Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {} (and taskset, of util-linux)", program.display()))?;
        let end = child.wait4()?;
        let took = began.elapsed();
        ensure!(end.status.success(), "{} failed: {}", program.display(), end.status);
        let on_core = end.rusage.utime + end.rusage.stime;
        Ok(Self { took, on_core, peak: end.rusage.maxrss })
    }
}

/// All runs of one subject, one per round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    pub(crate) fn push(&mut self, run: Run) {
        self.0.push(run);
    }

    /// Speed relative to a peer that ran in the same rounds: the median of the ratios.
    pub(crate) fn times_as_fast_as(&self, peer: &Self) -> f64 {
        let rounds = self.0.iter().zip(&peer.0);
        let mut ratios: Vec<f64> =
            rounds.map(|(ours, peer)| peer.took.as_secs_f64() / ours.took.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    }

    /// The share of the duration that parts of the work took, which ran in the same rounds: the median of the ratios.
    pub(crate) fn share_of(&self, parts: &[&Self]) -> f64 {
        let rounds = self.0.iter().enumerate();
        let share = |(round, run): (usize, &Run)| {
            let parts: f64 = parts.iter().filter_map(|part| part.0.get(round)).map(|run| run.took.as_secs_f64()).sum();
            parts / run.took.as_secs_f64()
        };
        let mut ratios: Vec<f64> = rounds.map(share).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    }

    /// Median duration.
    pub(crate) fn took(&self) -> Duration {
        shiftwork_benches::numbers::median(&self.durations(|run| run.took))
    }

    /// Minimum and maximum duration.
    pub(crate) fn spread(&self) -> (Duration, Duration) {
        let took = self.durations(|run| run.took);
        (took.iter().min().copied().unwrap_or_default(), took.iter().max().copied().unwrap_or_default())
    }

    /// Median CPU time.
    pub(crate) fn on_core(&self) -> Duration {
        shiftwork_benches::numbers::median(&self.durations(|run| run.on_core))
    }

    /// Maximum resident set of all runs, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.0.iter().map(|run| run.peak).max().unwrap_or_default()
    }

    fn durations(&self, what: impl Fn(&Run) -> Duration) -> Vec<Duration> {
        self.0.iter().map(what).collect()
    }
}
