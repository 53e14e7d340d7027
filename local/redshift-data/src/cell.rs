//! Decodes PostgreSQL's binary values into the values that the Data API returns.

use std::error::Error;
use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, date};
use jiff::{SignedDuration, ToSpan};
use tokio_postgres::types::{FromSql, Kind, Type};

/// One value of a result: a member of the `Field` union in the service model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Boolean(bool),
    Long(i64),
    Double(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// The undecoded bytes of a value of any type; `None` is NULL.
pub(crate) struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

type Decoded = Result<Cell, Box<dyn Error + Sync + Send>>;

/// Decodes a value of type `ty`.
///
/// # Errors
/// Returns an error that suggests a cast if Redshift has no counterpart of the type.
pub(crate) fn decode(ty: &Type, raw: &Raw<'_>) -> Result<Cell, String> {
    let Some(bytes) = raw.0 else { return Ok(Cell::Null) };
    let decoded = decode_bytes(ty, bytes)
        .ok_or_else(|| format!("ERROR: a result cannot carry PostgreSQL type {ty}; cast the column to varchar"))?;
    decoded.map_err(|error| format!("ERROR: cannot decode a value of type {ty}: {error}"))
}

fn decode_bytes(ty: &Type, bytes: &[u8]) -> Option<Decoded> {
    Some(match *ty {
        Type::BOOL => bool::from_sql(ty, bytes).map(Cell::Boolean),
        Type::INT2 => i16::from_sql(ty, bytes).map(|n| Cell::Long(n.into())),
        Type::INT4 => i32::from_sql(ty, bytes).map(|n| Cell::Long(n.into())),
        Type::INT8 => i64::from_sql(ty, bytes).map(Cell::Long),
        Type::OID | Type::REGCLASS | Type::REGPROC | Type::REGTYPE | Type::XID | Type::CID => {
            bytes.try_into().map(|four| Cell::Long(u32::from_be_bytes(four).into())).map_err(Into::into)
        }
        Type::FLOAT4 => f32::from_sql(ty, bytes).map(|n| Cell::Double(shortest(n))),
        Type::FLOAT8 => f64::from_sql(ty, bytes).map(Cell::Double),
        Type::NUMERIC => numeric(bytes).map(Cell::Text),
        Type::DATE => bytes.try_into().map(|four| Cell::Text(day(i32::from_be_bytes(four)))).map_err(Into::into),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let zone = if *ty == Type::TIMESTAMPTZ { "+00" } else { "" };
            i64::from_sql(&Type::INT8, bytes).map(|micros| Cell::Text(timestamp(micros, zone)))
        }
        Type::TIME => i64::from_sql(&Type::INT8, bytes).map(|micros| Cell::Text(time(micros))),
        Type::INTERVAL => interval(bytes).map(Cell::Text),
        Type::UUID => uuid::Uuid::from_slice(bytes).map(|id| Cell::Text(id.to_string())).map_err(Into::into),
        Type::BYTEA => Ok(Cell::Blob(bytes.to_vec())),
        Type::VOID => Ok(Cell::Null),
        Type::JSONB => text(bytes.get(1..).unwrap_or_default()).map(|json| Cell::Text(compact_json(&json))),
        Type::JSON => text(bytes).map(|json| Cell::Text(compact_json(&json))),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::UNKNOWN => {
            text(bytes).map(Cell::Text)
        }
        _ if is_super(ty) => text(bytes.get(1..).unwrap_or_default()).map(|json| Cell::Text(compact_json(&json))),
        _ => match ty.kind() {
            Kind::Enum(_) => text(bytes).map(Cell::Text),
            Kind::Domain(base) => return decode_bytes(base, bytes),
            // Arrays, ranges, composite types and types that exist only in PostgreSQL: Redshift has no counterpart.
            _ => return None,
        },
    })
}

/// True for the SUPER type of the dialect: a separate type with the wire format of JSONB.
pub(crate) fn is_super(ty: &Type) -> bool {
    ty.name() == "super"
}

fn text(bytes: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    Ok(std::str::from_utf8(bytes)?.to_owned())
}

/// The double with the same decimal representation as the float, so that 0.1 stays 0.1.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Decodes the format of PostgreSQL's `numeric_send`: base-10,000 digits, weight, sign and display scale.
fn numeric(bytes: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || words.next().ok_or("numeric is cut short");
    let (count, weight, sign, scale) = (next()?, next()?.cast_signed(), next()?, usize::from(next()?));
    match sign {
        0xC000 => return Ok("NaN".into()),
        0xD000 => return Ok("Infinity".into()),
        0xF000 => return Ok("-Infinity".into()),
        _ => {}
    }
    let digits = (0..count).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let mut out = String::new();
    if sign == 0x4000 {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    }
    for at in 0..=i32::from(weight) {
        if at == 0 {
            write!(out, "{}", group(at))?;
        } else {
            write!(out, "{:04}", group(at))?;
        }
    }
    if scale > 0 {
        out.push('.');
        let start = out.len();
        let mut at = i32::from(weight) + 1;
        while out.len() - start < scale {
            write!(out, "{:04}", group(at))?;
            at += 1;
        }
        out.truncate(start + scale);
    }
    Ok(out)
}

const EPOCH: Date = date(2000, 1, 1);

fn show_date(date: Date) -> String {
    if date.year() > 0 {
        format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
    } else {
        format!("{:04}-{:02}-{:02} BC", 1 - date.year(), date.month(), date.day())
    }
}

fn day(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        days => EPOCH.checked_add(days.days()).map_or_else(|_| format!("J2000{days:+}"), show_date),
    }
}

fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        micros => {
            let moment: Result<DateTime, _> =
                EPOCH.to_datetime(jiff::civil::Time::midnight()).checked_add(SignedDuration::from_micros(micros));
            let of_day = micros.rem_euclid(86_400_000_000);
            moment.map_or_else(
                |_| format!("J2000{micros:+}us"),
                |moment| format!("{} {}{zone}", show_date(moment.date()), time(of_day)),
            )
        }
    }
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out
}

fn interval(bytes: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let micros = i64::from_be_bytes(bytes.get(..8).ok_or("interval is cut short")?.try_into()?);
    let days = i32::from_be_bytes(bytes.get(8..12).ok_or("interval is cut short")?.try_into()?);
    let months = i32::from_be_bytes(bytes.get(12..16).ok_or("interval is cut short")?.try_into()?);
    let mut parts = Vec::new();
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {unit}{}", if count.abs() == 1 { "" } else { "s" }));
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", time(micros.checked_abs().ok_or("interval out of range")?)));
    }
    Ok(parts.join(" "))
}

/// JSON as Redshift prints SUPER: without the spaces that PostgreSQL inserts after `:` and `,`.
pub(crate) fn compact_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for c in json.chars() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_text = true;
        } else if c.is_ascii_whitespace() {
            continue;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{compact_json, day, numeric, time, timestamp};

    #[test]
    fn values_are_formatted_as_redshift_prints_them() {
        assert_eq!(timestamp(0, ""), "2000-01-01 00:00:00");
        assert_eq!(timestamp(-1_500_000, "+00"), "1999-12-31 23:59:58.5+00");
        assert_eq!(day(-10_957), "1970-01-01");
        assert_eq!(time(86_399_000_010), "23:59:59.00001");
        assert_eq!(compact_json(r#"{"a b": ["x, \"y\": z", 1]}"#), r#"{"a b":["x, \"y\": z",1]}"#);
    }

    #[test]
    fn numerics_keep_scale_and_sign() {
        let wire = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        assert_eq!(numeric(&wire(&[2, 0, 0x4000, 2, 12, 3400])).unwrap(), "-12.34");
        assert_eq!(numeric(&wire(&[1, 0xFFFF, 0, 4, 5])).unwrap(), "0.0005");
        assert_eq!(numeric(&wire(&[1, 1, 0, 0, 3])).unwrap(), "30000");
        assert_eq!(numeric(&wire(&[0, 0, 0, 2])).unwrap(), "0.00");
    }
}
