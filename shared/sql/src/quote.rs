//! Quoting of identifiers and string literals.

use std::fmt;

/// Maximum length of an identifier in bytes (Redshift developer guide, "Names and identifiers").
pub const IDENTIFIER_BYTES: usize = 127;

/// Words that must be quoted to be identifiers in Redshift ("Reserved words" of its SQL reference) or in PostgreSQL, which replaces
/// Redshift in the local stack. Quoting a word that is not reserved does no harm.
const RESERVED: &str = " aes128 aes256 all allowoverwrite analyse analyze and any array as asc asymmetric authorization az64 \
    backup between binary blanksasnull both by bytedict bzip2 case cast char character check coalesce collate collation column \
    concurrently constraint create credentials cross cube current_catalog current_date current_role current_schema current_time \
    current_timestamp current_user current_user_id decimal decode default deferrable deflate defrag delta delta32k desc disable \
    distinct do else elsif emptyasnull enable encode encrypt encryption end escape except exclude exists explicit extract false \
    fetch filter for foreign freeze from full globaldict256 globaldict64k grant greatest group grouping groups gzip having identity \
    if ignore ilike in initially inner inout insert intersect interval into is isnull join lateral leading least left like limit \
    localtime localtimestamp loop lun luns lzo lzop merge minus mostly16 mostly32 mostly8 natural new not notnull null nullif nulls \
    of off offline offset oid old on only open or order out outer over overlaps overlay parallel partition percent permissions \
    pivot placing position precision primary qualify range raw readratio recover references rejectlog resort respect restore return \
    returning right rollup row rows select session_user set sets setof similar snapshot some start substring symmetric sysdate \
    system system_user table tablesample tag tdes text255 text32k then time timestamp to top trailing treat trim true \
    truncatecolumns union unique unnest unpivot update user using values varchar variadic verbose wallet when where while window \
    with within without xmltable ";

/// The reason why a name is not a valid identifier in Redshift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifierProblem {
    /// The name is empty.
    Empty,
    /// The name contains a NUL character.
    Nul,
    /// The name is longer than [`IDENTIFIER_BYTES`]; the field is its length in bytes.
    TooLong(usize),
}

impl fmt::Display for IdentifierProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an identifier cannot be empty"),
            Self::Nul => f.write_str("an identifier cannot contain a NUL character"),
            Self::TooLong(bytes) => {
                write!(f, "an identifier can have at most {IDENTIFIER_BYTES} bytes, and this one has {bytes}")
            }
        }
    }
}

impl std::error::Error for IdentifierProblem {}

/// Validates a name and quotes it: `name` becomes `"name"`. Use it for names from user input.
///
/// # Errors
/// Returns an error if the name is not a valid identifier, even in quotes.
pub fn quote_identifier(name: &str) -> Result<String, IdentifierProblem> {
    if name.is_empty() {
        Err(IdentifierProblem::Empty)
    } else if name.contains('\0') {
        Err(IdentifierProblem::Nul)
    } else if name.len() > IDENTIFIER_BYTES {
        Err(IdentifierProblem::TooLong(name.len()))
    } else {
        Ok(quoted(name))
    }
}

/// Writes a validated name without quotes if that is possible, and in double quotes otherwise.
pub fn identifier(name: &str) -> String {
    let mut bytes = name.bytes();
    let is_plain = bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !RESERVED.contains(&format!(" {name} "));
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// Writes a validated name in double quotes, which Redshift and PostgreSQL read the same way.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string: `it's` becomes `'it''s'`, and `\d` becomes `$$\d$$`.
///
/// A string that contains a backslash is written between dollar quotes. Between single quotes Redshift reads `\` as an escape and
/// PostgreSQL as a plain character; between dollar quotes both read the string unchanged.
pub fn quote_literal(text: &str) -> String {
    if !text.contains('\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut tag = String::from("$$");
    // A `$` at the end of the string would combine with the closing tag, so the string is also tested with a `$` appended.
    while text.contains(&tag) || format!("{text}$").contains(&tag) {
        tag = format!("${}q$", &tag[1..tag.len() - 1]);
    }
    format!("{tag}{text}{tag}")
}
