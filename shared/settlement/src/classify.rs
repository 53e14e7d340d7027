use shiftwork_protocol::FailureKind;

/// What kind of failure Redshift's message tells of.
///
/// - 1023 "Serializable isolation violation": another transaction came between
///   (Redshift docs, "Serializable isolation"). A deadlock and a lock that timed out are the same to us: nothing was
///   committed, and the same statements may well go through a moment later.
/// - A connection that broke: a restart, a resize, a failover.
/// - Everything else is the SQL's own fault.
pub fn classify(message: &str) -> FailureKind {
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
    use super::classify;
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
            assert_eq!(classify(message), kind, "{message}");
        }
    }
}
