//! Reads the description of a statement by the Data API.

use aws_sdk_redshiftdata::{
    operation::describe_statement::DescribeStatementOutput,
    types::{StatementStatusString, StatusString, SubStatementData},
};
use shiftwork_ports::{Progress, failure_kind, steps_reached};

/// Progress of the statement; `None` for a status that the Data API did not have when this code was written.
pub(super) fn progress(described: &DescribeStatementOutput) -> Option<Progress> {
    Some(match described.status()? {
        StatusString::Submitted | StatusString::Picked | StatusString::Started => Progress::Active,
        StatusString::Finished => Progress::Finished { rows: rows(described) },
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

/// Number of rows of a statement, or of the last statement of a batch. The Data API returns −1 if Redshift did not count.
fn rows(described: &DescribeStatementOutput) -> Option<i64> {
    let rows = described.sub_statements().last().map_or(described.result_rows, |last| last.result_rows);
    (rows >= 0).then_some(rows)
}

/// Number of rows that all COPYs of a batch have loaded. For a COPY, `ResultRows` is the number of loaded rows
/// (Redshift Data API Reference, `SubStatementData`).
pub(super) fn copied(described: &DescribeStatementOutput) -> Option<i64> {
    let copies = described.sub_statements().iter().filter(|sub| sub.query_string().is_some_and(is_copy));
    copies.map(|copy| copy.result_rows).filter(|rows| *rows >= 0).reduce(i64::saturating_add)
}

/// Returns true for a COPY, which comments may precede.
fn is_copy(sql: &str) -> bool {
    let first = sql.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with("--"));
    first.and_then(|line| line.split_whitespace().next()).is_some_and(|word| word.eq_ignore_ascii_case("copy"))
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
    use super::*;

    #[test]
    fn the_copied_rows_are_the_sum_over_all_copies() {
        let sub =
            |sql: &str, rows| SubStatementData::builder().id("1").query_string(sql).result_rows(rows).build().unwrap();
        let batch = |subs: Vec<SubStatementData>| {
            DescribeStatementOutput::builder().id("1").set_sub_statements(Some(subs)).build().unwrap()
        };
        let load = batch(vec![
            sub("-- TRUNCATE would commit.\nDELETE FROM staging", 99),
            sub("-- Files from before.\nCOPY staging (\n id) FROM 's3://b/a'", 40),
            sub("copy staging FROM 's3://b/b'", 2),
            sub("INSERT INTO copy SELECT 1", 1),
            sub("DELETE FROM watermarks", 0),
        ]);
        assert_eq!((copied(&load), rows(&load)), (Some(42), Some(0)));
        assert_eq!(copied(&batch(vec![sub("COPY a FROM 's3://b/a'", -1)])), None, "Redshift did not count");
        assert_eq!(copied(&batch(vec![sub("SELECT 1", 1)])), None);
    }
}
