//! Tables of type 2 and 7: one row for each version of a key.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Deletes, PromoteKind};

use crate::ddl::OPEN_END;
use crate::gaps::COMPLETE;
use crate::layout::{lines, list, split_to_fit, sql};
use crate::{IS_DELETE, IS_NOT_DELETE, Promotion, event_names};

impl Promotion<'_> {
    pub(crate) fn is_history(&self) -> bool {
        self.kind().has_versions()
    }

    pub(crate) fn promote_history(&self) -> Vec<String> {
        let deletes = self.deletes();
        let mut out = vec![
            self.expand_truncates(),
            self.add_known_versions(),
            self.add_known_tombstones(),
            // Before positions change: by the position the rows of the table are found.
            self.delete_versions(),
        ];
        out.extend(self.place_behind_snapshot());
        out.push(self.remove_duplicates());
        out.push(self.record_tombstones());
        match deletes {
            Deletes::Hard => {
                out.extend(self.apply_truncates());
                out.push(self.delete_history());
                out.push(self.remove_events_before_delete());
            }
            Deletes::Soft => out.push(self.remove_deletes_without_row()),
            Deletes::Close => {}
        }
        if self.has_gaps() {
            out.extend(self.clear_deletes());
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

    /// Adds the versions that the batch can change: of each of its keys, the versions after the batch's first event, and the version
    /// before, which may now end earlier.
    fn add_known_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let earliest = self.earliest("dw_md_position");
        let (columns, key, of_known) = (list(self.event_columns()), self.key_list(), self.key_of("known"));
        let (same_key, not_deleted) = (self.same_key("known", "concerned"), format!("known.{IS_NOT_DELETE}"));
        let (offset, mark) = if self.has_gaps() {
            (", dw_md_offset", format!(", CASE WHEN dw_md_position < dw_first THEN '{COMPLETE}' END AS dw_md_offset"))
        } else {
            ("", String::new())
        };
        sql(&format!(
            "
            -- Add the versions that this batch can change, as the events that they came from.
            INSERT INTO {staging} (
                {columns}{offset}
            )
            SELECT {columns}{mark}
            FROM (
                SELECT known.*, concerned.dw_first,
                       LEAD(known.dw_md_position) OVER (PARTITION BY {of_known} ORDER BY known.dw_md_position) AS dw_next
                FROM {table} AS known
                JOIN (
                    SELECT {key}, MIN({earliest}) AS dw_first
                    FROM {staging}
                    WHERE dw_md_partition IS NOT NULL
                    GROUP BY {key}
                ) AS concerned ON {same_key}
                WHERE {not_deleted}
            ) AS versions
            WHERE dw_next IS NULL OR dw_next >= dw_first
            "
        ))
    }

    fn delete_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let same_key = self.same_key(&t, &s);
        sql(&format!(
            "
            -- Replace these versions.
            DELETE FROM {table}
            USING {staging}
            WHERE {same_key}
              AND {t}.dw_md_position = {s}.dw_md_position
            "
        ))
    }

    /// Hard deletes: deletes all versions that are older than a delete.
    fn delete_history(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let same_key = self.same_key(&t, &s);
        sql(&format!(
            "
            -- A delete removes all versions that are older than it.
            DELETE FROM {table}
            USING {staging}
            WHERE {same_key}
              AND {s}.{IS_DELETE}
              AND {t}.dw_md_position < {s}.dw_md_position
            "
        ))
    }

    /// Soft deletes: a delete becomes a version only if the key had a row, so removes the other deletes.
    fn remove_deletes_without_row(&self) -> String {
        let (staging, key) = (&self.tables.staging, self.key_list());
        sql(&format!(
            "
            -- Remove deletes of keys that have no row.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, dw_md_operation,
                           LAG(dw_md_operation) OVER (PARTITION BY {key} ORDER BY dw_md_position) AS dw_previous
                    FROM {staging}
                ) AS events
                WHERE {IS_DELETE} AND NVL(dw_previous, 'delete') IN ('delete', 'truncate')
            )
            "
        ))
    }

    /// Soft deletes: copies the values of the row to the version that marks its deletion.
    fn deleted_versions_keep_values(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let (s, key, same_key) = (staging.alias(), self.key_list(), self.same_key("version", "deleted"));
        let values = self.values();
        let mut names: Vec<&str> = values.iter().map(|column| column.name.as_str()).collect();
        names.extend(["dw_md_missing_data", "dw_md_changes"]);
        split_to_fit(&names, &|names| {
            let assignments = lines(names.iter().map(|name| format!("{name} = row_before.{name}")), ",");
            let of_version = list(names.iter().map(|name| format!("version.{name}")));
            sql(&format!(
                "
                -- Copy the values of the row to the version that marks its deletion.
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
                    WHERE deleted.{IS_DELETE}
                ) AS row_before
                WHERE {s}.dw_md_row = row_before.dw_md_row
                "
            ))
        })
    }

    /// A version ends where the next one starts, but not before its own start: a row of a snapshot has the time when its table was read,
    /// which is later than a change of the row in the meantime.
    fn insert_versions(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, key, key_text) = (staging.alias(), self.key_list(), self.key_text());
        // Not the whole position: with a shared place it contains the offset, which differs when the event is sent again.
        let event_text = self.event("dw_md_position");
        let contract: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut names = vec!["dw_key"];
        let mut surrogates = vec![format!("MD5({key_text} || '|' || {event_text}) AS dw_key")];
        if self.kind() == PromoteKind::Type7 {
            names.push("dw_durable_key");
            surrogates.push(format!("MD5({key_text}) AS dw_durable_key"));
        }
        names.extend(&contract);
        names.extend(["dw_start_date", "dw_end_date", "dw_current"]);
        let (deleted, condition) = if self.deletes() == Deletes::Soft {
            names.push("dw_deleted");
            (format!("{IS_DELETE} AS dw_deleted,"), String::new())
        } else {
            (String::new(), format!("WHERE {IS_NOT_DELETE}"))
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
                   CASE WHEN dw_next IS NULL THEN '{OPEN_END}'::TIMESTAMP
                        WHEN dw_next_at < dw_md_changed_at THEN dw_md_changed_at
                        ELSE dw_next_at END AS dw_end_date,
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

    /// An expression for the natural key as one text. Texts are preceded by their length, so that no two keys have the same text.
    fn key_text(&self) -> String {
        let parts = self.columns.iter().filter(|column| column.is_key).map(|column| {
            let name = &column.name;
            let text = match column.kind {
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
            };
            // No text of a value is `null`: that of a text begins with its length.
            if column.is_nullable_key { format!("NVL({text}, 'null')") } else { text }
        });
        parts.collect::<Vec<_>>().join(" || '|' || ")
    }
}
