//! Adds columns, changes their types, and moves values from `dw_md_missing_data` into them.

use shiftwork_change_data::contract::{self, PromoteKind, TableContract};
use shiftwork_sql::{identifier, quote_literal};

use crate::backfill::{AbsentField, Backfill};
use crate::layout::{MOST_STATEMENTS, block, lines, list, literal, sql};
use crate::names::{Table, Tables};
use crate::retype::Retyped;
use crate::{Column, IS_NOT_DELETE, OTHERS_UNCHANGED, Promotion, PromotionError};

/// Statements that add columns for fields, and the contract that has these columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Statements to be run first, in order, each in its own transaction. A statement that fails because it was run before
    /// ([`is_done_already`]) counts as done.
    pub before: Vec<String>,
    /// Statements of one transaction, to be run next, that replace columns by columns of other types. Empty if no type is changed, or only
    /// in place. Running them again has no effect. Loads of the older contract still work after them.
    pub replacement: Vec<String>,
    /// Statements of one transaction, to be run last. Running them again has no effect.
    pub transaction: Vec<String>,
    /// The contract with the wider types, and with the new columns after the others. Use it once the transaction has committed: a load
    /// of a contract with fewer columns is refused from then on, because the rows that it writes would lose the new columns.
    pub contract: TableContract,
}

/// Whether a statement of [`Migration::before`] or of a [`KeyRelease`](crate::KeyRelease) failed because it was run before: Redshift
/// does not have `ADD COLUMN IF NOT EXISTS`, and refuses to widen a column to the size that it has, or to set the keys that a table has.
pub fn is_done_already(error: &str) -> bool {
    (error.contains("column") && error.contains("already exists"))
        || error.contains("target column size should be different")
        || error.contains("table is already ")
}

impl Promotion<'_> {
    /// Adds the columns that the contract lacks, gives columns that it has their new types, and moves the values of their fields from
    /// `dw_md_missing_data` into them. A value that does not fit stays in `dw_md_missing_data`.
    ///
    /// **After a crash at any point:** run all statements again. [`is_done_already`] recognizes statements of `before` that have been run;
    /// the transaction is committed or not; and values that were moved are not moved again. ADD COLUMN is in `before` because in the
    /// transaction it would lock readers out until the commit. A column that exists and is still empty does no harm.
    ///
    /// **With a load at the same time:** the transaction takes the lock of the loads. The values of rows that a load of the older
    /// contract wrote before are in `dw_md_missing_data`, where the transaction finds them. A later load of the older contract is
    /// refused, because the watermarks table has the new number of columns.
    ///
    /// The view of type 7 is dropped and created again, because Redshift replaces a view only by one with the same columns. It is dropped
    /// at the end of the transaction, or before it if the type of a column is changed. Grants on the view must be given
    /// again, or be default privileges.
    ///
    /// # Errors
    /// A column cannot be changed to the type, a name is taken, or there are more columns than one batch can add.
    pub fn migration(&self, columns: &[contract::Column]) -> Result<Migration, PromotionError> {
        let contract = self.migrated(columns)?;
        let new = Promotion::of(&contract);
        let taken: Vec<&Column> = columns
            .iter()
            .filter_map(|column| new.columns.iter().find(|other| other.name == identifier(&column.name)))
            .collect();
        let mut before = Vec::new();
        let drop_view =
            (self.kind() == PromoteKind::Type7).then(|| format!("DROP VIEW IF EXISTS {}", self.tables.current));
        let retyped: Vec<Retyped<'_>> = taken
            .iter()
            .filter_map(|new| {
                let old = self.columns.iter().find(|old| old.name == new.name)?;
                (old.kind != new.kind).then_some(Retyped { old, new })
            })
            .collect();
        if !retyped.is_empty() {
            // Redshift neither changes nor drops a column that a view uses.
            before.extend(drop_view.clone());
        }
        let by_copy: Vec<Retyped<'_>> = retyped.iter().filter(|column| !column.is_in_place()).copied().collect();
        let replacement = self.replace_columns(&by_copy)?;
        let tables = self.tables_of_events();
        let is_of = |columns: &[Retyped<'_>], name: &str| columns.iter().any(|column| column.new.name == name);
        for column in taken.iter().filter(|column| !is_of(&by_copy, &column.name)) {
            let column_type = column.sql_type();
            for table in &tables {
                before.push(if is_of(&retyped, &column.name) {
                    format!("ALTER TABLE {table} ALTER COLUMN {} TYPE {column_type}", column.name)
                } else {
                    // A column that the contract has may be missing in the table: a user may have added it to the contract by hand.
                    format!("ALTER TABLE {table} ADD COLUMN {} {column_type}", column.name)
                });
            }
        }
        // A row whose key does not fit is refused, so no value of a key column waits.
        let filled: Vec<&Column> = taken.iter().filter(|column| !column.is_key).copied().collect();
        let tables_with_missing_data = self.tables_with_missing_data();
        let mut transaction = vec![self.lock()];
        transaction.extend(new.record_column_count());
        let mut after: Vec<String> =
            tables_with_missing_data.iter().map(|(table, row)| new.clear_missing_data(table, row)).collect();
        // In a table of kind `append` a column that the event left out stays NULL.
        if new.has_gaps() && self.kind() != PromoteKind::Append && !filled.is_empty() {
            transaction.push(new.clear_staging());
            transaction.push(new.stage_waiting_keys(&filled));
            after.extend(new.stage_rows_again(&filled));
            after.extend(new.promote());
        }
        if let Some(drop_view) = drop_view {
            after.extend([drop_view, new.create_current()]);
        }
        let most = MOST_STATEMENTS.saturating_sub(transaction.len() + after.len());
        let chunk = (filled.len() * tables_with_missing_data.len()).div_ceil(most.max(1)).max(1);
        for (table, row) in &tables_with_missing_data {
            let moves = Backfill {
                promotion: &new,
                comment: "Move values from dw_md_missing_data into their columns.",
                table,
                row,
                absent: new.absent_field(),
            };
            transaction.extend(filled.chunks(chunk).filter_map(|columns| moves.all(columns)));
        }
        transaction.extend(after);
        Ok(Migration { before, replacement, transaction: new.within_limits(transaction)?, contract })
    }

    /// Adds the keys of rows whose values in `dw_md_missing_data` may be taken by later rows of the key.
    fn stage_waiting_keys(&self, columns: &[&Column]) -> String {
        let Tables { staging, production, older, .. } = &self.tables;
        let table = if self.has_older() { older } else { production };
        let (t, key) = (table.alias(), self.key_list());
        let of_table = self.key_of(&t);
        let fields = list(columns.iter().map(|column| literal(&column.field)));
        sql(&format!(
            "
            -- Add the keys of events whose values in dw_md_missing_data later rows may take.
            INSERT INTO {staging} (
                {key}, dw_md_partition
            )
            SELECT DISTINCT {of_table}, '{MIGRATION}'
            FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
            WHERE JSON_TYPEOF(dw_value) <> 'null'
              AND dw_field IN ({fields})
            "
        ))
    }

    /// Adds the rows of these keys to the staging table as the events of a batch, if one row of the key left out one of the columns.
    fn stage_rows_again(&self, columns: &[&Column]) -> [String; 2] {
        let Tables { staging, production, .. } = &self.tables;
        let all = self.event_columns();
        let of_known = list(all.iter().map(|name| format!("known.{name}")));
        let (all, of_events) = (list(all), self.key_of("events"));
        let (same_key, same_event) = (self.same_key("known", "concerned"), self.same_key("events", &staging.alias()));
        let gaps = columns.iter().map(|column| format!("STRPOS(events.dw_md_unchanged, ',{},') > 0", column.number));
        let (gaps, not_deleted) = (lines(gaps, " OR"), format!("known.{IS_NOT_DELETE}"));
        [
            sql(&format!(
                "
                -- If a row left the column out, add the rows of its key again, so that they are replaced as in a load.
                INSERT INTO {staging} (
                    {all}, dw_md_partition
                )
                SELECT {of_known}, '{MIGRATION}'
                FROM {production} AS known
                JOIN (
                    SELECT DISTINCT {of_events}
                    FROM {production} AS events
                    JOIN {staging} ON {same_event}
                    WHERE {gaps}
                ) AS concerned ON {same_key}
                WHERE {not_deleted}
                "
            )),
            sql(&format!(
                "
                -- Remove the keys that were added without an event.
                DELETE FROM {staging}
                WHERE dw_md_operation IS NULL
                "
            )),
        ]
    }

    /// The contract with the new columns and the new types.
    fn migrated(&self, new: &[contract::Column]) -> Result<TableContract, PromotionError> {
        let mut columns = self.contract.columns().to_vec();
        for new in new {
            let Some(old) = columns.iter_mut().find(|old| old.name == new.name) else {
                columns.push(new.clone());
                continue;
            };
            if let Some(there) = self.columns.iter().find(|there| there.name == identifier(&new.name)) {
                let column = Column { kind: new.column_type, ..there.clone() };
                if let Some(reason) = self.refuses_type(&Retyped { old: there, new: &column }) {
                    return Err(self.error(reason));
                }
            }
            old.column_type = new.column_type;
        }
        self.contract.with_columns(&columns).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            self.error(problems.join("; "))
        })
    }

    /// The tables that have the contract's columns.
    pub(crate) fn tables_of_events(&self) -> Vec<&Table> {
        let mut tables = vec![&self.tables.staging, &self.tables.production];
        tables.extend(self.has_older().then_some(&self.tables.older));
        tables
    }

    /// The tables that have values in `dw_md_missing_data`, each with the columns that identify a row.
    pub(crate) fn tables_with_missing_data(&self) -> Vec<(&Table, Vec<String>)> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key: Vec<String> = self.key().map(str::to_owned).collect();
        let row = match self.kind() {
            PromoteKind::Type1 => key.clone(),
            PromoteKind::Type2 | PromoteKind::Type7 => own(&["dw_key"]),
            // One record can be two rows: the change of a key is a delete and a create.
            PromoteKind::Append => own(&["dw_md_partition", "dw_md_offset", "dw_md_operation"]),
        };
        let mut tables_with_missing_data = vec![(&self.tables.production, row)];
        if self.has_older() {
            let mut row = key;
            row.push("dw_md_position".to_owned());
            tables_with_missing_data.push((&self.tables.older, row));
        }
        tables_with_missing_data
    }

    /// Writes the number of columns that the tables have been migrated to into the watermarks table.
    fn record_column_count(&self) -> [String; 2] {
        let (watermarks, columns) = (&self.tables.watermarks, self.columns.len());
        [
            sql(&format!(
                "
                -- From now on, refuse loads of a contract with fewer than {columns} columns.
                DELETE FROM {watermarks}
                WHERE dw_md_partition = '{COLUMN_COUNT}'
                "
            )),
            sql(&format!(
                "
                INSERT INTO {watermarks} (dw_md_partition, dw_md_offset, dw_md_moved_at)
                SELECT '{COLUMN_COUNT}', '{columns:04}', SYSDATE
                "
            )),
        ]
    }

    /// A statement that fails if the tables were migrated to more columns than this contract has, because the rows that a load replaces
    /// would lose these columns.
    pub(crate) fn check_column_count(&self) -> String {
        let (watermarks, columns) = (&self.tables.watermarks, self.columns.len());
        let words =
            quote_literal(&format!("contract {} has {columns} columns, but its table has ", self.contract.name()));
        sql(&format!(
            "
            -- Fail if the table has been migrated to more columns than this contract has.
            SELECT CAST({words} || dw_md_offset || ': use the newer contract' AS INT)
            FROM {watermarks}
            WHERE dw_md_partition = '{COLUMN_COUNT}' AND dw_md_offset > '{columns:04}'
            "
        ))
    }

    /// Clears `dw_md_missing_data` of rows in which it has only nulls, except where a null differs from an absent field that did not change.
    fn clear_missing_data(&self, table: &Table, row: &[String]) -> String {
        let t = table.alias();
        let of_row = row.iter().map(|name| format!("{t}.{name}")).collect::<Vec<_>>().join(", ");
        let same_row = self.same_values(row.iter().map(String::as_str), &t, "left_over");
        let only = match self.absent_field() {
            AbsentField::Unchanged => {
                block(&format!("WHERE NVL(LEFT({t}.dw_md_unchanged, 2), '') <> '{OTHERS_UNCHANGED}'"))
            }
            AbsentField::Null | AbsentField::NullIsUnchanged => String::new(),
        };
        sql(&format!(
            "
            -- Clear dw_md_missing_data of rows in which no value is left.
            UPDATE {table}
            SET dw_md_missing_data = NULL
            FROM (
                SELECT {of_row},
                       MAX(CASE WHEN JSON_TYPEOF(dw_value) = 'null' THEN 0 ELSE 1 END) AS dw_waits
                FROM {table} AS {t}, UNPIVOT {t}.dw_md_missing_data AS dw_value AT dw_field
                {only}
                GROUP BY {of_row}
            ) AS left_over
            WHERE {same_row} AND left_over.dw_waits = 0
            "
        ))
    }
}

/// `dw_md_partition` of rows that a migration adds to the staging table.
const MIGRATION: &str = "migration";
/// `dw_md_partition` of the row of the watermarks that has the number of columns. Partitions of a transport contain a `/`.
const COLUMN_COUNT: &str = "columns";
