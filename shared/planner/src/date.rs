//! The logical date of a run, and the time zone in which its day is read.
//!
//! Time zones come from the database inside jiff, because Lambda's provided.al2023 has none.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};

/// Time zone of the runs of a workflow that names none.
const UTC: &str = "UTC";

/// A logical date as a request, an event or a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedDate {
    /// An instant with an offset, such as `2026-03-01T02:00:00Z`. A time zone can follow: `[Europe/Berlin]`.
    Instant {
        /// The instant.
        at: Timestamp,
        /// The time zone in which the day of the instant is read, unless the workflow has one.
        time_zone: Option<String>,
    },
    /// A day, such as `2026-03-01`: its first instant in the time zone of the run.
    Day(Date),
}

impl RequestedDate {
    /// Reads a logical date.
    ///
    /// # Errors
    /// Returns a message that describes the expected forms.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            let found =
                if text.is_empty() { "there is no value".into() } else { format!("`{text}` is not a logical date") };
            format!(
                "{found}: expected a day such as `2026-03-01`, or an instant with an offset such as `2026-03-01T02:00:00Z`"
            )
        };
        let (instant, time_zone) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((instant, zone)) => (instant, Some(zone)),
            None => (text, None),
        };
        // A civil date also parses the beginning of an instant and drops its time, so the instant is tried first.
        if let Ok(at) = instant.parse::<Timestamp>() {
            if let Some(zone) = time_zone {
                find(zone)?;
            }
            return Ok(Self::Instant { at, time_zone: time_zone.map(Into::into) });
        }
        match text.parse::<Date>() {
            Ok(day) if day.to_string() == text => Ok(Self::Day(day)),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }

    /// The time zone that the text names.
    pub fn time_zone(&self) -> Option<&str> {
        match self {
            Self::Instant { time_zone, .. } => time_zone.as_deref(),
            Self::Day(_) => None,
        }
    }

    /// The logical date in a time zone; UTC if it is `None`.
    ///
    /// # Errors
    /// The time zone is not known, or the day does not exist in it.
    pub fn in_zone(&self, time_zone: Option<&str>) -> Result<LogicalDate, String> {
        let day = match self {
            Self::Instant { at, .. } => return LogicalDate::new(*at, time_zone),
            Self::Day(day) => *day,
        };
        let name = time_zone.unwrap_or(UTC);
        // The day begins later than at midnight if the clocks skip midnight, and at the first midnight if they repeat it.
        let begin = day.to_zoned(find(name)?).map_err(|error| format!("`{day}` is not a logical date: {error}"))?;
        let date = LogicalDate::new(begin.timestamp(), time_zone)?;
        if date.day == day { Ok(date) } else { Err(format!("the day {day} does not exist in the time zone {name}")) }
    }
}

/// The logical date of a run: an instant, and its day in the time zone of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalDate {
    at: Timestamp,
    time_zone: String,
    day: Date,
}

impl LogicalDate {
    /// The logical date of an instant in a time zone; UTC if it is `None`.
    ///
    /// # Errors
    /// The time zone is not known.
    pub fn new(at: Timestamp, time_zone: Option<&str>) -> Result<Self, String> {
        let time_zone = time_zone.unwrap_or(UTC);
        Ok(Self { at, time_zone: time_zone.into(), day: at.to_zoned(find(time_zone)?).date() })
    }

    /// The logical date of an instant in UTC.
    pub fn in_utc(at: Timestamp) -> Self {
        Self { at, time_zone: UTC.into(), day: at.to_zoned(TimeZone::UTC).date() }
    }

    /// The instant.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// IANA name of the time zone.
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// The day in the time zone, as `:run_date` and `{run_date}` have it: `YYYY-MM-DD`.
    pub fn day(&self) -> String {
        self.day.to_string()
    }
}

/// Returns a time zone by its IANA name.
fn find(name: &str) -> Result<TimeZone, String> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| format!("`{name}` is not an IANA time zone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day_of(at: &str, zone: &str) -> String {
        LogicalDate::new(at.parse().unwrap(), Some(zone)).unwrap().day()
    }

    #[test]
    fn the_day_of_an_instant_is_read_in_the_time_zone() {
        for (at, zone, day) in [
            // 01:30 in Berlin, in summer and in winter.
            ("2026-06-30T23:30:00Z", "Europe/Berlin", "2026-07-01"),
            ("2026-12-31T00:30:00Z", "Europe/Berlin", "2026-12-31"),
            ("2026-06-30T23:30:00Z", "UTC", "2026-06-30"),
            ("2026-03-01T02:00:00Z", "America/New_York", "2026-02-28"),
            ("2026-03-01T23:00:00Z", "Asia/Kolkata", "2026-03-02"),
            ("2026-03-01T11:00:00Z", "Pacific/Kiritimati", "2026-03-02"),
            ("2026-03-01T11:00:00Z", "Pacific/Pago_Pago", "2026-03-01"),
            // The hour around midnight that comes twice: the clocks go back at 01:00.
            ("2026-11-01T03:59:59Z", "America/Havana", "2026-10-31"),
            ("2026-11-01T04:30:00Z", "America/Havana", "2026-11-01"),
            ("2026-11-01T05:30:00Z", "America/Havana", "2026-11-01"),
            // The clocks go from 23:59:59 to 01:00.
            ("2018-11-04T02:59:59Z", "America/Sao_Paulo", "2018-11-03"),
            ("2018-11-04T03:00:00Z", "America/Sao_Paulo", "2018-11-04"),
        ] {
            assert_eq!(day_of(at, zone), day, "{at} in {zone}");
        }
    }

    #[test]
    fn a_day_begins_at_its_first_instant_in_the_time_zone() {
        for (day, zone, begins) in [
            ("2026-07-01", "UTC", "2026-07-01T00:00:00Z"),
            ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00Z"),
            ("2026-12-31", "Europe/Berlin", "2026-12-30T23:00:00Z"),
            // The days on which the clocks change.
            ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z"),
            ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z"),
            // Midnight is skipped, or comes twice.
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            ("2026-11-01", "America/Havana", "2026-11-01T04:00:00Z"),
        ] {
            let date = RequestedDate::read(day).unwrap().in_zone(Some(zone)).unwrap();
            assert_eq!((date.at().to_string().as_str(), date.day().as_str()), (begins, day), "{day} in {zone}");
        }
        let skipped = RequestedDate::read("2011-12-30").unwrap().in_zone(Some("Pacific/Apia")).unwrap_err();
        assert_eq!(skipped, "the day 2011-12-30 does not exist in the time zone Pacific/Apia");
    }

    #[test]
    fn instants_have_an_offset_and_days_have_no_time() {
        let instant = |text: &str| match RequestedDate::read(text) {
            Ok(RequestedDate::Instant { at, time_zone }) => (at.to_string(), time_zone),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(instant("2026-03-01T02:30:00Z"), ("2026-03-01T02:30:00Z".into(), None));
        assert_eq!(instant("2026-03-01T02:30:00+02:00"), ("2026-03-01T00:30:00Z".into(), None));
        assert_eq!(
            instant("2026-06-30T23:30:00.000Z[Europe/Berlin]"),
            ("2026-06-30T23:30:00Z".into(), Some("Europe/Berlin".into()))
        );
        for wrong in [
            "",
            "yesterday",
            "2026-3-1",
            "2026-02-30",
            "2026-03-01T02:30:00",
            "2026-03-01[Europe/Berlin]",
            "1767225600",
            "20260301",
            "null",
        ] {
            let message = RequestedDate::read(wrong).unwrap_err();
            assert!(message.contains(wrong) && message.contains("2026-03-01T02:00:00Z"), "{message}");
        }
        let unknown = RequestedDate::read("2026-03-01T02:30:00Z[Europe/Berln]").unwrap_err();
        assert_eq!(unknown, "`Europe/Berln` is not an IANA time zone");
    }
}
