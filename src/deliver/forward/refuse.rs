//! Refusing: an event that cannot go to its topic becomes a dead letter, and goes to quarantine if it cannot be one;
//! while the dead-letter topic fails, it waits (`dead_letters.rs`).

use super::{
    Forwarder, Now, Result,
    dead_letters::{Stay, Waiting},
    dispatch::{Candidate, Dispatched},
    lanes::Settled,
    refusal::{Refusal, Stage, index_of},
    window::{Carries, Slot, State},
};
use crate::{
    deliver::deduplicate::{Claim, Identity},
    event::Event,
    kafka::produce::{Failure, SendError, Sink, Token, TopicState},
    spool::{Next, StoredDelivery},
};

/// Refused events that one step retries: each is read and decoded again.
const RETRIES_PER_STEP: usize = 16;

/// Result of writing a dead letter.
enum Written {
    /// Its record is on its way.
    Sent {
        size: usize,
    },
    Quarantined,
    /// Dead letters cannot be written now, and this one may wait for that in its lane's window.
    Waits,
    /// As `Waits`, but too many wait already.
    NoRoom,
    /// The sink is busy.
    Busy,
}

fn carries(reason: &'static str, stage: Stage) -> Carries {
    Carries::DeadLetter { reason, pointer: stage == Stage::Pointer }
}

impl<S: Sink> Forwarder<S> {
    /// Sends the candidate's dead letter, or puts it into quarantine.
    pub(super) fn refuse(
        &mut self,
        candidate: &Candidate,
        refusal: &Refusal<'_>,
        now: Now,
    ) -> Result<Dispatched> {
        let Candidate { lane, position, topic, identity, .. } = *candidate;
        let Some(token) = self.lanes.next_token(lane) else { return Ok(Dispatched::Wait) };
        let stage = refusal.first_stage(self.out.record_limit());
        let stage = stage.max(self.guarantee.known_stage(position));
        let has_failed = self.dead_letters.is_failing() && self.guarantee.has_failed(position);
        let written = match has_failed && stage != Stage::Quarantine {
            true => self.wait_or_quarantine(refusal, now)?,
            false => self.write(refusal, token, stage, now)?,
        };
        let slot = candidate.slot(self.dead_letters.id(), carries(refusal.reason, stage), now);
        let slot = Slot { error: Some(refusal.error.into()), ..slot };
        Ok(match written {
            Written::Sent { size } => {
                self.sent(lane, slot, size);
                Dispatched::Sent
            }
            Written::Quarantined => {
                self.lanes.acked_ahead_mut().insert(position, topic);
                let identity = identity.map(Identity::of_this_volume);
                self.guarantee.settle_id(position, identity, &mut self.source);
                Dispatched::Passed
            }
            Written::Waits => {
                self.lanes.push(lane, Slot { state: State::Refused, ..slot });
                let error = refusal.error.into();
                self.dead_letters.push(Waiting::new(token, refusal.reason, error, stage));
                Dispatched::Sent
            }
            Written::NoRoom => self.rest(lane, now),
            Written::Busy => Dispatched::Wait,
        })
    }

    /// Writes a dead letter, in the way of `stage` or a later one.
    fn write(
        &mut self,
        refusal: &Refusal<'_>,
        token: Token,
        stage: Stage,
        now: Now,
    ) -> Result<Written> {
        if stage == Stage::Quarantine {
            return self.quarantine(refusal, now);
        }
        if let Some(instead) = self.blocked(refusal, now)? {
            return Ok(instead);
        }
        // The original is durable before its pointer is sent, which names the file.
        let pointer = match stage {
            Stage::Pointer => Some(self.source.quarantine(refusal, now)?),
            Stage::DeadLetter | Stage::Quarantine => None,
        };
        match self.out.send_dead_letter(refusal, self.source.origin(), pointer.as_ref(), token) {
            Ok(size) => {
                if self.dead_letters.is_failing() {
                    self.guarantee.probe_sent(now);
                }
                Ok(Written::Sent { size })
            }
            Err(SendError::QueueFull) => Ok(Written::Busy),
            Err(SendError::Failed(Failure::Fatal(_) | Failure::Purged)) => {
                self.out.renew_later();
                Ok(Written::Busy)
            }
            Err(SendError::Failed(Failure::Refused(_))) if pointer.is_some() => {
                Ok(Written::Quarantined)
            }
            Err(SendError::Failed(Failure::Refused(_))) => self.quarantine(refusal, now),
            Err(SendError::Failed(Failure::Passing(why))) => {
                self.dead_letters.failed(&why, &self.lanes, &self.out, now);
                self.wait_or_quarantine(refusal, now)
            }
        }
    }

    /// Decides about a refused event if no dead letter can be written now; `None` if one can.
    fn blocked(&mut self, refusal: &Refusal<'_>, now: Now) -> Result<Option<Written>> {
        let may_send = !self.dead_letters.rests(self.out.topics(), now)
            && (!self.dead_letters.is_failing() || self.guarantee.may_probe_queue(now));
        if !may_send {
            return self.wait_or_quarantine(refusal, now).map(Some);
        }
        match self.out.topic_state(self.dead_letters.topic()) {
            TopicState::Ready => return Ok(None),
            TopicState::Pending => {
                self.dead_letters.look_up_later(self.out.look_up_pause(), now);
            }
            TopicState::OverLimit => return self.quarantine(refusal, now).map(Some),
            TopicState::Unavailable(why) => {
                self.dead_letters.failed(&why, &self.lanes, &self.out, now);
            }
        }
        self.wait_or_quarantine(refusal, now).map(Some)
    }

    fn wait_or_quarantine(&self, refusal: &Refusal<'_>, now: Now) -> Result<Written> {
        match self.dead_letters.stay(&self.lanes, &self.out, now) {
            Stay::Waits => Ok(Written::Waits),
            Stay::NoRoom => Ok(Written::NoRoom),
            Stay::Quarantine => self.quarantine(refusal, now),
        }
    }

    fn quarantine(&self, refusal: &Refusal<'_>, now: Now) -> Result<Written> {
        self.source.quarantine(refusal, now).map(|_| Written::Quarantined)
    }

    /// Turns waiting events into dead letters, or puts them into quarantine.
    pub(super) fn write_waiting(&mut self, now: Now) -> Result<()> {
        if !self.guarantee.may_write() {
            return Ok(());
        }
        for _ in 0..self.dead_letters.len().min(RETRIES_PER_STEP) {
            let Some(waiting) = self.dead_letters.pop() else { break };
            let rests = waiting.stage != Stage::Quarantine
                && self.dead_letters.rests(self.out.topics(), now)
                && self.dead_letters.stay(&self.lanes, &self.out, now) != Stay::Quarantine;
            if rests {
                self.dead_letters.push_front(waiting);
                break;
            }
            match self.retry(&waiting, now) {
                Ok(true) => {}
                Ok(false) => {
                    self.dead_letters.push_front(waiting);
                    break;
                }
                Err(error) => {
                    self.dead_letters.push(waiting);
                    return Err(error);
                }
            }
        }
        self.dead_letters.stop_reading();
        Ok(())
    }

    /// Reads and decodes a waiting event again, and sends its dead letter; `false` when it has to go on waiting.
    fn retry(&mut self, waiting: &Waiting, now: Now) -> Result<bool> {
        // No slot: its lane went back and reads the event again.
        let Some(position) = self.lanes.slot(waiting.token).map(|slot| slot.position) else {
            return Ok(true);
        };
        let stored = match self.dead_letters.read(self.source.spool(), position.sequence)? {
            Next::Delivery(stored) => stored,
            Next::Damage(damage) => {
                self.source.quarantine_damage(&damage, now)?;
                if let Some(slot) = self.lanes.slot_mut(waiting.token) {
                    slot.identity = None; // the claim was given up: another event may hold it now
                }
                self.settled(waiting.token);
                return Ok(true);
            }
            Next::CaughtUp => return Ok(false), // unexpected: the event was read from there before
        };
        self.source.come_back_to(&stored);
        self.out.come_with(&stored);
        self.rewrite(waiting, &stored, now)
    }

    /// Finds the waiting event in its delivery, and sends its dead letter.
    fn rewrite(&mut self, waiting: &Waiting, stored: &StoredDelivery, now: Now) -> Result<bool> {
        let Some(position) = self.lanes.slot(waiting.token).map(|slot| slot.position) else {
            return Ok(true);
        };
        let rules = self.source.rules();
        let screened = self.source.screen(&rules, stored);
        let originals = self.source.originals();
        let mut items = Vec::new();
        let verdict = self.source.decode(&rules, stored, &screened, &mut items);
        let item = items.iter().find(|item| index_of(item) == position.index);
        let topic;
        let refusal = match (&verdict, item) {
            (Err(undecodable), _) => {
                Refusal::of_body(position, undecodable, &stored.delivery.body, originals)
            }
            (Ok(()), Some(Err(refused))) => Refusal::of_element(position, refused, originals),
            (Ok(()), Some(Ok(found))) if self.is_owed(waiting, found, now) => {
                topic = self.source.take_topic(found);
                Refusal::of_event(position, found, &topic, waiting.reason, &waiting.error)
            }
            (Ok(()), Some(Ok(_)) | None) => {
                // Another event, not settled yet, has this id now.
                if let Some(slot) = self.lanes.slot_mut(waiting.token) {
                    slot.identity = None;
                }
                self.settled(waiting.token);
                return Ok(true);
            }
        };
        let stage = waiting.stage.max(self.guarantee.known_stage(position));
        let stage = stage.max(refusal.first_stage(self.out.record_limit()));
        match self.write(&refusal, waiting.token, stage, now)? {
            Written::Busy | Written::Waits | Written::NoRoom => return Ok(false),
            Written::Quarantined => self.settled(waiting.token),
            Written::Sent { .. } => self.rewritten(waiting, carries(refusal.reason, stage), now),
        }
        Ok(true)
    }

    /// Whether the event is still this lane's to settle. An event refused in an earlier run of the lane has to claim
    /// its id first, which another event may hold by now.
    fn is_owed(&mut self, waiting: &Waiting, event: &Event<'_>, now: Now) -> bool {
        if !waiting.must_reclaim {
            return true;
        }
        let Some(slot) = self.lanes.slot_mut(waiting.token) else { return false };
        let (Claim::Granted(identity), _) = self.source.claim(event, slot.position, now) else {
            return false;
        };
        slot.identity = identity;
        true
    }

    /// The event is in quarantine, or owed by none any more.
    fn settled(&mut self, token: Token) {
        let settled = self.lanes.settle(token).map(Settled::of_this_volume);
        self.guarantee.settled(settled, &mut self.source);
    }

    /// Notes that the dead letter of a waiting event is on its way.
    fn rewritten(&mut self, waiting: &Waiting, carries: Carries, now: Now) {
        let Some(slot) = self.lanes.slot_mut(waiting.token) else { return };
        slot.topic = self.dead_letters.id();
        slot.turn = self.out.sent(slot.topic, slot.size);
        slot.carries = carries;
        slot.state = State::Outstanding;
        slot.error = Some(waiting.error.as_str().into());
        slot.since = now.instant;
        self.guarantee.sent();
    }
}
