//! Moves values from `dw_md_missing_data` into the columns that were added for their fields.

use shiftwork_sql::quote_literal;

use crate::fits::{TEXT, fits};
use crate::layout::{block, lines, literal, sql};
use crate::{Column, OTHERS_UNCHANGED, Promotion, Table};

/// The rows whose values are moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backfill<'a> {
    pub(crate) promotion: &'a Promotion<'a>,
    pub(crate) comment: &'a str,
    pub(crate) table: &'a Table,
    /// The columns that identify a row of the table.
    pub(crate) row: &'a [String],
    pub(crate) absent: AbsentField,
}

/// What it means for a column that a row lacks its field, when the column was added after the row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbsentField {
    /// The column is NULL.
    Null,
    /// The column did not change, if `dw_md_unchanged` of the row says that fields without a column did not change.
    Unchanged,
    /// As [`Unchanged`](Self::Unchanged), and a field that is null counts as absent too.
    NullIsUnchanged,
}

impl Promotion<'_> {
    /// Statements, at most `most`, that move values into `newer` columns in the staging table. The loaded files were staged before the
    /// contract had these columns, so the values are in `dw_md_missing_data`.
    pub(crate) fn backfill(&self, newer: &[Column], most: usize) -> Vec<String> {
        let moves = Backfill {
            promotion: self,
            comment: "These files were staged before the contract had the column: move its values out of dw_md_missing_data.",
            table: &self.tables.staging,
            row: &["dw_md_row".to_owned()],
            absent: self.absent_field(),
        };
        let columns: Vec<&Column> = newer.iter().collect();
        columns.chunks(columns.len().div_ceil(most.max(1)).max(1)).filter_map(|columns| moves.all(columns)).collect()
    }

    pub(crate) fn absent_field(&self) -> AbsentField {
        match (self.has_gaps(), self.takes_latest_non_null()) {
            (false, _) => AbsentField::Null,
            (true, false) => AbsentField::Unchanged,
            (true, true) => AbsentField::NullIsUnchanged,
        }
    }
}

/// Whether a migration copies the values of a field to its column but leaves them in `dw_md_missing_data`: no path of SUPER names a
/// field with a quote, a backslash or a line break, because Redshift's documentation does not describe an escape for them.
pub fn is_copied(field: &str) -> bool {
    field.contains(['"', '\\', '\n'])
}

/// The path of a field in OBJECT_TRANSFORM. `None` if [`is_copied`].
fn path(field: &str) -> Option<String> {
    (!is_copied(field)).then(|| quote_literal(&format!("\"{field}\"")))
}

/// An expression for the column's value of `dw_value`, as a value of a template.
fn fitting(column: &Column) -> String {
    block(&format!("{} AS {}", fits(column.kind).unwrap_or_else(|| "NULL".to_owned()), column.name))
}

impl Backfill<'_> {
    /// Moves the values of the columns' fields from `dw_md_missing_data` into the columns. A value that does not fit stays there. `None`
    /// if no value can be moved, because JSON has no values of the columns' types.
    pub(crate) fn all(&self, columns: &[&Column]) -> Option<String> {
        let movable = |column: &&&Column| fits(column.kind).is_some();
        match columns {
            _ if self.absent != AbsentField::Null => Some(self.many(columns)),
            [column] => fits(column.kind).map(|_| self.one(column)),
            _ => {
                let columns: Vec<&Column> = columns.iter().filter(movable).copied().collect();
                (!columns.is_empty()).then(|| self.many(&columns))
            }
        }
    }

    fn of_row(&self, table: &str) -> String {
        self.row.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
    }

    fn same_row(&self, a: &str, b: &str) -> String {
        self.promotion.same_values(self.row.iter().map(String::as_str), a, b)
    }

    /// A query for the values of a column's field in `dw_md_missing_data`, each with the value that the column takes of it.
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

    /// One statement for several fields.
    fn many(&self, columns: &[&Column]) -> String {
        let Self { comment, table, absent: absent_field, .. } = self;
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
        let waits = |column: &&Column| format!("JSON_TYPEOF(field_{}.dw_value) <> 'null'", column.number);
        let mut only: Vec<String> = columns.iter().map(waits).collect();
        if *absent_field != AbsentField::Null {
            set.push(format!("dw_md_unchanged = {t}.dw_md_unchanged || moved.dw_gaps"));
            let mark = |column: &&Column| {
                let n = column.number;
                let absent = match absent_field {
                    AbsentField::Null | AbsentField::Unchanged => format!("field_{n}.{first} IS NULL"),
                    AbsentField::NullIsUnchanged => {
                        format!(
                            "events.{} IS NULL AND NVL(JSON_TYPEOF(field_{n}.dw_value), 'null') = 'null'",
                            column.name
                        )
                    }
                };
                left_out(column, &absent)
            };
            values.push(format!("{} AS dw_gaps", columns.iter().map(mark).collect::<Vec<_>>().join("\n|| ")));
            only.push(format!("LEFT(events.dw_md_unchanged, 2) = '{OTHERS_UNCHANGED}'"));
        }
        let join = |column: &&Column| {
            let n = column.number;
            let same_row = self.same_row(&format!("field_{n}"), "events");
            let waiting = self.waiting(column).replace('\n', "\n    ");
            format!("LEFT JOIN (\n    {waiting}\n) AS field_{n} ON {same_row}")
        };
        let joins = lines(columns.iter().map(join), "");
        let (set, values, only) = (lines(set, ","), lines(values, ","), lines(only, " OR"));
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
                WHERE {only}
            ) AS moved
            WHERE {same_row}
            "
        ))
    }

    /// Marks in `dw_md_unchanged` which rows left out the fields of columns that are about to be added. `None` if an absent field means
    /// NULL.
    pub(crate) fn left_out(&self, columns: &[&Column]) -> Option<String> {
        let Self { comment, table, absent: absent_field, .. } = self;
        let t = table.alias();
        let (of_row, of_table, row) = (self.of_row("events"), self.of_row(&t), self.row.join(", "));
        let (same_row, same_fields) = (self.same_row(&t, "rows_before"), self.same_row("fields", "events"));
        let has = |column: &&Column| {
            let (n, field) = (column.number, literal(&column.field));
            format!("MAX(CASE WHEN dw_field = {field} THEN 1 END) AS dw_has_{n}")
        };
        let has = lines(columns.iter().map(has), ",");
        let marks = columns.iter().map(|column| left_out(column, &format!("fields.dw_has_{} IS NULL", column.number)));
        let marks = lines(marks, " ||");
        let only =
            if *absent_field == AbsentField::NullIsUnchanged { "WHERE JSON_TYPEOF(dw_value) <> 'null'" } else { "" };
        (*absent_field != AbsentField::Null).then(|| {
            sql(&format!(
                "
                -- {comment}
                UPDATE {table}
                SET dw_md_unchanged = {t}.dw_md_unchanged || rows_before.dw_gaps
                FROM (
                    SELECT {of_row},
                           {marks} AS dw_gaps
                    FROM {table} AS events
                    LEFT JOIN (
                        SELECT {row},
                               {has}
                        FROM (
                            SELECT {of_table}, dw_field
                            FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
                            {only}
                        ) AS fields
                        GROUP BY {row}
                    ) AS fields ON {same_fields}
                    WHERE LEFT(events.dw_md_unchanged, 2) = '{OTHERS_UNCHANGED}'
                ) AS rows_before
                WHERE {same_row} AND rows_before.dw_gaps <> ''
                "
            ))
        })
    }
}

/// An expression that is `6,` if the event was staged by a contract without column 6 and did not send its field because the field did
/// not change.
fn left_out(column: &Column, absent: &str) -> String {
    let n = column.number;
    format!(
        "CASE WHEN SUBSTRING(events.dw_md_unchanged, 2, 5) < '{n:05}' AND STRPOS(events.dw_md_unchanged, ',{n},') = 0\n          \
         AND {absent} THEN '{n},' ELSE '' END"
    )
}
