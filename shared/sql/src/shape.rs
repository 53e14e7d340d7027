//! The shape of a statement: what decides how Redshift runs it, without whitespace, comments and the content of parentheses.

use crate::TokenKind;

/// The tokens of a statement outside of parentheses. A word is in upper case, a quoted identifier is as written, a literal is `'`, a
/// placeholder is `:`, and a pair of parentheses is `(`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    parts: Vec<String>,
    depth: u32,
}

impl Shape {
    pub(crate) fn push(&mut self, kind: TokenKind, written: &str) {
        if self.depth > 0 && !matches!(kind, TokenKind::Open | TokenKind::Close) {
            return;
        }
        match kind {
            TokenKind::Close => self.depth = self.depth.saturating_sub(1),
            TokenKind::Open => {
                if self.depth == 0 {
                    self.parts.push("(".to_owned());
                }
                self.depth += 1;
            }
            TokenKind::Space | TokenKind::Comment | TokenKind::Semicolon => {}
            TokenKind::Word => self.parts.push(written.to_ascii_uppercase()),
            TokenKind::Literal => self.parts.push("'".to_owned()),
            TokenKind::Placeholder => self.parts.push(":".to_owned()),
            TokenKind::QuotedIdentifier | TokenKind::Number | TokenKind::Dot | TokenKind::Other => {
                self.parts.push(written.to_owned());
            }
        }
    }

    /// The parts from the beginning of the statement.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts(&self.parts)
    }
}

/// The rest of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a>(&'a [String]);

impl<'a> Parts<'a> {
    /// Skips the words if they come next.
    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let comes_next = self.begins(words);
        if comes_next {
            self.0 = &self.0[words.len()..];
        }
        comes_next
    }

    /// Skips one of the words if it comes next.
    pub(crate) fn eat_one_of(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eat(&[word]))
    }

    pub(crate) fn begins(&self, words: &[&str]) -> bool {
        self.0.len() >= words.len() && self.0.iter().zip(words).all(|(part, word)| part == word)
    }

    /// Returns true if the words stand next to each other anywhere in the rest.
    pub(crate) fn contains(&self, words: &[&str]) -> bool {
        self.0.windows(words.len()).any(|parts| parts.iter().zip(words).all(|(part, word)| part == word))
    }

    /// Skips everything up to and including the next occurrence of the word. Returns false, and skips nothing, if the word does not occur.
    pub(crate) fn eat_past(&mut self, word: &str) -> bool {
        let Some(at) = self.0.iter().position(|part| part == word) else { return false };
        self.0 = &self.0[at + 1..];
        true
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&'a str> {
        self.0.first().map(String::as_str)
    }

    /// Skips a name such as `a`, `"a b".c` or `a.b.c` and returns its parts in upper case and without quotes; `None` if no name comes next.
    pub(crate) fn eat_name(&mut self) -> Option<Vec<String>> {
        let mut name = Vec::new();
        loop {
            let part =
                self.first().filter(|part| part.starts_with(|c: char| c == '"' || c == '_' || c.is_alphabetic()))?;
            name.push(part.trim_matches('"').to_ascii_uppercase());
            self.0 = &self.0[1..];
            if !self.eat(&["."]) {
                return Some(name);
            }
        }
    }

    /// The first words, at most `count`, joined by spaces.
    pub(crate) fn words(&self, count: usize) -> String {
        let is_word = |part: &&String| part.starts_with(|c: char| c == '_' || c.is_alphabetic());
        self.0.iter().take(count).take_while(is_word).cloned().collect::<Vec<_>>().join(" ")
    }
}
