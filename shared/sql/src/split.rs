//! Cuts a script into its statements.

use std::collections::BTreeMap;

use crate::{
    Lexer, SqlProblem, TokenKind,
    lexer::{BYTE_ORDER_MARK, is_space},
};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text as written, comments included, without the `;` and the blanks around it.
    pub text: String,
    /// Line of its first word, from 1.
    pub line: u32,
    /// The `:placeholders` in it: name to the line where it stands first.
    pub placeholders: BTreeMap<String, u32>,
    /// Its first words in upper case, as many as [`WORDS`].
    words: Vec<String>,
}

/// Words that say what a statement is: `ALTER TABLE schema.table APPEND` has five, and names can be of several words.
const WORDS: usize = 8;

/// Cuts a script at its `;`, but not inside comments, string literals, quoted identifiers and dollar quotes; drops what has no
/// SQL in it. The same text always gives the same statements.
///
/// ```
/// let statements = shiftwork_sql::split("INSERT INTO t VALUES ('a;b', :day); -- done").unwrap();
/// assert_eq!(statements.len(), 1);
/// assert!(statements[0].placeholders.contains_key("day"));
/// ```
///
/// # Errors
/// The first thing that has no end, or that Redshift and standard SQL would cut differently.
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
            | TokenKind::Number
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
                    placeholders: BTreeMap::new(),
                    words: Vec::new(),
                });
                let written = &text[token.start..token.end];
                if token.kind == TokenKind::Placeholder {
                    statement.placeholders.entry(written[1..].to_owned()).or_insert(token.line);
                } else if token.kind == TokenKind::Word && statement.words.len() < WORDS {
                    statement.words.push(written.to_ascii_uppercase());
                }
            }
        }
    }
    statements.extend(closed(open, &text[start..]));
    Ok(statements)
}

/// The names of the `:placeholders` of a statement in the order that they stand in it, repeats included, as the Data API finds
/// them: what stands in literals, quoted identifiers and comments is none. Ends where the text cannot be read on.
pub fn placeholders(text: &str) -> Vec<&str> {
    Lexer::as_redshift(text)
        .map_while(Result::ok)
        .filter(|token| token.kind == TokenKind::Placeholder)
        .map(|token| &text[token.start + 1..token.end])
        .collect()
}

fn closed(open: Option<Statement>, text: &str) -> Option<Statement> {
    // Only what is a blank for the lexer: Redshift reads other spaces of Unicode as letters.
    let is_blank = |c: char| c == BYTE_ORDER_MARK || u8::try_from(c).is_ok_and(is_space);
    open.map(|statement| Statement { text: text.trim_matches(is_blank).to_owned(), ..statement })
}

impl Statement {
    /// True for a statement that begins or ends a transaction, which the Data API does by itself.
    pub fn is_transaction_control(&self) -> bool {
        let first = self.words.first().map(String::as_str);
        let second = self.words.get(1).map(String::as_str);
        matches!(first, Some("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT"))
            || (first == Some("START") && second == Some("TRANSACTION"))
    }

    /// True for a statement that Redshift refuses inside a transaction of several statements.
    pub fn needs_its_own_transaction(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["VACUUM", ..] | ["CREATE" | "DROP", "DATABASE", ..] | ["CREATE" | "DROP", "EXTERNAL", "TABLE", ..] => true,
            ["ALTER", "TABLE", rest @ ..] => rest.contains(&"APPEND"),
            _ => false,
        }
    }

    /// Its first words, for messages: `ALTER TABLE`.
    pub fn opening(&self) -> String {
        self.words
            .iter()
            .take(if self.words.first().is_some_and(|w| w == "VACUUM") { 1 } else { 2 })
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }
}
