//! Checks schedule expressions by the rules of EventBridge Scheduler (user guide, "Schedule types").

use std::ops::RangeInclusive;

use jiff::tz::TimeZoneDatabase;
use shiftwork_config::{JsonPath, Located, Problem};
use shiftwork_protocol::workflow::Schedule;

/// Reports a time zone that is not known.
pub(crate) fn check_zone(doc: &Located, zone: &str, path: &JsonPath, problems: &mut Vec<Problem>) {
    let zones = TimeZoneDatabase::bundled();
    let known: Vec<String> = zones.available().map(|name| name.as_str().to_owned()).collect();
    if !known.iter().any(|name| name == zone) {
        let problem = doc.problem(path, format!("`{zone}` is not an IANA time zone"));
        problems.push(problem.did_you_mean(zone, known.iter().map(String::as_str)));
    }
}

/// Reports problems with the expression and the time zone of a schedule.
pub(crate) fn check(doc: &Located, schedule: &Schedule, path: &JsonPath, problems: &mut Vec<Problem>) {
    if let Err((message, hint)) = expression(&schedule.expression) {
        problems.push(doc.problem(&path.key("expression"), message).hint(hint));
    }
    if let Some(zone) = &schedule.time_zone {
        check_zone(doc, zone, &path.key("time_zone"), problems);
    }
}

/// A message and its hint.
type MessageAndHint = (String, String);

fn expression(text: &str) -> Result<(), MessageAndHint> {
    let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(cron) = inside("cron") {
        return self::cron(cron);
    }
    if let Some(rate) = inside("rate") {
        return self::rate(rate).ok_or_else(|| {
            (
                format!("`{text}` is not a valid rate"),
                "write a rate in minutes, hours or days, such as `rate(1 hour)` or `rate(15 minutes)`".into(),
            )
        });
    }
    Err((
        format!("`{text}` is not a valid schedule expression"),
        "write `cron(0 2 * * ? *)` (minute hour day month weekday year) or `rate(1 hour)`".into(),
    ))
}

fn rate(text: &str) -> Option<()> {
    let (number, unit) = text.split_once(' ')?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u32>().is_ok_and(|n| n > 0);
    let known = matches!(unit, "minute" | "hour" | "day" | "minutes" | "hours" | "days");
    (is_number && known).then_some(())
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One of the six fields of a cron expression.
struct Field {
    name: &'static str,
    range: RangeInclusive<u32>,
    /// Names of the values, in the order of the range; empty if the values have no names.
    words: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    Field { name: "minute", range: 0..=59, words: &[] },
    Field { name: "hour", range: 0..=23, words: &[] },
    Field { name: "day of month", range: 1..=31, words: &[] },
    Field { name: "month", range: 1..=12, words: &MONTHS },
    Field { name: "day of week", range: 1..=7, words: &WEEKDAYS },
    Field { name: "year", range: 1970..=2199, words: &[] },
];

fn cron(text: &str) -> Result<(), MessageAndHint> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, _, day, _, weekday, _] = fields[..] else {
        return Err((
            format!("`cron({text})` has {} fields, expected six", fields.len()),
            "write minute, hour, day of month, month, day of week and year, as in `cron(0 2 * * ? *)`".into(),
        ));
    };
    for (field, written) in FIELDS.iter().zip(&fields) {
        if !written.split(',').all(|part| field.takes(part)) {
            let range = &field.range;
            let mut hint = format!("write {} to {}, `*`, `a-b`, `a/n` or a list of them", range.start(), range.end());
            if let [first, .., last] = field.words {
                hint = format!("{hint}, or {first} to {last}");
            }
            return Err((format!("`{written}` is not a valid {}", field.name), hint));
        }
    }
    if (day == "?") == (weekday == "?") {
        return Err((
            format!("`cron({text})` must have `?` as day of month or as day of week"),
            "write `?` in exactly one of the two, as in `cron(0 2 ? * MON-FRI *)`".into(),
        ));
    }
    Ok(())
}

impl Field {
    fn takes(&self, part: &str) -> bool {
        let is_day = self.name == "day of month";
        let is_weekday = self.name == "day of week";
        if part == "*" {
            return true;
        }
        if (is_day || is_weekday) && part == "?" {
            return true;
        }
        // The last day of the month, the last weekday of the month, or the weekday nearest to a day.
        if is_day && (part == "L" || part == "LW" || part.strip_suffix('W').is_some_and(|n| self.value(n).is_some())) {
            return true;
        }
        // Saturday, or the last of a day of the week in the month. Below: the n-th of a day of the week in the month.
        if is_weekday && (part == "L" || part.strip_suffix('L').is_some_and(|n| self.value(n).is_some())) {
            return true;
        }
        if is_weekday && let Some((weekday, nth)) = part.split_once('#') {
            return self.value(weekday).is_some() && matches!(nth, "1" | "2" | "3" | "4" | "5");
        }
        if let Some((start, step)) = part.split_once('/') {
            let starts = start == "*" || self.range_or_value(start);
            return starts && step.parse::<u32>().is_ok_and(|n| n > 0);
        }
        self.range_or_value(part)
    }

    fn range_or_value(&self, part: &str) -> bool {
        match part.split_once('-') {
            Some((from, to)) => self.value(from).is_some() && self.value(to).is_some(),
            None => self.value(part).is_some(),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().zip(*self.range.start()..).find(|(word, _)| text.eq_ignore_ascii_case(word));
        let number = || text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
        word.map(|(_, value)| value).or_else(number).filter(|value| self.range.contains(value))
    }
}
