//! Formats numbers and times for people.

use std::time::Duration;

pub use crate::runtime::readable::{bytes, count, counted};

/// `0.84 ms`, `1.30 s`
pub fn time(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    if millis < 10.0 {
        format!("{millis:.2} ms")
    } else if millis < 1000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.2} s", millis / 1000.0)
    }
}

/// `7 s`, `2 min 05 s`, `3 h 04 min`
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Returns `text` on one line, with `�` for characters that move a terminal's cursor: names and error texts come from
/// other parties.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// As [`printable`], with its line breaks and tabs.
pub fn printable_lines(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmless(c) || "\n\t".contains(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Whether `c` is neither a control character nor one that changes the direction of the text after it.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 7, 999, 1000, 12_345, 1_234_567].map(count);
        assert_eq!(counts, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(counted(1, "event", "events"), "1 event");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(3 * 1024 * 1024 / 2), "1.5 MiB");
        let times = [840, 12_400, 1_300_000].map(|micros| time(Duration::from_micros(micros)));
        assert_eq!(times, ["0.84 ms", "12 ms", "1.30 s"]);
        let clocks = [7, 125, 11_040].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(clocks, ["7 s", "2 min 05 s", "3 h 04 min"]);
    }
}
