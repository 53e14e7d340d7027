//! Positions in a text.

/// A position in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The position of the character at the byte offset `at` of a text whose first character is at `self`.
    #[must_use]
    pub fn advanced(self, text: &str, at: usize) -> Self {
        let end = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let breaks = text[..end].bytes().filter(|b| *b == b'\n').count();
        let column = column(text, end);
        Self {
            line: self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX)),
            column: if breaks == 0 { self.column.saturating_add(column - 1) } else { column },
        }
    }
}

/// The column of the byte offset `at`, from 1, in the line of `text` that contains it.
pub(crate) fn column(text: &str, at: usize) -> u32 {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    u32::try_from(before[line..].chars().count()).unwrap_or(u32::MAX).saturating_add(1)
}
