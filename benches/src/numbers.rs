//! Medians, and the formats of durations.

use std::time::Duration;

/// The value at `percent` of the sorted values, by nearest rank; zero if there are no values.
pub fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The median, by nearest rank; zero if there are no values.
pub fn median(values: &[Duration]) -> Duration {
    percentile(values, 50)
}

/// `12.34 s`.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// `12.34 ms`.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// `1.034`.
pub fn ratio(time: Duration, beside: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() / beside.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{median, percentile};

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        let [a, b, c] = [3, 1, 2].map(Duration::from_secs);
        assert_eq!(median(&[a, b, c]), Duration::from_secs(2));
        assert_eq!(percentile(&[a, b, c], 90), Duration::from_secs(3));
        assert_eq!(median(&[]), Duration::ZERO);
    }
}
