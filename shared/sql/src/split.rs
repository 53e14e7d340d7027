//! Splits a script into statements.

use std::collections::BTreeMap;

use crate::{
    Lexer, Position, SqlProblem, TokenKind,
    lexer::{BYTE_ORDER_MARK, is_space},
    position::column,
    shape::Shape,
};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The statement as written, with its comments, without the `;` and without surrounding whitespace.
    pub text: String,
    /// Line of the first token that is not a comment, from 1.
    pub line: u32,
    /// Column of the first token that is not a comment, from 1.
    pub column: u32,
    /// The `:placeholders` of the statement, each with the position of its first occurrence.
    pub placeholders: BTreeMap<String, Position>,
    /// Position of the first character of `text`.
    start: Position,
    pub(crate) shape: Shape,
}

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
/// Returns the first comment, literal or quoted identifier that is not closed, or the first command of RSQL.
pub fn split(text: &str) -> Result<Vec<Statement>, SqlProblem> {
    let mut statements = Vec::new();
    // The end of the previous statement: its offset and its position.
    let (mut start, mut from) = (0, Position { line: 1, column: 1 });
    let mut open: Option<Statement> = None;
    for token in Lexer::new(text) {
        let token = token?;
        match token.kind {
            TokenKind::Space | TokenKind::Comment => {}
            TokenKind::Semicolon => {
                statements.extend(open.take().map(|statement| finish(statement, from, &text[start..token.start])));
                from = from.advanced(&text[start..], token.end - start);
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
                let position = Position { line: token.line, column: column(text, token.start) };
                let statement = open.get_or_insert_with(|| Statement {
                    text: String::new(),
                    line: position.line,
                    column: position.column,
                    placeholders: BTreeMap::new(),
                    start: position,
                    shape: Shape::default(),
                });
                let written = &text[token.start..token.end];
                if token.kind == TokenKind::Placeholder {
                    statement.placeholders.entry(written[1..].to_owned()).or_insert(position);
                }
                statement.shape.push(token.kind, written);
            }
        }
    }
    statements.extend(open.map(|statement| finish(statement, from, &text[start..])));
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

/// Completes a statement with its text, which is the part of the script that begins at `from`.
fn finish(statement: Statement, from: Position, part: &str) -> Statement {
    // Trim only what the lexer reads as whitespace: Redshift reads other Unicode spaces as letters.
    let is_blank = |c: char| c == BYTE_ORDER_MARK || u8::try_from(c).is_ok_and(is_space);
    let text = part.trim_start_matches(is_blank);
    let start = from.advanced(part, part.len() - text.len());
    Statement { text: text.trim_end_matches(is_blank).to_owned(), start, ..statement }
}

impl Statement {
    /// The position in the script of the character at a byte offset of [`Statement::text`].
    pub fn position(&self, at: usize) -> Position {
        self.start.advanced(&self.text, at)
    }

    /// The first two words of the statement for messages, such as `ALTER TABLE`; one word for `VACUUM`.
    pub fn opening(&self) -> String {
        let parts = self.shape.parts();
        parts.words(if parts.begins(&["VACUUM"]) { 1 } else { 2 })
    }
}
