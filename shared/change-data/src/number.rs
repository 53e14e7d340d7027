//! Numbers as decimal digits, without conversion to floating point.

use num_bigint::BigInt;

use crate::scan::{digits, number_end};

/// A number: `digits` × 10^`exponent`. The digits have no leading or trailing zeros, and are empty for zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// The value of an integer of at most 18 digits. `None` for any other number, and for an integer with a fraction or an exponent.
#[inline]
pub(crate) fn short_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if digits.is_empty() || digits.len() > 18 || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    let value = digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
    Some(if digits.len() < text.len() { -value } else { value })
}

/// The digits of a number without trailing zeros after the decimal point, if a DECIMAL with these numbers of digits before and after the
/// point holds it exactly. `None` for any other number, for a number with an exponent, and for one of more than 64 bytes.
#[inline]
pub(crate) fn shortest_decimal(text: &[u8], most_whole: usize, most_fraction: usize) -> Option<&[u8]> {
    let first = usize::from(text.first() == Some(&b'-'));
    let whole = digits(text, first);
    let point = first + whole;
    let leads_with_zero = text.get(first) == Some(&b'0');
    let fraction: &[u8] = match text.get(point) {
        None => b"",
        Some(b'.') if digits(text, point + 1) + point + 1 == text.len() && text.len() > point + 1 => &text[point + 1..],
        Some(_) => return None,
    };
    let zeros = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
    let fraction = fraction.len() - zeros;
    let whole_digits = if leads_with_zero { 0 } else { whole };
    if text.len() > 64
        || whole == 0
        || (leads_with_zero && whole > 1)
        || whole_digits > most_whole
        || fraction > most_fraction
    {
        return None;
    }
    // Zero is written without a sign.
    let start = usize::from(first == 1 && leads_with_zero && fraction == 0);
    text.get(start..if fraction == 0 { point } else { point + 1 + fraction })
}

/// Appends a number with leading zeros, so that it has at least `width` digits (at most 20). Positions and offsets are written for each
/// event, and `format!` takes six times as many instructions.
pub(crate) fn padded(out: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    let mut rest = number;
    while rest > 0 {
        first -= 1;
        // A remainder of a division by 10 fits a digit.
        #[allow(clippy::cast_possible_truncation)]
        let value = (rest % 10) as u8;
        digits[first] += value;
        rest /= 10;
    }
    let written = &digits[first.min(digits.len() - width)..];
    out.push_str(std::str::from_utf8(written).unwrap_or_default());
}

/// Whether a text is a number in JSON's grammar, without an exponent and with at most this number of bytes.
#[inline]
pub(crate) fn is_short(text: &str, most: usize) -> bool {
    text.len() <= most
        && number_end(text.as_bytes(), 0) == Some(text.len())
        && !text.bytes().any(|byte| matches!(byte, b'e' | b'E'))
}

/// Most characters of a number. PostgreSQL's NUMERIC has at most 147,455 digits.
const LONGEST: usize = 200_000;

impl Number {
    /// Reads a number by JSON's grammar: without `+`, leading zeros or white space.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_padded = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || is_padded || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self::new(negative, &[whole, fraction].concat(), exponent))
    }

    /// Whether [`Self::parse`] reads a text.
    pub(crate) fn is_valid(text: &str) -> bool {
        text.len() <= LONGEST && number_end(text.as_bytes(), 0) == Some(text.len())
    }

    /// The value of a text that is an integer of at most 38 digits.
    pub(crate) fn parse_integer(text: &str) -> Option<i128> {
        short_integer(text).map(i128::from).or_else(|| Self::parse(text)?.integer())
    }

    /// The number `unscaled` × 10^-`scale`.
    pub(crate) fn scaled(unscaled: &BigInt, scale: i32) -> Self {
        let text = unscaled.to_string();
        let digits = text.trim_start_matches('-');
        Self::new(digits.len() < text.len(), digits, -i64::from(scale))
    }

    fn new(negative: bool, digits: &str, exponent: i64) -> Self {
        let zeros_before = digits.len() - digits.trim_start_matches('0').len();
        let kept = digits.trim_end_matches('0').len();
        let exponent = exponent.saturating_add(i64::try_from(digits.len() - kept).unwrap_or(i64::MAX));
        match digits.get(zeros_before..kept) {
            Some(digits) if !digits.is_empty() => Self { negative, digits: digits.into(), exponent },
            Some(_) | None => Self { negative: false, digits: String::new(), exponent: 0 },
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Number of significant digits.
    pub(crate) fn significant(&self) -> usize {
        self.digits.len()
    }

    /// Number of digits before the decimal point; negative for leading zeros after it.
    fn whole_digits(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(self.exponent)
    }

    /// The value, if it is an integer of at most 38 digits.
    pub(crate) fn integer(&self) -> Option<i128> {
        if self.is_zero() {
            return Some(0);
        }
        if self.exponent < 0 || self.whole_digits() > 38 {
            return None;
        }
        let magnitude = format!("{}{}", self.digits, "0".repeat(usize::try_from(self.exponent).ok()?));
        let magnitude: i128 = magnitude.parse().ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// Whether a DECIMAL of this precision and scale holds exactly this value.
    pub(crate) fn fits(&self, precision: u8, scale: u8) -> bool {
        if self.is_zero() {
            return true;
        }
        if self.exponent < -i64::from(scale) || self.whole_digits() > i64::from(precision) - i64::from(scale) {
            return false;
        }
        // Redshift keeps up to 19 digits in 64 bits, and refuses values of 19 digits that 64 bits cannot hold.
        precision != 19 || self.shifted(scale).and_then(|unscaled| i64::try_from(unscaled).ok()).is_some()
    }

    fn shifted(&self, scale: u8) -> Option<i128> {
        Self { exponent: self.exponent + i64::from(scale), ..self.clone() }.integer()
    }

    /// Whether a DECIMAL of any precision and scale holds exactly this value.
    pub(crate) fn is_decimal(&self) -> bool {
        self.is_zero()
            || (self.exponent >= -37 && self.whole_digits() <= 38 && self.whole_digits() - self.exponent.min(0) <= 38)
    }

    /// The number without an exponent: `-0.05`, `1500`. `None` if that is too long.
    pub(crate) fn plain(&self) -> Option<String> {
        if self.is_zero() {
            return Some("0".into());
        }
        if !(-400_000..=400_000).contains(&self.exponent) || self.whole_digits() > 400_000 {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        let point = self.whole_digits();
        Some(if self.exponent >= 0 {
            format!("{sign}{}{}", self.digits, zeros(self.exponent))
        } else if point <= 0 {
            format!("{sign}0.{}{}", zeros(-point), self.digits)
        } else {
            let (whole, fraction) = self.digits.split_at(usize::try_from(point).ok()?);
            format!("{sign}{whole}.{fraction}")
        })
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The limit is larger than the exponent of any real number, and far from the limits of the type.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::{Number, is_short, short_integer, shortest_decimal};

    fn plain(text: &str) -> String {
        Number::parse(text).unwrap().plain().unwrap()
    }

    #[test]
    fn a_number_is_read_and_written() {
        assert_eq!(plain("-0"), "0");
        assert_eq!(plain("1.500"), "1.5");
        assert_eq!(plain("15e2"), "1500");
        assert_eq!(plain("-5e-2"), "-0.05");
        assert_eq!(plain("123.45E1"), "1234.5");
        assert_eq!(Number::scaled(&BigInt::from(-12345), 2).plain().unwrap(), "-123.45");
        assert_eq!(Number::scaled(&BigInt::from(12), -3).plain().unwrap(), "12000");
        for wrong in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", " 1", "1 ", "0x1", "1_0"] {
            assert_eq!(Number::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Number::parse("1e99999999999999999999").unwrap().plain(), None);
    }

    #[test]
    fn a_decimal_fits_only_exactly() {
        let fits = |text, precision, scale| Number::parse(text).unwrap().fits(precision, scale);
        assert!(fits("1234567890.12", 12, 2) && fits("0.10", 2, 1) && fits("1e9", 10, 0) && fits("0", 1, 1));
        assert!(!fits("12345678901.12", 12, 2) && !fits("0.123", 12, 2) && !fits("1e400", 38, 0));
        assert!(fits("9223372036854775807", 19, 0) && !fits("9223372036854775808", 19, 0));
        assert!(fits("9223372036854775808", 20, 0) && fits("99999999999999999999999999999999999999", 38, 0));
        assert_eq!(Number::parse("1.20e1").unwrap().integer(), Some(12));
        assert_eq!(Number::parse("1.5").unwrap().integer(), None);
        assert!(!Number::parse("1e38").unwrap().is_decimal() && Number::parse("1e37").unwrap().is_decimal());
    }

    proptest! {
        /// The short ways give the same results as the way through [`Number`], or leave the text to it.
        #[test]
        fn short_ways_agree(text in "-?[0-9]{0,20}(\\.[0-9]{0,6})?([eE][+-]?[0-9]{0,2})?", precision in 1_u8..=38, scale in 0_u8..=38) {
            let scale = scale.min(precision);
            let number = Number::parse(&text);
            prop_assert_eq!(Number::is_valid(&text), number.is_some());
            prop_assert_eq!(Number::parse_integer(&text), number.as_ref().and_then(Number::integer));
            if let Some(integer) = short_integer(&text) {
                prop_assert_eq!(number.clone().unwrap().plain().unwrap(), integer.to_string());
            }
            prop_assert!(!is_short(&text, 64) || number.is_some());
            let (whole, fraction) = (usize::from(precision - scale), usize::from(scale));
            if let Some(shortest) = shortest_decimal(text.as_bytes(), whole, fraction) {
                let number = number.unwrap();
                prop_assert_eq!(number.plain().unwrap(), std::str::from_utf8(shortest).unwrap());
                prop_assert!(precision == 19 || number.fits(precision, scale));
            } else if let Some(number) = number.filter(|_| !text.contains(['e', 'E'])) {
                prop_assert!(!number.fits(precision, scale));
            }
        }

        #[test]
        fn integers_and_their_texts_agree(number: i128) {
            let read = Number::parse(&number.to_string()).unwrap();
            prop_assert_eq!(read.plain().unwrap(), number.to_string());
            prop_assert_eq!(Number::scaled(&BigInt::from(number), 0), read);
        }

        #[test]
        fn plain_notation_is_the_same_number(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?") {
            let read = Number::parse(&text).unwrap();
            prop_assert_eq!(Number::parse(&read.plain().unwrap()).unwrap(), read.clone());
            let (ours, theirs): (f64, f64) = (read.plain().unwrap().parse().unwrap(), text.parse().unwrap());
            prop_assert!((ours - theirs).abs() <= f64::EPSILON * theirs.abs());
        }
    }
}
