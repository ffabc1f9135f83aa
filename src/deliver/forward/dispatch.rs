//! Dispatching one event: its topic, whether that can be written now, and the sending.

use super::{
    Forwarder, MAIN_LANE, Now, Result,
    at_least_once::Earlier,
    guarantee::Probe,
    held::{Hold, Phase},
    out::{CREATION_PAUSE, NotSent, Trouble},
    refusal::{Refusal, TOPIC_LIMIT},
    topics::TopicId,
    window::{Carries, LaneId, RECORD_OVERHEAD, Slot, State},
};
use crate::{
    deliver::{
        deduplicate::{Claim, Identity, RestsOn},
        select::LeftOut,
    },
    event::{Decoded, Event},
    kafka::produce::{Sink, TopicState},
    source::UnixMillis,
    spool::position::Position,
};

/// An event, or an element or a body in its place, that a lane has come to.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub lane: LaneId,
    pub position: Position,
    /// The event's own topic, as far as it is known.
    pub topic: Option<TopicId>,
    /// The id by which repeats are recognised, if it is an event with one.
    pub identity: Option<Identity>,
    /// When its delivery was received.
    pub received_at: UnixMillis,
}

/// Result of dispatching one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispatched {
    /// A record of it is on its way.
    Sent,
    /// There is nothing to send: another lane's, settled before, a repeat, not taken, or in quarantine.
    Passed,
    /// Not sent now: come back to this very event.
    Wait,
}

impl Candidate {
    pub fn new(lane: LaneId, position: Position, received_at: UnixMillis) -> Self {
        Self { lane, position, topic: None, identity: None, received_at }
    }

    /// Its slot in the window, with a record for `topic` that the sink does not have yet.
    pub fn slot(&self, topic: TopicId, carries: Carries, now: Now) -> Slot {
        Slot {
            position: self.position,
            topic,
            belongs_to: self.topic,
            identity: self.identity,
            rests_on: None,
            size: RECORD_OVERHEAD,
            since: now.instant,
            received_at: self.received_at,
            turn: 0,
            carries,
            state: State::Outstanding,
            error: None,
        }
    }
}

impl<S: Sink> Forwarder<S> {
    /// Dispatches one event, or the undecodable element in its place.
    pub(super) fn dispatch(
        &mut self,
        lane: LaneId,
        position: Position,
        item: &Decoded<'_>,
        now: Now,
    ) -> Result<Dispatched> {
        let candidate = Candidate::new(lane, position, self.source.received_at());
        match item {
            Ok(event) => {
                if let Some(why) = self.source.leaves_out(position.sequence, event) {
                    return Ok(self.leave_out(lane, position, event, why, now));
                }
                let name = self.source.take_topic(event);
                let topic = self.out.topics().find(&name);
                let dispatched =
                    self.dispatch_event(Candidate { topic, ..candidate }, event, &name, now);
                self.source.give_topic_back(name);
                dispatched
            }
            Err(_) if lane != MAIN_LANE || self.lanes.acked_ahead().contains(position) => {
                Ok(Dispatched::Passed)
            }
            Err(refused) => {
                self.source.is_no_event();
                let originals = self.source.originals();
                let refusal = Refusal::of_element(position, refused, originals);
                self.refuse(&candidate, &refusal, now)
            }
        }
    }

    /// Passes an event that is not taken. Before any claim: another source may take the event, and needs its id.
    fn leave_out(
        &mut self,
        lane: LaneId,
        position: Position,
        event: &Event<'_>,
        why: LeftOut,
        now: Now,
    ) -> Dispatched {
        if lane == MAIN_LANE {
            self.source.left_out(event, position, why, now);
        }
        Dispatched::Passed
    }

    fn dispatch_event(
        &mut self,
        candidate: Candidate,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Dispatched> {
        let Candidate { lane, position, topic, .. } = candidate;
        if let Some(rests_on) = self.lanes.acked_ahead().passed_over_for(position)
            && self.source.is_released(rests_on)
        {
            self.lanes.acked_ahead_mut().forget_passed_over(position);
        }
        if self.lanes.passes(lane, topic, position) {
            return Ok(Dispatched::Passed);
        }
        let still_held = self.guarantee.still_held(lane, topic, &self.lanes);
        if still_held.is_some() && !self.lanes.acked_ahead().has_room() {
            return Ok(self.rest(lane, now));
        }
        // Only here, where this very lane answers for the event: a claim is a promise to settle it.
        let (claim, with_less) = self.source.claim(event, position, now);
        let event = with_less.as_deref().unwrap_or(event);
        let identity = match claim {
            Claim::Granted(identity) => identity,
            Claim::Repeat(rests_on) => {
                self.pass_over(&candidate, rests_on, still_held, event, now);
                return Ok(Dispatched::Passed);
            }
        };
        let candidate = Candidate { identity, ..candidate };
        if let Some(known) = self.guarantee.known(position) {
            let reason = known.reason;
            let error = known.error.clone();
            let refusal = Refusal::of_event(position, event, name, reason, &error);
            return self.refuse(&candidate, &refusal, now);
        }
        let is_ready =
            |topic: &TopicId| self.out.topics().is_ready(*topic) && self.out.has_schema(*topic);
        match topic.filter(is_ready) {
            Some(topic) => self.send(candidate, topic, event, now),
            None => self.send_to_new(candidate, event, name, now),
        }
    }

    /// Passes a repeat: another event with its id is delivered, or will be. But ids are forgotten, and a lane that goes
    /// back after that would take it for a new event and send it behind later ones of its key (I4); the event that it
    /// repeats may be a dead letter. So the repeat is remembered as an event that this forwarder has settled itself,
    /// for as long as a lane can come back to it and the event that it rests on is not given up.
    fn pass_over(
        &mut self,
        candidate: &Candidate,
        rests_on: RestsOn,
        still_held: Option<TopicId>,
        event: &Event<'_>,
        now: Now,
    ) {
        if !self.guarantee.remembers_repeats() {
            return;
        }
        if still_held.is_some() {
            self.lanes.acked_ahead_mut().insert(candidate.position, still_held);
            self.lanes.acked_ahead_mut().passed_over(candidate.position, rests_on);
        }
        // A lane goes back as far as its oldest event that is not done.
        if self.lanes.lane(candidate.lane).is_some_and(|lane| !lane.window().is_empty()) {
            let topic = candidate.topic.unwrap_or(self.dead_letters.id());
            let slot = candidate.slot(topic, Carries::Event(event.counts_as()), now);
            let slot = Slot { state: State::Settled, rests_on: Some(rests_on), ..slot };
            self.lanes.push(candidate.lane, slot);
        }
    }

    /// Asks the sink before writing to a topic that was never written, or has failed.
    fn send_to_new(
        &mut self,
        candidate: Candidate,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Dispatched> {
        let Candidate { lane, position, .. } = candidate;
        match self.out.topic_state_for(name, event) {
            TopicState::Ready => self.send_to_ready(candidate, event, name, now),
            TopicState::OverLimit => {
                self.guarantee.note_over_limit(position, name);
                let error = format!(
                    "topic `{name}` would be one more than topics.limit allows: create it by hand \
                     or raise the limit"
                );
                let refusal = Refusal::of_event(position, event, name, TOPIC_LIMIT, &error);
                self.refuse(&candidate, &refusal, now)
            }
            // While the cluster is away it is not known which topics exist.
            TopicState::Pending if lane != MAIN_LANE || self.out.cluster_is_away() => {
                Ok(self.rest(lane, now))
            }
            TopicState::Pending => Ok(self.wait_for_creation(name, position, now)),
            TopicState::Unavailable(why) if lane == MAIN_LANE => {
                Ok(self.hold_unavailable(name, position, &why, now))
            }
            TopicState::Unavailable(why) => {
                let topic = self.out.topics_mut().enter(name);
                let hold = Hold { topic, from: position, why: &why, alone_before: None };
                self.lanes.wait(topic, self.out.topics_mut(), now);
                self.lanes.report(hold, self.out.topics());
                if let Some(held) = self.lanes.held_mut(topic) {
                    held.doubt();
                }
                Ok(Dispatched::Wait)
            }
        }
    }

    /// Sends to a topic that can be written, once its earlier `topic-limit` events are out of the way.
    fn send_to_ready(
        &mut self,
        candidate: Candidate,
        event: &Event<'_>,
        name: &str,
        now: Now,
    ) -> Result<Dispatched> {
        let Candidate { lane, position, .. } = candidate;
        match self.guarantee.earlier_over_limit(name, position, &self.lanes) {
            Earlier::Nothing => {
                let is_ready = self.guarantee.is_under_limit(position, name);
                let topic = self.out.topics_mut().enter(name);
                self.out.topics_mut().set_ready(topic, is_ready);
                self.send(candidate, topic, event, now)
            }
            Earlier::Unsettled => Ok(self.rewind_to_earlier(lane, now)),
            Earlier::NotPassed if lane != MAIN_LANE => Ok(self.rest(lane, now)),
            Earlier::NotPassed => Ok(self.wait_for_creation(name, position, now)),
        }
    }

    /// Lets earlier events over the limit, which are unsettled, go to the topic first: it exists by now.
    fn rewind_to_earlier(&mut self, lane: LaneId, now: Now) -> Dispatched {
        if !self.dead_letters.is_failing() {
            return self.rest(lane, now); // their dead letters are on their way
        }
        self.out.renew_later();
        Dispatched::Wait
    }

    /// Asks for the topics of a delivery's other events, so that they are created together with the one that is waited
    /// for.
    pub(super) fn ask_for_topics(&mut self, sequence: u64, items: &[Decoded<'_>]) {
        for event in items.iter().flatten() {
            if self.source.leaves_out(sequence, event).is_some() {
                continue;
            }
            let name = self.source.take_topic(event);
            let topic = self.out.topics().find(&name);
            if topic.is_none_or(|topic| !self.out.has_schema(topic)) {
                self.out.topic_state_for(&name, event);
            }
            self.source.give_topic_back(name);
        }
    }

    /// The lane rests for the moment that looking up a topic takes.
    pub(super) fn rest(&mut self, lane: LaneId, now: Now) -> Dispatched {
        self.lanes.rest(lane, now.instant + self.out.look_up_pause());
        Dispatched::Wait
    }

    /// Waits for a topic that is being created: for a moment on the main lane, then on a lane of the topic's own.
    fn wait_for_creation(&mut self, name: &str, position: Position, now: Now) -> Dispatched {
        let waits = self.lanes.pauses_mut().waits_for_creation(position, now);
        if waits || !self.lanes.are_left(position) {
            return self.rest(MAIN_LANE, now);
        }
        if self.owes(name) {
            return self.wait_for_owed(name, "being created", now);
        }
        let topic = self.out.topics_mut().enter(name);
        let until = now.instant + CREATION_PAUSE;
        self.lanes.open(topic, position, Phase::Waiting { until }).trust();
        Dispatched::Passed
    }

    fn hold_unavailable(
        &mut self,
        name: &str,
        position: Position,
        why: &str,
        now: Now,
    ) -> Dispatched {
        if self.owes(name) {
            return self.wait_for_owed(name, why, now);
        }
        let topic = self.out.topics_mut().enter(name);
        let hold = Hold { topic, from: position, why, alone_before: None };
        if !self.lanes.may_hold(hold, self.out.topics_mut(), now) {
            return Dispatched::Wait;
        }
        self.lanes.hold(hold, self.out.topics_mut(), now);
        Dispatched::Passed
    }

    /// Whether dead letters of the topic's earlier events are on their way: it is not held before
    /// they are settled, since its lane would begin behind them.
    fn owes(&self, name: &str) -> bool {
        self.lanes.owes(self.out.topics().find(name), None)
    }

    /// Waits for the topic's dead letters: they are settled in a moment, or a rewind finds out where the topic begins.
    fn wait_for_owed(&mut self, name: &str, why: &str, now: Now) -> Dispatched {
        if !self.dead_letters.is_failing() {
            return self.rest(MAIN_LANE, now);
        }
        let topic = self.out.topics_mut().enter(name);
        self.out.topic_failed(topic, Trouble::passing(why));
        Dispatched::Wait
    }

    fn send(
        &mut self,
        candidate: Candidate,
        topic: TopicId,
        event: &Event<'_>,
        now: Now,
    ) -> Result<Dispatched> {
        let candidate = Candidate { topic: Some(topic), ..candidate };
        let Candidate { lane, position, .. } = candidate;
        let Some(token) = self.lanes.next_token(lane) else { return Ok(Dispatched::Wait) };
        let probe = match lane {
            MAIN_LANE => Probe::None,
            _ => self.guarantee.probe(topic, &mut self.lanes, now),
        };
        let waits = lane == MAIN_LANE && self.out.topics().waits_for_another(topic, position);
        if waits || probe == Probe::Later {
            return Ok(Dispatched::Wait);
        }
        match self.out.send(topic, position, event, token) {
            Ok(size) => {
                if probe == Probe::Now {
                    self.guarantee.probe_sent(now);
                }
                let slot = candidate.slot(topic, Carries::Event(event.counts_as()), now);
                self.sent(lane, slot, size);
                Ok(Dispatched::Sent)
            }
            Err(NotSent::Wait) => Ok(Dispatched::Wait),
            Err(NotSent::Refused(reason, error)) => {
                let name = self.out.topics().name(topic).to_owned();
                let refusal = Refusal::of_event(position, event, &name, reason, &error);
                self.refuse(&candidate, &refusal, now)
            }
        }
    }

    /// Gives the record that the sink has taken its slot in the window of lane `id`.
    pub(super) fn sent(&mut self, id: LaneId, slot: Slot, size: usize) {
        let size = size + RECORD_OVERHEAD;
        let turn = self.out.sent(slot.topic, size);
        self.guarantee.sent();
        let topic = self.out.topics().name(slot.topic);
        tracing::trace!(position = %slot.position, topic, lane = id, "sent");
        self.lanes.push(id, Slot { size, turn, ..slot });
    }
}
