//! The punctuation around values: a strict cursor over a body.
//!
//! `scan` finds the end of each value; commas, colons, brackets and the end of the body are checked
//! here. So one pass gives the members and their byte ranges, and `[E E]`, `[E,,E]`, `[E,]` and
//! trailing text are errors. Where `scan` finds nothing well-formed, serde_json decides: it
//! says what is wrong and where.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{Undecodable, scan};
use crate::event::Form;

/// Limit of nested arrays and objects in a body: serde_json's own limit, so that consumers with it can parse
/// everything that is passed on. (serde_json itself does not apply it to values
/// that it skips.)
pub const MAX_DEPTH: usize = 127;

/// A mark that some programs write before a text, and that RFC 8259 lets a reader skip.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The body as text, if it is UTF-8 and not empty; without a byte order mark before it.
pub(super) fn text(body: &[u8]) -> Result<&str, Undecodable> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Undecodable::new("not-utf8", format!("not UTF-8 at byte {at}"))
    })?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.bytes().all(is_space) {
        return Err(Undecodable::new("empty-body", "the body is empty: expected JSON at byte 0"));
    }
    Ok(text)
}

/// Offset of `part`, a piece of `whole`, in it.
pub(super) fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Name<'a> {
    /// As it is spelled, quotes and escapes included.
    pub(in super::super) quoted: &'a str,
    /// Whether nothing in it is escaped.
    is_plain: bool,
}

impl<'a> Name<'a> {
    /// The unescaped name; `None` when it is no Unicode (half a surrogate pair).
    pub(in super::super) fn text(self) -> Option<Cow<'a, str>> {
        match self.is_plain {
            true => Some(Cow::Borrowed(&self.quoted[1..self.quoted.len() - 1])),
            false => serde_json::from_str(self.quoted).ok().map(Cow::Owned),
        }
    }

    /// The text of the name, if nothing in it is escaped.
    pub(super) fn plain(self) -> Option<&'a str> {
        self.is_plain.then(|| &self.quoted[1..self.quoted.len() - 1])
    }
}

/// A place in a body. Each method reads one thing from there and moves behind it.
#[derive(Clone)]
pub(in super::super) struct Cursor<'a> {
    body: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(in super::super) fn new(body: &'a str) -> Self {
        Self { body, at: 0, depth: 0 }
    }

    /// The next byte that is not white space, without taking it.
    pub(in super::super) fn peek(&mut self) -> Option<u8> {
        self.at = scan::space(self.body.as_bytes(), self.at);
        self.body.as_bytes().get(self.at).copied()
    }

    /// Skips a value, which must be well-formed nevertheless; returns its range of the body.
    pub(in super::super) fn skip(&mut self) -> Result<&'a str, Undecodable> {
        let limit = MAX_DEPTH - self.depth;
        self.peek();
        match scan::value(self.body.as_bytes(), self.at, limit) {
            Some(end) => Ok(self.take_until(end)),
            None => self.skip_slowly(limit),
        }
    }

    /// Skips a value as [`Cursor::skip`] does, and says what form it has.
    pub(super) fn skip_with_form(&mut self) -> Result<(&'a str, Form), Undecodable> {
        let found = match self.peek() {
            Some(b'"') => {
                let end = scan::string(self.body.as_bytes(), self.at + 1);
                end.map(|(end, is_plain)| (end, if is_plain { Form::Text } else { Form::Escaped }))
            }
            Some(b'-' | b'0'..=b'9') => {
                scan::number(self.body.as_bytes(), self.at).map(|end| (end, Form::Other))
            }
            _ => None,
        };
        if let Some((end, form)) = found {
            return Ok((self.take_until(end), form));
        }
        let range = self.skip()?;
        let form = if range.starts_with('"') { Form::Escaped } else { Form::Other };
        Ok((range, form))
    }

    /// Moves behind `text`, if that is what comes next.
    pub(super) fn take_text(&mut self, text: &str) -> bool {
        let found = self.body.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// The text behind an opening quote, if nothing in it is escaped; moves behind its closing quote.
    pub(super) fn take_plain(&mut self) -> Option<&'a str> {
        let (end, is_plain) = scan::string(self.body.as_bytes(), self.at)?;
        is_plain.then(|| {
            let range = self.take_until(end);
            &range[..range.len() - 1]
        })
    }

    /// The text between `start`, a place that the cursor had before, and the cursor.
    pub(super) fn since(&self, start: &Self) -> &'a str {
        &self.body[start.at..self.at]
    }

    /// Skips a value, and hands over each member inside it, at any depth: its name, and the
    /// body from its value on.
    pub(super) fn skip_seeing(
        &mut self,
        mut member: impl FnMut(Name<'a>, &'a str),
    ) -> Result<&'a str, Undecodable> {
        let limit = MAX_DEPTH - self.depth;
        self.peek();
        let body = self.body;
        let mut named = |named: scan::Named| {
            let name = Name { quoted: &body[named.quoted], is_plain: named.is_plain };
            member(name, &body[named.value..]);
        };
        match scan::value_with_names(body.as_bytes(), self.at, limit, &mut named) {
            Some(end) => Ok(self.take_until(end)),
            None => {
                self.skip_slowly(limit)?;
                // Members may have been missed, so the body must not pass.
                Err(self.expected("a value that can be read in one pass"))
            }
        }
    }

    /// The rest of the body.
    pub(in super::super) fn rest(&self) -> &'a str {
        &self.body[self.at..]
    }

    fn skip_slowly(&mut self, limit: usize) -> Result<&'a str, Undecodable> {
        let rest = &self.body[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(self.malformed(&error)),
            None => return Err(self.expected("a value")),
        }
        if depth(&rest[..values.byte_offset()]) > limit {
            return Err(self.nested_too_deep());
        }
        Ok(self.take_until(self.at + values.byte_offset()))
    }

    fn take_until(&mut self, end: usize) -> &'a str {
        let range = &self.body[self.at..end];
        self.at = end;
        range
    }

    /// Reads a member's name; the next byte is its opening quote.
    fn name(&mut self) -> Result<Name<'a>, Undecodable> {
        match scan::string(self.body.as_bytes(), self.at + 1) {
            Some((end, is_plain)) => Ok(Name { quoted: self.take_until(end), is_plain }),
            None => self.skip_slowly(0).map(|quoted| Name { quoted, is_plain: false }),
        }
    }

    /// Reads an object and returns its range of the body; `member` gets each name and must take exactly the value.
    pub(in super::super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Name<'a>) -> Result<(), Undecodable>,
    ) -> Result<&'a str, Undecodable> {
        self.peek();
        let start = self.at;
        self.enter(b'{', "an object")?;
        if !self.take(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.expected("the name of a member"));
                }
                let name = self.name()?;
                if !self.take(b':') {
                    return Err(self.expected("`:`"));
                }
                member(self, name)?;
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.expected("`,` or `}`"));
                }
            }
        }
        self.depth -= 1;
        Ok(&self.body[start..self.at])
    }

    /// Reads an array; `element` must take exactly one value each time.
    pub(in super::super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Undecodable>,
    ) -> Result<(), Undecodable> {
        self.enter(b'[', "an array")?;
        if !self.take(b']') {
            loop {
                element(self)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.expected("`,` or `]`"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Checks that only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Undecodable> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the body")),
        }
    }

    fn enter(&mut self, bracket: u8, what: &str) -> Result<(), Undecodable> {
        if !self.take(bracket) {
            return Err(self.expected(what));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.nested_too_deep());
        }
        self.depth += 1;
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        // Mostly there is no white space before it.
        let found = self.body.as_bytes().get(self.at) == Some(&byte) || self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expected(&self, what: &str) -> Undecodable {
        let found = if self.at == self.body.len() { "the body ends" } else { "something else is" };
        let error = format!("not JSON: expected {what} at byte {}: {found} there", self.at);
        Undecodable::new("not-json", error)
    }

    fn nested_too_deep(&self) -> Undecodable {
        let error = format!("nested more than {MAX_DEPTH} deep at byte {}", self.at);
        Undecodable::new("nested-too-deep", error)
    }

    fn malformed(&self, error: &serde_json::Error) -> Undecodable {
        // serde_json counts lines and columns from where this value began.
        let rest = &self.body[self.at..];
        let mut lines = rest.split_inclusive('\n').map(str::len);
        let before: usize = lines.by_ref().take(error.line().saturating_sub(1)).sum();
        let at = (self.at + before + error.column()).min(self.body.len());
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        Undecodable::new("not-json", format!("not JSON: {} at byte {at}", plainly(what)))
    }
}

/// Translates serde_json's errors for readers who know the body and not the parser.
fn plainly(what: &str) -> Cow<'_, str> {
    match (what, what.strip_prefix("EOF while parsing ")) {
        ("expected ident" | "expected value", _) => "unexpected text".into(),
        (_, Some(part)) => format!("the body ends inside {part}").into(),
        (what, None) => what.into(),
    }
}

/// Depth of a well-formed value.
fn depth(value: &str) -> usize {
    let mut depth = 0usize;
    let mut deepest = 0usize;
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => _ = bytes.next(),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_strings_do_not_count_as_nesting() {
        assert_eq!(depth(r#"{"[[[\"[[":["{{{\\"],"a":[[1]]}"#), 3);
    }

    #[test]
    fn an_error_names_the_byte_of_the_body_and_not_of_the_value() {
        let mut cursor = Cursor::new("{\"a\":1,\n\"b\":\n[1,\n x]}");
        let error = cursor.object(|cursor, _| cursor.skip().map(drop)).unwrap_err();
        assert_eq!(error, Undecodable::new("not-json", "not JSON: unexpected text at byte 19"));
    }

    #[test]
    fn what_is_no_json_is_told_without_the_words_of_a_parser() {
        for (body, error) in [
            ("this is no JSON", "not JSON: unexpected text at byte 2"),
            ("[1,", "not JSON: the body ends inside a value at byte 3"),
            ("[1 2]", "not JSON: expected `,` or `]` at byte 4"),
        ] {
            assert_eq!(Cursor::new(body).skip().unwrap_err(), Undecodable::new("not-json", error));
        }
    }

    #[test]
    fn an_offset_is_the_place_of_a_piece_in_its_whole() {
        let whole = "abcdef";
        assert_eq!(offset(whole, &whole[2..4]), 2);
        assert_eq!(offset(whole, &whole[6..]), 6);
    }
}
