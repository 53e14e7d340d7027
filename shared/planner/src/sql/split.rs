//! Cuts a script into its statements.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Lexer, SqlProblem, TokenKind,
    lex::{BYTE_ORDER_MARK, is_space},
};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text as written, comments included, without the `;` and the blanks around it.
    pub text: String,
    /// Line of its first word, from 1.
    pub line: u32,
    /// Names of the `:placeholders` in it.
    pub placeholders: BTreeSet<String>,
    /// Line on which each placeholder stands first.
    pub(crate) placeholder_lines: BTreeMap<String, u32>,
    /// Its first words, upper case: enough to know it for a `BEGIN` or a `VACUUM`.
    pub(crate) words: Vec<String>,
}

/// How many words tell what a statement is: `ALTER TABLE schema . table APPEND`.
const WORDS: usize = 8;

/// Cuts a script at its `;`. Knows comments (nested ones too), texts, quoted identifiers and dollar quotes; drops what has
/// no SQL in it. Never panics; the same text always gives the same statements.
///
/// ```
/// let statements = shiftwork_planner::sql::split("INSERT INTO t VALUES ('a;b', :day); -- done").unwrap();
/// assert_eq!(statements.len(), 1);
/// assert!(statements[0].placeholders.contains("day"));
/// ```
pub fn split(text: &str) -> Result<Vec<Statement>, SqlProblem> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut open: Option<Statement> = None;
    for token in Lexer::new(text) {
        let token = token?;
        match token.kind {
            TokenKind::Space | TokenKind::Comment => {}
            TokenKind::Semicolon => {
                statements.extend(closed(open.take(), &text[start..token.start]));
                start = token.end;
            }
            TokenKind::Word
            | TokenKind::QuotedIdentifier
            | TokenKind::Literal
            | TokenKind::Placeholder
            | TokenKind::Open
            | TokenKind::Close
            | TokenKind::Dot
            | TokenKind::Other => {
                let statement = open.get_or_insert_with(|| Statement {
                    text: String::new(),
                    line: token.line,
                    placeholders: BTreeSet::new(),
                    placeholder_lines: BTreeMap::new(),
                    words: Vec::new(),
                });
                let written = &text[token.start..token.end];
                if token.kind == TokenKind::Placeholder {
                    statement.placeholders.insert(written[1..].to_owned());
                    statement.placeholder_lines.entry(written[1..].to_owned()).or_insert(token.line);
                } else if token.kind == TokenKind::Word && statement.words.len() < WORDS {
                    statement.words.push(written.to_ascii_uppercase());
                }
            }
        }
    }
    statements.extend(closed(open, &text[start..]));
    Ok(statements)
}

fn closed(open: Option<Statement>, text: &str) -> Option<Statement> {
    // Only what the lexer takes for a blank: other spaces of Unicode are letters to Redshift.
    let is_blank = |c: char| c == BYTE_ORDER_MARK || u8::try_from(c).is_ok_and(is_space);
    open.map(|statement| Statement { text: text.trim_matches(is_blank).to_owned(), ..statement })
}

impl Statement {
    /// True for what begins or ends a transaction, which the Data API does by itself.
    pub(crate) fn is_transaction_control(&self) -> bool {
        let first = self.words.first().map(String::as_str);
        let second = self.words.get(1).map(String::as_str);
        matches!(first, Some("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT"))
            || (first == Some("START") && second == Some("TRANSACTION"))
    }

    /// True for what Redshift refuses inside a transaction block of several statements.
    pub(crate) fn needs_its_own_transaction(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["VACUUM", ..] | ["CREATE" | "DROP", "DATABASE", ..] | ["CREATE" | "DROP", "EXTERNAL", "TABLE", ..] => true,
            ["ALTER", "TABLE", rest @ ..] => rest.contains(&"APPEND"),
            _ => false,
        }
    }

    /// What it begins with, for messages: `ALTER TABLE`.
    pub(crate) fn opening(&self) -> String {
        self.words
            .iter()
            .take(if self.words.first().is_some_and(|w| w == "VACUUM") { 1 } else { 2 })
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }
}
