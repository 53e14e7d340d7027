//! Dates and times in the formats that repositories use. A value that two formats read differently is an error and never
//! guessed.

use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, DateTime, date},
    fmt::{
        strtime::{self, BrokenDownTime},
        temporal::DateTimeParser,
    },
    tz::{Offset, TimeZone},
};

/// If a repository uses seconds and milliseconds, numbers from this value on are milliseconds: in seconds it is in the year
/// 5138, in milliseconds in March 1973.
const FIRST_MILLIS: i128 = 100_000_000_000;
/// 1970-01-01, from which seconds and milliseconds are counted.
const EPOCH: Date = date(1970, 1, 1);
const DAY_SECONDS: i64 = 86_400;
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

/// The reason why a value is not read as a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The value has none of the formats.
    NoFormat,
    /// The value has several meanings; the text says which.
    Ambiguous(String),
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
    pub(crate) fn parse_text(&self, text: &str) -> Result<String, Unreadable> {
        let text = text.trim();
        if is_iso_with_zone(text) {
            return Ok(text.into());
        }
        let iso = self.iso(text).map(|read| ("ISO 8601", read));
        self.one_reading(iso, text).or_else(|unread| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let number = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if unread == Unreadable::NoFormat && number { self.epoch(text) } else { Err(unread) }
        })
    }

    /// Parses a number: in a format of digits such as `%Y%m%d`, or seconds or milliseconds since 1970.
    pub(crate) fn parse_number(&self, digits: &str) -> Result<String, Unreadable> {
        self.one_reading(None, digits).or_else(|unread| match unread {
            Unreadable::NoFormat => self.epoch(digits),
            Unreadable::Ambiguous(_) => Err(unread),
        })
    }

    /// True if seconds since 1970, written for this date, are read as this date again.
    pub(crate) fn can_be_seconds(&self, iso: &str) -> bool {
        epoch_seconds(iso).is_some_and(|seconds| {
            let as_millis = self.millis && i128::from(seconds).abs() >= FIRST_MILLIS;
            !as_millis && calendar_reading(&seconds.to_string()).is_none()
        })
    }

    /// The date that `first` and every declared pattern which matches the text agree on.
    fn one_reading(&self, first: Option<(&str, String)>, text: &str) -> Result<String, Unreadable> {
        let patterns = self.formats.iter().filter_map(|format| Some((format.as_str(), self.formatted(format, text)?)));
        let mut readings = first.into_iter().chain(patterns);
        let Some((format, read)) = readings.next() else { return Err(Unreadable::NoFormat) };
        match readings.find(|(_, other)| *other != read) {
            None => Ok(read),
            Some((another, other)) => {
                Err(Unreadable::Ambiguous(format!("{format} reads {read}, and {another} reads {other}")))
            }
        }
    }

    /// Parses seconds or milliseconds since 1970, depending on the formats of the repository, and returns ISO 8601 in UTC.
    fn epoch(&self, digits: &str) -> Result<String, Unreadable> {
        let millis = match (self.seconds, self.millis) {
            (true, true) => None,
            (true, false) => Some(false),
            (false, true) => Some(true),
            (false, false) => return Err(Unreadable::NoFormat),
        };
        if let Some(calendar) = calendar_reading(digits) {
            return Err(Unreadable::Ambiguous(format!(
                "it could be {calendar} or a number of seconds or milliseconds since 1970: declare its format in `dates`, such as \
                 %Y%m%d, or correct the value"
            )));
        }
        epoch_time(digits, millis).ok_or(Unreadable::NoFormat)
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
        // `%Y` also reads `26`, but that is a year of this century and not of the first.
        if datetime.year() < 1000 {
            return None;
        }
        match parts.offset() {
            Some(offset) => written(datetime, offset),
            None => self.in_repository_zone(datetime),
        }
    }

    fn in_repository_zone(&self, datetime: DateTime) -> Option<String> {
        match self.zone.to_ambiguous_zoned(datetime).compatible() {
            Ok(zoned) => written(zoned.datetime(), zoned.offset()),
            // An instant of jiff ends a day before the year 9999 does, and `9999-12-31` is a usual date for "without an end".
            Err(_) if datetime.year() == 9999 => written(datetime, self.zone.to_offset(Timestamp::MAX)),
            Err(_) => None,
        }
    }
}

/// The time of digits that count seconds or milliseconds since 1970, as ISO 8601 in UTC. Without `millis`, their size decides.
fn epoch_time(digits: &str, millis: Option<bool>) -> Option<String> {
    // Calculates in nanoseconds, so that fractions such as 1700000000.25 are kept.
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let units: i128 = whole.parse().ok()?;
    let millis = millis.unwrap_or(units.abs() >= FIRST_MILLIS);
    let scale: i128 = if millis { 1_000_000 } else { 1_000_000_000 };
    let part: i128 = format!("{fraction:0<9}").parse().ok()?;
    let part = if whole.starts_with('-') { -part } else { part };
    let nanos = units.checked_mul(scale)?.checked_add(part * scale / 1_000_000_000)?;
    let day_nanos = i128::from(DAY_SECONDS) * 1_000_000_000;
    let days = i64::try_from(nanos.div_euclid(day_nanos)).ok()?;
    let in_day = SignedDuration::from_nanos(i64::try_from(nanos.rem_euclid(day_nanos)).ok()?);
    let day = EPOCH.checked_add(Span::new().try_days(days).ok()?).ok()?;
    written(day.at(0, 0, 0, 0).checked_add(in_day).ok()?, Offset::UTC)
}

/// The day, the month or the year that the digits of a number are in a calendar from 1900 to 2100, such as 20260301 and 2026.
/// A number of seconds with these digits is in 1970, and almost never meant.
fn calendar_reading(digits: &str) -> Option<String> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i16>().ok();
    let in_range = |year: &i16| (1900..=2100).contains(year);
    let day = |year: i16, at: usize| {
        let (month, day) = (i8::try_from(number(at, at + 2)?).ok()?, i8::try_from(number(at + 2, at + 4)?).ok()?);
        Date::new(year, month, day).ok().map(|date| format!("the day {date}"))
    };
    let year = number(0, 4).filter(in_range);
    match digits.len() {
        4 => year.map(|year| format!("the year {year}")),
        6 => {
            let month = year.zip(number(4, 6).filter(|month| (1..=12).contains(month)));
            let month = month.map(|(year, month)| format!("the month {year}-{month:02}"));
            month.or_else(|| day(2000 + number(0, 2)?, 2))
        }
        8 => day(year?, 4),
        12 | 14 => {
            let time = number(8, 10)? < 24 && number(10, 12)? < 60 && number(12, 14).is_none_or(|second| second < 60);
            day(year?, 4).filter(|_| time)
        }
        _ => None,
    }
}

/// Seconds since 1970 of a text in the format of [`is_iso_with_zone`].
pub(crate) fn epoch_seconds(iso: &str) -> Option<i64> {
    let (datetime, offset_seconds) = parts(iso)?;
    let days = i64::from(EPOCH.until(datetime.date()).ok()?.get_days());
    let in_day = datetime.time().duration_since(jiff::civil::Time::midnight()).as_secs();
    Some(days * DAY_SECONDS + in_day - offset_seconds)
}

/// Formats a time, for example `2026-03-01T02:00:00+01:00`, with milliseconds if they are not zero. `None` for a time that
/// [`is_iso_with_zone`] does not accept.
fn written(at: DateTime, offset: Offset) -> Option<String> {
    // ISO 8601 has no common format for years before 0, so they are an error.
    if at.year() < 0 {
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
    parts(text).is_some()
}

/// The local time and the offset in seconds of a text in the format of [`is_iso_with_zone`]. An instant of jiff would end at
/// 9999-12-30T22:00:00Z.
fn parts(text: &str) -> Option<(DateTime, i64)> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let rest = shape.strip_prefix("9999-99-99T99:99:99")?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('9') => fraction.trim_start_matches('9'),
        Some(_) => return None,
        None => rest,
    };
    let (local, zone) = text.split_at(text.len() - rest.len());
    let offset_seconds = match rest {
        "Z" => 0,
        "+99:99" | "-99:99" => {
            let (hours, minutes): (i64, i64) = (zone[1..3].parse().ok()?, zone[4..].parse().ok()?);
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            if zone.starts_with('-') { -seconds } else { seconds }
        }
        _ => return None,
    };
    // A fraction of more than nine digits does not parse.
    Some((local.parse().ok()?, offset_seconds))
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
            assert_eq!(none.parse_text(text).as_deref(), Ok(text));
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
            assert_eq!(berlin.parse_text(text).as_deref(), Ok(iso), "{text}");
        }
    }

    #[test]
    fn each_text_has_its_declared_format() {
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
            assert_eq!(dates.parse_text(text).as_deref(), Ok(iso), "{text}");
        }
        for text in ["31.02.2026", "gestern", "", "2026-13-01", "1.3", "1772323200"] {
            assert_eq!(dates.parse_text(text), Err(Unreadable::NoFormat), "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds_only_with_that_format() {
        let (seconds, millis, both) =
            (dates(&[SECONDS], "UTC"), dates(&[MILLIS], "UTC"), dates(&[SECONDS, MILLIS], "Europe/Berlin"));
        let iso = "2026-03-01T00:00:00Z";
        for (dates, digits, wanted) in [
            (&seconds, "1772323200", iso),
            (&millis, "1772323200000", iso),
            (&both, "1772323200", iso),
            (&both, "1772323200250", "2026-03-01T00:00:00.250Z"),
            (&seconds, "1772323200.5", "2026-03-01T00:00:00.500Z"),
            (&seconds, "-1.5", "1969-12-31T23:59:58.500Z"),
            (&seconds, "0", "1970-01-01T00:00:00Z"),
            (&seconds, "253402300799", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(dates.parse_number(digits).as_deref(), Ok(wanted), "{digits}");
        }
        assert_eq!(seconds.parse_text("1772323200").as_deref(), Ok(iso));
        assert_eq!(dates(&[], "UTC").parse_number("1772323200"), Err(Unreadable::NoFormat));
        for digits in ["1e9", "99999999999999999999999999999999999999999", "-99999999999999", "1.0000000001", "-"] {
            assert_eq!(seconds.parse_number(digits), Err(Unreadable::NoFormat), "{digits}");
        }
    }

    #[test]
    fn digits_of_a_calendar_are_not_seconds() {
        let (none, epoch) = (dates(&[], "UTC"), dates(&[SECONDS, MILLIS], "UTC"));
        for digits in ["20260301", "2026", "202603", "260301", "20260301120000", "202603011200", "19991231"] {
            assert_eq!(none.parse_text(digits), Err(Unreadable::NoFormat), "{digits}");
            for read in [epoch.parse_text(digits), epoch.parse_number(digits)] {
                assert!(matches!(read, Err(Unreadable::Ambiguous(_))), "{digits}: {read:?}");
            }
        }
        // Their format is declared.
        let declared = dates(&["%Y%m%d", SECONDS], "UTC");
        assert_eq!(declared.parse_text("20260301").as_deref(), Ok("2026-03-01T00:00:00Z"));
        assert_eq!(declared.parse_number("20260301").as_deref(), Ok("2026-03-01T00:00:00Z"));
        assert_eq!(declared.parse_number("1772323200").as_deref(), Ok("2026-03-01T00:00:00Z"));
        // A date that would be written with such digits is not written as seconds.
        assert!(!epoch.can_be_seconds("1970-08-23T11:51:41Z") && epoch.can_be_seconds("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn a_year_of_two_digits_needs_its_format() {
        for text in ["01.03.26", "1.3.26", "01.03.0026", "01.03.999"] {
            assert_eq!(dates(&["%d.%m.%Y"], "UTC").parse_text(text), Err(Unreadable::NoFormat), "{text}");
        }
        let both = dates(&["%d.%m.%Y", "%d.%m.%y"], "UTC");
        assert_eq!(both.parse_text("01.03.26").as_deref(), Ok("2026-03-01T00:00:00Z"));
        assert_eq!(both.parse_text("01.03.2026").as_deref(), Ok("2026-03-01T00:00:00Z"));
    }

    #[test]
    fn a_text_that_two_formats_read_differently_is_ambiguous() {
        let both = dates(&["%d/%m/%Y", "%m/%d/%Y"], "UTC");
        assert_eq!(both.parse_text("31/03/2026").as_deref(), Ok("2026-03-31T00:00:00Z"));
        assert_eq!(both.parse_text("03/03/2026").as_deref(), Ok("2026-03-03T00:00:00Z"));
        let wanted = "%d/%m/%Y reads 2026-04-03T00:00:00Z, and %m/%d/%Y reads 2026-03-04T00:00:00Z";
        assert_eq!(both.parse_text("03/04/2026"), Err(Unreadable::Ambiguous(wanted.into())));
        assert!(matches!(dates(&["%Y-%d-%m"], "UTC").parse_text("2026-03-04"), Err(Unreadable::Ambiguous(_))));
    }

    #[test]
    fn the_last_day_of_the_year_9999_is_a_date() {
        let berlin = dates(&["%d.%m.%Y", SECONDS], "Europe/Berlin");
        for (text, iso) in [
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59-08:00", "9999-12-31T23:59:59-08:00"),
            ("9999-12-31 23:59:59z", "9999-12-31T23:59:59Z"),
            ("9999-12-31", "9999-12-31T00:00:00+01:00"),
            ("9999-12-30T23:30:00", "9999-12-30T23:30:00+01:00"),
            ("31.12.9999", "9999-12-31T00:00:00+01:00"),
        ] {
            assert_eq!(berlin.parse_text(text).as_deref(), Ok(iso), "{text}");
        }
        assert_eq!(epoch_seconds("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        assert_eq!(epoch_seconds("2026-03-01T01:00:00+01:00"), Some(1_772_323_200));
        assert!(berlin.can_be_seconds("9999-12-31T23:59:59Z"));
        assert!(!dates(&[SECONDS, MILLIS], "UTC").can_be_seconds("9999-12-31T23:59:59Z"));
        for text in
            ["9999-12-32T00:00:00Z", "9999-12-31T24:00:00Z", "9999-12-31T23:59:59+24:00", "10000-01-01T00:00:00Z"]
        {
            assert!(!is_iso_with_zone(text), "{text}");
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
