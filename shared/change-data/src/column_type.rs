//! Column types of Redshift, as DDL writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of the longest VARCHAR, and of the longest string in a SUPER value.
pub const LONGEST_STRING: usize = 65_535;
/// Bytes of the longest CHAR (Redshift docs, "Character types").
const LONGEST_CHAR: u32 = 4096;
/// Bytes of the longest VARBYTE (Redshift docs, "VARBYTE type").
const LONGEST_VARBYTE: u32 = 1_024_000;

/// Bytes of the longest number that a staged file has for a REAL or a DOUBLE PRECISION without an exponent.
const LONGEST_FLOAT: u32 = 64;
/// Bytes that the text of every date and time has at most.
const LONGEST_INSTANT: u32 = 35;

/// A column type. It is serialized as DDL writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// Integer of 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// Integer of 64 bits.
    BigInt,
    /// Decimal: precision (number of digits) and scale (digits after the decimal point).
    Decimal(u8, u8),
    /// Floating-point number of 32 bits.
    Real,
    /// Floating-point number of 64 bits.
    Double,
    /// True or false.
    Boolean,
    /// ASCII text, padded to this number of bytes.
    Char(u32),
    /// UTF-8 text of at most this number of bytes.
    Varchar(u32),
    /// A date.
    Date,
    /// A time of day without a time zone.
    Time,
    /// A time of day with a time zone.
    TimeTz,
    /// A date and a time, without a time zone.
    Timestamp,
    /// An instant (a date and a time in UTC).
    TimestampTz,
    /// A semi-structured value (JSON).
    Super,
    /// Binary data of at most this number of bytes.
    Varbyte(u32),
    /// A shape in a plane (`geometry`).
    Geometry,
    /// A shape on the globe (`geography`).
    Geography,
}

impl ColumnType {
    /// Reads a type as DDL writes it, in upper or lower case, by any name that Redshift accepts.
    ///
    /// # Errors
    /// A message that says what is not valid and how to fix it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            None => (lower.trim().to_owned(), None),
            Some((name, rest)) => {
                let (arguments, behind) =
                    rest.split_once(')').ok_or_else(|| format!("`{text}` has no closing parenthesis"))?;
                // `timestamp(6) with time zone`: the words around the parentheses are one name.
                (format!("{} {}", name.trim(), behind.trim()).trim().to_owned(), Some(arguments))
            }
        };
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let numbers = arguments.map(|arguments| numbers(text, arguments)).transpose()?;
        Self::of(text, &name, numbers.as_deref())
    }

    fn of(text: &str, name: &str, numbers: Option<&[u32]>) -> Result<Self, String> {
        let fixed = |fixed: Self| match numbers {
            None => Ok(fixed),
            Some(_) => Err(format!("`{name}` does not have a length: write `{fixed}`")),
        };
        match name {
            "smallint" | "int2" => fixed(Self::SmallInt),
            "integer" | "int" | "int4" => fixed(Self::Integer),
            "bigint" | "int8" => fixed(Self::BigInt),
            "real" | "float4" => fixed(Self::Real),
            "double precision" | "double" | "float8" | "float" => fixed(Self::Double),
            "boolean" | "bool" => fixed(Self::Boolean),
            "date" => fixed(Self::Date),
            "time" | "time without time zone" => fixed(Self::Time),
            "timetz" | "time with time zone" => fixed(Self::TimeTz),
            "timestamp" | "timestamp without time zone" => fixed(Self::Timestamp),
            "timestamptz" | "timestamp with time zone" => fixed(Self::TimestampTz),
            "super" => fixed(Self::Super),
            "geometry" => fixed(Self::Geometry),
            "geography" => fixed(Self::Geography),
            "decimal" | "numeric" => decimal(text, numbers),
            "char" | "character" | "nchar" => length(text, numbers, 1, LONGEST_CHAR).map(Self::Char),
            // Redshift stores these two as CHAR(256) and VARCHAR(256).
            "bpchar" => fixed(Self::Char(256)),
            "text" => fixed(Self::Varchar(256)),
            "varchar" | "character varying" | "nvarchar" => {
                length(text, numbers, 256, u32::try_from(LONGEST_STRING).unwrap_or(u32::MAX)).map(Self::Varchar)
            }
            "varbyte" | "varbinary" | "binary varying" => {
                length(text, numbers, 64_000, LONGEST_VARBYTE).map(Self::Varbyte)
            }
            "hllsketch" => Err("`hllsketch` cannot be loaded from change events".into()),
            _ if name.starts_with("interval") => {
                Err("intervals cannot be loaded from CSV: write `varchar(64)`, or `bigint` for microseconds".into())
            }
            "json" | "jsonb" => Err(format!("`{name}` is not a type of Redshift: write `super`")),
            "bytea" | "blob" => Err(format!("`{name}` is not a type of Redshift: write `varbyte(64000)`")),
            "uuid" => Err("`uuid` is not a type of Redshift: write `char(36)`".into()),
            _ => Err(unknown(text, name)),
        }
    }

    /// Whether a column of the other type can be changed to this type in place.
    pub fn widens(self, other: Self) -> bool {
        match (self, other) {
            (Self::Varchar(new), Self::Varchar(old)) | (Self::Varbyte(new), Self::Varbyte(old)) => new >= old,
            (new, old) => new == old,
        }
    }

    /// Whether a column of the other type can be replaced by one of this type, with its values converted: this type holds every value of
    /// the other type, and COPY reads a staged value of the other type as a value of this one.
    ///
    /// A DECIMAL can also become a DECIMAL(38) with more digits after the decimal point and fewer before it: Redshift refuses to convert a
    /// value that does not fit.
    pub fn replaces(self, other: Self) -> bool {
        match (self, other) {
            (new, old) if new.widens(old) => true,
            (Self::Integer, Self::SmallInt)
            | (Self::BigInt, Self::SmallInt | Self::Integer)
            | (Self::Double, Self::SmallInt | Self::Integer | Self::Real)
            | (Self::Timestamp, Self::Date) => true,
            (Self::Decimal(precision, scale), Self::Decimal(old_precision, old_scale)) => {
                scale >= old_scale && (precision == 38 || precision - scale >= old_precision - old_scale)
            }
            (Self::Decimal(precision, scale), old) => {
                old.exact_digits().is_some_and(|(whole, _)| precision - scale >= whole)
            }
            (Self::Varchar(length), old) => old.longest_text().is_some_and(|longest| length >= longest),
            _ => false,
        }
    }

    /// Digits before and after the decimal point that a value of a type of exact numbers can have; `None` for other types.
    pub const fn exact_digits(self) -> Option<(u8, u8)> {
        match self {
            Self::SmallInt => Some((5, 0)),
            Self::Integer => Some((10, 0)),
            Self::BigInt => Some((19, 0)),
            Self::Decimal(precision, scale) => Some((precision - scale, scale)),
            Self::Real
            | Self::Double
            | Self::Boolean
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::Date
            | Self::Time
            | Self::TimeTz
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Super
            | Self::Varbyte(_)
            | Self::Geometry
            | Self::Geography => None,
        }
    }

    /// Bytes of the longest text of a value, as a cast to VARCHAR and a staged file write it. `None` if a value has no such text.
    fn longest_text(self) -> Option<u32> {
        match self {
            Self::SmallInt | Self::Integer | Self::BigInt => self.exact_digits().map(|(whole, _)| u32::from(whole) + 1),
            // A sign, a zero and a point.
            Self::Decimal(precision, _) => Some(u32::from(precision) + 3),
            Self::Real | Self::Double => Some(LONGEST_FLOAT),
            Self::Char(length) | Self::Varchar(length) => Some(length),
            // `294276-12-31 23:59:59.999999+00:00`
            Self::Date | Self::Time | Self::TimeTz | Self::Timestamp | Self::TimestampTz => Some(LONGEST_INSTANT),
            // Redshift does not cast BOOLEAN to VARCHAR.
            Self::Boolean | Self::Super | Self::Varbyte(_) | Self::Geometry | Self::Geography => None,
        }
    }

    /// Whether Redshift compares values of the type, as key and sort columns require.
    pub fn is_comparable(self) -> bool {
        match self {
            Self::Super | Self::Geometry | Self::Geography => false,
            Self::SmallInt
            | Self::Integer
            | Self::BigInt
            | Self::Decimal(..)
            | Self::Real
            | Self::Double
            | Self::Boolean
            | Self::Char(_)
            | Self::Varchar(_)
            | Self::Date
            | Self::Time
            | Self::TimeTz
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Varbyte(_) => true,
        }
    }
}

impl TryFrom<String> for ColumnType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> Self {
        column_type.to_string()
    }
}

const NAMES: [&str; 18] = [
    "smallint",
    "integer",
    "bigint",
    "decimal",
    "real",
    "double precision",
    "boolean",
    "char",
    "varchar",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "super",
    "varbyte",
    "geometry",
    "geography",
];

fn unknown(text: &str, name: &str) -> String {
    match shiftwork_config::nearest(name, NAMES) {
        Some(near) => format!("`{text}` is not a type of Redshift; did you mean `{near}`?"),
        None => format!("`{text}` is not a type of Redshift: {}", shiftwork_config::list(NAMES)),
    }
}

fn numbers(text: &str, arguments: &str) -> Result<Vec<u32>, String> {
    arguments
        .split(',')
        .map(|number| match number.trim() {
            "max" => Ok(u32::MAX),
            number => number.parse().map_err(|_| format!("`{text}`: `{number}` is not a valid length")),
        })
        .collect()
}

fn decimal(text: &str, numbers: Option<&[u32]>) -> Result<ColumnType, String> {
    let (precision, scale) = match numbers.unwrap_or(&[18]) {
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err(format!("`{text}` has too many numbers: write `decimal(18,2)`")),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale @ 0..=37)) if scale <= precision => Ok(ColumnType::Decimal(precision, scale)),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            Err(format!("`{text}`: the precision must be 1 to 38, and the scale at most 37 and at most the precision"))
        }
    }
}

fn length(text: &str, numbers: Option<&[u32]>, default: u32, most: u32) -> Result<u32, String> {
    match numbers.unwrap_or(&[default]) {
        [u32::MAX] => Ok(most),
        [length] if (1..=most).contains(length) => Ok(*length),
        [_] => Err(format!("`{text}`: the length must be 1 to {most} bytes")),
        _ => Err(format!("`{text}` has too many numbers: write one length")),
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double precision"),
            Self::Boolean => f.write_str("boolean"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Varchar(length) => write!(f, "varchar({length})"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::TimeTz => f.write_str("timetz"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Super => f.write_str("super"),
            Self::Varbyte(length) => write!(f, "varbyte({length})"),
            Self::Geometry => f.write_str("geometry"),
            Self::Geography => f.write_str("geography"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ColumnType::{self, Char, Decimal, Double, Timestamp, TimestampTz, Varbyte, Varchar};

    #[test]
    fn every_name_of_a_type_is_read() {
        let read = |text: &str| ColumnType::parse(text).unwrap();
        assert_eq!(read("DECIMAL( 12, 2 )"), Decimal(12, 2));
        assert_eq!(read("numeric"), Decimal(18, 0));
        assert_eq!(read("character varying(16)"), Varchar(16));
        assert_eq!(read("varchar(max)"), Varchar(65_535));
        assert_eq!(read("varchar"), Varchar(256));
        assert_eq!(read("char"), Char(1));
        assert_eq!(read("varbyte"), Varbyte(64_000));
        assert_eq!(read("double  precision"), Double);
        assert_eq!(read("timestamp with time zone"), TimestampTz);
        assert_eq!(read("Timestamp"), Timestamp);
        for name in super::NAMES {
            assert_eq!(read(&read(name).to_string()), read(name), "{name}");
        }
    }

    #[test]
    fn a_column_is_replaced_by_one_of_a_type_that_holds_its_values() {
        for (old, new, wanted) in [
            ("integer", "bigint", true),
            ("bigint", "integer", false),
            ("smallint", "decimal(5,0)", true),
            ("integer", "decimal(12,2)", true),
            ("integer", "decimal(11,2)", false),
            ("bigint", "decimal(38,10)", true),
            ("integer", "double precision", true),
            ("bigint", "double precision", false),
            ("decimal(12,2)", "decimal(14,4)", true),
            ("decimal(12,2)", "decimal(13,4)", false),
            ("decimal(12,2)", "decimal(12,1)", false),
            ("decimal(12,2)", "bigint", false),
            ("decimal(38,10)", "decimal(38,12)", true),
            ("real", "double precision", true),
            ("integer", "varchar(11)", true),
            ("integer", "varchar(10)", false),
            ("decimal(12,2)", "varchar(64)", true),
            ("boolean", "varchar(5)", false),
            ("timestamp", "varchar(64)", true),
            ("varchar(10)", "varchar(20)", true),
            ("char(3)", "varchar(3)", true),
            ("varchar(10)", "bigint", false),
            ("varchar(10)", "super", false),
            ("super", "varchar(65535)", false),
            ("date", "timestamp", true),
            ("timestamp", "timestamptz", false),
            ("varbyte(10)", "varbyte(20)", true),
            ("varbyte(10)", "varchar(20)", false),
        ] {
            let read = |text: &str| ColumnType::parse(text).unwrap();
            assert_eq!(read(new).replaces(read(old)), wanted, "{old} to {new}");
            assert!(read(old).replaces(read(old)), "{old}");
        }
    }

    #[test]
    fn an_invalid_type_is_an_error_with_a_fix() {
        let wrong = |text: &str| ColumnType::parse(text).unwrap_err();
        assert_eq!(wrong("bigit"), "`bigit` is not a type of Redshift; did you mean `bigint`?");
        assert_eq!(wrong("varchar(70000)"), "`varchar(70000)`: the length must be 1 to 65535 bytes");
        assert_eq!(wrong("jsonb"), "`jsonb` is not a type of Redshift: write `super`");
        assert_eq!(wrong("bigint(20)"), "`bigint` does not have a length: write `bigint`");
        for text in
            ["", "decimal(39,2)", "decimal(4,5)", "varchar(", "varchar()", "varchar(0)", "interval day to second", "🦀"]
        {
            assert!(ColumnType::parse(text).is_err(), "{text}");
        }
    }
}
