//! Ids that senders write: each is read by one function, so that a record's key, its topic, the selection of its
//! source, its flat value and the states of leads mean the same lead, the same type and the same instance.
//!
//! - **A number**, of a lead, an activity type or a component: digits. Other notations of the same number are the same
//!   id, in a JSON number and in text alike: `100`, `100.0`, `1e2`, `"0100"` and `"+100"`. A fraction and a negative
//!   number are no id.
//! - **A Munchkin id**, `999-XYZ-000`: white space around it does not count, nor does its case. A text of another form
//!   names an instance too, and stays as it is.

use std::borrow::Cow;

/// Limit of an id's digits; a longer number is none.
const MAX_DIGITS: usize = 20;

/// Bytes of the longest notation in which an id is read.
const MAX_NOTATION_BYTES: usize = 64;

/// The digits of an id in `text`, a text or a number as JSON spells it; `None` if it is no id.
pub fn number(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if is_plain(text) {
        return Some(Cow::Borrowed(text));
    }
    if text.len() > MAX_NOTATION_BYTES {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !whole.is_empty() && is_digits(whole) && is_digits(fraction);
    if !is_number || (mantissa.len() > whole.len() && fraction.is_empty()) {
        return None;
    }
    // The digits without the zeros around them, and the number of zeros that follow them.
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let behind = digits.len() - significant.len();
    let zeros = i64::try_from(behind).ok()? - i64::try_from(fraction.len()).ok()? + exponent;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(Cow::Borrowed("0"));
    }
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len().checked_add(zeros)? > MAX_DIGITS {
        return None;
    }
    Some(Cow::Owned(format!("{significant}{}", "0".repeat(zeros))))
}

/// Whether `text` is an id in its canonical notation.
fn is_plain(text: &str) -> bool {
    match text.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', more @ ..] => {
            more.len() < MAX_DIGITS && more.iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

/// An exponent; one that no id can have is replaced by a large number.
fn power(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => (-1, &text[1..]),
        [b'+', ..] => (1, &text[1..]),
        _ => (1, text),
    };
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    match (is_digits, digits.len()) {
        (false, _) => None,
        (true, 0) => Some(0),
        (true, 1..=9) => digits.parse::<i64>().ok().map(|power| sign * power),
        (true, _) => Some(sign * 1_000_000_000_000),
    }
}

/// `text` as a part of a key: the id in it, or the text itself.
pub fn part(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => number(text).unwrap_or(Cow::Borrowed(text)),
        Cow::Owned(text) => match number(&text) {
            Some(id) if *id != *text => Cow::Owned(id.into_owned()),
            _ => Cow::Owned(text),
        },
    }
}

/// The id of an activity type.
pub fn activity_type(text: &str) -> Option<i64> {
    number(text)?.parse().ok()
}

/// The Munchkin id in `text`; `None` if it is blank, which names no instance.
pub fn munchkin(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    match () {
        () if text.is_empty() => None,
        () if is_munchkin(&text) && text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Some(Cow::Owned(text.to_ascii_uppercase()))
        }
        () => Some(text),
    }
}

/// Whether `text` has the form of Marketo's ids of instances: `999-XYZ-000`.
pub fn is_munchkin(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |is: fn(&u8) -> bool| {
        parts.next().is_some_and(|part| part.len() == 3 && part.as_bytes().iter().all(is))
    };
    next(u8::is_ascii_digit)
        && next(u8::is_ascii_alphabetic)
        && next(u8::is_ascii_digit)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_notations_of_a_whole_number_are_one_id() {
        for text in [
            "100", "100.0", "1e2", "1E+2", "0.1e3", "0100", "+100", " 100\t", "10000e-2",
            "1.00e002",
        ] {
            assert_eq!(number(text).as_deref(), Some("100"), "{text}");
        }
        for text in ["0", "00", "0.0", "0e5", "0e-999999999999"] {
            assert_eq!(number(text).as_deref(), Some("0"), "{text}");
        }
        assert_eq!(number("18446744073709551616").as_deref(), Some("18446744073709551616"));
        assert_eq!(activity_type("1.00001e5"), Some(100_001));
    }

    #[test]
    fn what_is_no_whole_number_is_no_id() {
        for text in [
            "",
            " ",
            "+",
            "-1",
            "-0",
            "1.5",
            "15e-1",
            ".5",
            "1.",
            "e2",
            "1e",
            "1e+",
            "1e1.0",
            "1_0",
            "0x10",
            "１２",
            "abc",
            "1 0",
            "++1",
            "1e21",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "123456789012345678901",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(activity_type("9223372036854775808"), None);
    }

    #[test]
    fn a_munchkin_id_is_read_without_white_space_and_without_its_case() {
        for text in ["999-XYZ-000", "999-xyz-000", " 999-Xyz-000\n"] {
            assert_eq!(munchkin(text.into()).as_deref(), Some("999-XYZ-000"), "{text:?}");
            assert_eq!(munchkin(text.to_owned().into()).as_deref(), Some("999-XYZ-000"));
        }
        assert_eq!(munchkin(" \t".into()), None);
        assert_eq!(munchkin("a sandbox".into()).as_deref(), Some("a sandbox"));
    }

    #[test]
    fn a_munchkin_id_has_the_form_that_marketo_gives_it() {
        for text in ["999-XYZ-000", "123-abc-456"] {
            assert!(is_munchkin(text), "{text}");
        }
        for text in
            ["", "999-XYZ", "999XYZ000", "999-XYZ-0000", "XYZ-999-000", "999-XYZ-000-", "99é-XYZ-0"]
        {
            assert!(!is_munchkin(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_the_number_that_its_text_is(id in any::<u32>(), zeros in 0_usize..9, shift in 0_usize..9) {
            let plain = id.to_string();
            let text = format!("{}{plain}{}e-{shift}", "0".repeat(zeros), "0".repeat(shift));
            let read = number(&text);
            prop_assert_eq!(read.as_deref(), Some(&*plain));
        }
    }
}
