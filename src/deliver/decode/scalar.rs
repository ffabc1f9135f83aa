//! Scalars: a member's value, from its spelling, where an id, a name or a time is expected.

use std::borrow::Cow;

/// A value of an id, a name or a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// Missing, `null` or `""`.
    Absent,
    Text(Cow<'a, str>),
    /// Its spelling, without a fraction of zeros: `4711.0` is the number 4711 to every reader.
    Number(&'a str),
    /// An array, an object, a boolean, or text that is no Unicode (half a surrogate pair).
    Unusable,
}

impl<'a> Scalar<'a> {
    pub(super) fn of(spelled: Option<&'a str>) -> Self {
        let Some(spelled) = spelled else { return Self::Absent };
        match spelled.as_bytes() {
            b"null" | b"\"\"" => Self::Absent,
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => {
                Self::Text(Cow::Borrowed(&spelled[1..spelled.len() - 1]))
            }
            [b'"', ..] => serde_json::from_str(spelled)
                .map_or(Self::Unusable, |text| Self::Text(Cow::Owned(text))),
            [b'-' | b'0'..=b'9', ..] => Self::Number(without_zeros(spelled)),
            _ => Self::Unusable,
        }
    }

    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text, or the spelling of a number.
    pub(super) fn word(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(spelled) => Some(Cow::Borrowed(spelled)),
            Self::Absent | Self::Unusable => None,
        }
    }
}

/// A number without a fraction of zeros.
fn without_zeros(number: &str) -> &str {
    match number.bytes().position(|byte| byte == b'.') {
        Some(point) if number.bytes().skip(point + 1).all(|byte| byte == b'0') => &number[..point],
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_it_is_escaped() {
        assert!(matches!(Scalar::of(Some(r#""a,é""#)), Scalar::Text(Cow::Borrowed("a,é"))));
        let escaped = Scalar::of(Some(r#""\"\u00e9\ud83d\ude00""#));
        assert!(matches!(escaped, Scalar::Text(Cow::Owned(text)) if text == "\"é😀"));
    }

    #[test]
    fn what_says_nothing_is_absent_and_what_is_no_scalar_is_unusable() {
        for spelled in [None, Some("null"), Some(r#""""#)] {
            assert_eq!(Scalar::of(spelled), Scalar::Absent, "{spelled:?}");
        }
        for spelled in ["true", "false", "[]", "{\"a\":1}", r#""\ud800""#] {
            assert_eq!(Scalar::of(Some(spelled)), Scalar::Unusable, "{spelled}");
        }
        assert_eq!(Scalar::of(Some("-1.50e2")), Scalar::Number("-1.50e2"));
    }

    #[test]
    fn a_fraction_of_zeros_is_no_part_of_a_number() {
        for (spelled, number) in [
            ("4711.0", "4711"),
            ("4711.000", "4711"),
            ("-1.0", "-1"),
            ("4711", "4711"),
            ("4711.10", "4711.10"),
            ("4711.0e1", "4711.0e1"),
            ("4711e0", "4711e0"),
        ] {
            assert_eq!(Scalar::of(Some(spelled)), Scalar::Number(number), "{spelled}");
        }
        assert_eq!(Scalar::of(Some(r#""4711.0""#)).word().as_deref(), Some("4711.0"));
    }

    #[test]
    fn a_number_is_a_word_as_it_is_spelled() {
        assert_eq!(Scalar::of(Some("-1.50e2")).word().as_deref(), Some("-1.50e2"));
        assert_eq!(Scalar::of(Some(r#""\u0061""#)).word().as_deref(), Some("a"));
        for spelled in ["null", r#""""#, "true", "{}"] {
            assert_eq!(Scalar::of(Some(spelled)).word(), None, "{spelled}");
        }
    }
}
