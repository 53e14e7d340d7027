//! Operations that only a warehouse has.

use std::collections::BTreeMap;

use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, Connection, FailureKind, Transaction};

use crate::{Engine, EngineReport, Result};

/// SQL to submit to Redshift in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The attempt, from which the idempotency key is made.
    pub attempt: Attempt,
    /// Warehouse and database user.
    pub connection: Connection,
    /// SQL statements: 1 to 40.
    pub sqls: Vec<String>,
    /// Commit mode of the statements.
    pub transaction: Transaction,
    /// Values by placeholder. At least one statement uses each of them.
    pub parameters: BTreeMap<String, String>,
}

/// A row of a result: each value as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// Redshift over its Data API. Only the role that submitted a statement may describe or cancel it.
#[port]
pub trait Warehouse: Send + Sync {
    /// Returns the engine of the attempts that are submitted over this connection.
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a>;

    /// Submits statements and returns their id. A repeated call for the same attempt within 8 hours returns the same id
    /// and runs nothing again.
    async fn submit(&self, submission: &Submission) -> Result<String>;

    /// Reads what Redshift reports about an attempt that ended; an empty report if the Data API does not know the
    /// attempt.
    async fn report(&self, id: &str, attempt: &Attempt) -> Result<EngineReport>;

    /// Runs a short statement and returns its rows. The statement belongs to no attempt, and may run twice if a
    /// response is lost. Each parameter must have a placeholder in the statement and a non-empty value.
    ///
    /// # Errors
    /// The result of [`failure_kind`] for Redshift's message; `TimedOut` if the statement takes longer than the adapter's
    /// time limit.
    async fn rows(&self, sql: &str, connection: &Connection, parameters: &BTreeMap<String, String>)
    -> Result<Vec<Row>>;
}

/// Classifies an error message of Redshift.
///
/// - 1023 "Serializable isolation violation": a conflict with another transaction (Redshift docs, "Serializable
///   isolation"). Deadlocks and lock timeouts are classified in the same way: nothing was committed, and a retry may succeed.
/// - A lost connection: a restart, a resize or a failover.
/// - Everything else is an error of the SQL.
pub fn failure_kind(message: &str) -> FailureKind {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["serializable isolation violation", "error: 1023", "could not serialize access", "deadlock detected"]) {
        FailureKind::SerializationConflict
    } else if says(&[
        "connection reset",
        "connection refused",
        "connection closed",
        "connection to server was lost",
        "could not connect",
        "terminating connection",
        "server closed the connection",
        "cluster is restarting",
        "the database system is shutting down",
        "the database system is starting up",
    ]) {
        FailureKind::ConnectionLost
    } else {
        FailureKind::StatementFailed
    }
}

#[cfg(test)]
mod tests {
    use super::failure_kind;
    use shiftwork_protocol::FailureKind::{ConnectionLost, SerializationConflict, StatementFailed};

    #[test]
    fn messages_of_redshift_are_classified() {
        for (message, kind) in [
            (
                "ERROR: 1023 DETAIL: Serializable isolation violation on table - 142443, transactions forming the cycle",
                SerializationConflict,
            ),
            ("Query #2 failed with ERROR: deadlock detected", SerializationConflict),
            ("ERROR: terminating connection due to administrator command", ConnectionLost),
            ("Connection reset by peer", ConnectionLost),
            ("ERROR: relation \"rsql_blog.blog_table\" does not exist", StatementFailed),
            ("ERROR: Numeric data overflow (result precision) 1023", StatementFailed),
        ] {
            assert_eq!(failure_kind(message), kind, "{message}");
        }
    }
}
