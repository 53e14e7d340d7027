//! What happened to a row.

use std::fmt;

/// What happened to a row: `dw_md_operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// It came into being.
    Create,
    /// It changed.
    Update,
    /// It went.
    Delete,
    /// It was there already when the connector read the table.
    Read,
    /// All rows of the table went.
    Truncate,
}

impl Operation {
    /// As the column has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Truncate => "truncate",
        }
    }

    /// Of Debezium's `op`; none for `m` (a logical decoding message, no row) and for what is no operation.
    pub fn of_debezium(op: &str) -> Option<Self> {
        match op {
            "c" => Some(Self::Create),
            "u" => Some(Self::Update),
            "d" => Some(Self::Delete),
            "r" => Some(Self::Read),
            "t" => Some(Self::Truncate),
            _ => None,
        }
    }

    /// Of DynamoDB's `eventName`. An item whose time to live ran out is a `REMOVE` as any other.
    pub fn of_dynamodb(event_name: &str) -> Option<Self> {
        match event_name {
            "INSERT" => Some(Self::Create),
            "MODIFY" => Some(Self::Update),
            "REMOVE" => Some(Self::Delete),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
