//! The warehouse that runs SQL, and the database user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named Redshift connection. Exactly one of `workgroup` and `cluster`; at most one of `secret_arn` and `db_user`
/// (`db_user` with a cluster only). With neither, the statement role's IAM identity is the database user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Name of a Redshift Serverless workgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup: Option<String>,
    /// Identifier of a provisioned cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Database name.
    pub database: String,
    /// ARN of the Secrets Manager secret with the database user's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_arn: Option<String>,
    /// Database user for temporary credentials; for clusters only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_user: Option<String>,
    /// Maximum number of jobs, of all runs, that have an active statement over this connection. If it is left out, the runs
    /// with more than 150 jobs on the warehouse share 150.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
}

impl Connection {
    /// Name of the workgroup or cluster.
    pub fn warehouse(&self) -> &str {
        self.workgroup.as_deref().or(self.cluster.as_deref()).unwrap_or_default()
    }

    /// Returns what is wrong with the combination of fields, as the predicate of a sentence whose subject is the
    /// connection.
    pub fn problem(&self) -> Option<&'static str> {
        if self.max_parallel == Some(0) {
            return Some("has `max_parallel: 0`: write a number from 1");
        }
        match (&self.workgroup, &self.cluster) {
            (Some(_), Some(_)) => Some("has both `workgroup` and `cluster`: keep one"),
            (None, None) => Some("names neither a `workgroup` nor a `cluster`"),
            (Some(_), None) if self.db_user.is_some() => {
                Some("has a `db_user`, which only a `cluster` takes: a workgroup uses IAM or `secret_arn`")
            }
            (None, Some(_)) if self.db_user.is_some() && self.secret_arn.is_some() => {
                Some("has both `secret_arn` and `db_user`: keep one")
            }
            (Some(_), None) | (None, Some(_)) if self.database.is_empty() => Some("has an empty `database`"),
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}
