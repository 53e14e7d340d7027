//! The text of Redshift SQL: where statements end, which placeholders they use, and how identifiers and string literals are
//! quoted. What a statement means is left to Redshift.
//!
//! | question | function |
//! | --- | --- |
//! | Which statements does a script have? | [`split`] |
//! | Which parameters does a statement take? | [`placeholders`], [`Statement::placeholders`] |
//! | How is a name written? | [`identifier`], [`quote_identifier`] |
//! | How is a string written? | [`quote_literal`] |
//!
//! # Backslashes in string literals
//!
//! Redshift reads `\` in `'…'` as an escape: its `QUOTE_LITERAL` doubles backslashes, its manual writes `\\` in patterns, and its
//! parser is that of PostgreSQL 8.0, which knows neither `standard_conforming_strings = on` nor `E'…'`. PostgreSQL since 9.1, and
//! standard SQL, read it as a backslash. AWS does not document the rule itself, so nothing here depends on it: [`quote_literal`]
//! writes a string with a backslash between dollar quotes, which both read alike, and [`split`] refuses the one place where the two
//! rules disagree about the end of a literal.
//!
//! `local/redshift-dialect` has a lexer of its own. It rewrites statements, so it needs operators, numbers and positional arguments
//! as tokens and the blanks around them, and it writes PostgreSQL's quotes instead of Redshift's.

mod lexer;
mod quote;
mod split;

use std::fmt;

pub use lexer::{Lexer, Token, TokenKind};
pub use quote::{IDENTIFIER_BYTES, IdentifierProblem, identifier, quote_identifier, quote_literal, quoted};
pub use split::{Statement, placeholders, split};

/// What is wrong with a SQL text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProblem {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
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
