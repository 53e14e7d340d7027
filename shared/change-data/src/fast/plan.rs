//! How the values of a column are written: directly for common pairs of types, by [`crate::fit`] for all others.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    time::{Calendar, zoned},
    write::Row,
};
use crate::{
    column_type::ColumnType,
    compiled::{Compiled, CompiledColumn},
    fit::{Fit, LONGEST_DOUBLE, LONGEST_REAL, fit},
    json::RawJson,
    logical::{Logical, Unit},
    number,
    scan::{Kind, Span},
    super_json::Flaws,
    value::Value,
};

/// How the values of a column are written directly.
#[derive(Debug, Clone)]
enum DirectWrite {
    /// Not at all: the full decoder writes them.
    Fit,
    /// Strings of at most this number of bytes, and numbers.
    Text(usize),
    /// ASCII strings of at most this number of bytes, and numbers.
    Ascii(usize),
    /// Integers of at most this number of digits.
    Integer(usize),
    /// Numbers, also as strings, with at most these numbers of digits before and after the decimal point.
    Decimal {
        whole: usize,
        scale: usize,
    },
    /// Base64 of an unscaled value, with this number of digits after the decimal point.
    Unscaled {
        whole: usize,
        scale: usize,
        point: usize,
    },
    /// Numbers of at most this number of bytes, none of which is out of range.
    Float(usize),
    Boolean,
    /// Days since the epoch.
    Date,
    /// Counts since the epoch, and the suffix after the time.
    Instant(Unit, &'static [u8]),
    /// Texts in ISO 8601.
    Zoned(&'static [u8]),
}

/// The method by which a column's values are written, and its parameters.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    direct_write: DirectWrite,
    /// Logical type of the values.
    logical: Logical,
    calendar: Calendar,
    pub(super) is_key: bool,
    /// Whether the column is part of the contract's key, whatever the kind of table.
    pub(super) identifies: bool,
    pub(super) can_be_null: bool,
}

impl Plan {
    /// `of_event` is the logical type in the event's schema; `None` if the event has no schema.
    pub(super) fn new(column: &CompiledColumn, of_event: Option<&Logical>) -> Self {
        let logical = column.logical(of_event);
        Self {
            direct_write: direct_write(column.column_type, logical),
            logical: logical.clone(),
            calendar: Calendar::default(),
            is_key: column.is_key,
            identifies: column.identifies,
            can_be_null: column.can_be_null,
        }
    }

    /// Writes a value that is not null, directly if possible. If the result is `None`, the row must be discarded.
    #[inline]
    pub(super) fn write(&mut self, record: &str, span: Span, row: &mut Row) -> Option<()> {
        let bytes = record.as_bytes();
        let is_taken = match (&self.direct_write, span.kind) {
            (DirectWrite::Text(most), Kind::Plain | Kind::Comma | Kind::Escaped) => row.string(bytes, span, *most),
            (DirectWrite::Ascii(most), Kind::Plain | Kind::Comma) => {
                span.of(bytes).is_ascii() && row.string(bytes, span, *most)
            }
            (DirectWrite::Integer(most), Kind::Integer) => {
                row.raw(bytes, span);
                span.len() <= *most && !matches!(span.of(bytes), [b'-', b'0'])
            }
            (DirectWrite::Float(most) | DirectWrite::Text(most), Kind::Integer | Kind::Fraction) => {
                row.raw(bytes, span);
                span.len() <= *most
            }
            (DirectWrite::Decimal { whole, scale }, Kind::Plain | Kind::Integer | Kind::Fraction) => {
                decimal(span.of(bytes), *whole, *scale, row)
            }
            (DirectWrite::Unscaled { whole, scale, point }, Kind::Plain) => {
                unscaled(span.of(bytes), *whole, *scale, *point, row)
            }
            (DirectWrite::Boolean, Kind::True) => {
                row.first(*b"true", 4);
                true
            }
            (DirectWrite::Boolean, Kind::False) => {
                row.first(*b"false", 5);
                true
            }
            (DirectWrite::Date, Kind::Integer) => {
                row.first(self.calendar.date(integer(span.of(bytes))?)?, 10);
                true
            }
            (DirectWrite::Instant(unit, behind), Kind::Integer) => {
                let (micros, cut) = unit.micros(integer(span.of(bytes))?)?;
                let (text, length) = self.calendar.timestamp(micros)?;
                row.first(text, length);
                row.bytes(behind);
                !cut
            }
            (DirectWrite::Zoned(behind), Kind::Plain) => {
                let (text, length) = zoned(span.of(bytes))?;
                row.first(text, length);
                row.bytes(behind);
                true
            }
            _ => false,
        };
        is_taken.then_some(())
    }

    /// Writes a value by the full decoder's code. `None` if the value needs more than its field, such as a note.
    pub(super) fn fitted(
        &self,
        compiled: &Compiled,
        column_type: ColumnType,
        record: &str,
        span: Span,
        row: &mut Row,
    ) -> Option<()> {
        let value = Value::of_json(RawJson::known(span.json(record)?));
        if compiled.placeholder().is(&value) {
            return None;
        }
        let (mut flaws, mut out) = (Flaws::default(), Vec::new());
        let value = value.decoded(&self.logical);
        let fit = fit(&value, column_type, compiled.contract().limits(), &mut flaws, &mut out).ok()?;
        if fit != Fit::Written || flaws.describe().is_some() {
            return None;
        }
        row.make_room(out.len());
        row.bytes(&out);
        Some(())
    }
}

fn direct_write(column_type: ColumnType, logical: &Logical) -> DirectWrite {
    let is_plain = matches!(logical, Logical::Plain | Logical::ZonedTime);
    match (column_type, logical) {
        // A column of numbers takes a count without regard to its unit.
        (ColumnType::SmallInt, _) => DirectWrite::Integer(4),
        (ColumnType::Integer, _) => DirectWrite::Integer(9),
        (ColumnType::BigInt, _) => DirectWrite::Integer(18),
        (ColumnType::Real, _) => DirectWrite::Float(LONGEST_REAL),
        (ColumnType::Double, _) => DirectWrite::Float(LONGEST_DOUBLE),
        (ColumnType::Boolean, _) => DirectWrite::Boolean,
        // Redshift keeps 19 digits in 64 bits, which cannot hold all values of 19 digits.
        (ColumnType::Decimal(precision, scale), logical) if precision != 19 => {
            let (whole, scale) = (usize::from(precision - scale), usize::from(scale));
            match logical {
                Logical::Decimal(Some(point @ 0..=18)) => {
                    DirectWrite::Unscaled { whole, scale, point: point.unsigned_abs() as usize }
                }
                _ if is_plain => DirectWrite::Decimal { whole, scale },
                _ => DirectWrite::Fit,
            }
        }
        (ColumnType::Char(most), _) if is_plain => DirectWrite::Ascii(most as usize),
        (ColumnType::Varchar(most), _) if is_plain => DirectWrite::Text(most as usize),
        (ColumnType::Date, Logical::Date) => DirectWrite::Date,
        (ColumnType::Timestamp, Logical::Timestamp(unit)) => DirectWrite::Instant(*unit, b""),
        (ColumnType::TimestampTz, Logical::Timestamp(unit)) => DirectWrite::Instant(*unit, b"+00"),
        (ColumnType::Timestamp, _) if is_plain => DirectWrite::Zoned(b""),
        (ColumnType::TimestampTz, _) if is_plain => DirectWrite::Zoned(b"+00"),
        _ => DirectWrite::Fit,
    }
}

/// Reads an integer of at most 18 digits.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, mut rest) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    if rest.len() > 18 || rest.is_empty() {
        return None;
    }
    let mut value = 0;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        value = value * 100_000_000 + eight_digits(*eight);
        rest = behind;
    }
    let value = rest.iter().fold(value, |value, digit| value * 10 + u64::from(digit - b'0')).cast_signed();
    Some(if is_negative { -value } else { value })
}

/// The value of eight digits: adds digits to pairs, pairs to fours, and fours to eight, in parallel in one register.
#[inline]
fn eight_digits(digits: [u8; 8]) -> u64 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = ones.wrapping_mul((10 << 8) + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul((100 << 16) + 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul((10_000 << 32) + 1) >> 32
}

/// Writes a number without trailing zeros after the decimal point, if a DECIMAL holds it exactly.
#[inline]
fn decimal(text: &[u8], whole: usize, scale: usize, row: &mut Row) -> bool {
    let shortest = number::shortest_decimal(text, whole, scale);
    if let Some(shortest) = shortest {
        row.bytes(shortest);
    }
    shortest.is_some()
}

/// Writes the number whose two's complement is in base64, if a DECIMAL holds it exactly.
fn unscaled(text: &[u8], most_whole: usize, most_fraction: usize, point: usize, row: &mut Row) -> bool {
    // Eleven characters of base64 and one of padding are eight bytes.
    let mut decoded = [0; 12];
    let Ok(length) = STANDARD.decode_slice(text, &mut decoded) else { return false };
    let bytes = &decoded[..length];
    let Some(first) = bytes.first().filter(|_| bytes.len() <= 8) else { return false };
    let mut extended = [if first & 0x80 == 0 { 0 } else { 0xff }; 8];
    extended[8 - bytes.len()..].copy_from_slice(bytes);
    let unscaled = i64::from_be_bytes(extended);
    let mut number = [0; 32];
    let text = point_in(unscaled, point, &mut number);
    decimal(text, most_whole, most_fraction, row)
}

/// Writes an integer with its last `point` digits, at most 18, after the decimal point: `-0.05`.
fn point_in(unscaled: i64, point: usize, text: &mut [u8; 32]) -> &[u8] {
    let mut rest = unscaled.unsigned_abs();
    let mut at = text.len();
    let mut written = 0;
    while rest > 0 || written <= point {
        if written == point && point > 0 {
            at -= 1;
            text[at] = b'.';
        }
        at -= 1;
        // A remainder of a division by 10 fits a digit.
        #[allow(clippy::cast_possible_truncation)]
        let digit = (rest % 10) as u8;
        text[at] = b'0' + digit;
        rest /= 10;
        written += 1;
    }
    if unscaled < 0 {
        at -= 1;
        text[at] = b'-';
    }
    &text[at..]
}
