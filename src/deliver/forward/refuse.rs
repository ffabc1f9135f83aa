//! Refusing: what can't go to its topic becomes a dead letter, and what can't be a dead letter goes
//! to quarantine.

use super::{
    ForwardError, Forwarder, Now,
    letters::Stay,
    rejected::Rejected,
    take::{Sent, Taken},
    topics::TopicId,
    window::{Carries, LaneId, State},
};
use crate::{
    deliver::{dead_letter::DeadLetter, decode::Undecodable, deduplicate::Id},
    event::{Decoded, Event, Refused},
    kafka::produce::{Failure, SendError, Sink, Token, TopicState},
    source::{Origin, SourceName},
    spool::position::Position,
};

/// The reason of an event that is larger than a record may be.
pub(super) const TOO_LARGE: &str = "too-large";

/// The reason of an event whose topic would be one more than `topics.limit` allows.
pub(super) const TOPIC_LIMIT: &str = "topic-limit";

/// What a dead letter's headers take at most beside its value, and its reserve.
const LETTER_OVERHEAD: usize = 4096;

/// What is to be tried next with a refused event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A dead letter with the original bytes.
    Letter,
    /// Quarantine, and a dead letter that points there.
    Pointer,
    /// Quarantine alone.
    Quarantine,
}

/// The dead letter of a body in which no events could be found.
pub(super) fn whole_body<'a>(
    source: &'a SourceName,
    position: Position,
    undecodable: &'a Undecodable,
    body: &'a [u8],
) -> DeadLetter<'a> {
    DeadLetter {
        reason: undecodable.reason,
        error: &undecodable.error,
        source,
        origin: Origin::Sender,
        position,
        original_topic: None,
        key: None,
        original: body,
    }
}

/// The dead letter of an element that is no event.
pub(super) fn element<'a>(
    source: &'a SourceName,
    position: Position,
    refused: &'a Refused<'_>,
) -> DeadLetter<'a> {
    DeadLetter {
        reason: refused.reason,
        error: &refused.error,
        source,
        origin: Origin::Sender,
        position,
        original_topic: None,
        key: refused.key.as_deref().map(str::as_bytes),
        original: refused.original,
    }
}

/// The dead letter of an event that its topic does not take.
pub(super) fn event<'a>(
    source: &'a SourceName,
    position: Position,
    event: &'a Event<'_>,
    topic: &'a str,
    reason: &'a str,
    error: &'a str,
) -> DeadLetter<'a> {
    DeadLetter {
        reason,
        error,
        source,
        origin: Origin::Sender,
        position,
        original_topic: Some(topic),
        key: event.key.as_deref().map(str::as_bytes),
        original: event.original,
    }
}

pub(super) fn index_of(item: &Decoded<'_>) -> u32 {
    match item {
        Ok(event) => event.index,
        Err(refused) => refused.index,
    }
}

fn slot_of(
    letter: &DeadLetter<'_>,
    topic: Option<TopicId>,
    identity: Option<Id>,
    reason: &'static str,
    stage: Stage,
    size: usize,
) -> Sent {
    let carries = Carries::DeadLetter { reason, pointer: stage == Stage::Pointer };
    Sent {
        position: letter.position,
        topic,
        identity,
        size,
        carries,
        error: Some(letter.error.into()),
    }
}

impl<S: Sink> Forwarder<S> {
    /// Sends `letter` on lane `id`, or puts it into quarantine. `topic` is the event's own, as far as
    /// it is known, and `identity` what it is known by, if it is an event.
    pub(super) fn refuse(
        &mut self,
        id: LaneId,
        topic: Option<TopicId>,
        identity: Option<Id>,
        letter: &DeadLetter<'_>,
        reason: &'static str,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        let Some(token) = self.lane(id).map(|lane| lane.window.next_token()) else {
            return Ok(Taken::Wait);
        };
        let stage = if self.is_too_large(letter) { Stage::Pointer } else { Stage::Letter };
        let stage = stage.max(self.known_stage(letter.position));
        let sent = match self.letter_has_failed(letter.position) && stage != Stage::Quarantine {
            true => self.wait_or_keep(letter, now)?,
            false => self.send_letter(letter, token, stage, now)?,
        };
        Ok(match sent {
            Letter::Sent { size } => {
                self.sent(id, slot_of(letter, topic, identity, reason, stage, size), now);
                Taken::Sent
            }
            Letter::Quarantined => {
                let topic = topic.unwrap_or(self.dead_letters);
                self.settled_ahead.insert(letter.position, topic);
                self.settle_id(letter.position, identity);
                Taken::Passed
            }
            Letter::Waits => {
                let slot = slot_of(letter, topic, identity, reason, stage, 0);
                self.push(id, slot, State::Refused, now);
                let error = letter.error.into();
                let rejected = Rejected { token, reason, error, stage, anew: false };
                self.letters.waiting.push_back(rejected);
                Taken::Sent
            }
            Letter::NoRoom => self.rest(id, now),
            Letter::Wait => Taken::Wait,
        })
    }

    /// What has to be tried at least, after what failed in an earlier transaction.
    pub(super) fn known_stage(&self, position: Position) -> Stage {
        let known = self.transaction.as_ref().and_then(|it| it.refused.get(&position));
        known.map_or(Stage::Letter, |known| known.stage)
    }

    /// An event that was refused in a transaction that was taken back.
    pub(super) fn is_known_as_refused(&self, position: Position) -> Option<(&'static str, String)> {
        let known = self.transaction.as_ref()?.refused.get(&position)?;
        Some((known.reason, known.error.clone()))
    }

    /// Whether the letter would be larger than a record may be.
    pub(super) fn is_too_large(&self, letter: &DeadLetter<'_>) -> bool {
        let key = letter.key.map_or(0, <[u8]>::len);
        letter.original.len() + key + LETTER_OVERHEAD > self.sink.record_limit()
    }

    pub(super) fn send_letter(
        &mut self,
        letter: &DeadLetter<'_>,
        token: Token,
        stage: Stage,
        now: Now,
    ) -> Result<Letter, ForwardError> {
        if stage == Stage::Quarantine {
            return self.keep(letter, now);
        }
        if self.letters_rest(now) || !self.letter_may_ask(now) {
            return self.wait_or_keep(letter, now);
        }
        match self.sink.topic(&self.settings.dead_letter_topic) {
            TopicState::Ready => {}
            TopicState::Pending => {
                self.letters_are_looked_up(now);
                return self.wait_or_keep(letter, now);
            }
            TopicState::OverLimit => return self.keep(letter, now),
            TopicState::Unavailable(why) => {
                self.letters_failed(now, &why);
                return self.wait_or_keep(letter, now);
            }
        }
        let pointer = match stage {
            Stage::Pointer => Some(self.quarantine(letter, now)?),
            Stage::Letter | Stage::Quarantine => None,
        };
        let letter = &DeadLetter { origin: self.origin, ..*letter };
        let (sink, topic) = (&mut self.sink, &self.settings.dead_letter_topic);
        let trace: Vec<_> = self.encoder.of_the_delivery().collect();
        let (size, sent) = letter.with_record(topic, &trace, pointer.as_ref(), |record| {
            (record.size(), sink.send(record, token))
        });
        match sent {
            Ok(()) => {
                if self.letters.are_in_trouble() {
                    self.asks(now);
                }
                Ok(Letter::Sent { size })
            }
            Err(SendError::QueueFull) => Ok(Letter::Wait),
            Err(SendError::Failed(Failure::Fatal(_) | Failure::Purged)) => {
                self.needs_reset = true;
                Ok(Letter::Wait)
            }
            Err(SendError::Failed(Failure::Refused(_))) if pointer.is_some() => {
                Ok(Letter::Quarantined)
            }
            Err(SendError::Failed(Failure::Refused(_))) => self.keep(letter, now),
            Err(SendError::Failed(Failure::Passing(why))) => {
                self.letters_failed(now, &why);
                self.wait_or_keep(letter, now)
            }
        }
    }

    fn wait_or_keep(&mut self, letter: &DeadLetter<'_>, now: Now) -> Result<Letter, ForwardError> {
        match self.may_stay(now) {
            Stay::Waits => Ok(Letter::Waits),
            Stay::NoRoom => Ok(Letter::NoRoom),
            Stay::Quarantine => self.keep(letter, now),
        }
    }
}

/// What became of a dead letter.
pub(super) enum Letter {
    Sent {
        size: usize,
    },
    Quarantined,
    /// Dead letters can't be written now, and this one may wait for that in its lane's window.
    Waits,
    /// The same, and too many wait already.
    NoRoom,
    /// The sink is busy.
    Wait,
}
