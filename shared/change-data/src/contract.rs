//! Table contracts: how the change data of a source table becomes a table in Redshift. Users write them as `contracts/<name>.yaml`.
//!
//! ```text
//! YAML ── ContractDraft ── check ── TableContract ─┬─ Compiled    decodes and stages events
//!                                          └─ Promotion   makes the SQL
//! ```
//!
//! A [`ContractDraft`] holds the fields as they are written. [`read`] and [`ContractDraft::check`] return a [`TableContract`], or every
//! problem. Code that uses a [`TableContract`] does not check it again.

mod check;
mod draft;
mod evolve;
mod propose;
#[cfg(test)]
mod tests;
mod together;

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
pub use evolve::{evolves, retypes};
pub(crate) use propose::type_of;
pub use propose::{Proposal, propose};
pub use together::{SharedTable, shared_tables};

/// Most columns of a contract: the limit of a table (Redshift docs, "Quotas and limits") less the columns that shiftwork adds.
pub const MOST_COLUMNS: usize = 1600 - METADATA_COLUMNS.len() - 8;
/// Prefix of the names of columns that shiftwork adds.
const OWN_COLUMN_PREFIX: &str = "dw_";
/// System columns that every table has (Redshift docs, "Names and identifiers"). The names are reserved even if quoted.
const SYSTEM_COLUMNS: [&str; 7] = ["oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
/// Most bytes of all column names as one list in SQL: a load names all columns twice in one statement, and the Data API accepts
/// statements of at most 100 KB.
const LONGEST_COLUMN_LIST: usize = 44_000;
/// Default of `load_every`: how long files are staged before a load is requested. A load every 30 seconds would keep a workgroup of
/// Redshift Serverless awake all day (docs/costs.md), and a contract does not say on which warehouse its load runs.
const DEFAULT_LOAD_EVERY: &str = "15m";
/// Default of `tombstones_kept`, in days.
const DEFAULT_TOMBSTONES_KEPT: u32 = 30;

/// A checked table contract. These invariants hold:
///
/// - Its name is 1 to 64 of `a-z 0-9 _ -`. All other names are identifiers that Redshift folds to themselves.
/// - It has 1 to [`MOST_COLUMNS`] columns; no two have the same name or the same field.
/// - Columns of the key are columns of the contract, of types that Redshift compares. The key is empty only in a table of kind `append`.
/// - The distribution key and the sort key are columns of the tables that have them.
/// - `deletes` and `take` are valid for its kind of table.
/// - The production table is not one of the tables that shiftwork keeps for the contract.
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
    large_strings: bool,
    workflow: Option<String>,
    load_every: SignedDuration,
}

/// What a contract says about values that Redshift cannot hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How such a value is handled.
    pub(crate) oversized: Oversized,
    /// Whether a string in a SUPER column may have more than 65,535 bytes.
    pub(crate) large_strings: bool,
}

impl TableContract {
    /// Name of the contract, which is also the name of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The change events that belong to the contract.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The table in Redshift.
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

    /// Whether a column is part of the key and can be NULL: unique indexes can have columns that are. The first column of the key is
    /// NULL only in the row of a truncation.
    pub fn can_be_null_in_key(&self, column: &str) -> bool {
        self.key.iter().skip(1).any(|name| name == column)
    }

    /// The columns, in the order of the staged files.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of a field.
    pub fn column_of_field(&self, field: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.field() == field)
    }

    /// How fields without a column are handled.
    pub const fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// How staged rows are promoted to the table.
    pub const fn promote(&self) -> &Promote {
        &self.promote
    }

    /// How values that Redshift cannot hold are handled.
    pub const fn oversized(&self) -> Oversized {
        self.oversized
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits { oversized: self.oversized, large_strings: self.large_strings }
    }

    /// The workflow whose job of kind `cdc` loads the table.
    pub fn workflow(&self) -> Option<&str> {
        self.workflow.as_deref()
    }

    /// How long files are staged before a load is requested: 10 seconds to 15 minutes.
    pub const fn load_every(&self) -> SignedDuration {
        self.load_every
    }

    /// The contract with its columns replaced.
    ///
    /// # Errors
    /// Every problem of the contract with these columns.
    pub fn with_columns(&self, columns: &[Column]) -> Result<Self, Vec<Problem>> {
        ContractDraft { columns: columns.iter().cloned().map(DraftColumn::from).collect(), ..self.draft() }.check()
    }
}

/// Whether a column name is reserved: it has the prefix of shiftwork's columns, or is a system column.
pub fn is_reserved_column(name: &str) -> bool {
    name.starts_with(OWN_COLUMN_PREFIX) || SYSTEM_COLUMNS.contains(&name)
}

/// Whether SQL can name a field: it must not be empty, must not contain NUL, which Redshift's text cannot hold, and must not contain a
/// noncharacter of [`is_reserved`], which the layout of statements uses.
pub fn is_valid_field(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && !name.chars().any(is_reserved)
}

/// Whether a contract can have columns of these names: at most [`MOST_COLUMNS`], and short enough for the statements of a load.
pub fn fit_one_table<'n>(names: impl Iterator<Item = &'n str> + Clone) -> bool {
    names.clone().count() <= MOST_COLUMNS && column_list_bytes(names) <= LONGEST_COLUMN_LIST
}

/// Bytes of column names as one list in SQL, each with quotes, a comma and a blank.
fn column_list_bytes<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(|name| name.len() + name.matches('"').count() + 4).sum()
}

/// Whether a character is one of the noncharacters U+FDD0 to U+FDEF, which Unicode reserves for internal use.
const fn is_reserved(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}')
}

/// The change events that belong to a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The format of the events.
    pub format: Format,
    /// The table, as the events name it: `schema.table` or `database.table` for Debezium (from `source`), `database.collection` for
    /// MongoDB, the table's name for DynamoDB.
    pub table: String,
    /// Logical name of Debezium's connector (`source.name`, the topic prefix). `*` takes the tables of this name of all servers into one
    /// table. Without a name all servers are taken too, and people are told if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The placeholder of a value that did not change: Debezium's `unavailable.value.placeholder`.
    #[serde(default = "unavailable")]
    pub unavailable_value: String,
    /// Generation of the database. Increase it by one when the database is replaced by another whose log positions start again (a
    /// restore, a blue/green deployment, a promoted replica, another kind of stream). Every event of a higher generation is later than
    /// every event of a lower one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u16,
    /// Only for events that ExtractNewRecordState flattened without the field `__deleted`: whether it is intended that the connector
    /// sends no deletes, because the source never deletes rows. Otherwise such events are refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_deletes: bool,
}

/// The `server` of a source that takes the tables of all servers.
pub const ALL_SERVERS: &str = "*";

impl Source {
    /// Whether tables of any server are taken although the contract does not say so.
    pub fn lacks_server(&self) -> bool {
        match self.format {
            Format::Debezium | Format::DebeziumMongodb => self.server.is_none(),
            Format::Dynamodb => false,
        }
    }
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

/// The table in Redshift, and its physical design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Schema of the table.
    pub schema: String,
    /// Name of the table.
    pub table: String,
    /// Schema of the staging table, the tombstones and the watermarks. Default: the schema of the table.
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

/// A table that shiftwork keeps for a contract in the staging schema. Its name is made from the contract's name, so that two tables of one
/// name in two schemas can share a staging schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTable {
    /// The table that COPY loads files into.
    Staging,
    /// Deletes and truncates.
    Tombstones,
    /// Older events from which a current row still takes a column (type 1).
    Older,
    /// The last offset that was loaded of each partition of the transport.
    Watermarks,
}

impl OwnTable {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Staging, Self::Tombstones, Self::Older, Self::Watermarks];

    /// Name of the table for a contract.
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
    /// Name of the column in Redshift.
    pub name: String,
    /// Type of the column in Redshift.
    pub column_type: ColumnType,
    /// Name of the event's field, if it differs from the column's name.
    pub from: Option<String>,
    /// Logical type of the source, for events without a schema.
    pub source_type: Option<SourceType>,
}

impl Column {
    /// Name of the event's field that is written to the column.
    pub fn field(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// A logical type of a source and its name: `io.debezium.time.MicroTimestamp`, `hex` …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceType {
    name: String,
    logical: Logical,
}

impl SourceType {
    /// Reads the name of a logical type.
    ///
    /// # Errors
    /// A message that says what is not valid and how to fix it.
    pub fn parse(name: &str) -> Result<Self, String> {
        Ok(Self { name: name.to_owned(), logical: Logical::parse(name)? })
    }

    /// The logical type.
    pub const fn logical(&self) -> &Logical {
        &self.logical
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// How fields without a column are handled. With `capture` and `evolve` their values are in `dw_md_missing_data` from the first event on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The values stay in `dw_md_missing_data` until a user migrates the table (`shiftwork drift --apply`).
    #[default]
    Capture,
    /// Schema-watcher migrates the table: it adds columns and widens VARCHAR columns.
    Evolve,
    /// The row is refused.
    Freeze,
}

/// How staged rows are promoted to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promote {
    /// The kind of table.
    pub kind: PromoteKind,
    /// Which values the current row takes from several events of its key (type 1).
    pub take: MergeStrategy,
    /// The effect of a delete.
    pub deletes: Deletes,
    /// Number of days, at least 1, for which tombstones are kept. Default: 30.
    pub tombstones_kept: u32,
}

/// Kinds of table, in Kimball's terms of dimensional modelling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromoteKind {
    /// One row for each key: the current one.
    #[default]
    Type1,
    /// One row for each version, with `dw_start_date`, `dw_end_date`, `dw_current`, and a surrogate key `dw_key`.
    Type2,
    /// As type 2, with a durable surrogate of the natural key (`dw_durable_key`) in every row, and a view of the current rows.
    Type7,
    /// Every event is a row, and rows are never changed.
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

/// Columns that shiftwork adds to a production table, by name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnColumns {
    /// Columns before the contract's columns.
    pub before: Vec<(&'static str, &'static str)>,
    /// Columns after the contract's columns.
    pub behind: Vec<(&'static str, &'static str)>,
}

impl OwnColumns {
    /// All columns, in their order.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.before.iter().chain(&self.behind).copied()
    }
}

/// The columns that shiftwork adds to a production table.
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

/// Which values the current row takes from several events of its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergeStrategy {
    /// All values of the latest event.
    #[default]
    LatestRow,
    /// Each column's latest value that is not NULL.
    LatestNonNull,
}

/// The effect of a delete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Deletes {
    /// The rows of the key are deleted.
    #[default]
    Hard,
    /// The row is kept, and `dw_deleted` is true.
    Soft,
    /// The current version ends (type 2 and 7).
    Close,
}

/// How a value is handled that Redshift cannot hold: a string of more than 65,535 bytes (also in SUPER, unless `large_strings`), a document of more than 16 MB or
/// more than 1,000 levels. `dw_md_changes` has a note on each change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversized {
    /// A string is cut at a character boundary; a document becomes NULL.
    #[default]
    Cut,
    /// The value becomes NULL. (The name is not `null`, which is a value in YAML.)
    #[serde(rename = "nullify")]
    Null,
    /// The row is refused.
    Refuse,
}
