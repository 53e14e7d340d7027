//! Type 1: one row a key, the current one.

use shiftwork_change_data::contract::Deletes;

use crate::layout::{list, sql};
use crate::{Promotion, THERE, Table};

/// The offset that marks an older event that a value still comes from.
const NEEDED: &str = "needed";

impl Promotion<'_> {
    pub(crate) fn promote_current(&self) -> Vec<String> {
        let Self { tables, .. } = self;
        let soft = self.deletes() == Deletes::Soft;
        let mut out = Vec::new();
        out.push(self.spread_truncates());
        out.push(self.recall("The rows of these keys, as the events that they came from.", &tables.production));
        if self.has_older() {
            out.push(self.recall("Events that these rows still take a value from.", &tables.older));
        }
        out.push(self.recall_tombstones());
        out.push(self.each_once());
        out.extend(self.keep_tombstones());
        if !soft {
            out.extend(self.truncate_tables());
            out.push(self.forget_what_was_deleted());
        }
        if self.has_gaps() {
            out.extend(self.deletes_are_empty());
            out.extend(self.fill_gaps());
        }
        out.push(self.forget_rows("The rows of these keys, made anew.", &tables.production));
        out.push(if soft { self.insert_newest_or_deleted() } else { self.insert_newest() });
        if self.has_older() {
            out.push(self.forget_rows("Older events stay as long as a value comes from them.", &tables.older));
            out.extend(self.mark_what_is_needed(NEEDED));
            out.push(self.mark_what_may_be_needed(NEEDED));
            out.push(self.insert_needed());
        }
        if !soft {
            out.push(self.prune_tombstones());
        }
        out
    }

    fn forget_rows(&self, comment: &str, table: &Table) -> String {
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
                WHERE {THERE}
            ) AS events
            WHERE dw_nth = 1
            "
        ))
    }

    /// The newest event that is no delete; deleted, where a delete is after it.
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
