//! Operations that only a warehouse has.

use std::collections::BTreeMap;

use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, Connection, FailureKind};

use crate::{Engine, EngineReport, Result, Steps};

/// SQL to submit to Redshift in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The attempt, from which the idempotency key is made.
    pub attempt: Attempt,
    /// Warehouse and database user.
    pub connection: Connection,
    /// SQL statements: 1 to 40. They commit in one transaction.
    pub sqls: Vec<String>,
    /// Session in which the statements run.
    pub session: Session,
    /// Values by placeholder. At least one statement uses each of them.
    pub parameters: BTreeMap<String, String>,
}

/// The session of a submission: the settings and temporary tables that its statements see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Session {
    /// A new session that ends with the submission.
    #[default]
    Own,
    /// A new session that later submissions can continue.
    Kept,
    /// The session with this id, which an earlier submission kept.
    Continued(String),
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
    ///
    /// # Errors
    /// `SessionLost`: the session to continue has ended. Nothing was submitted.
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
///   isolation"). Other conflicts are classified in the same way, because nothing was committed and a retry may succeed:
///   "could not complete because of conflict with concurrent transaction" (dbt-adapters #626), an object that a concurrent
///   transaction changed or dropped, deadlocks, lock timeouts.
/// - A lost connection: a restart, a resize or a failover.
/// - Everything else is an error of the SQL.
pub fn failure_kind(message: &str) -> FailureKind {
    let text = message.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "serializable isolation violation",
        "error: 1023",
        "could not serialize access",
        "conflict with concurrent transaction",
        "by concurrent transaction",
        "tuple concurrently updated",
        "tuple concurrently deleted",
        "deadlock detected",
        "due to lock timeout",
    ]) {
        FailureKind::SerializationConflict
    } else if says(&LOST_WITHOUT_ERROR)
        || says(&[
            "connection refused",
            "could not connect",
            "terminating connection",
            "cluster is restarting",
            "the database system is shutting down",
            "the database system is starting up",
        ])
    {
        FailureKind::ConnectionLost
    } else {
        FailureKind::StatementFailed
    }
}

/// Words of messages by which a client lost its connection without an error of Redshift. No AWS page lists the messages of
/// the Data API; these are the texts of the JDBC driver and of libpq.
const LOST_WITHOUT_ERROR: [&str; 10] = [
    "connection reset",
    "connection closed",
    "connection has been closed",
    "connection to server was lost",
    "server closed the connection",
    "connection timed out",
    "i/o error occurred while sending",
    "eof detected",
    "broken pipe",
    "read timed out",
];

/// Returns the number of steps that a failed submission may have completed, from the number of its statements that
/// finished, the number of its statements, and Redshift's message.
pub fn steps_reached(finished: u32, statements: u32, message: &str) -> Steps {
    if !leaves_commit_open(message) {
        return finished;
    }
    // The statement that was running may have finished, and the commit follows the last statement.
    let running = finished + 1;
    if running >= statements { statements + 1 } else { running }
}

/// Returns true if a message of a lost connection leaves open whether Redshift committed the last transaction: the client
/// lost the connection without an error of Redshift. An error of Redshift, and a connection that was never made, mean
/// that the transaction was rolled back or did not begin.
fn leaves_commit_open(message: &str) -> bool {
    let text = message.to_ascii_lowercase();
    LOST_WITHOUT_ERROR.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::{failure_kind, leaves_commit_open, steps_reached};
    use shiftwork_protocol::FailureKind::{ConnectionLost, SerializationConflict, StatementFailed};

    #[test]
    fn messages_of_redshift_are_classified() {
        for (message, kind) in [
            (
                "ERROR: 1023 DETAIL: Serializable isolation violation on table - 142443, transactions forming the cycle",
                SerializationConflict,
            ),
            ("ERROR:  1023\n  Detail: Serializable isolation violation on table in Redshift", SerializationConflict),
            ("Query #2 failed with ERROR: deadlock detected", SerializationConflict),
            ("ERROR: could not complete because of conflict with concurrent transaction", SerializationConflict),
            ("ERROR: could not complete because of conflict with\n concurrent transaction", SerializationConflict),
            ("ERROR: table 1234 dropped by concurrent transaction", SerializationConflict),
            ("ERROR: tuple concurrently updated", SerializationConflict),
            ("ERROR: canceling statement due to lock timeout", SerializationConflict),
            ("ERROR: canceling statement due to statement timeout", StatementFailed),
            ("ERROR: terminating connection due to administrator command", ConnectionLost),
            ("Connection reset by peer", ConnectionLost),
            ("An I/O error occurred while sending to the backend.", ConnectionLost),
            ("This connection has been closed.", ConnectionLost),
            ("SSL SYSCALL error: EOF detected", ConnectionLost),
            ("ERROR: relation \"rsql_blog.blog_table\" does not exist", StatementFailed),
            ("ERROR: Numeric data overflow (result precision) 1023", StatementFailed),
        ] {
            assert_eq!(failure_kind(message), kind, "{message}");
        }
    }

    #[test]
    fn a_lost_connection_may_have_completed_one_more_step() {
        let (error, lost) = ("ERROR: 1023", "Connection reset by peer");
        for (finished, statements, message, reached) in [
            (0, 1, error, 0),
            (2, 3, error, 2),
            // Redshift refused the commit.
            (3, 3, error, 3),
            (0, 1, lost, 2),
            (0, 3, lost, 1),
            (1, 3, lost, 2),
            (2, 3, lost, 4),
            (3, 3, lost, 4),
        ] {
            assert_eq!(steps_reached(finished, statements, message), reached, "{finished} of {statements}: {message}");
        }
    }

    #[test]
    fn only_a_connection_lost_without_an_error_leaves_the_commit_open() {
        for (message, open) in [
            ("Connection reset by peer", true),
            ("FATAL: server closed the connection unexpectedly", true),
            ("An I/O error occurred while sending to the backend.", true),
            ("This connection has been closed.", true),
            ("SSL SYSCALL error: EOF detected", true),
            ("java.net.SocketException: Broken pipe (Write failed)", true),
            ("Read timed out", true),
            ("ERROR: terminating connection due to administrator command", false),
            ("could not connect to server: Connection refused", false),
            ("FATAL: the database system is starting up", false),
            ("ERROR: 1023", false),
        ] {
            assert_eq!(leaves_commit_open(message), open, "{message}");
        }
    }
}
