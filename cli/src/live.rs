//! A run on a terminal, live; line by line elsewhere.

use std::{io::IsTerminal as _, time::Duration};

use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use shiftwork_protocol::Status;

use crate::{
    board::{self, Row, Snapshot},
    words,
};

/// Lines that stay free for the prompt and the summary.
const MARGIN: u16 = 4;
/// Frames of the spinner, and how long each shows.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Between two drawings.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// Where progress goes.
pub(crate) enum Display {
    /// A terminal: one bar a line, redrawn.
    Terminal { all: MultiProgress, lines: Vec<ProgressBar>, frames: usize },
    /// A file or a pipe: one line a change.
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

    /// The ledger was read.
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

    /// Time went on.
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

    /// The run ended: the last picture stays.
    pub(crate) fn close(&mut self) {
        if let Self::Terminal { lines, .. } = self {
            for line in lines {
                line.abandon();
            }
        }
    }
}

/// Only what wants attention is coloured in full.
fn plain(status: Status, text: String) -> String {
    match status {
        Status::Running | Status::Succeeded => text,
        Status::Planning | Status::Queued | Status::Pending | Status::Skipped => style(text).dim().to_string(),
        Status::Failed | Status::TimedOut | Status::Aborted => words::coloured(status, text).to_string(),
    }
}
