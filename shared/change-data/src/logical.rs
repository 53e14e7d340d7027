//! Logical types: the meaning of a source's value for which JSON has no type.
//!
//! A logical type is in the schema of the event's envelope, or in the contract (`source_type`). A value that is not valid for its logical
//! type is not decoded: it is fitted to its column as it is, or kept in `dw_md_missing_data`.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

/// A logical type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Logical {
    /// The JSON value as it is.
    #[default]
    Plain,
    /// Bytes, encoded as text.
    Bytes(Encoding),
    /// Base64 of a big-endian two's complement with this scale; without a scale, that of the column.
    Decimal(Option<i32>),
    /// A decimal with its scale: `{"scale": 2, "value": "base64"}`.
    VariableScaleDecimal,
    /// Days since the epoch.
    Date,
    /// A count since midnight.
    Time(Unit),
    /// A count since the epoch.
    Timestamp(Unit),
    /// A time of day with a zone, as text.
    ZonedTime,
    /// A duration, as a count.
    Duration(Unit),
    /// A number of bits (by default, 8 for each byte), as base64 of their bytes in little-endian order.
    Bits(Option<u32>),
    /// JSON, as a string.
    Json,
    /// A shape: `{"wkb": "base64", "srid": 4326}`, with `x` and `y` for a point.
    Geometry,
    /// A list whose elements have this type.
    Array(Box<Logical>),
    /// An object whose values have this type.
    Map(Box<Logical>),
    /// An object, with the type of each key whose values are not plain.
    Struct(Vec<(Box<str>, Logical)>),
}

/// The encoding of bytes as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base64, as in Kafka Connect's JSON.
    Base64,
    /// URL-safe base64, with `-` and `_`.
    Base64Url,
    /// Hexadecimal digits.
    Hex,
}

impl Encoding {
    /// Decodes a text. `None` if it is not valid in this encoding.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
        }
    }
}

/// The unit of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl Unit {
    /// The count in microseconds, and whether digits below a microsecond were cut. `None` on overflow.
    pub(crate) fn micros(self, count: i64) -> Option<(i64, bool)> {
        match self {
            Self::Seconds => Some((count.checked_mul(1_000_000)?, false)),
            Self::Millis => Some((count.checked_mul(1000)?, false)),
            Self::Micros => Some((count, false)),
            Self::Nanos => Some((count.div_euclid(1000), count.rem_euclid(1000) != 0)),
        }
    }
}

/// Names for `source_type` in addition to those of Debezium and Kafka Connect.
const OWN_NAMES: [&str; 5] = ["bytes", "base64", "base64-url-safe", "hex", "epoch-seconds"];

/// Names of Debezium and Kafka Connect, and whether a number in parentheses may follow.
const NAMES: [(&str, bool); 40] = [
    ("org.apache.kafka.connect.data.Date", false),
    ("org.apache.kafka.connect.data.Decimal", true),
    ("org.apache.kafka.connect.data.Time", false),
    ("org.apache.kafka.connect.data.Timestamp", false),
    ("io.debezium.data.Bits", true),
    ("io.debezium.data.DoubleVector", false),
    ("io.debezium.data.Enum", false),
    ("io.debezium.data.EnumSet", false),
    ("io.debezium.data.FloatVector", false),
    ("io.debezium.data.HalfVector", false),
    ("io.debezium.data.Json", false),
    ("io.debezium.data.Ltree", false),
    ("io.debezium.data.SparseVector", false),
    ("io.debezium.data.SparseDoubleVector", false),
    ("io.debezium.data.Tsvector", false),
    ("io.debezium.data.TsVector", false),
    ("io.debezium.data.Uuid", false),
    ("io.debezium.data.VariableScaleDecimal", false),
    ("io.debezium.data.Xml", false),
    ("io.debezium.data.geometry.Geography", false),
    ("io.debezium.data.geometry.Geometry", false),
    ("io.debezium.data.geometry.Point", false),
    ("io.debezium.time.Date", false),
    ("io.debezium.time.Interval", false),
    ("io.debezium.time.IsoDate", false),
    ("io.debezium.time.IsoTime", false),
    ("io.debezium.time.IsoTimestamp", false),
    ("io.debezium.time.MicroDuration", false),
    ("io.debezium.time.MicroTime", false),
    ("io.debezium.time.MicroTimestamp", false),
    ("io.debezium.time.NanoDuration", false),
    ("io.debezium.time.NanoTime", false),
    ("io.debezium.time.NanoTimestamp", false),
    ("io.debezium.time.Time", false),
    ("io.debezium.time.Timestamp", false),
    ("io.debezium.time.Year", false),
    ("io.debezium.time.ZonedTime", false),
    ("io.debezium.time.ZonedTimestamp", false),
    ("io.debezium.data.Geometry", false),
    ("io.debezium.data.Geography", false),
];

impl Logical {
    /// Reads a contract's `source_type`: a name of Debezium or Kafka Connect, in full or only its last word, with a scale or a length in
    /// parentheses if the type has one (`org.apache.kafka.connect.data.Decimal(2)`, `Bits(12)`); or `bytes`, `base64`,
    /// `base64-url-safe`, `hex`, `epoch-seconds`.
    ///
    /// # Errors
    /// A message with the problem and the most similar name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            None => (text, None),
            Some((name, number)) => {
                (name, Some(number.trim().parse::<i32>().map_err(|_| format!("`{text}`: `{number}` is not a number"))?))
            }
        };
        if argument.is_none() {
            match name {
                "bytes" | "base64" => return Ok(Self::Bytes(Encoding::Base64)),
                "base64-url-safe" => return Ok(Self::Bytes(Encoding::Base64Url)),
                "hex" => return Ok(Self::Bytes(Encoding::Hex)),
                "epoch-seconds" => return Ok(Self::Timestamp(Unit::Seconds)),
                _ => {}
            }
        }
        let short = |full: &'static str| full.rsplit('.').next().unwrap_or(full);
        let Some((full, takes_number)) = NAMES.iter().find(|(full, _)| *full == name || short(full) == name) else {
            let known = NAMES.iter().map(|(full, _)| if name.contains('.') { full } else { short(full) });
            return Err(match shiftwork_config::nearest(name, known.chain(OWN_NAMES)) {
                Some(near) => format!("`{name}` is not a known source type; did you mean `{near}`?"),
                None => format!(
                    "`{name}` is not a known source type: write a name of Debezium such as `io.debezium.time.MicroTimestamp`, or {}",
                    shiftwork_config::list(OWN_NAMES)
                ),
            });
        };
        if argument.is_some() && !takes_number {
            return Err(format!("`{name}` cannot have a number in parentheses"));
        }
        Ok(Self::named(full, argument))
    }

    /// The logical type of a full name. Plain if the name is unknown, or stands for a text or a number.
    pub(crate) fn named(name: &str, argument: Option<i32>) -> Self {
        match name {
            "org.apache.kafka.connect.data.Decimal" => Self::Decimal(argument),
            "io.debezium.data.VariableScaleDecimal" => Self::VariableScaleDecimal,
            "org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" => Self::Date,
            "org.apache.kafka.connect.data.Time" | "io.debezium.time.Time" => Self::Time(Unit::Millis),
            "io.debezium.time.MicroTime" => Self::Time(Unit::Micros),
            "io.debezium.time.NanoTime" => Self::Time(Unit::Nanos),
            "org.apache.kafka.connect.data.Timestamp" | "io.debezium.time.Timestamp" => Self::Timestamp(Unit::Millis),
            "io.debezium.time.MicroTimestamp" => Self::Timestamp(Unit::Micros),
            "io.debezium.time.NanoTimestamp" => Self::Timestamp(Unit::Nanos),
            "io.debezium.time.ZonedTime" | "io.debezium.time.IsoTime" => Self::ZonedTime,
            "io.debezium.time.MicroDuration" => Self::Duration(Unit::Micros),
            "io.debezium.time.NanoDuration" => Self::Duration(Unit::Nanos),
            "io.debezium.data.Bits" => Self::Bits(argument.and_then(|bits| u32::try_from(bits).ok())),
            "io.debezium.data.Json" => Self::Json,
            "io.debezium.data.geometry.Point"
            | "io.debezium.data.geometry.Geometry"
            | "io.debezium.data.geometry.Geography"
            | "io.debezium.data.Geometry"
            | "io.debezium.data.Geography" => Self::Geometry,
            _ => Self::Plain,
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::Plain
    }

    /// The type of a member of an object.
    pub(crate) fn of_member(&self, key: &str) -> &Self {
        match self {
            Self::Struct(members) => {
                members.iter().find(|(name, _)| **name == *key).map_or(&Self::Plain, |(_, logical)| logical)
            }
            Self::Map(values) => values,
            Self::Plain
            | Self::Bytes(_)
            | Self::Decimal(_)
            | Self::VariableScaleDecimal
            | Self::Date
            | Self::Time(_)
            | Self::Timestamp(_)
            | Self::ZonedTime
            | Self::Duration(_)
            | Self::Bits(_)
            | Self::Json
            | Self::Geometry
            | Self::Array(_) => &Self::Plain,
        }
    }

    /// The type of an element of a list.
    pub(crate) fn of_element(&self) -> &Self {
        match self {
            Self::Array(elements) => elements,
            Self::Plain
            | Self::Bytes(_)
            | Self::Decimal(_)
            | Self::VariableScaleDecimal
            | Self::Date
            | Self::Time(_)
            | Self::Timestamp(_)
            | Self::ZonedTime
            | Self::Duration(_)
            | Self::Bits(_)
            | Self::Json
            | Self::Geometry
            | Self::Map(_)
            | Self::Struct(_) => &Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Logical, NAMES, Unit};

    #[test]
    fn a_source_type_may_be_written_in_full_or_by_its_last_word() {
        let read = |text| Logical::parse(text).unwrap();
        assert_eq!(read("io.debezium.time.MicroTimestamp"), Logical::Timestamp(Unit::Micros));
        assert_eq!(read("MicroTimestamp"), Logical::Timestamp(Unit::Micros));
        assert_eq!(read("org.apache.kafka.connect.data.Decimal(4)"), Logical::Decimal(Some(4)));
        assert_eq!(read("Decimal"), Logical::Decimal(None));
        assert_eq!(read("hex"), Logical::Bytes(Encoding::Hex));
        assert_eq!(read("io.debezium.data.Uuid"), Logical::Plain);
        for (name, _) in NAMES {
            assert!(Logical::parse(name).is_ok(), "{name}");
        }
        assert_eq!(
            Logical::parse("MicroTimestmp").unwrap_err(),
            "`MicroTimestmp` is not a known source type; did you mean `MicroTimestamp`?"
        );
        assert!(Logical::parse("Date(3)").is_err() && Logical::parse("Decimal(x)").is_err());
    }

    #[test]
    fn counts_are_converted_to_microseconds() {
        assert_eq!(Unit::Nanos.micros(-1), Some((-1, true)));
        assert_eq!(Unit::Millis.micros(2), Some((2000, false)));
        assert_eq!(Unit::Seconds.micros(i64::MAX), None);
    }
}
