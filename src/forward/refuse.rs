//! Refusing: what can't go to its topic becomes a dead letter, and what can't be a dead letter goes
//! to quarantine.

use super::{
    ForwardError, Forwarder, Now,
    letters::Stay,
    take::{Sent, Taken},
    topics::TopicId,
    window::{Carries, LaneId, State},
};
use crate::{
    dead_letter::DeadLetter,
    decode::{Undecodable, decode},
    deduplicate::{Claim, Id},
    delivery::SourceName,
    event::{Decoded, Event, Refused},
    produce::{Failure, SendError, Sink, Token, TopicState},
    spool::{Damage, Next, position::Position},
};

/// The reason of an event that is larger than a record may be.
pub(super) const TOO_LARGE: &str = "too-large";

/// The reason of an event whose topic would be one more than `topics.limit` allows.
pub(super) const TOPIC_LIMIT: &str = "topic-limit";

/// What a dead letter's headers take at most beside its value, and its reserve.
const LETTER_OVERHEAD: usize = 4096;

/// A slot whose record was refused.
pub(super) struct Rejected {
    pub token: Token,
    pub reason: &'static str,
    pub error: String,
    pub stage: Stage,
    /// An earlier process, or one that went back, had found it out: its id is to be claimed anew.
    pub anew: bool,
}

/// What is known of an event that was refused in a transaction that was taken back.
pub(super) struct Known {
    pub reason: &'static str,
    pub error: String,
    pub stage: Stage,
}

/// The reason that a checkpoint names. Those of what is no event are found again with it.
pub(super) fn reason_named(name: &str) -> &'static str {
    [TOO_LARGE, TOPIC_LIMIT].into_iter().find(|reason| *reason == name).unwrap_or("refused")
}

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
        position,
        original_topic: None,
        key: b"",
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
        position,
        original_topic: None,
        key: refused.key.as_bytes(),
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
        position,
        original_topic: Some(topic),
        key: event.key.as_bytes(),
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
                self.claims.settled(identity);
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
    fn known_stage(&self, position: Position) -> Stage {
        let known = self.transaction.as_ref().and_then(|it| it.refused.get(&position));
        known.map_or(Stage::Letter, |known| known.stage)
    }

    /// An event that was refused in a transaction that was taken back.
    pub(super) fn is_known_as_refused(&self, position: Position) -> Option<(&'static str, String)> {
        let known = self.transaction.as_ref()?.refused.get(&position)?;
        Some((known.reason, known.error.clone()))
    }

    /// Whether the letter would be larger than a record may be.
    fn is_too_large(&self, letter: &DeadLetter<'_>) -> bool {
        letter.original.len() + letter.key.len() + LETTER_OVERHEAD > self.sink.record_limit()
    }

    /// One that waits; `false` when it has to go on waiting.
    pub(super) fn deal_with(
        &mut self,
        rejected: &Rejected,
        now: Now,
    ) -> Result<bool, ForwardError> {
        let Rejected { token, reason, error, stage, anew } = rejected;
        let slot = self.window_of(*token).and_then(|window| window.slot(*token)).cloned();
        let Some(slot) = slot else { return Ok(true) }; // a reset reads it again
        let stored = match self.letters.read(&self.spool, slot.position.sequence)? {
            Next::Delivery(stored) => stored,
            Next::Damage(damage) => {
                self.quarantine_damage(&damage, now)?;
                if let Some(slot) = self.window_of(*token).and_then(|window| window.slot(*token)) {
                    slot.identity = None; // it was given up: another event may have it
                }
                self.settled(*token);
                return Ok(true);
            }
            Next::CaughtUp => return Ok(false), // it was read from there, so it is there
        };

        self.encoder.come_with(&stored.delivery.headers);
        let rules = self.rules.clone();
        let source = self.spool.source().clone();
        let mut items = Vec::new();
        let body = &stored.delivery.body;
        let verdict =
            decode(self.settings.kind, &rules, body, &stored.delivery.headers, &mut items);
        let item = items.iter().find(|item| index_of(item) == slot.position.index);
        if let (true, Some(Ok(found))) = (*anew, item) {
            match self.claims.claim(found, slot.position, now.unix) {
                Claim::Granted(identity) => {
                    if let Some(slot) =
                        self.window_of(*token).and_then(|window| window.slot(*token))
                    {
                        slot.identity = identity;
                    }
                }
                Claim::Repeat => {
                    self.settled(*token);
                    return Ok(true);
                }
            }
        }
        let reason = &match (&verdict, item) {
            (Err(undecodable), _) => undecodable.reason,
            (Ok(()), Some(Err(refused))) => refused.reason,
            (Ok(()), Some(Ok(_)) | None) => *reason,
        };
        let mut name = String::new();
        let letter = match (&verdict, item) {
            (Err(undecodable), _) => whole_body(&source, slot.position, undecodable, body),
            (Ok(()), Some(Err(refused))) => element(&source, slot.position, refused),
            (Ok(()), Some(Ok(found))) => {
                self.router.topic(&source, found, &mut name);
                event(&source, slot.position, found, &name, reason, error)
            }
            (Ok(()), None) => {
                self.settled(*token);
                return Ok(true);
            }
        };
        let stage = match (*stage).max(self.known_stage(slot.position)) {
            Stage::Letter if self.is_too_large(&letter) => Stage::Pointer,
            stage => stage,
        };
        match self.send_letter(&letter, *token, stage, now)? {
            Letter::Wait | Letter::Waits | Letter::NoRoom => return Ok(false),
            Letter::Quarantined => self.settled(*token),
            Letter::Sent { .. } => {
                let topic = self.dead_letters;
                self.topics.get_mut(topic).outstanding += 1;
                self.joins_transaction();
                if let Some(slot) = self.window_of(*token).and_then(|window| window.slot(*token)) {
                    slot.topic = topic;
                    slot.carries = Carries::DeadLetter { reason, pointer: stage == Stage::Pointer };
                    slot.state = State::Outstanding;
                    slot.error = Some(error.as_str().into());
                    slot.since = now.instant;
                }
            }
        }
        Ok(true)
    }

    fn send_letter(
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

    fn keep(&mut self, letter: &DeadLetter<'_>, now: Now) -> Result<Letter, ForwardError> {
        self.quarantine(letter, now)?;
        Ok(Letter::Quarantined)
    }

    fn quarantine(
        &mut self,
        letter: &DeadLetter<'_>,
        now: Now,
    ) -> Result<crate::quarantine::Quarantined, ForwardError> {
        let kept = self.quarantine.keep(letter, now.unix).map_err(ForwardError::Quarantine)?;
        let labels = [self.spool.source().as_str(), letter.reason];
        self.metrics.quarantined.with_label_values(&labels).inc();
        tracing::warn!(
            source = %letter.source,
            position = %letter.position,
            reason = letter.reason,
            error = letter.error,
            path = %kept.path.display(),
            "an event is in quarantine",
        );
        Ok(kept)
    }

    pub(super) fn quarantine_damage(
        &mut self,
        damage: &Damage,
        now: Now,
    ) -> Result<(), ForwardError> {
        self.claims.release(damage.first_sequence..damage.next_sequence, now.unix);
        let source = self.spool.source();
        let kept = self
            .quarantine
            .keep_damage(source, damage, now.unix)
            .map_err(ForwardError::Quarantine)?;
        self.metrics.spool_damage.with_label_values(&[source.as_str()]).inc();
        self.metrics.quarantined.with_label_values(&[source.as_str(), "damage"]).inc();
        tracing::error!(
            %source,
            damage = %damage,
            path = %kept.path.display(),
            "a range of the spool is damaged: its bytes are in quarantine, its events are missing",
        );
        Ok(())
    }
}

/// What became of a dead letter.
enum Letter {
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
