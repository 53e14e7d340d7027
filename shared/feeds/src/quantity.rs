//! Spans of time and numbers of bytes, as people write them.

use jiff::SignedDuration;

/// `90s`, `30m`, `2h`, `7d`.
pub(crate) fn span(text: &str) -> Result<SignedDuration, String> {
    let unreadable = || format!("`{text}` is no span of time");
    let (number, unit) = split(text).ok_or_else(unreadable)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(unreadable()),
    };
    let number: i64 = number.parse().map_err(|_| unreadable())?;
    let total = number.checked_mul(seconds).filter(|total| *total <= 400 * 24 * 60 * 60);
    match total {
        Some(0) => Err(format!("`{text}` is no time at all")),
        Some(total) => Ok(SignedDuration::from_secs(total)),
        None => Err(format!("`{text}` is longer than 400 days")),
    }
}

/// `500 MB`, `1 GB`: powers of 1,024, as AWS counts.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let unreadable = || format!("`{text}` is no number of bytes");
    let (number, unit) = split(text).ok_or_else(unreadable)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return Err(unreadable()),
    };
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    total.filter(|total| *total > 0).ok_or_else(unreadable)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    (!number.is_empty()).then_some((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::{bytes, span};

    #[test]
    fn quantities_are_read_and_nonsense_is_not() {
        assert_eq!(span("2h").unwrap().as_secs(), 7_200);
        assert_eq!(span("7d").unwrap().as_secs(), 604_800);
        assert_eq!(bytes("1 GB").unwrap(), 1_073_741_824);
        assert_eq!(bytes("5MB").unwrap(), 5_242_880);
        for nonsense in ["", "h", "0s", "-1s", "1.5h", "1w", "99999999999999999999s", "500d"] {
            assert!(span(nonsense).is_err(), "{nonsense}");
        }
        for nonsense in ["", "GB", "0 MB", "1 gb", "1.5 GB", "99999999999999999999 B"] {
            assert!(bytes(nonsense).is_err(), "{nonsense}");
        }
    }
}
