//! Instants in the ways in which repositories write them.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    fmt::{
        strtime::{self, BrokenDownTime},
        temporal::DateTimeParser,
    },
    tz::{Offset, TimeZone},
};

/// From here on a number is of milliseconds: as seconds it would be the year 5138, as milliseconds it is March 1973.
const FIRST_MILLIS: i128 = 100_000_000_000;
/// `epoch_seconds` in the configuration.
pub(crate) const SECONDS: &str = "epoch_seconds";
/// `epoch_millis` in the configuration.
pub(crate) const MILLIS: &str = "epoch_millis";

/// How a repository writes dates.
#[derive(Debug, Clone)]
pub(crate) struct Dates {
    pub(crate) zone: TimeZone,
    pub(crate) formats: Vec<String>,
    pub(crate) seconds: bool,
    pub(crate) millis: bool,
}

/// Why a format of the configuration is none.
pub(crate) fn format_problem(format: &str) -> Option<String> {
    if format == SECONDS || format == MILLIS {
        return None;
    }
    let known = format!("{SECONDS}, {MILLIS}, or a pattern such as %d.%m.%Y");
    let sample = Date::constant(2026, 11, 21).at(17, 3, 9, 0).to_zoned(TimeZone::UTC).ok()?;
    let written = match strtime::format(format, &sample) {
        Ok(written) if format.contains('%') => written,
        Ok(_) => return Some(format!("`{format}` is no format of dates; expected {known}")),
        Err(error) => return Some(format!("`{format}` is no format of dates ({error}); expected {known}")),
    };
    let read = BrokenDownTime::parse(format, &written).ok().and_then(|parts| parts.to_date().ok());
    (read != Some(sample.date())).then(|| format!("`{format}` does not say a whole date: year, month and day"))
}

impl Dates {
    /// The instant that a text says, as ISO 8601 with its zone. A text that is so already stays as it is.
    pub(crate) fn of_text(&self, text: &str) -> Option<String> {
        let text = text.trim();
        if is_iso_with_zone(text) {
            return Some(text.into());
        }
        self.iso(text).or_else(|| self.formats.iter().find_map(|format| self.formatted(format, text))).or_else(|| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let epoch = (self.seconds || self.millis) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            epoch.then(|| self.of_number(text)).flatten()
        })
    }

    /// The instant that a number says: seconds or milliseconds since 1970, whichever the repository writes.
    pub(crate) fn of_number(&self, digits: &str) -> Option<String> {
        // Nanoseconds, so that 1700000000.25 keeps its quarter.
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

    /// ISO 8601 as people write it: with a space, without a zone, a date alone.
    fn iso(&self, text: &str) -> Option<String> {
        // Basic format is digits alone, and so is an epoch.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let pieces = DateTimeParser::new().parse_pieces(text).ok()?;
        let time = pieces.time().unwrap_or_default();
        let datetime = pieces.date().to_datetime(time);
        match pieces.to_numeric_offset() {
            Some(offset) => written(datetime, offset),
            None if pieces.time_zone_annotation().is_some() => None,
            None => self.here(datetime),
        }
    }

    fn formatted(&self, format: &str, text: &str) -> Option<String> {
        let parts = BrokenDownTime::parse(format, text).ok()?;
        let datetime = parts.to_datetime().or_else(|_| parts.to_date().map(|date| date.at(0, 0, 0, 0))).ok()?;
        match parts.offset() {
            Some(offset) => written(datetime, offset),
            None => self.here(datetime),
        }
    }

    fn here(&self, datetime: DateTime) -> Option<String> {
        let zoned = self.zone.to_ambiguous_zoned(datetime).compatible().ok()?;
        written(zoned.datetime(), zoned.offset())
    }
}

/// Seconds since 1970 of an instant that this module wrote or let stand.
pub(crate) fn epoch_seconds(iso: &str) -> Option<i64> {
    iso.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// True for an instant whose seconds nobody takes for milliseconds.
pub(crate) fn is_in_seconds(iso: &str) -> bool {
    epoch_seconds(iso).is_some_and(|seconds| i128::from(seconds).abs() < FIRST_MILLIS)
}

/// `2026-03-01T02:00:00+01:00`, with milliseconds where there are some.
fn written(at: DateTime, offset: Offset) -> Option<String> {
    // Years before Christ have no agreed way to be written, and are a mistake.
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

/// `YYYY-MM-DDThh:mm:ss`, a fraction or none, and `Z` or `±hh:mm`: what every reader of ISO 8601 reads.
pub(crate) fn is_iso_with_zone(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("9999-99-99T99:99:99") else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('9') => fraction.trim_start_matches('9'),
        Some(_) => return false,
        None => rest,
    };
    // A fraction of more than nine digits is finer than anybody's clock, and does not parse.
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
    fn what_is_iso_with_a_zone_stays() {
        let none = dates(&[], "Europe/Berlin");
        for text in ["2012-03-25T12:30:10+01:00", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00.5-05:30"] {
            assert_eq!(none.of_text(text).as_deref(), Some(text));
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
            // A quarter past two did not exist that night.
            ("2026-03-29T02:15:00", "2026-03-29T03:15:00+02:00"),
        ] {
            assert_eq!(berlin.of_text(text).as_deref(), Some(iso), "{text}");
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
            assert_eq!(dates.of_text(text).as_deref(), Some(iso), "{text}");
        }
        for text in ["31.02.2026", "gestern", "", "2026-13-01", "1.3", "1772323200"] {
            assert_eq!(dates.of_text(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_count_from_1970_where_the_repository_says_so() {
        let (seconds, millis, both) =
            (dates(&[SECONDS], "UTC"), dates(&[MILLIS], "UTC"), dates(&[SECONDS, MILLIS], "Europe/Berlin"));
        let iso = "2026-03-01T00:00:00Z";
        assert_eq!(seconds.of_number("1772323200").as_deref(), Some(iso));
        assert_eq!(seconds.of_text("1772323200").as_deref(), Some(iso));
        assert_eq!(millis.of_number("1772323200000").as_deref(), Some(iso));
        assert_eq!(both.of_number("1772323200").as_deref(), Some(iso));
        assert_eq!(both.of_number("1772323200250").as_deref(), Some("2026-03-01T00:00:00.250Z"));
        assert_eq!(seconds.of_number("1772323200.5").as_deref(), Some("2026-03-01T00:00:00.500Z"));
        assert_eq!(seconds.of_number("-1.5").as_deref(), Some("1969-12-31T23:59:58.500Z"));
        assert_eq!(dates(&[], "UTC").of_number("1772323200"), None);
        for digits in ["1e9", "99999999999999999999999999999999999999999", "-99999999999999", "1.0000000001", "-"] {
            assert_eq!(seconds.of_number(digits), None, "{digits}");
        }
    }

    #[test]
    fn a_format_that_says_no_date_is_refused() {
        for format in ["%d.%m.%Y", "%Y-%j", SECONDS, MILLIS, "%m/%d/%y"] {
            assert_eq!(format_problem(format), None, "{format}");
        }
        for format in ["%H:%M", "%Y-%m", "dd.mm.yyyy", "%Q!", ""] {
            assert!(format_problem(format).is_some(), "{format}");
        }
    }
}
