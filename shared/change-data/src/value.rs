//! Decodes the values of an event from JSON, MongoDB's extended JSON or DynamoDB's typed JSON, by their logical type.

use std::borrow::Cow;

use num_bigint::BigInt;

use crate::{
    dynamodb, geometry,
    json::{self, Kind, RawJson, Text},
    logical::{Encoding, Logical, Unit},
    mongodb,
    number::Number,
    time,
};

/// The form of a document's JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    /// Plain JSON.
    Json,
    /// JSON in which some values have logical types.
    Connect(&'a Logical),
    /// MongoDB's extended JSON: `{"$oid": …}`.
    Extended,
    /// DynamoDB's typed JSON: `{"S": …}`.
    Typed,
}

/// A decoded value.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number in JSON notation.
    Number(Cow<'a, str>),
    /// NaN or an infinity, as Redshift writes it.
    NotFinite(&'static str),
    Text(Text<'a>),
    Temporal(Temporal<'a>),
    Bytes {
        bytes: Vec<u8>,
        /// The notation of the source.
        text: Cow<'a, str>,
    },
    /// Bits in big-endian bytes, without bytes that have none of the bits.
    Bits {
        bytes: Vec<u8>,
        length: usize,
    },
    /// Extended well-known binary, in hexadecimal digits.
    Shape {
        ewkb: String,
        raw: RawJson<'a>,
    },
    /// JSON that the source wrote as a string.
    Embedded(Cow<'a, str>),
    Document(RawJson<'a>, Form<'a>),
}

/// A date, time or duration that the source wrote as a count.
#[derive(Debug, Clone)]
pub(crate) struct Temporal<'a> {
    pub(crate) kind: TemporalKind,
    /// Microseconds, or days for a date.
    pub(crate) count: i64,
    /// Whether digits below a microsecond were cut.
    pub(crate) cut: bool,
    /// The count in the notation of the source.
    pub(crate) raw: Cow<'a, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TemporalKind {
    Date,
    Time,
    Timestamp,
    Duration,
}

impl Temporal<'_> {
    /// Writes the text that Redshift reads; for a duration, ISO 8601. Decoding has checked that the value can be written.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self.kind {
            TemporalKind::Date => {
                time::date(out, self.count);
            }
            TemporalKind::Time => {
                time::time(out, self.count);
            }
            TemporalKind::Timestamp => {
                time::timestamp(out, self.count);
            }
            TemporalKind::Duration => {
                let (sign, magnitude) = (if self.count < 0 { "-" } else { "" }, self.count.unsigned_abs());
                let fraction = format!("{:06}", magnitude % 1_000_000);
                let fraction = fraction.trim_end_matches('0');
                let point = if fraction.is_empty() { "" } else { "." };
                out.extend_from_slice(format!("{sign}PT{}{point}{fraction}S", magnitude / 1_000_000).as_bytes());
            }
        }
    }
}

/// Most bytes of a decimal. PostgreSQL's largest NUMERIC has less than 62,000, and decoding takes quadratic time.
const LONGEST_DECIMAL: usize = 64 * 1024;

impl<'a> Value<'a> {
    /// Reads a value of a document of some form. [`Value::decoded`] applies its logical type.
    pub(crate) fn read(raw: RawJson<'a>, form: Form<'a>) -> Self {
        match form {
            Form::Json => Self::of_json(raw),
            Form::Connect(logical) => Self::of_json(raw).decoded(logical),
            Form::Extended => mongodb::value(raw),
            Form::Typed => dynamodb::value(raw),
        }
    }

    pub(crate) fn of_json(raw: RawJson<'a>) -> Self {
        match raw.kind() {
            Kind::Null => Self::Null,
            Kind::Bool(value) => Self::Bool(value),
            Kind::Number => Self::Number(Cow::Borrowed(raw.get())),
            Kind::String => raw.text().map_or(Self::Null, Self::Text),
            Kind::Array | Kind::Object => Self::Document(raw, Form::Json),
        }
    }

    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(Text { text: text.into(), repaired: false })
    }

    /// Decodes the value by its logical type. A value that is not valid for the type is returned unchanged.
    #[inline]
    pub(crate) fn decoded(self, logical: &'a Logical) -> Self {
        // Most values are plain, and moving a value takes as long as reading it.
        if logical.is_plain() {
            return self;
        }
        self.decode(logical).unwrap_or_else(|as_it_was| as_it_was)
    }

    fn decode(self, logical: &'a Logical) -> Result<Self, Self> {
        match (logical, self) {
            (_, value @ Self::Null) => Ok(value),
            (Logical::Bytes(encoding), Self::Text(text)) => bytes(*encoding, text),
            (Logical::Decimal(scale), Self::Text(text)) => decimal(text, scale.unwrap_or(0)),
            (Logical::VariableScaleDecimal, Self::Document(raw, form)) => {
                variable_scale(raw).ok_or(Self::Document(raw, form))
            }
            (Logical::Date, Self::Number(number)) => temporal(TemporalKind::Date, None, number),
            (Logical::Time(unit), Self::Number(number)) => temporal(TemporalKind::Time, Some(*unit), number),
            (Logical::Timestamp(unit), Self::Number(number)) => temporal(TemporalKind::Timestamp, Some(*unit), number),
            (Logical::Duration(unit), Self::Number(number)) => temporal(TemporalKind::Duration, Some(*unit), number),
            (Logical::Bits(length), Self::Text(text)) => bits(text, *length),
            (Logical::Json, Self::Text(text)) => match json::validated(text.text.as_bytes()) {
                Ok(_) => Ok(Self::Embedded(text.text)),
                Err(_) => Err(Self::Text(text)),
            },
            (Logical::Geometry, Self::Document(raw, form)) => match geometry::ewkb(raw) {
                Some(ewkb) => Ok(Self::Shape { ewkb, raw }),
                None => Err(Self::Document(raw, form)),
            },
            (Logical::Array(_) | Logical::Map(_) | Logical::Struct(_), Self::Document(raw, Form::Json)) => {
                Ok(Self::Document(raw, Form::Connect(logical)))
            }
            (_, value) => Err(value),
        }
    }

    /// The name in Redshift of NaN or an infinity, from any name that Debezium's modes and Java use.
    pub(crate) fn not_finite(text: &str) -> Option<&'static str> {
        match text {
            "NaN" | "NAN" | "nan" => Some("NaN"),
            "Infinity" | "+Infinity" | "POSITIVE_INFINITY" | "inf" => Some("Infinity"),
            "-Infinity" | "NEGATIVE_INFINITY" | "-inf" => Some("-Infinity"),
            _ => None,
        }
    }
}

fn bytes(encoding: Encoding, text: Text<'_>) -> Result<Value<'_>, Value<'_>> {
    match encoding.decode(&text.text) {
        Some(bytes) => Ok(Value::Bytes { bytes, text: text.text }),
        None => Err(Value::Text(text)),
    }
}

fn decimal(text: Text<'_>, scale: i32) -> Result<Value<'_>, Value<'_>> {
    match two_complement(&text.text, scale) {
        Some(number) => Ok(Value::Number(number.into())),
        None => Err(Value::Text(text)),
    }
}

fn two_complement(text: &str, scale: i32) -> Option<String> {
    let bytes = Encoding::Base64.decode(text).filter(|bytes| (1..=LONGEST_DECIMAL).contains(&bytes.len()))?;
    Number::scaled(&BigInt::from_signed_bytes_be(&bytes), scale).plain()
}

fn variable_scale(raw: RawJson<'_>) -> Option<Value<'_>> {
    let scale = i32::try_from(raw.member("scale")?.i64()?).ok()?;
    Some(Value::Number(two_complement(&raw.member("value")?.string()?, scale)?.into()))
}

fn temporal(kind: TemporalKind, unit: Option<Unit>, number: Cow<'_, str>) -> Result<Value<'_>, Value<'_>> {
    let read = || {
        let integer = Number::parse_integer(&number)?;
        let count = i64::try_from(integer).ok()?;
        let (count, cut) = match unit {
            Some(unit) => unit.micros(count)?,
            None => (count, false),
        };
        let is_one = match kind {
            TemporalKind::Date => time::is_date(count),
            TemporalKind::Time => time::is_time(count),
            TemporalKind::Timestamp => time::is_timestamp(count),
            TemporalKind::Duration => true,
        };
        is_one.then_some((count, cut))
    };
    match read() {
        Some((count, cut)) => Ok(Value::Temporal(Temporal { kind, count, cut, raw: number })),
        // For example PostgreSQL's infinity or MySQL's -838:59:59.
        None => Err(Value::Number(number)),
    }
}

fn bits(text: Text<'_>, length: Option<u32>) -> Result<Value<'_>, Value<'_>> {
    let Some(mut bytes) = Encoding::Base64.decode(&text.text).filter(|bytes| !bytes.is_empty()) else {
        return Err(Value::Text(text));
    };
    bytes.reverse();
    // Debezium's length of PostgreSQL's BIT VARYING without a length is the largest number.
    let length = length.filter(|length| *length != NO_LENGTH).map_or(bytes.len() * 8, |length| length as usize);
    let wanted = length.div_ceil(8);
    // Debezium may omit bytes that are zero, or write more bytes than there are bits.
    while bytes.len() > wanted && bytes[0] == 0 {
        bytes.remove(0);
    }
    let missing = wanted.saturating_sub(bytes.len());
    if bytes.len() > wanted || missing > LONGEST_DECIMAL {
        return Err(Value::Text(text));
    }
    bytes.splice(0..0, vec![0; missing]);
    Ok(Value::Bits { bytes, length })
}

/// The length in Debezium's schema of a type that has none.
pub(crate) const NO_LENGTH: u32 = 2_147_483_647;

/// The text of bits as PostgreSQL and MySQL print them, such as `0101`.
pub(crate) fn bit_string(bytes: &[u8], length: usize) -> String {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| if byte >> bit & 1 == 1 { '1' } else { '0' }));
    bits.skip((8 * bytes.len()).saturating_sub(length)).collect()
}

/// The number with these bits, if it has at most 63 bits.
pub(crate) fn bit_number(bytes: &[u8]) -> Option<i64> {
    let significant = bytes.iter().skip_while(|byte| **byte == 0);
    significant.clone().count().le(&8).then_some(())?;
    i64::try_from(significant.fold(0u64, |number, byte| number << 8 | u64::from(*byte))).ok()
}
