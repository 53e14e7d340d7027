//! What a job does, frozen: everything that is needed to run it, and nothing that can still change.
//!
//! A kind of job is one variant of [`Kind`] and of [`Work`], and one module in each of `planner::kind` (configuration to work),
//! `job-launcher::kind` (work to what an engine is given) and `settlement::kind` (what it does around its attempts).
//! CONTRIBUTING.md adds one as an example.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shiftwork_config::IamRole;

use crate::{connection::Connection, limits};

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
///
/// `connection` is kept beside the work in the tables ([`stored`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Statements of a script.
    Sql {
        /// Where they run.
        #[serde(skip)]
        connection: Connection,
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
        /// Where it runs.
        #[serde(skip)]
        connection: Connection,
        /// The statement, with placeholders.
        sql: String,
        /// Bound values by placeholder.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// One `UNLOAD`; its text is whole, for UNLOAD binds nothing.
    Unload {
        /// Where it runs.
        #[serde(skip)]
        connection: Connection,
        /// The statement.
        sql: String,
    },
    /// Whatever is staged for a table contract when the job begins: one transaction that loads and promotes it.
    Cdc {
        /// Where the table is.
        #[serde(skip)]
        connection: Connection,
        /// The pinned contract.
        contract: ScriptPin,
        /// Whom COPY reads the staging bucket as.
        iam_role: IamRole,
    },
    /// The files of a feed that are pending when the job begins: one COPY of their manifest.
    Copy {
        /// Where the table is.
        #[serde(skip)]
        connection: Connection,
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

/// Where the attempts of a job run: an engine, and what it needs to know to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place<'a> {
    /// A Redshift warehouse, over this connection.
    Warehouse(&'a Connection),
}

/// What a person reads to know what a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text<'a> {
    /// The pinned script or contract: [`Work::script`].
    Pinned,
    /// This text.
    Own(Cow<'a, str>),
}

/// A property of a job's work, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// Its value; one that is empty is not worth a line.
    pub value: FactValue,
}

/// The value of a [`Fact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// Words.
    Words(&'static str),
    /// A name, a key, an ARN.
    Code(String),
    /// A number of things.
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

    /// The facts of a pinned file: what it is to the job, and which version of it.
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
    /// The kind as a user knows it. A barrier is not a user's job and has none.
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

    /// Where its attempts run; `None` for work that is never submitted.
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

    /// The warehouse that it uses, if it uses one.
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

    /// How many SQL statements a user counts in it: a load, however many statements it becomes, is one.
    pub const fn statements(&self) -> u32 {
        match self {
            Self::Sql { script, .. } => script.statements,
            Self::Procedure { .. } | Self::Unload { .. } | Self::Cdc { .. } | Self::Copy { .. } => 1,
            Self::Barrier {} => 0,
        }
    }

    /// True for what the planner made to join edges: nothing is launched for it.
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

    /// Its kind, for a heading.
    pub fn title(&self) -> &'static str {
        self.kind().map_or("", Kind::as_str)
    }

    /// Its properties, in the order in which a person wants to read them.
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

    /// Its text; `None` for work that has none.
    pub fn text(&self) -> Option<Text<'_>> {
        match self {
            Self::Sql { .. } | Self::Cdc { .. } => Some(Text::Pinned),
            Self::Procedure { sql, .. } | Self::Unload { sql, .. } => Some(Text::Own(sql.as_str().into())),
            Self::Copy { into, options, .. } => Some(Text::Own(format!("{into}\nFROM <manifest>\n{options}").into())),
            Self::Barrier {} => None,
        }
    }
}

/// How the job audit table keeps work: `connection` is an attribute of its own beside `work`, and is there only if the work
/// uses a warehouse.
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
        /// Items that were written before barriers lost theirs have one for them, too.
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

    /// The compiler does not see that [`Kind::ALL`] lacks a kind.
    #[test]
    fn every_kind_is_listed() {
        let schema = schemars::schema_for!(Kind).to_value();
        let of_type: Vec<&Value> = schema["oneOf"].as_array().unwrap().iter().map(|kind| &kind["const"]).collect();
        assert_eq!(of_type, Kind::ALL.map(|kind| json!(kind.as_str())).iter().collect::<Vec<_>>());
    }
}
