//! Dates and times in the formats that repositories use.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    fmt::{
        strtime::{self, BrokenDownTime},
        temporal::DateTimeParser,
    },
    tz::{Offset, TimeZone},
};

/// If a repository uses seconds and milliseconds, numbers from this value on are milliseconds: in seconds it is in the year
/// 5138, in milliseconds in March 1973.
const FIRST_MILLIS: i128 = 100_000_000_000;
/// The format of seconds since 1970 in the configuration.
pub(crate) const SECONDS: &str = "epoch_seconds";
/// The format of milliseconds since 1970 in the configuration.
pub(crate) const MILLIS: &str = "epoch_millis";

/// The formats of dates in a repository, and the time zone of dates without one.
#[derive(Debug, Clone)]
pub(crate) struct Dates {
    pub(crate) zone: TimeZone,
    pub(crate) formats: Vec<String>,
    pub(crate) seconds: bool,
    pub(crate) millis: bool,
}

/// The reason why a format in the configuration is not valid; `None` if it is valid.
pub(crate) fn format_problem(format: &str) -> Option<String> {
    if format == SECONDS || format == MILLIS {
        return None;
    }
    let known = format!("{SECONDS}, {MILLIS}, or a pattern such as %d.%m.%Y");
    let sample = Date::constant(2026, 11, 21).at(17, 3, 9, 0).to_zoned(TimeZone::UTC).ok()?;
    let written = match strtime::format(format, &sample) {
        Ok(written) if format.contains('%') => written,
        Ok(_) => return Some(format!("`{format}` is not a valid format of dates; expected {known}")),
        Err(error) => return Some(format!("`{format}` is not a valid format of dates ({error}); expected {known}")),
    };
    let read = BrokenDownTime::parse(format, &written).ok().and_then(|parts| parts.to_date().ok());
    (read != Some(sample.date()))
        .then(|| format!("`{format}` is not a complete date: it must have a year, a month and a day"))
}

impl Dates {
    /// Parses a text and returns it as ISO 8601 with a UTC offset. A text in that format is returned unchanged.
    pub(crate) fn parse_text(&self, text: &str) -> Option<String> {
        let text = text.trim();
        if is_iso_with_zone(text) {
            return Some(text.into());
        }
        self.iso(text).or_else(|| self.formats.iter().find_map(|format| self.formatted(format, text))).or_else(|| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let epoch = (self.seconds || self.millis) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            epoch.then(|| self.parse_number(text)).flatten()
        })
    }

    /// Parses seconds or milliseconds since 1970, depending on the formats of the repository, and returns ISO 8601 in UTC.
    pub(crate) fn parse_number(&self, digits: &str) -> Option<String> {
        // Calculates in nanoseconds, so that fractions such as 1700000000.25 are kept.
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let units: i128 = whole.parse().ok()?;
        let millis = match (self.seconds, self.millis) {
            (true, true) => units.abs() >= FIRST_MILLIS,
            (seconds, millis) if seconds || millis => millis,
            (_, _) => return None,
        };
        let scale: i128 = if millis { 1_000_000 } else { 1_000_000_000 };
        let part: i128 = format!("{fraction:0<9}").parse().ok()?;
        let part = if whole.starts_with('-') { -part } else { part };
        let nanos = units.checked_mul(scale)?.checked_add(part * scale / 1_000_000_000)?;
        let at = Timestamp::from_nanosecond(nanos).ok()?;
        written(Offset::UTC.to_datetime(at), Offset::UTC)
    }

    /// Parses variants of ISO 8601: with a space, without a time zone, or without a time.
    fn iso(&self, text: &str) -> Option<String> {
        // The basic format has only digits, as seconds and milliseconds since 1970 have.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let pieces = DateTimeParser::new().parse_pieces(text).ok()?;
        let time = pieces.time().unwrap_or_default();
        let datetime = pieces.date().to_datetime(time);
        match pieces.to_numeric_offset() {
            Some(offset) => written(datetime, offset),
            None if pieces.time_zone_annotation().is_some() => None,
            None => self.in_repository_zone(datetime),
        }
    }

    fn formatted(&self, format: &str, text: &str) -> Option<String> {
        let parts = BrokenDownTime::parse(format, text).ok()?;
        let datetime = parts.to_datetime().or_else(|_| parts.to_date().map(|date| date.at(0, 0, 0, 0))).ok()?;
        match parts.offset() {
            Some(offset) => written(datetime, offset),
            None => self.in_repository_zone(datetime),
        }
    }

    fn in_repository_zone(&self, datetime: DateTime) -> Option<String> {
        let zoned = self.zone.to_ambiguous_zoned(datetime).compatible().ok()?;
        written(zoned.datetime(), zoned.offset())
    }
}

/// Seconds since 1970 of a text in the format of [`is_iso_with_zone`].
pub(crate) fn epoch_seconds(iso: &str) -> Option<i64> {
    iso.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// True if the seconds since 1970 are smaller than [`FIRST_MILLIS`], so that they are not read as milliseconds.
pub(crate) fn is_in_seconds(iso: &str) -> bool {
    epoch_seconds(iso).is_some_and(|seconds| i128::from(seconds).abs() < FIRST_MILLIS)
}

/// Formats a time, for example `2026-03-01T02:00:00+01:00`, with milliseconds if they are not zero. `None` for a time that
/// [`is_iso_with_zone`] does not accept.
fn written(at: DateTime, offset: Offset) -> Option<String> {
    // ISO 8601 has no common format for years before 0, so they are an error.
    if at.year() < 0 || offset.to_timestamp(at).is_err() {
        return None;
    }
    let fraction = match at.millisecond() {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    let zone = match offset.seconds() {
        0 => "Z".into(),
        seconds => {
            format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, seconds.abs() / 3600, seconds.abs() / 60 % 60)
        }
    };
    let text = format!("{}{fraction}{zone}", at.strftime("%Y-%m-%dT%H:%M:%S"));
    is_iso_with_zone(&text).then_some(text)
}

/// True for `YYYY-MM-DDThh:mm:ss` with an optional fraction and `Z` or `±hh:mm`, the variant that Kendra documents.
pub(crate) fn is_iso_with_zone(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("9999-99-99T99:99:99") else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('9') => fraction.trim_start_matches('9'),
        Some(_) => return false,
        None => rest,
    };
    // A fraction of more than nine digits does not parse.
    matches!(rest, "Z" | "+99:99" | "-99:99") && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(formats: &[&str], zone: &str) -> Dates {
        Dates {
            zone: TimeZone::get(zone).unwrap(),
            formats: formats.iter().filter(|f| f.contains('%')).map(ToString::to_string).collect(),
            seconds: formats.contains(&SECONDS),
            millis: formats.contains(&MILLIS),
        }
    }

    #[test]
    fn iso_with_a_zone_is_unchanged() {
        let none = dates(&[], "Europe/Berlin");
        for text in ["2012-03-25T12:30:10+01:00", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00.5-05:30"] {
            assert_eq!(none.parse_text(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn iso_without_a_zone_is_in_the_zone_of_the_repository() {
        let berlin = dates(&[], "Europe/Berlin");
        for (text, iso) in [
            ("2026-03-01", "2026-03-01T00:00:00+01:00"),
            ("2026-07-01 09:05", "2026-07-01T09:05:00+02:00"),
            ("2026-07-01T09:05:00.250", "2026-07-01T09:05:00.250+02:00"),
            ("2026-07-01T09:05:00+0200", "2026-07-01T09:05:00+02:00"),
            ("2026-07-01t09:05:00z", "2026-07-01T09:05:00Z"),
            // The clock was set forward from 02:00 to 03:00 in that night.
            ("2026-03-29T02:15:00", "2026-03-29T03:15:00+02:00"),
        ] {
            assert_eq!(berlin.parse_text(text).as_deref(), Some(iso), "{text}");
        }
    }

    #[test]
    fn formats_are_tried_in_their_order() {
        let dates =
            dates(&["%d.%m.%Y %H:%M", "%d.%m.%Y", "%m/%d/%y", "%d %b %Y", "%Y%m%d", "%d/%b/%Y:%H:%M:%S %z"], "UTC");
        for (text, iso) in [
            ("01.03.2026 17:30", "2026-03-01T17:30:00Z"),
            ("01.03.2026", "2026-03-01T00:00:00Z"),
            ("3/1/26", "2026-03-01T00:00:00Z"),
            ("1 Mar 2026", "2026-03-01T00:00:00Z"),
            ("20260301", "2026-03-01T00:00:00Z"),
            ("01/Mar/2026:17:30:00 -0700", "2026-03-01T17:30:00-07:00"),
        ] {
            assert_eq!(dates.parse_text(text).as_deref(), Some(iso), "{text}");
        }
        for text in ["31.02.2026", "gestern", "", "2026-13-01", "1.3", "1772323200"] {
            assert_eq!(dates.parse_text(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds_only_with_that_format() {
        let (seconds, millis, both) =
            (dates(&[SECONDS], "UTC"), dates(&[MILLIS], "UTC"), dates(&[SECONDS, MILLIS], "Europe/Berlin"));
        let iso = "2026-03-01T00:00:00Z";
        assert_eq!(seconds.parse_number("1772323200").as_deref(), Some(iso));
        assert_eq!(seconds.parse_text("1772323200").as_deref(), Some(iso));
        assert_eq!(millis.parse_number("1772323200000").as_deref(), Some(iso));
        assert_eq!(both.parse_number("1772323200").as_deref(), Some(iso));
        assert_eq!(both.parse_number("1772323200250").as_deref(), Some("2026-03-01T00:00:00.250Z"));
        assert_eq!(seconds.parse_number("1772323200.5").as_deref(), Some("2026-03-01T00:00:00.500Z"));
        assert_eq!(seconds.parse_number("-1.5").as_deref(), Some("1969-12-31T23:59:58.500Z"));
        assert_eq!(dates(&[], "UTC").parse_number("1772323200"), None);
        for digits in ["1e9", "99999999999999999999999999999999999999999", "-99999999999999", "1.0000000001", "-"] {
            assert_eq!(seconds.parse_number(digits), None, "{digits}");
        }
    }

    #[test]
    fn a_format_without_a_complete_date_is_refused() {
        for format in ["%d.%m.%Y", "%Y-%j", SECONDS, MILLIS, "%m/%d/%y"] {
            assert_eq!(format_problem(format), None, "{format}");
        }
        for format in ["%H:%M", "%Y-%m", "dd.mm.yyyy", "%Q!", ""] {
            assert!(format_problem(format).is_some(), "{format}");
        }
    }
}
