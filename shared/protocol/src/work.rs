//! The work of a job, frozen by the planner: everything that an attempt needs, none of which changes during the run.
//!
//! A kind of job is one variant of [`Kind`] and of [`Work`], and one module in each of `planner::kind` (configuration
//! to work),
//! `job-launcher::kind` (work to what an engine is given) and `settlement::kind` (what it does around its attempts).
//! CONTRIBUTING.md shows the steps with an example.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shiftwork_config::IamRole;
use shiftwork_sql::{SqlProblem, Statement, split, without_outer_transaction};

use crate::{
    commit::{InnerCommit, SharedSession},
    connection::Connection,
};

/// The kinds of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A script with one or more SQL statements.
    Sql,
    /// A call of a stored procedure.
    Procedure,
    /// A query whose result Redshift writes to S3.
    Unload,
    /// A load of staged change data, promoted according to its table contract.
    Cdc,
    /// A load of the files of a feed that landed in S3.
    Copy,
}

impl Kind {
    /// Every kind, for messages that list them.
    pub const ALL: [Self; 5] = [Self::Sql, Self::Procedure, Self::Unload, Self::Cdc, Self::Copy];

    /// Value of `kind` in a workflow's configuration.
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
    /// All statements commit in one transaction. At most 40 statements.
    #[default]
    Single,
    /// The statements are submitted one after the other, and each commits by itself, which VACUUM, ALTER TABLE APPEND
    /// and similar statements require. A retry and a restart continue at the statement that failed.
    PerStatement,
}

impl Transaction {
    /// Splits a script into the statements that are submitted. The `BEGIN` and `COMMIT` around a script that is one transaction are left
    /// out: the Data API begins and commits the transaction.
    ///
    /// # Errors
    /// Returns the first problem in the text.
    pub fn statements(self, script: &str) -> Result<Vec<Statement>, SqlProblem> {
        let statements = split(script)?;
        Ok(match self {
            Self::Single => without_outer_transaction(statements),
            Self::PerStatement => statements,
        })
    }
}

/// A version of a script, a table contract or a feed. The launcher reads this version and refuses content with another
/// hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScriptPin {
    /// Key in the scripts bucket.
    pub key: String,
    /// S3 version id of the object.
    pub version_id: String,
    /// SHA-256 of the content in hexadecimal.
    pub sha256: String,
    /// Number of statements of a script; 0 for a contract or a feed.
    pub statements: u32,
}

/// The frozen work of one job. `parameters` holds the values of the placeholders that the SQL uses: the Data API refuses
/// parameters that the SQL does not use, and empty values.
///
/// The job audit table stores `connection` beside the work ([`stored`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Statements of a script.
    Sql {
        /// Warehouse that runs the statements.
        #[serde(skip)]
        connection: Connection,
        /// The pinned script.
        script: ScriptPin,
        /// Commit mode of the statements.
        #[serde(default)]
        transaction: Transaction,
        /// Values by name of the placeholder.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
        /// The statements that commit, or can commit, before the script has ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inner_commits: Vec<InnerCommit>,
        /// The session that the statements share; `None` for `transaction: single` and for statements that leave nothing
        /// in their session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SharedSession>,
        /// Whether the author declares that the work can be repeated although a part of it was committed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repeatable: bool,
    },
    /// One `CALL`.
    Procedure {
        /// Warehouse that runs the statement.
        #[serde(skip)]
        connection: Connection,
        /// The statement, with placeholders.
        sql: String,
        /// Values by name of the placeholder.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
        /// Whether the author declares that the call can be repeated although it may have committed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repeatable: bool,
    },
    /// One `UNLOAD`. The text contains all values, because UNLOAD does not take parameters.
    Unload {
        /// Warehouse that runs the statement.
        #[serde(skip)]
        connection: Connection,
        /// The statement.
        sql: String,
    },
    /// A load of all rows that are staged for a table contract when the job starts, in one transaction with their
    /// promotion.
    Cdc {
        /// Warehouse of the table.
        #[serde(skip)]
        connection: Connection,
        /// The pinned contract.
        contract: ScriptPin,
        /// Role that COPY reads the staging bucket with.
        iam_role: IamRole,
    },
    /// A load of the files of a feed that are pending when the job starts, by one COPY of their manifest.
    Copy {
        /// Warehouse of the table.
        #[serde(skip)]
        connection: Connection,
        /// Name of the feed.
        files: String,
        /// The pinned feed.
        feed: ScriptPin,
        /// Name of the table, as the feed or the job gives it.
        table: String,
        /// Text of the COPY before `FROM`: `COPY "schema"."table" ("column", …)`; without columns if the feed assigns fields by the
        /// headers of the files.
        into: String,
        /// Text of the COPY after the location of the manifest: role, format, compression.
        options: String,
    },
    /// No work. A barrier joins n upstreams with m dependents by n + m edges instead of n × m.
    Barrier {},
}

/// The place where an engine runs the attempts of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place<'a> {
    /// A Redshift warehouse, reached over this connection.
    Warehouse(&'a Connection),
}

/// The text that shows a person what a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text<'a> {
    /// The content of the pinned file: [`Work::script`].
    Pinned,
    /// A text of the work itself.
    Own(Cow<'a, str>),
}

/// A property of a job's work that the report shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Name of the property, as a heading.
    pub label: &'static str,
    /// Value of the property. The report leaves out properties with an empty value.
    pub value: FactValue,
}

/// The value of a [`Fact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A phrase in English.
    Words(&'static str),
    /// A name, a key or an ARN, shown in a monospaced font.
    Code(String),
    /// A number.
    Count(u32),
}

impl Fact {
    const fn words(label: &'static str, words: &'static str) -> Self {
        Self { label, value: FactValue::Words(words) }
    }

    fn code(label: &'static str, code: &str) -> Self {
        Self { label, value: FactValue::Code(code.to_owned()) }
    }

    fn values(parameters: &BTreeMap<String, String>) -> Self {
        let lines: Vec<_> = parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        Self { label: "Bound values", value: FactValue::Code(lines.join("\n")) }
    }

    /// The facts of a pinned file. `label` says what the file is to the job.
    fn pin(label: &'static str, pin: &ScriptPin) -> Vec<Self> {
        let ScriptPin { key, version_id, sha256, statements } = pin;
        let mut facts = vec![Self::code(label, key), Self::code("Version", version_id), Self::code("SHA-256", sha256)];
        if *statements > 0 {
            facts.push(Self { label: "Statements", value: FactValue::Count(*statements) });
        }
        facts
    }
}

impl Work {
    /// The kind of job; `None` for a barrier, which the planner adds.
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

    /// The place where the attempts run; `None` for work that is never submitted.
    pub const fn place(&self) -> Option<Place<'_>> {
        match self {
            Self::Sql { connection, .. }
            | Self::Procedure { connection, .. }
            | Self::Unload { connection, .. }
            | Self::Cdc { connection, .. }
            | Self::Copy { connection, .. } => Some(Place::Warehouse(connection)),
            Self::Barrier {} => None,
        }
    }

    /// The connection of the warehouse; `None` for work that does not use a warehouse.
    pub const fn connection(&self) -> Option<&Connection> {
        match self.place() {
            Some(Place::Warehouse(connection)) => Some(connection),
            None => None,
        }
    }

    const fn connection_mut(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Sql { connection, .. }
            | Self::Procedure { connection, .. }
            | Self::Unload { connection, .. }
            | Self::Cdc { connection, .. }
            | Self::Copy { connection, .. } => Some(connection),
            Self::Barrier {} => None,
        }
    }

    /// Number of submissions of one attempt: the number of statements of a script with `transaction: per_statement`,
    /// otherwise 1.
    pub fn parts(&self) -> u32 {
        match self {
            Self::Sql { script, transaction: Transaction::PerStatement, .. } => script.statements.max(1),
            Self::Sql { transaction: Transaction::Single, .. }
            | Self::Procedure { .. }
            | Self::Unload { .. }
            | Self::Cdc { .. }
            | Self::Copy { .. }
            | Self::Barrier {} => 1,
        }
    }

    /// Number of SQL statements that the report counts for the job. A load counts as 1.
    pub const fn statements(&self) -> u32 {
        match self {
            Self::Sql { script, .. } => script.statements,
            Self::Procedure { .. } | Self::Unload { .. } | Self::Cdc { .. } | Self::Copy { .. } => 1,
            Self::Barrier {} => 0,
        }
    }

    /// Values of the placeholders, by name; `None` for kinds without placeholders.
    pub const fn parameters(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Sql { parameters, .. } | Self::Procedure { parameters, .. } => Some(parameters),
            Self::Unload { .. } | Self::Cdc { .. } | Self::Copy { .. } | Self::Barrier {} => None,
        }
    }

    /// Returns true for a barrier: the launcher starts no attempt of it.
    pub const fn is_barrier(&self) -> bool {
        self.kind().is_none()
    }

    /// The pinned script, contract or feed; `None` for kinds without one.
    pub const fn script(&self) -> Option<&ScriptPin> {
        match self {
            Self::Sql { script: pin, .. } | Self::Cdc { contract: pin, .. } | Self::Copy { feed: pin, .. } => Some(pin),
            Self::Procedure { .. } | Self::Unload { .. } | Self::Barrier {} => None,
        }
    }

    /// The kind as a heading; empty for a barrier.
    pub fn title(&self) -> &'static str {
        self.kind().map_or("", Kind::as_str)
    }

    /// The properties, in the order in which the report shows them.
    pub fn facts(&self) -> Vec<Fact> {
        match self {
            Self::Sql { script, transaction, parameters, .. } => {
                let commits = match transaction {
                    Transaction::Single => "all statements in one transaction",
                    Transaction::PerStatement => "every statement by itself",
                };
                let mut facts = Fact::pin("Script", script);
                facts.extend([Fact::words("Commits", commits), Fact::values(parameters)]);
                facts
            }
            Self::Procedure { parameters, .. } => vec![Fact::values(parameters)],
            Self::Unload { .. } | Self::Barrier {} => Vec::new(),
            Self::Cdc { contract, iam_role, .. } => {
                let mut facts = Fact::pin("Contract", contract);
                facts.push(Fact::code("COPY as", &iam_role.to_string()));
                facts
            }
            Self::Copy { feed, files, table, .. } => {
                let mut facts = Fact::pin("Feed", feed);
                facts.extend([Fact::code("Table", table), Fact::code("Files of", files)]);
                facts
            }
        }
    }

    /// The text that shows what the job does; `None` for a barrier.
    pub fn text(&self) -> Option<Text<'_>> {
        match self {
            Self::Sql { .. } | Self::Cdc { .. } => Some(Text::Pinned),
            Self::Procedure { sql, .. } | Self::Unload { sql, .. } => Some(Text::Own(sql.as_str().into())),
            Self::Copy { into, options, .. } => Some(Text::Own(format!("{into}\nFROM <manifest>\n{options}").into())),
            Self::Barrier {} => None,
        }
    }
}

/// The form of work in the job audit table: `connection` is an attribute beside `work`, present only if the work uses a
/// warehouse.
pub(crate) mod stored {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::Work;
    use crate::connection::Connection;

    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<&'a Connection>,
        work: &'a Work,
    }

    #[derive(Deserialize)]
    struct Read {
        /// Present for barriers too in items that older versions wrote.
        #[serde(default)]
        connection: Option<Connection>,
        work: Work,
    }

    pub(crate) fn serialize<S: Serializer>(work: &Work, to: S) -> Result<S::Ok, S::Error> {
        Written { connection: work.connection(), work }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Work, D::Error> {
        let Read { connection, mut work } = Read::deserialize(from)?;
        match (work.connection_mut(), connection) {
            (Some(place), Some(connection)) => *place = connection,
            (Some(_), None) => return Err(D::Error::missing_field("connection")),
            (None, Some(_) | None) => {}
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Kind, Work};
    use crate::audit::PlannedJob;

    fn stored(work: &Value, connection: Option<&Value>) -> Value {
        let mut job = json!({ "job_name": "j", "position": 0, "stage": 1, "timeout_seconds": 60, "work": work });
        if let Some(connection) = connection {
            job["connection"] = connection.clone();
        }
        job
    }

    #[test]
    fn an_item_keeps_the_connection_beside_the_work() {
        let (work, connection) =
            (json!({ "kind": "unload", "sql": "UNLOAD" }), json!({ "workgroup": "wg", "database": "dev" }));
        let job: PlannedJob = serde_json::from_value(stored(&work, Some(&connection))).unwrap();
        assert_eq!(job.work.connection().and_then(|connection| connection.workgroup.as_deref()), Some("wg"));
        let written = serde_json::to_value(&job).unwrap();
        assert_eq!((&written["work"], &written["connection"]), (&work, &connection));
    }

    #[test]
    fn only_work_on_a_warehouse_has_a_connection() {
        let (unload, barrier) = (json!({ "kind": "unload", "sql": "UNLOAD" }), json!({ "kind": "barrier" }));
        let old = stored(&barrier, Some(&json!({ "workgroup": "wg", "database": "dev" })));
        for item in [old, stored(&barrier, None)] {
            let job: PlannedJob = serde_json::from_value(item).unwrap();
            assert_eq!(job.work, Work::Barrier {});
            assert_eq!(serde_json::to_value(&job).unwrap().get("connection"), None);
        }
        let error = serde_json::from_value::<PlannedJob>(stored(&unload, None)).unwrap_err();
        assert!(error.to_string().contains("missing field `connection`"), "{error}");
    }

    /// The compiler does not check that [`Kind::ALL`] lists every kind.
    #[test]
    fn every_kind_is_listed() {
        let schema = schemars::schema_for!(Kind).to_value();
        let of_type: Vec<&Value> = schema["oneOf"].as_array().unwrap().iter().map(|kind| &kind["const"]).collect();
        assert_eq!(of_type, Kind::ALL.map(|kind| json!(kind.as_str())).iter().collect::<Vec<_>>());
    }
}
