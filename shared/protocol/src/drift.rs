//! Drift: values that wait in a table because it has no column that takes them. The requests and answers of schema-watcher.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the schema-watcher is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum DriftRequest {
    /// Look at the contracts that staged something since the last time, and answer what is known of all of them. Redshift is
    /// asked about the former alone.
    Watch {
        /// The schedule asks: nobody reads the answer, so what went wrong with one contract fails the invocation, once the others
        /// were looked at.
        #[serde(default)]
        scheduled: bool,
    },
    /// Look at one contract now.
    Look {
        /// The contract.
        contract: String,
        /// These fields alone; all where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<String>,
    },
    /// Migrate. May be asked again as often as one likes: what was done is found, and the rest is done.
    Apply {
        /// The contract.
        contract: String,
        /// These fields alone; all where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<String>,
        /// [`Migration::id`] of what was shown to whoever asks. Another one by now is refused.
        migration: String,
    },
}

/// The schema-watcher's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftAnswer {
    /// What waits, a contract each, in the order of their names.
    pub contracts: Vec<Drift>,
}

/// What waits for columns in the rows of one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The contract.
    pub contract: String,
    /// Its table, with its schema.
    pub table: String,
    /// The contract's `unknown`: `capture`, `evolve` or `freeze`.
    pub unknown: String,
    /// When Redshift was asked.
    #[serde(with = "crate::millis")]
    #[schemars(with = "String")]
    pub looked_ts: Timestamp,
    /// What waits, the oldest first.
    pub findings: Vec<Finding>,
    /// How many fields wait that are not among the findings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// What would take in what can be taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// How far the migration is.
    #[serde(default)]
    pub progress: MigrationProgress,
    /// Why nothing newer is known.
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
    /// A VARCHAR column is made longer.
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
        /// Reason.
        why: String,
    },
}

impl Remedy {
    /// The `remedy` of the JSON form.
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

/// A migration as it would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// The same for the same statements under the same contract, and for no others.
    pub id: String,
    /// Its statements, in their order.
    pub statements: Vec<String>,
    /// How many of them come one by one before the others, which are one transaction.
    pub before: usize,
    /// What changes in the contract, a line each.
    pub contract: Vec<String>,
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationProgress {
    /// Nobody asked for it.
    #[default]
    Waiting,
    /// Redshift is at it: ask again.
    Running,
    /// Tables and contract are what the findings say.
    Done,
}
