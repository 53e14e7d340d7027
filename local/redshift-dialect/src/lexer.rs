//! Tokens of Redshift SQL. Every byte of the source is kept: white space and comments are stored as the `lead` of the
//! following token, so text that is not rewritten is printed unchanged.

use crate::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted word: a keyword, a name, or `#name` (a temporary table).
    Word,
    /// `"name"`.
    Quoted,
    /// `'text'`, where a backslash is an escape, as in Redshift.
    Str,
    /// `$tag$ text $tag$`.
    Dollar,
    Number,
    /// `:name`, a parameter of the Data API.
    Param,
    /// `$1`, an argument in the body of a SQL function.
    Positional,
    /// An operator or punctuation character.
    Op,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// White space and comments before the token.
    pub(crate) lead: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Byte offset in the source.
    pub(crate) at: usize,
}

/// The tokens, and the white space and comments after the last one.
pub(crate) fn tokens(sql: &str) -> Result<(Vec<Token>, String), Refusal> {
    let mut lexer = Lexer { sql, pos: 0 };
    let mut out = Vec::new();
    loop {
        let start = lexer.pos;
        lexer.trivia()?;
        let lead = sql[start..lexer.pos].to_owned();
        let at = lexer.pos;
        let Some(kind) = lexer.token()? else { return Ok((out, lead)) };
        out.push(Token { lead, kind, text: sql[at..lexer.pos].to_owned(), at });
    }
}

struct Lexer<'a> {
    sql: &'a str,
    pos: usize,
}

const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";

fn starts_word(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn in_word(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.pos..]
    }

    fn peek(&self, n: usize) -> Option<char> {
        self.rest().chars().nth(n)
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) {
        let n: usize = self.rest().chars().take_while(|&c| test(c)).map(char::len_utf8).sum();
        self.pos += n;
    }

    fn trivia(&mut self) -> Result<(), Refusal> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest().starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                self.block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Skips a block comment; block comments can be nested.
    fn block_comment(&mut self) -> Result<(), Refusal> {
        let at = self.pos;
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.pos += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.pos += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(c) = rest.chars().next() {
                self.pos += c.len_utf8();
            } else {
                return Err(Refusal::malformed(at, "/*", "unterminated comment; comments can be nested"));
            }
        }
    }

    fn token(&mut self) -> Result<Option<Kind>, Refusal> {
        let Some(c) = self.peek(0) else { return Ok(None) };
        let next = self.peek(1);
        let kind = match c {
            '\'' => self.string(1)?,
            '"' => self.quoted_identifier()?,
            '(' | '[' => self.one(Kind::Open),
            ')' | ']' => self.one(Kind::Close),
            '$' => self.dollar()?,
            ':' => self.colon(),
            '#' if next.is_some_and(starts_word) && self.after_boundary() => {
                self.pos += 1;
                self.take_while(in_word);
                Kind::Word
            }
            'e' | 'E' | 'x' | 'X' | 'b' | 'B' | 'n' | 'N' if next == Some('\'') => self.string(2)?,
            c if c.is_ascii_digit() || (c == '.' && next.is_some_and(|d| d.is_ascii_digit())) => self.number(),
            '.' if next == Some('.') => {
                self.pos += 2;
                Kind::Op
            }
            c if starts_word(c) => {
                self.take_while(in_word);
                // The name of a role can have a prefix: `sys:dba`, `aad:group`.
                let mut after = self.rest().chars();
                if after.next() == Some(':') && after.next().is_some_and(starts_word) {
                    self.pos += 1;
                    self.take_while(in_word);
                }
                Kind::Word
            }
            c if OPERATOR.contains(c) => self.operator(),
            ',' | ';' | '.' | '{' | '}' => self.one(Kind::Op),
            c => return Err(Refusal::syntax(self.pos, format!("\"{c}\""), "no token starts with this character")),
        };
        Ok(Some(kind))
    }

    fn one(&mut self, kind: Kind) -> Kind {
        self.pos += 1;
        kind
    }

    /// True where a name can start. There, `#name` is a temporary table; in `a#b`, `#` is an operator.
    fn after_boundary(&self) -> bool {
        self.sql[..self.pos].chars().next_back().is_none_or(|c| c.is_whitespace() || "(,.;/".contains(c))
    }

    fn string(&mut self, prefix: usize) -> Result<Kind, Refusal> {
        let at = self.pos;
        self.pos += prefix;
        let mut chars = self.sql[self.pos..].char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '\'' if chars.peek().is_some_and(|&(_, n)| n == '\'') => {
                    chars.next();
                }
                '\'' => {
                    self.pos += i + 1;
                    return Ok(Kind::Str);
                }
                _ => {}
            }
        }
        Err(Refusal::malformed(at, "'", "unterminated quoted string (a backslash escapes the following quote)"))
    }

    fn quoted_identifier(&mut self) -> Result<Kind, Refusal> {
        let at = self.pos;
        self.pos += 1;
        let mut chars = self.sql[self.pos..].char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if c == '"' && chars.next_if(|&(_, n)| n == '"').is_none() {
                self.pos += i + 1;
                return if i == 0 {
                    Err(Refusal::syntax(at, "\"\"", "zero-length delimited identifier"))
                } else {
                    Ok(Kind::Quoted)
                };
            }
        }
        Err(Refusal::malformed(at, "\"", "unterminated quoted identifier"))
    }

    fn dollar(&mut self) -> Result<Kind, Refusal> {
        let at = self.pos;
        if self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.pos += 1;
            self.take_while(|c| c.is_ascii_digit());
            return Ok(Kind::Positional);
        }
        self.pos += 1;
        self.take_while(|c| c == '_' || c.is_alphanumeric());
        if self.peek(0) != Some('$') {
            return Err(Refusal::syntax(at, "$", "expected $tag$ … $tag$ or $1"));
        }
        self.pos += 1;
        let tag = &self.sql[at..self.pos];
        match self.rest().find(tag) {
            Some(end) => {
                self.pos += end + tag.len();
                Ok(Kind::Dollar)
            }
            None => Err(Refusal::malformed(at, tag, "unterminated dollar-quoted string")),
        }
    }

    fn colon(&mut self) -> Kind {
        match self.peek(1) {
            Some(':' | '=') => {
                self.pos += 2;
                Kind::Op
            }
            Some(c) if starts_word(c) => {
                self.pos += 1;
                self.take_while(|c| c == '_' || c.is_alphanumeric());
                Kind::Param
            }
            _ => self.one(Kind::Op),
        }
    }

    fn number(&mut self) -> Kind {
        self.take_while(|c| c.is_ascii_digit());
        // `1..10` is the range of a FOR loop and does not start with the number `1.`.
        if self.peek(0) == Some('.') && self.peek(1) != Some('.') {
            self.pos += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
                self.pos += 1 + sign;
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        Kind::Number
    }

    /// An operator as PostgreSQL lexes it: the longest run of operator characters, without the start of a comment;
    /// `=-1` is `=` and `-`.
    fn operator(&mut self) -> Kind {
        let run: String = self.rest().chars().take_while(|&c| OPERATOR.contains(c)).collect();
        let cut = [run.find("--"), run.find("/*")].into_iter().flatten().min().unwrap_or(run.len());
        let mut op = &run[..cut];
        if !op.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
            while op.len() > 1 && op.ends_with(['+', '-']) {
                op = &op[..op.len() - 1];
            }
        }
        self.pos += op.len().max(1);
        Kind::Op
    }
}
