//! The mapping of Parquet columns to table columns, and the conversion of Parquet values to text.
//!
//! Redshift's documentation does not list the supported pairs of types. This server supports pairs with the same type
//! and width, and rejects all others.

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::Int96;
use parquet::schema::types::Type;

use crate::fields::TargetColumn;

/// Maximum length of a string in SUPER, in bytes (Redshift docs, "SUPER type").
const SUPER_STRING: usize = 65_535;

/// The representation of the values of a scalar column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A boolean.
    Boolean,
    /// An integer.
    Integer,
    /// A floating-point number.
    Real,
    /// A decimal with this number of digits after the decimal point.
    Decimal(usize),
    /// Days since 1970-01-01.
    Date,
    /// Milliseconds since 1970-01-01.
    Millis,
    /// Microseconds since 1970-01-01.
    Micros,
    /// Julian day and nanoseconds of the day.
    Int96,
    /// A UTF-8 string.
    Text,
}

/// The representation of `field` when it is loaded into `column`; `None` if it does not fit.
pub(crate) fn shape_for(column: &TargetColumn, field: &Type) -> Option<Shape> {
    let shape = shape_of(field)?;
    let fits = match (column.type_name.as_str(), shape) {
        ("bool", Shape::Boolean)
        | ("varchar" | "bpchar", Shape::Text)
        | ("date", Shape::Date)
        | ("timestamp", Shape::Millis | Shape::Micros | Shape::Int96)
        // Loaded as JSON.
        | ("super", Shape::Boolean | Shape::Integer | Shape::Real | Shape::Text) => true,
        ("int2" | "int4" | "int8", Shape::Integer) => column.type_name == integer(field)?,
        ("float4", Shape::Real) => field.get_physical_type() == Physical::FLOAT,
        ("float8", Shape::Real) => field.get_physical_type() == Physical::DOUBLE,
        ("numeric", Shape::Decimal(scale)) => {
            column.scale == Some(scale) && column.precision == usize::try_from(field.get_precision()).ok()
        }
        _ => false,
    };
    fits.then_some(shape)
}

/// The representation of a scalar column, or of a leaf of a nested column.
pub(crate) fn shape_of(field: &Type) -> Option<Shape> {
    if !field.is_primitive()
        || field.get_basic_info().has_repetition() && field.get_basic_info().repetition() == Repetition::REPEATED
    {
        return None;
    }
    let info = field.get_basic_info();
    let scale = usize::try_from(field.get_scale()).ok();
    // Annotations that exist only as logical types, such as nanoseconds and UUID, have no converted type.
    let plain = matches!(
        info.logical_type_ref(),
        None | Some(LogicalType::Integer { .. } | LogicalType::String | LogicalType::Enum | LogicalType::Json)
    );
    match (field.get_physical_type(), info.converted_type()) {
        (Physical::BOOLEAN, _) => Some(Shape::Boolean),
        (Physical::INT32 | Physical::INT64, ConvertedType::NONE) if plain => Some(Shape::Integer),
        (Physical::INT32, ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32)
        | (Physical::INT64, ConvertedType::INT_64) => Some(Shape::Integer),
        (Physical::FLOAT | Physical::DOUBLE, _) => Some(Shape::Real),
        (
            Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY,
            ConvertedType::DECIMAL,
        ) => scale.map(Shape::Decimal),
        (Physical::INT32, ConvertedType::DATE) => Some(Shape::Date),
        (Physical::INT64, ConvertedType::TIMESTAMP_MILLIS) => Some(Shape::Millis),
        (Physical::INT64, ConvertedType::TIMESTAMP_MICROS) => Some(Shape::Micros),
        (Physical::INT96, _) => Some(Shape::Int96),
        (
            Physical::BYTE_ARRAY,
            ConvertedType::NONE | ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON,
        ) if plain => Some(Shape::Text),
        _ => None,
    }
}

/// The integer column type that this field can be loaded into.
fn integer(field: &Type) -> Option<&'static str> {
    match (field.get_physical_type(), field.get_basic_info().converted_type()) {
        (Physical::INT32, ConvertedType::INT_8 | ConvertedType::INT_16) => Some("int2"),
        (Physical::INT32, _) => Some("int4"),
        (Physical::INT64, _) => Some("int8"),
        _ => None,
    }
}

/// The type of a column, as the error of a scan shows it.
pub(crate) fn shown(column: &TargetColumn) -> String {
    match column.type_name.as_str() {
        "bool" => "BOOLEAN".into(),
        "int2" => "SMALLINT".into(),
        "int4" => "INT".into(),
        "int8" => "BIGINT".into(),
        "float4" => "FLOAT".into(),
        "float8" => "DOUBLE".into(),
        "numeric" => {
            format!("DECIMAL({}, {})", column.precision.unwrap_or_default(), column.scale.unwrap_or_default())
        }
        "varchar" => format!("VARCHAR({})", column.max_length.unwrap_or_default()),
        "bpchar" => format!("CHAR({})", column.max_length.unwrap_or_default()),
        other => other.to_uppercase(),
    }
}

/// The decimal number with `scale` digits after the decimal point.
pub(crate) fn decimal(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Decodes a big-endian two's complement number.
pub(crate) fn big_endian(bytes: &[u8]) -> Result<i128, String> {
    let start = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    if bytes.len() > size_of::<i128>() {
        return Err(format!("a decimal of {} bytes has more than 38 digits", bytes.len()));
    }
    Ok(bytes.iter().fold(start, |number, byte| number << 8 | i128::from(*byte)))
}

/// A date in ISO 8601.
pub(crate) fn date(days: i32) -> Result<String, String> {
    let span = Span::new().try_days(days);
    let day = span.and_then(|span| Date::constant(1970, 1, 1).checked_add(span));
    day.map(|day| day.to_string()).map_err(|_| format!("{days} days since 1970 are not a valid date"))
}

/// A UTC timestamp, without a time zone.
pub(crate) fn micros(micros: i64) -> Result<String, String> {
    let moment = Timestamp::from_microsecond(micros);
    moment
        .map(|moment| moment.strftime("%Y-%m-%d %H:%M:%S%.f").to_string())
        .map_err(|_| format!("{micros} microseconds since 1970 are not a valid timestamp"))
}

/// A UTC timestamp from milliseconds.
pub(crate) fn millis(millis: i64) -> Result<String, String> {
    micros(
        millis
            .checked_mul(1_000)
            .ok_or_else(|| format!("{millis} milliseconds since 1970 are not a valid timestamp"))?,
    )
}

/// A UTC timestamp from an INT96 value; nanoseconds are truncated to microseconds.
pub(crate) fn int96(moment: &Int96) -> Result<String, String> {
    micros(moment.to_micros())
}

/// A string for `column`: valid UTF-8, and not longer than the column allows.
pub(crate) fn text(bytes: &[u8], column: &TargetColumn, replacement: Option<char>) -> Result<String, String> {
    let text = match (std::str::from_utf8(bytes), replacement) {
        (Ok(text), _) => text.to_owned(),
        (Err(_), Some(replacement)) => {
            String::from_utf8_lossy(bytes).replace(char::REPLACEMENT_CHARACTER, &replacement.to_string())
        }
        (Err(_), None) => {
            return Err(format!("The data column {} is not valid UTF-8 (see ACCEPTINVCHARS)", column.name));
        }
    };
    if column.type_name == "super" && text.len() > SUPER_STRING {
        return Err(format!("1224 String value exceeds the max size of {SUPER_STRING} bytes"));
    }
    match column.max_length.filter(|max| text.len() > *max) {
        Some(max) => Err(format!(
            "The length of the data column {} is longer than the length defined in the table. Table: {max}, Data: {}",
            column.name,
            text.len()
        )),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{big_endian, date, decimal, micros};

    proptest::proptest! {
        #[test]
        fn a_decimal_keeps_its_digits(number: i128, scale in 0_usize..38) {
            let text = decimal(number, scale);
            proptest::prop_assert_eq!(text.replace('.', "").parse::<i128>().unwrap(), number);
            proptest::prop_assert_eq!(text.split_once('.').map_or(0, |(_, part)| part.len()), scale);
        }

        #[test]
        fn big_endian_bytes_are_decoded_to_the_same_number(number: i64) {
            proptest::prop_assert_eq!(big_endian(&number.to_be_bytes()).unwrap(), i128::from(number));
        }

        #[test]
        fn no_number_of_days_or_microseconds_panics(days: i32, moment: i64) {
            let _ = (date(days), micros(moment));
        }
    }

    #[test]
    fn dates_and_timestamps_are_formatted_as_redshift_prints_them() {
        assert_eq!(date(-1).unwrap(), "1969-12-31");
        assert_eq!(micros(-1).unwrap(), "1969-12-31 23:59:59.999999");
        assert_eq!(micros(1_767_323_045_000_000).unwrap(), "2026-01-02 03:04:05");
        assert_eq!(decimal(-5, 2), "-0.05");
    }
}
