//! Splits a script into statements.

use std::collections::BTreeMap;

use crate::{
    Lexer, SqlProblem, TokenKind,
    lexer::{BYTE_ORDER_MARK, is_space},
};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The statement as written, with its comments, without the `;` and without surrounding whitespace.
    pub text: String,
    /// Line of the first token that is not a comment, from 1.
    pub line: u32,
    /// The `:placeholders` of the statement, each with the line of its first occurrence.
    pub placeholders: BTreeMap<String, u32>,
    /// The first [`WORDS`] words in upper case.
    words: Vec<String>,
}

/// Number of words that are kept to classify a statement: `ALTER TABLE schema.table APPEND` has five.
const WORDS: usize = 8;

/// Splits a script at each `;` outside of comments, string literals, quoted identifiers and dollar quotes. Statements that consist of
/// whitespace and comments are dropped. The result depends on the text only.
///
/// ```
/// let statements = shiftwork_sql::split("INSERT INTO t VALUES ('a;b', :day); -- done").unwrap();
/// assert_eq!(statements.len(), 1);
/// assert!(statements[0].placeholders.contains_key("day"));
/// ```
///
/// # Errors
/// Returns the first comment, literal or quoted identifier that is not closed, or the first literal that Redshift and standard SQL end at
/// different places.
pub fn split(text: &str) -> Result<Vec<Statement>, SqlProblem> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut open: Option<Statement> = None;
    for token in Lexer::new(text) {
        let token = token?;
        match token.kind {
            TokenKind::Space | TokenKind::Comment => {}
            TokenKind::Semicolon => {
                statements.extend(finish(open.take(), &text[start..token.start]));
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
    statements.extend(finish(open, &text[start..]));
    Ok(statements)
}

/// Returns the names of the `:placeholders` of a statement in the order of the text, with repetitions, as the Data API finds them:
/// literals, quoted identifiers and comments are skipped. The list ends at the first problem in the text.
pub fn placeholders(text: &str) -> Vec<&str> {
    Lexer::as_redshift(text)
        .map_while(Result::ok)
        .filter(|token| token.kind == TokenKind::Placeholder)
        .map(|token| &text[token.start + 1..token.end])
        .collect()
}

/// The first word of a statement in upper case, such as `INSERT`; empty if there is none.
pub fn command(text: &str) -> String {
    let word = Lexer::as_redshift(text).map_while(Result::ok).find(|token| token.kind == TokenKind::Word);
    word.map(|token| text[token.start..token.end].to_uppercase()).unwrap_or_default()
}

fn finish(open: Option<Statement>, text: &str) -> Option<Statement> {
    // Trim only what the lexer reads as whitespace: Redshift reads other Unicode spaces as letters.
    let is_blank = |c: char| c == BYTE_ORDER_MARK || u8::try_from(c).is_ok_and(is_space);
    open.map(|statement| Statement { text: text.trim_matches(is_blank).to_owned(), ..statement })
}

impl Statement {
    /// Returns true if the statement begins or ends a transaction. The Data API begins and ends transactions itself.
    pub fn is_transaction_control(&self) -> bool {
        let first = self.words.first().map(String::as_str);
        let second = self.words.get(1).map(String::as_str);
        matches!(first, Some("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT"))
            || (first == Some("START") && second == Some("TRANSACTION"))
    }

    /// Returns true if Redshift refuses the statement inside a transaction of several statements.
    pub fn needs_its_own_transaction(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["VACUUM", ..] | ["CREATE" | "DROP", "DATABASE", ..] | ["CREATE" | "DROP", "EXTERNAL", "TABLE", ..] => true,
            ["ALTER", "TABLE", rest @ ..] => rest.contains(&"APPEND"),
            _ => false,
        }
    }

    /// The first two words of the statement for messages, such as `ALTER TABLE`; one word for `VACUUM`.
    pub fn opening(&self) -> String {
        self.words
            .iter()
            .take(if self.words.first().is_some_and(|w| w == "VACUUM") { 1 } else { 2 })
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }
}
