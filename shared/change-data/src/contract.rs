//! Table contracts: what a table's change data becomes. Users write them as `contracts/<name>.yaml`.
//!
//! ```text
//! YAML ── ContractDraft ── check ── TableContract ─┬─ Compiled    decodes and stages events
//!                                          └─ Promotion   makes the SQL
//! ```
//!
//! A [`ContractDraft`] holds the fields as they are written. [`read`] and [`ContractDraft::check`] make a [`TableContract`] of it or return every
//! problem. No code behind them checks a contract again.

mod check;
mod draft;
mod evolve;
mod propose;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shiftwork_config::Problem;

use crate::{
    column_type::ColumnType,
    logical::Logical,
    row::{EVENT_COLUMNS, METADATA_COLUMNS, TRANSPORT_COLUMNS},
};

pub use check::{read, schema};
pub use draft::{ContractDraft, DraftColumn, DraftPromote};
pub use evolve::evolves;
pub use propose::{Proposal, propose};

/// Columns of a table (Redshift docs, "Quotas and limits"), less the columns that shiftwork adds to a staging table or a history.
pub const MOST_COLUMNS: usize = 1600 - METADATA_COLUMNS.len() - 8;
/// The names of shiftwork's own columns begin with it.
const OWN_COLUMN_PREFIX: &str = "dw_";
/// Columns that every table has (Redshift docs, "Names and identifiers"), quoted or not.
const SYSTEM_COLUMNS: [&str; 7] = ["oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
/// Bytes of all column names as one list in SQL: a load names all columns twice in one statement, and the Data API takes statements of
/// at most 100 KB.
const LONGEST_COLUMN_LIST: usize = 44_000;
/// How long staged files collect where the contract does not say.
const DEFAULT_LOAD_EVERY: &str = "30s";
/// Days that tombstones are kept where the contract does not say.
const DEFAULT_TOMBSTONES_KEPT: u32 = 30;

/// A table contract in which everything that SQL and staging depend on was checked:
///
/// - Its name is 1 to 64 of `a-z 0-9 _ -`. All other names are identifiers that Redshift folds to themselves.
/// - It has 1 to [`MOST_COLUMNS`] columns; no two have the same name or the same field.
/// - Columns of the key are columns of the contract, of types that Redshift compares. The key is empty only in a table of kind `append`.
/// - The distribution key and the sort key are columns of the tables that have them.
/// - `deletes` and `take` are ones that its kind of table has.
/// - The production table is none of the tables that shiftwork keeps for the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableContract {
    name: String,
    source: Source,
    target: Target,
    key: Vec<String>,
    columns: Vec<Column>,
    unknown: Unknown,
    promote: Promote,
    oversized: Oversized,
    workflow: Option<String>,
    load_every: SignedDuration,
}

impl TableContract {
    /// Its name, which is also the name of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which change events belong to it.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Where its rows go.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Names of the key columns; empty only in a table of kind `append`.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// Whether a column is part of the key.
    pub fn is_key(&self, column: &str) -> bool {
        self.key.iter().any(|name| name == column)
    }

    /// Its columns, in the order of the staged files.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that takes a field.
    pub fn column_of_field(&self, field: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.field() == field)
    }

    /// What is done about fields that no column takes.
    pub const fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// How staged rows become the table.
    pub const fn promote(&self) -> &Promote {
        &self.promote
    }

    /// What is done about values that Redshift cannot hold.
    pub const fn oversized(&self) -> Oversized {
        self.oversized
    }

    /// The workflow whose job of kind `cdc` loads the table.
    pub fn workflow(&self) -> Option<&str> {
        self.workflow.as_deref()
    }

    /// How long staged files collect before a load is requested: 10 seconds to 15 minutes.
    pub const fn load_every(&self) -> SignedDuration {
        self.load_every
    }

    /// The same contract with these columns.
    ///
    /// # Errors
    /// Every problem that the columns cause.
    pub fn with_columns(&self, columns: &[Column]) -> Result<Self, Vec<Problem>> {
        ContractDraft { columns: columns.iter().cloned().map(DraftColumn::from).collect(), ..self.draft() }.check()
    }
}

/// Whether no column of a contract may have this name: it is shiftwork's, or of a column that every table has.
pub fn is_reserved_column(name: &str) -> bool {
    name.starts_with(OWN_COLUMN_PREFIX) || SYSTEM_COLUMNS.contains(&name)
}

/// Whether SQL can name a field: Redshift's text has no NUL, and the layout of statements uses code points that Unicode reserves for a
/// program's own use.
pub fn is_valid_field(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && !name.chars().any(is_reserved)
}

/// Whether a contract may have columns of these names: at most [`MOST_COLUMNS`], and short enough for the statements of a load.
pub fn fit_one_table<'n>(names: impl Iterator<Item = &'n str> + Clone) -> bool {
    names.clone().count() <= MOST_COLUMNS && column_list_bytes(names) <= LONGEST_COLUMN_LIST
}

/// Bytes of column names as one list in SQL. Each name may need quotes; a comma and a blank follow it.
fn column_list_bytes<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(|name| name.len() + name.matches('"').count() + 4).sum()
}

/// Code points that Unicode reserves for a program's own use.
const fn is_reserved(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}')
}

/// Which change events belong to a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The format of the events.
    pub format: Format,
    /// The table as its events name it: `schema.table` or `database.table` for Debezium (of `source`), `database.collection` for
    /// MongoDB, the table's name for DynamoDB.
    pub table: String,
    /// Debezium's connector, where only one of several databases is meant (`source.name`, the topic prefix).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What stands for a value that did not change: Debezium's `unavailable.value.placeholder`.
    #[serde(default = "unavailable")]
    pub unavailable_value: String,
    /// Raised by one when the database is replaced by another (a restore, blue and green, a replica that was promoted, another kind of
    /// stream) whose log counts from the start again: every event of the new database is later than every event of the old one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_first(generation: &u16) -> bool {
    *generation == 0
}

fn unavailable() -> String {
    "__debezium_unavailable_value".into()
}

/// Formats of change events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Debezium's JSON, with or without the schema envelope.
    Debezium,
    /// Debezium's JSON of MongoDB: `after` is a string of extended JSON.
    DebeziumMongodb,
    /// DynamoDB streams and DynamoDB's Kinesis format.
    Dynamodb,
}

/// Where a contract's rows go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Schema of the staging table, the tombstones and the watermarks; the table's schema where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging_schema: Option<String>,
    /// Distribution key: a column of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distkey: Option<String>,
    /// Sort key columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sortkey: Vec<String>,
}

impl Target {
    /// Schema of the tables that shiftwork keeps for the contract.
    pub fn staging_schema(&self) -> &str {
        self.staging_schema.as_deref().unwrap_or(&self.schema)
    }
}

/// A table that shiftwork keeps for a contract, in its staging schema. It is named after the contract, so that two tables of one name
/// in two schemas can share a staging schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTable {
    /// Files are loaded into it.
    Staging,
    /// Deletes and truncates.
    Tombstones,
    /// Events that a current row still takes a column from (type 1).
    Older,
    /// How far each partition of the transport was loaded.
    Watermarks,
}

impl OwnTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Staging, Self::Tombstones, Self::Older, Self::Watermarks];

    /// Its name for a contract of this name.
    pub fn name(self, contract: &str) -> String {
        let what = match self {
            Self::Staging => "staging",
            Self::Tombstones => "tombstones",
            Self::Older => "older",
            Self::Watermarks => "watermarks",
        };
        format!("{contract}_{what}")
    }
}

/// A column of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DraftColumn", into = "DraftColumn")]
pub struct Column {
    /// Its name in Redshift.
    pub name: String,
    /// Its type in Redshift.
    pub column_type: ColumnType,
    /// The field of the event, where it is not the name.
    pub from: Option<String>,
    /// What the source means by a value, for events that bring no schema.
    pub source_type: Option<SourceType>,
}

impl Column {
    /// The field of the event that it takes.
    pub fn field(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// A source's logical type, by a name that the source or shiftwork gives it: `io.debezium.time.MicroTimestamp`, `hex` …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceType {
    name: String,
    logical: Logical,
}

impl SourceType {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong with it, and how to fix it.
    pub fn parse(name: &str) -> Result<Self, String> {
        Ok(Self { name: name.to_owned(), logical: Logical::parse(name)? })
    }

    /// What it says of a value.
    pub const fn logical(&self) -> &Logical {
        &self.logical
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What is done about fields that no column takes. With `capture` and `evolve` they are in `dw_md_missing_data` from the first event on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// They stay there until a user migrates them (`shiftwork drift --apply`).
    #[default]
    Capture,
    /// The schema-watcher migrates them: ADD COLUMN, wider VARCHAR.
    Evolve,
    /// The row is refused.
    Freeze,
}

/// How staged rows become the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promote {
    /// The kind of table.
    pub kind: PromoteKind,
    /// Of several rows of a key, what the current row takes (type 1).
    pub take: MergeStrategy,
    /// What a delete does.
    pub deletes: Deletes,
    /// Days that tombstones are kept, from 1; 30 where the contract does not say.
    pub tombstones_kept: u32,
}

/// Kinds of table, in the terms of dimensional modelling (Kimball).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromoteKind {
    /// One row a key: the current one.
    #[default]
    Type1,
    /// One row a version: `dw_start_date`, `dw_end_date`, `dw_current`, and a surrogate key `dw_key` a version.
    Type2,
    /// Type 2 whose rows also carry the durable surrogate of the natural key (`dw_durable_key`), and a view of the current rows.
    Type7,
    /// Every event is a row; nothing is ever changed.
    Append,
}

impl PromoteKind {
    /// Whether a key has a row for each version.
    pub const fn has_versions(self) -> bool {
        match self {
            Self::Type2 | Self::Type7 => true,
            Self::Type1 | Self::Append => false,
        }
    }
}

/// Columns of a production table that are not the contract's, by name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnColumns {
    /// Before the contract's columns.
    pub before: Vec<(&'static str, &'static str)>,
    /// Behind them.
    pub behind: Vec<(&'static str, &'static str)>,
}

impl OwnColumns {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.before.iter().chain(&self.behind).copied()
    }
}

/// The columns that a production table has beside the contract's.
pub fn own_columns(kind: PromoteKind, deletes: Deletes) -> OwnColumns {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    if kind.has_versions() {
        before.push(("dw_key", "char(32) not null"));
        behind.extend([("dw_start_date", "timestamp"), ("dw_end_date", "timestamp"), ("dw_current", "boolean")]);
    }
    if kind == PromoteKind::Type7 {
        before.push(("dw_durable_key", "char(32) not null"));
    }
    if kind != PromoteKind::Append && deletes == Deletes::Soft {
        behind.push(("dw_deleted", "boolean"));
        if !kind.has_versions() {
            behind.push(("dw_deleted_at", "timestamp"));
        }
    }
    behind.extend(EVENT_COLUMNS);
    if kind == PromoteKind::Append {
        behind.extend(TRANSPORT_COLUMNS);
    }
    OwnColumns { before, behind }
}

/// What the current row takes of several events of its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergeStrategy {
    /// The latest event as it is.
    #[default]
    LatestRow,
    /// Each column's latest value that is not NULL.
    LatestNonNull,
}

/// What a delete does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deletes {
    /// The rows of the key are deleted.
    #[default]
    Hard,
    /// The row stays, and `dw_deleted` is true.
    Soft,
    /// The current version ends (type 2 and 7).
    Close,
}

/// What is done about a value that Redshift cannot hold: a string over 65,535 bytes (also inside SUPER), a document over 16 MB or
/// deeper than 1,000 levels. `dw_md_changes` says what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversized {
    /// Strings are cut at a character boundary; documents become NULL.
    #[default]
    Cut,
    /// They become NULL. (A bare `null` has its own meaning in YAML.)
    #[serde(rename = "nullify")]
    Null,
    /// The row is refused.
    Refuse,
}
