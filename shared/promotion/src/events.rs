//! Collects all known events of the keys of a batch in the staging table, each once, in order.
//!
//! In the staging table `dw_md_partition` is set for an event of this batch, and NULL for an event that was loaded before.

use shiftwork_change_data::contract::{Deletes, Format};

use crate::layout::{block, list, sql};
use crate::{IS_DELETE, IS_NOT_DELETE, Promotion, Table};

impl Promotion<'_> {
    /// A truncate is a row without a key. This statement adds a row for every key that the truncate concerns: the keys of the batch; if
    /// deleted rows are kept, the keys of the table; if they are not, the keys of rows that are newer than a truncate that arrives late
    /// and that took unchanged columns from events before it.
    pub(crate) fn expand_truncates(&self) -> String {
        let (staging, table) = (&self.tables.staging, &self.tables.production);
        let (key, first, of_concerned) = (self.key_list(), self.first_key(), self.key_of("concerned"));
        let others = if self.deletes() != Deletes::Hard {
            block(&format!("UNION\nSELECT {key}\nFROM {table}"))
        } else if self.has_gaps() {
            block(&sql(&format!(
                "
                UNION
                SELECT {key}
                FROM {table}
                WHERE dw_md_unchanged IS NOT NULL
                  AND dw_md_position > (
                      SELECT MIN(dw_md_position)
                      FROM {staging}
                      WHERE dw_md_operation = 'truncate'
                  )
                "
            )))
        } else {
            String::new()
        };
        sql(&format!(
            "
            -- Add a delete of each key for a truncate.
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

    /// Adds the events that another table has of the batch's keys.
    pub(crate) fn add_known_events(&self, comment: &str, table: &Table) -> String {
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

    /// Adds the tombstones of the keys in the staging table that are later than the first event of the key there.
    pub(crate) fn add_known_tombstones(&self) -> String {
        let (staging, tombstones) = (&self.tables.staging, &self.tables.tombstones);
        let (t, key, first) = (tombstones.alias(), self.key_list(), self.first_key());
        let (of_concerned, same_key) = (self.key_of("concerned"), self.same_key(&t, "concerned"));
        sql(&format!(
            "
            -- Add the known deletes of these keys, and the known truncates.
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

    /// PostgreSQL: gives a change of the first transaction after a snapshot a position behind the row of the snapshot.
    ///
    /// Debezium does not know the end of a transaction that committed before until it has streamed one, so these changes and the rows of
    /// the snapshot have only their place in the log, as `5000/5000/`. A transaction that was open while the snapshot was read wrote before
    /// the place of the snapshot, and committed behind it. Its change at `4990/4990/` gets the position `5000/5000/4990`. The transaction
    /// after it begins with the place of a commit behind the snapshot.
    ///
    /// The time tells such a change from one that is older than the snapshot and is sent again: the time of a change is that of its
    /// commit, and the time of a row of a snapshot is that at which the snapshot's transaction began. Both are of the database's clock.
    pub(crate) fn place_behind_snapshot(&self) -> Option<String> {
        let (staging, key) = (&self.tables.staging, self.key_list());
        let s = staging.alias();
        // Two numbers of 20 digits that are the same, and a third one if the event was moved. A generation is a prefix of 7 characters.
        (self.contract.source().format == Format::Debezium).then(|| {
            sql(&format!(
                "
                -- PostgreSQL: put the changes of the first transaction after a snapshot behind the rows of the snapshot.
                UPDATE {staging}
                SET dw_md_position = behind.dw_place || LEFT(RIGHT({s}.dw_md_position, 21), 20)
                FROM (
                    SELECT dw_md_row,
                           MAX(dw_place)
                               OVER (PARTITION BY {key}
                                     ORDER BY dw_md_changed_at, CASE WHEN dw_place IS NULL THEN 1 ELSE 0 END, dw_md_row
                                     ROWS UNBOUNDED PRECEDING) AS dw_place
                    FROM (
                        SELECT {key}, dw_md_row, dw_md_changed_at,
                               CASE WHEN dw_md_operation = 'read' AND RIGHT(dw_md_position, 1) = '/' THEN dw_md_position
                                    WHEN LEN(dw_md_position) IN (62, 69)
                                         AND LEFT(RIGHT(dw_md_position, 62), 20) = LEFT(RIGHT(dw_md_position, 41), 20)
                                    THEN LEFT(dw_md_position, LEN(dw_md_position) - 20) END AS dw_place
                        FROM {staging}
                    ) AS places
                ) AS behind
                WHERE {s}.dw_md_row = behind.dw_md_row
                  AND {s}.dw_md_partition IS NOT NULL
                  AND {s}.dw_md_operation <> 'read'
                  AND RIGHT({s}.dw_md_position, 1) = '/'
                  AND behind.dw_place > {s}.dw_md_position
                "
            ))
        })
    }

    /// The condition that two rows of a key are the same event.
    pub(crate) fn same_event(&self, a: &str, b: &str) -> String {
        format!("{} = {}", self.event(&format!("{a}.dw_md_position")), self.event(&format!("{b}.dw_md_position")))
    }

    /// An expression that is the same for two rows of a key if they are the same event: the position, or for a place that several changes
    /// share the first number of the place (after the generation) and the digest of the change, because the rest of such a position
    /// differs when the event is sent again.
    pub(crate) fn event(&self, position: &str) -> String {
        match self.contract.source().format {
            Format::Debezium | Format::DebeziumMongodb => {
                let length = match self.contract.source().generation {
                    0 => "20".to_owned(),
                    // The table can have rows of generation 0, which have no prefix.
                    _ => format!("CASE WHEN LEFT({position}, 1) = 'g' THEN 27 ELSE 20 END"),
                };
                format!(
                    "CASE WHEN LEFT(RIGHT({position}, 17), 1) = '#' THEN LEFT({position}, {length}) || RIGHT({position}, 17) ELSE {position} END"
                )
            }
            Format::Dynamodb => position.to_owned(),
        }
    }

    /// An expression that is not later than the position of any copy of an event, for a search of its other copies.
    pub(crate) fn earliest(&self, position: &str) -> String {
        match self.contract.source().format {
            Format::Debezium | Format::DebeziumMongodb => {
                format!("CASE WHEN LEFT(RIGHT({position}, 17), 1) = '#' THEN LEFT({position}, 20) ELSE {position} END")
            }
            Format::Dynamodb => position.to_owned(),
        }
    }

    /// Removes duplicates of an event: from overlapping files, under a new offset, or loaded before.
    pub(crate) fn remove_duplicates(&self) -> String {
        let (staging, key, event) = (&self.tables.staging, self.key_list(), self.event("dw_md_position"));
        sql(&format!(
            "
            -- Keep each event once: the copy that arrived last.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, ROW_NUMBER() OVER (
                        PARTITION BY {key}, {event}
                        ORDER BY CASE WHEN dw_md_partition IS NULL THEN 1 ELSE 0 END,
                                 dw_md_partition DESC, dw_md_offset DESC,
                                 CASE WHEN {IS_DELETE} THEN 1 ELSE 0 END, dw_md_row
                    ) AS dw_nth
                    FROM {staging}
                ) AS events
                WHERE dw_nth > 1
            )
            "
        ))
    }

    /// Writes the deletes of the batch that the tombstones do not have, for events that arrive late.
    pub(crate) fn record_tombstones(&self) -> String {
        let (staging, tombstones) = (&self.tables.staging, &self.tables.tombstones);
        let (key, first, of_deleted) = (self.key_list(), self.first_key(), self.key_of("deleted"));
        let same_key = self.same_key("known", "deleted");
        sql(&format!(
            "
            -- Record the deletes of this batch, for events that arrive late.
            INSERT INTO {tombstones} (
                {key}, dw_md_changed_at, dw_md_operation, dw_md_position, dw_md_loaded_at
            )
            SELECT {of_deleted}, deleted.dw_md_changed_at, deleted.dw_md_operation, deleted.dw_md_position, SYSDATE
            FROM {staging} AS deleted
            LEFT JOIN {tombstones} AS known
              ON {same_key} AND known.dw_md_position = deleted.dw_md_position
            WHERE known.dw_md_position IS NULL
              AND (deleted.dw_md_operation = 'delete' OR (deleted.dw_md_operation = 'truncate' AND deleted.{first} IS NULL))
            "
        ))
    }

    /// Deletes tombstones that are older than `tombstones_kept`. Only for hard deletes: with others the rows are kept, and their
    /// tombstones with them.
    pub(crate) fn prune_tombstones(&self) -> String {
        let (tombstones, days) = (&self.tables.tombstones, self.contract.promote().tombstones_kept);
        sql(&format!(
            "
            -- Delete old tombstones. An event that arrives later than this restores a deleted row.
            DELETE FROM {tombstones}
            WHERE dw_md_loaded_at < DATEADD(day, -{days}, SYSDATE)
            "
        ))
    }

    /// Hard deletes: deletes the rows that a truncate of this batch concerns and whose keys are not in the batch.
    pub(crate) fn apply_truncates(&self) -> Vec<String> {
        let (staging, first) = (&self.tables.staging, self.first_key());
        let older = self.has_older().then_some(&self.tables.older);
        let tables = [&self.tables.production].into_iter().chain(older);
        let of = |table: &Table| {
            sql(&format!(
                "
                -- A truncate deletes all rows that are older than it. The last one of the batch is enough.
                DELETE FROM {table}
                WHERE dw_md_position < (
                    SELECT MAX(dw_md_position)
                    FROM {staging}
                    WHERE dw_md_operation = 'truncate' AND {first} IS NULL
                )
                "
            ))
        };
        tables.map(of).collect()
    }

    /// Hard deletes: removes the events of a key that are older than its last delete.
    pub(crate) fn remove_events_before_delete(&self) -> String {
        let (staging, key) = (&self.tables.staging, self.key_list());
        sql(&format!(
            "
            -- Remove the events of a key that are older than its last delete.
            DELETE FROM {staging}
            WHERE dw_md_row IN (
                SELECT dw_md_row
                FROM (
                    SELECT dw_md_row, dw_md_position,
                           MAX(CASE WHEN {IS_DELETE} THEN dw_md_position END)
                               OVER (PARTITION BY {key}) AS dw_gone
                    FROM {staging}
                ) AS events
                WHERE dw_md_position < dw_gone
            )
            "
        ))
    }

    /// An expression for the position of the newest event of each key that is not a delete, as a column `dw_newest`.
    pub(crate) fn newest(&self) -> String {
        let key = self.key_list();
        block(&format!(
            "MAX(CASE WHEN {IS_NOT_DELETE} THEN dw_md_position END)\n    OVER (PARTITION BY {key}) AS dw_newest"
        ))
    }
}
