//! Operations on rows.

use std::fmt;

/// The operation on a row, as in `dw_md_operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// The row was inserted.
    Create,
    /// The row was changed.
    Update,
    /// The row was deleted.
    Delete,
    /// The row was read by a snapshot of the table.
    Read,
    /// All rows of the table were deleted.
    Truncate,
}

impl Operation {
    /// The value of the column `dw_md_operation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Truncate => "truncate",
        }
    }

    /// The operation of Debezium's `op`. `None` for `m` (a logical decoding message, which has no row) and for an unknown `op`.
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

    /// The operation of DynamoDB's `eventName`. The deletion of an expired item (TTL) is a `REMOVE` too. `None` for an unknown name.
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
