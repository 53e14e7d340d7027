//! Generates the Redshift SQL of a table contract: its tables, the transaction that loads and promotes staged files, the report on
//! fields without a column (`dw_md_missing_data`), and the migration that adds columns for them. The crate performs no I/O. The design
//! is in `docs/decisions/0006-change-data.md`.
//!
//! ```text
//! contract ── Promotion::of ──┬─ ddl           tables and views, to be run before the first load
//!                             ├─ prepare       columns that existing tables lack
//!                             ├─ load          LOCK · COPY · watermark · events of these keys, each once, in order · the table
//!                             ├─ drift_report  fields without a column: since when, and the types of their values
//!                             ├─ misfits       values there that a column of a chosen type does not take
//!                             └─ migration     ADD COLUMN, other types, and values moved from dw_md_missing_data
//! ```
//!
//! **From events to a table.** The staging table holds the new events of a batch. The known events of their keys are added to it: the
//! rows of the production table, as the events that they came from; the tombstones; and for type 1 the older events from which a column
//! is still taken. Duplicates are removed, the events are ordered by their position in the source, and the rows of these keys are
//! replaced. So an event that arrives late takes its place in the order, an event that arrives twice has an effect once, and a load
//! that is run again changes nothing.
//!
//! **One version for each event.** In types 2 and 7 every event that is not a delete is a version, even if it changes no value (for
//! example a row of a repeated snapshot). If such an event were left out, an event that arrives late and is older than it would not
//! have a version that ends it.
//!
//! **Deletes.** `hard`: all rows and versions of the key are deleted. `soft`: type 1 keeps the row and sets `dw_deleted` and
//! `dw_deleted_at`; in types 2 and 7 the delete is a version with the values of the row. `close`: the current version ends. The delete
//! of a key without rows changes no row; its tombstone is kept for events that arrive late. A row after a delete takes no value from
//! before the delete.
//!
//! **Two events of one key at one position** count as the same event; the copy that arrived last is kept.
//!
//! **Surrogate keys** are the MD5 of the natural key and the event's place in the source (`dw_key`) or of the natural key
//! (`dw_durable_key`). Where several changes can share a place, the digest of the change is part of `dw_key`, and the offset is not. The
//! keys are the same after a restart, when a history is rebuilt, when files are replayed, when events are sent again, and in another
//! environment. An IDENTITY column would differ in each of these cases.
//!
//! **`ALTER TABLE APPEND` is not used**, not even for tables of kind `append`: it commits at once. A crash between it and the update
//! of the watermark would leave rows that the next load adds again, or, in the other order, a watermark past rows that are not in the
//! table. It would save little time in a batch of half a minute.
//!
//! **SQL.** Redshift accepts the statements unchanged: no MERGE from a query, no alias in DELETE, no correlated subquery, no IGNORE
//! NULLS, a frame in every ordered window of an aggregate, no DELETE … USING or JOIN without an equality between the two tables (a
//! nested loop), no statement that commits. Each is at most 100 KB long, and a batch has at most 40, the limits of the Data API.

mod append;
mod backfill;
mod current;
mod ddl;
mod drift;
mod events;
mod fits;
mod gaps;
mod history;
mod layout;
mod load;
mod migration;
mod names;
mod prepare;
mod retype;
mod table_keys;

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Deletes, Format, MergeStrategy, PromoteKind, TableContract};
use shiftwork_change_data::row::{EVENT_COLUMNS, TRANSPORT_COLUMNS};
use shiftwork_sql::identifier;

pub use backfill::is_copied;
pub use load::Load;
pub use migration::{Migration, is_done_already};
pub use names::{Table, Tables};
pub use prepare::ExistingColumn;
pub use table_keys::{KeyRelease, is_refused_for_key};

/// A valid contract from which a load, a migration or a change of tables cannot be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract {contract}: {reason}")]
pub struct PromotionError {
    /// Name of the contract.
    pub contract: String,
    /// The reason, and how to fix it.
    pub reason: String,
}

/// The SQL of a contract.
#[derive(Debug, Clone)]
pub struct Promotion<'a> {
    contract: &'a TableContract,
    columns: Vec<Column>,
    tables: Tables,
}

/// A column of the contract.
#[derive(Debug, Clone)]
struct Column {
    /// Number of the column, from 1, as in `dw_md_unchanged`.
    number: usize,
    /// Name, quoted if necessary.
    name: String,
    /// Name of the event's field, not quoted.
    field: String,
    kind: ColumnType,
    is_key: bool,
    /// Whether it is part of the key after the first column, which can be NULL.
    is_nullable_key: bool,
}

impl Column {
    /// The column's type, as DDL writes it.
    fn sql_type(&self) -> String {
        self.kind.to_string().to_uppercase()
    }
}

/// Names of the metadata columns that every table of events has.
fn event_names<'n>() -> impl Iterator<Item = &'n str> + Clone {
    EVENT_COLUMNS.iter().map(|(name, _)| *name)
}

/// Names of the columns that hold the event's partition and offset in the transport.
fn transport_names<'n>() -> impl Iterator<Item = &'n str> + Clone {
    TRANSPORT_COLUMNS.iter().map(|(name, _)| *name)
}

/// Condition: the event is a delete or a truncate.
const IS_DELETE: &str = "dw_md_operation IN ('delete', 'truncate')";
/// Condition: the event is not a delete or a truncate.
const IS_NOT_DELETE: &str = "dw_md_operation NOT IN ('delete', 'truncate')";
/// Prefix of `dw_md_unchanged` if absent fields without a column did not change: `,00005,3,` for a contract with 5 columns.
const OTHERS_UNCHANGED: &str = ",0";

impl<'a> Promotion<'a> {
    /// Prepares a contract for the generation of SQL.
    pub fn of(contract: &'a TableContract) -> Self {
        let columns = contract.columns().iter().zip(1..).map(|(column, number)| Column {
            number,
            name: identifier(&column.name),
            field: column.field().to_owned(),
            kind: column.column_type,
            is_key: contract.is_key(&column.name),
            is_nullable_key: contract.can_be_null_in_key(&column.name),
        });
        Self { contract, columns: columns.collect(), tables: Tables::of(contract) }
    }

    /// Names of the tables that the SQL uses.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    fn error(&self, reason: impl Into<String>) -> PromotionError {
        PromotionError { contract: self.contract.name().to_owned(), reason: reason.into() }
    }

    fn kind(&self) -> PromoteKind {
        self.contract.promote().kind
    }

    fn deletes(&self) -> Deletes {
        self.contract.promote().deletes
    }

    fn takes_latest_non_null(&self) -> bool {
        self.kind() == PromoteKind::Type1 && self.contract.promote().take == MergeStrategy::LatestNonNull
    }

    /// Whether an event may leave columns out. They then have their values from an earlier event.
    fn has_gaps(&self) -> bool {
        match self.contract.source().format {
            // PostgreSQL and Oracle omit unchanged values that are stored out of line; MongoDB's updates can omit the document.
            Format::Debezium | Format::DebeziumMongodb => true,
            Format::Dynamodb => self.takes_latest_non_null(),
        }
    }

    /// Names of the key columns, in the order of the contract's `key`.
    fn key(&self) -> impl Iterator<Item = &str> + Clone {
        self.contract.key().iter().filter_map(|name| {
            let at = self.contract.columns().iter().position(|column| column.name == *name)?;
            self.columns.get(at).map(|column| column.name.as_str())
        })
    }

    /// The first column of the key. It is NULL only in the row of a truncate; the others can be NULL in any row.
    fn first_key(&self) -> &str {
        self.key().next().unwrap_or_default()
    }

    /// The key columns, such as `id, line`.
    fn key_list(&self) -> String {
        self.key().collect::<Vec<_>>().join(", ")
    }

    /// The key columns of a table, such as `orders.id, orders.line`.
    fn key_of(&self, table: &str) -> String {
        self.key().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
    }

    /// The condition that two rows have the same key. NULL equals NULL in the columns after the first.
    fn same_key(&self, a: &str, b: &str) -> String {
        self.same_values(self.key(), a, b)
    }

    /// The condition that two rows have the same values of these columns. Redshift has no `IS NOT DISTINCT FROM`, and joins by hash only
    /// on equalities; so a stand-in replaces NULL in the first of two equalities, and the second tells it from the value.
    fn same_values<'n>(&self, names: impl Iterator<Item = &'n str>, a: &str, b: &str) -> String {
        let same = |name: &str| match self.columns.iter().find(|column| column.is_nullable_key && column.name == name) {
            None => format!("{a}.{name} = {b}.{name}"),
            Some(column) => {
                let value = |table: &str| null_replaced(&format!("{table}.{name}"), column.kind);
                let is_null = |table: &str| format!("CASE WHEN {table}.{name} IS NULL THEN 1 ELSE 0 END");
                format!("{} = {} AND {} = {}", value(a), value(b), is_null(a), is_null(b))
            }
        };
        names.map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// Columns that are not part of the key.
    fn values(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.is_key).collect()
    }

    /// Names of the contract's columns, followed by the metadata columns of an event.
    fn event_columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).chain(event_names().map(String::from)).collect()
    }
}

/// An expression for a value with a stand-in for NULL, to be compared with `=`.
fn null_replaced(value: &str, kind: ColumnType) -> String {
    let stand_in = match kind {
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Decimal(..)
        | ColumnType::Real
        | ColumnType::Double => "0",
        ColumnType::Boolean => "FALSE",
        ColumnType::Char(_) | ColumnType::Varchar(_) => "''",
        ColumnType::Varbyte(_) => return format!("NVL(TO_HEX({value}), '')"),
        ColumnType::Date => "'1970-01-01'::DATE",
        ColumnType::Time => "'00:00:00'::TIME",
        ColumnType::TimeTz => "'00:00:00+00'::TIMETZ",
        ColumnType::Timestamp => "'1970-01-01'::TIMESTAMP",
        ColumnType::TimestampTz => "'1970-01-01 00:00:00+00'::TIMESTAMPTZ",
        // A contract has no key column of these types.
        ColumnType::Super | ColumnType::Geometry | ColumnType::Geography => return value.to_owned(),
    };
    format!("NVL({value}, {stand_in})")
}
