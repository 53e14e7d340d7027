//! The error of a statement that was not translated.

use std::fmt;

/// The reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The text is not a statement of any SQL dialect: an unterminated quote, an unbalanced parenthesis, an unknown first
    /// word.
    Malformed,
    /// A word is missing, or one is there that the translation does not expect. The translation does not know every form
    /// of every statement, so Amazon Redshift may accept it.
    Syntax,
    /// Amazon Redshift does not support the construct, although PostgreSQL does.
    NotRedshift,
    /// Amazon Redshift supports the construct; this translation does not.
    NotTranslated,
}

/// A statement that was not translated: the construct, its position, and an alternative.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The reason of the refusal.
    pub kind: RefusalKind,
    /// The construct in the terms of the user: `ON CONFLICT`, `COPY option LZOP`.
    pub construct: String,
    /// The explanation, or what was expected.
    pub reason: String,
    /// The alternative, if there is one.
    pub instead: Option<String>,
    /// 1-based line of the construct in the statement.
    pub line: usize,
    /// 1-based column (in characters) of the construct in the statement.
    pub column: usize,
    /// Byte offset of the construct in the statement.
    pub offset: usize,
}

impl Refusal {
    pub(crate) fn malformed(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::Malformed, at, construct, reason)
    }

    pub(crate) fn syntax(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::Syntax, at, construct, reason)
    }

    pub(crate) fn not_redshift(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotRedshift, at, construct, reason)
    }

    pub(crate) fn not_translated(at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotTranslated, at, construct, reason)
    }

    fn new(kind: RefusalKind, at: usize, construct: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, construct: construct.into(), reason: reason.into(), instead: None, line: 0, column: 0, offset: at }
    }

    pub(crate) fn instead(mut self, text: impl Into<String>) -> Self {
        self.instead = Some(text.into());
        self
    }

    /// Computes line and column in `sql` from the byte offset.
    pub(crate) fn located_in(mut self, sql: &str) -> Self {
        let end = (0..=self.offset.min(sql.len())).rev().find(|&i| sql.is_char_boundary(i)).unwrap_or(0);
        let before = &sql[..end];
        self.line = before.matches('\n').count() + 1;
        self.column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self
    }

    /// The matching SQLSTATE: 42601 (syntax error) or 0A000 (feature not supported).
    pub fn sqlstate(&self) -> &'static str {
        match self.kind {
            RefusalKind::Malformed | RefusalKind::Syntax => "42601",
            RefusalKind::NotRedshift | RefusalKind::NotTranslated => "0A000",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.kind {
            RefusalKind::Malformed | RefusalKind::Syntax => "syntax error at or near",
            RefusalKind::NotRedshift => "Amazon Redshift does not support",
            RefusalKind::NotTranslated => "not translated for the local PostgreSQL:",
        };
        write!(f, "line {}, column {}: {who} {}: {}", self.line, self.column, self.construct, self.reason)?;
        if let Some(instead) = &self.instead {
            write!(f, " (instead: {instead})")?;
        }
        Ok(())
    }
}
