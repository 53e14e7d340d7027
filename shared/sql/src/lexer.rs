//! Lexer of Redshift SQL. It distinguishes the tokens that decide where a statement ends and which placeholders it uses.

use crate::{Position, SqlProblem, position::column};

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Whitespace and byte order marks.
    Space,
    /// `-- …` up to the end of the line, or `/* … */`; block comments nest.
    Comment,
    /// A keyword or an unquoted identifier.
    Word,
    /// `12`, `1.5`, `1e6`; a sign is a separate token.
    Number,
    /// `"…"`
    QuotedIdentifier,
    /// `'…'`, `E'…'` (with the `E`), `$$…$$` or `$tag$…$tag$`
    Literal,
    /// `:name`
    Placeholder,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `.`
    Dot,
    /// Any other character, and `::`.
    Other,
}

/// A token and its position in the SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The kind of the token.
    pub kind: TokenKind,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset after the last character.
    pub end: usize,
    /// Line of the first character, from 1.
    pub line: u32,
}

/// An iterator over the tokens of a text. The tokens are adjacent and cover the text; iteration ends after the first problem.
///
/// The lexer examines bytes, because every delimiter is an ASCII character and no byte of a multi-byte UTF-8 character is ASCII.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Number of `[` without a `]` before the current position.
    brackets: u32,
    /// Whether `\` outside of literals, which begins a command of RSQL, is a problem.
    refuses_commands: bool,
}

impl<'a> Lexer<'a> {
    /// Creates a lexer for SQL that will be run: a command of RSQL, such as `\if`, is a problem.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, brackets: 0, refuses_commands: true }
    }

    /// Creates a lexer for SQL that is only inspected: `\` outside of literals is a token of the kind [`TokenKind::Other`].
    pub const fn as_redshift(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, brackets: 0, refuses_commands: false }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The end of the longest sequence of bytes from `at` that `take` accepts.
    fn run(&self, at: usize, take: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[at..].iter().position(|b| !take(*b)).map_or(self.text.len(), |n| at + n)
    }

    fn problem(&self, message: &str) -> SqlProblem {
        SqlProblem::new(Position { line: self.line, column: column(self.text, self.at) }, message)
    }

    fn token(&self) -> Option<Result<(TokenKind, usize), SqlProblem>> {
        let at = self.at;
        let first = self.byte(at)?;
        let next = self.byte(at + 1);
        let one = |kind| Ok((kind, at + 1));
        Some(match first {
            b if is_space(b) => Ok((TokenKind::Space, self.run(at, is_space))),
            // A file made by concatenating others can have byte order marks in the middle.
            _ if self.text[at..].starts_with(BYTE_ORDER_MARK) => {
                Ok((TokenKind::Space, at + BYTE_ORDER_MARK.len_utf8()))
            }
            b'-' if next == Some(b'-') => Ok((TokenKind::Comment, self.run(at, |b| b != b'\n'))),
            b'/' if next == Some(b'*') => self.block_comment(),
            b'\'' => self.literal(at),
            b'e' | b'E' if next == Some(b'\'') => self.literal(at + 1),
            b'"' => self.quoted_identifier(),
            b'$' => self.dollar(),
            b':' if next == Some(b':') => Ok((TokenKind::Other, at + 2)),
            b':' if next.is_some_and(|b| self.begins_parameter(b)) => {
                Ok((TokenKind::Placeholder, self.run(at + 1, is_parameter)))
            }
            b';' => one(TokenKind::Semicolon),
            b'(' => one(TokenKind::Open),
            b')' => one(TokenKind::Close),
            b'.' => one(TokenKind::Dot),
            // `\` outside of literals is not SQL.
            b'\\' if self.refuses_commands => Err(self.meta_command()),
            b if b.is_ascii_digit() => Ok((TokenKind::Number, self.number())),
            b if is_word(b) => Ok((TokenKind::Word, self.run(at, |b| is_word(b) || b == b'$'))),
            _ => one(TokenKind::Other),
        })
    }

    /// Returns true if the byte `b` after a `:` begins the name of a parameter. It does not if the `:` is inside a word, as in the
    /// roles `sys:dba` and `"idp":x`, or divides the bounds of a slice, as in `a[1:2]`.
    fn begins_parameter(&self, b: u8) -> bool {
        let before = self.text.as_bytes()[..self.at].iter().rev();
        let is_inside_a_word = before.clone().next().is_some_and(|b| is_word(*b) || matches!(b, b'$' | b'"'));
        let divides_a_slice = self.brackets > 0
            && before
                .copied()
                .find(|b| !is_space(*b))
                .is_some_and(|b| is_word(b) || matches!(b, b')' | b']' | b'\'' | b'"'));
        let is_bound_of_a_slice = self.brackets > 0 && b.is_ascii_digit();
        is_parameter(b) && !is_inside_a_word && !divides_a_slice && !is_bound_of_a_slice
    }

    /// The end of the number that begins at the current position. `1.5` is one number; `1.` is the number `1` and a dot.
    fn number(&self) -> usize {
        let whole = self.run(self.at, is_word);
        let has_fraction = self.byte(whole) == Some(b'.') && self.byte(whole + 1).is_some_and(|b| b.is_ascii_digit());
        if has_fraction { self.run(whole + 1, is_word) } else { whole }
    }

    fn block_comment(&self) -> Result<(TokenKind, usize), SqlProblem> {
        let (mut at, mut depth) = (self.at + 2, 1);
        while let Some(b) = self.byte(at) {
            match (b, self.byte(at + 1)) {
                (b'/', Some(b'*')) => (at, depth) = (at + 2, depth + 1),
                (b'*', Some(b'/')) => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
            if depth == 0 {
                return Ok((TokenKind::Comment, at));
            }
        }
        Err(self.problem("this comment has no closing `*/`").hint("comments nest: close every `/*` with a `*/`"))
    }

    /// Reads a literal whose opening quote is at offset `quote`. A `\` escapes the next character, with and without `E`.
    fn literal(&self, quote: usize) -> Result<(TokenKind, usize), SqlProblem> {
        let mut at = quote + 1;
        let mut escapes_a_quote = false;
        while let Some(b) = self.byte(at) {
            match (b, self.byte(at + 1)) {
                (b'\'', Some(b'\'')) => at += 2,
                (b'\'', _) => return Ok((TokenKind::Literal, at + 1)),
                (b'\\', Some(next)) => {
                    escapes_a_quote |= next == b'\'';
                    at += 2;
                }
                _ => at += 1,
            }
        }
        let problem = self.problem("this string has no closing `'`");
        Err(if escapes_a_quote {
            problem.hint(
                "Redshift reads `\\'` as a quote inside the string: write a backslash at the end of a string as `\\\\`",
            )
        } else {
            problem.hint("write a quote inside a string as `''`")
        })
    }

    fn quoted_identifier(&self) -> Result<(TokenKind, usize), SqlProblem> {
        let mut at = self.at + 1;
        while let Some(b) = self.byte(at) {
            match (b, self.byte(at + 1)) {
                (b'"', Some(b'"')) => at += 2,
                (b'"', _) => return Ok((TokenKind::QuotedIdentifier, at + 1)),
                _ => at += 1,
            }
        }
        Err(self.problem("this identifier has no closing `\"`"))
    }

    fn dollar(&self) -> Result<(TokenKind, usize), SqlProblem> {
        let tag_end = self.run(self.at + 1, is_word);
        let starts_with_digit = self.byte(self.at + 1).is_some_and(|b| b.is_ascii_digit());
        if starts_with_digit || self.byte(tag_end) != Some(b'$') {
            return Ok((TokenKind::Other, self.at + 1));
        }
        let body = tag_end + 1;
        let tag = &self.text[self.at..body];
        match self.text[body..].find(tag) {
            Some(n) => Ok((TokenKind::Literal, body + n + tag.len())),
            None => Err(self.problem(&format!("this dollar quote has no closing `{tag}`"))),
        }
    }

    fn meta_command(&self) -> SqlProblem {
        let line = self.text[self.at..].lines().next().unwrap_or_default();
        let command = line.split_whitespace().next().unwrap_or_default();
        self.problem(&format!("`{command}` is an RSQL meta command, and kind rsql is not available in this version"))
            .hint("remove it: a job of kind sql runs SQL statements only")
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, SqlProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.token()? {
            Ok((kind, end)) => {
                let (start, line) = (self.at, self.line);
                let text = &self.text[start..end];
                let breaks = text.bytes().filter(|b| *b == b'\n').count();
                self.brackets = match text {
                    "[" => self.brackets.saturating_add(1),
                    "]" => self.brackets.saturating_sub(1),
                    ";" => 0,
                    _ => self.brackets,
                };
                self.line = self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
                self.at = end;
                Some(Ok(Token { kind, start, end, line }))
            }
            Err(problem) => {
                self.at = self.text.len();
                Some(Err(problem))
            }
        }
    }
}

pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

pub(crate) const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// Returns true for bytes of an unquoted identifier. PostgreSQL and Redshift allow letters of any language, so every non-ASCII byte is
/// one.
const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// Returns true for bytes of `SqlParameter.name` of the Data API: `[0-9a-zA-Z_]+`.
const fn is_parameter(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
