//! Refusals: why an event cannot go to its topic, and what is tried with it instead.

use crate::{
    deliver::{
        dead_letter::{self, DeadLetter},
        decode::Undecodable,
    },
    event::{Decoded, Event, Refused},
    source::{Origin, SourceName},
    spool::position::Position,
};

/// The reason of an event that is larger than a record may be.
pub(super) const TOO_LARGE: &str = "too-large";

/// The reason of an event whose topic would be one more than `topics.limit` allows.
pub(super) const TOPIC_LIMIT: &str = "topic-limit";

/// The reason of a lead state that cannot be written, whatever its error says: by it a replay knows that there is no
/// event to send again.
pub(super) const LEAD_STATE: &str = dead_letter::LEAD_STATE;

/// The reason of an event that Kafka refuses for good.
pub(super) const REFUSED: &str = "refused";

/// Bytes of a dead letter beside its key and value: headers, and a reserve.
const HEADERS_RESERVE: usize = 4096;

/// The next attempt for a refused event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A dead letter with the original bytes.
    DeadLetter,
    /// Quarantine, and a dead letter that points there.
    Pointer,
    /// Quarantine alone.
    Quarantine,
}

impl Stage {
    /// The next stage after Kafka refused a dead letter for good: it is too large for its topic, most likely.
    pub fn after_refusal(self) -> Self {
        match self {
            Self::DeadLetter => Self::Pointer,
            Self::Pointer | Self::Quarantine => Self::Quarantine,
        }
    }
}

/// Whether undecodable bytes may be sent. Rules on fields were applied to events only: in other bytes no rule can find
/// its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Originals {
    /// There are no rules.
    MayBeSent,
    /// They go to quarantine, and the dead letter points there.
    StayHere,
}

/// A refused event, or a body without events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    /// A short word for programs.
    pub reason: &'static str,
    /// A sentence for the operator.
    pub error: &'a str,
    pub position: Position,
    /// The event's own topic, as far as it is known.
    topic: Option<&'a str>,
    key: Option<&'a [u8]>,
    original: &'a [u8],
    originals: Originals,
}

impl<'a> Refusal<'a> {
    /// Refuses a body in which no events could be found.
    pub fn of_body(
        position: Position,
        undecodable: &'a Undecodable,
        body: &'a [u8],
        originals: Originals,
    ) -> Self {
        let Undecodable { reason, error } = undecodable;
        Self { reason, error, position, topic: None, key: None, original: body, originals }
    }

    /// Refuses an element that is no event, or that a rule on fields could not be applied to.
    pub fn of_element(position: Position, refused: &'a Refused<'_>, originals: Originals) -> Self {
        Self {
            reason: refused.reason,
            error: &refused.error,
            position,
            topic: None,
            key: refused.key.as_deref().map(str::as_bytes),
            original: refused.original,
            originals,
        }
    }

    /// Refuses an event that its topic does not take. Its original has been screened.
    pub fn of_event(
        position: Position,
        event: &'a Event<'_>,
        topic: &'a str,
        reason: &'static str,
        error: &'a str,
    ) -> Self {
        let key = event.key.as_deref().map(str::as_bytes);
        let reason = if event.lead_state.is_some() { LEAD_STATE } else { reason };
        let original = event.original;
        let originals = Originals::MayBeSent;
        Self { reason, error, position, topic: Some(topic), key, original, originals }
    }

    /// The first attempt, where records have at most `limit` bytes.
    pub fn first_stage(&self, limit: usize) -> Stage {
        let key = self.key.map_or(0, <[u8]>::len);
        let is_too_large = self.original.len() + key + HEADERS_RESERVE > limit;
        let stays = self.originals == Originals::StayHere;
        if is_too_large || stays { Stage::Pointer } else { Stage::DeadLetter }
    }

    pub fn letter(&self, source: &'a SourceName, origin: Origin) -> DeadLetter<'a> {
        DeadLetter {
            reason: self.reason,
            error: self.error,
            source,
            origin,
            position: self.position,
            original_topic: self.topic,
            key: self.key,
            original: self.original,
        }
    }
}

/// The reason that a checkpoint names. The reason of an undecodable element is found again when it is decoded.
pub(super) fn reason_named(name: &str) -> &'static str {
    [TOO_LARGE, TOPIC_LIMIT].into_iter().find(|reason| *reason == name).unwrap_or(REFUSED)
}

/// An item's index in its delivery.
pub(super) fn index_of(item: &Decoded<'_>) -> u32 {
    match item {
        Ok(event) => event.index,
        Err(refused) => refused.index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_larger_than_a_record_is_pointed_at_and_a_refused_pointer_stays_in_quarantine() {
        let undecodable = Undecodable { reason: "not-json", error: "a comma is missing".into() };
        let body = [b'x'; 6000];
        let of =
            |originals| Refusal::of_body(Position::start_of(1), &undecodable, &body, originals);
        let refusal = of(Originals::MayBeSent);
        assert_eq!(refusal.first_stage(20_000), Stage::DeadLetter);
        assert_eq!(of(Originals::StayHere).first_stage(20_000), Stage::Pointer);
        let stage = refusal.first_stage(10_000);
        assert_eq!(stage, Stage::Pointer);
        assert_eq!(stage.after_refusal(), Stage::Quarantine);
    }

    #[test]
    fn only_reasons_that_decoding_does_not_find_again_are_taken_from_a_checkpoint() {
        let named = ["too-large", "topic-limit", "not-json"].map(reason_named);
        assert_eq!(named, [TOO_LARGE, TOPIC_LIMIT, REFUSED]);
    }
}
