//! Times that a CloudEvent may carry, and texts that can be made one.
//!
//! A time is for its readers: RFC 3339 allows more than the CloudEvents SDKs for Java and for Python read,
//! and a time that they cannot read costs them the whole event. So a time here is one that both read.

use std::borrow::Cow;

/// `text` as an RFC 3339 time that readers can read, where its meaning is certain: a date and a
/// time with an offset, in any unusual spelling. Senders have been seen to write a space for the
/// `T`, and `-5:00`. A time without any zone is not certain.
pub fn to_rfc3339(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if is_readable(&text) {
        return Some(text);
    }
    let (date, rest) = text.trim().split_at_checked(10)?;
    let clock_and_zone = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, zone) = clock_and_zone.split_at_checked(
        clock_and_zone.find(|c: char| !c.is_ascii_digit() && !".:".contains(c))?,
    )?;
    let zone = offset(zone.trim_start())?;
    Some(format!("{date}T{clock}{zone}").into()).filter(|made: &Cow<'_, str>| is_readable(made))
}

/// Turns `Z`, `UTC`, `GMT`, `±h:mm`, `±hh:mm`, `±hhmm` and `±hh` into an offset of RFC 3339.
fn offset(text: &str) -> Option<String> {
    if ["z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some("Z".into());
    }
    let sign = text.chars().next().filter(|c| "+-".contains(*c))?;
    let digits = &text[1..];
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 2 => (digits, "00"),
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => return None,
    };
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_right = (1..=2).contains(&hours.len()) && minutes.len() == 2;
    (is_right && is_number(hours) && is_number(minutes))
        .then(|| format!("{sign}{hours:0>2}:{minutes}"))
}

/// Limits of Java's times: digits of a fraction, and minutes of an offset.
const FRACTION_DIGITS: usize = 9;
const MAX_OFFSET_MINUTES: u32 = 18 * 60;

/// Whether `text` is a date and time of RFC 3339, with its offset, that the SDKs for Java and Python read:
/// a day that the calendar has, a year from 1 on (Python's first), no leap second (neither has any), a
/// `T` and no space between date and time, and a fraction and an offset that Java's times can hold.
pub fn is_readable(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date_time, rest)) = bytes.split_at_checked(19) else { return false };
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _] = date_time
    else {
        return false;
    };
    let number = |from: usize, to: usize| digits(&bytes[from..to]);
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let within = |value: Option<u32>, most: u32| value.is_some_and(|value| value <= most);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let offset = match rest {
        [b'.', fraction @ ..] => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=FRACTION_DIGITS).contains(&length) {
                return false;
            }
            &fraction[length..]
        }
        _ => rest,
    };
    let offset_is_right = match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hours @ .., b':', _, _] if hours.len() == 2 => {
            let hours = digits(hours);
            let minutes = digits(&offset[4..]);
            within(minutes, 59)
                && within(hours.zip(minutes).map(|(h, m)| h * 60 + m), MAX_OFFSET_MINUTES)
        }
        _ => false,
    };
    year > 0
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && within(number(11, 13), 23)
        && within(number(14, 16), 59)
        && within(number(17, 19), 59)
        && offset_is_right
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Option<String> {
        to_rfc3339(text.into()).map(Cow::into_owned)
    }

    #[test]
    fn a_time_that_is_certain_is_made_rfc_3339() {
        for (text, time) in [
            ("2026-03-02T09:59:58Z", "2026-03-02T09:59:58Z"),
            ("2026-03-02t09:59:58.1z", "2026-03-02t09:59:58.1z"),
            ("2026-03-02 09:59:58Z", "2026-03-02T09:59:58Z"),
            ("2026-03-02 10:00:02.118-5:00", "2026-03-02T10:00:02.118-05:00"),
            ("2026-03-02T10:00:02-5:00", "2026-03-02T10:00:02-05:00"),
            ("2026-03-02T10:00:02 -05:30", "2026-03-02T10:00:02-05:30"),
            ("2026-03-02T10:00:02+0000", "2026-03-02T10:00:02+00:00"),
            ("2026-03-02T10:00:02.5+01", "2026-03-02T10:00:02.5+01:00"),
            (" 2026-03-02 10:00:02 UTC ", "2026-03-02T10:00:02Z"),
            ("2026-03-02 10:00:02 GMT", "2026-03-02T10:00:02Z"),
        ] {
            assert_eq!(made(text).as_deref(), Some(time), "{text}");
            assert!(is_readable(time), "{time}");
        }
    }

    #[test]
    fn a_time_that_could_mean_another_is_left_alone() {
        for text in [
            "",
            "now",
            "2026-03-02",
            "2026-03-02 10:00:02.118",
            "2026-03-02T10:00:02",
            "2026-03-02 10:00:02 EST",
            "2026-03-02 10:00:02 +1",
            "2026-03-02 10:00:02+100",
            "2026-03-02 10:00:02+24:00",
            "2026-03-02 10:00:02+23:59",
            "2026-03-02 10:00:60Z",
            "2026-03-02 10:00:02.123456789012Z",
            "0000-03-02 10:00:02Z",
            "2026-03-02 10:00:02+1:0",
            "2026-03-02 10:00:02+:00",
            "2026-03-02 10:00:02+-1:00",
            "2026-03-02 10:00:02+é:00",
            "2026-03-02 10:00Z",
            "2026-02-30 10:00:02Z",
            "03/02/2026 10:00:02Z",
            "20260302T100002Z",
            "1772445602",
            "2026-03-02é10:00:02Z",
            "２０２６-03-02 10:00:02Z",
        ] {
            assert_eq!(made(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_with_its_offset_is_readable() {
        for text in [
            "2026-03-02T09:59:58Z",
            "2026-03-02t09:59:58z",
            "2026-03-02T09:59:58.118Z",
            "2026-03-02T09:59:58.123456789+05:30",
            "2024-02-29T23:59:59-11:00",
            "2000-02-29T00:00:00Z",
            "2026-03-02T09:59:58+18:00",
            "2026-03-02T09:59:58-18:00",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert!(is_readable(text), "{text}");
        }
    }

    #[test]
    fn a_time_without_zone_or_with_another_spelling_is_not() {
        for text in [
            "",
            "2026-03-02",
            "2026-03-02T09:59:58",
            "2026-03-02 09:59:58Z",
            "2026-03-02 10:00:02.118",
            "2026-03-02T09:59:58+0000",
            "2026-03-02T09:59:58-5:00",
            "2026-03-02T09:59:58+24:00",
            "2026-03-02T09:59:58.Z",
            "2026-03-02T09:59:58Z ",
            "2026-03-02T09:59:58+00:0é",
            "2026-02-29T09:59:58Z",
            "2100-02-29T09:59:58Z",
            "2026-13-02T09:59:58Z",
            "2026-00-02T09:59:58Z",
            "2026-03-00T09:59:58Z",
            "2026-04-31T09:59:58Z",
            "2026-03-02T24:00:00Z",
            "2026-03-02T09:60:00Z",
            "2026-03-02T09:59:60Z",
            "2016-12-31T23:59:60Z",
            "2026-03-02T09:59:58.1234567890Z",
            "2026-03-02T09:59:58.000000000000Z",
            "2026-03-02T09:59:58+18:01",
            "2026-03-02T09:59:58-18:01",
            "2026-03-02T09:59:58+23:59",
            "2026-03-02T09:59:58+00:60",
            "0000-01-01T00:00:00Z",
            "+026-03-02T09:59:58Z",
            "２026-03-02T09:59:58Z",
        ] {
            assert!(!is_readable(text), "{text}");
        }
    }

    #[test]
    fn what_is_readable_here_is_a_timestamp_elsewhere_too() {
        for text in
            ["2026-03-02T09:59:58Z", "2026-03-02T09:59:58.118-05:00", "2024-02-29T23:59:59Z"]
        {
            assert!(text.parse::<jiff::Timestamp>().is_ok(), "{text}");
        }
    }
}
