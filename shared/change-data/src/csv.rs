//! The format of a staged file: RFC 4180 with `\n` after each record, and `\N` without quotes for NULL.
//!
//! Each value has exactly one notation, so that the outputs of two decoders can be compared byte by byte. A value is quoted if and only if
//! it contains `,` `"` `\n` or `\r`, is empty, or begins with U+FEFF (which would be a byte order mark at the beginning of a file).

use crate::scan;

/// The text of NULL, as in the COPY statement (`NULL AS '\\N'`).
pub const NULL: &str = r"\N";

/// Whether COPY would read a value as NULL. Quotes do not prevent this, because COPY compares the text without them.
pub fn reads_as_null(value: &str) -> bool {
    value == NULL
}

/// Writes NULL.
#[inline]
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(NULL.as_bytes());
}

/// Writes the separator between two fields.
#[inline]
pub fn comma(out: &mut Vec<u8>) {
    out.push(b',');
}

/// Writes the end of a record.
#[inline]
pub fn end(out: &mut Vec<u8>) {
    out.push(b'\n');
}

/// Writes a value that does not need quotes, such as digits, dates and fixed words.
#[inline]
pub fn plain(out: &mut Vec<u8>, value: &str) {
    debug_assert!(!needs_quotes(value.as_bytes()), "{value:?} needs quotes");
    out.extend_from_slice(value.as_bytes());
}

/// Whether a value must be quoted.
pub fn needs_quotes(value: &[u8]) -> bool {
    value.is_empty() || scan::has(value, [b',', b'"', b'\n', b'\r']) || value.starts_with("\u{feff}".as_bytes())
}

/// Writes a value other than NULL, with quotes if necessary.
pub fn text(out: &mut Vec<u8>, value: &str) {
    if needs_quotes(value.as_bytes()) {
        quoted(out, value);
    } else {
        out.extend_from_slice(value.as_bytes());
    }
}

fn quoted(out: &mut Vec<u8>, value: &str) {
    out.reserve(value.len() + 2);
    out.push(b'"');
    let mut parts = value.split('"');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.extend_from_slice(b"\"\"");
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{comma, end, null, text};

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        text(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_quoted_only_if_necessary() {
        assert_eq!(written("plain text; with |, no"), "\"plain text; with |, no\"");
        assert_eq!(written("plain text; with |"), "plain text; with |");
        assert_eq!(written("6\" pipe"), "\"6\"\" pipe\"");
        assert_eq!(written("\""), "\"\"\"\"");
        assert_eq!(written("two\nlines"), "\"two\nlines\"");
        assert_eq!(written(""), "\"\"");
        assert_eq!(written(" ü "), " ü ");
    }

    proptest! {
        /// Another CSV library reads the same fields back.
        #[test]
        fn a_record_reads_back(fields in prop::collection::vec("(?s:.{0,12})|[,\"\r\n a]{0,6}", 2..6)) {
            let mut out = Vec::new();
            for field in &fields {
                text(&mut out, field);
                comma(&mut out);
            }
            null(&mut out);
            end(&mut out);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(records.len(), 1);
            let mut wanted = fields;
            wanted.push(super::NULL.into());
            prop_assert_eq!(records[0].iter().collect::<Vec<_>>(), wanted);
        }
    }
}
