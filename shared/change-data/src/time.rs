//! Writes dates and times as COPY reads them with `DATEFORMAT 'auto' TIMEFORMAT 'auto'`.
//!
//! Only the years 0001 to 9999 are supported: other years have a sign or more digits, which `auto` does not recognize.

use jiff::{SignedDuration, Timestamp, civil, fmt::temporal::Pieces};

const DAY: i64 = 86_400_000_000;
/// Days from the epoch to 0001-01-01 and to 9999-12-31.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Whether [`timestamp`] writes these microseconds since the epoch.
#[inline]
pub(crate) fn is_timestamp(micros: i64) -> bool {
    is_date(micros.div_euclid(DAY))
}

/// Whether [`date`] writes these days since the epoch.
#[inline]
pub(crate) fn is_date(days: i64) -> bool {
    DAYS.contains(&days)
}

/// Whether [`time`] writes these microseconds since midnight.
#[inline]
pub(crate) fn is_time(micros: i64) -> bool {
    (0..=DAY).contains(&micros)
}

/// Writes microseconds since the epoch as `2026-11-21 10:00:00.123456`. The fraction has no, three or six digits.
/// Returns false, and writes nothing, outside the years 0001 to 9999.
#[inline]
pub fn timestamp(out: &mut Vec<u8>, micros: i64) -> bool {
    if !is_timestamp(micros) {
        return false;
    }
    date(out, micros.div_euclid(DAY));
    out.push(b' ');
    clock(out, micros.rem_euclid(DAY));
    true
}

/// Writes days since the epoch as `2026-11-21`. Returns false, and writes nothing, outside the years 0001 to 9999.
#[inline]
pub fn date(out: &mut Vec<u8>, days: i64) -> bool {
    if !is_date(days) {
        return false;
    }
    let (year, month, day) = civil_of_days(days);
    let mut text = *b"0000-00-00";
    put(&mut text, [(0, year / 100), (2, year % 100), (5, month), (8, day)]);
    out.extend_from_slice(&text);
    true
}

/// Writes microseconds since midnight as `10:00:00.123456`. Returns false, and writes nothing, if they are not a time of day.
/// `24:00:00` is a time of day.
#[inline]
pub fn time(out: &mut Vec<u8>, micros: i64) -> bool {
    let is_time = is_time(micros);
    if is_time {
        clock(out, micros);
    }
    is_time
}

fn clock(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / 1_000_000;
    let fraction = micros % 1_000_000;
    let mut text = *b"00:00:00.000000";
    put(&mut text, [(0, seconds / 3600), (3, seconds / 60 % 60), (6, seconds % 60)]);
    put(&mut text, [(9, fraction / 10_000), (11, fraction / 100 % 100), (13, fraction % 100)]);
    let length = match (fraction, fraction % 1000) {
        (0, _) => 8,
        (_, 0) => 12,
        (..) => 15,
    };
    out.extend_from_slice(&text[..length]);
}

/// Writes numbers of 0 to 99 with two digits at their places in a text. A row has several times, and appending each part of a time to the
/// row takes four times as many instructions.
#[inline]
fn put<const N: usize>(text: &mut [u8], numbers: [(usize, i64); N]) {
    for (at, number) in numbers {
        // Both digits are below 10.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let digits = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        text[at..at + 2].copy_from_slice(&digits);
    }
}

/// Year, month and day of days since the epoch, in the proleptic Gregorian calendar. The computation uses years that begin in March, so
/// that the leap day is the last day of a year; 400 years have 146,097 days.
#[inline]
fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A time that was read from text, in microseconds, and whether digits below a microsecond were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) micros: i64,
    pub(crate) cut: bool,
}

/// Reads an instant: `2026-11-21T10:00:00.123456789Z`, `2026-11-21 10:00:00+02`.
pub(crate) fn read_instant(text: &str) -> Option<Read> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        let micros = i64::try_from(instant.as_nanosecond().div_euclid(1000)).ok()?;
        return Some(Read { micros, cut: instant.subsec_nanosecond() % 1000 != 0 });
    }
    // The library's instants end at 9999-12-30T22:00Z, because it allows offsets of 26 hours. A TIMESTAMPTZ goes further.
    let pieces = Pieces::parse(text).ok()?;
    let offset = i64::from(pieces.to_numeric_offset()?.seconds()) * 1_000_000;
    let local = since_epoch(pieces.date().to_datetime(pieces.time()?))?;
    Some(Read { micros: local.micros.checked_sub(offset)?, ..local })
}

/// Reads a date and a time without a zone: `2026-11-21T10:00:00.123456`. `None` if there is a zone.
pub(crate) fn read_civil(text: &str) -> Option<Read> {
    // The library ignores a zone when it reads a civil date-time, so the zone is looked for first.
    if text.len() < 16 || has_zone(text) {
        return None;
    }
    since_epoch(text.parse().ok()?)
}

/// Reads a date (`2026-11-21`) in days since the epoch. `None` if there is a time.
pub(crate) fn read_date(text: &str) -> Option<i64> {
    if text.len() < 10 || text.len() > 13 || text.contains([':', 'T', ' ']) {
        return None;
    }
    let date: civil::Date = text.parse().ok()?;
    Some(since_epoch(date.to_datetime(civil::Time::midnight()))?.micros.div_euclid(DAY))
}

/// The time from the epoch to a date and time.
fn since_epoch(at: civil::DateTime) -> Option<Read> {
    let since = at.duration_since(civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    let micros = i64::try_from(since.as_nanos().div_euclid(1000)).ok()?;
    Some(Read { micros, cut: at.subsec_nanosecond() % 1000 != 0 })
}

/// Reads a time of day without a zone: `10:00:00.123456`.
pub(crate) fn read_time(text: &str) -> Option<Read> {
    if text == "24:00:00" {
        return Some(Read { micros: DAY, cut: false });
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')) || !text.contains(':') {
        return None;
    }
    let since: SignedDuration = text.parse::<civil::Time>().ok()?.duration_since(civil::Time::midnight());
    let micros = i64::try_from(since.as_micros()).ok()?;
    Some(Read { micros, cut: since.subsec_nanos() % 1000 != 0 })
}

/// Whether a text of a date and a time ends in a zone.
pub(crate) fn has_zone(text: &str) -> bool {
    // Skip the date, which has hyphens too.
    let clock = text.get(10..).unwrap_or_default();
    clock.contains(['Z', 'z', '+', '-', '['])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{date, read_civil, read_date, read_instant, read_time, time, timestamp};

    fn of(write: impl Fn(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn times_are_written_to_the_microsecond_and_no_further_than_needed() {
        assert_eq!(of(|out| timestamp(out, 0)).unwrap(), "1970-01-01 00:00:00");
        assert_eq!(of(|out| timestamp(out, 1_795_255_200_120_000)).unwrap(), "2026-11-21 10:00:00.120");
        assert_eq!(of(|out| timestamp(out, -1)).unwrap(), "1969-12-31 23:59:59.999999");
        assert_eq!(of(|out| time(out, 86_400_000_000)).unwrap(), "24:00:00");
        assert_eq!(of(|out| date(out, -719_162)).unwrap(), "0001-01-01");
        assert_eq!(of(|out| date(out, 2_932_896)).unwrap(), "9999-12-31");
        for out_of_range in [-719_163, 2_932_897, i64::MAX, i64::MIN] {
            assert_eq!(of(|out| date(out, out_of_range)), None);
        }
        assert_eq!(of(|out| timestamp(out, i64::MAX)), None);
        assert_eq!(of(|out| time(out, -1)), None);
    }

    #[test]
    fn texts_are_read_only_as_their_kind() {
        assert_eq!(read_instant("1970-01-01T01:00:00.000001+01:00").unwrap().micros, 1);
        assert!(read_instant("1970-01-01T00:00:00.0000001Z").unwrap().cut);
        assert_eq!(read_civil("1970-01-01 00:00:01").unwrap().micros, 1_000_000);
        assert!(read_civil("1970-01-01T00:00:01Z").is_none() && read_civil("1970-01-01").is_none());
        assert_eq!(read_date("1970-01-02"), Some(1));
        assert!(read_date("1970-01-02T00:00:00").is_none() && read_date("yesterday").is_none());
        assert_eq!(read_time("00:00:01.5").unwrap().micros, 1_500_000);
        assert!(read_time("25:00:00").is_none() && read_time("12").is_none());
    }

    #[test]
    fn times_are_read_to_the_end_of_the_year_9999() {
        let last = 253_402_300_799_999_999;
        for text in ["9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999+00", "9999-12-31T21:59:59.999999-02:00"]
        {
            assert_eq!(read_instant(text).map(|read| read.micros), Some(last), "{text}");
        }
        assert_eq!(read_instant("9999-12-30T22:00:01Z").map(|read| read.micros), Some(last - 93_598_999_999));
        assert!(read_instant("9999-12-31T23:59:59.1234567Z").unwrap().cut);
        for text in ["9999-12-31T23:59:59", "9999-12-31", "9999-13-31T00:00:00Z", "9999-12-31T24:00:00Z"] {
            assert_eq!(read_instant(text), None, "{text}");
        }
        assert_eq!(read_civil("9999-12-31T23:59:59.999999").map(|read| read.micros), Some(last));
        assert_eq!(read_date("9999-12-31"), Some(2_932_896));
    }

    proptest! {
        #[test]
        fn a_timestamp_reads_as_the_library_of_dates_does(micros in -62_135_596_800_000_000i64..253_402_207_200_000_000) {
            let wanted = Timestamp::from_microsecond(micros).unwrap().to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let text = of(|out| timestamp(out, micros)).unwrap();
            prop_assert_eq!(text.parse::<jiff::civil::DateTime>().unwrap(), wanted);
            prop_assert_eq!(read_civil(&text).unwrap().micros, micros);
        }
    }
}
