//! What becomes of a record that is not staged.

use std::fmt;

/// Why a record is refused: it goes to the dead-letter queue, and its neighbours go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub kind: RefusalKind,
    /// The reason, with what would mend it.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// Kinds of reasons for which a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    /// Not one JSON value in UTF-8.
    NotJson,
    /// JSON, and no change event of a format that is known.
    NotAnEvent,
    /// An operation that is not known.
    UnknownOperation,
    /// An event without what it is about: its row, its time, its place in the source's log.
    Incomplete,
    /// A row without a value in a key column.
    NoKey,
    /// The contract takes no unknown field and no value that does not fit (`unknown: freeze`).
    Frozen,
    /// The contract takes no value that Redshift cannot hold (`oversized: refuse`), or the row is larger than COPY reads.
    Oversized,
}

impl RefusalKind {
    /// As counters and messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::NotAnEvent => "not-an-event",
            Self::UnknownOperation => "unknown-operation",
            Self::Incomplete => "incomplete",
            Self::NoKey => "no-key",
            Self::Frozen => "frozen",
            Self::Oversized => "oversized",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Records that are no changes of rows. They are known, and no mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Debezium's sign of life.
    Heartbeat,
    /// A key without a value, which follows a delete for the sake of Kafka's log compaction.
    Tombstone,
    /// Begin or end of a transaction.
    Transaction,
    /// A change of a table's schema. The columns come to light with the rows.
    SchemaChange,
    /// A logical decoding message of PostgreSQL (`pg_logical_emit_message`).
    Message,
}

impl SkipReason {
    /// As counters name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Tombstone => "tombstone",
            Self::Transaction => "transaction",
            Self::SchemaChange => "schema-change",
            Self::Message => "message",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
