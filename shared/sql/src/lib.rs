//! Lexical functions over Redshift SQL: they split a script into statements, list placeholders, and quote identifiers and string
//! literals. They do not parse or validate statements; Redshift does.
//!
//! | task | function |
//! | --- | --- |
//! | split a script into statements | [`split()`] |
//! | name the command of a statement | [`command`] |
//! | list the parameters of a statement | [`placeholders`], [`Statement::placeholders`] |
//! | find parameters that the Data API does not bind | [`unbound`] |
//! | find names of parameters in other text | [`marked`] |
//! | find statements that Redshift refuses in a transaction | [`Statement::refused_in_transaction`] |
//! | remove the `BEGIN` and `COMMIT` around a script | [`without_outer_transaction`] |
//! | quote an identifier | [`identifier`], [`quote_identifier`] |
//! | quote a string | [`quote_literal`] |
//!
//! # Backslashes in string literals
//!
//! Redshift reads `\` in `'…'` as an escape: `QUOTE_LITERAL` doubles backslashes, the developer guide writes `\\` in patterns, AWS's own
//! administration views write `'\''` for a quote, and the parser derives from PostgreSQL 8.0, which supports neither
//! `standard_conforming_strings = on` nor `E'…'`. The lexer reads literals in this way. Standard SQL, and PostgreSQL since 9.1, read `\` as a
//! plain character. [`quote_literal`] does not depend on the difference: it writes a string that contains a backslash between dollar quotes,
//! which both read the same way.
//!
//! `local/redshift-dialect` has a separate lexer, because it rewrites statements: it needs operators, numbers, positional arguments and
//! whitespace as tokens, and it writes PostgreSQL's quotes instead of Redshift's.

mod lexer;
mod parameters;
mod position;
mod quote;
mod shape;
mod split;
mod transaction;

use std::fmt;

pub use lexer::{Lexer, Token, TokenKind};
pub use parameters::{Marked, Unbound, Unboundable, marked, unbound};
pub use position::Position;
pub use quote::{IDENTIFIER_BYTES, IdentifierProblem, identifier, quote_identifier, quote_literal, quoted};
pub use split::{Statement, command, placeholders, split};
pub use transaction::{TransactionControl, without_outer_transaction};

/// A problem in a SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProblem {
    /// Position of the problem.
    pub position: Position,
    /// Description of the problem.
    pub message: String,
    /// Instruction to fix the problem.
    pub hint: Option<String>,
}

impl SqlProblem {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), hint: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.position.line, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlProblem {}
