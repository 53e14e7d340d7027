//! Logical types: what a source means by a value that JSON has no type for.
//!
//! They come with the event, in the schema of its envelope, or from the contract (`source_type`). A value that is not what its
//! type says is left as it is: whether it fits its column is looked at afterwards, and nothing is lost.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

/// A logical type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Logical {
    /// What JSON says.
    #[default]
    Plain,
    /// Bytes as text.
    Bytes(Encoding),
    /// Base64 of a big-endian two's complement, and where its point is; without a scale, where the column's is.
    Decimal(Option<i32>),
    /// The same with the scale beside it: `{"scale": 2, "value": "base64"}`.
    VariableScaleDecimal,
    /// Days since the epoch.
    Date,
    /// A count since midnight.
    Time(Unit),
    /// A count since the epoch.
    Timestamp(Unit),
    /// A time of a day with its zone, as text.
    ZonedTime,
    /// A length of time, as a count.
    Duration(Unit),
    /// So many bits (1 to 8 times the bytes, where it is not said), base64 of their bytes, the lowest first.
    Bits(Option<u32>),
    /// JSON as text.
    Json,
    /// `{"wkb": "base64", "srid": 4326}`, and `x` and `y` of a point.
    Geometry,
    /// A list of one type.
    Array(Box<Logical>),
    /// An object whose values are of one type.
    Map(Box<Logical>),
    /// An object with a type for each key that is not plain.
    Struct(Vec<(Box<str>, Logical)>),
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base64, as Kafka Connect's JSON has it.
    Base64,
    /// Base64 with `-` and `_`.
    Base64Url,
    /// Hexadecimal digits.
    Hex,
}

impl Encoding {
    /// The bytes of a text.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
        }
    }
}

/// What is counted.
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
    /// Microseconds of a count, and whether digits below them were cut. None past the ends of the type.
    pub(crate) fn micros(self, count: i64) -> Option<(i64, bool)> {
        match self {
            Self::Seconds => Some((count.checked_mul(1_000_000)?, false)),
            Self::Millis => Some((count.checked_mul(1000)?, false)),
            Self::Micros => Some((count, false)),
            Self::Nanos => Some((count.div_euclid(1000), count.rem_euclid(1000) != 0)),
        }
    }
}

/// Names that `source_type` knows besides those of Debezium and Kafka Connect.
const OWN_NAMES: [&str; 5] = ["bytes", "base64", "base64-url-safe", "hex", "epoch-seconds"];

/// Debezium's and Kafka Connect's names, and whether a number in parentheses may follow.
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
    /// Reads a contract's `source_type`: a name of Debezium's or Kafka Connect's, in full or its last word, with a scale or a length
    /// in parentheses where it has one (`org.apache.kafka.connect.data.Decimal(2)`, `Bits(12)`); or `bytes`, `base64`,
    /// `base64-url-safe`, `hex`, `epoch-seconds`.
    ///
    /// # Errors
    /// What is wrong with it, and the name that was probably meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            None => (text, None),
            Some((name, number)) => {
                (name, Some(number.trim().parse::<i32>().map_err(|_| format!("`{text}`: `{number}` is no number"))?))
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
                Some(near) => format!("`{name}` is no source type that is known; did you mean `{near}`?"),
                None => format!(
                    "`{name}` is no source type that is known: a name of Debezium's such as `io.debezium.time.MicroTimestamp`, or {}",
                    shiftwork_config::list(OWN_NAMES)
                ),
            });
        };
        if argument.is_some() && !takes_number {
            return Err(format!("`{name}` takes no number"));
        }
        Ok(Self::named(full, argument))
    }

    /// Of a name in full; plain where it is text, or a number, or not known.
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
            "`MicroTimestmp` is no source type that is known; did you mean `MicroTimestamp`?"
        );
        assert!(Logical::parse("Date(3)").is_err() && Logical::parse("Decimal(x)").is_err());
    }

    #[test]
    fn counts_become_microseconds_or_nothing() {
        assert_eq!(Unit::Nanos.micros(-1), Some((-1, true)));
        assert_eq!(Unit::Millis.micros(2), Some((2000, false)));
        assert_eq!(Unit::Seconds.micros(i64::MAX), None);
    }
}
