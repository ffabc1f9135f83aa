//! Pumping: a lane reads deliveries, finds the events in them and hands them to the sink.

use std::time::Duration;

use super::{
    ForwardError, Forwarder, MAIN, Now, Progress,
    held::Phase,
    refuse,
    reset::Trouble,
    topics::TopicId,
    window::{Carries, LaneId, Slot, State},
};
use crate::{
    decode::decode,
    event::{Decoded, Event},
    produce::{Failure, SendError, Sink, TopicState},
    spool::{Next, StoredDelivery, position::Position},
};

/// Deliveries that one lane handles before the others have their turn.
const DELIVERIES_A_TURN: usize = 16;

/// How soon a topic that is being created is asked for again.
const CREATION_PAUSE: Duration = Duration::from_millis(20);

/// How soon a topic of which nothing is known is asked for again while the cluster is away.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// How long the others wait for a topic that is being created.
const CREATION_PATIENCE: Duration = Duration::from_millis(500);

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A record of it is on its way.
    Sent,
    /// There is nothing to send: another lane's, settled before, or in quarantine.
    Passed,
    /// Not now: come back to this very event.
    Wait,
}

/// What became of one turn of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Moved,
    CaughtUp,
    Wait,
}

impl<S: Sink> Forwarder<S> {
    /// Moves the main lane on.
    pub(super) fn advance(&mut self, now: Now) -> Result<Progress, ForwardError> {
        if self.paused_until.is_some_and(|until| now.instant < until) {
            return Ok(Progress::Waiting);
        }
        for handled in 0..DELIVERIES_A_TURN {
            match self.turn(MAIN, None, usize::MAX, now)? {
                Turn::Moved => self.paused_until = None,
                Turn::CaughtUp if handled == 0 => return Ok(Progress::CaughtUp),
                Turn::Wait if handled == 0 => return Ok(Progress::Waiting),
                Turn::CaughtUp | Turn::Wait => break,
            }
        }
        Ok(Progress::Moved)
    }

    /// Lets every held topic whose time has come move on; `true` when one did.
    pub(super) fn resume_held_topics(&mut self, now: Now) -> bool {
        let mut moved = false;
        let topics: Vec<TopicId> = self.held.keys().copied().collect();
        for topic in topics {
            match self.resume(topic, now) {
                Ok(resumed) => moved |= resumed,
                Err(error) => {
                    // Trouble of one lane (an unreadable old segment) must not stop the others.
                    let until = self.wait_for(topic, now);
                    let source = self.spool.source();
                    tracing::warn!(%source, topic = self.topics.get(topic).name, %error, "a held topic can't move on");
                    if let Some(held) = self.held.get_mut(&topic) {
                        held.phase = Phase::Waiting { until };
                    }
                }
            }
        }
        moved
    }

    fn resume(&mut self, topic: TopicId, now: Now) -> Result<bool, ForwardError> {
        let Some(held) = self.held.get_mut(&topic) else { return Ok(false) };
        let (id, empty) = (held.lane.window.lane(), held.lane.window.is_empty());
        match held.phase {
            Phase::Waiting { until } if now.instant < until => Ok(false),
            Phase::Waiting { .. } => {
                held.phase = Phase::Probing;
                Ok(true)
            }
            Phase::Probing if !empty => Ok(false),
            Phase::Probing => {
                for _ in 0..DELIVERIES_A_TURN {
                    match self.turn(id, Some(topic), 1, now)? {
                        Turn::Moved if self.is_probing_with_nothing_on_its_way(topic) => {}
                        turn => return Ok(self.after_turn(topic, turn)),
                    }
                }
                Ok(true)
            }
            Phase::CatchingUp => {
                let turn = self.turn(id, Some(topic), usize::MAX, now)?;
                Ok(self.after_turn(topic, turn))
            }
            Phase::Draining => {
                if empty && self.main.next() >= held.lane.next() {
                    if held.in_trouble {
                        let (source, name) = (self.spool.source(), &self.topics.get(topic).name);
                        tracing::info!(%source, topic = name, "a held topic is back");
                    }
                    self.close_lane(topic);
                    return Ok(true);
                }
                Ok(false)
            }
        }
    }

    fn after_turn(&mut self, topic: TopicId, turn: Turn) -> bool {
        let main = self.main.next();
        match (turn, self.held.get_mut(&topic)) {
            (Turn::Moved, _) => true,
            (Turn::CaughtUp, Some(held)) => {
                held.caught_up(main);
                held.phase == Phase::Draining
            }
            (Turn::CaughtUp | Turn::Wait, _) => false,
        }
    }

    fn is_probing_with_nothing_on_its_way(&self, topic: TopicId) -> bool {
        self.held
            .get(&topic)
            .is_some_and(|held| held.phase == Phase::Probing && held.lane.window.is_empty())
    }

    /// Handles (the rest of) one delivery on lane `id`, sending at most `records`. A held topic's
    /// lane passes what is not of that topic, and stops where the main lane stands.
    fn turn(
        &mut self,
        id: LaneId,
        only: Option<TopicId>,
        records: usize,
        now: Now,
    ) -> Result<Turn, ForwardError> {
        let end = if id == MAIN { None } else { Some(self.main.next()) };
        let Some(lane) = self.lane_mut(id) else { return Ok(Turn::CaughtUp) };
        if end.is_some_and(|end| lane.next() >= end) {
            return Ok(Turn::CaughtUp);
        }
        let stored = match lane.take()? {
            Next::Delivery(stored) => stored,
            Next::CaughtUp => return Ok(Turn::CaughtUp),
            Next::Damage(damage) => {
                // On whatever lane: the main one may have passed the range while it was whole. What
                // two lanes find has the same name in quarantine.
                let kept = self.quarantine_damage(&damage, now);
                if let Some(lane) = self.lane_mut(id) {
                    match kept {
                        Ok(()) => lane.pass(damage.next_sequence),
                        Err(_) => lane.read_again_from(damage.first_sequence),
                    }
                }
                return kept.map(|()| Turn::Moved);
            }
        };
        let (turn, next, result) = self.handle(id, only, records, end, &stored, now);
        if let Some(lane) = self.lane_mut(id) {
            match next {
                Some(index) => lane.park(stored, index),
                None => lane.pass(stored.sequence + 1),
            }
        }
        result.map(|()| turn)
    }

    /// The events of one delivery. Says where to come back to in it, if it is not finished.
    fn handle(
        &mut self,
        id: LaneId,
        only: Option<TopicId>,
        records: usize,
        end: Option<Position>,
        stored: &StoredDelivery,
        now: Now,
    ) -> (Turn, Option<u32>, Result<(), ForwardError>) {
        let first = self.lane(id).map_or(0, |lane| lane.skip(stored.sequence));
        // Not worth decoding for less than a part of it.
        if !self.has_room_for(id, stored.delivery.body.len()) {
            return (Turn::Wait, Some(first), Ok(()));
        }

        let rules = self.rules.clone();
        let mut items = Vec::new();
        let delivery = &stored.delivery;
        let verdict =
            decode(self.settings.kind, &rules, &delivery.body, &delivery.headers, &mut items);
        if let Err(undecodable) = verdict {
            if only.is_some() {
                return (Turn::Moved, None, Ok(()));
            }
            let position = Position::start_of(stored.sequence);
            if self.settled_ahead.remove(&position) {
                return (Turn::Moved, None, Ok(()));
            }
            let source = self.spool.source().clone();
            let letter = refuse::whole_body(&source, position, &undecodable, &delivery.body);
            return match self.refuse(id, &letter, undecodable.reason, now) {
                Ok(Taken::Wait) => (Turn::Wait, Some(first), Ok(())),
                Ok(Taken::Sent | Taken::Passed) => (Turn::Moved, None, Ok(())),
                Err(error) => (Turn::Wait, Some(first), Err(error)),
            };
        }

        let mut sent = 0;
        let start = items.partition_point(|item| refuse::index_of(item) < first);
        for item in &items[start..] {
            let index = refuse::index_of(item);
            let position = Position { sequence: stored.sequence, index };
            if end.is_some_and(|end| position >= end) || sent == records {
                return (Turn::Moved, Some(index), Ok(()));
            }
            match self.take(id, only, position, item, now) {
                Ok(Taken::Sent) => sent += 1,
                Ok(Taken::Passed) => {}
                Ok(Taken::Wait) => {
                    if id == MAIN && self.creating == Some((position, now.instant)) {
                        self.ask_for_topics(&items[start..]);
                    }
                    let turn = if index == first { Turn::Wait } else { Turn::Moved };
                    return (turn, Some(index), Ok(()));
                }
                Err(error) => return (Turn::Wait, Some(index), Err(error)),
            }
        }
        (Turn::Moved, None, Ok(()))
    }

    /// One event, or what was found in its place.
    fn take(
        &mut self,
        id: LaneId,
        only: Option<TopicId>,
        position: Position,
        item: &Decoded<'_>,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        let event = match item {
            Ok(event) => event,
            Err(_) if only.is_some() => return Ok(Taken::Passed),
            Err(_) if self.settled_ahead.remove(&position) => return Ok(Taken::Passed),
            Err(refused) => {
                let source = self.spool.source().clone();
                let letter = refuse::element(&source, position, refused);
                return self.refuse(id, &letter, refused.reason, now);
            }
        };

        let mut name = std::mem::take(&mut self.topic_name);
        self.router.topic(self.spool.source(), event, &mut name);
        let taken = self.take_event(id, only, position, event, &name, now);
        self.topic_name = name;
        taken
    }

    fn take_event(
        &mut self,
        id: LaneId,
        only: Option<TopicId>,
        position: Position,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        let known = self.topics.find(name);
        if only.is_some() && known != only {
            return Ok(Taken::Passed);
        }
        if only.is_none()
            && let Some(held) = known.and_then(|topic| self.held.get(&topic))
            && held.covers(position)
        {
            if position < held.lane.low() {
                self.settled_ahead.remove(&position);
            }
            return Ok(Taken::Passed);
        }
        if self.settled_ahead.remove(&position) {
            return Ok(Taken::Passed);
        }
        match known {
            Some(topic) if self.topics.get(topic).ready => {
                self.send(id, topic, position, event, now)
            }
            _ => self.send_to_new_topic(id, position, event, name, now),
        }
    }

    /// The topic was never written, or was in trouble: ask before writing.
    fn send_to_new_topic(
        &mut self,
        id: LaneId,
        position: Position,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        match self.sink.topic(name) {
            TopicState::Ready => {
                let topic = self.topics.enter(name);
                self.topics.get_mut(topic).ready = true;
                self.send(id, topic, position, event, now)
            }
            TopicState::OverLimit => {
                let source = self.spool.source().clone();
                let error = format!(
                    "topic `{name}` would be one more than topics.limit allows: create it by hand \
                     or raise the limit"
                );
                let letter = refuse::event(&source, position, event, name, "topic-limit", &error);
                self.refuse(id, &letter, "topic-limit", now)
            }
            // Nobody knows which topics there are while the cluster is away.
            TopicState::Pending if self.cluster_is_away() => Ok(self.wait(id, name, now)),
            TopicState::Pending if id != MAIN => Ok(self.wait(id, name, now)),
            TopicState::Pending => Ok(self.wait_for_creation(name, position, now)),
            TopicState::Unavailable(why) if id == MAIN => {
                Ok(self.hold_unavailable(name, position, &why, now))
            }
            TopicState::Unavailable(why) => {
                let topic = self.topics.enter(name);
                let until = self.wait_for(topic, now);
                self.tell_of_trouble(topic, position, &why);
                if let Some(held) = self.held.get_mut(&topic) {
                    held.phase = Phase::Waiting { until };
                    held.why = why;
                }
                Ok(Taken::Wait)
            }
        }
    }

    /// One topic is being created; the others of the delivery can be in the same breath.
    fn ask_for_topics(&mut self, items: &[Decoded<'_>]) {
        for event in items.iter().flatten() {
            let name = self.router.topic(self.spool.source(), event, &mut self.topic_name);
            if self.topics.find(name).is_none() {
                self.sink.topic(name);
            }
        }
    }

    fn wait(&mut self, id: LaneId, name: &str, now: Now) -> Taken {
        if id == MAIN {
            // Each try decodes the delivery again, and an outage may be long.
            let pause = if self.cluster_is_away() { OUTAGE_PAUSE } else { CREATION_PAUSE };
            self.paused_until = Some(now.instant + pause);
        } else if let Some(held) =
            self.topics.find(name).and_then(|topic| self.held.get_mut(&topic))
        {
            held.phase = Phase::Waiting { until: now.instant + CREATION_PAUSE };
        }
        Taken::Wait
    }

    /// Topics are created off the line of the others. It takes a moment, and the next events want
    /// new topics too, so the lane waits that moment; a topic that takes longer is held. Holding all
    /// at once would make each of them read the spool for itself.
    fn wait_for_creation(&mut self, name: &str, position: Position, now: Now) -> Taken {
        let since = match self.creating {
            Some((waiting, since)) if waiting == position => since,
            _ => now.instant,
        };
        self.creating = Some((position, since));
        if now.instant < since + CREATION_PATIENCE || !self.lanes_are_left() {
            return self.wait(MAIN, name, now);
        }
        let topic = self.topics.enter(name);
        let phase = Phase::Waiting { until: now.instant + CREATION_PAUSE };
        self.open_lane(topic, position, phase, "being created");
        Taken::Passed
    }

    fn hold_unavailable(&mut self, name: &str, position: Position, why: &str, now: Now) -> Taken {
        let topic = self.topics.enter(name);
        if !self.may_hold(topic, now, why) {
            return Taken::Wait;
        }
        self.hold(topic, position, why, now);
        Taken::Passed
    }

    fn send(
        &mut self,
        id: LaneId,
        topic: TopicId,
        position: Position,
        event: &Event<'_>,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        let Some(token) = self.lane(id).map(|lane| lane.window.next_token()) else {
            return Ok(Taken::Wait);
        };
        let name = &self.topics.get(topic).name;
        let encoded = self.encoder.encode(name, self.spool.id(), position, event);
        let record = encoded.record();
        let size = record.size();
        let limit = self.sink.record_limit();
        if size > limit {
            let error = format!(
                "the record has {size} bytes and kafka.properties.message.max.bytes allows {limit}"
            );
            let (name, source) = (name.clone(), self.spool.source().clone());
            let letter = refuse::event(&source, position, event, &name, refuse::TOO_LARGE, &error);
            return self.refuse(id, &letter, refuse::TOO_LARGE, now);
        }
        match self.sink.send(&record, token) {
            Ok(()) => {
                self.sent(id, topic, position, size, Carries::Event, now);
                Ok(Taken::Sent)
            }
            Err(SendError::QueueFull) => Ok(Taken::Wait),
            Err(SendError::Failed(Failure::Refused(error))) => {
                let (name, source) = (name.clone(), self.spool.source().clone());
                let letter = refuse::event(&source, position, event, &name, "refused", &error);
                self.refuse(id, &letter, "refused", now)
            }
            Err(SendError::Failed(Failure::Passing(why))) => {
                let trouble = Trouble { why, one_at_a_time: false };
                self.troubled.entry(topic).or_insert(trouble);
                Ok(Taken::Wait)
            }
            Err(SendError::Failed(Failure::Fatal(_) | Failure::Purged)) => {
                self.needs_reset = true;
                Ok(Taken::Wait)
            }
        }
    }

    /// Notes that the sink has a record for `position`.
    pub(super) fn sent(
        &mut self,
        id: LaneId,
        topic: TopicId,
        position: Position,
        size: usize,
        carries: Carries,
        now: Now,
    ) {
        let entry = self.topics.get_mut(topic);
        entry.outstanding += 1;
        tracing::trace!(%position, topic = entry.name, lane = id, "sent");
        let state = State::Outstanding;
        let slot = Slot { position, topic, size, since: now.instant, carries, state };
        if let Some(lane) = self.lane_mut(id) {
            lane.window.push(slot);
        }
    }

    /// The main lane may fill three quarters of the window; the rest is for held topics, so that
    /// they can come back.
    fn has_room_for(&self, id: LaneId, bytes: usize) -> bool {
        let limit = self.settings.window_bytes;
        let limit = if id == MAIN { limit / 4 * 3 } else { limit };
        let used = self.bytes_on_their_way();
        used == 0 || used + bytes.min(limit / 4) <= limit
    }
}
