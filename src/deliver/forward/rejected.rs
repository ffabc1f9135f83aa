//! What was refused after it had been sent, or before dead letters could be written, and waits in its
//! lane's window to become a dead letter (`letters.rs`).

use super::{
    ForwardError, Forwarder, Now,
    refuse::{Letter, Stage, TOO_LARGE, TOPIC_LIMIT, element, event, index_of, whole_body},
    window::{Carries, State},
};
use crate::{
    deliver::{decode::decode, deduplicate::Claim},
    event::Event,
    kafka::produce::{Sink, Token},
    source::Origin,
    spool::{Next, position::Position},
};

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

impl<S: Sink> Forwarder<S> {
    /// Reads and decodes one again, and sends its dead letter; `false` when it has to go on waiting.
    pub(super) fn deal_with(
        &mut self,
        rejected: &Rejected,
        now: Now,
    ) -> Result<bool, ForwardError> {
        let token = rejected.token;
        // Without a slot a reset reads it again.
        let Some(position) = self.slot(token).map(|slot| slot.position) else { return Ok(true) };
        let stored = match self.letters.read(&self.spool, position.sequence)? {
            Next::Delivery(stored) => stored,
            Next::Damage(damage) => {
                self.quarantine_damage(&damage, now)?;
                if let Some(slot) = self.slot(token) {
                    slot.identity = None; // it was given up: another event may have it
                }
                self.settled(token);
                return Ok(true);
            }
            Next::CaughtUp => return Ok(false), // it was read from there, so it is there
        };

        self.origin = Origin::of(&stored.delivery.headers);
        self.encoder.come_with(&stored.delivery.headers);
        let (rules, source) = (self.rules.clone(), self.spool.source().clone());
        let (body, headers) = (&stored.delivery.body, &stored.delivery.headers);
        let mut items = Vec::new();
        let verdict = decode(self.settings.kind, &rules, body, headers, &mut items);
        let item = items.iter().find(|item| index_of(item) == position.index);
        let mut topic = String::new();
        let (letter, reason) = match (&verdict, item) {
            (Err(undecodable), _) => {
                (whole_body(&source, position, undecodable, body), undecodable.reason)
            }
            (Ok(()), Some(Err(refused))) => (element(&source, position, refused), refused.reason),
            (Ok(()), Some(Ok(found))) if self.is_owed(rejected, found, position, now) => {
                self.router.topic(&source, found, &mut topic);
                let (reason, error) = (rejected.reason, &rejected.error);
                (event(&source, position, found, &topic, reason, error), reason)
            }
            (Ok(()), Some(Ok(_)) | None) => {
                self.settled(token);
                return Ok(true);
            }
        };
        let stage = match rejected.stage.max(self.known_stage(position)) {
            Stage::Letter if self.is_too_large(&letter) => Stage::Pointer,
            stage => stage,
        };
        match self.send_letter(&letter, token, stage, now)? {
            Letter::Wait | Letter::Waits | Letter::NoRoom => return Ok(false),
            Letter::Quarantined => self.settled(token),
            Letter::Sent { .. } => {
                let carries = Carries::DeadLetter { reason, pointer: stage == Stage::Pointer };
                self.letter_is_on_its_way(rejected, carries, now);
            }
        }
        Ok(true)
    }

    /// Whether the event is still this lane's to settle. One that was not found out by this run of
    /// the lane has to claim its id first, which another one's may be by now.
    fn is_owed(
        &mut self,
        rejected: &Rejected,
        event: &Event<'_>,
        position: Position,
        now: Now,
    ) -> bool {
        if !rejected.anew {
            return true;
        }
        let Claim::Granted(identity) = self.claims.claim(event, position, now.unix) else {
            return false;
        };
        if let Some(slot) = self.slot(rejected.token) {
            slot.identity = identity;
        }
        true
    }

    fn letter_is_on_its_way(&mut self, rejected: &Rejected, carries: Carries, now: Now) {
        let topic = self.dead_letters;
        let size = self.slot(rejected.token).map_or(0, |slot| slot.size);
        self.topics.sent(topic, size, self.pace.mark());
        self.joins_transaction();
        let turn = self.pace.hand_over(size);
        if let Some(slot) = self.slot(rejected.token) {
            slot.topic = topic;
            slot.turn = turn;
            slot.carries = carries;
            slot.state = State::Outstanding;
            slot.error = Some(rejected.error.as_str().into());
            slot.since = now.instant;
        }
    }
}
