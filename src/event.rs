//! An event: one activity or CloudEvent inside a delivery, as ranges of the delivery's body.

mod lead_state;
mod members;

use std::{borrow::Cow, fmt, ops::Deref};

use smol_str::{SmolStr, SmolStrBuilder};

pub use lead_state::{LEAD_STATE_SOURCE, LeadChange, LeadState, MERGED_INTO_HEADER, Part};
pub use members::{Attribute, Form, Member, Members, Spelled};

/// The four products of Data Streams, and any other events that Adobe may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    LeadActivity,
    UserAudit,
    Notification,
    Observability,
    Other,
}

impl Stream {
    pub const ALL: [Self; 5] =
        [Self::LeadActivity, Self::UserAudit, Self::Notification, Self::Observability, Self::Other];

    /// Returns the name in topics, metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeadActivity => "lead-activity",
            Self::UserAudit => "user-audit",
            Self::Notification => "notification",
            Self::Observability => "observability",
            Self::Other => "other",
        }
    }
}

/// The CloudEvents context attributes of an event. Text is decoded (no JSON escapes left).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `None` when the sender gave none; the encoder then derives one from the event's position.
    pub id: Option<Cow<'a, str>>,
    pub source: Cow<'a, str>,
    /// The full CloudEvents type, e.g. `com.adobe.platform.marketo.activity.standard.clicklink`.
    pub r#type: Cow<'a, str>,
    /// RFC 3339, or absent: a time whose zone is unknown stays in the value only.
    pub time: Option<Cow<'a, str>>,
    pub datacontenttype: Option<Cow<'a, str>>,
    /// An absolute URI, or absent.
    pub dataschema: Option<Cow<'a, str>>,
    pub subject: Option<Cow<'a, str>>,
    /// Further attributes, names in lower-case letters and digits.
    pub extensions: Extensions<'a>,
}

/// Names and values, in their order; the usual few take no memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    few: [Option<Extension<'a>>; 2],
    /// The extensions after those.
    many: Vec<Extension<'a>>,
}

/// A name and its value.
pub type Extension<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Extensions<'a> {
    pub fn push(&mut self, extension: Extension<'a>) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(extension),
            None => self.many.push(extension),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Extension<'a>> {
        self.few.iter().flatten().chain(&self.many)
    }

    /// Removes `name` and returns its value, if `wanted` accepts the value.
    pub fn take_if(&mut self, name: &str, wanted: impl Fn(&str) -> bool) -> Option<Cow<'a, str>> {
        let at = self.iter().position(|(it, value)| it == name && wanted(value))?;
        if self.many.is_empty() {
            let (_, value) = self.few[at].take()?;
            // Moves a later extension forward, so that one pushed next stays behind it.
            self.few.sort_by_key(Option::is_none);
            return Some(value);
        }
        let mut all: Vec<_> = std::mem::take(self).into_iter().collect();
        let (_, value) = all.remove(at);
        *self = all.into();
        Some(value)
    }
}

impl<'a> IntoIterator for Extensions<'a> {
    type Item = Extension<'a>;
    type IntoIter = std::iter::Chain<
        std::iter::Flatten<std::array::IntoIter<Option<Extension<'a>>, 2>>,
        std::vec::IntoIter<Extension<'a>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.few.into_iter().flatten().chain(self.many)
    }
}

impl<'a> FromIterator<Extension<'a>> for Extensions<'a> {
    fn from_iter<I: IntoIterator<Item = Extension<'a>>>(all: I) -> Self {
        let mut extensions = Self::default();
        all.into_iter().for_each(|extension| extensions.push(extension));
        extensions
    }
}

impl<'a> From<Vec<Extension<'a>>> for Extensions<'a> {
    fn from(all: Vec<Extension<'a>>) -> Self {
        all.into_iter().collect()
    }
}

/// A short text: a piece of the body or of the rules, or a made one. A made text of up to 23 bytes
/// takes no memory of its own.
#[derive(Clone)]
pub enum Word<'a> {
    Piece(&'a str),
    Made(SmolStr),
}

impl<'a> Word<'a> {
    /// Joins `parts` with colons.
    pub fn joined(parts: &[&str]) -> Self {
        let mut text = SmolStrBuilder::new();
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push(':');
            }
            text.push_str(part);
        }
        Self::Made(text.finish())
    }

    pub fn into_owned(self) -> String {
        self.as_str().to_owned()
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Piece(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl Deref for Word<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Word<'a> {
    fn from(text: &'a str) -> Self {
        Self::Piece(text)
    }
}

impl From<String> for Word<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Word<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Piece(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl<'a> From<Word<'a>> for Cow<'a, str> {
    fn from(word: Word<'a>) -> Self {
        match word {
            Word::Piece(text) => Cow::Borrowed(text),
            Word::Made(text) => Cow::Owned(text.into()),
        }
    }
}

impl PartialEq for Word<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Word<'_> {}

impl PartialEq<str> for Word<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Whether data of the media type `content_type` is JSON.
pub fn is_json(content_type: &str) -> bool {
    if content_type == "application/json" {
        return true;
    }
    let (essence, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    let Some((_, subtype)) = essence.trim().split_once('/') else { return false };
    let subtype = subtype.as_bytes();
    let suffix = subtype.get(subtype.len().saturating_sub(5)..).unwrap_or_default();
    subtype.eq_ignore_ascii_case(b"json") || suffix.eq_ignore_ascii_case(b"+json")
}

/// The most pieces of a value, which the legacy mapping needs: three pieces put in front, two quotes with a number
/// between them, and the three ranges around that number and the part that is cut out.
const MAX_PIECES: usize = 9;

/// A value as pieces to be concatenated: ranges of the body and, for the legacy mapping alone, the
/// few bytes that it puts in between. It holds no memory of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pieces<'a> {
    parts: [&'a [u8]; MAX_PIECES],
    used: usize,
    coding: Coding,
}

/// The coding that has to be undone before the pieces are the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// No coding: the pieces are the value.
    #[default]
    Plain,
    /// The pieces are a JSON string, quotes included, whose text is the value.
    JsonString,
    /// The pieces are a JSON string, quotes included, whose text is the value in base64.
    Base64,
}

impl<'a> Pieces<'a> {
    /// Returns a value that is written as a JSON string. `coding` must be one that can be undone.
    pub fn coded(coding: Coding, string: &'a str) -> Self {
        Self { coding, ..Self::from(string.as_bytes()) }
    }

    /// Adds a piece at the end; an empty one takes no place. Panics beyond nine pieces.
    pub fn push(&mut self, part: &'a [u8]) {
        if !part.is_empty() {
            self.parts[self.used] = part;
            self.used += 1;
        }
    }

    pub fn as_slice(&self) -> &[&'a [u8]] {
        &self.parts[..self.used]
    }

    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Returns the bytes of all pieces together.
    pub fn size(&self) -> usize {
        self.as_slice().iter().map(|part| part.len()).sum()
    }
}

impl<'a> From<&'a [u8]> for Pieces<'a> {
    fn from(whole: &'a [u8]) -> Self {
        let mut pieces = Self::default();
        pieces.push(whole);
        pieces
    }
}

/// One event, ready to be routed and encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's place in the delivery, from 0.
    pub index: u32,
    pub stream: Stream,
    /// The last segment of Adobe's type, in the form of topic names: `[a-z0-9-]{1,200}`.
    pub event_type: Word<'a>,
    pub munchkin_id: Option<Cow<'a, str>>,
    pub activity_type_id: Option<i64>,
    /// The Kafka record's key, as contracted for the stream; `None` without a munchkin id.
    pub key: Option<Word<'a>>,
    pub attributes: Attributes<'a>,
    /// Plain headers besides the CloudEvents attributes, in the order in which they are written.
    pub headers: Vec<(&'static str, Cow<'a, str>)>,
    /// The record's value.
    pub value: Pieces<'a>,
    /// The members of the value, where decoding was asked for them and they are the usual ones.
    pub members: Option<&'a Members<'a>>,
    /// The event's own bytes, as they stand in the body.
    pub original: &'a [u8],
    /// The state of a lead, if this item is not an event of the sender's but was derived from such.
    pub lead_state: Option<Box<LeadState<'a>>>,
}

impl Event<'_> {
    /// Returns the stream whose events it counts as; `None` for a lead's state, whose events count already.
    pub fn counts_as(&self) -> Option<Stream> {
        self.lead_state.is_none().then_some(self.stream)
    }
}

/// One element of a delivery that cannot become an event. The other elements are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    pub index: u32,
    /// A short machine-readable word, e.g. `not-an-object`, `missing-activity-type`.
    pub reason: &'static str,
    /// The problem, its place and the expected form, for people. Never quotes the payload at length.
    pub error: String,
    /// The key that its record would have had, as far as it is known.
    pub key: Option<Cow<'a, str>>,
    pub original: &'a [u8],
}

/// The result of decoding one element of a delivery.
pub type Decoded<'a> = Result<Event<'a>, Refused<'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_that_is_taken_out_leaves_the_others_in_their_order() {
        for count in 1..6 {
            for gone in 0..count {
                let named = |n: usize| (Cow::from(n.to_string()), Cow::from("v"));
                let mut extensions = (0..count).map(named).collect::<Extensions<'_>>();
                assert_eq!(extensions.take_if(&gone.to_string(), |value| value != "v"), None);
                assert_eq!(extensions.take_if(&gone.to_string(), |_| true).as_deref(), Some("v"));
                extensions.push(named(count));
                let left: Vec<_> = extensions.into_iter().collect();
                let expected: Vec<_> = (0..=count).filter(|n| *n != gone).map(named).collect();
                assert_eq!(left, expected);
            }
        }
    }

    #[test]
    fn json_is_recognised_by_the_subtype_of_a_media_type() {
        for is in
            ["application/json", "text/JSON; charset=utf-8", "application/ld+json", " a/json "]
        {
            assert!(is_json(is), "{is}");
        }
        for is_not in ["", "json", "text/plain", "application/jsonl", "text/xml;a=b/json"] {
            assert!(!is_json(is_not), "{is_not}");
        }
    }
}
