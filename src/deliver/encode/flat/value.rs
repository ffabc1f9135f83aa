//! Values of fields: their kinds, and how a sender's value is read as one.
//!
//! Nothing is rounded and nothing is guessed at. A number is its digits as the sender wrote them, a text is the bytes
//! between the sender's quotes. A value that is not of the field's kind is no value of the field
//! ([`Value::read`] is `None`), and the caller keeps it as text beside it.

use std::borrow::Cow;

use bumpalo::Bump;

use crate::{
    deliver::decode::{id, time},
    event::{Form, Spelled},
};

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
}

/// A field's value. The kind of the field decides which of these can occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// The inside of a JSON string's quotes, escapes included.
    Escaped(&'a str),
    /// The text itself, in which JSON escapes nothing.
    Exact(&'a str),
    /// The text itself.
    Plain(&'a str),
}

impl<'a> Text<'a> {
    /// The text itself, made in `memory` where it has escapes; `None` when the sender wrote half a surrogate pair, which is
    /// no Unicode.
    pub fn plain(self, memory: &'a Bump) -> Option<&'a str> {
        match self {
            Self::Plain(text) | Self::Exact(text) => Some(text),
            Self::Escaped(inner) => {
                let text: String = serde_json::from_str(&format!("\"{inner}\"")).ok()?;
                Some(memory.alloc_str(&text))
            }
        }
    }
}

/// The context in which a value is read.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Where texts are made.
    pub memory: &'a Bump,
    /// A text that is known to be a time of RFC 3339: that of the event.
    pub time: Option<&'a str>,
}

impl<'a> Value<'a> {
    /// A text that is no JSON.
    pub fn plain(text: &'a str) -> Self {
        Self::Text(Text::Plain(text))
    }

    /// A text in which JSON escapes nothing.
    pub fn exact(text: &'a str) -> Self {
        Self::Text(Text::Exact(text))
    }

    /// Reads the value `spelled` in JSON as one of `kind`; `None` if it is not of that kind. An empty text in place of
    /// another kind is null, as everywhere here.
    pub fn read(kind: Kind, spelled: Spelled<'a>, around: Around<'a>) -> Option<Self> {
        let (text, is_text) = (spelled.text(), spelled.form() != Form::Other);
        if !is_text && text == "null" {
            return Some(Self::Null);
        }
        if kind == Kind::Text {
            return Some(Self::text(spelled));
        }
        if is_text && text.is_empty() {
            return Some(Self::Null);
        }
        match kind {
            Kind::Integer => is_integer(text).map(Self::Number),
            Kind::Number => {
                // A number outside of quotes is well-formed already.
                let is_number = if is_text { is_number(text) } else { begins_as_number(text) };
                (is_number && is_finite(text)).then_some(Self::Number(text))
            }
            Kind::Boolean => boolean(text).map(Self::Boolean),
            Kind::DateTime if is_text => date_time(spelled, around).map(Self::Text),
            Kind::Date if is_text => is_day(text).then(|| Self::exact(text)),
            Kind::DateTime | Kind::Date | Kind::Text => None,
        }
    }

    /// The same as a text, whatever it is.
    pub fn text(spelled: Spelled<'a>) -> Self {
        let text = spelled.text();
        match spelled.form() {
            Form::Text => Self::exact(text),
            Form::Escaped => Self::Text(Text::Escaped(text)),
            Form::Other if text.starts_with(['{', '[']) => Self::Json(text),
            Form::Other if text == "null" => Self::Null,
            // A number or a boolean.
            Form::Other => Self::exact(text),
        }
    }

    /// The value of a field without a description, by its kind in JSON.
    pub fn undescribed(spelled: Spelled<'a>) -> Self {
        let text = spelled.text();
        match (spelled.form(), text.as_bytes().first()) {
            (Form::Other, Some(b'-' | b'0'..=b'9')) => match is_integer(text) {
                Some(whole) => Self::Number(whole),
                None if is_finite(text) => Self::Number(text),
                None => Self::text(spelled),
            },
            (Form::Other, Some(b't')) => Self::Boolean(true),
            (Form::Other, Some(b'f')) => Self::Boolean(false),
            _ => Self::text(spelled),
        }
    }

    /// Reads the value `spelled` of a member that is an id, which may be in another notation of the same number.
    pub fn id(spelled: Spelled<'a>) -> Option<Self> {
        let text: Cow<'_, str> = match spelled.form() {
            Form::Text | Form::Other => Cow::Borrowed(spelled.text()),
            Form::Escaped => {
                Cow::Owned(serde_json::from_str(&format!("\"{}\"", spelled.text())).ok()?)
            }
        };
        id::number(&text)?.parse().ok().map(Self::Id)
    }

    /// A date and time, in whole milliseconds since 1970; `None` for any other value, and where the fraction is
    /// finer.
    pub fn unix_millis(&self) -> Option<i64> {
        let Self::Text(Text::Plain(text) | Text::Exact(text)) = self else { return None };
        if let Some(seconds) = whole_seconds(text) {
            return Some(seconds * 1000);
        }
        let instant: jiff::Timestamp = text.parse().ok()?;
        (instant.subsec_nanosecond() % 1_000_000 == 0).then(|| instant.as_millisecond())
    }

    /// A day, counted from 1970-01-01.
    pub fn unix_days(&self) -> Option<i32> {
        let Self::Text(Text::Plain(text) | Text::Exact(text)) = self else { return None };
        let day: jiff::civil::Date = text.parse().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        epoch.until(day).ok().map(|span| span.get_days())
    }
}

/// The text `spelled` as a time of RFC 3339, if it is one for certain.
fn date_time<'a>(spelled: Spelled<'a>, around: Around<'a>) -> Option<Text<'a>> {
    let text = spelled.text();
    match spelled.form() {
        // It was read when the event was decoded.
        Form::Text if around.time.is_some_and(|time| std::ptr::eq(time, text)) => {
            Some(Text::Exact(text))
        }
        Form::Text => Some(match time::to_rfc3339(Cow::Borrowed(text))? {
            Cow::Borrowed(text) => Text::Exact(text),
            Cow::Owned(made) => Text::Exact(around.memory.alloc_str(&made)),
        }),
        _ => {
            let text = Text::Escaped(text).plain(around.memory)?;
            let made = time::to_rfc3339(Cow::Borrowed(text))?;
            Some(Text::Exact(around.memory.alloc_str(&made)))
        }
    }
}

/// The digits of a whole number of 64 bits, without a fraction of zeros (`4711.0` is the number 4711 to every reader).
fn is_integer(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = start;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let is_right = match &bytes[end..] {
        [] => true,
        [b'.', zeros @ ..] => !zeros.is_empty() && zeros.iter().all(|byte| *byte == b'0'),
        _ => false,
    };
    let is_plain = match &bytes[start..end] {
        [b'0'] => true,
        [b'1'..=b'9', ..] => end - start < 19 || text[..end].parse::<i64>().is_ok(),
        _ => false,
    };
    (is_right && is_plain).then(|| &text[..end])
}

fn begins_as_number(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

/// Whether `text` is a number as JSON spells it.
fn is_number(text: &str) -> bool {
    begins_as_number(text)
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
