//! Ids of events: a keyed hash of an event's munchkin id, its CloudEvents source, type and id.
//!
//! The type is part of it since senders give one id to events of several types. An earlier rule had
//! the other three alone ([`Rule`]); events delivered then are recognised for as long as they are known.
//!
//! SipHash-2-4 with 128 bits. Two events that differ share a hash once in 2^128, and without the key
//! it is not possible to look for two that do. The hashes are on disk: the bytes that are hashed, and
//! their order, never change without a new rule, which the files of ids name.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::event::{Event, LeadChange, LeadState, Part, Stream};

/// The additional text in the hash of a lead state; for a merge the losing lead follows.
const STATE_OF: &str = "lead-state:";

/// The text that each digest begins with.
const DIGEST_OF: &[u8] = b"millrace event 1\n";

/// Keyed hash by which one event is known on this volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) [u64; 2]);

/// Hash without a secret by which one event is known on all replicas (decision 29).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub(super) [u8; 16]);

/// The hashes to be remembered once an event is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(super) id: Id,
    /// The hash for the other replicas, if they are told.
    pub(super) digest: Option<Digest>,
}

impl Identity {
    /// Removes the hash for other replicas: the event is settled by bytes that lie on this volume alone.
    pub fn of_this_volume(self) -> Self {
        Self { digest: None, ..self }
    }
}

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
        texts_of(event).map(|texts| self.hash(texts))
    }

    /// The id of a part of a lead state: the texts of its event, and one text more, so that no event of a sender
    /// has the same id. `None` where its event has no id.
    pub(super) fn id_of_part(
        &self,
        event: &Event<'_>,
        state: &LeadState<'_>,
        part: &Part<'_>,
    ) -> Option<Id> {
        with_texts_of_part(event, state, part, |texts| self.hash(texts))
    }

    /// The id of a digest in the index: hashed with the secret once more, so that a sender who chooses ids chooses no
    /// places in it. No text has the length that this one begins with.
    pub(super) fn id_of_digest(&self, digest: Digest) -> Id {
        use std::hash::Hasher;
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&(u64::MAX - 1).to_le_bytes());
        hasher.write(&digest.0);
        let hash = hasher.finish128();
        Id([hash.h1, hash.h2])
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

impl Digest {
    /// `None` for an event without an id of its own.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        texts_of(event).map(digest)
    }

    /// The same for a part of a lead's state.
    pub(super) fn of_part(
        event: &Event<'_>,
        state: &LeadState<'_>,
        part: &Part<'_>,
    ) -> Option<Self> {
        with_texts_of_part(event, state, part, digest)
    }
}

/// The texts in the hash of an event.
fn texts_of<'a>(event: &'a Event<'_>) -> Option<[Option<&'a str>; 4]> {
    let attributes = &event.attributes;
    let id = attributes.id.as_deref()?;
    let (munchkin_id, ce_type) = (event.munchkin_id.as_deref(), &*attributes.r#type);
    Some([munchkin_id, Some(&*attributes.source), Some(ce_type), Some(id)])
}

/// Calls `then` with the texts in the hash of a part of a lead state.
fn with_texts_of_part<T>(
    event: &Event<'_>,
    state: &LeadState<'_>,
    part: &Part<'_>,
    then: impl FnOnce([Option<&str>; 5]) -> T,
) -> Option<T> {
    let id = part.id.as_deref()?;
    // A merge makes a state for each of its leads.
    let of = match &state.change {
        LeadChange::MergedInto { .. } => Cow::from(format!("{STATE_OF}{}", state.lead_id)),
        _ => STATE_OF.into(),
    };
    let (munchkin_id, source) = (event.munchkin_id.as_deref(), &*part.source);
    Some(then([munchkin_id, Some(source), Some(&part.r#type), Some(id), Some(&of)]))
}

/// The first half of the SHA-256 of the texts, written as [`Key::hash`] writes them. Digests are on a topic that programs
/// of several versions read: the bytes, and their order, never change without another rule in the record.
fn digest<const COUNT: usize>(texts: [Option<&str>; COUNT]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DIGEST_OF);
    for text in texts {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        context.update(&length.to_le_bytes());
        context.update(text.unwrap_or_default().as_bytes());
    }
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    Digest(half)
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
    fn the_digests_on_the_topic_are_those_of_the_first_version() {
        let of = Digest::of(&event(Stream::LeadActivity, "a.click")).unwrap();
        let mut bytes = DIGEST_OF.to_vec();
        for text in ["999-XYZ-000", "urn:marketo_activity_stream", "a.click", "0b5e"] {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        assert_eq!(of.0, digest::digest(&digest::SHA256, &bytes).as_ref()[..16]);
        assert_eq!(of.0[..4], [0xc5, 0xb5, 0xbb, 0x8b], "{:02x?}", of.0);
        assert_ne!(Digest::of(&event(Stream::LeadActivity, "a.open")), Some(of));
    }

    #[test]
    fn in_the_index_a_digest_has_a_place_that_the_secret_chooses() {
        let one = Digest([7; 16]);
        assert_ne!(KEY.id_of_digest(one), Key([7; 16]).id_of_digest(one));
        assert_ne!(KEY.id_of_digest(one), KEY.id_of_digest(Digest([8; 16])));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{KEY:?}"), "Key(***)");
    }
}
