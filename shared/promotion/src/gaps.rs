//! Fills columns that an event did not send with their values from earlier events.

use crate::layout::{block, lines, list, literal, split_to_fit, sql, wrapped};
use crate::{Column, IS_DELETE, IS_NOT_DELETE, OTHERS_UNCHANGED, Promotion};
use shiftwork_change_data::column_type::ColumnType;

/// The value of `dw_md_offset` that marks an event from before the batch, all of whose columns have their values. The staging table has
/// no earlier event of its key.
pub(crate) const COMPLETE: &str = "complete";

/// How MAX over a window returns the only value in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByMax {
    /// MAX accepts the type.
    Direct,
    /// BOOLEAN, which Redshift's MAX does not accept: the value is cast to INT.
    AsNumber,
    /// MAX does not accept the type: the value is joined.
    Unsupported,
}

impl Promotion<'_> {
    /// Type 1 with `take: latest-non-null`: a NULL counts as not sent, also in a field without a column. A value in `dw_md_missing_data`
    /// counts as sent.
    pub(crate) fn mark_nulls_as_gaps(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let (s, values) = (staging.alias(), self.values());
        let others = format!("',{:05},'", self.columns.len());
        let Some(first) = values.first().map(|column| column.number) else {
            return vec![sql(&format!(
                "
                -- Take the latest value that is not NULL: a NULL counts as not sent.
                UPDATE {staging}
                SET dw_md_unchanged = {others}
                WHERE {IS_NOT_DELETE}
                "
            ))];
        };
        split_to_fit(&values, &|columns| {
            let marks = columns.iter().map(|column| {
                let (name, n) = (&column.name, column.number);
                let missing = match column.kind {
                    ColumnType::Super => format!("({s}.{name} IS NULL OR JSON_TYPEOF({s}.{name}) = 'null')"),
                    _ => format!("{s}.{name} IS NULL"),
                };
                format!("|| CASE WHEN {missing} AND STRPOS(waiting.dw_waits, ',{n},') = 0 THEN '{n},' ELSE '' END")
            });
            let marks = lines(marks, "");
            // Columns that the file marks as unchanged are NULL, so this statement marks them too.
            let is_first = columns.first().is_some_and(|column| column.number == first);
            let before = if is_first { others.clone() } else { format!("{s}.dw_md_unchanged") };
            let number = block(&number_of_field(columns.iter().copied()));
            sql(&format!(
                "
                -- Take the latest value that is not NULL: a NULL counts as not sent, unless dw_md_missing_data has a value.
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
                WHERE {s}.dw_md_row = waiting.dw_md_row AND {s}.{IS_NOT_DELETE}
                "
            ))
        })
    }

    /// Clears the columns of deletes, even if the event has the values of the deleted row.
    pub(crate) fn clear_deletes(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let mut names: Vec<&str> = self.values().iter().map(|column| column.name.as_str()).collect();
        names.push("dw_md_unchanged");
        split_to_fit(&names, &|names| {
            let nulls = lines(names.iter().map(|name| format!("{name} = NULL")), ",");
            sql(&format!(
                "
                -- After a delete a column is NULL until an event sends a value.
                UPDATE {staging}
                SET {nulls}
                WHERE {IS_DELETE}
                "
            ))
        })
    }

    /// Fills the columns that an event did not send with the values that earlier events sent.
    ///
    /// `dw_sent_3` of an event is the position of the last event, up to this one, that sent column 3. The events with the same
    /// `dw_sent_3` are one event that sent the column and the events after it that did not, so MAX over them is the column's value.
    /// Values of types that MAX does not accept are joined instead.
    pub(crate) fn fill_gaps(&self) -> Vec<String> {
        split_to_fit(&self.values(), &|columns| self.fill(columns))
    }

    fn fill(&self, columns: &[&Column]) -> String {
        let staging = &self.tables.staging;
        let (s, key) = (staging.alias(), self.key_list());
        let (by_max, by_join): (Vec<&Column>, Vec<&Column>) =
            columns.iter().partition(|column| by_max(column.kind) != ByMax::Unsupported);
        // The first event of a key in a history has the values of all columns, even those that its source did not send.
        let (gaps, has_gaps) = if self.is_history() {
            (
                format!("CASE WHEN dw_md_offset = '{COMPLETE}' THEN '' ELSE NVL(dw_md_unchanged, '') END"),
                block(&format!("{s}.dw_md_unchanged IS NOT NULL\nAND NVL({s}.dw_md_offset, '') <> '{COMPLETE}'")),
            )
        } else {
            ("NVL(dw_md_unchanged, '')".to_owned(), format!("{s}.dw_md_unchanged IS NOT NULL"))
        };
        // The joined tables have columns with the same names, so these must be qualified.
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
                ByMax::Direct => format!("{} AS {name}", by_max(name)),
                ByMax::AsNumber => format!("{} = 1 AS {name}", by_max(&format!("{name}::INT"))),
                ByMax::Unsupported => format!("event_{n}.{name}"),
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
            -- Fill the columns that an event did not send with the values of the event before it.
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

    /// Type 1: marks the events, older than the newest event of the key that is not a delete, that were the last to send a column.
    pub(crate) fn mark_needed_events(&self, mark: &str) -> Vec<String> {
        let (staging, key, newest) = (&self.tables.staging, self.key_list(), self.newest());
        split_to_fit(&self.values(), &|columns| {
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
                    WHERE dw_place < dw_newest AND {IS_NOT_DELETE}
                      AND dw_place IN ({places})
                )
                "
            ))
        })
    }

    /// Type 1: marks for each field without a column the last event that sent it, and the last event before these that left no field
    /// out. A field that the latter lacks is NULL.
    pub(crate) fn mark_events_of_unmapped_fields(&self, mark: &str) -> String {
        let (staging, key, newest) = (&self.tables.staging, self.key_list(), self.newest());
        let (s, of_key) = (staging.alias(), self.key_of("events"));
        let fields = list(self.columns.iter().map(|column| literal(&column.field)));
        let sent = if self.takes_latest_non_null() { "\nAND JSON_TYPEOF(dw_value) <> 'null'" } else { "" };
        let sent = block(&format!("WHERE dw_field NOT IN (\n    {fields}\n){sent}"));
        sql(&format!(
            "
            -- Mark the last event that sent each field without a column, and the last one that left no field out.
            UPDATE {staging}
            SET dw_md_offset = '{mark}'
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT events.*, dw_field, MAX(dw_place) OVER (PARTITION BY {of_key}, dw_field) AS dw_sent
                    FROM (
                        SELECT events.*,
                               MAX(CASE WHEN LEFT(dw_gaps, 2) <> '{OTHERS_UNCHANGED}' THEN dw_place END)
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
                WHERE dw_place < dw_newest AND {IS_NOT_DELETE}
                  AND (dw_place = dw_sent_all
                       OR (dw_field IS NOT NULL AND dw_place = dw_sent AND dw_place > NVL(dw_sent_all, '')))
            )
            "
        ))
    }
}

/// An expression for the number of the column that takes the field `dw_field`; NULL if none of `columns` takes it.
pub(crate) fn number_of_field<'c>(columns: impl Iterator<Item = &'c Column>) -> String {
    let one = |column: &Column| format!("WHEN {} THEN '{}'", literal(&column.field), column.number);
    sql(&format!("CASE dw_field {} END", wrapped(columns.map(one), "")))
}

/// Expressions `dw_sent_<number>`: for each column the position of the last event in the window that sent it.
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
        ColumnType::Super | ColumnType::Varbyte(_) | ColumnType::Geometry | ColumnType::Geography => ByMax::Unsupported,
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
        | ColumnType::TimestampTz => ByMax::Direct,
    }
}
