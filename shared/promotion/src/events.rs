//! Events of the keys of a batch: all that are known, each once, in order.
//!
//! In the staging table an event of this batch has a partition; one that was known before has none.

use shiftwork_change_data::contract::Deletes;

use crate::layout::{block, list, sql};
use crate::{GONE, Promotion, THERE, Table};

impl Promotion<'_> {
    /// A truncate is a row without a key. It becomes a row for every key that it concerns: those of the batch; where deleted rows stay,
    /// those of the table; and where they go, those of rows that came after a truncate that is late, and have what they did not
    /// send from before it.
    pub(crate) fn spread_truncates(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (s, t) = (staging.alias(), table.alias());
        let (key, first) = (self.key_list(), self.first_key());
        let (of_concerned, of_table) = (self.key_of("concerned"), self.key_of(&t));
        let others = if self.deletes() != Deletes::Hard {
            block(&format!("UNION\nSELECT {key}\nFROM {table}"))
        } else if self.has_gaps() {
            block(&sql(&format!(
                "
                UNION
                SELECT {of_table}
                FROM {table}
                JOIN {staging}
                  ON {s}.dw_md_operation = 'truncate' AND {t}.dw_md_position > {s}.dw_md_position
                WHERE {t}.dw_md_unchanged IS NOT NULL
                "
            )))
        } else {
            String::new()
        };
        sql(&format!(
            "
            -- A truncate deletes every key.
            INSERT INTO {staging} (
                {key},
                dw_md_operation, dw_md_changed_at, dw_md_position, dw_md_partition, dw_md_offset
            )
            SELECT DISTINCT {of_concerned},
                   'truncate', truncated.dw_md_changed_at, truncated.dw_md_position, truncated.dw_md_partition,
                   truncated.dw_md_offset
            FROM (
                SELECT {key}
                FROM {staging}
                WHERE {first} IS NOT NULL
                {others}
            ) AS concerned
            CROSS JOIN (
                SELECT dw_md_changed_at, dw_md_position, dw_md_partition, dw_md_offset
                FROM {staging}
                WHERE dw_md_operation = 'truncate'
            ) AS truncated
            "
        ))
    }

    /// The events of these keys in another table.
    pub(crate) fn recall(&self, comment: &str, table: &Table) -> String {
        let staging = &self.tables.staging;
        let columns = self.event_columns();
        let of_known = list(columns.iter().map(|name| format!("known.{name}")));
        let (columns, key, same_key) = (list(columns), self.key_list(), self.same_key("known", "concerned"));
        sql(&format!(
            "
            -- {comment}
            INSERT INTO {staging} (
                {columns}
            )
            SELECT {of_known}
            FROM {table} AS known
            JOIN (SELECT DISTINCT {key} FROM {staging} WHERE dw_md_partition IS NOT NULL) AS concerned
              ON {same_key}
            "
        ))
    }

    /// The tombstones of the keys that are in the staging table, after the first event that is there.
    pub(crate) fn recall_tombstones(&self) -> String {
        let (staging, tombstones) = (&self.tables.staging, &self.tables.tombstones);
        let (t, key, first) = (tombstones.alias(), self.key_list(), self.first_key());
        let (of_concerned, same_key) = (self.key_of("concerned"), self.same_key(&t, "concerned"));
        sql(&format!(
            "
            -- Their deletes that are known, and the truncates.
            INSERT INTO {staging} (
                {key}, dw_md_operation, dw_md_changed_at, dw_md_position
            )
            SELECT {of_concerned}, {t}.dw_md_operation, {t}.dw_md_changed_at, {t}.dw_md_position
            FROM {tombstones}
            JOIN (
                SELECT {key}, MIN(dw_md_position) AS dw_first
                FROM {staging}
                WHERE {first} IS NOT NULL
                GROUP BY {key}
            ) AS concerned ON {same_key}
            WHERE {t}.dw_md_position > concerned.dw_first
            UNION ALL
            SELECT {of_concerned}, {t}.dw_md_operation, {t}.dw_md_changed_at, {t}.dw_md_position
            FROM {tombstones}
            CROSS JOIN (
                SELECT {key}, MIN(dw_md_position) AS dw_first
                FROM {staging}
                WHERE {first} IS NOT NULL
                GROUP BY {key}
            ) AS concerned
            WHERE {t}.dw_md_operation = 'truncate' AND {t}.dw_md_position > concerned.dw_first
            "
        ))
    }

    /// The same event twice: in overlapping files, under a new offset, or known before.
    pub(crate) fn each_once(&self) -> String {
        let (staging, key) = (&self.tables.staging, self.key_list());
        sql(&format!(
            "
            -- Each event once: the copy that came last.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, ROW_NUMBER() OVER (
                        PARTITION BY {key}, dw_md_position
                        ORDER BY CASE WHEN dw_md_partition IS NULL THEN 1 ELSE 0 END,
                                 dw_md_partition DESC, dw_md_offset DESC,
                                 CASE WHEN {GONE} THEN 1 ELSE 0 END, dw_md_row
                    ) AS dw_nth
                    FROM {staging}
                ) AS events
                WHERE dw_nth > 1
            )
            "
        ))
    }

    /// The deletes of the batch are kept for events that are late.
    pub(crate) fn keep_tombstones(&self) -> [String; 2] {
        let (staging, tombstones) = (&self.tables.staging, &self.tables.tombstones);
        let (s, t, key, first) = (staging.alias(), tombstones.alias(), self.key_list(), self.first_key());
        let same_key = self.same_key(&t, &s);
        [
            sql(&format!(
                "
                -- The deletes of this batch are kept, for an event that comes late.
                DELETE FROM {tombstones}
                USING {staging}
                WHERE {same_key}
                  AND {t}.dw_md_position = {s}.dw_md_position
                "
            )),
            sql(&format!(
                "
                INSERT INTO {tombstones} (
                    {key}, dw_md_changed_at, dw_md_operation, dw_md_position, dw_md_loaded_at
                )
                SELECT {key}, dw_md_changed_at, dw_md_operation, dw_md_position, SYSDATE
                FROM {staging}
                WHERE dw_md_operation = 'delete' OR (dw_md_operation = 'truncate' AND {first} IS NULL)
                "
            )),
        ]
    }

    /// Tombstones past their time. Where rows stay after a delete, the tombstones are part of what is known of them and stay too.
    pub(crate) fn prune_tombstones(&self) -> String {
        let (tombstones, days) = (&self.tables.tombstones, self.contract.promote().tombstones_kept);
        sql(&format!(
            "
            -- An event later than this brings a deleted row back.
            DELETE FROM {tombstones}
            WHERE dw_md_loaded_at < DATEADD(day, -{days}, SYSDATE)
            "
        ))
    }

    /// Hard deletes: the rows that a truncate of this batch takes, of keys that the batch says nothing of.
    pub(crate) fn truncate_tables(&self) -> Vec<String> {
        let staging = &self.tables.staging;
        let (s, first) = (staging.alias(), self.first_key());
        let older = self.has_older().then_some(&self.tables.older);
        let tables = [&self.tables.production].into_iter().chain(older);
        let of = |table: &Table| {
            let t = table.alias();
            sql(&format!(
                "
                -- A truncate takes the rows that were there before it.
                DELETE FROM {table}
                USING {staging}
                WHERE {s}.dw_md_operation = 'truncate' AND {s}.{first} IS NULL
                  AND {t}.dw_md_position < {s}.dw_md_position
                "
            ))
        };
        tables.map(of).collect()
    }

    /// Hard deletes: nothing stays of a key from before its last delete.
    pub(crate) fn forget_what_was_deleted(&self) -> String {
        let (staging, key) = (&self.tables.staging, self.key_list());
        sql(&format!(
            "
            -- Before its last delete a key has no past.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, dw_md_position,
                           MAX(CASE WHEN {GONE} THEN dw_md_position END)
                               OVER (PARTITION BY {key}) AS dw_gone
                    FROM {staging}
                ) AS events
                WHERE dw_md_position < dw_gone
            )
            "
        ))
    }

    /// The newest event of each key that is no delete, as a column `dw_newest`.
    pub(crate) fn newest(&self) -> String {
        let key = self.key_list();
        block(&format!("MAX(CASE WHEN {THERE} THEN dw_md_position END)\n    OVER (PARTITION BY {key}) AS dw_newest"))
    }
}
