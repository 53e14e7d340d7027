//! Request shapes of the `redshift-data` service model (API version 2019-12-20).
//!
//! Every member is optional here, so that a missing one is answered with AWS's validation message and not with a
//! parser's. AWS drops members that it does not know; this server refuses them, so that a misspelt one is found on
//! the laptop.

use serde::{Deserialize, Serialize};

/// A named parameter of a statement; values are always text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlParameter {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
}

/// Members that `ExecuteStatement` and `BatchExecuteStatement` share, with `Sql` of the one and `Sqls` of the other.
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

/// `DescribeStatement`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Describe {
    pub(crate) id: Option<String>,
    pub(crate) wait_time_seconds: Option<i64>,
}

/// `CancelStatement`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Cancel {
    pub(crate) id: Option<String>,
}

/// `GetStatementResult` and `GetStatementResultV2`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct GetResult {
    pub(crate) id: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) wait_time_seconds: Option<i64>,
}

/// `ListStatements`.
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

/// `ListSessions`.
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

/// `ListDatabases`, `ListSchemas`, `ListTables` and `DescribeTable`: their members together. Which of them an
/// operation takes is checked in `validate`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Catalog {
    pub(crate) cluster_identifier: Option<String>,
    pub(crate) workgroup_name: Option<String>,
    /// Taken and not used, as is `db_user`: PostgreSQL is reached as the URL's user.
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
