//! Table contracts: what a table's change data is to become. `contracts/<name>.yaml`.

mod check;
mod evolve;
mod propose;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::{read, schema};
pub use evolve::evolves;
pub use propose::{Proposal, propose};

/// How a table's change data lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableContract {
    /// Its name: 1 to 64 of `a-z 0-9 _ -`; also the name of its file.
    pub contract: String,
    /// Which change events are its.
    pub source: Source,
    /// Where they go.
    pub target: Target,
    /// Key columns, by their names in Redshift. At least one, unless `promote.kind` is `append`.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns in the order of the staged files. Only ever appended to.
    pub columns: Vec<Column>,
    /// What is done about fields that no column takes.
    #[serde(default)]
    pub unknown: Unknown,
    /// How staged rows become the table.
    #[serde(default)]
    pub promote: Promote,
    /// What is done about values that Redshift cannot hold.
    #[serde(default)]
    pub oversized: Oversized,
    /// The workflow whose job of kind `cdc` loads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// How long staged files collect before a load is asked for: `10s` to `15m`.
    #[serde(default = "half_a_minute")]
    pub load_every: String,
}

fn half_a_minute() -> String {
    "30s".into()
}

impl TableContract {
    /// How long staged files collect before a load is asked for; half a minute where it does not say what it should.
    pub fn load_every(&self) -> SignedDuration {
        duration(&self.load_every).unwrap_or(SignedDuration::from_secs(30))
    }
}

/// Reads `10s`, `15m`, `12h`, `30d`, `8w`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let is_number = (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(SignedDuration::from_secs(number.parse::<i64>().ok()? * seconds))
}

/// Which change events are a contract's.
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
    /// stream) whose log counts from anew: everything of the new one is later than everything of the old one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub generation: u16,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
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
    /// Schema of the staging table, the tombstones and the watermarks; the table's own where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging_schema: Option<String>,
    /// Attributes of the table's DDL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distkey: Option<String>,
    /// Sort key columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sortkey: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in Redshift: lower case, at most 127 bytes.
    pub name: String,
    /// Redshift's type, as DDL writes it: `bigint`, `decimal(12,2)`, `varchar(256)`, `super` …
    #[serde(rename = "type")]
    pub column_type: String,
    /// The field of the event, where it is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The source's logical type (`io.debezium.time.MicroTimestamp` …), for events that bring no schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

impl Column {
    /// The field of the event that it takes.
    pub fn field(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// What is done about fields that no column takes. In every case but `freeze` they are in `dw_md_missing_data` from the first event on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// They stay there until somebody migrates them (`shiftwork drift --apply`).
    #[default]
    Capture,
    /// The schema-watcher migrates them: ADD COLUMN, wider VARCHAR.
    Evolve,
    /// The row is refused.
    Freeze,
}

/// How staged rows become the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The kind of table.
    #[serde(default)]
    pub kind: PromoteKind,
    /// Of several rows of a key, what the current row takes (type 1).
    #[serde(default)]
    pub take: Take,
    /// What a delete does.
    #[serde(default)]
    pub deletes: Deletes,
    /// How long tombstones are kept: `30d` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstones_kept: Option<String>,
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

/// What the current row takes of several events of its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
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
    /// The rows of the key go.
    #[default]
    Hard,
    /// The row stays, `dw_deleted` says so.
    Soft,
    /// The current version ends (type 2 and 7).
    Close,
}

/// What is done about a value that Redshift cannot hold: a string over 65,535 bytes (also inside SUPER), a document over 16 MB or
/// deeper than 1,000 levels. What was done is in `dw_md_changes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversized {
    /// Strings are cut at a character boundary; documents become NULL.
    #[default]
    Cut,
    /// They become NULL. (Bare `null` is YAML's.)
    #[serde(rename = "nullify")]
    Null,
    /// The row is refused.
    Refuse,
}
