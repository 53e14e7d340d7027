//! The progress of a run: a live display on a terminal, otherwise one line per change.

use std::{io::IsTerminal as _, time::Duration};

use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use shiftwork_protocol::Status;

use crate::{
    board::{self, Row, Snapshot},
    words,
};

/// Lines that are kept free for the prompt and the summary.
const MARGIN: u16 = 4;
/// Frames of the spinner; each frame is shown for [`FRAME`].
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Time between two redraws.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// The output for progress.
pub(crate) enum Display {
    /// A terminal: one progress bar per line, which is redrawn.
    Terminal { all: MultiProgress, lines: Vec<ProgressBar>, frames: usize },
    /// A file or a pipe: one line per change.
    Log,
}

impl Display {
    pub(crate) fn new() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal { all: MultiProgress::new(), lines: Vec::new(), frames: 0 }
        } else {
            Self::Log
        }
    }

    /// Shows a new state of the run that was read from the ledger.
    pub(crate) fn news(&mut self, before: Option<&Snapshot>, now: &Snapshot, at: Timestamp) {
        match self {
            Self::Terminal { .. } => self.draw(now, at),
            Self::Log => {
                for line in board::transitions(before, now, at) {
                    eprintln!("{line}");
                }
            }
        }
    }

    /// Redraws the durations and the spinner.
    pub(crate) fn draw(&mut self, now: &Snapshot, at: Timestamp) {
        let Self::Terminal { all, lines, frames } = self else { return };
        *frames += 1;
        let (height, width) = Term::stderr().size();
        let rows = board::frame(now, at, height.saturating_sub(MARGIN).max(3).into(), width.into());
        while lines.len() > rows.len() {
            lines.pop().inspect(|line| all.remove(line));
        }
        while lines.len() < rows.len() {
            let line = ProgressBar::new_spinner()
                .with_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            lines.push(all.add(line));
        }
        for (line, row) in lines.iter().zip(rows) {
            line.set_message(match row {
                Row::Heading(text) => style(text).bold().to_string(),
                Row::Job { status, text } => {
                    let sign =
                        if status == Status::Running { SPINNER[*frames % SPINNER.len()] } else { words::glyph(status) };
                    format!("  {} {}", words::coloured(status, sign), plain(status, text))
                }
            });
            line.tick();
        }
    }

    /// Stops redrawing and keeps the last frame on the screen.
    pub(crate) fn close(&mut self) {
        if let Self::Terminal { lines, .. } = self {
            for line in lines {
                line.abandon();
            }
        }
    }
}

/// Colours only jobs that run or failed.
fn plain(status: Status, text: String) -> String {
    match status {
        Status::Running | Status::Succeeded => text,
        Status::Planning | Status::Queued | Status::Pending | Status::Skipped => style(text).dim().to_string(),
        Status::Failed | Status::TimedOut | Status::Aborted => words::coloured(status, text).to_string(),
    }
}
