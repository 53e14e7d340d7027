//! What a job does, frozen: everything that is needed to run it, and nothing that can still change.
//!
//! A new kind of job is one variant here, one module in `planner::kind` (configuration to work) and, if it is not SQL,
//! one launcher in `functions/job-launcher`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The kinds of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file of one or many SQL statements.
    Sql,
    /// A stored procedure call.
    Procedure,
    /// A query whose result goes to S3.
    Unload,
    /// Staged change data, loaded and promoted as its contract says.
    Cdc,
    /// Files of a feed that landed in S3, loaded once.
    Copy,
}

impl Kind {
    /// Every kind, for messages that list them.
    pub const ALL: [Self; 5] = [Self::Sql, Self::Procedure, Self::Unload, Self::Cdc, Self::Copy];

    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Procedure => "procedure",
            Self::Unload => "unload",
            Self::Cdc => "cdc",
            Self::Copy => "copy",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the statements of a script commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transaction {
    /// All statements in one transaction: all or nothing. At most 40 of them.
    #[default]
    Single,
    /// Every statement commits by itself; needed by VACUUM, ALTER TABLE APPEND and their like.
    PerStatement,
}

/// A script as the plan saw it. The launcher reads this version and refuses any other content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScriptPin {
    /// Key in the scripts bucket.
    pub key: String,
    /// S3 version id.
    pub version_id: String,
    /// Hex SHA-256 of the bytes.
    pub sha256: String,
    /// How many statements the planner found; none in a contract.
    pub statements: u32,
}

/// The frozen work of one job. `parameters` are the bound values of the placeholders that the SQL really uses: the Data
/// API refuses others, and empty ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Statements of a script.
    Sql {
        /// The pinned script.
        script: ScriptPin,
        /// How they commit.
        #[serde(default)]
        transaction: Transaction,
        /// Bound values by placeholder.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// One `CALL`.
    Procedure {
        /// The statement, with placeholders.
        sql: String,
        /// Bound values by placeholder.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// One `UNLOAD`; its text is whole, for UNLOAD binds nothing.
    Unload {
        /// The statement.
        sql: String,
    },
    /// Whatever is staged for a table contract when the job begins: one transaction that loads and promotes it.
    Cdc {
        /// The pinned contract.
        contract: ScriptPin,
        /// ARN of the role that COPY reads the staging bucket as, or `default`: the warehouse's own.
        iam_role: String,
    },
    /// The files of a feed that are pending when the job begins: one COPY of their manifest.
    Copy {
        /// The feed's name.
        files: String,
        /// The pinned feed.
        feed: ScriptPin,
        /// The table, as its feed or its job names it.
        table: String,
        /// `COPY "schema"."table" ("column", …)`.
        into: String,
        /// Everything behind the place of the manifest: role, format, compression.
        options: String,
    },
    /// No work: where many jobs wait for many others, they meet here, so that n × m edges are n + m.
    Barrier {},
}

impl Work {
    /// The kind as a user knows it; a barrier is nobody's job and has none.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Sql { .. } => Some(Kind::Sql),
            Self::Procedure { .. } => Some(Kind::Procedure),
            Self::Unload { .. } => Some(Kind::Unload),
            Self::Cdc { .. } => Some(Kind::Cdc),
            Self::Copy { .. } => Some(Kind::Copy),
            Self::Barrier {} => None,
        }
    }

    /// How many submissions one attempt takes: more than one only for scripts whose statements commit one by one and are
    /// more than a batch holds.
    pub fn parts(&self) -> u32 {
        match self {
            Self::Sql { script, transaction: Transaction::PerStatement, .. } => {
                script.statements.div_ceil(limits::BATCH_STATEMENTS).max(1)
            }
            Self::Sql { transaction: Transaction::Single, .. }
            | Self::Procedure { .. }
            | Self::Unload { .. }
            | Self::Cdc { .. }
            | Self::Copy { .. }
            | Self::Barrier {} => 1,
        }
    }

    /// True for what no user wrote and nothing is launched for.
    pub const fn is_barrier(&self) -> bool {
        self.kind().is_none()
    }

    /// The pinned script, contract or feed, for the kinds that have one.
    pub const fn script(&self) -> Option<&ScriptPin> {
        match self {
            Self::Sql { script: pin, .. } | Self::Cdc { contract: pin, .. } | Self::Copy { feed: pin, .. } => Some(pin),
            Self::Procedure { .. } | Self::Unload { .. } | Self::Barrier {} => None,
        }
    }
}
