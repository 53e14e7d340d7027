//! The times and rows that an engine reports about submissions, as the job audit table and the events have them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of statements of a job whose rows and run times the audit keeps. An entry takes at most 80 bytes of
/// the 400 KB of an item; `rows` and [`Times`] count all statements.
pub const KEPT_STATEMENTS: usize = 200;

/// The times of one or several submissions on their engine.
///
/// From the acceptance of a submission to the moment at which shiftwork recorded its end, each microsecond is in exactly
/// one of `queued_us`, `ran_us` and `noticed_us`. Several submissions (the parts of an attempt) are summed; the time
/// between them, in which shiftwork launches the next one, is in none of the sums.
///
/// Redshift's values are those of `DescribeStatement`: `CreatedAt`, `UpdatedAt` of a statement that ended, and
/// `Duration`, the time for which the SQL ran. The `Duration` of a batch is the sum of the `Duration`s of its statements
/// (Redshift Management Guide, "Describe metadata about a SQL statement").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Time at which the engine accepted the first submission.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub engine_created_ts: Option<Timestamp>,
    /// Time at which the first statement started. The Data API does not report this time: it is derived as the end of
    /// the first statement minus its run time.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub engine_started_ts: Option<Timestamp>,
    /// Time at which the engine recorded the end of the last submission.
    #[serde(default, with = "crate::millis::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub engine_ended_ts: Option<Timestamp>,
    /// Microseconds in which the engine had a submission but ran none of its statements. In Redshift: the wait for a
    /// slot of the queue, the connection, and the work of the Data API, which the Data API does not report separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_us: Option<u64>,
    /// Microseconds for which statements ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_us: Option<u64>,
    /// Microseconds between the end of a submission on its engine and the moment at which shiftwork recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed_us: Option<u64>,
    /// Number of submissions that ended without a run time from the engine. If it is not 0, the sums and the number of
    /// rows are lower bounds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreported: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Times {
    /// The times of these submissions followed by `later` ones.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            engine_created_ts: self.engine_created_ts.or(later.engine_created_ts),
            engine_started_ts: self.engine_started_ts.or(later.engine_started_ts),
            engine_ended_ts: later.engine_ended_ts.or(self.engine_ended_ts),
            queued_us: sum([self.queued_us, later.queued_us]),
            ran_us: sum([self.ran_us, later.ran_us]),
            noticed_us: sum([self.noticed_us, later.noticed_us]),
            unreported: self.unreported.saturating_add(later.unreported),
        }
    }
}

/// The sum of the numbers that are known; `None` if none is.
fn sum(numbers: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    numbers.into_iter().flatten().reduce(u64::saturating_add)
}

/// What an engine reports about one statement of a submission that was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementReport {
    /// First word of the statement in capital letters, such as `INSERT`; empty if the engine does not return its text.
    pub command: String,
    /// Number of rows; absent if the engine did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// True if `rows` is the size of a result that the statement returned; false if the statement changed, loaded or
    /// unloaded these rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// Microseconds for which the statement ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_us: Option<u64>,
}

/// The `rows` of a job with these statements: the sum of the rows that statements changed, loaded or unloaded. Rows
/// that a query returned are not counted. `None` if no such statement reports a number.
pub fn changed_rows(statements: &[StatementReport]) -> Option<i64> {
    statements.iter().filter(|statement| !statement.returned).filter_map(|one| one.rows).reduce(i64::saturating_add)
}

/// Of the statements of a load of change data: the rows below the watermark that it dropped although they may be of a topic that was
/// created again, which it counts by its first DELETE after the last COPY. `None` if there are none.
pub fn dropped_rows(statements: &[StatementReport]) -> Option<i64> {
    let last_copy = statements.iter().rposition(|statement| statement.command == "COPY")?;
    let delete = statements[last_copy..].iter().find(|statement| statement.command == "DELETE")?;
    delete.rows.filter(|rows| *rows > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn the_times_of_submissions_are_summed_and_span_the_first_to_the_last() {
        let first = Times {
            engine_created_ts: at(1),
            engine_started_ts: at(2),
            engine_ended_ts: at(3),
            queued_us: Some(10),
            ran_us: Some(20),
            noticed_us: Some(30),
            unreported: 0,
        };
        let second = Times {
            engine_created_ts: at(4),
            engine_started_ts: at(5),
            engine_ended_ts: at(6),
            queued_us: Some(1),
            ran_us: Some(2),
            noticed_us: Some(3),
            unreported: 0,
        };
        let both =
            Times { engine_ended_ts: at(6), queued_us: Some(11), ran_us: Some(22), noticed_us: Some(33), ..first };
        assert_eq!(first.then(second), both);
        assert_eq!(Times::default().then(first), first);
        assert_eq!(first.then(Times::default()), first);
        let silent = Times { unreported: 1, ..Times::default() };
        assert_eq!(first.then(silent), Times { unreported: 1, ..first }, "the sums are lower bounds");
    }

    #[test]
    fn the_dropped_rows_of_a_load_are_those_of_the_first_delete_after_its_copies() {
        let report =
            |command: &str, rows| StatementReport { command: command.into(), rows: Some(rows), ..Default::default() };
        let load = |dropped| {
            vec![
                report("LOCK", 0),
                report("DELETE", 7),
                report("COPY", 5),
                report("UPDATE", 2),
                report("COPY", 5),
                report("DELETE", dropped),
                report("DELETE", 4),
            ]
        };
        assert_eq!(dropped_rows(&load(3)), Some(3));
        assert_eq!(dropped_rows(&load(0)), None);
        assert_eq!(dropped_rows(&[report("DELETE", 7)]), None);
        assert_eq!(dropped_rows(&[]), None);
    }

    #[test]
    fn the_rows_of_a_job_are_those_that_its_statements_changed() {
        let report =
            |command: &str, rows, returned| StatementReport { command: command.into(), rows, returned, ran_us: None };
        let script = [
            report("CREATE", None, false),
            report("DELETE", Some(10), false),
            report("INSERT", Some(1_000), false),
            report("SELECT", Some(1), true),
        ];
        assert_eq!(changed_rows(&script), Some(1_010));
        assert_eq!(changed_rows(&script[3..]), None, "a query changes no rows");
        assert_eq!(changed_rows(&script[..1]), None, "the engine did not count");
        assert_eq!(
            changed_rows(&[report("INSERT", Some(i64::MAX), false), report("INSERT", Some(1), false)]),
            Some(i64::MAX)
        );
    }

    #[test]
    fn an_entry_of_the_audit_has_the_size_that_the_limit_assumes() {
        let longest = StatementReport {
            command: "TRUNCATE".into(),
            rows: Some(i64::MAX),
            returned: true,
            ran_us: Some(24 * 60 * 60 * 1_000_000),
        };
        assert!(serde_json::to_string(&longest).unwrap().len() <= 100);
    }
}
