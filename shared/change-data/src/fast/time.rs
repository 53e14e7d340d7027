//! Writes dates and instants as [`crate::time`] does.

use crate::time;

/// The texts `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number: u8 = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// The two digits of a number below 100.
#[inline]
fn pair(number: u64) -> [u8; 2] {
    usize::try_from(number).ok().and_then(|number| PAIRS.get(number)).copied().unwrap_or_default()
}

/// Writes the dates of one column. Events are mostly in the order of time, so the text of the last date is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Calendar {
    day: Option<(i64, [u8; 10])>,
}

impl Calendar {
    /// The text of days since the epoch, such as `2026-11-21`. `None` outside the years 0001 to 9999.
    #[inline]
    pub(super) fn date(&mut self, day: i64) -> Option<[u8; 10]> {
        match self.day {
            Some((last, text)) if last == day => Some(text),
            _ => self.turn(day),
        }
    }

    #[inline(never)]
    fn turn(&mut self, day: i64) -> Option<[u8; 10]> {
        let mut text = Vec::with_capacity(10);
        let written = time::date(&mut text, day);
        let text = written.then_some(text)?.try_into().ok()?;
        self.day = Some((day, text));
        Some(text)
    }

    /// The text of microseconds since the epoch, such as `2026-11-21 10:00:00.123456`, and the number of bytes that are used.
    #[inline]
    pub(super) fn timestamp(&mut self, micros: i64) -> Option<([u8; 26], usize)> {
        const DAY: i64 = 86_400_000_000;
        let date = self.date(micros.div_euclid(DAY))?;
        let of_day = micros.rem_euclid(DAY).cast_unsigned();
        let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        let mut text = *b"0000-00-00 00:00:00.000000";
        text[..10].copy_from_slice(&date);
        for (at, number) in [
            (11, seconds / 3600),
            (14, seconds / 60 % 60),
            (17, seconds % 60),
            (20, fraction / 10_000),
            (22, fraction / 100 % 100),
            (24, fraction % 100),
        ] {
            text[at..at + 2].copy_from_slice(&pair(number));
        }
        let length = if fraction == 0 {
            19
        } else if fraction % 1000 == 0 {
            23
        } else {
            26
        };
        Some((text, length))
    }
}

/// The text of `2026-11-21T10:00:00.123456Z`, or of the same without a zone, as [`crate::time`] writes it, and the number of bytes that are
/// used. `None` for any other notation.
#[inline]
pub(super) fn zoned(text: &[u8]) -> Option<([u8; 26], usize)> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (seconds, behind) = text.split_first_chunk::<19>()?;
    let number = |at: usize, length: usize| {
        seconds[at..at + length]
            .iter()
            .try_fold(0_u16, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0')))
    };
    let [year, month, day] = [number(0, 4)?, number(5, 2)?, number(8, 2)?];
    let [hour, minute, second] = [number(11, 2)?, number(14, 2)?, number(17, 2)?];
    let is_punctuated =
        [seconds[4], seconds[7], seconds[13], seconds[16]] == *b"--::" && matches!(seconds[10], b'T' | b' ');
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // The date library does not support the last days of 9999.
    let is_time = (1..9999).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day);
    if !is_punctuated || !is_time || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut written = *b"0000-00-00 00:00:00.000000";
    written[..19].copy_from_slice(seconds);
    written[10] = b' ';
    let length = match behind {
        [] => 19,
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) && fraction.iter().all(u8::is_ascii_digit) => {
            written[20..20 + fraction.len()].copy_from_slice(fraction);
            match &written[20..] {
                b"000000" => 19,
                [_, _, _, b'0', b'0', b'0'] => 23,
                _ => 26,
            }
        }
        _ => return None,
    };
    Some((written, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Calendar, zoned};
    use crate::time;

    proptest! {
        #[test]
        fn days_and_instants_are_those_of_the_full_decoder(
            micros in prop_oneof![any::<i64>(), -62_135_596_900_000_000i64..253_402_301_000_000_000],
            coarse in prop::sample::select(vec![1, 1_000, 1_000_000]),
        ) {
            let micros = micros / coarse * coarse;
            let mut calendar = Calendar::default();
            for micros in [micros, micros.wrapping_add(1)] {
                let mut wanted = Vec::new();
                let ours = calendar.timestamp(micros);
                prop_assert_eq!(ours.is_some(), time::timestamp(&mut wanted, micros));
                prop_assert_eq!(ours.map_or(vec![], |(text, length)| text[..length].to_vec()), wanted);
            }
        }
    }

    proptest! {
        #[test]
        fn a_text_that_is_read_is_read_as_the_full_decoder_does(
            text in "(0000|0001|2000|2023|2024|2100|9998|9999)-(0[0-9]|1[0-3])-(0[0-9]|2[7-9]|3[0-2])[T ]([01][0-9]|2[3-5]):(00|59|60):(00|59|60)(\\.[0-9]{0,7}|\\.[0-9]{3}0{0,3}|)(Z|)",
        ) {
            if let Some((ours, length)) = zoned(text.as_bytes()) {
                let read = if time::has_zone(&text) { time::read_instant(&text) } else { time::read_civil(&text) }.unwrap();
                let mut wanted = Vec::new();
                prop_assert!(time::timestamp(&mut wanted, read.micros) && !read.cut);
                prop_assert_eq!(&ours[..length], wanted);
            }
        }
    }
}
