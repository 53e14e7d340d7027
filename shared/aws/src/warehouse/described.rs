//! Reads the description of a statement by the Data API.

use std::time::Duration;

use aws_sdk_redshiftdata::{
    operation::describe_statement::DescribeStatementOutput,
    types::{StatementStatusString, StatusString, SubStatementData},
};
use aws_smithy_types::DateTime;
use jiff::{Timestamp, Unit};
use shiftwork_ports::{EngineReport, Progress, failure_kind, steps_reached};
use shiftwork_protocol::StatementReport;

/// Progress of the statement; `None` for a status that the Data API did not have when this code was written.
pub(super) fn progress(described: &DescribeStatementOutput) -> Option<Progress> {
    Some(match described.status()? {
        StatusString::Submitted | StatusString::Picked | StatusString::Started => Progress::Active,
        StatusString::Finished => Progress::Finished,
        StatusString::Failed => {
            let message = message(described);
            let reached = steps_reached(finished(described), statements(described), &message);
            Progress::Failed { kind: failure_kind(&message), message, reached }
        }
        StatusString::Aborted => Progress::Aborted { reached: finished(described) },
        // `ALL` is only a filter of lists. AWS may add further statuses to the enum.
        _ => return None,
    })
}

/// Number of statements of a batch that finished before one failed or was cancelled; 0 for a single statement.
fn finished(described: &DescribeStatementOutput) -> u32 {
    let subs = described.sub_statements().iter();
    let finished = subs.take_while(|sub| sub.status == Some(StatementStatusString::Finished)).count();
    u32::try_from(finished).unwrap_or(u32::MAX)
}

/// Number of statements of a batch; 1 for a single statement.
fn statements(described: &DescribeStatementOutput) -> u32 {
    u32::try_from(described.sub_statements().len()).unwrap_or(u32::MAX).max(1)
}

/// The report of a statement that ended; empty for a statement that is active.
///
/// The Data API has no start time. `UpdatedAt` of a statement that ended is the time of its last change of status, and
/// `Duration` the time for which it ran, so the start is the difference. The run time of a batch is the sum over its
/// statements: the Data API works between them, and their `UpdatedAt`s are further apart than their `Duration`s.
pub(super) fn report(described: &DescribeStatementOutput) -> EngineReport {
    match progress(described) {
        Some(Progress::Active) | None => return EngineReport::default(),
        Some(Progress::Finished | Progress::Failed { .. } | Progress::Aborted { .. }) => {}
    }
    let (created, ended) = (described.created_at().and_then(instant), described.updated_at().and_then(instant));
    let own = ran(described.duration);
    let (statements, first, ran): (Vec<_>, _, _) = match described.sub_statements() {
        [] => (vec![single(described)], ended.zip(own), own),
        subs => {
            let first = subs.iter().find_map(|sub| sub.updated_at().and_then(instant).zip(ran(sub.duration)));
            let sum = subs.iter().filter_map(|sub| ran(sub.duration)).reduce(Duration::saturating_add);
            (subs.iter().map(part).collect(), first, sum.or(own))
        }
    };
    let started = first.and_then(|(ended, ran)| ended.checked_sub(ran).ok());
    EngineReport {
        created,
        started: started.map(|started| created.map_or(started, |created| started.max(created))),
        ended,
        ran_us: ran.map(micros),
        statements,
    }
}

fn single(described: &DescribeStatementOutput) -> StatementReport {
    let DescribeStatementOutput { query_string, result_rows, has_result_set, duration, .. } = described;
    report_of(query_string.as_deref(), *result_rows, *has_result_set, *duration)
}

fn part(sub: &SubStatementData) -> StatementReport {
    let SubStatementData { query_string, result_rows, has_result_set, duration, .. } = sub;
    report_of(query_string.as_deref(), *result_rows, *has_result_set, *duration)
}

/// A CALL has no rows: the rows that the statements of the procedure changed are not those that the Data API reports for it.
fn report_of(sql: Option<&str>, rows: i64, has_result_set: Option<bool>, duration: i64) -> StatementReport {
    let command = sql.map(shiftwork_sql::command).unwrap_or_default();
    StatementReport {
        rows: counted(rows).filter(|_| command != "CALL"),
        command,
        returned: has_result_set == Some(true),
        ran_us: ran(duration).map(micros),
    }
}

/// `ResultRows`; the Data API returns −1 if Redshift did not count.
fn counted(rows: i64) -> Option<i64> {
    (rows >= 0).then_some(rows)
}

/// `Duration` in nanoseconds; the Data API returns −1 for a statement that did not run, and the SDK 0 for a response
/// without the member.
fn ran(nanos: i64) -> Option<Duration> {
    u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time of the Data API, which is a floating-point number of seconds with milliseconds on the wire.
fn instant(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()?.round(Unit::Microsecond).ok()
}

/// Redshift's message; for a batch, the message of the statement that failed, with the number of the statement.
fn message(described: &DescribeStatementOutput) -> String {
    let failed = described
        .sub_statements()
        .iter()
        .enumerate()
        .find(|(_, sub)| sub.status == Some(StatementStatusString::Failed) && sub.error.is_some());
    match (failed, described.error()) {
        (Some((position, SubStatementData { error: Some(error), .. })), _) => {
            format!("statement {}: {error}", position + 1)
        }
        (_, Some(error)) => error.to_owned(),
        (_, None) => "Redshift failed the statement without a message".into(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_redshiftdata::operation::describe_statement::builders::DescribeStatementOutputBuilder;

    use super::*;

    /// Seconds and milliseconds as in a response of the Data API.
    fn at(seconds: f64) -> DateTime {
        DateTime::from_secs_f64(seconds)
    }

    fn millis(instant: Option<Timestamp>) -> i64 {
        instant.unwrap().as_millisecond()
    }

    fn finished() -> DescribeStatementOutputBuilder {
        DescribeStatementOutput::builder().id("1").status(StatusString::Finished)
    }

    /// The response to a single statement in the Redshift Management Guide, "Describe metadata about a SQL statement".
    #[test]
    fn the_start_of_a_statement_is_its_end_minus_its_run_time() {
        let described = finished()
            .created_at(at(1_598_306_924.632))
            .updated_at(at(1_598_306_926.667))
            .duration(1_095_981_511)
            .query_string("select * from stl_query limit 1")
            .has_result_set(true)
            .result_rows(1)
            .build()
            .unwrap();
        let report = report(&described);
        assert_eq!((millis(report.created), millis(report.ended)), (1_598_306_924_632, 1_598_306_926_667));
        assert_eq!(millis(report.started), 1_598_306_925_571);
        assert_eq!(report.ran_us, Some(1_095_981));
        let select =
            StatementReport { command: "SELECT".into(), rows: Some(1), returned: true, ran_us: Some(1_095_981) };
        assert_eq!(report.statements, [select]);
    }

    #[test]
    fn a_call_has_no_rows() {
        let called = |sql: &str| {
            let described = finished().query_string(sql).result_rows(0).has_result_set(false).build().unwrap();
            report(&described).statements[0].rows
        };
        assert_eq!(called("/* nightly */ call load_sales(1)"), None);
        assert_eq!(called("delete from sales where false"), Some(0));
    }

    /// The response to a batch on the same page: one second from `CreatedAt` to `UpdatedAt`, of which the statements ran
    /// 6.6 ms.
    #[test]
    fn the_run_time_of_a_batch_is_the_sum_over_its_statements() {
        let sub = |ended, nanos, text: &str| {
            let sub = SubStatementData::builder().id("1").created_at(at(1_623_979_777.274)).updated_at(at(ended));
            sub.duration(nanos).has_result_set(true).result_rows(1).query_string(text).build().unwrap()
        };
        let described = finished()
            .created_at(at(1_623_979_777.126))
            .updated_at(at(1_623_979_778.183))
            .duration(6_591_877)
            .result_rows(2)
            .sub_statements(sub(1_623_979_777.903, 3_396_637, "select 1;"))
            .sub_statements(sub(1_623_979_778.076, 3_195_240, "select 2;"))
            .build()
            .unwrap();
        let report = report(&described);
        assert_eq!(report.ran_us, Some(6_591));
        assert_eq!(millis(report.started), 1_623_979_777_899, "the first statement started after the queue");
        assert_eq!(report.statements.iter().map(|one| one.ran_us).collect::<Vec<_>>(), [Some(3_396), Some(3_195)]);
    }

    #[test]
    fn each_statement_of_a_batch_has_its_command_and_its_rows() {
        let sub =
            |sql: &str, rows| SubStatementData::builder().id("1").query_string(sql).result_rows(rows).build().unwrap();
        let described = finished()
            .sub_statements(sub("-- TRUNCATE would commit.\nDELETE FROM staging", 99))
            .sub_statements(sub("/* Files from before. */ copy staging (\n id) FROM 's3://b/a'", 40))
            .sub_statements(sub("INSERT INTO copy SELECT 1", -1))
            .build()
            .unwrap();
        let statements = report(&described).statements;
        let found: Vec<_> = statements.iter().map(|one| (one.command.as_str(), one.rows, one.ran_us)).collect();
        assert_eq!(found, [("DELETE", Some(99), None), ("COPY", Some(40), None), ("INSERT", None, None)]);
    }

    #[test]
    fn a_time_that_the_data_api_does_not_have_is_absent() {
        let active = DescribeStatementOutput::builder().id("1").status(StatusString::Started).duration(-1);
        assert_eq!(report(&active.created_at(at(1.0)).build().unwrap()), EngineReport::default());
        let aborted = DescribeStatementOutput::builder().id("1").status(StatusString::Aborted).duration(-1);
        let aborted = report(&aborted.created_at(at(1.0)).updated_at(at(2.0)).build().unwrap());
        assert_eq!((aborted.ran_us, aborted.started), (None, None));
        assert_eq!((millis(aborted.created), millis(aborted.ended)), (1_000, 2_000));
    }
}
