//! The report on values in `dw_md_missing_data`.

use shiftwork_change_data::contract;

use crate::fits::{TEXT, fits};
use crate::gaps::number_of_field;
use crate::layout::{block, lines, literal, sql};
use crate::names::{Table, Tables};
use crate::{OTHERS_UNCHANGED, Promotion};

impl Promotion<'_> {
    /// A query with one row for each field that has values in `dw_md_missing_data`, in the order of `first_changed_at`, at most `limit`
    /// rows:
    ///
    /// | column | |
    /// | --- | --- |
    /// | `field` | name of the field, as the source writes it |
    /// | `waiting` | number of events that have a value of the field: BIGINT |
    /// | `first_changed_at`, `last_changed_at` | source time of the first and the last of these events |
    /// | `booleans`, `numbers`, `texts`, `documents` | number of values of each JSON type: BIGINT |
    /// | `whole_digits`, `fraction_digits` | largest number of digits before and after the decimal point, without leading and trailing zeros; NULL if there are no numbers |
    /// | `past_bigint` | number of whole numbers that are out of the range of BIGINT |
    /// | `with_exponent` | number of numbers written with an exponent, whose digits are not counted |
    /// | `longest_text` | bytes of the longest text; NULL if there are no texts |
    /// | `fields` | number of fields, including those past `limit` |
    /// | `with_point` | number of numbers written with a decimal point: BIGINT |
    ///
    /// Values that are JSON null are not counted.
    pub fn drift_report(&self, limit: usize) -> String {
        let table = &self.tables.production;
        let changed_at = |table: &Table| {
            let t = table.alias();
            [
                format!("dw_field, JSON_TYPEOF(dw_value) AS dw_kind, {t}.dw_md_changed_at"),
                "CASE WHEN JSON_TYPEOF(dw_value) = 'number' THEN JSON_SERIALIZE(dw_value) END AS dw_number".to_owned(),
                "CASE WHEN JSON_TYPEOF(dw_value) = 'string' THEN OCTET_LENGTH(dw_value::VARCHAR(65535)) END AS dw_bytes"
                    .to_owned(),
            ]
        };
        let waiting = self.all_waiting(changed_at, "fields.dw_field, dw_kind, dw_md_changed_at, dw_number, dw_bytes");
        sql(&format!(
            "
            -- Fields of {table} for which there is no column.
            SELECT field,
                   COUNT(*) AS waiting,
                   MIN(changed_at) AS first_changed_at,
                   MAX(changed_at) AS last_changed_at,
                   SUM(CASE WHEN kind = 'boolean' THEN 1 ELSE 0 END) AS booleans,
                   SUM(CASE WHEN kind = 'number' THEN 1 ELSE 0 END) AS numbers,
                   SUM(CASE WHEN kind = 'string' THEN 1 ELSE 0 END) AS texts,
                   SUM(CASE WHEN kind IN ('object', 'array') THEN 1 ELSE 0 END) AS documents,
                   MAX(LEN(whole)) AS whole_digits,
                   MAX(LEN(fraction)) AS fraction_digits,
                   SUM(CASE WHEN fraction = '' AND (LEN(whole) > 19 OR (LEN(whole) = 19 AND whole > '9223372036854775807'))
                            THEN 1 ELSE 0 END) AS past_bigint,
                   SUM(CASE WHEN number IS NOT NULL AND whole IS NULL THEN 1 ELSE 0 END) AS with_exponent,
                   MAX(bytes) AS longest_text,
                   COUNT(*) OVER () AS fields,
                   SUM(CASE WHEN STRPOS(number, '.') > 0 THEN 1 ELSE 0 END) AS with_point
            FROM (
                SELECT dw_field AS field, dw_kind AS kind, dw_md_changed_at AS changed_at, dw_number AS number, dw_bytes AS bytes,
                       CASE WHEN dw_number !~ '[eE]' THEN LTRIM(SPLIT_PART(dw_number, '.', 1), '-0') END AS whole,
                       CASE WHEN dw_number !~ '[eE]' THEN RTRIM(SPLIT_PART(dw_number, '.', 2), '0') END AS fraction
                FROM (
                    {waiting}
                ) AS waiting
                WHERE dw_kind <> 'null'
            ) AS waiting
            GROUP BY field
            ORDER BY first_changed_at, field
            LIMIT {limit}
            "
        ))
    }

    /// A query with one row for each of these columns whose field has values in `dw_md_missing_data` that the column does not take:
    ///
    /// | column | |
    /// | --- | --- |
    /// | `field` | name of the field, as the source writes it |
    /// | `misfits` | number of values that the column does not take: BIGINT |
    /// | `example` | the first 60 characters of one of them; NULL if it is longer than any VARCHAR |
    pub fn misfits(&self, columns: &[contract::Column]) -> String {
        let table = &self.tables.production;
        let of_value = |_: &Table| [format!("dw_field, dw_value,\n{TEXT}")];
        let waiting = self.all_waiting(of_value, "fields.dw_field, dw_value, dw_text");
        let is_misfit = |column: &contract::Column| {
            let field = literal(column.field());
            match fits(column.column_type) {
                None => format!("WHEN {field} THEN 1"),
                Some(value) => format!("WHEN {field} THEN CASE WHEN ({value}) IS NULL THEN 1 ELSE 0 END"),
            }
        };
        let is_misfit = lines(columns.iter().map(is_misfit), "");
        sql(&format!(
            "
            -- Values in dw_md_missing_data of {table} that columns of these types do not take.
            SELECT field, COUNT(*) AS misfits, MIN(example) AS example
            FROM (
                SELECT dw_field AS field, LEFT(dw_text, 60) AS example,
                       CASE dw_field
                           {is_misfit}
                       END AS is_misfit
                FROM (
                    {waiting}
                ) AS waiting
                WHERE JSON_TYPEOF(dw_value) <> 'null'
            ) AS waiting
            WHERE is_misfit = 1
            GROUP BY field
            "
        ))
    }

    /// A query for expressions of the values in `dw_md_missing_data`. `names` are the names of the expressions.
    fn all_waiting<const N: usize>(&self, of_value: impl Fn(&Table) -> [String; N], names: &str) -> String {
        let table = &self.tables.production;
        let mut waiting = waiting(table, &of_value(table));
        if self.has_older() {
            waiting.push_str("\nUNION ALL\n");
            waiting.push_str(&self.waiting_in_older(&of_value(&self.tables.older), names));
        }
        block(&waiting)
    }

    /// The same query for the table of older events. An older event may be kept for another of its fields, so a field counts only if no
    /// later event has sent it.
    fn waiting_in_older(&self, of_value: &[String], names: &str) -> String {
        let Tables { production, older, .. } = &self.tables;
        let (key, of_key) = (self.key_list(), |table: &Table| self.key_of(&table.alias()));
        let number = format!("{} AS dw_column", number_of_field(self.columns.iter()));
        let place = format!("{}, {}.dw_md_position AS dw_place", of_key(older), older.alias());
        let fields = block(&waiting(older, &[of_value, &[place, number]].concat()));
        let same_key = self.same_key("later", "fields");
        let only = if self.takes_latest_non_null() { "WHERE JSON_TYPEOF(dw_value) <> 'null'" } else { "" };
        let events = |table: &Table| {
            let (t, of_key) = (table.alias(), of_key(table));
            sql(&format!(
                "
                SELECT {key}, dw_md_position AS dw_place, NVL(dw_md_unchanged, '') AS dw_gaps,
                       CAST(NULL AS VARCHAR) AS dw_field
                FROM {table}
                UNION ALL
                SELECT {of_key}, {t}.dw_md_position, CAST(NULL AS VARCHAR), dw_field
                FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
                {only}
                "
            ))
        };
        let later = block(&format!("{}\nUNION ALL\n{}", events(production), events(older)));
        sql(&format!(
            "
            SELECT {names}
            FROM (
                {fields}
            ) AS fields
            LEFT JOIN (
                {later}
            ) AS later
              ON {same_key} AND later.dw_place > fields.dw_place
             AND CASE WHEN dw_column IS NOT NULL THEN STRPOS(dw_gaps, ',' || dw_column || ',') = 0
                      ELSE later.dw_field = fields.dw_field OR LEFT(dw_gaps, 2) <> '{OTHERS_UNCHANGED}' END
            WHERE later.dw_place IS NULL
            "
        ))
    }
}

/// A query for expressions of the values in `dw_md_missing_data` of a table, `dw_field` and `dw_value`, and of their rows.
fn waiting(table: &Table, expressions: &[String]) -> String {
    let t = table.alias();
    let expressions = lines(expressions, ",");
    sql(&format!(
        "
        SELECT {expressions}
        FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
        "
    ))
}
