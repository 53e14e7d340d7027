//! Values that wait in `dw_md_missing_data` move into their columns.

use crate::fits::{TEXT, fits};
use crate::layout::{block, lines, sql};
use crate::names::literal;
use crate::{Column, Promotion, Table};

/// Rows in which values move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moves<'a> {
    pub(crate) comment: &'a str,
    pub(crate) table: &'a Table,
    /// The columns that tell its rows apart.
    pub(crate) row: &'a [String],
}

impl Promotion<'_> {
    /// Rows of files that are older than these columns: what the columns would have taken waits. At most so many statements.
    ///
    /// Where events have gaps, a field that is not there may be one that did not change.
    pub(crate) fn lift(&self, newer: &[Column], most: usize) -> Vec<String> {
        let moves = Moves {
            comment: "These files are older than the column: what it would have taken waits.",
            table: &self.tables.staging,
            row: &["dw_md_row".to_owned()],
        };
        let gaps = self.has_gaps();
        let columns: Vec<&Column> = newer.iter().filter(|column| gaps || fits(column.kind).is_some()).collect();
        let a_statement = columns.len().div_ceil(most.max(1)).max(1);
        let statement = |columns: &[&Column]| if gaps { moves.many(columns, true) } else { moves.all(columns) };
        columns.chunks(a_statement).map(statement).collect()
    }
}

/// The path of a field in OBJECT_TRANSFORM. None where its name has a quote: Redshift's documentation names no escape for it.
fn path(field: &str) -> Option<String> {
    (!field.contains(['"', '\\'])).then(|| literal(&format!("\"{field}\"")))
}

/// The column's value of what waits, as a value of a template.
fn fitting(column: &Column) -> String {
    block(&format!("{} AS {}", fits(column.kind).unwrap_or_else(|| "NULL".to_owned()), column.name))
}

impl Moves<'_> {
    /// Moves what waits under the columns' fields into them. What does not fit goes on waiting.
    pub(crate) fn all(&self, columns: &[&Column]) -> String {
        match columns {
            [column] => self.one(column),
            _ => self.many(columns, false),
        }
    }

    fn of_row(&self, table: &str) -> String {
        self.row.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
    }

    fn same_row(&self, a: &str, b: &str) -> String {
        self.row.iter().map(|name| format!("{a}.{name} = {b}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// The values of a column's field and what the column takes of them.
    fn waiting(&self, column: &Column) -> String {
        let Self { table, .. } = self;
        let t = table.alias();
        let (row, of_row, text) = (self.row.join(", "), self.of_row(&t), block(TEXT));
        let (fitting, field) = (fitting(column), literal(&column.field));
        sql(&format!(
            "
            SELECT {row}, dw_value,
                   {fitting}
            FROM (
                SELECT {of_row}, dw_value,
                       {text}
                FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
                WHERE dw_field = {field}
            ) AS waiting
            "
        ))
    }

    fn one(&self, column: &Column) -> String {
        let Self { comment, table, .. } = self;
        let (t, name) = (table.alias(), &column.name);
        let (same_row, waiting) = (self.same_row(&t, "moved"), block(&self.waiting(column)));
        let mut set = vec![format!("{name} = moved.{name}")];
        set.extend(path(&column.field).map(|path| {
            format!("dw_md_missing_data = OBJECT_TRANSFORM({t}.dw_md_missing_data SET {path}, JSON_PARSE('null'))")
        }));
        let set = lines(set, ",");
        sql(&format!(
            "
            -- {comment}
            UPDATE {table}
            SET {set}
            FROM (
                {waiting}
            ) AS moved
            WHERE {same_row} AND moved.{name} IS NOT NULL
            "
        ))
    }

    /// Several fields at once. With `gaps`, a field that is not there is one that was not sent.
    fn many(&self, columns: &[&Column], gaps: bool) -> String {
        let Self { comment, table, .. } = self;
        let t = table.alias();
        let (of_row, same_row) = (self.of_row("events"), self.same_row(&t, "moved"));
        let first = self.row.first().map(String::as_str).unwrap_or_default();
        let movable: Vec<&Column> = columns.iter().copied().filter(|column| fits(column.kind).is_some()).collect();
        let mut set: Vec<String> = movable
            .iter()
            .map(|Column { name, .. }| {
                format!("{name} = CASE WHEN moved.{name} IS NULL THEN {t}.{name} ELSE moved.{name} END")
            })
            .collect();
        let left = |column: &&Column| Some(format!("{}, moved.dw_left_{}", path(&column.field)?, column.number));
        let left: Vec<String> = movable.iter().filter_map(left).collect();
        if !left.is_empty() {
            let left = left.join(",\n        ");
            set.push(format!("dw_md_missing_data = OBJECT_TRANSFORM(\n    {t}.dw_md_missing_data\n    SET {left}\n)"));
        }
        let mut values: Vec<String> = movable
            .iter()
            .map(|Column { name, number: n, .. }| {
                format!(
                    "field_{n}.{name},\nCASE WHEN field_{n}.{first} IS NOT NULL AND field_{n}.{name} IS NULL THEN field_{n}.dw_value\n     \
                     ELSE JSON_PARSE('null') END AS dw_left_{n}"
                )
            })
            .collect();
        if gaps {
            set.push(format!("dw_md_unchanged = NULLIF(NVL({t}.dw_md_unchanged, ',') || moved.dw_gaps, ',')"));
            let mark = |column: &&Column| match (column.number, fits(column.kind)) {
                (n, Some(_)) => format!("CASE WHEN field_{n}.{first} IS NULL THEN '{n},' ELSE '' END"),
                // JSON has no values of its type: what waits goes on waiting, and the column keeps what it has.
                (n, None) => format!("'{n},'"),
            };
            values.push(format!("{} AS dw_gaps", columns.iter().map(mark).collect::<Vec<_>>().join("\n|| ")));
        }
        let join = |column: &&Column| {
            let n = column.number;
            let same_row = self.same_row(&format!("field_{n}"), "events");
            let waiting = self.waiting(column).replace('\n', "\n    ");
            format!("LEFT JOIN (\n    {waiting}\n) AS field_{n} ON {same_row}")
        };
        let joins = lines(movable.iter().map(join), "");
        let only = if gaps { "" } else { "WHERE events.dw_md_missing_data IS NOT NULL" };
        let (set, values) = (lines(set, ","), lines(values, ","));
        sql(&format!(
            "
            -- {comment}
            UPDATE {table}
            SET {set}
            FROM (
                SELECT {of_row},
                       {values}
                FROM {table} AS events
                {joins}
                {only}
            ) AS moved
            WHERE {same_row}
            "
        ))
    }
}
