//! Tables of type 1: one row for each key, the current one.

use shiftwork_change_data::contract::Deletes;

use crate::layout::{list, sql};
use crate::{IS_NOT_DELETE, Promotion, Table};

/// The value of `dw_md_offset` that marks an older event from which the current row still takes a value.
const NEEDED: &str = "needed";

impl Promotion<'_> {
    pub(crate) fn promote_current(&self) -> Vec<String> {
        let Self { tables, .. } = self;
        let soft = self.deletes() == Deletes::Soft;
        let mut out = Vec::new();
        out.push(self.expand_truncates());
        out.push(self.add_known_events(
            "Add the current rows of these keys, as the events that they came from.",
            &tables.production,
        ));
        if self.has_older() {
            out.push(
                self.add_known_events("Add older events from which these rows still take a value.", &tables.older),
            );
        }
        out.push(self.add_known_tombstones());
        out.extend(self.place_behind_snapshot());
        out.push(self.remove_duplicates());
        out.push(self.record_tombstones());
        if !soft {
            out.extend(self.apply_truncates());
            out.push(self.remove_events_before_delete());
        }
        if self.has_gaps() {
            out.extend(self.clear_deletes());
            out.extend(self.fill_gaps());
        }
        out.push(self.delete_rows("Replace the rows of these keys.", &tables.production));
        out.push(if soft { self.insert_newest_or_deleted() } else { self.insert_newest() });
        if self.has_older() {
            out.push(self.delete_rows(
                "Replace the older events of these keys: only those from which a value is still taken are kept.",
                &tables.older,
            ));
            out.extend(self.mark_needed_events(NEEDED));
            out.push(self.mark_events_of_unmapped_fields(NEEDED));
            out.push(self.insert_needed());
        }
        if !soft {
            out.push(self.prune_tombstones());
        }
        out
    }

    fn delete_rows(&self, comment: &str, table: &Table) -> String {
        let staging = &self.tables.staging;
        let same_key = self.same_key(&table.alias(), &staging.alias());
        sql(&format!(
            "
            -- {comment}
            DELETE FROM {table}
            USING {staging}
            WHERE {same_key}
            "
        ))
    }

    fn insert_newest(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, key, columns) = (staging.alias(), self.key_list(), list(self.event_columns()));
        sql(&format!(
            "
            INSERT INTO {table} (
                {columns}
            )
            SELECT {columns}
            FROM (
                SELECT {s}.*, ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY dw_md_position DESC) AS dw_nth
                FROM {staging}
                WHERE {IS_NOT_DELETE}
            ) AS events
            WHERE dw_nth = 1
            "
        ))
    }

    /// Inserts the newest event of each key that is not a delete, marked as deleted if a delete follows it.
    fn insert_newest_or_deleted(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, key, columns) = (staging.alias(), self.key_list(), list(self.event_columns()));
        let newest = self.newest();
        sql(&format!(
            "
            INSERT INTO {table} (
                {columns},
                dw_deleted, dw_deleted_at
            )
            SELECT {columns},
                   dw_gone_at IS NOT NULL AS dw_deleted, dw_gone_at AS dw_deleted_at
            FROM (
                SELECT events.*,
                       MAX(CASE WHEN dw_md_position > dw_newest THEN dw_md_changed_at END)
                           OVER (PARTITION BY {key}) AS dw_gone_at
                FROM (
                    SELECT {s}.*,
                           {newest}
                    FROM {staging}
                ) AS events
            ) AS events
            WHERE dw_md_position = dw_newest
            "
        ))
    }

    fn insert_needed(&self) -> String {
        let (staging, older) = (&self.tables.staging, &self.tables.older);
        let columns = list(self.event_columns());
        sql(&format!(
            "
            INSERT INTO {older} (
                {columns}
            )
            SELECT {columns}
            FROM {staging}
            WHERE dw_md_offset = '{NEEDED}'
            "
        ))
    }
}
