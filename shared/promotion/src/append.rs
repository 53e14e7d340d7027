//! Tables of kind `append`: every event is a row, and no row is ever changed.

use crate::layout::{list, sql};
use crate::{Promotion, transport_names};

impl Promotion<'_> {
    /// With a key, an event that the producer sends twice becomes one row. Without a key, such an event cannot be distinguished from
    /// two equal events, so only records that the transport delivers twice are removed.
    pub(crate) fn promote_append(&self) -> Vec<String> {
        let mut out = if self.contract.key().is_empty() {
            vec![self.remove_duplicate_records()]
        } else {
            vec![self.remove_duplicates(), self.remove_known_events()]
        };
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let columns = list(self.event_columns().into_iter().chain(transport_names().map(String::from)));
        out.push(sql(&format!(
            "
            INSERT INTO {table} (
                {columns}
            )
            SELECT {columns}
            FROM {staging}
            "
        )));
        out
    }

    fn remove_duplicate_records(&self) -> String {
        let staging = &self.tables.staging;
        sql(&format!(
            "
            -- Keep each record once: files can overlap.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row,
                           ROW_NUMBER() OVER (PARTITION BY dw_md_partition, dw_md_offset ORDER BY dw_md_row) AS dw_nth
                    FROM {staging}
                ) AS records
                WHERE dw_nth > 1
            )
            "
        ))
    }

    fn remove_known_events(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let (same_key, same_event) = (self.same_key(&s, &t), self.same_event(&s, &t));
        sql(&format!(
            "
            -- Remove events that the table already has under another offset.
            DELETE FROM {staging}
            USING {table}
            WHERE {same_event}
              AND (({same_key}) OR ({s}.dw_md_operation = 'truncate' AND {t}.dw_md_operation = 'truncate'))
            "
        ))
    }
}
