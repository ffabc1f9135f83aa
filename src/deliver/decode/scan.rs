//! The end of a JSON value, found in one pass over its bytes and without taking memory.
//!
//! It is as strict as RFC 8259, and finds only the end: a value that it does not find well-formed
//! goes to serde_json, which says what is wrong. So a mistake here could only be to accept a value that
//! serde_json refuses, and a property of `tests/decode` holds the two against each other.
//!
//! The bytes are known to be UTF-8.

use std::ops::Range;

/// Limit of nesting: one bit for each open bracket says whether it is an object's.
pub(super) const MAX_NESTING: usize = u128::BITS as usize;

/// The place of a member's name.
pub(super) struct Named {
    /// From its opening quote to after its closing one.
    pub(super) quoted: Range<usize>,
    /// Whether nothing in it is escaped.
    pub(super) is_plain: bool,
    /// The offset after the colon.
    pub(super) value: usize,
}

/// The offset after the value that begins at `at` (white space before it is allowed); `None` when it is
/// malformed, or nested deeper than `limit`.
pub(super) fn value(bytes: &[u8], at: usize, limit: usize) -> Option<usize> {
    value_with_names(bytes, at, limit, &mut |_| {})
}

/// The offset after the value, like [`value`]; hands over the name of each member inside it, at any depth.
pub(super) fn value_with_names(
    bytes: &[u8],
    mut at: usize,
    limit: usize,
    named: &mut impl FnMut(Named),
) -> Option<usize> {
    let mut depth = 0;
    let mut objects = 0u128;
    let limit = limit.min(MAX_NESTING);
    loop {
        at = space(bytes, at);
        match *bytes.get(at)? {
            b'"' => at = string(bytes, at + 1)?.0,
            b'-' | b'0'..=b'9' => at = number(bytes, at)?,
            bracket @ (b'{' | b'[') => {
                if depth == limit {
                    return None;
                }
                at = space(bytes, at + 1);
                let is_object = bracket == b'{';
                // A closing bracket is two behind its opening one.
                if *bytes.get(at)? == bracket + 2 {
                    at += 1;
                } else {
                    depth += 1;
                    objects = objects << 1 | u128::from(is_object);
                    if is_object {
                        at = name(bytes, at, named)?;
                    }
                    continue;
                }
            }
            b't' => at = literal(bytes, at, b"true")?,
            b'f' => at = literal(bytes, at, b"false")?,
            b'n' => at = literal(bytes, at, b"null")?,
            _ => return None,
        }
        // After a value: others of the same array or object, or the end of these.
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = space(bytes, at);
            let is_object = objects & 1 == 1;
            match *bytes.get(at)? {
                b',' => {
                    at += 1;
                    if is_object {
                        at = name(bytes, space(bytes, at), named)?;
                    }
                    break;
                }
                b'}' if is_object => {}
                b']' if !is_object => {}
                _ => return None,
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// The offset after the string whose opening quote is before `at`, and whether nothing in
/// it is escaped.
pub(super) fn string(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut is_plain = true;
    loop {
        let rest = bytes.get(at..)?;
        // Eight bytes at a time, as long as none of them is special.
        if let Some(eight) = rest.first_chunk() {
            match first_special(u64::from_le_bytes(*eight)) {
                None => {
                    at += 8;
                    continue;
                }
                Some(place) => at += place,
            }
        }
        match *bytes.get(at)? {
            b'"' => return Some((at + 1, is_plain)),
            b'\\' => {
                is_plain = false;
                at = escape(bytes, at + 1)?;
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// Offset of the first quote, backslash or control character among eight bytes.
pub(in super::super) fn first_special(eight: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    // The highest bit of each byte that is zero, or smaller than `n`. A borrow may mark bytes above
    // such a one too, but never one below it, and the lowest counts.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let below = |n: u8| eight.wrapping_sub(ONES * u64::from(n)) & !eight;
    let all_of = |byte: u8| ONES * u64::from(byte);
    let found =
        (zeros(eight ^ all_of(b'"')) | zeros(eight ^ all_of(b'\\')) | below(0x20)) & HIGHEST;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = bytes.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// The offset after a member's name and its colon.
fn name(bytes: &[u8], start: usize, named: &mut impl FnMut(Named)) -> Option<usize> {
    if *bytes.get(start)? != b'"' {
        return None;
    }
    let (end, is_plain) = string(bytes, start + 1)?;
    let colon = space(bytes, end);
    if *bytes.get(colon)? != b':' {
        return None;
    }
    let value = colon + 1;
    named(Named { quoted: start..end, is_plain, value });
    Some(value)
}

/// Behind the number that begins at `at`.
pub(super) fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(bytes[at] == b'-');
    match *bytes.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at = digits(bytes, at),
        _ => return None,
    }
    // A zero in front of other digits is malformed.
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        at = at_least_one_digit(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = at_least_one_digit(bytes, at)?;
    }
    Some(at)
}

fn at_least_one_digit(bytes: &[u8], at: usize) -> Option<usize> {
    let end = digits(bytes, at);
    (end > at).then_some(end)
}

fn digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// The offset after white space.
pub(super) fn space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        value(text.as_bytes(), 0, 3)
    }

    #[test]
    fn a_value_ends_where_it_ends_and_not_where_it_goes_on() {
        for (text, end) in [
            ("1,", 1),
            (" -0.5e+10]", 9),
            ("\"a\\\"b\\u00e9\" ", 12),
            ("\"0123456789 é, as long as this\"}", 32),
            ("{ } x", 3),
            ("[1 , {\"a\" : [ ] } , null]]", 25),
            ("true", 4),
        ] {
            assert_eq!(length(text), Some(end), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_has_no_end() {
        for text in [
            "",
            " ",
            "]",
            ",",
            "x",
            "nul",
            "+1",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u00g0\"",
            "\"\\u00\"",
            "\"a\nb\"",
            "\"01234567\u{1f}\"",
            "[",
            "[1",
            "[1 2]",
            "[1,]",
            "[,1]",
            "[1}",
            "{",
            "{\"a\"",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1]",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
    }

    #[test]
    fn each_name_is_handed_over_with_the_place_of_its_value() {
        let text = r#"[{"a" : {"\u0062":[{"c":1}], "d":"\"e\":"}}, "f"]"#;
        let mut names = Vec::new();
        let end = value_with_names(text.as_bytes(), 0, 9, &mut |named| {
            let first = text[named.value..].trim_start().chars().next().unwrap();
            names.push((&text[named.quoted], named.is_plain, first));
        });
        assert_eq!(end, Some(text.len()));
        let expected = [
            (r#""a""#, true, '{'),
            (r#""\u0062""#, false, '['),
            (r#""c""#, true, '1'),
            (r#""d""#, true, '"'),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_nested_deeper_than_the_limit_has_no_end() {
        assert_eq!(length("[[{}]]"), Some(6));
        assert_eq!(length("[[{\"a\":[]}]]"), None);
        assert_eq!(value(b"[]", 0, 0), None);
    }
}
