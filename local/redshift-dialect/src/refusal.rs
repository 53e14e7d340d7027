//! Why a statement was not translated.

use std::fmt;

/// Who says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The text is not a statement at all: an open quote, an unbalanced parenthesis, a missing word.
    Syntax,
    /// Amazon Redshift itself refuses this, although PostgreSQL would take it.
    NotRedshift,
    /// Amazon Redshift runs this; this translator does not, and does not pretend.
    NotHere,
}

/// A statement that was not translated: what, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Who says no.
    pub kind: RefusalKind,
    /// The construct, as the user knows it: `ON CONFLICT`, `COPY option LZOP`.
    pub construct: String,
    /// Why, or what was expected.
    pub reason: String,
    /// What to write instead, where that is known.
    pub instead: Option<String>,
    /// 1-based line of the construct in the statement.
    pub line: usize,
    /// 1-based column (in characters) of the construct in the statement.
    pub column: usize,
    /// Byte offset of the construct in the statement.
    pub offset: usize,
}

impl Refusal {
    pub(crate) fn syntax(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::Syntax, at, construct, reason)
    }

    pub(crate) fn not_redshift(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotRedshift, at, construct, reason)
    }

    pub(crate) fn not_here(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotHere, at, construct, reason)
    }

    fn new(kind: RefusalKind, at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, construct: construct.into(), reason: reason.into(), instead: None, line: 0, column: 0, offset: at }
    }

    pub(crate) fn instead(mut self, text: impl Into<String>) -> Self {
        self.instead = Some(text.into());
        self
    }

    /// Turns the byte offset into line and column of `sql`.
    pub(crate) fn located_in(mut self, sql: &str) -> Self {
        let end = (0..=self.offset.min(sql.len())).rev().find(|&i| sql.is_char_boundary(i)).unwrap_or(0);
        let before = &sql[..end];
        self.line = before.matches('\n').count() + 1;
        self.column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self
    }

    /// The SQLSTATE that fits: 42601 (syntax error) or 0A000 (feature not supported).
    pub fn sqlstate(&self) -> &'static str {
        match self.kind {
            RefusalKind::Syntax => "42601",
            RefusalKind::NotRedshift | RefusalKind::NotHere => "0A000",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.kind {
            RefusalKind::Syntax => "syntax error at or near",
            RefusalKind::NotRedshift => "Amazon Redshift does not support",
            RefusalKind::NotHere => "not translated for the local PostgreSQL:",
        };
        write!(f, "line {}, column {}: {who} {}: {}", self.line, self.column, self.construct, self.reason)?;
        if let Some(instead) = &self.instead {
            write!(f, " (instead: {instead})")?;
        }
        Ok(())
    }
}
