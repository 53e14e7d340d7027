//! Waiting for a run, with its progress shown.

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

/// How often the ledger is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two questions while things change.
    pub busy: Duration,
    /// The longest wait while nothing does.
    pub quiet: Duration,
}

impl Pace {
    /// A person at a terminal.
    pub const PERSON: Self = Self { busy: Duration::from_secs(1), quiet: Duration::from_secs(10) };

    /// The next wait: a quarter longer after every question that brought nothing new.
    fn next(self, wait: Duration, changed: bool) -> Duration {
        if changed { self.busy } else { (wait * 5 / 4).min(self.quiet) }
    }
}

/// Questions in a row that may go unanswered before waiting is given up; the run goes on meanwhile.
const UNANSWERED: u32 = 10;

/// Reads a run with its jobs; `None` when there is no such run.
pub async fn snapshot(ledger: &dyn Ledger, run: &str) -> Result<Option<Snapshot>, Failure> {
    // The run is read first: when it has ended, so have the jobs that are read after it.
    let Some(record) = ledger.run(run).await? else { return Ok(None) };
    let jobs = ledger.jobs(run).await?;
    Ok(Some(Snapshot { run: record, jobs }))
}

/// Waits until the run has ended, shows its progress, and answers how it ended.
pub async fn until_end(ledger: &dyn Ledger, clock: &dyn Clock, run: &str, pace: Pace) -> anyhow::Result<Snapshot> {
    let mut display = Display::new();
    let mut last: Option<Snapshot> = None;
    let mut wait = pace.busy;
    let mut unanswered = 0;
    loop {
        match snapshot(ledger, run).await {
            Ok(found) => {
                unanswered = 0;
                let now = found.with_context(|| format!("there is no run {run}"))?;
                let changed = last.as_ref() != Some(&now);
                wait = pace.next(wait, changed);
                display.news(last.as_ref(), &now, clock.now());
                if now.run.execution_status.is_terminal() {
                    display.close();
                    return Ok(now);
                }
                last = Some(now);
            }
            Err(failure) if failure.kind.class() == Class::Retryable && unanswered < UNANSWERED => unanswered += 1,
            Err(failure) => return Err(failure).with_context(|| format!("waiting for {run}, which goes on meanwhile")),
        }
        sleep(&mut display, last.as_ref(), clock, wait).await;
    }
}

/// Sleeps, and keeps the display moving.
async fn sleep(display: &mut Display, last: Option<&Snapshot>, clock: &dyn Clock, wait: Duration) {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        tokio::time::sleep(FRAME.min(until - Instant::now())).await;
        if let Some(now) = last {
            display.draw(now, clock.now());
        }
    }
}

/// Waits for a run on behalf of a command, and says how it ended.
pub async fn command(ledger: &dyn Ledger, clock: &dyn Clock, run: &str) -> anyhow::Result<Outcome> {
    let ended = tokio::select! {
        ended = until_end(ledger, clock, run, Pace::PERSON) => ended?,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nno longer waiting; the run goes on: `shiftwork status {run}`, or `shiftwork cancel {run}`");
            return Ok(Outcome::Interrupted);
        }
    };
    let status = ended.run.execution_status;
    println!("{} {}", words::coloured(status, words::glyph(status)), board::summary(&ended, clock.now()));
    let Some(epilogue) = board::epilogue(&ended) else { return Ok(Outcome::Done) };
    eprintln!("{epilogue}");
    Ok(Outcome::Failed)
}
