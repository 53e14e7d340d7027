//! What waits in `dw_md_missing_data`.

use crate::Promotion;
use crate::layout::{block, sql};
use crate::names::Table;

impl Promotion<'_> {
    /// A query with a row for each field that waits in the table, those that wait longest first, at most `limit`:
    ///
    /// | column | |
    /// | --- | --- |
    /// | `field` | as the source writes it |
    /// | `waiting` | events whose value waits: BIGINT |
    /// | `first_changed_at`, `last_changed_at` | source time of the first and the last of them |
    /// | `booleans`, `numbers`, `texts`, `documents` | how many are of which JSON type: BIGINT |
    /// | `whole_digits`, `fraction_digits` | most digits of a number before the point and behind it, without zeros that say nothing; NULL without numbers |
    /// | `past_bigint` | whole numbers that a BIGINT has no room for |
    /// | `with_exponent` | numbers written with an exponent: their digits are not counted |
    /// | `longest_text` | bytes of the longest text; NULL without texts |
    /// | `fields` | fields that wait, also those past `limit` |
    ///
    /// Values that are JSON null wait for nothing.
    pub fn drift_report(&self, limit: usize) -> String {
        let table = &self.tables.production;
        let older = self.has_older().then_some(&self.tables.older);
        let waiting: Vec<String> = [table].into_iter().chain(older).map(waiting).collect();
        let waiting = block(&waiting.join("\nUNION ALL\n"));
        sql(&format!(
            "
            -- Fields of {table} that no column takes.
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
                   COUNT(*) OVER () AS fields
            FROM (
                SELECT field, kind, changed_at, number, bytes,
                       CASE WHEN number !~ '[eE]' THEN LTRIM(SPLIT_PART(number, '.', 1), '-0') END AS whole,
                       CASE WHEN number !~ '[eE]' THEN RTRIM(SPLIT_PART(number, '.', 2), '0') END AS fraction
                FROM (
                    {waiting}
                ) AS waiting
                WHERE kind <> 'null'
            ) AS waiting
            GROUP BY field
            ORDER BY first_changed_at, field
            LIMIT {limit}
            "
        ))
    }
}

fn waiting(table: &Table) -> String {
    let t = table.alias();
    sql(&format!(
        "
        SELECT dw_field AS field, JSON_TYPEOF(dw_value) AS kind, {t}.dw_md_changed_at AS changed_at,
               CASE WHEN JSON_TYPEOF(dw_value) = 'number' THEN JSON_SERIALIZE(dw_value) END AS number,
               CASE WHEN JSON_TYPEOF(dw_value) = 'string' THEN OCTET_LENGTH(dw_value::VARCHAR(65535)) END AS bytes
        FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
        "
    ))
}
