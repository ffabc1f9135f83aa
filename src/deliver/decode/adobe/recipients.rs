//! Recipients: whether a body is meant for us, for a caller that must know it before it keeps or uses the body.
//!
//! Adobe I/O signs the bodies of all of its customers with the same keys. An event is meant for us if its
//! envelope, or the event itself, names one of our client ids as the recipient, and if no other recipient
//! stands anywhere in it: in no spelling, at no depth, behind no number of others, not even in `data`. Text
//! is not searched: JSON or base64 inside of a string is never taken for an event.
//!
//! The check finds a body malformed exactly where [`decode`](crate::deliver::decode::decode) does, since it reads
//! with the same cursor, and the decoder makes the extension `recipientclientid` only of members that the check
//! compares. So every body that passes reaches consumers with a recipient of ours; only events that may be
//! [`Unnamed`] have none.
//! It is one pass, and takes no memory for a body that is ours and escapes nothing in names of members.

use std::collections::HashSet;

use super::layer::{Element, MAX_LAYERS, each, is_observability};
use crate::deliver::decode::{
    Undecodable,
    json::{self, Cursor, Name},
    scalar::Scalar,
};

/// The members that name a recipient.
pub(super) const RECIPIENT_MEMBERS: [&str; 2] = ["recipientclientid", "recipient_client_id"];

/// Bytes of the longest of these names, quoted, with each letter escaped.
const LONGEST_QUOTED: usize = 2 + 6 * RECIPIENT_MEMBERS[1].len();

/// Characters of a foreign name in an error.
const MAX_SHOWN_CHARS: usize = 64;

/// The verdict on events that name no recipient at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// They are not known to be ours, except those of the observability stream.
    Refused,
    /// They come from our own journal.
    Allowed,
}

/// The reason why a body is not known to be meant for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// A value that is neither text nor a number is quoted as it is spelled.
    #[error("event {index} is for `{name}`")]
    Foreign { index: u32, name: String },
    #[error("event {index} names no recipient")]
    Unnamed { index: u32 },
    #[error("{} ({})", .0.error, .0.reason)]
    Unreadable(Undecodable),
}

impl NotOurs {
    /// A short word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Foreign { .. } | Self::Unnamed { .. } => "foreign-recipient",
            Self::Unreadable(_) => "recipient-unreadable",
        }
    }
}

/// Whether each event of `body` is meant for one of `client_ids`.
///
/// [`NotOurs::Unreadable`] comes with the error that `decode` has for this body, and comes first: a body
/// that is not well-formed says nothing. An element that is no object is no event, and names no
/// recipient: it has to stand beside an event that names us.
pub fn check_recipients(
    body: &[u8],
    client_ids: &HashSet<String>,
    unnamed: Unnamed,
) -> Result<(), NotOurs> {
    let mut found = Found::default();
    let mut read = |index: u32, cursor: &mut Cursor<'_>| {
        let mut seen = Seen { client_ids, layers: Default::default(), foreign: None };
        let is_object = cursor.peek() == Some(b'{');
        let element = match is_object {
            true => seen.envelope(cursor, 0, true)?,
            false => cursor.skip_seeing(|name, rest| seen.member(name, rest))?,
        };
        let names_us = seen.names_us();
        found.names_us |= names_us;
        if let Some(name) = seen.foreign {
            found.foreign.get_or_insert(NotOurs::Foreign { index, name });
        } else if !is_object {
            found.no_object.get_or_insert(NotOurs::Unnamed { index });
        } else if !names_us && unnamed == Unnamed::Refused && !may_be_unnamed(element) {
            found.unnamed.get_or_insert(NotOurs::Unnamed { index });
        }
        Ok(())
    };
    let text = json::text(body).map_err(NotOurs::Unreadable)?;
    each(text, &mut read).map_err(NotOurs::Unreadable)?;
    found.verdict(unnamed)
}

/// The first finding of each kind in a body.
#[derive(Default)]
struct Found {
    names_us: bool,
    foreign: Option<NotOurs>,
    unnamed: Option<NotOurs>,
    no_object: Option<NotOurs>,
}

impl Found {
    fn verdict(self, unnamed: Unnamed) -> Result<(), NotOurs> {
        let no_object = self.no_object.filter(|_| unnamed == Unnamed::Refused && !self.names_us);
        self.foreign.or(self.unnamed).or(no_object).map_or(Ok(()), Err)
    }
}

/// Whether an element without a recipient may be observability, which comes without one. The decoder has to agree, so
/// no element that it refuses for a doubt (a member that stands twice) passes for observability.
fn may_be_unnamed(element: &str) -> bool {
    let element = Element::read(&mut Cursor::new(element), None);
    let Some(outermost) = element.ok().and_then(|element| element.layer) else { return false };
    let is_clear = outermost.all().all(|layer| layer.twice.is_none() && !layer.too_many);
    is_clear && is_observability(&outermost)
}

/// The recipients found in one element.
struct Seen<'c> {
    client_ids: &'c HashSet<String>,
    /// The layers that the decoder follows, from the outside in: each is the first object that stands in the
    /// `event` or the `body` of the one before.
    layers: [LayerSeen; MAX_LAYERS],
    /// The first recipient, anywhere, that is none of ours.
    foreign: Option<String>,
}

/// The deciding members of one layer of an envelope.
#[derive(Clone, Copy, Default)]
struct LayerSeen {
    names_us: bool,
    has_specversion: bool,
    has_type: bool,
}

impl Seen<'_> {
    /// Whether one of our ids is named by the event or its envelope, where the decoder finds it
    /// ([`cloud_event`](super::layer::cloud_event)). Objects inside of the event do not count.
    fn names_us(&self) -> bool {
        let with = |has: fn(&LayerSeen) -> bool| self.layers.iter().position(has);
        let event = with(|layer| layer.has_specversion).or_else(|| with(|layer| layer.has_type));
        let around = &self.layers[..=event.unwrap_or(MAX_LAYERS - 1)];
        around.iter().any(|layer| layer.names_us)
    }

    /// Reads the object at the cursor, with `depth` layers around it, as the decoder does
    /// ([`Layer`](super::layer::Layer)); `is_followed` says whether the decoder looks for events in it.
    fn envelope<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        depth: usize,
        is_followed: bool,
    ) -> Result<&'a str, Undecodable> {
        let mut layer = LayerSeen::default();
        let mut follows_next = is_followed;
        let range = cursor.object(|cursor, member| {
            let is_object = cursor.peek() == Some(b'{');
            let text = member.text();
            match text.as_deref() {
                Some("event" | "body") if is_object && depth + 1 < MAX_LAYERS => {
                    let follows = std::mem::take(&mut follows_next);
                    return self.envelope(cursor, depth + 1, follows).map(drop);
                }
                Some("data") if is_object => return self.data(cursor),
                Some("specversion") => layer.has_specversion = true,
                Some("type") => layer.has_type = true,
                Some(name) if RECIPIENT_MEMBERS.contains(&name) => {
                    layer.names_us |= self.recipient(cursor.rest());
                }
                _ => {}
            }
            cursor.skip_seeing(|name, rest| self.member(name, rest)).map(drop)
        })?;
        if is_followed {
            self.layers[depth] = layer;
        }
        Ok(range)
    }

    fn data(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Undecodable> {
        let members = cursor.object(|cursor, name| {
            self.member(name, cursor.rest());
            cursor.skip_seeing(|name, rest| self.member(name, rest)).map(drop)
        });
        members.map(drop)
    }

    /// Checks a member at any depth; `rest` is the body from its value on.
    fn member(&mut self, name: Name<'_>, rest: &str) {
        if name.quoted.len() <= LONGEST_QUOTED
            && name.text().is_some_and(|name| RECIPIENT_MEMBERS.contains(&&*name))
        {
            self.recipient(rest);
        }
    }

    /// Checks the recipient at the beginning of `rest`; whether it is one of ours.
    fn recipient(&mut self, rest: &str) -> bool {
        let mut cursor = Cursor::new(rest);
        let spelled = match cursor.peek() {
            // Not read to its end: nested ones would be read again and again.
            Some(b'{') => "{…}",
            Some(b'[') => "[…]",
            // The reader of the element reports a malformed value.
            _ => cursor.skip().unwrap_or("null"),
        };
        let (name, is_ours) = match Scalar::of(Some(spelled)) {
            Scalar::Absent => return false,
            Scalar::Text(id) if self.client_ids.contains(&*id) => return true,
            Scalar::Text(id) => (id, false),
            Scalar::Number(spelled) => (spelled.into(), self.client_ids.contains(spelled)),
            Scalar::Unusable => (spelled.into(), false),
        };
        if !is_ours && self.foreign.is_none() {
            let shown = name.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS);
            self.foreign = Some(shown.collect());
        }
        is_ours
    }
}
