//! Taking one event: which topic it goes to, whether that can be written now, and the sending.

use std::time::Duration;

use super::{
    ForwardError, Forwarder, MAIN, Now,
    held::Phase,
    over_limit::Earlier,
    refuse::{self, TOPIC_LIMIT},
    reset::Trouble,
    topics::{Topic, TopicId},
    window::{Carries, LaneId, RECORD_OVERHEAD, SLOTS, Slot, State},
};
use crate::{
    deliver::deduplicate::{Claim, Id},
    event::{Decoded, Event},
    kafka::produce::{Failure, SendError, Sink, TopicState},
    spool::position::Position,
};

/// How soon a topic that is being created is asked for again; and while the cluster is away.
const CREATION_PAUSE: Duration = Duration::from_millis(20);
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// How long the others wait for a topic that is being created.
const CREATION_PATIENCE: Duration = Duration::from_millis(500);

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A record of it is on its way.
    Sent,
    /// There is nothing to send: another lane's, settled before, a repeat, or in quarantine.
    Passed,
    /// Not now: come back to this very event.
    Wait,
}

/// What the sink was given.
pub(super) struct Sent {
    pub position: Position,
    /// The event's own topic, as far as it is known.
    pub topic: Option<TopicId>,
    pub identity: Option<Id>,
    pub size: usize,
    pub carries: Carries,
    /// What is wrong with it.
    pub error: Option<Box<str>>,
}

impl<S: Sink> Forwarder<S> {
    /// One event, or what was found in its place.
    pub(super) fn take(
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
            Err(_) if self.settled_ahead.contains(position) => return Ok(Taken::Passed),
            Err(refused) => {
                self.claims.none();
                let source = self.spool.source().clone();
                let letter = refuse::element(&source, position, refused);
                return self.refuse(id, None, None, &letter, refused.reason, now);
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
            return Ok(Taken::Passed);
        }
        if self.settled_ahead.contains(position) {
            return Ok(Taken::Passed);
        }
        if !self.may_take_over(id, known) {
            return Ok(self.rest(id, now));
        }
        // Only here, where this very lane answers for the event: a claim is a promise to settle it.
        let identity = match self.claims.claim(event, position, now.unix) {
            Claim::Granted(identity) => identity,
            Claim::Repeat => return Ok(self.pass_over(id, known, position, event, now)),
        };
        if let Some((reason, error)) = self.is_known_as_refused(position) {
            let source = self.spool.source().clone();
            let letter = refuse::event(&source, position, event, name, reason, &error);
            return self.refuse(id, known, identity, &letter, reason, now);
        }
        match known {
            Some(topic) if self.topics.get(topic).ready => {
                self.send(id, topic, position, identity, event, now)
            }
            _ => self.send_to_new_topic(id, position, identity, event, name, now),
        }
    }

    /// The topic was never written, or was in trouble: ask before writing.
    fn send_to_new_topic(
        &mut self,
        id: LaneId,
        position: Position,
        identity: Option<Id>,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        match self.sink.topic(name) {
            TopicState::Ready => match self.earlier_over_limit(name, position) {
                Earlier::Nothing => {
                    self.is_under_limit(position);
                    let topic = self.topics.enter(name);
                    self.topics.get_mut(topic).ready = self.over_limit.is_empty_of(name);
                    self.send(id, topic, position, identity, event, now)
                }
                Earlier::Unsettled => Ok(self.go_back_to_over_limit(id, now)),
                Earlier::NotPassed if id != MAIN => Ok(self.rest(id, now)),
                Earlier::NotPassed => Ok(self.wait_for_creation(name, position, now)),
            },
            TopicState::OverLimit => {
                self.note_over_limit(position, name);
                let source = self.spool.source().clone();
                let error = format!(
                    "topic `{name}` would be one more than topics.limit allows: create it by hand \
                     or raise the limit"
                );
                let letter = refuse::event(&source, position, event, name, TOPIC_LIMIT, &error);
                self.refuse(id, self.topics.find(name), identity, &letter, TOPIC_LIMIT, now)
            }
            // Nobody knows which topics there are while the cluster is away.
            TopicState::Pending if self.cluster_is_away() || id != MAIN => Ok(self.rest(id, now)),
            TopicState::Pending => Ok(self.wait_for_creation(name, position, now)),
            TopicState::Unavailable(why) if id == MAIN => {
                Ok(self.hold_unavailable(name, position, &why, now))
            }
            TopicState::Unavailable(why) => {
                let topic = self.topics.enter(name);
                let until = self.wait_for(topic, now);
                self.tell_of_trouble(topic, position, &why);
                if let Some(held) = self.held.get_mut(&topic) {
                    held.is_in_doubt = true;
                    held.phase = Phase::Waiting { until };
                    held.why = why;
                }
                Ok(Taken::Wait)
            }
        }
    }

    /// One topic is being created; the others of the delivery can be in the same breath.
    pub(super) fn ask_for_topics(&mut self, items: &[Decoded<'_>]) {
        for event in items.iter().flatten() {
            let name = self.router.topic(self.spool.source(), event, &mut self.topic_name);
            if self.topics.find(name).is_none() {
                self.sink.topic(name);
            }
        }
    }

    /// The lane rests for the moment that looking up a topic takes.
    pub(super) fn rest(&mut self, id: LaneId, now: Now) -> Taken {
        let until = now.instant + self.look_up_pause();
        if id == MAIN {
            self.paused_until = Some(until);
        } else if let Some(held) = self.lanes.get(&id).and_then(|topic| self.held.get_mut(topic)) {
            held.phase = Phase::Waiting { until };
        }
        Taken::Wait
    }

    /// Each time a lane asks, it decodes its delivery: not often while nobody can answer.
    pub(super) fn look_up_pause(&self) -> Duration {
        if self.cluster_is_away() { AWAY_PAUSE } else { CREATION_PAUSE }
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
        let patient = now.instant < since + CREATION_PATIENCE;
        if patient || !self.lanes_are_left(position) {
            return self.rest(MAIN, now);
        }
        if self.owes_by_name(name) {
            return self.wait_for_what_it_owes(name, "being created", now);
        }
        let topic = self.topics.enter(name);
        let phase = Phase::Waiting { until: now.instant + CREATION_PAUSE };
        self.open_lane(topic, position, phase, "being created");
        if let Some(held) = self.held.get_mut(&topic) {
            held.is_in_doubt = false;
        }
        Taken::Passed
    }

    fn hold_unavailable(&mut self, name: &str, position: Position, why: &str, now: Now) -> Taken {
        if self.owes_by_name(name) {
            return self.wait_for_what_it_owes(name, why, now);
        }
        let topic = self.topics.enter(name);
        if !self.may_hold(topic, position, now, why) {
            return Taken::Wait;
        }
        self.hold(topic, position, why, now);
        Taken::Passed
    }

    /// Its dead letters are settled in a moment; or not, and then a reset knows where it begins.
    fn wait_for_what_it_owes(&mut self, name: &str, why: &str, now: Now) -> Taken {
        if !self.letters.are_in_trouble() {
            return self.rest(MAIN, now);
        }
        let topic = self.topics.enter(name);
        let trouble = Trouble { why: why.into(), one_at_a_time: false };
        self.troubled.entry(topic).or_insert(trouble);
        Taken::Wait
    }

    /// Whether dead letters of the topic's earlier events are on their way: it is not held before
    /// they are settled, since its lane would begin behind them.
    fn owes_by_name(&self, name: &str) -> bool {
        match self.topics.find(name) {
            Some(topic) => self.owes(topic, None),
            None => {
                self.main.window.iter().any(|slot| !slot.state.is_done() && slot.is_over_limit())
            }
        }
    }

    fn send(
        &mut self,
        id: LaneId,
        topic: TopicId,
        position: Position,
        identity: Option<Id>,
        event: &Event<'_>,
        now: Now,
    ) -> Result<Taken, ForwardError> {
        let Some(token) = self.lane(id).map(|lane| lane.window.next_token()) else {
            return Ok(Taken::Wait);
        };
        if id != MAIN && self.has_to_ask(topic) && !self.has_its_turn(topic, now) {
            return Ok(Taken::Wait);
        }
        let Topic { outstanding, alone_before, .. } = self.topics.get(topic);
        if id == MAIN && position < *alone_before && *outstanding > 0 {
            return Ok(Taken::Wait);
        }
        let name = &self.topics.get(topic).name;
        let encoded = self.encoder.encode(name, self.spool.id(), position, event);
        let record = encoded.record();
        let size = record.size();
        let limit = self.sink.record_limit();
        if size > limit {
            let error = format!(
                "the record has {size} bytes, but kafka.properties.message.max.bytes allows {limit}"
            );
            let (name, source) = (name.clone(), self.spool.source().clone());
            let letter = refuse::event(&source, position, event, &name, refuse::TOO_LARGE, &error);
            return self.refuse(id, Some(topic), identity, &letter, refuse::TOO_LARGE, now);
        }
        match self.sink.send(&record, token) {
            Ok(()) => {
                if id != MAIN && self.has_to_ask(topic) {
                    self.asks(now);
                }
                let topic = Some(topic);
                let carries = Carries::Event(event.stream);
                let sent = Sent { position, topic, identity, size, carries, error: None };
                self.sent(id, sent, now);
                Ok(Taken::Sent)
            }
            Err(SendError::QueueFull) => Ok(Taken::Wait),
            Err(SendError::Failed(Failure::Refused(error))) => {
                let (name, source) = (name.clone(), self.spool.source().clone());
                let letter = refuse::event(&source, position, event, &name, "refused", &error);
                self.refuse(id, Some(topic), identity, &letter, "refused", now)
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

    /// Notes that the sink has a record of lane `id`.
    pub(super) fn sent(&mut self, id: LaneId, sent: Sent, now: Now) {
        let topic = self.goes_to(&sent);
        self.topics.sent(topic, sent.size + RECORD_OVERHEAD, self.pace.mark());
        self.joins_transaction();
        let entry = self.topics.get(topic);
        tracing::trace!(position = %sent.position, topic = entry.name, lane = id, "sent");
        self.push(id, sent, State::Outstanding, now);
    }

    fn goes_to(&self, sent: &Sent) -> TopicId {
        match (sent.carries, sent.topic) {
            (Carries::Event(_), Some(topic)) => topic,
            (Carries::Event(_), None) | (Carries::DeadLetter { .. }, _) => self.dead_letters,
        }
    }

    /// Gives an event its place in the window of lane `id`.
    pub(super) fn push(&mut self, id: LaneId, event: Sent, state: State, now: Now) {
        let (topic, since) = (self.goes_to(&event), now.instant);
        let turn = match state {
            State::Outstanding => self.pace.hand_over(event.size + RECORD_OVERHEAD),
            _ => 0,
        };
        let Sent { position, topic: belongs_to, identity, size, carries, error } = event;
        let slot = Slot {
            position,
            topic,
            belongs_to,
            identity,
            size,
            since,
            turn,
            carries,
            state,
            error,
        };
        if let Some(lane) = self.lane_mut(id) {
            lane.window.push(slot);
        }
    }

    /// The main lane may fill three quarters of the window and the held topics' together the rest,
    /// so that neither can keep the other from moving; and all of it is smaller on a slow path. What is on
    /// its way to topics that say nothing takes nothing of that smaller one, or they would stop the others.
    /// A lane with nothing on its way has room for one record, whatever the others do.
    pub(super) fn has_room_for(&self, id: LaneId, bytes: usize) -> bool {
        let Some(window) = self.lane(id).map(|lane| &lane.window) else { return false };
        let (quarters, used) = if id == MAIN {
            (3, window.bytes())
        } else {
            (1, self.held.values().map(|held| held.lane.window.bytes()).sum())
        };
        let has_room = |limit: usize, used: usize| {
            let share = limit / 4 * quarters;
            used + bytes.min(share / 4) <= share
        };
        let silent = if id == MAIN { self.silent_bytes } else { 0 };
        let fits = has_room(self.window_bytes, used.saturating_sub(silent))
            && has_room(self.settings.window_bytes, used)
            && window.len() < SLOTS;
        fits || window.is_empty()
    }
}
