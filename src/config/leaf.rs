//! Leaves: parse one value's text into a typed value, and show it again.

use std::{borrow::Cow, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use reqwest::Url;

/// The problem with a text; continues "is `…`,".
pub(super) type Problem = Cow<'static, str>;

/// A kind of value. `parse` gets the text from any layer.
pub(super) struct Kind<T> {
    pub parse: fn(&str) -> Result<T, Problem>,
    /// A sentence that says how to write the value.
    pub expected: &'static str,
    /// Renders TOML that `parse` accepts again.
    pub show: fn(&T) -> String,
}

pub(super) const SIZE: Kind<u64> = Kind {
    parse: |text| match text.parse::<ByteSize>() {
        Ok(ByteSize(u64::MAX)) => Err("which is larger than any disk".into()),
        Ok(ByteSize(0)) => Err("and must be larger than zero".into()),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err("which is no size".into()),
    },
    expected: "Write a size, as in `64MiB` or `10GiB`; a number alone is bytes.",
    show: |bytes| match whole(*bytes, &SIZE_UNITS) {
        Some((count, unit)) => string(&format!("{count}{unit}")),
        None => bytes.to_string(),
    },
};

/// A size that may be zero.
pub(super) const SIZE_OR_NONE: Kind<u64> =
    Kind { parse: |text| if text == "0" { Ok(0) } else { (SIZE.parse)(text) }, ..SIZE };

/// A time that may be zero.
pub(super) const DURATION: Kind<Duration> = Kind {
    parse: |text| match text.parse::<u64>() {
        Ok(0) => Ok(Duration::ZERO),
        Ok(_) => Err("which has no unit".into()),
        Err(_) => humantime::parse_duration(text).map_err(|_| "which is no time".into()),
    },
    expected: "Write a time with its unit, as in `500ms`, `10s` or `24h`.",
    show: |duration| {
        let nanos = u64::try_from(duration.as_nanos()).ok();
        match nanos.and_then(|nanos| whole(nanos, &TIME_UNITS)) {
            Some((count, unit)) => string(&format!("{count}{unit}")),
            None if duration.is_zero() => string("0s"),
            None => string(&humantime::format_duration(*duration).to_string()),
        }
    },
};

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
];

/// Hours are the largest unit, so that 26 hours are not shown as a day and two hours.
const TIME_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// Returns `number` in the largest unit that divides it.
fn whole<'a>(number: u64, units: &[(&'a str, u64)]) -> Option<(u64, &'a str)> {
    let fits = |(_, size): &&(&str, u64)| number > 0 && number.is_multiple_of(*size);
    units.iter().find(fits).map(|(name, size)| (number / size, *name))
}

pub(super) const NONZERO_DURATION: Kind<Duration> = Kind {
    parse: |text| match (DURATION.parse)(text) {
        Ok(Duration::ZERO) => Err("and must be longer than zero".into()),
        other => other,
    },
    ..DURATION
};

pub(super) const COUNT: Kind<usize> = Kind {
    parse: |text| match text.parse() {
        Ok(0) => Err("which is none at all".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("which is no whole number".into()),
    },
    expected: "Write a whole number of at least 1.",
    show: usize::to_string,
};

/// A number of partitions; -1 leaves it to the cluster.
pub(super) const PARTITIONS: Kind<i32> = Kind {
    parse: |text| match text.parse() {
        Ok(count @ (-1 | 1..)) => Ok(count),
        _ => Err("which is no number of partitions".into()),
    },
    expected: "Write a whole number of at least 1, or -1 for the cluster's own default.",
    show: i32::to_string,
};

/// A number of replicas; -1 leaves it to the cluster; Kafka's protocol has 16 bits for it.
pub(super) const REPLICAS: Kind<i32> = Kind {
    parse: |text| match text.parse() {
        Ok(count @ (-1 | 1..=0x7fff)) => Ok(count),
        _ => Err("which is no number of replicas".into()),
    },
    expected: "Write a whole number of at least 1, or -1 for the cluster's own default.",
    show: i32::to_string,
};

pub(super) const FLAG: Kind<bool> = Kind {
    parse: |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("which is neither `true` nor `false`".into()),
    },
    expected: "Write `true` or `false`.",
    show: bool::to_string,
};

pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    parse: |text| text.parse().map_err(|_| "which is no IP address with a port".into()),
    expected: "Write an address and a port, as in `0.0.0.0:8080` or `[::1]:8080`; no host names.",
    show: |address| string(&address.to_string()),
};

pub(super) const FOLDER: Kind<PathBuf> = Kind {
    parse: |text| {
        if text.is_empty() { Err("which names no folder".into()) } else { Ok(text.into()) }
    },
    expected: "Write the path of a folder, as in `/var/lib/millrace`.",
    show: |path| string(&path.to_string_lossy()),
};

/// A URL to which secrets are sent; encrypted, unless it is on this machine.
pub(super) const HTTPS_URL: Kind<Url> = Kind {
    parse: |text| {
        let url: Url = text.parse().map_err(|_| Problem::from("which is no URL"))?;
        let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_local => Ok(url),
            _ => Err("which is not encrypted".into()),
        }
    },
    expected: "Write an https:// URL; http:// is for this machine alone.",
    show: |url| string(url.as_str()),
};

/// Renders text in TOML's double quotes.
pub(super) fn string(text: &str) -> String {
    // JSON's escapes are TOML's, but TOML wants DEL escaped too.
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_of_bytes_with_or_without_a_unit() {
        let size = |text| (SIZE.parse)(text).ok();
        assert_eq!(size("1234"), Some(1234));
        assert_eq!(size("10GiB"), Some(10 << 30));
        assert_eq!(size("10 GiB"), Some(10 << 30));
        assert_eq!(size("1.5MiB"), Some(3 << 19));
        assert_eq!(size("2KB"), Some(2000));
        for text in ["", "0", "-1", "10 cats", "GiB", "99999999999EiB", "1e5"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        let time = |text| (DURATION.parse)(text).ok();
        assert_eq!(time("24h"), Some(Duration::from_secs(86400)));
        assert_eq!(time("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(time("0"), Some(Duration::ZERO));
        assert_eq!(time("0s"), Some(Duration::ZERO));
        for text in ["", "10", "soon", "-5s"] {
            assert_eq!(time(text), None, "{text}");
        }
        assert!((NONZERO_DURATION.parse)("0s").is_err());
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        let takes = |text| (HTTPS_URL.parse)(text).is_ok();
        for good in ["https://a.test/x", "http://localhost:1/x", "http://127.0.0.1", "http://[::1]"]
        {
            assert!(takes(good), "{good}");
        }
        for bad in ["http://a.test", "http://localhost.a.test", "ftp://a", "a.test", "", "http://"]
        {
            assert!(!takes(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [1, 1000, 1024, 1 << 20, 3 << 30, (1 << 40) + 1, 12345678] {
            let shown = (SIZE.show)(&bytes);
            assert_eq!((SIZE.parse)(shown.trim_matches('"')), Ok(bytes));
        }
        for time in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(86_399)] {
            let shown = (DURATION.show)(&time);
            assert_eq!((DURATION.parse)(shown.trim_matches('"')), Ok(time));
        }
    }

    #[test]
    fn sizes_and_times_are_shown_as_one_would_write_them() {
        for size in ["10GB", "10GiB", "64MiB", "1TiB", "1500MB", "3KB", "65MiB"] {
            let bytes = (SIZE.parse)(size).unwrap();
            assert_eq!((SIZE.show)(&bytes), format!("\"{size}\""));
        }
        assert_eq!((SIZE.show)(&1_234_567), "1234567");
        for time in ["26h", "24h", "500ms", "90m", "90s", "5m", "8s", "0s", "250us"] {
            let parsed = (DURATION.parse)(time).unwrap();
            assert_eq!((DURATION.show)(&parsed), format!("\"{time}\""));
        }
    }

    #[test]
    fn text_is_escaped_as_toml_wants_it() {
        assert_eq!(string("a\"b\\c\n\u{1}\u{7f}"), r#""a\"b\\c\n\u0001\u007F""#);
    }
}
