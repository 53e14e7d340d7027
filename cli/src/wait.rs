//! Waits for a run and shows its progress.

use std::time::Duration;

use anyhow::Context as _;
use shiftwork_ports::{Clock, Ledger};
use shiftwork_protocol::{Class, Failure};
use tokio::time::Instant;

pub use crate::board::Snapshot;
use crate::{
    Outcome, board,
    live::{Display, FRAME},
    words,
};

/// How often the ledger is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two polls while jobs change.
    pub busy: Duration,
    /// Longest time between two polls while no job changes.
    pub quiet: Duration,
}

impl Pace {
    /// For a user at a terminal.
    pub const PERSON: Self = Self { busy: Duration::from_secs(1), quiet: Duration::from_secs(10) };

    /// The next wait: 25 % longer after every poll without a change.
    fn next(self, wait: Duration, changed: bool) -> Duration {
        if changed { self.busy } else { (wait * 5 / 4).min(self.quiet) }
    }
}

/// Consecutive polls that may fail before waiting stops with an error. The run is not affected.
const FAILED_POLLS: u32 = 10;

/// Reads a run with its jobs; `None` if the run does not exist.
pub async fn snapshot(ledger: &dyn Ledger, run: &str) -> Result<Option<Snapshot>, Failure> {
    // The run is read before its jobs: if the run has ended, the jobs that are read afterwards have ended too.
    let Some(record) = ledger.run(run).await? else { return Ok(None) };
    let jobs = ledger.jobs(run).await?;
    Ok(Some(Snapshot { run: record, jobs }))
}

/// Polls the ledger until the run has ended, shows the progress, and returns the final state.
pub async fn until_end(ledger: &dyn Ledger, clock: &dyn Clock, run: &str, pace: Pace) -> anyhow::Result<Snapshot> {
    let mut display = Display::new();
    let mut last: Option<Snapshot> = None;
    let mut wait = pace.busy;
    let mut failed_polls = 0;
    loop {
        match snapshot(ledger, run).await {
            Ok(found) => {
                failed_polls = 0;
                let now = found.with_context(|| format!("run {run} does not exist"))?;
                let changed = last.as_ref() != Some(&now);
                wait = pace.next(wait, changed);
                display.news(last.as_ref(), &now, clock.now());
                if now.run.execution_status.is_terminal() {
                    display.close();
                    return Ok(now);
                }
                last = Some(now);
            }
            Err(failure) if failure.kind.class() == Class::Retryable && failed_polls < FAILED_POLLS => {
                failed_polls += 1;
            }
            Err(failure) => {
                return Err(failure).with_context(|| format!("cannot read the state of run {run}; the run continues"));
            }
        }
        sleep(&mut display, last.as_ref(), clock, wait).await;
    }
}

/// Sleeps for `wait` and redraws the display in the meantime.
async fn sleep(display: &mut Display, last: Option<&Snapshot>, clock: &dyn Clock, wait: Duration) {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        tokio::time::sleep(FRAME.min(until - Instant::now())).await;
        if let Some(now) = last {
            display.draw(now, clock.now());
        }
    }
}

/// Waits for a run, prints its summary, and returns the outcome of the command.
pub async fn command(ledger: &dyn Ledger, clock: &dyn Clock, run: &str) -> anyhow::Result<Outcome> {
    let ended = tokio::select! {
        ended = until_end(ledger, clock, run, Pace::PERSON) => ended?,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nstopped waiting; the run continues: see `shiftwork status {run}` or stop it with `shiftwork cancel {run}`");
            return Ok(Outcome::Interrupted);
        }
    };
    let status = ended.run.execution_status;
    println!("{} {}", words::coloured(status, words::glyph(status)), board::summary(&ended, clock.now()));
    let Some(epilogue) = board::epilogue(&ended) else { return Ok(Outcome::Done) };
    eprintln!("{epilogue}");
    Ok(Outcome::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_slow_down_while_nothing_changes() {
        let pace = Pace { busy: Duration::from_secs(1), quiet: Duration::from_secs(2) };
        for (wait, changed, expected) in [
            (1000, false, 1250),
            (1250, false, 1562),
            (1700, false, 2000),
            (2000, false, 2000),
            (2000, true, 1000),
            (1000, true, 1000),
        ] {
            let found = pace.next(Duration::from_millis(wait), changed).as_millis();
            assert_eq!(found, expected, "{wait} ms, changed: {changed}");
        }
    }
}
