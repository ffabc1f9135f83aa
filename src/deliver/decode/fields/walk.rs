//! Finds the fields of one element that rules name, and notes the edits.
//!
//! One pass over an element that is known to be well-formed. An activity of Marketo's is data as a whole; the
//! data of a CloudEvent is in an envelope, in which `data`, `event` and `body` lead on, and rules by name may change
//! every other member except those that CloudEvents needs.

mod attributes;

use std::{fmt, ops::Range};

use smallvec::SmallVec;

use super::{
    Action, Rule, Target,
    changed::{Changed, is_value},
    edit::{Edits, Span},
    nested,
    rule::{ATTRIBUTES, OF_THE_ENVELOPE, is_called},
    strictest::{Strictest, stricter},
};
use crate::{
    deliver::decode::{
        Undecodable,
        json::{BYTE_ORDER_MARK, Cursor, Name},
    },
    source::SourceKind,
};

/// A rule that cannot be applied.
#[derive(Debug)]
pub(super) struct Held {
    rule: String,
    why: &'static str,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule fields.{} cannot be applied: {}", self.rule, self.why)
    }
}

/// Applies `rules` to `element`, a piece of `body`.
pub(super) fn walk<'r>(
    kind: SourceKind,
    rules: impl Iterator<Item = &'r Rule>,
    element: &[u8],
    body: &[u8],
    edits: &mut Edits,
) -> Result<(), Held> {
    let place = match kind {
        SourceKind::MarketoLeadActivity => Place::Data,
        SourceKind::AdobeIo => Place::Envelope,
    };
    walk_from(place, rules, element, body, edits)
}

/// Applies `rules` to the members of a whole `body` beside its events, if it has any.
pub(super) fn walk_beside<'r>(
    kind: SourceKind,
    rules: impl Iterator<Item = &'r Rule>,
    body: &[u8],
    has_events: bool,
    edits: &mut Edits,
) -> Result<(), Held> {
    match kind {
        SourceKind::MarketoLeadActivity => walk_from(Place::Push, rules, body, body, edits),
        // A challenge. Around events there are only brackets.
        SourceKind::AdobeIo if !has_events => walk_from(Place::Envelope, rules, body, body, edits),
        SourceKind::AdobeIo => Ok(()),
    }
}

fn walk_from<'r>(
    place: Place,
    rules: impl Iterator<Item = &'r Rule>,
    element: &[u8],
    body: &[u8],
    edits: &mut Edits,
) -> Result<(), Held> {
    let mut paths = Live::new();
    let mut by_name = Vec::new();
    for rule in rules {
        match &rule.target {
            Target::Path(names) => paths.push((rule, names.as_slice())),
            Target::Attribute(name) => by_name.push((rule, name.as_str())),
        }
    }
    let first = paths.first().map(|(rule, _)| *rule).or_else(|| Some(by_name.first()?.0));
    let Some(first) = first else { return Ok(()) };
    // The bytes are pieces of a body that was decoded, so they are UTF-8.
    let element = std::str::from_utf8(element).unwrap_or_default();
    let element = element.strip_prefix(BYTE_ORDER_MARK).unwrap_or(element);
    let base = element.as_ptr().addr() - body.as_ptr().addr();
    let changed = Changed::of(&by_name, element);
    let mut walk =
        Walk { element, base, paths, by_name, first, edits, held: None, changed, about: None };
    let mut cursor = Cursor::new(element);
    let live = match place {
        Place::Envelope => Live::new(),
        Place::Push | Place::Data | Place::Attributes => walk.paths.clone(),
    };
    let whole = walk.value(&mut cursor, &live, place);
    if whole.is_err() {
        walk.hold(first, "it cannot be read to its end");
    }
    walk.held.map_or(Ok(()), Err)
}

/// Whether `rules` by name find anything in `text`; `None` if it is no JSON.
pub(super) fn finds<'r>(by_name: &[(&'r Rule, &'r str)], text: &str) -> Option<Option<&'r Rule>> {
    let Some((first, _)) = by_name.first() else { return Some(None) };
    let mut edits = Edits::new(super::Came::FromSender);
    let paths = Live::new();
    let by_name = by_name.to_vec();
    let element = text;
    let edits = &mut edits;
    let changed = Changed::of(&by_name, element);
    let mut walk =
        Walk { element, base: 0, paths, by_name, first, edits, held: None, changed, about: None };
    let mut cursor = Cursor::new(text);
    walk.value(&mut cursor, &Live::new(), Place::Data).ok()?;
    cursor.peek().is_none().then_some(())?;
    let found = walk.held.is_some() || walk.edits.len() > 0;
    Some(found.then_some(*first))
}

/// Rules by path that may still match, each with its remaining names; at least one.
type Live<'r> = SmallVec<[(&'r Rule, &'r [String]); 4]>;

/// Returns the strictest of the rules that end at a member, and those that lead on into it. `is_called` is about its name.
fn behind<'r>(live: &Live<'r>, is_called: impl Fn(&str) -> bool) -> (Option<&'r Rule>, Live<'r>) {
    let (mut ends, mut on) = (None, Live::new());
    for (rule, names) in live {
        match names {
            [last] if is_called(last) => ends = stricter(ends, rule),
            [first, left @ ..] if is_called(first) => on.push((rule, left)),
            _ => {}
        }
    }
    (ends, on)
}

/// Kind of the value that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body of a push, whose activities are elements by themselves.
    Push,
    /// An object around the data of a CloudEvent.
    Envelope,
    /// The data, or a value in it.
    Data,
    /// The value of a member called `attributes`.
    Attributes,
}

struct Walk<'a, 'r, 'e> {
    element: &'a str,
    /// Offset of the element in its body.
    base: usize,
    paths: Live<'r>,
    by_name: Vec<(&'r Rule, &'r str)>,
    /// The rule to name in an error where any of them could be meant.
    first: &'r Rule,
    edits: &'e mut Edits,
    held: Option<Held>,
    changed: Changed<'r>,
    /// The rule on the values of the field that a surrounding object is about.
    about: Option<&'r Rule>,
}

type Read = Result<(), Undecodable>;

impl<'a, 'r> Walk<'a, 'r, '_> {
    fn hold(&mut self, rule: &Rule, why: &'static str) {
        self.held.get_or_insert_with(|| Held { rule: rule.name.clone(), why });
    }

    /// Offset of `part`, a piece of the element, in the body.
    fn at(&self, part: &str) -> usize {
        self.base + (part.as_ptr().addr() - self.element.as_ptr().addr())
    }

    fn range(&self, part: &str) -> Range<usize> {
        let start = self.at(part);
        start..start + part.len()
    }

    /// Reads the value at the cursor, with the rules that lead into it.
    fn value(&mut self, cursor: &mut Cursor<'a>, live: &Live<'r>, place: Place) -> Read {
        match cursor.peek() {
            Some(b'{') => self.object(cursor, live, place),
            Some(b'[') => self.array(cursor, live, place),
            Some(b'"') => {
                let spelled = cursor.skip()?;
                self.text(spelled, live, place);
                Ok(())
            }
            _ => cursor.skip().map(drop),
        }
    }

    /// Checks text where a rule expected another kind of value.
    fn text(&mut self, spelled: &'a str, live: &Live<'r>, place: Place) {
        if spelled == "\"\"" {
            return;
        }
        if let Some((rule, _)) = live.first() {
            return self.hold(rule, "its path leads into text");
        }
        if let (Place::Attributes, Some((rule, _))) = (place, self.by_name.first()) {
            return self.hold(rule, "`attributes` is text");
        }
        if let Some(rule) = nested::found(spelled, &self.by_name) {
            self.hold(rule, "it may be in text that has the form of JSON");
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'a>, live: &Live<'r>, place: Place) -> Read {
        let about = self.changed.at(self.at(cursor.rest()) - self.base);
        let around = self.about;
        self.about = about.or(around);
        let mut spans = SmallVec::<[Span; 16]>::new();
        cursor.object(|cursor, name| {
            let is_dropped = self.member(cursor, name, live, place)?;
            let range = self.at(name.quoted)..self.at(cursor.rest());
            spans.push(Span { range, is_dropped });
            Ok(())
        })?;
        self.about = around;
        self.edits.drop_of(&spans);
        Ok(())
    }

    /// The rule on the values of the changed field, if `name` is that of such a value.
    fn changed_by(&self, name: &str) -> Option<&'r Rule> {
        self.about.filter(|_| is_value(name))
    }

    /// Reads one member, with the cursor at its value. `true` if it is to be dropped.
    fn member(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: Name<'a>,
        live: &Live<'r>,
        place: Place,
    ) -> Result<bool, Undecodable> {
        let Some(text) = name.text() else {
            self.hold(self.first, "a name is no Unicode");
            return cursor.skip().map(|_| false);
        };
        if place == Place::Envelope {
            return self.member_of_envelope(cursor, &text);
        }
        if place == Place::Push && text == "activities" {
            return cursor.skip().map(|_| false);
        }
        let mut found = self.by_name.iter().strictest(|(_, name)| is_called(&text, name));
        if let Some(rule) = self.changed_by(&text) {
            found = stricter(found, rule);
        }
        let (ends, next) = behind(live, |name| is_called(&text, name));
        if let Some(rule) = ends.map_or(found, |rule| stricter(found, rule)) {
            let spelled = cursor.skip()?;
            return Ok(self.apply(rule, spelled));
        }
        let place = if is_called(&text, ATTRIBUTES) { Place::Attributes } else { Place::Data };
        self.value(cursor, &next, place)?;
        Ok(false)
    }

    fn member_of_envelope(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: &str,
    ) -> Result<bool, Undecodable> {
        let none = Live::new();
        let is = |known| is_called(name, known);
        if is("data") {
            let paths = self.paths.clone();
            if cursor.peek() == Some(b'"') {
                self.unreadable(cursor.skip()?, "its data is text");
                return Ok(false);
            }
            self.value(cursor, &paths, Place::Data)?;
        } else if is("database64") {
            self.unreadable(cursor.skip()?, "its data is in base64");
        } else if is("event") || is("body") {
            match cursor.peek() {
                Some(b'{' | b'[') => self.value(cursor, &none, Place::Envelope)?,
                _ => {
                    let spelled = cursor.skip()?;
                    if nested::may_be_json(spelled) {
                        self.unreadable(spelled, "the event may be in text");
                    }
                }
            }
        } else if OF_THE_ENVELOPE.iter().any(|known| is(known)) {
            cursor.skip()?;
        } else if let Some(rule) = self.by_name.iter().strictest(|(_, it)| is_called(name, it)) {
            let spelled = cursor.skip()?;
            return Ok(self.apply(rule, spelled));
        } else {
            let place = if is(ATTRIBUTES) { Place::Attributes } else { Place::Data };
            self.value(cursor, &none, place)?;
        }
        Ok(false)
    }

    /// Holds the event back for a value in which rules cannot search, unless it is empty.
    fn unreadable(&mut self, spelled: &str, why: &'static str) {
        if spelled.starts_with(['"', '{', '[']) && spelled != "\"\"" {
            self.hold(self.first, why);
        }
    }

    fn array(&mut self, cursor: &mut Cursor<'a>, live: &Live<'r>, place: Place) -> Read {
        let mut spans = SmallVec::<[Span; 16]>::new();
        cursor.array(|cursor| {
            let is_object = cursor.peek() == Some(b'{');
            let start = self.at(cursor.rest());
            let is_dropped = match place {
                Place::Envelope => {
                    self.value(cursor, live, place)?;
                    false
                }
                _ if is_object => self.element(cursor, live, place)?,
                Place::Attributes if self.looks_into_attributes(live) => {
                    cursor.skip()?;
                    self.hold(self.first, "an element of `attributes` is no object");
                    false
                }
                _ => {
                    self.value(cursor, live, place)?;
                    false
                }
            };
            spans.push(Span { range: start..self.at(cursor.rest()), is_dropped });
            Ok(())
        })?;
        self.edits.drop_of(&spans);
        Ok(())
    }

    fn looks_into_attributes(&self, live: &Live<'r>) -> bool {
        !live.is_empty() || !self.by_name.is_empty()
    }

    /// Applies a rule to a member. `true` if it is to be dropped.
    fn apply(&mut self, rule: &Rule, spelled: &'a str) -> bool {
        if rule.action == Action::Drop {
            return true;
        }
        let range = self.range(spelled);
        self.edits.change(&rule.action, spelled, range);
        false
    }
}
