//! Translates between Redshift and the decisions: the queries and their rows, and the statements of a migration.

use std::{collections::BTreeMap, fmt::Display};

use jiff::{civil::DateTime, tz::TimeZone};
use shiftwork_change_data::contract::{Column, TableContract};
use shiftwork_ports::{Result, Row};
use shiftwork_promotion::{Migration, Promotion};
use shiftwork_protocol::Failure;

use crate::{
    decide::{MigrationStep, WaitingField},
    infer::{Numbers, Shape},
    refused,
    types::Misfits,
};

/// Bytes of the longest field name that is reported. A source with longer names probably uses data as field names.
const LONGEST_FIELD: usize = 1_024;

/// The query of the drift report, for at most `most` fields.
pub(crate) fn report(contract: &TableContract, most: usize) -> String {
    Promotion::of(contract).drift_report(most)
}

/// The fields in the rows of the drift report, and the number of further fields that are not among them.
pub(crate) fn evidence(rows: Vec<Row>) -> Result<(Vec<WaitingField>, u64)> {
    let fields = rows.first().map(|row| count(row, 13, "fields")).transpose()?.unwrap_or(0);
    let all = rows.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    let reported: Vec<_> = all.into_iter().filter(|seen| seen.field.len() <= LONGEST_FIELD).collect();
    let more = fields.saturating_sub(reported.len() as u64);
    Ok((reported, more))
}

fn one(row: Row) -> Result<WaitingField> {
    let count = |at, name| count(&row, at, name);
    let digits = |at, name| Ok::<_, Failure>(u32::try_from(count(at, name)?).unwrap_or(u32::MAX / 4));
    let since =
        text(&row, 2).map(|text| text.parse::<DateTime>().map_err(|error| unreadable("first_changed_at", error)));
    let since = since.transpose()?.and_then(|at| Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    let numbers = Numbers {
        whole: digits(8, "whole_digits")?,
        fraction: digits(9, "fraction_digits")?,
        past_bigint: count(10, "past_bigint")? > 0,
        with_exponent: count(11, "with_exponent")? > 0,
        with_point: count(14, "with_point")? > 0,
    };
    let shape = Shape {
        booleans: count(4, "booleans")? > 0,
        numbers: (count(5, "numbers")? > 0).then_some(numbers),
        texts: (count(6, "texts")? > 0).then_some(digits(12, "longest_text")?),
        documents: count(7, "documents")? > 0,
    };
    let rows = count(1, "waiting")?;
    let field = row.into_iter().next().flatten().ok_or_else(|| unreadable("field", "it is NULL"))?;
    Ok(WaitingField { field, rows, since, shape })
}

fn text(row: &Row, at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

/// A count; 0 if the cell is NULL.
fn count(row: &Row, at: usize, name: &str) -> Result<u64> {
    text(row, at).map_or(Ok(0), |text| text.parse().map_err(|error| unreadable(name, error)))
}

fn unreadable(name: &str, error: impl Display) -> Failure {
    Failure::corrupt(format!("column `{name}` of the drift report cannot be read: {error}"))
}

/// The migration that these steps make.
pub(crate) fn migration(contract: &TableContract, changes: &[MigrationStep]) -> Result<Migration> {
    let columns: Vec<Column> = changes.iter().map(|change| change.column().clone()).collect();
    Promotion::of(contract).migration(&columns).map_err(|error| refused(error.to_string()))
}

/// The query for the values that columns of these types do not take.
pub(crate) fn misfits(contract: &TableContract, columns: &[Column]) -> String {
    Promotion::of(contract).misfits(columns)
}

/// The values in the rows of the query, by field: their number, and an example.
pub(crate) fn misfits_read(rows: Vec<Row>) -> Result<BTreeMap<String, Misfits>> {
    let one = |row: Row| {
        let values = count(&row, 1, "misfits")?;
        let mut cells = row.into_iter();
        let field = cells.next().flatten().ok_or_else(|| unreadable("field", "it is NULL"))?;
        Ok((field, Misfits { values, example: cells.nth(1).flatten().unwrap_or_default() }))
    };
    rows.into_iter().map(one).collect()
}

/// Whether a query failed because its table or schema does not exist.
pub(crate) fn is_absent(message: &str) -> bool {
    (message.contains("relation") || message.contains("schema")) && message.contains("does not exist")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use shiftwork_ports::Row;

    use super::evidence;
    use crate::{decide::WaitingField, infer::Shape};

    /// The rows of the drift report for these fields.
    pub(crate) fn rows(evidence: &[WaitingField]) -> Vec<Row> {
        let row = |seen: &WaitingField| {
            let Shape { booleans, numbers, texts, documents } = seen.shape;
            let flag = |is: bool| Some(u64::from(is).to_string());
            let since = seen.since.map(|at| at.strftime("%Y-%m-%d %H:%M:%S%.f").to_string());
            vec![
                Some(seen.field.clone()),
                Some(seen.rows.to_string()),
                since.clone(),
                since,
                flag(booleans),
                flag(numbers.is_some()),
                flag(texts.is_some()),
                flag(documents),
                numbers.map(|numbers| numbers.whole.to_string()),
                numbers.map(|numbers| numbers.fraction.to_string()),
                flag(numbers.is_some_and(|numbers| numbers.past_bigint)),
                flag(numbers.is_some_and(|numbers| numbers.with_exponent)),
                texts.map(|longest| longest.to_string()),
                Some(evidence.len().to_string()),
                flag(numbers.is_some_and(|numbers| numbers.with_point)),
            ]
        };
        evidence.iter().map(row).collect()
    }

    #[test]
    fn fields_past_the_limit_and_overlong_ones_are_counted() {
        let seen =
            |field: &str| WaitingField { field: field.into(), rows: 1, since: None, shape: Shape::of(&json!(1)) };
        let mut rows = rows(&[seen("a"), seen(&"x".repeat(2_000))]);
        for row in &mut rows {
            row[13] = Some("100000".into());
        }
        let (reported, more) = evidence(rows).unwrap();
        assert_eq!((reported.len(), more), (1, 99_999));
        assert_eq!(evidence(Vec::new()).unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn an_invalid_cell_is_an_error_that_names_its_column() {
        let mut rows = rows(&[WaitingField { field: "a".into(), rows: 1, since: None, shape: Shape::default() }]);
        rows[0][2] = Some("yesterday".into());
        assert!(evidence(rows).unwrap_err().message.contains("first_changed_at"));
    }

    proptest! {
        #[test]
        fn the_drift_report_is_read(
            fields in prop::collection::btree_set("[a-z ]{1,20}", 0..8), second in 0..2_000_000_000_i64,
            value in prop_oneof![any::<i64>().prop_map(|n| json!(n)), any::<f64>().prop_map(|n| json!(n)), ".*".prop_map(|t| json!(t)), Just(json!([])), Just(json!(true))],
        ) {
            let since = Some(jiff::Timestamp::from_microsecond(second * 1_000_000 + 120).unwrap());
            let all: Vec<_> =
                fields.into_iter().map(|field| WaitingField { field, rows: 3, since, shape: Shape::of(&value) }).collect();
            prop_assert_eq!(evidence(rows(&all)).unwrap(), (all, 0));
        }
    }
}
