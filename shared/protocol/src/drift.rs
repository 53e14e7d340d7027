//! Drift: values that wait for a migration because their table has no column for them. Requests and responses of
//! schema-watcher.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to schema-watcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum DriftRequest {
    /// Examines the contracts that staged rows with drift since the last examination, and returns what is known about all
    /// contracts. Queries Redshift only about the examined contracts.
    Watch {
        /// True if the schedule sent the request. No caller reads the response then, so a failure of one contract fails
        /// the invocation after the other contracts were examined.
        #[serde(default)]
        scheduled: bool,
    },
    /// Examines one contract now.
    Look {
        /// Name of the contract.
        contract: String,
        /// Fields to examine; all fields if the list is empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<String>,
        /// Types of columns, by field: of new columns, instead of the types that schema-watcher chooses, and new types of columns that
        /// exist.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        types: BTreeMap<String, String>,
    },
    /// Applies a migration. The request is idempotent: statements that already ran are not run again.
    Apply {
        /// Name of the contract.
        contract: String,
        /// Fields to migrate; all fields if the list is empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<String>,
        /// As in the request that showed the migration.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        types: BTreeMap<String, String>,
        /// [`Migration::id`] that the caller was shown. The request is refused if the migration has another id by now.
        migration: String,
    },
}

/// The content of a drift mark, which cdc-loader writes for a contract after a staged file that has fields without a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftMark {
    /// Key of the staged file.
    pub staged: String,
    /// The types of the fields by the schema of the events, by field. Empty if the events have no schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, FieldType>,
}

/// The type of a field, as a contract writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldType {
    /// Type of the column.
    #[serde(rename = "type")]
    pub column_type: String,
    /// Logical type of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

/// The response of schema-watcher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftResponse {
    /// Drift of each contract, ordered by the contract's name.
    pub contracts: Vec<Drift>,
}

/// The drift of one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Name of the contract.
    pub contract: String,
    /// Table of the contract, as `schema.table`.
    pub table: String,
    /// The contract's `unknown`: `capture`, `evolve` or `freeze`.
    pub unknown: String,
    /// Time of the last query to Redshift about this contract.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub looked_ts: Timestamp,
    /// Fields that wait for a column, oldest first.
    pub findings: Vec<Finding>,
    /// Number of fields that wait and are not in `findings`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Migration that takes in the values that can be taken in automatically; none if there are no such values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// Progress of the migration.
    #[serde(default)]
    pub progress: MigrationProgress,
    /// Reason why the findings could not be brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A field whose values wait in `dw_md_missing_data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Name of the field, exactly as the source writes it.
    pub field: String,
    /// Source time of the first row that has the field.
    #[serde(with = "crate::millis::option", skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Number of rows that have the field.
    pub rows: u64,
    /// Description of the values that were seen.
    pub seen: String,
    /// Change of the table that takes the values.
    pub remedy: Remedy,
}

/// Change of a table that takes the values of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "remedy", rename_all = "snake_case")]
pub enum Remedy {
    /// A new column is added.
    Add {
        /// Name of the column.
        column: String,
        /// Type of the column.
        column_type: String,
    },
    /// A column gets a type that holds more values: a VARCHAR is made longer, or the column is replaced.
    Widen {
        /// Name of the column.
        column: String,
        /// Type of the column now.
        from: String,
        /// Type of the column after the change.
        to: String,
    },
    /// The column exists; rows that were loaded before it get their values.
    Fill {
        /// Name of the column.
        column: String,
    },
    /// The values cannot be taken automatically.
    None {
        /// Reason why the values cannot be taken automatically.
        why: String,
    },
}

impl Remedy {
    /// Value of `remedy` in the JSON form.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Widen { .. } => "widen",
            Self::Fill { .. } => "fill",
            Self::None { .. } => "none",
        }
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add { column, column_type } => write!(f, "add column {column} {column_type}"),
            Self::Widen { column, from, to } => write!(f, "widen {column} from {from} to {to}"),
            Self::Fill { column } => write!(f, "fill {column}"),
            Self::None { why } => f.write_str(why),
        }
    }
}

/// A migration of a table and its contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// Digest of the statements and the contract: equal for equal statements under the same contract, and different
    /// otherwise.
    pub id: String,
    /// SQL statements, in the order in which they run.
    pub statements: Vec<String>,
    /// Number of statements at the start of `statements` that run one by one.
    pub before: usize,
    /// Number of statements after these that run in a transaction of their own, which replaces columns by columns of other types. The
    /// others run in one transaction.
    #[serde(default)]
    pub replacement: usize,
    /// Lines that describe the changes of the contract.
    pub contract: Vec<String>,
}

/// Progress of a migration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationProgress {
    /// No request for the migration was received.
    #[default]
    Waiting,
    /// Redshift runs the statements. Send the request again to continue.
    Running,
    /// The tables and the contract have the changes that the findings describe.
    Done,
}
