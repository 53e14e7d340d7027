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
mod current;
mod ddl;
mod drift;
mod events;
mod fits;
mod gaps;
mod history;
mod layout;
mod lift;
mod load;
mod migration;
mod names;
mod prepare;

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Deletes, Format, PromoteKind, TableContract, Take};

pub use load::Load;
pub use migration::{Migration, is_done_already};
pub use names::{Table, Tables};
pub use prepare::Found;

/// A contract that makes no table, or a load that makes no transaction: what is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract {contract}: {reason}")]
pub struct InvalidPromotion {
    /// The contract.
    pub contract: String,
    /// What is wrong with it, and how to mend it.
    pub reason: String,
}

/// A contract's SQL.
#[derive(Debug, Clone)]
pub struct Promotion<'a> {
    contract: &'a TableContract,
    columns: Vec<Column>,
    tables: Tables,
    /// Days that tombstones are kept.
    kept_days: u32,
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

/// What shiftwork knows of an event, wherever the event is.
const EVENT: [&str; 6] =
    ["dw_md_changed_at", "dw_md_operation", "dw_md_missing_data", "dw_md_changes", "dw_md_unchanged", "dw_md_position"];
/// Where the transport had it.
const TRANSPORT: [&str; 2] = ["dw_md_partition", "dw_md_offset"];
/// The operations after which a row is not there.
const GONE: &str = "dw_md_operation IN ('delete', 'truncate')";
/// The others.
const THERE: &str = "dw_md_operation NOT IN ('delete', 'truncate')";
/// How `dw_md_unchanged` begins where fields that no column takes did not change: `,00005,3,`, by an event of a contract with 5 columns.
const OTHERS: &str = ",0";
/// How long tombstones are kept, where the contract does not say.
const KEPT_DAYS: u32 = 30;

impl<'a> Promotion<'a> {
    /// Of a contract, checked as far as SQL depends on it.
    ///
    /// # Errors
    /// What is wrong with the contract.
    pub fn of(contract: &'a TableContract) -> Result<Self, InvalidPromotion> {
        let invalid = |reason: String| InvalidPromotion { contract: contract.contract.clone(), reason };
        let mut columns = Vec::with_capacity(contract.columns.len());
        for (index, column) in contract.columns.iter().enumerate() {
            if column.name.is_empty() || column.name.len() > 127 || column.name.contains('\0') {
                return Err(invalid(format!("column {} has no name of 1 to 127 bytes", index + 1)));
            }
            if !layout::is_plain(&column.name) || !layout::is_plain(column.field()) {
                return Err(invalid(format!("column {}: its name has code points that are no characters", index + 1)));
            }
            if column.name.starts_with("dw_") {
                return Err(invalid(format!(
                    "column `{}`: names that begin with `dw_` are shiftwork's own",
                    column.name
                )));
            }
            if contract.columns[..index].iter().any(|other| other.name == column.name) {
                return Err(invalid(format!("column `{}` is there twice", column.name)));
            }
            let kind = ColumnType::parse(&column.column_type)
                .map_err(|reason| invalid(format!("column `{}`: {reason}", column.name)))?;
            columns.push(Column {
                number: index + 1,
                name: names::identifier(&column.name),
                field: column.field().to_owned(),
                kind,
                is_key: contract.key.contains(&column.name),
            });
        }
        let promotion =
            Self { contract, columns, tables: Tables::of(contract), kept_days: kept_days(contract).map_err(invalid)? };
        promotion.check().map_err(invalid)?;
        Ok(promotion)
    }

    fn check(&self) -> Result<(), String> {
        let contract = self.contract;
        if contract.columns.is_empty() {
            return Err("it has no columns".into());
        }
        for key in &contract.key {
            match self.columns.iter().zip(&contract.columns).find(|(_, column)| column.name == *key) {
                None => return Err(format!("key: `{key}` is none of its columns")),
                Some((column, _)) if !column.kind.is_comparable() => {
                    return Err(format!("key: `{key}` is of type {}, by which Redshift cannot join", column.kind));
                }
                Some(_) => {}
            }
        }
        for name in contract.target.distkey.iter().chain(&contract.target.sortkey) {
            if !name.starts_with("dw_") && !contract.columns.iter().any(|column| column.name == *name) {
                return Err(format!("target: `{name}` is none of its columns, so it cannot be its distkey or sortkey"));
            }
        }
        match (contract.promote.kind, contract.promote.deletes) {
            (PromoteKind::Type1, Deletes::Close) => {
                Err("promote: `deletes: close` ends a version, and type1 has none: write `hard` or `soft`, or `kind: type2`".into())
            }
            (PromoteKind::Type1 | PromoteKind::Type2 | PromoteKind::Type7, _) if contract.key.is_empty() => {
                Err("key: it is empty, so rows cannot be told apart: name the key columns, or write `kind: append`".into())
            }
            (PromoteKind::Type1 | PromoteKind::Type2 | PromoteKind::Type7 | PromoteKind::Append, _) => Ok(()),
        }
    }

    /// The tables that its SQL uses.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    fn invalid(&self, reason: impl Into<String>) -> InvalidPromotion {
        InvalidPromotion { contract: self.contract.contract.clone(), reason: reason.into() }
    }

    fn kind(&self) -> PromoteKind {
        self.contract.promote.kind
    }

    fn deletes(&self) -> Deletes {
        self.contract.promote.deletes
    }

    fn takes_latest_non_null(&self) -> bool {
        self.kind() == PromoteKind::Type1 && self.contract.promote.take == Take::LatestNonNull
    }

    /// Whether an event may leave columns out: their values are then those of an event before it.
    fn has_gaps(&self) -> bool {
        match self.contract.source.format {
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
        self.columns.iter().map(|column| column.name.clone()).chain(EVENT.map(String::from)).collect()
    }
}

/// Days of `30d`, `12h` (a day at least) or `6w`.
fn kept_days(contract: &TableContract) -> Result<u32, String> {
    let Some(text) = contract.promote.tombstones_kept.as_deref() else { return Ok(KEPT_DAYS) };
    let wrong =
        || format!("promote: tombstones_kept: `{text}` is no time to keep something: write `30d`, `48h` or `8w`");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u32 = text[..text.len() - unit.len_utf8()].trim().parse().map_err(|_| wrong())?;
    let days = match unit {
        'h' => Some(number.div_ceil(24)),
        'd' => Some(number),
        'w' => number.checked_mul(7),
        _ => None,
    };
    days.filter(|days| (1..=36_500).contains(days)).ok_or_else(wrong)
}
