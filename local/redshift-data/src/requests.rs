//! Request shapes of the `redshift-data` service model (API version 2019-12-20).
//!
//! All members are optional, so that a missing member is reported with AWS's validation message instead of a parser
//! error. AWS ignores unknown members; this server rejects them, so that misspelled members are found locally.

use serde::{Deserialize, Serialize};

/// A named parameter of a statement; values are always text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlParameter {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
}

/// Members of `ExecuteStatement` (with `Sql`) and of `BatchExecuteStatement` (with `Sqls`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Execute {
    pub(crate) sql: Option<String>,
    pub(crate) sqls: Option<Vec<String>>,
    pub(crate) cluster_identifier: Option<String>,
    pub(crate) workgroup_name: Option<String>,
    pub(crate) secret_arn: Option<String>,
    pub(crate) db_user: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) with_event: Option<bool>,
    pub(crate) statement_name: Option<String>,
    pub(crate) parameters: Option<Vec<SqlParameter>>,
    pub(crate) client_token: Option<String>,
    pub(crate) result_format: Option<String>,
    pub(crate) session_keep_alive_seconds: Option<i64>,
    pub(crate) session_id: Option<String>,
    pub(crate) execution_mode: Option<String>,
    pub(crate) wait_time_seconds: Option<i64>,
}

/// Members of `DescribeStatement`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Describe {
    pub(crate) id: Option<String>,
    pub(crate) wait_time_seconds: Option<i64>,
}

/// Members of `CancelStatement`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Cancel {
    pub(crate) id: Option<String>,
}

/// Members of `GetStatementResult` and `GetStatementResultV2`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct GetResult {
    pub(crate) id: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) wait_time_seconds: Option<i64>,
}

/// Members of `ListStatements`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ListStatements {
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i64>,
    pub(crate) statement_name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) role_level: Option<bool>,
    pub(crate) database: Option<String>,
    pub(crate) cluster_identifier: Option<String>,
    pub(crate) workgroup_name: Option<String>,
}

/// Members of `ListSessions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ListSessions {
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i64>,
    pub(crate) session_id: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) role_level: Option<bool>,
    pub(crate) cluster_identifier: Option<String>,
    pub(crate) workgroup_name: Option<String>,
    pub(crate) database: Option<String>,
}

/// Members of `ListDatabases`, `ListSchemas`, `ListTables` and `DescribeTable`. `validate` checks which of them an
/// operation has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Catalog {
    pub(crate) cluster_identifier: Option<String>,
    pub(crate) workgroup_name: Option<String>,
    /// Accepted and ignored, like `db_user`: the connection to PostgreSQL uses the user of the URL.
    #[serde(rename = "SecretArn")]
    pub(crate) _secret_arn: Option<String>,
    #[serde(rename = "DbUser")]
    pub(crate) _db_user: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) connected_database: Option<String>,
    pub(crate) schema_pattern: Option<String>,
    pub(crate) table_pattern: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i64>,
}
