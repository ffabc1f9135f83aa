//! Rules on fields: values that no reader may see are dropped, masked, or replaced by an HMAC, while the event is still
//! only bytes in the spool.
//!
//! A delivery is [screened](screen): its body is copied with the named fields changed and every other byte where the
//! sender put it, and only then decoded. So everything made of an event (value, headers, flat fields, the original in a
//! dead letter, the API's view) is made of the screened body, and there is no second place that could forget a rule.
//!
//! The promise: a field that a rule names is in no record. Where it is unknown whether the field is there (text that
//! may hold JSON, data that is no JSON, attributes of an odd form) the event is refused with the reason [`HELD_BACK`].
//! A refused event, for this reason or another, is not well understood: while a source has rules, the forwarder
//! sends none of its bytes, but a pointer to the quarantine (`forward/refusal.rs`).
//!
//! Names are compared by their letters and digits alone, in lower case, and as JSON has them unescaped: `Client IP
//! Address`, `clientIpAddress` and `client_ip_address` are one name. A rule that changes too much is seen at once, one that
//! changes too little is not. A rule by name on a lead's field covers the values of a change of that field, too, which have
//! other names (`changed.rs`).
//!
//! Without rules a body is borrowed unchanged.

mod changed;
mod edit;
mod key;
mod nested;
mod rule;
mod strictest;
mod walk;

use std::{borrow::Cow, fmt, sync::Arc};

use self::{
    edit::Edits,
    walk::{walk, walk_beside},
};
use super::{Memory, Rules, Undecodable, decode, decode_with};
use crate::{
    event::{Decoded, Event, Refused, is_json},
    source::{SourceKind, SourceName},
};

pub use key::{Encoding, HmacKey, KEY_LENGTH};
pub use rule::{Action, Effect, Rule, Target, TargetError, TypePattern, folded};

/// The reason of an event that a rule could not be applied to.
pub const HELD_BACK: &str = "field-rule";

/// The replacement of a masked value.
pub const MASK: &str = "***";

/// Rules on fields, in the order of their names. Clones share them, and their keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Arc<[Rule]>);

impl Fields {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into())
    }

    /// The rules for events of `source`.
    pub fn of(&self, source: &SourceName) -> Self {
        Self(self.0.iter().filter(|rule| rule.is_for_source(source)).cloned().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// The effect on the member or attribute with the sender's name `written` at the top of the data of events of
    /// `stream`, in all of them or, with `event_type`, in those of one type. The strictest rule counts.
    pub fn effect(
        &self,
        stream: crate::event::Stream,
        event_type: Option<&str>,
        (written, is_attribute): (&str, bool),
    ) -> Option<Effect> {
        let effects = self.iter().filter_map(|rule| {
            let names = rule.target.names(written, is_attribute);
            names.then(|| rule.effect(stream, event_type)).flatten()
        });
        effects.max()
    }
}

/// Shows the names of the rules, and nothing of their keys.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|rule| &rule.name)).finish()
    }
}

/// Origin of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// From a sender, or from the spool: unchanged.
    FromSender,
    /// From a record of ours, which has been screened: text in the form of our HMAC is one, and stays.
    Screened,
}

/// A body with the rules applied to it.
#[derive(Debug)]
pub struct Screened<'a> {
    body: Cow<'a, [u8]>,
    /// Elements that a rule could not be applied to, by their places, with the errors.
    held: Vec<(u32, String)>,
    members: Memory,
}

/// Applies the rules to `body`, a delivery of a source of `kind`.
pub fn screen<'a>(
    kind: SourceKind,
    rules: &Rules,
    body: &'a [u8],
    headers: &[(String, String)],
    came: Came,
) -> Screened<'a> {
    let unchanged =
        Screened { body: Cow::Borrowed(body), held: Vec::new(), members: Memory::default() };
    if rules.fields.is_empty() {
        return unchanged;
    }
    let mut items = Vec::new();
    // An undecodable body is refused, and then none of its bytes is sent.
    if decode(kind, rules, body, headers, &mut items).is_err() {
        return unchanged;
    }
    let mut edits = Edits::new(came);
    let mut held = Vec::new();
    for event in items.iter().flatten() {
        let before = edits.len();
        if let Err(why) = screen_event(kind, &rules.fields, event, body, &mut edits) {
            edits.truncate(before);
            held.push((event.index, why));
        }
    }
    Screened { body: edits.applied_to(body), held, ..unchanged }
}

fn screen_event(
    kind: SourceKind,
    fields: &Fields,
    event: &Event<'_>,
    body: &[u8],
    edits: &mut Edits,
) -> Result<(), String> {
    let all = || fields.iter().filter(|rule| rule.is_for_type(event.stream, &event.event_type));
    let Some(first) = all().next() else { return Ok(()) };
    let content_type = event.attributes.datacontenttype.as_deref();
    if !content_type.is_none_or(is_json) && event.value.size() > 0 {
        return Err(first.cannot("its data is no JSON"));
    }
    walk(kind, all(), event.original, body, edits).map_err(|held| held.to_string())
}

impl Screened<'_> {
    /// The body, as far as it may be shown: `None` where an event of it is held back, or would be refused. Members
    /// beside the events reach no record, but are shown: each rule counts for them, for any type.
    pub fn shown(
        &self,
        kind: SourceKind,
        rules: &Rules,
        headers: &[(String, String)],
    ) -> Option<Cow<'_, [u8]>> {
        if rules.fields.is_empty() {
            return Some(Cow::Borrowed(&self.body));
        }
        let mut items = Vec::new();
        let decoded = self.decode(kind, rules, headers, &mut items);
        if decoded.is_err() || !items.iter().all(Result::is_ok) {
            return None;
        }
        let mut edits = Edits::new(Came::FromSender);
        let all = rules.fields.iter();
        walk_beside(kind, all, &self.body, !items.is_empty(), &mut edits).ok()?;
        Some(edits.applied_to(&self.body))
    }

    /// Uses `memory` for the members of its events.
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { members: memory, ..self }
    }

    /// That memory, for the next body.
    pub fn into_memory(self) -> Memory {
        self.members.emptied()
    }

    /// Does what [`decode`] does, with the screened body; events come with their members if the rules say so.
    pub fn decode<'a>(
        &'a self,
        kind: SourceKind,
        rules: &'a Rules,
        headers: &[(String, String)],
        out: &mut Vec<Decoded<'a>>,
    ) -> Result<(), Undecodable> {
        let members = rules.hand_over.then_some(&self.members);
        decode_with(kind, rules, &self.body, headers, members, out)?;
        for (index, why) in &self.held {
            // Places are those of the elements: none was removed.
            let Some(item) = out.get_mut(*index as usize) else { continue };
            let Ok(event) = item else { continue };
            let refused = Refused {
                index: *index,
                reason: HELD_BACK,
                error: why.clone(),
                key: event.key.take().map(Into::into),
                original: event.original,
            };
            *item = Err(refused);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
