//! Values of fields: their kinds, and how a sender's value is read as one.
//!
//! Nothing is rounded and nothing is guessed at. A number is its digits as the sender wrote them, a text is the bytes
//! between the sender's quotes. A value that is not of the field's kind is no value of the field
//! ([`Value::read`] is `None`), and the caller keeps it as text beside it.

use std::borrow::Cow;

use crate::deliver::decode::{id, time};

/// Kind of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; for an object or an array, its JSON as text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number, whose digits a reader may round to a double.
    Number,
    Boolean,
    /// A date and a time of RFC 3339, with an offset.
    DateTime,
    /// A day of RFC 3339 (`2026-03-02`).
    Date,
}

impl Kind {
    /// The kind for Marketo's name of a data type. Every other name is text, as are
    /// `string`, `email`, `href`, `phone` and the like.
    pub fn of_data_type(name: &str) -> Self {
        match name {
            "integer" | "score" => Self::Integer,
            "float" | "currency" | "percent" | "double" | "number" => Self::Number,
            "boolean" => Self::Boolean,
            "datetime" => Self::DateTime,
            "date" => Self::Date,
            _ => Self::Text,
        }
    }

    /// The kind of a value without a description.
    pub fn of_json(spelled: &str) -> Self {
        match spelled.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') if is_integer(spelled).is_some() => Self::Integer,
            Some(b'-' | b'0'..=b'9') if is_finite(spelled) => Self::Number,
            Some(b't' | b'f') => Self::Boolean,
            _ => Self::Text,
        }
    }
}

/// A field's value. The kind of the field decides which of these can occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Boolean(bool),
    /// A number of JSON, in the sender's digits; for [`Kind::Integer`] without a point or an exponent.
    Number(&'a str),
    /// An id that the sender wrote in another notation than digits alone.
    Id(i64),
    /// Text; for [`Kind::DateTime`] and [`Kind::Date`] in the form of RFC 3339.
    Text(Text<'a>),
    /// An object or an array as the sender spelled it: the value is this text itself.
    Json(&'a str),
}

/// A text, unescaped or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// The inside of a JSON string's quotes, escapes included.
    Spelled(&'a str),
    /// The text itself.
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// The text itself; `None` when the sender wrote half a surrogate pair, which is no Unicode.
    pub fn plain(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Plain(text) => Some(Cow::Borrowed(text)),
            Self::Spelled(inner) if memchr::memchr(b'\\', inner.as_bytes()).is_none() => {
                Some(Cow::Borrowed(inner))
            }
            Self::Spelled(inner) => {
                serde_json::from_str(&format!("\"{inner}\"")).ok().map(Cow::Owned)
            }
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Plain(Cow::Borrowed(text))
    }
}

impl<'a> Value<'a> {
    /// A text that is no JSON.
    pub fn plain(text: &'a str) -> Self {
        Self::Text(text.into())
    }

    /// Reads the value `spelled` in JSON as one of `kind`; `None` if it is not of that kind. An empty text in place of
    /// another kind is null, as everywhere here.
    pub fn read(kind: Kind, spelled: &'a str) -> Option<Self> {
        let bytes = spelled.as_bytes();
        if bytes == b"null" {
            return Some(Self::Null);
        }
        let inner = match bytes {
            [b'"', .., b'"'] => Some(&spelled[1..spelled.len() - 1]),
            _ => None,
        };
        if kind == Kind::Text {
            return Some(match (inner, bytes.first()) {
                (Some(inner), _) => Self::Text(Text::Spelled(inner)),
                (None, Some(b'{' | b'[')) => Self::Json(spelled),
                (None, _) => Self::plain(spelled),
            });
        }
        if inner == Some("") {
            return Some(Self::Null);
        }
        let scalar = inner.unwrap_or(spelled);
        match kind {
            Kind::Integer => is_integer(scalar).map(Self::Number),
            Kind::Number => {
                (is_number(scalar) && is_finite(scalar)).then_some(Self::Number(scalar))
            }
            Kind::Boolean => boolean(scalar).map(Self::Boolean),
            Kind::DateTime => {
                let text = Text::Spelled(inner?);
                let made = match text {
                    Text::Spelled(inner) if memchr::memchr(b'\\', inner.as_bytes()).is_none() => {
                        time::to_rfc3339(Cow::Borrowed(inner))?
                    }
                    escaped => time::to_rfc3339(escaped.plain()?)?.into_owned().into(),
                };
                Some(Self::Text(Text::Plain(made)))
            }
            Kind::Date => is_day(inner?).then(|| Self::plain(scalar)),
            Kind::Text => None,
        }
    }

    /// Reads the value `spelled` of a member that is an id, which may be in another notation of the same number.
    pub fn id(spelled: &str) -> Option<Self> {
        let text: Cow<'_, str> = match spelled.starts_with('"') {
            true => Cow::Owned(serde_json::from_str(spelled).ok()?),
            false => Cow::Borrowed(spelled),
        };
        id::number(&text)?.parse().ok().map(Self::Id)
    }

    /// A date and time, in whole milliseconds since 1970; `None` for any other value, and where the fraction is
    /// finer.
    pub fn unix_millis(&self) -> Option<i64> {
        let Self::Text(Text::Plain(text)) = self else { return None };
        if let Some(seconds) = whole_seconds(text) {
            return Some(seconds * 1000);
        }
        let instant: jiff::Timestamp = text.parse().ok()?;
        (instant.subsec_nanosecond() % 1_000_000 == 0).then(|| instant.as_millisecond())
    }

    /// A day, counted from 1970-01-01.
    pub fn unix_days(&self) -> Option<i32> {
        let Self::Text(Text::Plain(text)) = self else { return None };
        let day: jiff::civil::Date = text.parse().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        epoch.until(day).ok().map(|span| span.get_days())
    }
}

/// The digits of a whole number of 64 bits, without a fraction of zeros (`4711.0` is the number 4711 to every reader).
fn is_integer(text: &str) -> Option<&str> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => {
            whole
        }
        Some(_) => return None,
        None => text,
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_right = match digits.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', more @ ..] => more.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (is_right && (digits.len() < 19 || whole.parse::<i64>().is_ok())).then_some(whole)
}

/// Whether `text` is a number as JSON spells it.
fn is_number(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
        && !text.ends_with(char::is_whitespace)
}

/// Whether a double can hold a number of JSON at all.
fn is_finite(number: &str) -> bool {
    // Without an exponent it takes more than 300 digits.
    let may_be_large =
        number.len() > 300 || memchr::memchr2(b'e', b'E', number.as_bytes()).is_some();
    !may_be_large || number.parse::<f64>().is_ok_and(f64::is_finite)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Seconds since 1970 of a time in the most frequent form, `2026-03-02T09:59:58Z`; `None` for other forms, which need
/// the full parser.
fn whole_seconds(text: &str) -> Option<i64> {
    // This length has no room for a fraction or another offset.
    if text.len() != 20 || text.starts_with("9999") || !time::is_readable(text) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.as_bytes()[from..to].iter();
        digits.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'))
    };
    let year = number(0, 4);
    let month = number(5, 7);
    let day = number(8, 10);
    // Years begin in March here, so that a leap day is the last of its year; 719,468 days later is 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let seconds = number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    Some((days - 719_468) * 86_400 + seconds)
}

/// Whether `text` is a day that the calendar has.
fn is_day(text: &str) -> bool {
    let mut whole = *b"0000-00-00T00:00:00Z";
    text.len() == 10 && {
        whole[..10].copy_from_slice(text.as_bytes());
        std::str::from_utf8(&whole).is_ok_and(time::is_readable)
    }
}

#[cfg(test)]
mod tests;
