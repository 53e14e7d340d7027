//! Durations and sizes in configuration. No other module parses them.

use std::{borrow::Cow, fmt, num::NonZeroU32, str::FromStr};

use jiff::{SignedDuration, Span, SpanRelativeTo, fmt::friendly::SpanParser};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A duration of whole seconds, at least one: `90s`, `30m`, `2h`, `7d`, `8w`, `1h 30m`, `90 minutes`.
///
/// The format is jiff's friendly format. A day has 24 hours. Months and years are not accepted because their lengths vary, and fractions
/// of a second are not accepted. A duration keeps the units that it was written with; durations of the same length are equal.
#[derive(Clone, Copy)]
pub struct Duration {
    written: Span,
    length: SignedDuration,
}

impl Duration {
    /// The value of `format` in the JSON Schema.
    pub(crate) const FORMAT: &'static str = "friendly-duration";
    /// Hint of messages about a value that is not a valid duration.
    pub const HINT: &'static str = "write a number and a unit: `90s`, `30m`, `2h`, `7d` or `8w`";

    /// Creates a duration of `seconds` seconds.
    pub fn from_secs(seconds: NonZeroU32) -> Self {
        let seconds = i64::from(seconds.get());
        Self { written: Span::new().seconds(seconds), length: SignedDuration::from_secs(seconds) }
    }

    /// Returns `None` if the span is not a positive number of whole seconds.
    fn of(written: Span) -> Result<Option<Self>, jiff::Error> {
        let length = written.to_duration(SpanRelativeTo::days_are_24_hours())?;
        Ok((length.is_positive() && length.subsec_nanos() == 0).then_some(Self { written, length }))
    }

    /// The duration as jiff's type for arithmetic.
    pub const fn length(&self) -> SignedDuration {
        self.length
    }

    /// The duration in seconds.
    pub const fn as_secs(&self) -> i64 {
        self.length.as_secs()
    }

    /// The duration in days.
    ///
    /// # Errors
    /// Returns a message if the duration is not a whole number of days.
    pub fn as_days(&self) -> Result<u32, String> {
        let (days, rest) = (self.as_secs() / SECONDS_OF_A_DAY, self.as_secs() % SECONDS_OF_A_DAY);
        match u32::try_from(days) {
            Ok(days) if rest == 0 => Ok(days),
            Ok(_) | Err(_) => Err(format!("`{self}` is not a whole number of days")),
        }
    }
}

const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not a valid duration");
        let written = SpanParser::new().parse_span(text.trim()).map_err(|_| invalid())?;
        if written.get_years() != 0 || written.get_months() != 0 {
            return Err(format!("`{text}` has months or years, whose lengths vary"));
        }
        match Self::of(written) {
            Ok(Some(duration)) => Ok(duration),
            Ok(None) if written.is_zero() => Err(format!("`{text}` is shorter than one second")),
            Ok(None) if written.is_negative() => Err(invalid()),
            Ok(None) => Err(format!("`{text}` has fractions of a second")),
            Err(_) => Err(invalid()),
        }
    }
}

/// Writes the units that the duration was read with, in jiff's short form: `1h 30m`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.written)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Duration {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length
    }
}

impl Eq for Duration {}

/// A size of at least one byte: `500 MB`, `1.5 GB`. Units are powers of 1,024, as in AWS; a fraction of a byte is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Units from the largest to the smallest, each with the exponent of its power of 2.
const UNITS: [(&str, u32); 5] = [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];
/// Maximum number of digits after the decimal point.
const FRACTION_DIGITS: usize = 9;

impl ByteSize {
    /// The value of `format` in the JSON Schema.
    pub(crate) const FORMAT: &'static str = "byte-size";
    /// Hint of messages about a value that is not a valid size.
    pub const HINT: &'static str = "write a number and a unit: `500 MB` or `1.5 GB`";

    /// Creates a size of `bytes` bytes; `None` for 0.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes == 0 { None } else { Some(Self(bytes)) }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn read(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = (&text[..unit_at], text[unit_at..].trim());
        let (_, bits) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let has_digits = !(whole.is_empty() && fraction.is_empty());
        if !has_digits || fraction.contains('.') || fraction.len() > FRACTION_DIGITS {
            return None;
        }
        // The number without its decimal point, in units of 10^-n, where n is the length of the fraction.
        let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let bytes = digits.checked_mul(1 << bits)? / scale;
        Self::from_bytes(u64::try_from(bytes).ok()?)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text.trim()).ok_or_else(|| format!("`{text}` is not a valid size"))
    }
}

/// Writes the size in the unit that gives the shortest text, and in the larger unit if two are equally short: `6.2 GB`, `100 MB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_unit = |(name, bits): &(&str, u32)| {
            (0..=3)
                .map(|digits| format!("{} {name}", decimal(self.0, *bits, digits)))
                .find(|text| Self::read(text) == Some(*self))
        };
        let shortest = UNITS.iter().filter_map(in_unit).min_by_key(String::len);
        f.write_str(&shortest.unwrap_or_else(|| format!("{} B", self.0)))
    }
}

/// Writes `bytes` in units of 2^`bits` bytes, rounded up to `decimals` decimal places.
fn decimal(bytes: u64, bits: u32, decimals: u32) -> String {
    let scale = 10_u128.pow(decimals);
    let scaled = (u128::from(bytes) * scale).div_ceil(1 << bits);
    let (whole, fraction) = (scaled / scale, scaled % scale);
    if decimals == 0 { whole.to_string() } else { format!("{whole}.{fraction:0width$}", width = decimals as usize) }
}

/// Implements serialization and the schema of a quantity: a string whose `format` in the schema is `FORMAT`.
macro_rules! written_as_text {
    ($($quantity:ident),*) => {$(
        impl Serialize for $quantity {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $quantity {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(|problem| D::Error::custom(format_args!("{problem}; {}", Self::HINT)))
            }
        }

        impl JsonSchema for $quantity {
            fn schema_name() -> Cow<'static, str> {
                stringify!($quantity).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": Self::FORMAT })
            }
        }
    )*};
}

written_as_text!(Duration, ByteSize);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ByteSize, Duration};

    fn duration(text: &str) -> Duration {
        text.parse().unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn bytes(text: &str) -> u64 {
        text.parse::<ByteSize>().unwrap_or_else(|problem| panic!("{problem}")).bytes()
    }

    #[test]
    fn valid_durations_are_parsed() {
        for (text, seconds) in [
            ("90s", 90),
            ("1440m", 86_400),
            ("007m", 420),
            ("2h", 7_200),
            ("2 h ", 7_200),
            ("1.5h", 5_400),
            ("7d", 604_800),
            ("8w", 4_838_400),
            ("1h 30m", 5_400),
            ("30 min", 1_800),
            ("2 hours", 7_200),
            ("999999w", 604_799_395_200),
        ] {
            assert_eq!(duration(text).as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_refused() {
        for (text, problem) in [
            ("", "`` is not a valid duration"),
            ("h", "`h` is not a valid duration"),
            ("5", "`5` is not a valid duration"),
            ("soon", "`soon` is not a valid duration"),
            ("-1s", "`-1s` is not a valid duration"),
            ("1h ago", "`1h ago` is not a valid duration"),
            ("99999999999999999999s", "`99999999999999999999s` is not a valid duration"),
            ("0s", "`0s` is shorter than one second"),
            ("1500ms", "`1500ms` has fractions of a second"),
            ("0.5s", "`0.5s` has fractions of a second"),
            ("1mo", "`1mo` has months or years, whose lengths vary"),
            ("1y", "`1y` has months or years, whose lengths vary"),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap_err(), problem);
        }
    }

    #[test]
    fn durations_are_converted_to_whole_days_only() {
        assert_eq!(duration("1440m").as_days(), Ok(1));
        assert_eq!(duration("48h").as_days(), Ok(2));
        assert_eq!(duration("8w").as_days(), Ok(56));
        assert_eq!(duration("36h").as_days(), Err("`36h` is not a whole number of days".into()));
        assert_eq!(duration("1h").as_days(), Err("`1h` is not a whole number of days".into()));
    }

    #[test]
    fn valid_sizes_are_parsed_and_others_refused() {
        for (text, size) in [
            ("1 B", 1),
            ("1 GB", 1 << 30),
            ("5MB", 5 << 20),
            ("5 mb", 5 << 20),
            ("1.5 GB", 3 << 29),
            (".5 KB", 512),
            ("5. KB", 5_120),
            ("6.2 GB", 6_657_199_308),
            ("6348.8 MB", 6_657_199_308),
            ("16777215 TB", 16_777_215 << 40),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
        for text in [
            "",
            "GB",
            ". GB",
            "1.2.3 GB",
            "5",
            "0 MB",
            "0.1 B",
            "-1 B",
            "1 GiB",
            "1e3 B",
            "16777216 TB",
            "99999999999999999999 B",
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(format!("`{text}` is not a valid size")));
        }
    }

    #[test]
    fn quantities_are_displayed_as_configuration_writes_them() {
        for text in ["90s", "30m", "2h", "7d", "8w", "36h", "1h 30m", "1440m"] {
            assert_eq!(duration(text).to_string(), text);
        }
        for text in ["1 B", "100 MB", "6.2 GB", "1.5 GB", "300 B", "1 TB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_displayed_duration_is_parsed_to_the_same_value(number in 1_u32..1_000_000, other in 0_u32..1_000, unit in "[smhdw]", smaller in "[sm]") {
            let text = if other == 0 || unit <= smaller { format!("{number}{unit}") } else { format!("{number}{unit} {other}{smaller}") };
            if let Ok(read) = text.parse::<Duration>() {
                let again = duration(&read.to_string());
                prop_assert_eq!(again, read);
                prop_assert_eq!(again.to_string(), read.to_string());
            } else {
                prop_assert!(text.contains(' '), "{} was refused", text);
            }
        }

        #[test]
        fn every_text_is_a_positive_duration_or_refused(text in "[0-9a-z ,.:-]{0,12}") {
            if let Ok(read) = text.parse::<Duration>() {
                prop_assert!(read.as_secs() > 0);
                prop_assert_eq!(duration(&read.to_string()), read);
            }
        }

        #[test]
        fn a_displayed_size_is_parsed_to_the_same_value(size in 1_u64.., shift in 0_u32..60) {
            let size = ByteSize::from_bytes((size >> shift).max(1)).unwrap();
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }

        #[test]
        fn every_text_is_a_displayable_size_or_refused(text in "[0-9.]{0,12} ?[kKmMgGtT]?[bB]?") {
            if let Ok(size) = text.parse::<ByteSize>() {
                prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
            }
        }
    }
}
