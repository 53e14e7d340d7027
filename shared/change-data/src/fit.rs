//! Decides whether a value is valid for its column's type, and writes it to the staged file.

use std::{borrow::Cow, num::FpCategory};

use crate::{
    column_type::{ColumnType, LONGEST_STRING},
    contract::{Limits, Oversized},
    csv, geometry,
    json::Text,
    number::{Number, is_short, short_integer, shortest_decimal},
    super_json::{Flaws, LimitExceeded, Writer, fitted},
    time,
    value::{Temporal, TemporalKind, Value, bit_number, bit_string},
};

/// The outcome for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The value was written.
    Written,
    /// The policy makes the value NULL, for this reason. Nothing was written.
    Nulled(&'static str),
    /// The value is not valid for the column's type. Nothing was written.
    Misfit,
}

/// Writes a value as a field of a staged file, if the column's type holds it exactly.
///
/// # Errors
/// The reason for which the policy refuses the row.
pub(crate) fn fit(
    value: &Value<'_>,
    column: ColumnType,
    limits: Limits,
    flaws: &mut Flaws,
    out: &mut Vec<u8>,
) -> Result<Fit, &'static str> {
    let policy = limits.oversized;
    let written = match column {
        ColumnType::SmallInt => integer(value, i16::MIN.into(), i16::MAX.into(), out),
        ColumnType::Integer => integer(value, i32::MIN.into(), i32::MAX.into(), out),
        ColumnType::BigInt => integer(value, i64::MIN.into(), i64::MAX.into(), out),
        ColumnType::Decimal(precision, scale) => decimal(value, precision, scale, out),
        ColumnType::Real => float(value, LONGEST_REAL, |text| text.parse::<f32>().map(f32::classify).ok(), out),
        ColumnType::Double => float(value, LONGEST_DOUBLE, |text| text.parse::<f64>().map(f64::classify).ok(), out),
        ColumnType::Boolean => boolean(value, out),
        ColumnType::Date => date(value, out),
        ColumnType::Time => clock(value, flaws, out),
        ColumnType::TimeTz => clock_with_zone(value, flaws, out),
        ColumnType::Timestamp => timestamp(value, flaws, out),
        ColumnType::TimestampTz => instant(value, flaws, out),
        ColumnType::Varbyte(most) => varbyte(value, most as usize, out),
        ColumnType::Geometry => shape(value, false, out),
        ColumnType::Geography => shape(value, true, out),
        ColumnType::Char(most) => return text(value, most as usize, str::is_ascii, policy, flaws, out),
        ColumnType::Varchar(most) => return text(value, most as usize, |_| true, policy, flaws, out),
        ColumnType::Super => return document(value, limits, flaws, out),
    };
    Ok(if written.is_some() { Fit::Written } else { Fit::Misfit })
}

/// The text of a number, or of a string that is a number.
fn number<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::Number(number) => Some(number),
        Value::Text(text) => Some(&text.text),
        // In a column of numbers a count of days or microseconds is kept as the count.
        Value::Temporal(temporal) => Some(&temporal.raw),
        Value::Null
        | Value::Bool(_)
        | Value::NotFinite(_)
        | Value::Bytes { .. }
        | Value::Bits { .. }
        | Value::Shape { .. }
        | Value::Embedded(_)
        | Value::Document(..) => None,
    }
}

fn integer(value: &Value<'_>, least: i128, most: i128, out: &mut Vec<u8>) -> Option<()> {
    let number = match value {
        Value::Bits { bytes, .. } => i128::from(bit_number(bytes)?),
        other => {
            let text = number(other)?;
            match short_integer(text) {
                // The text is written as it is, except `-0`.
                Some(short) if short != 0 => {
                    return (least..=most).contains(&i128::from(short)).then(|| csv::plain(out, text));
                }
                Some(_) => 0,
                None => Number::parse(text)?.integer()?,
            }
        }
    };
    (least..=most).contains(&number).then(|| csv::plain(out, &number.to_string()))
}

fn decimal(value: &Value<'_>, precision: u8, scale: u8, out: &mut Vec<u8>) -> Option<()> {
    let text = number(value)?;
    // Redshift keeps 19 digits in 64 bits, which cannot hold all values of 19 digits.
    let shortest = (precision != 19)
        .then(|| shortest_decimal(text.as_bytes(), usize::from(precision - scale), usize::from(scale)))
        .flatten();
    if let Some(shortest) = shortest {
        out.extend_from_slice(shortest);
        return Some(());
    }
    let number = Number::parse(text).filter(|number| number.fits(precision, scale))?;
    csv::plain(out, &number.plain()?);
    Some(())
}

/// Bytes of numbers without an exponent that a REAL or a DOUBLE PRECISION holds in any case: they have between 10^-30 and 10^30, or
/// between 10^-64 and 10^64.
pub(crate) const LONGEST_REAL: usize = 30;
pub(crate) const LONGEST_DOUBLE: usize = 64;

fn float(value: &Value<'_>, most: usize, classify: fn(&str) -> Option<FpCategory>, out: &mut Vec<u8>) -> Option<()> {
    if let Value::NotFinite(name) = value {
        csv::plain(out, name);
        return Some(());
    }
    let text = number(value)?;
    // No number of this length is out of range.
    if is_short(text, most) {
        csv::plain(out, text);
        return Some(());
    }
    if let Some(name) = Value::not_finite(text) {
        csv::plain(out, name);
        return Some(());
    }
    let read = Number::parse(text)?;
    // A number other than zero that becomes zero is too small. Redshift also refuses subnormal numbers.
    let is_held = match classify(text)? {
        FpCategory::Normal => true,
        FpCategory::Zero => read.is_zero(),
        FpCategory::Subnormal | FpCategory::Infinite | FpCategory::Nan => false,
    };
    is_held.then(|| csv::plain(out, text))
}

fn boolean(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let value = match value {
        Value::Bool(value) => *value,
        Value::Number(number) => match Number::parse(number)?.integer()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        Value::Text(text) => match &*text.text {
            "true" => true,
            "false" => false,
            _ => return None,
        },
        Value::Bits { bytes, length: 1 } => bit_number(bytes)? == 1,
        Value::Null
        | Value::NotFinite(_)
        | Value::Temporal(_)
        | Value::Bytes { .. }
        | Value::Bits { .. }
        | Value::Shape { .. }
        | Value::Embedded(_)
        | Value::Document(..) => return None,
    };
    csv::plain(out, if value { "true" } else { "false" });
    Some(())
}

const DAY: i64 = 86_400_000_000;

fn temporal<'v, 't>(value: &'v Value<'t>) -> Option<&'v Temporal<'t>> {
    if let Value::Temporal(temporal) = value { Some(temporal) } else { None }
}

fn written<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    if let Value::Text(text) = value { Some(&text.text) } else { None }
}

fn date(value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    let days = match temporal(value) {
        Some(Temporal { kind: TemporalKind::Date, count, .. }) => *count,
        // Oracle's DATE and SQL Server's DATETIME are sent as timestamps; at midnight they are dates.
        Some(Temporal { kind: TemporalKind::Timestamp, count, cut: false, .. }) if count % DAY == 0 => count / DAY,
        Some(_) => return None,
        // Debezium's ISO date strings end in Z.
        None => written(value).and_then(|text| time::read_date(text.strip_suffix('Z').unwrap_or(text)))?,
    };
    time::date(out, days).then_some(())
}

fn clock(value: &Value<'_>, flaws: &mut Flaws, out: &mut Vec<u8>) -> Option<()> {
    let (micros, cut) = match temporal(value) {
        Some(Temporal { kind: TemporalKind::Time, count, cut, .. }) => (*count, *cut),
        Some(_) => return None,
        None => {
            let text = written(value)?;
            let read = time::read_time(text.strip_suffix('Z').unwrap_or(text))?;
            (read.micros, read.cut)
        }
    };
    time::time(out, micros).then(|| note(cut, flaws))
}

fn note(cut: bool, flaws: &mut Flaws) {
    if cut {
        flaws.cut_to_micros();
    }
}

fn clock_with_zone(value: &Value<'_>, flaws: &mut Flaws, out: &mut Vec<u8>) -> Option<()> {
    let text = written(value)?;
    let (clock, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, "+00:00"),
        None => text.split_at(text.rfind(['+', '-'])?),
    };
    let digits = zone.get(1..)?;
    let is_zone = matches!(digits.len(), 2 | 5)
        && digits.bytes().enumerate().all(|(at, byte)| if at == 2 { byte == b':' } else { byte.is_ascii_digit() });
    // The range of offsets (Redshift docs, "Datetime types").
    let hours: u8 = digits.get(..2)?.parse().ok()?;
    let minutes: u8 = digits.get(3..).filter(|minutes| !minutes.is_empty()).map_or(Ok(0), str::parse).ok()?;
    let read = time::read_time(clock).filter(|_| is_zone && hours <= 15 && minutes < 60)?;
    time::time(out, read.micros).then(|| {
        csv::plain(out, zone);
        note(read.cut, flaws);
    })
}

fn timestamp(value: &Value<'_>, flaws: &mut Flaws, out: &mut Vec<u8>) -> Option<()> {
    let (micros, cut) = match temporal(value) {
        Some(Temporal { kind: TemporalKind::Timestamp, count, cut, .. }) => (*count, *cut),
        Some(Temporal { kind: TemporalKind::Date, count, .. }) => (count.checked_mul(DAY)?, false),
        Some(_) => return None,
        None => {
            let text = written(value)?;
            let read = if time::has_zone(text) { time::read_instant(text)? } else { time::read_civil(text)? };
            (read.micros, read.cut)
        }
    };
    time::timestamp(out, micros).then(|| note(cut, flaws))
}

fn instant(value: &Value<'_>, flaws: &mut Flaws, out: &mut Vec<u8>) -> Option<()> {
    timestamp(value, flaws, out)?;
    csv::plain(out, "+00");
    Some(())
}

fn varbyte(value: &Value<'_>, most: usize, out: &mut Vec<u8>) -> Option<()> {
    let (Value::Bytes { bytes, .. } | Value::Bits { bytes, .. }) = value else { return None };
    (bytes.len() <= most).then(|| csv::text(out, &hex::encode(bytes)))
}

fn shape(value: &Value<'_>, is_on_globe: bool, out: &mut Vec<u8>) -> Option<()> {
    let ewkb = match value {
        Value::Shape { ewkb, .. } => Cow::Borrowed(ewkb.as_str()),
        other => Cow::Owned(hex::encode_upper(hex::decode(written(other)?).ok()?)),
    };
    let is_held = if is_on_globe { geometry::is_geography(&ewkb) } else { geometry::is_geometry(&ewkb) };
    is_held.then(|| csv::plain(out, &ewkb))
}

/// The text of a value.
fn as_text<'v>(value: &'v Value<'_>) -> Option<Text<'v>> {
    let text: Cow<'v, str> = match value {
        Value::Null => return None,
        Value::Text(text) => return Some(Text { text: Cow::Borrowed(&text.text), repaired: text.repaired }),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Number(number) => Cow::Borrowed(number),
        Value::NotFinite(name) => (*name).into(),
        Value::Temporal(temporal) => {
            let mut out = Vec::new();
            temporal.write(&mut out);
            String::from_utf8(out).ok()?.into()
        }
        Value::Bytes { text, .. } => Cow::Borrowed(text),
        Value::Bits { bytes, length } => bit_string(bytes, *length).into(),
        Value::Shape { ewkb, .. } => Cow::Borrowed(ewkb),
        Value::Embedded(json) => Cow::Borrowed(json),
        Value::Document(raw, _) => Cow::Borrowed(raw.get()),
    };
    Some(Text { text, repaired: false })
}

fn text(
    value: &Value<'_>,
    most: usize,
    is_taken: fn(&str) -> bool,
    policy: Oversized,
    flaws: &mut Flaws,
    out: &mut Vec<u8>,
) -> Result<Fit, &'static str> {
    // A document that is not plain JSON (typed, extended, or with logical types) is converted to JSON first.
    let mut json = Vec::new();
    let rendered = match value {
        Value::Document(..) => match Writer::new(&mut json, policy, flaws, 0).value(value) {
            Ok(()) => String::from_utf8(json).ok().map(|text| Text { text: text.into(), repaired: false }),
            Err(LimitExceeded::Null(what)) => return Ok(Fit::Nulled(what)),
            Err(LimitExceeded::Refuse(what)) => return Err(what),
        },
        other => as_text(other),
    };
    let Some(rendered) = rendered else { return Ok(Fit::Misfit) };
    if let Value::Temporal(temporal) = value {
        note(temporal.cut, flaws);
    }
    let mut found = Flaws::default();
    let fitted = match fitted(&rendered, LONGEST_STRING, policy, &mut found) {
        Ok(Some(fitted)) => fitted,
        Ok(None) => return Ok(Fit::Nulled("a string of more than 65535 bytes")),
        Err(LimitExceeded::Null(what)) => return Ok(Fit::Nulled(what)),
        Err(LimitExceeded::Refuse(what)) => return Err(what),
    };
    if fitted.len() > most || !is_taken(&fitted) || csv::reads_as_null(&fitted) {
        return Ok(Fit::Misfit);
    }
    flaws.add(&found);
    csv::text(out, &fitted);
    Ok(Fit::Written)
}

fn document(value: &Value<'_>, limits: Limits, flaws: &mut Flaws, out: &mut Vec<u8>) -> Result<Fit, &'static str> {
    let mut json = Vec::new();
    let writer = Writer::new(&mut json, limits.oversized, flaws, 0).large_strings(limits.large_strings);
    // A shape in a document is not converted.
    let written = match value {
        Value::Shape { raw, .. } => writer.value(&Value::Document(*raw, crate::value::Form::Json)),
        other => writer.value(other),
    };
    match written {
        Ok(()) => {
            csv::text(out, &String::from_utf8_lossy(&json));
            Ok(Fit::Written)
        }
        Err(LimitExceeded::Null(what)) => Ok(Fit::Nulled(what)),
        Err(LimitExceeded::Refuse(what)) => Err(what),
    }
}
