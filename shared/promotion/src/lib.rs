//! A table contract in, Redshift SQL out: the tables, the transaction that loads and promotes staged files, what waits in
//! `dw_md_missing_data`, and the migration that takes it in. Pure; `docs/decisions/0006-change-data.md` is the design.
//!
//! ```text
//! contract ── Promotion::of ──┬─ ddl           tables and views, to be run before the first load
//!                             ├─ load          LOCK · COPY · watermark · events of these keys, each once, in order · the table
//!                             ├─ drift_report  which fields wait, since when, in which shapes
//!                             └─ migration     ADD COLUMN, wider VARCHAR, and what waited moves in
//! ```
//!
//! **How events become a table.** The staging table holds the new events of a batch. What is known of their keys is added to it as the
//! events that it came from: rows of the production table, their tombstones, and (type 1) older events that a column still comes
//! from. Then each event is there once, ordered by its position in the source, and the rows of these keys are made anew: so a late
//! event finds its place, an event that comes twice is one, and a load that is run again changes nothing.
//!
//! **A version an event.** In types 2 and 7 every event that is no delete is a version, also one that changes nothing (a snapshot that is
//! read again): were it left out, an event that comes late between the two would be left without the version that ends it.
//!
//! **Deletes.** `hard`: the rows of the key go, all versions of them too. `soft`: type 1 keeps the row as it was, `dw_deleted` and
//! `dw_deleted_at` say so; in types 2 and 7 the delete is a version with the values that the row had. `close`: the version ends. A
//! delete of what is not there shows nowhere; its tombstone waits for events that are late. After a delete nothing of what was
//! before it is carried on.
//!
//! **Two events of one key at one position** are taken for the same event; the copy that came last is kept.
//!
//! **Surrogate keys** are MD5 of natural key and position (`dw_key`) or of the natural key alone (`dw_durable_key`): the same after a
//! restart, a history that is made anew, a replay from files, and in another environment. IDENTITY would be none of it.
//!
//! **`ALTER TABLE APPEND` is not used**, not even for tables of kind `append`: it commits at once, so that a crash between it and the
//! watermark would leave rows in the table that the next load brings again, or, the other way round, a watermark past rows that no
//! reader can see; and of a batch of half a minute it would save next to nothing.
//!
//! What SQL is used: statements that Redshift takes as they stand (no MERGE from a query, no alias in DELETE, no correlated subquery,
//! no IGNORE NULLS, frames where windows of aggregates are ordered, nothing that commits), none longer than the Data API's 100 KB, at
//! most 40 a batch.

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

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Deletes, Format, MergeStrategy, PromoteKind, TableContract};
use shiftwork_change_data::row::{EVENT_COLUMNS, TRANSPORT_COLUMNS};
use shiftwork_sql::identifier;

pub use load::Load;
pub use migration::{Migration, is_done_already};
pub use names::{Table, Tables};
pub use prepare::ExistingColumn;

/// A load, a migration or a change of tables that cannot be made: the reason, and how to fix it. The contract itself is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract {contract}: {reason}")]
pub struct PromotionError {
    /// Name of the contract.
    pub contract: String,
    /// The reason, and how to fix it.
    pub reason: String,
}

/// A contract's SQL.
#[derive(Debug, Clone)]
pub struct Promotion<'a> {
    contract: &'a TableContract,
    columns: Vec<Column>,
    tables: Tables,
}

/// A column of the contract.
#[derive(Debug, Clone)]
struct Column {
    /// From 1, as `dw_md_unchanged` counts.
    number: usize,
    /// As SQL writes it.
    name: String,
    /// The field of the event, as it is.
    field: String,
    kind: ColumnType,
    is_key: bool,
}

impl Column {
    /// Its type as DDL writes it.
    fn sql_type(&self) -> String {
        self.kind.to_string().to_uppercase()
    }
}

/// Names of the columns of what shiftwork knows of an event.
fn event_names<'n>() -> impl Iterator<Item = &'n str> + Clone {
    EVENT_COLUMNS.iter().map(|(name, _)| *name)
}

/// Names of the columns of its place in the transport.
fn transport_names<'n>() -> impl Iterator<Item = &'n str> + Clone {
    TRANSPORT_COLUMNS.iter().map(|(name, _)| *name)
}

/// The operations after which a row is not there.
const GONE: &str = "dw_md_operation IN ('delete', 'truncate')";
/// The others.
const THERE: &str = "dw_md_operation NOT IN ('delete', 'truncate')";
/// How `dw_md_unchanged` begins where fields that no column takes did not change: `,00005,3,`, by an event of a contract with 5 columns.
const OTHERS: &str = ",0";

impl<'a> Promotion<'a> {
    /// The SQL of a contract.
    pub fn of(contract: &'a TableContract) -> Self {
        let columns = contract.columns().iter().zip(1..).map(|(column, number)| Column {
            number,
            name: identifier(&column.name),
            field: column.field().to_owned(),
            kind: column.column_type,
            is_key: contract.is_key(&column.name),
        });
        Self { contract, columns: columns.collect(), tables: Tables::of(contract) }
    }

    /// The tables that its SQL uses.
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

    /// Whether an event may leave columns out: their values are then those of an event before it.
    fn has_gaps(&self) -> bool {
        match self.contract.source().format {
            // Values kept out of line (PostgreSQL, Oracle); updates without the whole document (MongoDB).
            Format::Debezium | Format::DebeziumMongodb => true,
            Format::Dynamodb => self.takes_latest_non_null(),
        }
    }

    fn key(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().filter(|column| column.is_key).map(|column| column.name.as_str())
    }

    /// The first column of the key, which no row of an event lacks but a truncate.
    fn first_key(&self) -> &str {
        self.key().next().unwrap_or_default()
    }

    /// `id, line`
    fn key_list(&self) -> String {
        self.key().collect::<Vec<_>>().join(", ")
    }

    /// `orders.id, orders.line`
    fn key_of(&self, table: &str) -> String {
        self.key().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
    }

    /// `a.id = b.id AND a.line = b.line`
    fn same_key(&self, a: &str, b: &str) -> String {
        self.key().map(|name| format!("{a}.{name} = {b}.{name}")).collect::<Vec<_>>().join(" AND ")
    }

    /// Columns that are not of the key.
    fn values(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.is_key).collect()
    }

    /// Contract columns, then what is known of the event: the columns of an event.
    fn event_columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).chain(event_names().map(String::from)).collect()
    }
}
