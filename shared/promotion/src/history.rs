//! Type 2 and 7: one row a version.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Deletes, PromoteKind};

use crate::ddl::OPEN_END;
use crate::gaps::COMPLETE;
use crate::layout::{fitting, lines, list, sql};
use crate::{GONE, Promotion, THERE, event_names};

impl Promotion<'_> {
    pub(crate) fn is_history(&self) -> bool {
        self.kind().has_versions()
    }

    pub(crate) fn promote_history(&self) -> Vec<String> {
        let deletes = self.deletes();
        let mut out = vec![self.spread_truncates(), self.recall_versions(), self.recall_tombstones(), self.each_once()];
        out.extend(self.keep_tombstones());
        out.push(self.forget_versions());
        match deletes {
            Deletes::Hard => {
                out.extend(self.truncate_tables());
                out.push(self.delete_history());
                out.push(self.forget_what_was_deleted());
            }
            Deletes::Soft => out.push(self.forget_deletes_of_nothing()),
            Deletes::Close => {}
        }
        if self.has_gaps() {
            out.extend(self.deletes_are_empty());
            out.extend(self.fill_gaps());
        }
        if deletes == Deletes::Soft {
            out.extend(self.deleted_versions_keep_values());
        }
        out.push(self.insert_versions());
        if deletes == Deletes::Hard {
            out.push(self.prune_tombstones());
        }
        out
    }

    /// The versions that the batch can change: of its keys, those after its first event, and the one before, which may end earlier.
    fn recall_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (columns, key, of_known) = (list(self.event_columns()), self.key_list(), self.key_of("known"));
        let same_key = self.same_key("known", "concerned");
        let (offset, mark) = if self.has_gaps() {
            (", dw_md_offset", format!(", CASE WHEN dw_md_position < dw_first THEN '{COMPLETE}' END AS dw_md_offset"))
        } else {
            ("", String::new())
        };
        sql(&format!(
            "
            -- The versions of these keys from before the batch's first event on, as the events that they came from.
            INSERT INTO {staging} (
                {columns}{offset}
            )
            SELECT {columns}{mark}
            FROM (
                SELECT known.*, concerned.dw_first,
                       LEAD(known.dw_md_position) OVER (PARTITION BY {of_known} ORDER BY known.dw_md_position) AS dw_next
                FROM {table} AS known
                JOIN (
                    SELECT {key}, MIN(dw_md_position) AS dw_first
                    FROM {staging}
                    WHERE dw_md_partition IS NOT NULL
                    GROUP BY {key}
                ) AS concerned ON {same_key}
                WHERE known.{THERE}
            ) AS versions
            WHERE dw_next IS NULL OR dw_next >= dw_first
            "
        ))
    }

    fn forget_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let same_key = self.same_key(&t, &s);
        sql(&format!(
            "
            -- These versions, made anew.
            DELETE FROM {table}
            USING {staging}
            WHERE {same_key}
              AND {t}.dw_md_position = {s}.dw_md_position
            "
        ))
    }

    /// Hard deletes: all versions from before a delete.
    fn delete_history(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let same_key = self.same_key(&t, &s);
        sql(&format!(
            "
            -- A delete takes all versions that were there before it.
            DELETE FROM {table}
            USING {staging}
            WHERE {same_key}
              AND {s}.{GONE}
              AND {t}.dw_md_position < {s}.dw_md_position
            "
        ))
    }

    /// Soft deletes: a delete is a version of its own if there was something to delete.
    fn forget_deletes_of_nothing(&self) -> String {
        let (staging, key) = (&self.tables.staging, self.key_list());
        sql(&format!(
            "
            -- What is not there cannot be deleted.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, dw_md_operation,
                           LAG(dw_md_operation) OVER (PARTITION BY {key} ORDER BY dw_md_position) AS dw_previous
                    FROM {staging}
                ) AS events
                WHERE {GONE} AND NVL(dw_previous, 'delete') IN ('delete', 'truncate')
            )
            "
        ))
    }

    /// Soft deletes: a deleted version has the values that the row had.
    fn deleted_versions_keep_values(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let (s, key, same_key) = (staging.alias(), self.key_list(), self.same_key("version", "deleted"));
        let values = self.values();
        let mut names: Vec<&str> = values.iter().map(|column| column.name.as_str()).collect();
        names.extend(["dw_md_missing_data", "dw_md_changes"]);
        fitting(&names, &|names| {
            let assignments = lines(names.iter().map(|name| format!("{name} = row_before.{name}")), ",");
            let of_version = list(names.iter().map(|name| format!("version.{name}")));
            sql(&format!(
                "
                -- A deleted version has the values that the row had.
                UPDATE {staging}
                SET {assignments}
                FROM (
                    SELECT deleted.dw_md_row,
                           {of_version}
                    FROM (
                        SELECT dw_md_row, dw_md_operation, {key},
                               LAG(dw_md_position) OVER (PARTITION BY {key} ORDER BY dw_md_position) AS dw_previous
                        FROM {staging}
                    ) AS deleted
                    JOIN {staging} AS version ON {same_key} AND version.dw_md_position = deleted.dw_previous
                    WHERE deleted.{GONE}
                ) AS row_before
                WHERE {s}.dw_md_row = row_before.dw_md_row
                "
            ))
        })
    }

    fn insert_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, key, key_text) = (staging.alias(), self.key_list(), self.key_text());
        let contract: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut names = vec!["dw_key"];
        let mut surrogates = vec![format!("MD5({key_text} || '|' || dw_md_position) AS dw_key")];
        if self.kind() == PromoteKind::Type7 {
            names.push("dw_durable_key");
            surrogates.push(format!("MD5({key_text}) AS dw_durable_key"));
        }
        names.extend(&contract);
        names.extend(["dw_start_date", "dw_end_date", "dw_current"]);
        let (deleted, condition) = if self.deletes() == Deletes::Soft {
            names.push("dw_deleted");
            (format!("{GONE} AS dw_deleted,"), String::new())
        } else {
            (String::new(), format!("WHERE {THERE}"))
        };
        names.extend(event_names());
        let (names, surrogates, contract, event) =
            (list(names), lines(surrogates, ","), list(contract), list(event_names()));
        sql(&format!(
            "
            INSERT INTO {table} (
                {names}
            )
            SELECT {surrogates},
                   {contract},
                   dw_md_changed_at AS dw_start_date,
                   CASE WHEN dw_next IS NULL THEN '{OPEN_END}'::TIMESTAMP ELSE dw_next_at END AS dw_end_date,
                   dw_next IS NULL AS dw_current,
                   {deleted}
                   {event}
            FROM (
                SELECT {s}.*,
                       LEAD(dw_md_position) OVER (PARTITION BY {key} ORDER BY dw_md_position) AS dw_next,
                       LEAD(dw_md_changed_at) OVER (PARTITION BY {key} ORDER BY dw_md_position) AS dw_next_at
                FROM {staging}
            ) AS versions
            {condition}
            "
        ))
    }

    /// The natural key as one text that no other key has: texts come with their length.
    fn key_text(&self) -> String {
        let parts = self.columns.iter().filter(|column| column.is_key).map(|column| {
            let name = &column.name;
            match column.kind {
                ColumnType::Varchar(_) | ColumnType::Char(_) => format!("LEN({name})::VARCHAR || ':' || {name}"),
                ColumnType::Varbyte(_) => format!("TO_HEX({name})"),
                ColumnType::Boolean => format!("CASE WHEN {name} THEN 't' ELSE 'f' END"),
                ColumnType::SmallInt
                | ColumnType::Integer
                | ColumnType::BigInt
                | ColumnType::Decimal(..)
                | ColumnType::Real
                | ColumnType::Double
                | ColumnType::Date
                | ColumnType::Time
                | ColumnType::TimeTz
                | ColumnType::Timestamp
                | ColumnType::TimestampTz
                // A contract has no key column of these types.
                | ColumnType::Super
                | ColumnType::Geometry
                | ColumnType::Geography => format!("{name}::VARCHAR"),
            }
        });
        parts.collect::<Vec<_>>().join(" || '|' || ")
    }
}
