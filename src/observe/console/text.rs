//! Numbers, bytes, times and durations as a page writes them: short, and of about the same width, so that a value
//! that changes moves nothing beside it.

use std::time::{Duration, UNIX_EPOCH};

use super::model::Time;

pub use crate::runtime::readable::{bytes, count};

/// A rate a second: `0`, `0.4`, `12.3`, `1,204`.
pub fn rate(per_second: f64) -> String {
    if per_second <= 0.0 || !per_second.is_finite() {
        "0".to_owned()
    } else if per_second < 0.1 {
        "<0.1".to_owned()
    } else if per_second < 100.0 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// `8 s`, `4 min`, `3 h 12 min`, `12 d`.
pub fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

pub fn seconds(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(it) => length(it),
        Err(_) => "more than a year".to_owned(),
    }
}

/// `8 s ago`
pub fn ago(at: Time, now: Time) -> String {
    format!("{} ago", length(Duration::from_millis(now.saturating_sub(at))))
}

/// The time left until `at`: `in 8 s`; `now` when it has passed.
pub fn until(at: Time, now: Time) -> String {
    match at.checked_sub(now) {
        Some(left) if left > 0 => format!("in {}", length(Duration::from_millis(left))),
        _ => "now".to_owned(),
    }
}

/// `2026-11-30T04:46:41.120Z`
pub fn stamp(at: Time) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(at));
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
    time.map_or_else(|| at.to_string(), |time| format!("{time:.3}"))
}

/// The time of day of a [`stamp`]: `04:46:41.120`.
pub fn clock(at: Time) -> String {
    let stamp = stamp(at);
    match stamp.split_once('T') {
        Some((_, clock)) => clock.trim_end_matches('Z').to_owned(),
        None => stamp,
    }
}

/// `1.4 ms`, `2.30 s`
pub fn milliseconds(milliseconds: f64) -> String {
    match milliseconds {
        it if it < 10.0 => format!("{it:.1} ms"),
        it if it < 1000.0 => format!("{it:.0} ms"),
        it => format!("{:.2} s", it / 1000.0),
    }
}

/// A number and its noun, singular or plural: `1 event`, `2 events`.
pub fn of(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => match one.strip_suffix('y') {
            Some(stem) if !one.ends_with("ay") => format!("{} {stem}ies", count(number)),
            _ => format!("{} {one}s", count(number)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_units() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [rate(0.0), rate(0.04), rate(2.14), rate(1204.4)],
            ["0", "<0.1", "2.1", "1,204"]
        );
        assert_eq!([bytes(512), bytes(5120), bytes(10 << 30)], ["512 B", "5.0 KiB", "10.0 GiB"]);
        assert_eq!(
            [of(1, "delivery"), of(2, "delivery"), of(0, "event")],
            ["1 delivery", "2 deliveries", "0 events"]
        );
        assert_eq!(
            [milliseconds(1.42), milliseconds(142.0), milliseconds(2300.0)],
            ["1.4 ms", "142 ms", "2.30 s"]
        );
    }

    #[test]
    fn times_are_written_as_durations_and_as_stamps_in_utc() {
        assert_eq!(
            [ago(1000, 9000), ago(9000, 1000), until(61_000, 1000)],
            ["8 s ago", "0 s ago", "in 1 min"]
        );
        assert_eq!(seconds(12_000.0), "3 h 20 min");
        assert_eq!(stamp(1_796_012_460_123), "2026-11-30T04:21:00.123Z");
        assert_eq!(clock(1_796_012_460_123), "04:21:00.123");
    }
}
