//! New columns and wider ones, and what waits for them moves in.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{self, PromoteKind, TableContract};
use shiftwork_sql::{identifier, quote_literal};

use crate::backfill::{AbsentField, Backfill};
use crate::layout::{MOST_STATEMENTS, block, lines, list, sql};
use crate::names::{Table, Tables};
use crate::{Column, OTHERS, Promotion, PromotionError, THERE};

/// Statements that take fields in, and the contract as it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Statements that are each a transaction of their own, to be run in order, first. One that fails because what it does was done
    /// before ([`is_done_already`]) counts as done.
    pub before: Vec<String>,
    /// Statements of one transaction. Run again, they find nothing left to do.
    pub transaction: Vec<String>,
    /// The contract with the new columns behind the others, and with the wider types. It holds once the transaction has committed;
    /// a load of a contract with fewer columns is refused from then on, for the rows that it writes would lose them.
    pub contract: TableContract,
}

/// Whether a statement of [`Migration::before`] failed because it ran before: Redshift knows no `ADD COLUMN IF NOT EXISTS`, and
/// refuses to widen a column to the size that it has.
pub fn is_done_already(error: &str) -> bool {
    (error.contains("column") && error.contains("already exists"))
        || error.contains("target column size should be different")
}

impl Promotion<'_> {
    /// Takes fields in: a column that the contract lacks is added, one that it has may become a wider VARCHAR, and what waits under
    /// its field in `dw_md_missing_data` moves into it where it fits. What does not fit goes on waiting.
    ///
    /// **A crash at any point:** run it all again. Statements of `before` say when they ran before ([`is_done_already`]), the transaction
    /// happened or did not, and moving what has moved finds nothing. ADD COLUMN is in `before` since it would lock readers out until
    /// the transaction's end; until that, a column that is there and empty disturbs nobody.
    ///
    /// **A load at the same time:** the transaction takes the loads' lock. Rows that a load of the older contract wrote before have
    /// their values where the transaction finds them; a load of the older contract after it is refused by a mark in the watermarks.
    ///
    /// A view of type 7 is dropped and made again, since Redshift replaces a view by one with the same columns only: at the end of the
    /// transaction, but where a VARCHAR that it has becomes wider, before it. Grants on it have to be given again, or to be default
    /// privileges.
    ///
    /// # Errors
    /// A type that a column cannot become, a name that is taken, more columns than a batch has room for.
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
        let is_wider =
            |column: &Column| self.columns.iter().any(|other| other.name == column.name && other.kind != column.kind);
        if taken.iter().any(|column| is_wider(column)) {
            // Redshift widens no column that a view has.
            before.extend(drop_view.clone());
        }
        let tables = self.tables_of_events();
        for column in &taken {
            let column_type = column.sql_type();
            for table in &tables {
                before.push(if is_wider(column) {
                    format!("ALTER TABLE {table} ALTER COLUMN {} TYPE {column_type}", column.name)
                } else {
                    // Also of a column that the contract has: it may have been written there by hand.
                    format!("ALTER TABLE {table} ADD COLUMN {} {column_type}", column.name)
                });
            }
        }
        let homes = self.homes();
        let mut transaction = vec![self.lock()];
        transaction.extend(new.fence());
        let mut after: Vec<String> =
            homes.iter().map(|(table, row)| nothing_waits(table, row, new.absent_field())).collect();
        // In an event of kind `append` a column that it left out stays NULL.
        if new.has_gaps() && self.kind() != PromoteKind::Append && !taken.is_empty() {
            transaction.push(new.empty());
            transaction.push(new.keys_of_what_waits(&taken));
            after.extend(new.again(&taken));
            after.extend(new.promote());
        }
        if let Some(drop_view) = drop_view {
            after.extend([drop_view, new.create_current()]);
        }
        let most = MOST_STATEMENTS.saturating_sub(transaction.len() + after.len());
        let chunk = (taken.len() * homes.len()).div_ceil(most.max(1)).max(1);
        for (table, row) in &homes {
            let moves = Backfill { comment: "What waited moves in.", table, row, absent: new.absent_field() };
            transaction.extend(taken.chunks(chunk).filter_map(|columns| moves.all(columns)));
        }
        transaction.extend(after);
        Ok(Migration { before, transaction: new.within_limits(transaction)?, contract })
    }

    /// The keys of rows in which a value waits that later rows of the key may take.
    fn keys_of_what_waits(&self, columns: &[&Column]) -> String {
        let Tables { staging, production, older, .. } = &self.tables;
        let table = if self.has_older() { older } else { production };
        let (t, key) = (table.alias(), self.key_list());
        let of_table = self.key_of(&t);
        let fields = list(columns.iter().map(|column| quote_literal(&column.field)));
        sql(&format!(
            "
            -- The keys of what waits in an event from before the current one.
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

    /// The rows of these keys, if one of them has left one of the columns out, come once more, as those of a batch do.
    fn again(&self, columns: &[&Column]) -> [String; 2] {
        let Tables { staging, production, .. } = &self.tables;
        let all = self.event_columns();
        let of_known = list(all.iter().map(|name| format!("known.{name}")));
        let (all, of_events) = (list(all), self.key_of("events"));
        let (same_key, same_event) = (self.same_key("known", "concerned"), self.same_key("events", &staging.alias()));
        let gaps = columns.iter().map(|column| format!("STRPOS(events.dw_md_unchanged, ',{},') > 0", column.number));
        let gaps = lines(gaps, " OR");
        [
            sql(&format!(
                "
                -- Where a row left the column out, the rows of its key come once more, and are made anew as by a load.
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
                WHERE known.{THERE}
                "
            )),
            sql(&format!(
                "
                -- A key alone is no event.
                DELETE FROM {staging}
                WHERE dw_md_operation IS NULL
                "
            )),
        ]
    }

    /// The contract with these columns.
    fn migrated(&self, new: &[contract::Column]) -> Result<TableContract, PromotionError> {
        let mut columns = self.contract.columns().to_vec();
        for new in new {
            let Some(old) = columns.iter_mut().find(|old| old.name == new.name) else {
                columns.push(new.clone());
                continue;
            };
            let is_wider =
                matches!((new.column_type, old.column_type), (ColumnType::Varchar(_), ColumnType::Varchar(_)))
                    && new.column_type.widens(old.column_type);
            if new.column_type != old.column_type && !is_wider {
                return Err(self.error(format!(
                    "column `{}` is {} and cannot become {}: Redshift widens only VARCHAR. Take the field into a new column",
                    old.name, old.column_type, new.column_type
                )));
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

    /// Where values wait, with the columns that tell the rows apart.
    pub(crate) fn homes(&self) -> Vec<(&Table, Vec<String>)> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key: Vec<String> = self.key().map(str::to_owned).collect();
        let row = match self.kind() {
            PromoteKind::Type1 => key.clone(),
            PromoteKind::Type2 | PromoteKind::Type7 => own(&["dw_key"]),
            // One record may be two rows: a changed key is a delete and a create.
            PromoteKind::Append => own(&["dw_md_partition", "dw_md_offset", "dw_md_operation"]),
        };
        let mut homes = vec![(&self.tables.production, row)];
        if self.has_older() {
            let mut row = key;
            row.push("dw_md_position".to_owned());
            homes.push((&self.tables.older, row));
        }
        homes
    }

    /// Marks the watermarks with the count of columns that the tables have been migrated to.
    fn fence(&self) -> [String; 2] {
        let (watermarks, columns) = (&self.tables.watermarks, self.columns.len());
        [
            sql(&format!(
                "
                -- From here on a load must know all {columns} columns.
                DELETE FROM {watermarks}
                WHERE dw_md_partition = '{FENCE}'
                "
            )),
            sql(&format!(
                "
                INSERT INTO {watermarks} (dw_md_partition, dw_md_offset, dw_md_moved_at)
                SELECT '{FENCE}', '{columns:04}', SYSDATE
                "
            )),
        ]
    }

    /// Fails if the tables were migrated to more columns than this contract has: the rows that it makes anew would lose them.
    pub(crate) fn beyond_the_fence(&self) -> String {
        let (watermarks, columns) = (&self.tables.watermarks, self.columns.len());
        let words = quote_literal(&format!("contract {} has {columns} columns, and its table ", self.contract.name()));
        sql(&format!(
            "
            -- Fails where the table has been migrated to more columns than this contract has.
            SELECT CAST({words} || dw_md_offset || ' now: take the newer contract' AS INT)
            FROM {watermarks}
            WHERE dw_md_partition = '{FENCE}' AND dw_md_offset > '{columns:04}'
            "
        ))
    }
}

/// The partition of rows that come once more.
const MIGRATION: &str = "migration";
/// The partition under which the watermarks have the count of columns. The transport's partitions all have a `/`.
const FENCE: &str = "columns";

/// What has nothing left but nulls waits for nothing; unless nulls are told from what did not change.
fn nothing_waits(table: &Table, row: &[String], absent: AbsentField) -> String {
    let t = table.alias();
    let of_row = row.iter().map(|name| format!("{t}.{name}")).collect::<Vec<_>>().join(", ");
    let same_row = row.iter().map(|name| format!("{t}.{name} = left_over.{name}")).collect::<Vec<_>>().join(" AND ");
    let only = match absent {
        AbsentField::Unchanged => block(&format!("WHERE NVL(LEFT({t}.dw_md_unchanged, 2), '') <> '{OTHERS}'")),
        AbsentField::Null | AbsentField::NullIsUnchanged => String::new(),
    };
    sql(&format!(
        "
        -- Where nothing is left that waits.
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
