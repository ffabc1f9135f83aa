//! Reading: a lane's turn. It reads deliveries, finds the events in them and dispatches each.

use super::{
    ForwardError, Forwarder, MAIN_LANE, Now, Progress, Result,
    dispatch::{Candidate, Dispatched},
    held::{HeldTopic, Phase},
    refusal::{Refusal, index_of},
    topics::TopicId,
    window::LaneId,
};
use crate::{
    deliver::decode::Undecodable,
    event::Decoded,
    kafka::produce::Sink,
    spool::{Next, StoredDelivery, position::Position},
};

/// Deliveries that one lane handles before the other lanes have their turn.
const DELIVERIES_PER_TURN: usize = 16;

/// Limits of one turn of a lane.
#[derive(Clone, Copy)]
struct Scope {
    lane: LaneId,
    /// Events before this one were looked at already.
    first: u32,
    /// Limit of records.
    records: usize,
    /// The turn stops before this position.
    end: Option<Position>,
}

/// Result of handling a delivery.
struct Handled {
    turn: Turn,
    /// The event to come back to, if the delivery is not finished.
    next: Option<u32>,
    error: Option<ForwardError>,
}

/// Result of one turn of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Moved,
    CaughtUp,
    Wait,
}

impl Handled {
    fn finished() -> Self {
        Self { turn: Turn::Moved, next: None, error: None }
    }

    fn moved_to(index: u32) -> Self {
        Self { turn: Turn::Moved, next: Some(index), error: None }
    }

    fn waits_at(index: u32) -> Self {
        Self { turn: Turn::Wait, next: Some(index), error: None }
    }

    fn failed_at(index: u32, error: ForwardError) -> Self {
        Self { turn: Turn::Wait, next: Some(index), error: Some(error) }
    }
}

impl<S: Sink> Forwarder<S> {
    /// Moves the main lane on.
    pub(super) fn advance(&mut self, now: Now) -> Result<Progress> {
        if self.lanes.pauses().is_paused(now) || self.makes_way() {
            return Ok(Progress::Waiting);
        }
        for handled in 0..DELIVERIES_PER_TURN {
            match self.turn(MAIN_LANE, usize::MAX, now)? {
                Turn::Moved => self.lanes.pauses_mut().end(),
                Turn::CaughtUp => {
                    self.guarantee.caught_up();
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

    fn makes_way(&self) -> bool {
        self.guarantee.makes_way(&self.lanes, &self.dead_letters)
    }

    /// Lets every held topic whose time has come move on; `true` when one did.
    pub(super) fn resume_held(&mut self, now: Now) -> bool {
        let mut moved = false;
        let topics: Vec<TopicId> = self.lanes.all_held().map(|(topic, _)| topic).collect();
        for topic in topics {
            match self.resume(topic, now) {
                Ok(resumed) => moved |= resumed,
                Err(error) => {
                    // A failure of one lane (an unreadable old segment) must not stop the others.
                    let source = self.source.name();
                    let name = self.out.topics().name(topic);
                    tracing::warn!(%source, topic = name, %error, "held topic cannot resume yet");
                    self.lanes.wait(topic, self.out.topics_mut(), now);
                }
            }
        }
        moved
    }

    fn resume(&mut self, topic: TopicId, now: Now) -> Result<bool> {
        let main_low = self.lanes.main().low();
        let makes_way = self.makes_way();
        let Some(held) = self.lanes.held_mut(topic) else { return Ok(false) };
        let lane = held.lane().id();
        match held.phase() {
            Phase::Waiting { until } if now.instant < until => Ok(false),
            Phase::Waiting { .. } => {
                held.begin_probe();
                Ok(true)
            }
            Phase::Probing if held.is_probe_sent() => Ok(false),
            Phase::Probing => {
                held.retry_probe();
                if makes_way && !held.must_probe() {
                    return Ok(false);
                }
                for _ in 0..DELIVERIES_PER_TURN {
                    let turn = self.turn(lane, 1, now)?;
                    if turn != Turn::Moved || !self.lacks_probe(topic) {
                        return Ok(self.after_turn(topic, turn));
                    }
                }
                Ok(true)
            }
            Phase::CatchingUp if makes_way => Ok(false),
            Phase::CatchingUp => {
                let turn = self.turn(lane, usize::MAX, now)?;
                Ok(self.after_turn(topic, turn))
            }
            Phase::Draining if held.is_back(main_low) => {
                if held.is_reported() {
                    let source = self.source.name();
                    let name = self.out.topics().name(topic);
                    tracing::info!(%source, topic = name, "held topic resumed");
                }
                self.source.remembered().is_back(self.out.topics().name(topic));
                self.out.topics_mut().is_well(topic);
                self.lanes.close(topic);
                Ok(true)
            }
            Phase::Draining => Ok(false),
        }
    }

    fn after_turn(&mut self, topic: TopicId, turn: Turn) -> bool {
        let main = self.lanes.main().next();
        match (turn, self.lanes.held_mut(topic)) {
            (Turn::Moved, _) => true,
            (Turn::CaughtUp, Some(held)) => {
                held.caught_up(main);
                held.phase() == Phase::Draining
            }
            (Turn::CaughtUp | Turn::Wait, _) => false,
        }
    }

    fn lacks_probe(&self, topic: TopicId) -> bool {
        let looks =
            |held: &HeldTopic| held.phase() == Phase::Probing && held.lane().window().is_empty();
        self.lanes.held(topic).is_some_and(looks)
    }

    /// Handles (the rest of) one delivery on lane `id`, sending at most `records`. A held topic's
    /// lane passes events of other topics, and stops where the main lane stands.
    fn turn(&mut self, id: LaneId, records: usize, now: Now) -> Result<Turn> {
        let end = (id != MAIN_LANE).then(|| self.lanes.main().next());
        let Some(lane) = self.lanes.lane_mut(id) else { return Ok(Turn::CaughtUp) };
        if end.is_some_and(|end| lane.next() >= end) {
            return Ok(Turn::CaughtUp);
        }
        let stored = match lane.take()? {
            Next::Delivery(stored) => stored,
            Next::CaughtUp => return Ok(Turn::CaughtUp),
            Next::Damage(damage) => {
                // On any lane: the main one may have passed the range while it was whole. Two lanes that find it
                // use the same name in quarantine.
                let kept = self.source.quarantine_damage(&damage, now);
                match kept {
                    Ok(()) => lane.pass(damage.next_sequence),
                    Err(_) => lane.read_again_from(damage.first_sequence),
                }
                return kept.map(|()| Turn::Moved);
            }
        };
        let first = lane.skip(stored.sequence);
        let scope = Scope { lane: id, first, records, end };
        let Handled { turn, next, error } = self.handle(scope, &stored, now);
        if let Some(lane) = self.lanes.lane_mut(id) {
            match next {
                Some(index) => lane.park(stored, index),
                None => lane.pass(stored.sequence + 1),
            }
        }
        error.map_or(Ok(turn), Err)
    }

    fn has_room(&self, id: LaneId, bytes: usize) -> bool {
        let Some(lane) = self.lanes.lane(id) else { return false };
        let used = (id != MAIN_LANE).then(|| self.lanes.held_bytes());
        self.out.link().has_room(lane.window(), used, bytes)
    }

    /// Handles the events of one delivery.
    fn handle(&mut self, scope: Scope, stored: &StoredDelivery, now: Now) -> Handled {
        // Decoding costs more than it is worth for less than the whole body.
        if !self.has_room(scope.lane, stored.delivery.body.len()) {
            return Handled::waits_at(scope.first);
        }

        let rules = self.source.rules();
        let screened = self.source.screen(&rules, stored);
        let mut events = self.source.take_memory();
        self.source.come_to(stored);
        self.out.come_with(stored);
        let verdict = self.source.decode(&rules, stored, &screened, &mut events);
        if scope.lane == MAIN_LANE && self.spans.are_on() {
            let refused = events.iter().filter(|event| event.is_err()).count();
            self.spans.begin(stored, events.len(), refused + usize::from(verdict.is_err()));
        }
        let start = events.partition_point(|event| index_of(event) < scope.first);
        let handled = match verdict {
            Ok(()) => self.dispatch_all(scope, stored.sequence, &events[start..], now),
            Err(undecodable) => self.refuse_body(scope, stored, &undecodable, now),
        };
        self.source.give_memory_back(events);
        self.source.is_done_with(screened);
        if scope.lane == MAIN_LANE && handled.next.is_none() {
            self.source.is_finished(now);
        }
        handled
    }

    fn dispatch_all(
        &mut self,
        scope: Scope,
        sequence: u64,
        events: &[Decoded<'_>],
        now: Now,
    ) -> Handled {
        let mut sent = 0;
        for event in events {
            let index = index_of(event);
            let position = Position { sequence, index };
            let is_end = scope.end.is_some_and(|end| position >= end) || sent == scope.records;
            if is_end || (sent > 0 && !self.has_room(scope.lane, 0)) {
                return Handled::moved_to(index);
            }
            match self.dispatch(scope.lane, position, event, now) {
                Ok(Dispatched::Sent) => sent += 1,
                Ok(Dispatched::Passed) => {}
                Ok(Dispatched::Wait) => {
                    if scope.lane == MAIN_LANE
                        && self.lanes.pauses().began_waiting_at(position, now)
                    {
                        self.ask_for_topics(sequence, events);
                    }
                    let has_moved = index != scope.first;
                    return if has_moved {
                        Handled::moved_to(index)
                    } else {
                        Handled::waits_at(index)
                    };
                }
                Err(error) => return Handled::failed_at(index, error),
            }
        }
        Handled::finished()
    }

    /// Refuses a body without events: it is one dead letter, of the main lane.
    fn refuse_body(
        &mut self,
        scope: Scope,
        stored: &StoredDelivery,
        undecodable: &Undecodable,
        now: Now,
    ) -> Handled {
        let position = Position::start_of(stored.sequence);
        if scope.lane != MAIN_LANE || self.lanes.acked_ahead().contains(position) {
            return Handled::finished();
        }
        let originals = self.source.originals();
        let refusal = Refusal::of_body(position, undecodable, &stored.delivery.body, originals);
        match self.refuse(
            &Candidate::new(scope.lane, position, self.source.received_at()),
            &refusal,
            now,
        ) {
            Ok(Dispatched::Wait) => Handled::waits_at(scope.first),
            Ok(Dispatched::Sent | Dispatched::Passed) => Handled::finished(),
            Err(error) => Handled::failed_at(scope.first, error),
        }
    }
}
