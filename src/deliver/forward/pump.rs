//! Pumping: a lane reads deliveries, finds the events in them and hands them to the sink.

use super::{
    ForwardError, Forwarder, MAIN, Now, Progress, held::Phase, refuse, take::Taken,
    topics::TopicId, window::LaneId,
};
use crate::{
    deliver::decode::{Undecodable, decode, recycle},
    event::Decoded,
    kafka::produce::Sink,
    source::Origin,
    spool::{Next, StoredDelivery, position::Position},
};

/// Deliveries that one lane handles before the others have their turn.
const DELIVERIES_A_TURN: usize = 16;

/// Memory for more events than this is not kept from one delivery for the next.
const EVENTS_KEPT: usize = 1024;

/// What one turn of a lane may do.
#[derive(Clone, Copy)]
struct Scope {
    lane: LaneId,
    /// Events of this topic alone.
    only: Option<TopicId>,
    /// Not more records than this.
    records: usize,
    /// Not as far as there.
    end: Option<Position>,
}

/// What became of a delivery, and where to come back to in it.
type Handled = (Turn, Option<u32>, Result<(), ForwardError>);

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
        if self.paused_until.is_some_and(|until| now.instant < until) || self.makes_way() {
            return Ok(Progress::Waiting);
        }
        for handled in 0..DELIVERIES_A_TURN {
            match self.turn(MAIN, None, usize::MAX, now)? {
                Turn::Moved => self.paused_until = None,
                Turn::CaughtUp => {
                    self.has_caught_up();
                    if handled == 0 {
                        return Ok(Progress::CaughtUp);
                    }
                    break;
                }
                Turn::Wait if handled == 0 => return Ok(Progress::Waiting),
                Turn::Wait => break,
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
                    tracing::warn!(%source, topic = self.topics.get(topic).name, %error, "held topic cannot resume yet");
                    if let Some(held) = self.held.get_mut(&topic) {
                        held.phase = Phase::Waiting { until };
                    }
                }
            }
        }
        moved
    }

    fn resume(&mut self, topic: TopicId, now: Now) -> Result<bool, ForwardError> {
        let (main_low, makes_way) = (self.main.low(), self.makes_way());
        let others_ask = makes_way && !self.has_to_ask(topic);
        let Some(held) = self.held.get_mut(&topic) else { return Ok(false) };
        let id = held.lane.window.lane();
        match held.phase {
            Phase::Waiting { until } if now.instant < until => Ok(false),
            Phase::Waiting { .. } => {
                held.phase = Phase::Probing;
                Ok(true)
            }
            Phase::Probing if held.is_asking() => Ok(false),
            Phase::Probing => {
                held.wants_to_ask = false;
                if others_ask {
                    return Ok(false);
                }
                for _ in 0..DELIVERIES_A_TURN {
                    match self.turn(id, Some(topic), 1, now)? {
                        Turn::Moved if self.is_probing_with_nothing_on_its_way(topic) => {}
                        turn => return Ok(self.after_turn(topic, turn)),
                    }
                }
                Ok(true)
            }
            Phase::CatchingUp if makes_way => Ok(false),
            Phase::CatchingUp => {
                let turn = self.turn(id, Some(topic), usize::MAX, now)?;
                Ok(self.after_turn(topic, turn))
            }
            Phase::Draining => {
                if held.is_back(main_low) {
                    if held.in_trouble {
                        let (source, name) = (self.spool.source(), &self.topics.get(topic).name);
                        tracing::info!(%source, topic = name, "held topic resumed");
                    }
                    self.topics.get_mut(topic).retry = None;
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
        let scope = Scope { lane: id, only, records, end };
        let (turn, next, result) = self.handle(scope, &stored, now);
        if let Some(lane) = self.lane_mut(id) {
            match next {
                Some(index) => lane.park(stored, index),
                None => lane.pass(stored.sequence + 1),
            }
        }
        result.map(|()| turn)
    }

    /// The events of one delivery. Says where to come back to in it, if it is not finished.
    fn handle(&mut self, scope: Scope, stored: &StoredDelivery, now: Now) -> Handled {
        let first = self.lane(scope.lane).map_or(0, |lane| lane.skip(stored.sequence));
        // Not worth decoding for less than a part of it.
        if !self.has_room_for(scope.lane, stored.delivery.body.len()) {
            return (Turn::Wait, Some(first), Ok(()));
        }

        let rules = self.rules.clone();
        let mut events = recycle(std::mem::take(&mut self.events));
        let delivery = &stored.delivery;
        self.origin = Origin::of(&delivery.headers);
        self.claims.come_from(self.origin);
        self.encoder.come_with(&delivery.headers);
        let verdict =
            decode(self.settings.kind, &rules, &delivery.body, &delivery.headers, &mut events);
        if scope.lane == MAIN && self.spans.are_on() {
            let refused = events.iter().filter(|event| event.is_err()).count();
            self.spans.begin(stored, events.len(), refused + usize::from(verdict.is_err()));
        }
        let handled = match verdict {
            Ok(()) => self.take_from(scope, first, stored.sequence, &events, now),
            Err(undecodable) => self.refuse_whole(scope, first, stored, &undecodable, now),
        };
        if events.capacity() <= EVENTS_KEPT {
            self.events = recycle(events);
        }
        handled
    }

    fn take_from(
        &mut self,
        scope: Scope,
        first: u32,
        sequence: u64,
        events: &[Decoded<'_>],
        now: Now,
    ) -> Handled {
        let mut sent = 0;
        let start = events.partition_point(|event| refuse::index_of(event) < first);
        for event in &events[start..] {
            let index = refuse::index_of(event);
            let position = Position { sequence, index };
            if scope.end.is_some_and(|end| position >= end) || sent == scope.records {
                return (Turn::Moved, Some(index), Ok(()));
            }
            if sent > 0 && !self.has_room_for(scope.lane, 0) {
                return (Turn::Moved, Some(index), Ok(()));
            }
            match self.take(scope.lane, scope.only, position, event, now) {
                Ok(Taken::Sent) => sent += 1,
                Ok(Taken::Passed) => {}
                Ok(Taken::Wait) => {
                    if scope.lane == MAIN && self.creating == Some((position, now.instant)) {
                        self.ask_for_topics(&events[start..]);
                    }
                    let turn = if index == first { Turn::Wait } else { Turn::Moved };
                    return (turn, Some(index), Ok(()));
                }
                Err(error) => return (Turn::Wait, Some(index), Err(error)),
            }
        }
        (Turn::Moved, None, Ok(()))
    }

    /// A body that nobody understands is one dead letter, and the main lane's.
    fn refuse_whole(
        &mut self,
        scope: Scope,
        first: u32,
        stored: &StoredDelivery,
        undecodable: &Undecodable,
        now: Now,
    ) -> Handled {
        let position = Position::start_of(stored.sequence);
        if scope.only.is_some() || self.settled_ahead.contains(position) {
            return (Turn::Moved, None, Ok(()));
        }
        let source = self.spool.source().clone();
        let letter = refuse::whole_body(&source, position, undecodable, &stored.delivery.body);
        match self.refuse(scope.lane, None, None, &letter, undecodable.reason, now) {
            Ok(Taken::Wait) => (Turn::Wait, Some(first), Ok(())),
            Ok(Taken::Sent | Taken::Passed) => (Turn::Moved, None, Ok(())),
            Err(error) => (Turn::Wait, Some(first), Err(error)),
        }
    }
}
