//! What the planner freezes about the statements of a script: where they commit, and what they keep in their session.

use serde::{Deserialize, Serialize};

/// The reason why a statement commits before its script, or the statement itself, has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitCause {
    /// `TRUNCATE` commits the transaction in which it runs (Redshift SQL reference, "TRUNCATE").
    Truncate,
    /// A procedure that is called outside of a transaction block can commit (Redshift developer guide, "Managing
    /// transactions"). Whether it does is not visible in the script.
    Call,
}

impl CommitCause {
    /// Describes the cause as a clause without a full stop.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncate => "TRUNCATE commits the transaction in which it runs, with everything before it",
            Self::Call => "a procedure can commit inside: by COMMIT, by TRUNCATE, or because it is NONATOMIC",
        }
    }
}

/// A statement that commits, or can commit, before its script or the statement itself has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerCommit {
    /// Position of the statement in the script, from 1.
    pub statement: u32,
    /// Line of the statement, from 1.
    pub line: u32,
    /// The reason why the statement commits.
    pub cause: CommitCause,
}

/// The session that the statements of a script with `transaction: per_statement` share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedSession {
    /// Position of the first statement that leaves a setting, a temporary table or a prepared statement. The statements
    /// after it can run in no other session. `None` if the script only calls procedures, which can leave something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_from: Option<u32>,
}

impl SharedSession {
    /// Returns true if this statement needs what an earlier statement left in the session.
    pub fn is_needed_by(self, statement: u32) -> bool {
        self.state_from.is_some_and(|from| from < statement)
    }
}
