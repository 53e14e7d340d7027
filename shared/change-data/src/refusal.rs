//! Reasons why a record is refused or skipped.

use std::fmt;

/// The reason why a record is refused. The record goes to the dead-letter queue, and the other records of its batch are staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub kind: RefusalKind,
    /// The reason, and how to fix it.
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
    /// JSON, but not a change event of a supported format.
    NotAnEvent,
    /// An unknown operation.
    UnknownOperation,
    /// An event without its row, its time, or its position in the source's log.
    Incomplete,
    /// A row without a value in a key column.
    NoKey,
    /// A field without a column or a value that does not fit, and the contract refuses these (`unknown: freeze`).
    Frozen,
    /// A value that Redshift cannot hold, and the contract refuses these (`oversized: refuse`); or a row that is larger than COPY reads.
    Oversized,
}

impl RefusalKind {
    /// Name in dead-letter messages and counters.
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

/// Reasons why a valid record is not a change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// A heartbeat of Debezium.
    Heartbeat,
    /// A key without a value, which follows a delete for Kafka's log compaction.
    Tombstone,
    /// The beginning or end of a transaction.
    Transaction,
    /// A change of a table's schema. New columns are found in later rows.
    SchemaChange,
    /// A logical decoding message of PostgreSQL (`pg_logical_emit_message`).
    Message,
}

impl SkipReason {
    /// Name in counters.
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
