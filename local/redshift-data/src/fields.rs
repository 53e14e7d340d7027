//! Converts fields of COPY for their target columns, and reads and writes rows of PostgreSQL's COPY text format.

use crate::records::Record;
use redshift_dialect::{CopyFormat, CopySpec};

/// A column that COPY loads.
#[derive(Debug, Clone)]
pub(crate) struct TargetColumn {
    pub(crate) name: String,
    /// PostgreSQL's base type, e.g. `varchar`, `numeric`, `timestamp`.
    pub(crate) type_name: String,
    /// Maximum length of a `varchar(n)` or `char(n)`.
    pub(crate) max_length: Option<usize>,
    /// Total number of digits of a `numeric(p, s)`.
    pub(crate) precision: Option<usize>,
    /// Number of digits after the decimal point of a `numeric(p, s)`.
    pub(crate) scale: Option<usize>,
}

impl TargetColumn {
    fn is_text(&self) -> bool {
        matches!(self.type_name.as_str(), "varchar" | "bpchar" | "text" | "char")
    }

    fn is_timestamp(&self) -> bool {
        matches!(self.type_name.as_str(), "timestamp" | "timestamptz")
    }
}

/// Appends `record` to `out` as a row in PostgreSQL's text format.
///
/// # Errors
/// Returns a description of the problem with the record or one of its fields.
pub(crate) fn encode(
    record: Record,
    spec: &CopySpec,
    columns: &[TargetColumn],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let count = record.len();
    if count > columns.len() {
        return Err(format!("Extra column(s) found: expected {}, found {count}", columns.len()));
    }
    if count < columns.len() && !spec.fill_record {
        return Err(format!("Delimiter not found: expected {} columns, found {count}", columns.len()));
    }
    let positional = !matches!(spec.format, CopyFormat::Json(_));
    let mut fields = record.into_iter();
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        // Fields that FILLRECORD adds are an empty string for VARCHAR and NULL for other types.
        let raw = fields.next().unwrap_or(Some(Vec::new()));
        let field = raw.map(|raw| text(raw, spec, column)).transpose()?;
        match field.and_then(|field| prepared(field, spec, column, positional).transpose()).transpose()? {
            Some(field) => escape(&field, out),
            None => out.extend_from_slice(b"\\N"),
        }
    }
    out.push(b'\n');
    Ok(())
}

fn text(raw: Vec<u8>, spec: &CopySpec, column: &TargetColumn) -> Result<String, String> {
    match String::from_utf8(raw) {
        Ok(text) => Ok(text),
        Err(error) => match spec.accept_inv_chars {
            Some(replacement) => Ok(String::from_utf8_lossy(error.as_bytes())
                .replace(char::REPLACEMENT_CHARACTER, replacement.encode_utf8(&mut [0; 4]))),
            None => Err(format!("column {}: the value is not UTF-8 (see ACCEPTINVCHARS)", column.name)),
        },
    }
}

/// Applies the options of `spec` to a field; `None` is NULL.
fn prepared(
    mut field: String,
    spec: &CopySpec,
    column: &TargetColumn,
    positional: bool,
) -> Result<Option<String>, String> {
    if positional && field == spec.null_as {
        return Ok(None);
    }
    if column.is_text() {
        if spec.trim_blanks {
            field.truncate(field.trim_end().len());
        }
        let blank = spec.blanks_as_null && !field.is_empty() && field.trim().is_empty();
        if blank || (spec.empty_as_null && field.is_empty()) {
            return Ok(None);
        }
        if let Some(max) = column.max_length.filter(|_| spec.truncate_columns)
            && field.len() > max
        {
            let cut = (0..=max).rev().find(|at| field.is_char_boundary(*at)).unwrap_or(0);
            field.truncate(cut);
        }
        return Ok(Some(field));
    }
    if field.trim().is_empty() {
        return Ok(None);
    }
    if column.is_timestamp() {
        return epoch_time(field, spec, column).map(Some);
    }
    if let Some(scale) = column.scale.filter(|_| !spec.round_decimals) {
        cut_decimals(&mut field, scale);
    }
    Ok(Some(field))
}

fn epoch_time(field: String, spec: &CopySpec, column: &TargetColumn) -> Result<String, String> {
    let moment = match spec.time_format.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("epochsecs") => field.trim().parse().ok().and_then(|s| jiff::Timestamp::from_second(s).ok()),
        Some("epochmillisecs") => field.trim().parse().ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
        _ => return Ok(field),
    };
    moment
        .map(|moment| moment.to_string())
        .ok_or_else(|| format!("column {}: '{field}' is not a valid epoch time", column.name))
}

/// Truncates digits that exceed the scale of the column. Redshift truncates without ROUNDEC; PostgreSQL would round.
fn cut_decimals(field: &mut String, scale: usize) {
    let plain = field.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b' '));
    if let Some(point) = field.find('.').filter(|_| plain) {
        field.truncate(field.len().min(point + 1 + scale));
    }
}

/// Appends a field, escaped for PostgreSQL's text format.
pub(crate) fn escape(field: &str, out: &mut Vec<u8>) {
    for byte in field.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(byte),
        }
    }
}

/// The fields of a line in PostgreSQL's text format; `None` is NULL.
pub(crate) fn decode_row(line: &[u8]) -> Vec<Option<String>> {
    line.split(|byte| *byte == b'\t')
        .map(|field| {
            if field == b"\\N" {
                return None;
            }
            let mut text = Vec::with_capacity(field.len());
            let mut bytes = field.iter();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\\' => text.push(match bytes.next() {
                        Some(b'b') => 8,
                        Some(b'f') => 12,
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b't') => b'\t',
                        Some(b'v') => 11,
                        Some(other) => *other,
                        None => b'\\',
                    }),
                    other => text.push(*other),
                }
            }
            Some(String::from_utf8_lossy(&text).into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{cut_decimals, decode_row, escape};

    proptest::proptest! {
        #[test]
        fn decoding_an_encoded_row_returns_its_fields(fields in proptest::collection::vec("[a-z\\\\\t\n\r\u{8}é|\"]{0,8}", 1..5)) {
            let mut line = Vec::new();
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    line.push(b'\t');
                }
                escape(field, &mut line);
            }
            let back: Vec<String> = decode_row(&line).into_iter().flatten().collect();
            proptest::prop_assert_eq!(back, fields);
        }
    }

    #[test]
    fn decimals_are_truncated_not_rounded() {
        let cut = |text: &str| {
            let mut text = text.to_owned();
            cut_decimals(&mut text, 2);
            text
        };
        assert_eq!(cut("1.239"), "1.23");
        assert_eq!(cut("-7"), "-7");
        assert_eq!(cut("1.5e3"), "1.5e3");
    }
}
