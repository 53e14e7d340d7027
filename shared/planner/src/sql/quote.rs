//! The one place that quotes identifiers, and the one place that quotes texts.

use shiftwork_protocol::limits;

/// A name that Redshift cannot take as an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifierProblem {
    /// It is empty.
    Empty,
    /// It has a NUL character.
    Nul,
    /// It is longer than 127 bytes; holds its length.
    TooLong(usize),
}

impl std::fmt::Display for IdentifierProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("an identifier cannot be empty"),
            Self::Nul => f.write_str("an identifier cannot have a NUL character"),
            Self::TooLong(bytes) => {
                write!(f, "an identifier has at most {} bytes, this one has {bytes}", limits::IDENTIFIER_BYTES)
            }
        }
    }
}

impl std::error::Error for IdentifierProblem {}

/// `name` → `"name"`, quotes inside doubled.
pub fn quote_identifier(name: &str) -> Result<String, IdentifierProblem> {
    if name.is_empty() {
        Err(IdentifierProblem::Empty)
    } else if name.contains('\0') {
        Err(IdentifierProblem::Nul)
    } else if name.len() > limits::IDENTIFIER_BYTES {
        Err(IdentifierProblem::TooLong(name.len()))
    } else {
        Ok(format!("\"{}\"", name.replace('"', "\"\"")))
    }
}

/// `it's` → `'it''s'`.
///
/// A text with a backslash is dollar-quoted instead: between single quotes Redshift reads `\` as an escape and
/// PostgreSQL as a backslash, between dollars both read what is there.
pub fn quote_literal(text: &str) -> String {
    if !text.contains('\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut tag = String::from("$$");
    // A text that ends in `$` would run into its own closing tag.
    while text.contains(&tag) || format!("{text}$").contains(&tag) {
        tag = format!("${}q$", &tag[1..tag.len() - 1]);
    }
    format!("{tag}{text}{tag}")
}
