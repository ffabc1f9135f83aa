//! Ids of events: a keyed hash of an event's munchkin id, its CloudEvents source, type and id.
//!
//! The type is part of it since senders give one id to events of several types. An earlier rule had
//! the other three alone ([`Rule`]); events delivered then are recognised for as long as they are known.
//!
//! SipHash-2-4 with 128 bits. Two events that differ share a hash once in 2^128, and without the key
//! it is not possible to look for two that do. The hashes are on disk: the bytes that are hashed, and
//! their order, never change without a new rule, which the files of ids name.

use std::{borrow::Cow, fmt};

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::event::{Event, LeadChange, LeadState, Part, Stream};

/// The additional text in the hash of a lead state; for a merge the losing lead follows.
const STATE_OF: &str = "lead-state:";

/// Keyed hash by which one event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) [u64; 2]);

/// The texts in the hash of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Munchkin id, source and id: the rule of earlier programs.
    WithoutType,
    /// As `WithoutType`, and the type between source and id.
    WithType,
}

/// The secret of the hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(super) [u8; 16]);

impl Key {
    /// The key where nothing is hashed.
    pub const NONE: Self = Self([0; 16]);

    /// `None` for an event without an id of its own: the id that it gets here is unique.
    pub fn id(&self, event: &Event<'_>) -> Option<Id> {
        let attributes = &event.attributes;
        let id = attributes.id.as_deref()?;
        let munchkin_id = event.munchkin_id.as_deref();
        let ce_type = &attributes.r#type;
        Some(self.hash([munchkin_id, Some(&attributes.source), Some(ce_type), Some(id)]))
    }

    /// The id of a part of a lead state: the texts of its event, and one text more, so that no event of a sender
    /// has the same id. `None` where its event has no id.
    pub(super) fn id_of_part(
        &self,
        event: &Event<'_>,
        state: &LeadState<'_>,
        part: &Part<'_>,
    ) -> Option<Id> {
        let id = part.id.as_deref()?;
        // A merge makes a state for each of its leads.
        let of = match &state.change {
            LeadChange::MergedInto { .. } => Cow::from(format!("{STATE_OF}{}", state.lead_id)),
            _ => STATE_OF.into(),
        };
        let munchkin_id = event.munchkin_id.as_deref();
        let source = &*part.source;
        Some(self.hash([munchkin_id, Some(source), Some(&part.r#type), Some(id), Some(&of)]))
    }

    /// The id by the earlier rule without the type. `None` where that is ambiguous: an id of the
    /// observability stream belongs to events of three types, and an undelivered one of them must not
    /// be passed over. A repeat of those is the smaller evil.
    pub(super) fn id_without_type(&self, event: &Event<'_>) -> Option<Id> {
        let attributes = &event.attributes;
        let id = attributes.id.as_deref().filter(|_| event.stream != Stream::Observability)?;
        Some(self.hash([event.munchkin_id.as_deref(), Some(&attributes.source), Some(id)]))
    }

    /// A number that distinguishes this key from others, and says nothing about it.
    pub(super) fn fingerprint(&self) -> u64 {
        self.hash([None; 3]).0[0]
    }

    /// Each text with its length before it, so that none can lend bytes to the next; an absent one
    /// has a length that no text has.
    fn hash<const COUNT: usize>(&self, texts: [Option<&str>; COUNT]) -> Id {
        use std::hash::Hasher;
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for text in texts {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hasher.write(&length.to_le_bytes());
            hasher.write(text.unwrap_or_default().as_bytes());
        }
        let hash = hasher.finish128();
        Id([hash.h1, hash.h2])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, Pieces};

    const KEY: Key = Key(*b"0123456789abcdef");

    #[test]
    fn the_hashes_on_disk_are_those_of_the_first_version() {
        let id = KEY.hash([Some("999-XYZ-000"), Some("urn:marketo_activity_stream"), Some("0b5e")]);
        assert_eq!(id, Id([0x0f73_697d_d13c_1fa8, 0x43df_1e1d_489b_6c68]));
    }

    fn event(stream: Stream, ce_type: &'static str) -> Event<'static> {
        Event {
            index: 0,
            stream,
            event_type: "clicklink".into(),
            munchkin_id: Some("999-XYZ-000".into()),
            activity_type_id: None,
            key: None,
            attributes: Attributes {
                id: Some("0b5e".into()),
                source: "urn:marketo_activity_stream".into(),
                r#type: ce_type.into(),
                ..Attributes::default()
            },
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        }
    }

    #[test]
    fn an_event_is_known_by_munchkin_id_source_type_and_id() {
        let texts = ["999-XYZ-000", "urn:marketo_activity_stream", "a.click", "0b5e"];
        let click = event(Stream::LeadActivity, "a.click");
        assert_eq!(KEY.id(&click), Some(KEY.hash(texts.map(Some))));
        assert_ne!(KEY.id(&click), KEY.id(&event(Stream::LeadActivity, "a.open")));
    }

    #[test]
    fn what_an_event_was_known_by_has_no_type_and_counts_where_that_says_enough() {
        let texts = ["999-XYZ-000", "urn:marketo_activity_stream", "0b5e"];
        let before = KEY.id_without_type(&event(Stream::LeadActivity, "a.click"));
        assert_eq!(before, Some(KEY.hash(texts.map(Some))));
        assert_eq!(KEY.id_without_type(&event(Stream::Observability, "a.metrics")), None);
    }

    #[test]
    fn each_part_and_the_key_make_a_difference() {
        let parts = [Some("a"), Some("b"), Some("c")];
        let id = KEY.hash(parts);
        for place in 0..3 {
            for other in [None, Some(""), Some("x")] {
                let mut changed = parts;
                changed[place] = other;
                assert_ne!(KEY.hash(changed), id, "{changed:?}");
            }
        }
        assert_ne!(KEY.hash([Some("ab"), Some(""), Some("c")]), id);
        assert_ne!(Key([7; 16]).hash(parts), id);
        assert_ne!(Key([7; 16]).fingerprint(), KEY.fingerprint());
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{KEY:?}"), "Key(***)");
    }
}
