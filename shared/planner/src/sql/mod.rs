//! SQL as far as shiftwork has to know it: where statements end, which placeholders they use, how names and texts are
//! quoted. What a statement means is Redshift's business.

mod lex;
mod quote;
mod split;

use std::{fmt, ops::Range};

use shiftwork_protocol::{Transaction, limits};

pub(crate) use lex::{Lexer, TokenKind};
pub use quote::{IdentifierProblem, quote_identifier, quote_literal};
pub use split::{Statement, split};

/// What is wrong with a SQL text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProblem {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl SqlProblem {
    pub(crate) fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into(), hint: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlProblem {}

/// [`limits::BATCH_STATEMENTS`], as slices count.
pub(crate) const BATCH_STATEMENTS: usize = limits::BATCH_STATEMENTS as usize;

/// The statements that one call of the Data API carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Part of the attempt, from 1: [`shiftwork_protocol::Attempt::part`].
    pub part: u32,
    /// Which of the script's statements.
    pub statements: Range<usize>,
}

/// Shares the statements of a script out over calls: one for a transaction, parts of at most 40 where every statement
/// commits by itself. The planner refuses a transaction of more than 40, so a single batch always fits.
pub fn batches(statements: usize, transaction: Transaction) -> Vec<Batch> {
    let size = match transaction {
        Transaction::Single => statements.max(1),
        Transaction::PerStatement => BATCH_STATEMENTS,
    };
    (0..statements)
        .step_by(size)
        .zip(1..)
        .map(|(start, part)| Batch { part, statements: start..statements.min(start + size) })
        .collect()
}
