//! The tokens that matter for finding the end of a statement and the placeholders in it.

use super::SqlProblem;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Blanks, line ends and byte order marks.
    Space,
    /// `-- …` up to the end of the line, or `/* … */`; block comments nest.
    Comment,
    /// Keyword or plain identifier.
    Word,
    /// `12`, `1.5`, `1e6`; a sign is a token of its own.
    Number,
    /// `"…"`
    QuotedIdentifier,
    /// `'…'`, `E'…'` (the `E` is part of it), `$$…$$`, `$tag$…$tag$`
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

/// A part of a SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
    /// Line of its first character, from 1.
    pub line: u32,
}

/// What the lexer does about a `\` whose meaning depends on the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// `\'` in a literal and `\` outside of one are problems.
    Refuse,
    /// `\'` in a literal is a quote, as for Redshift.
    Escape,
}

/// Cuts a text into tokens that lie end to end. The first problem is the last item.
///
/// All characters that matter are ASCII, so the lexer looks at bytes: no byte of a longer UTF-8 character is ASCII.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    backslash: Backslash,
}

impl<'a> Lexer<'a> {
    /// For SQL that is to be run: a text that Redshift and standard SQL cut differently is a problem.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, backslash: Backslash::Refuse }
    }

    /// For SQL that is only looked at: reads every `\` in a literal as Redshift does.
    pub const fn as_redshift(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, backslash: Backslash::Escape }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The end of the run of bytes from `at` that `take` accepts.
    fn run(&self, at: usize, take: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[at..].iter().position(|b| !take(*b)).map_or(self.text.len(), |n| at + n)
    }

    fn problem(&self, message: &str) -> SqlProblem {
        SqlProblem::new(self.line, message)
    }

    fn token(&self) -> Option<Result<(TokenKind, usize), SqlProblem>> {
        let at = self.at;
        let first = self.byte(at)?;
        let next = self.byte(at + 1);
        let one = |kind| Ok((kind, at + 1));
        Some(match first {
            b if is_space(b) => Ok((TokenKind::Space, self.run(at, is_space))),
            // Files that were put together bring their byte order marks along.
            _ if self.text[at..].starts_with(BYTE_ORDER_MARK) => {
                Ok((TokenKind::Space, at + BYTE_ORDER_MARK.len_utf8()))
            }
            b'-' if next == Some(b'-') => Ok((TokenKind::Comment, self.run(at, |b| b != b'\n'))),
            b'/' if next == Some(b'*') => self.block_comment(),
            b'\'' => self.literal(at, false),
            b'e' | b'E' if next == Some(b'\'') => self.literal(at + 1, true),
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
            // SQL has no `\` outside of literals.
            b'\\' if self.backslash == Backslash::Refuse => Err(self.meta_command()),
            b if b.is_ascii_digit() => Ok((TokenKind::Number, self.number())),
            b if is_word(b) => Ok((TokenKind::Word, self.run(at, |b| is_word(b) || b == b'$'))),
            _ => one(TokenKind::Other),
        })
    }

    /// True for a byte behind `:` that begins the name of a parameter. A digit does not where the `:` is that of a slice, `a[1:2]`.
    fn begins_parameter(&self, b: u8) -> bool {
        let before = self.at.checked_sub(1).and_then(|before| self.byte(before));
        is_parameter(b) && !(b.is_ascii_digit() && before.is_some_and(|b| is_word(b) || b == b']'))
    }

    /// The end of the number that begins here; `1.5` is one, `1.` is `1` and a dot.
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
        Err(self.problem("this `/*` comment has no end").hint("comments nest: every `/*` needs its own `*/`"))
    }

    /// `quote` is the offset of the opening quote. In plain literals Redshift reads `\` as an escape and standard SQL does not;
    /// the two differ about the end of the literal only for an odd number of `\` before a quote.
    fn literal(&self, quote: usize, escapes: bool) -> Result<(TokenKind, usize), SqlProblem> {
        let mut at = quote + 1;
        while let Some(b) = self.byte(at) {
            match (b, self.byte(at + 1)) {
                (b'\'', Some(b'\'')) => at += 2,
                (b'\'', _) => return Ok((TokenKind::Literal, at + 1)),
                (b'\\', Some(b'\'')) if !escapes && self.backslash == Backslash::Refuse => {
                    return Err(self
                        .problem("this string has `\\'`, which Redshift reads as a quote and standard SQL as the end of the string")
                        .hint("write a quote as `''`, a backslash before the end as `\\\\`"));
                }
                (b'\\', Some(_)) => at += 2,
                _ => at += 1,
            }
        }
        Err(self.problem("this string has no closing `'`").hint("a quote inside a string is written `''`"))
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
            .hint("a job of kind sql holds SQL statements only")
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

/// Letters of any language are letters for PostgreSQL and Redshift.
const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// `SqlParameter.name` of the Data API: `[0-9a-zA-Z_]+`.
const fn is_parameter(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
