//! Formats of durations, counts and instants in output.

use jiff::{SignedDuration, Timestamp};
use shiftwork_protocol::{RunRecord, Status};

/// `430 ms`, `1.27 s`, `12.3 s`, `4 m 05 s`, `2 h 07 m`.
pub fn duration(time: SignedDuration) -> String {
    let millis = time.as_millis().max(0);
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..10_000 => format!("{}.{:02} s", millis / 1000, millis % 1000 / 10),
        _ => ticking(time),
    }
}

/// Like [`duration`], for a value that is redrawn: its resolution is a tenth of a second.
pub fn ticking(time: SignedDuration) -> String {
    let millis = time.as_millis().max(0);
    let seconds = millis / 1000;
    if seconds < 60 {
        format!("{}.{} s", seconds, millis % 1000 / 100)
    } else if seconds < 3600 {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60)
    }
}

/// Like [`duration`], for microseconds; `at least …` if the engine did not report all of them.
pub fn micros(micros: u64, is_complete: bool) -> String {
    at_least(duration(SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))), is_complete)
}

/// A figure, marked as a lower bound unless it is complete.
pub fn at_least(figure: String, is_complete: bool) -> String {
    if is_complete { figure } else { format!("at least {figure}") }
}

/// `1,234,567`
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("-{grouped}") } else { grouped }
}

/// `1 job`, `2 jobs`.
pub fn plural(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// `2026-03-01 02:00:00` in UTC.
pub fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The duration of a run until its end, or until `now` if it has not ended. `None` if it has not started.
pub fn run_duration(run: &RunRecord, now: Timestamp) -> Option<SignedDuration> {
    Some(run.execution_end_ts.unwrap_or(now).duration_since(run.execution_start_ts?))
}

/// One character that shows a status without colour.
pub const fn glyph(status: Status) -> &'static str {
    match status {
        Status::Planning | Status::Queued | Status::Pending => "·",
        Status::Running => "▸",
        Status::Succeeded => "✔",
        Status::Failed => "✘",
        Status::TimedOut => "⧖",
        Status::Aborted => "■",
        Status::Skipped => "–",
    }
}

/// A text in the colour of a status.
pub fn coloured(status: Status, text: impl Into<String>) -> console::StyledObject<String> {
    let text = console::style(text.into());
    match status {
        Status::Planning | Status::Queued | Status::Pending | Status::Skipped => text.dim(),
        Status::Running => text.cyan(),
        Status::Succeeded => text.green(),
        Status::Failed => text.red().bold(),
        Status::TimedOut | Status::Aborted => text.yellow(),
    }
}

/// The first line of a message, truncated to `most` characters.
pub fn brief(message: &str, most: usize) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= most {
        return line.into();
    }
    let mut cut: String = line.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{brief, count, duration, micros, plural, ticking};

    #[test]
    fn figures_are_formatted_for_readers() {
        let read = |millis| duration(SignedDuration::from_millis(millis));
        assert_eq!(read(0), "0 ms");
        assert_eq!(read(430), "430 ms");
        assert_eq!(read(1_279), "1.27 s");
        assert_eq!(read(59_999), "59.9 s");
        assert_eq!(ticking(SignedDuration::from_millis(1_279)), "1.2 s");
        assert_eq!(read(245_000), "4 m 05 s");
        assert_eq!(read(7_620_000), "2 h 07 m");
        assert_eq!(read(-5), "0 ms");
        assert_eq!(micros(600_999, true), "600 ms");
        assert_eq!(micros(2_000_000, false), "at least 2.00 s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-1000), "-1,000");
        assert_eq!(count(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(plural(1, "job"), "1 job");
        assert_eq!(brief("längeres Wort\nmore", 8), "längere…");
    }
}
