//! Columns that an event did not send: their values are those of the events before it.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_sql::quote_literal;

use crate::layout::{block, fitting, lines, list, sql, wrapped};
use crate::{Column, GONE, OTHERS, Promotion, THERE};

/// The offset that marks an event from before the batch whose columns are all filled: nothing before it is in the staging table.
pub(crate) const COMPLETE: &str = "complete";

/// How MAX over a window gives the one value in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByMax {
    Itself,
    /// Redshift's MAX takes no BOOLEAN.
    AsNumber,
    Not,
}

impl Promotion<'_> {
    /// Type 1, latest non-null: what is NULL counts as not sent, of fields without a column too. A value that waits was sent.
    pub(crate) fn nulls_are_gaps(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let (s, values) = (staging.alias(), self.values());
        let others = format!("',{:05},'", self.columns.len());
        let Some(first) = values.first().map(|column| column.number) else {
            return vec![sql(&format!(
                "
                -- The latest value that is not NULL: a NULL counts as not sent.
                UPDATE {staging}
                SET dw_md_unchanged = {others}
                WHERE {THERE}
                "
            ))];
        };
        fitting(&values, &|columns| {
            let marks = columns.iter().map(|column| {
                let (name, n) = (&column.name, column.number);
                let missing = match column.kind {
                    ColumnType::Super => format!("({s}.{name} IS NULL OR JSON_TYPEOF({s}.{name}) = 'null')"),
                    _ => format!("{s}.{name} IS NULL"),
                };
                format!("|| CASE WHEN {missing} AND STRPOS(waiting.dw_waits, ',{n},') = 0 THEN '{n},' ELSE '' END")
            });
            let marks = lines(marks, "");
            // What the file marks is NULL, and so is marked again.
            let is_first = columns.first().is_some_and(|column| column.number == first);
            let before = if is_first { others.clone() } else { format!("{s}.dw_md_unchanged") };
            let number = block(&number_of_field(columns.iter().copied()));
            sql(&format!(
                "
                -- The latest value that is not NULL: a NULL counts as not sent, unless there is a value that waits.
                UPDATE {staging}
                SET dw_md_unchanged = {before}
                        {marks}
                FROM (
                    SELECT events.dw_md_row, ',' || NVL(LISTAGG(fields.dw_number, ','), '') || ',' AS dw_waits
                    FROM {staging} AS events
                    LEFT JOIN (
                        SELECT {s}.dw_md_row,
                               {number} AS dw_number
                        FROM {staging} AS {s}, UNPIVOT {s}.dw_md_missing_data AS dw_value AT dw_field
                        WHERE JSON_TYPEOF(dw_value) <> 'null'
                    ) AS fields ON fields.dw_md_row = events.dw_md_row
                    GROUP BY events.dw_md_row
                ) AS waiting
                WHERE {s}.dw_md_row = waiting.dw_md_row AND {s}.{THERE}
                "
            ))
        })
    }

    /// A delete sends no values, whatever its event had of the row that went.
    pub(crate) fn deletes_are_empty(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let mut names: Vec<&str> = self.values().iter().map(|column| column.name.as_str()).collect();
        names.push("dw_md_unchanged");
        fitting(&names, &|names| {
            let nulls = lines(names.iter().map(|name| format!("{name} = NULL")), ",");
            sql(&format!(
                "
                -- After a delete a column has no value until an event sends one.
                UPDATE {staging}
                SET {nulls}
                WHERE {GONE}
                "
            ))
        })
    }

    /// Fills what an event did not send with what the events before it sent.
    ///
    /// Seen from each event, `dw_sent_3` is where column 3 was last sent; the events that share a `dw_sent_3` are one that sent it and
    /// those after that did not, so that MAX over them is its value. Types that MAX does not take are joined instead.
    pub(crate) fn fill_gaps(&self) -> Vec<String> {
        fitting(&self.values(), &|columns| self.fill(columns))
    }

    fn fill(&self, columns: &[&Column]) -> String {
        let staging = &self.tables.staging;
        let (s, key) = (staging.alias(), self.key_list());
        let (by_max, by_join): (Vec<&Column>, Vec<&Column>) =
            columns.iter().partition(|column| by_max(column.kind) != ByMax::Not);
        // A history begins with an event that has all its columns, whatever it was sent with.
        let (gaps, has_gaps) = if self.is_history() {
            (
                format!("CASE WHEN dw_md_offset = '{COMPLETE}' THEN '' ELSE NVL(dw_md_unchanged, '') END"),
                block(&format!("{s}.dw_md_unchanged IS NOT NULL\nAND NVL({s}.dw_md_offset, '') <> '{COMPLETE}'")),
            )
        } else {
            ("NVL(dw_md_unchanged, '')".to_owned(), format!("{s}.dw_md_unchanged IS NOT NULL"))
        };
        // Joined events have columns of the same names.
        let e = if by_join.is_empty() { "" } else { "events." };
        let of_key = self.key().map(|name| format!("{e}{name}")).collect::<Vec<_>>().join(", ");
        let value = |column: &&Column| {
            let (name, n) = (&column.name, column.number);
            let by_max = |of: &str| {
                format!(
                    "MAX(CASE WHEN STRPOS({e}dw_gaps, ',{n},') = 0 THEN {e}{of} END)\n    OVER (PARTITION BY {of_key}, {e}dw_sent_{n})"
                )
            };
            match self::by_max(column.kind) {
                ByMax::Itself => format!("{} AS {name}", by_max(name)),
                ByMax::AsNumber => format!("{} = 1 AS {name}", by_max(&format!("{name}::INT"))),
                ByMax::Not => format!("event_{n}.{name}"),
            }
        };
        let join = |column: &&Column| {
            let n = column.number;
            let same_key = self.same_key(&format!("event_{n}"), "events");
            format!(
                "LEFT JOIN {staging} AS event_{n}\n       ON {same_key} AND event_{n}.dw_md_position = events.dw_sent_{n}"
            )
        };
        let (values, joins) = (lines(columns.iter().map(value), ","), lines(by_join.iter().map(join), ""));
        let carried = list(self.key().chain(by_max.iter().map(|column| column.name.as_str())));
        let sent = sent(columns, &format!("PARTITION BY {key} ORDER BY dw_place ROWS UNBOUNDED PRECEDING"));
        let filled = lines(columns.iter().map(|column| format!("{0} = filled.{0}", column.name)), ",");
        sql(&format!(
            "
            -- What an event did not send is as the event before it had it.
            UPDATE {staging}
            SET {filled}
            FROM (
                SELECT {e}dw_md_row,
                       {values}
                FROM (
                    SELECT dw_md_row, dw_gaps,
                           {carried},
                           {sent}
                    FROM (
                        SELECT dw_md_row, dw_md_position AS dw_place,
                               {carried},
                               {gaps} AS dw_gaps
                        FROM {staging}
                    ) AS events
                ) AS events
                {joins}
            ) AS filled
            WHERE {s}.dw_md_row = filled.dw_md_row
              AND {has_gaps}
            "
        ))
    }

    /// Type 1: marks the events, older than the newest one that is there, which a column was last sent by.
    pub(crate) fn mark_what_is_needed(&self, mark: &str) -> Vec<String> {
        let (staging, key, newest) = (&self.tables.staging, self.key_list(), self.newest());
        fitting(&self.values(), &|columns| {
            let sent = sent(columns, &format!("PARTITION BY {key}"));
            let places = list(columns.iter().map(|column| format!("dw_sent_{}", column.number)));
            sql(&format!(
                "
                UPDATE {staging}
                SET dw_md_offset = '{mark}'
                WHERE dw_md_row IN (
                    SELECT dw_md_row
                    FROM (
                        SELECT dw_md_row, dw_place, dw_md_operation, dw_newest,
                               {sent}
                        FROM (
                            SELECT dw_md_row, dw_md_position AS dw_place, dw_md_operation, {key},
                                   NVL(dw_md_unchanged, '') AS dw_gaps,
                                   {newest}
                            FROM {staging}
                        ) AS events
                        WHERE dw_place <= dw_newest
                    ) AS events
                    WHERE dw_place < dw_newest AND {THERE}
                      AND dw_place IN ({places})
                )
                "
            ))
        })
    }

    /// Type 1: of each field that no column takes the event that last sent it, and before those the last event that left none out: where
    /// it has no such field, there is none.
    pub(crate) fn mark_what_may_be_needed(&self, mark: &str) -> String {
        let (staging, key, newest) = (&self.tables.staging, self.key_list(), self.newest());
        let (s, of_key) = (staging.alias(), self.key_of("events"));
        let fields = list(self.columns.iter().map(|column| quote_literal(&column.field)));
        let sent = if self.takes_latest_non_null() { "\nAND JSON_TYPEOF(dw_value) <> 'null'" } else { "" };
        let sent = block(&format!("WHERE dw_field NOT IN (\n    {fields}\n){sent}"));
        sql(&format!(
            "
            -- Fields without a column: the event that last sent each, and before them the last that had all there were.
            UPDATE {staging}
            SET dw_md_offset = '{mark}'
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT events.*, dw_field, MAX(dw_place) OVER (PARTITION BY {of_key}, dw_field) AS dw_sent
                    FROM (
                        SELECT events.*,
                               MAX(CASE WHEN LEFT(dw_gaps, 2) <> '{OTHERS}' THEN dw_place END)
                                   OVER (PARTITION BY {key}) AS dw_sent_all
                        FROM (
                            SELECT dw_md_row, dw_md_position AS dw_place, dw_md_operation, {key},
                                   NVL(dw_md_unchanged, '') AS dw_gaps,
                                   {newest}
                            FROM {staging}
                        ) AS events
                        WHERE dw_place <= dw_newest
                    ) AS events
                    LEFT JOIN (
                        SELECT {s}.dw_md_row AS dw_row, dw_field
                        FROM {staging} AS {s}, UNPIVOT {s}.dw_md_missing_data AS dw_value AT dw_field
                        {sent}
                    ) AS fields ON fields.dw_row = events.dw_md_row
                ) AS events
                WHERE dw_place < dw_newest AND {THERE}
                  AND (dw_place = dw_sent_all
                       OR (dw_field IS NOT NULL AND dw_place = dw_sent AND dw_place > NVL(dw_sent_all, '')))
            )
            "
        ))
    }
}

/// The number of the column that takes `dw_field`; NULL where none of these does.
pub(crate) fn number_of_field<'c>(columns: impl Iterator<Item = &'c Column>) -> String {
    let one = |column: &Column| format!("WHEN {} THEN '{}'", quote_literal(&column.field), column.number);
    sql(&format!("CASE dw_field {} END", wrapped(columns.map(one), "")))
}

/// For each column the place of the event that last sent it, seen from each event.
fn sent(columns: &[&Column], window: &str) -> String {
    let column = |column: &&Column| {
        let n = column.number;
        format!("MAX(CASE WHEN STRPOS(dw_gaps, ',{n},') = 0 THEN dw_place END)\n    OVER ({window}) AS dw_sent_{n}")
    };
    lines(columns.iter().map(column), ",")
}

fn by_max(column_type: ColumnType) -> ByMax {
    match column_type {
        ColumnType::Boolean => ByMax::AsNumber,
        ColumnType::Super | ColumnType::Varbyte(_) | ColumnType::Geometry | ColumnType::Geography => ByMax::Not,
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Decimal(..)
        | ColumnType::Real
        | ColumnType::Double
        | ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::TimeTz
        | ColumnType::Timestamp
        | ColumnType::TimestampTz => ByMax::Itself,
    }
}
