//! Redshift: what only a warehouse can do.

use std::collections::BTreeMap;

use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, Connection, FailureKind, Transaction};

use crate::{Engine, Result};

/// What is handed to Redshift in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The attempt; the idempotency key is made from it.
    pub attempt: Attempt,
    /// Where and as whom.
    pub connection: Connection,
    /// 1 to 40 statements.
    pub sqls: Vec<String>,
    /// How they commit.
    pub transaction: Transaction,
    /// Bound values, each used by at least one statement.
    pub parameters: BTreeMap<String, String>,
}

/// A row: each value as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// Redshift over its Data API. Only the role that submitted a statement may see or cancel it.
#[port]
pub trait Warehouse: Send + Sync {
    /// The engine of the attempts that are submitted over this connection.
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a>;

    /// Hands statements to Redshift and returns the id. Again with the same attempt within 8 hours: the same id, and nothing
    /// runs twice.
    async fn submit(&self, submission: &Submission) -> Result<String>;

    /// Rows that the COPYs of an attempt that succeeded have loaded; `None` where it has none, or the Data API does not know it
    /// (any more).
    async fn copied(&self, id: &str, attempt: &Attempt) -> Result<Option<i64>>;

    /// Runs a small statement and returns its rows. It belongs to no attempt, and may run again when its answer was lost.
    /// `parameters` are bound, each to a placeholder that the statement has; none is empty.
    ///
    /// # Errors
    /// What [`failure_kind`] makes of Redshift's message; `TimedOut` for a statement that takes longer than the caller may wait.
    async fn rows(&self, sql: &str, connection: &Connection, parameters: &BTreeMap<String, String>)
    -> Result<Vec<Row>>;
}

/// What kind of failure a message of Redshift tells of.
///
/// - 1023 "Serializable isolation violation": another transaction came between
///   (Redshift docs, "Serializable isolation"). A deadlock and a lock that timed out are handled in the same way: nothing was
///   committed, and the same statements may well succeed a moment later.
/// - A connection that broke: a restart, a resize, a failover.
/// - Everything else is the SQL's own fault.
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
    fn messages_of_redshift_are_told_apart() {
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
