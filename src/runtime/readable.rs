//! Formats times, bytes and counts for a log line, an error or a page of the terminal. Fields that programs read stay
//! numbers, with the unit in their name.

use std::time::Duration;

use bytesize::ByteSize;

/// Formats a time: `40 ms`, `1.5 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`.
pub fn length(length: Duration) -> String {
    if length < Duration::from_secs(1) {
        return format!("{} ms", length.as_millis());
    }
    // Cut off and not rounded: no minute has 60 seconds, and the result agrees with a field in seconds beside it.
    let tenths = length.as_millis() / 100;
    if tenths < 100 {
        return match tenths % 10 {
            0 => format!("{} s", tenths / 10),
            rest => format!("{}.{rest} s", tenths / 10),
        };
    }
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two((seconds / 60, "min"), (seconds % 60, "s")),
        3600..172_800 => two((seconds / 3600, "h"), (seconds / 60 % 60, "min")),
        _ => two((seconds / 86_400, "d"), (seconds / 3600 % 24, "h")),
    }
}

fn two((large, of_large): (u64, &str), (small, of_small): (u64, &str)) -> String {
    match small {
        0 => format!("{large} {of_large}"),
        _ => format!("{large} {of_large} {small} {of_small}"),
    }
}

/// Formats a size: `1.3 MiB`.
pub fn bytes(n: u64) -> String {
    ByteSize::b(n).display().iec().to_string()
}

/// Formats a count: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count with its noun: `12,345 events`, `1 event`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_units_at_most_and_no_fraction_that_says_nothing() {
        let lengths = [
            (0, "0 ms"),
            (40, "40 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (1520, "1.5 s"),
            (9970, "9.9 s"),
            (59_400, "59 s"),
            (59_700, "59 s"),
            (125_003, "2 min 5 s"),
            (3_600_900, "1 h"),
            (11_040_000, "3 h 4 min"),
            (93_600_000, "26 h"),
            (183_600_000, "2 d 3 h"),
        ];
        for (milliseconds, expected) in lengths {
            assert_eq!(length(Duration::from_millis(milliseconds)), expected);
        }
    }
}
