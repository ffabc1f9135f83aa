//! The lanes: the main one and one for each held topic, and the events that they need not send again.

use std::{collections::BTreeMap, time::Instant};

use prometheus::{IntCounter, IntGauge};

use super::{
    MAIN_LANE, Now,
    acked_ahead::AckedAhead,
    held::{HeldTopic, Hold, Phase},
    lane::Lane,
    pauses::Pauses,
    topics::{TopicId, Topics},
    window::{LaneId, Slot, State, Window},
};
use crate::{
    deliver::{checkpoint::Held, deduplicate::Identity},
    kafka::produce::Token,
    observe::metrics::{Metrics, settled},
    spool::{Spool, position::Position},
};

pub(super) struct Lanes {
    spool: Spool,
    main: Lane,
    held: BTreeMap<TopicId, HeldTopic>,
    by_id: BTreeMap<LaneId, TopicId>,
    last_id: LaneId,
    acked_ahead: AckedAhead,
    /// Limit of topics held at once; beyond it the main lane waits.
    most_held: usize,
    /// Pauses of the main lane.
    pauses: Pauses,
    /// Shows the console why a topic is held.
    settled: settled::SourceResults,
    held_topics: IntGauge,
    holds: IntCounter,
}

/// A slot that was settled.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    pub position: Position,
    pub identity: Option<Identity>,
}

impl Settled {
    /// Keeps it from other replicas: the event is settled by bytes that lie on this volume alone.
    pub fn of_this_volume(self) -> Self {
        Self { identity: self.identity.map(Identity::of_this_volume), ..self }
    }
}

impl Lanes {
    /// The main lane begins at `from`; dead letters of events without a known topic count as of `unknown`.
    pub fn new(
        spool: &Spool,
        from: Position,
        unknown: TopicId,
        most_held: usize,
        metrics: &Metrics,
    ) -> Self {
        let labels = [spool.source().as_str()];
        Self {
            main: Lane::new(MAIN_LANE, spool.reader(from.sequence), from),
            held: BTreeMap::new(),
            by_id: BTreeMap::new(),
            last_id: MAIN_LANE,
            acked_ahead: AckedAhead::new(unknown),
            most_held,
            pauses: Pauses::new(),
            held_topics: metrics.held_topics.with_label_values(&labels),
            holds: metrics.holds.with_label_values(&labels),
            spool: spool.clone(),
            settled: metrics.settled.of(labels[0]),
        }
    }

    pub fn main(&self) -> &Lane {
        &self.main
    }

    pub fn main_mut(&mut self) -> &mut Lane {
        &mut self.main
    }

    pub fn lane(&self, id: LaneId) -> Option<&Lane> {
        match id {
            MAIN_LANE => Some(&self.main),
            other => self.held.get(self.by_id.get(&other)?).map(HeldTopic::lane),
        }
    }

    pub fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        match id {
            MAIN_LANE => Some(&mut self.main),
            other => self.held.get_mut(self.by_id.get(&other)?).map(HeldTopic::lane_mut),
        }
    }

    pub fn held(&self, topic: TopicId) -> Option<&HeldTopic> {
        self.held.get(&topic)
    }

    pub fn held_mut(&mut self, topic: TopicId) -> Option<&mut HeldTopic> {
        self.held.get_mut(&topic)
    }

    pub fn all_held(&self) -> impl Iterator<Item = (TopicId, &HeldTopic)> {
        self.held.iter().map(|(topic, held)| (*topic, held))
    }

    pub fn all_held_mut(&mut self) -> impl Iterator<Item = (TopicId, &mut HeldTopic)> {
        self.held.iter_mut().map(|(topic, held)| (*topic, held))
    }

    /// Number of held topics.
    pub fn len_held(&self) -> usize {
        self.held.len()
    }

    /// The token that the next record of lane `id` will have.
    pub fn next_token(&self, id: LaneId) -> Option<Token> {
        self.lane(id).map(|lane| lane.window().next_token())
    }

    /// Gives an event its place in the window of lane `id`.
    pub fn push(&mut self, id: LaneId, slot: Slot) {
        if let Some(lane) = self.lane_mut(id) {
            lane.window_mut().push(slot);
        }
    }

    /// Returns the slot of `token`; none if its lane went back since.
    pub fn slot(&self, token: Token) -> Option<&Slot> {
        self.lane(Window::lane_of(token))?.window().get(token)
    }

    pub fn slot_mut(&mut self, token: Token) -> Option<&mut Slot> {
        self.lane_mut(Window::lane_of(token))?.window_mut().slot(token)
    }

    pub fn set_state(&mut self, token: Token, state: State) {
        if let Some(slot) = self.slot_mut(token) {
            slot.state = state;
        }
    }

    /// Settles the slot: its event has reached its place, and its lane may go on.
    pub fn settle(&mut self, token: Token) -> Option<Settled> {
        let id = Window::lane_of(token);
        let window = self.lane_mut(id)?.window_mut();
        let slot = window.slot(token).map(|slot| (slot.position, slot.belongs_to, slot.identity));
        window.settle(token);
        if let Some((position, Some(topic), _)) = slot
            && id == MAIN_LANE
            && self.held.contains_key(&topic)
        {
            // If the topic's own lane goes back, it comes to events that the main lane took over.
            self.acked_ahead.insert(position, Some(topic));
        }
        if let Some(held) = self.by_id.get(&id).and_then(|topic| self.held.get_mut(topic)) {
            held.accepted();
        }
        slot.map(|(position, _, identity)| Settled { position, identity })
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        let held = self.held.values().map(|held| held.lane().window());
        std::iter::once(self.main.window()).chain(held)
    }

    /// All slots of all lanes.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.windows().flat_map(Window::iter)
    }

    /// The windows in which no record may hang: it would take the others' room. A probe of a held topic
    /// may take its time, unless `with_probes`; a dead letter on the topic's lane may not.
    pub fn watched(&self, with_probes: bool) -> impl Iterator<Item = &Window> {
        let held = self.held.values().filter(move |held| {
            let oldest = held.lane().window().oldest_on_its_way();
            with_probes
                || held.phase() != Phase::Probing
                || oldest.is_some_and(|oldest| !oldest.carries.is_event())
        });
        std::iter::once(self.main.window()).chain(held.map(|held| held.lane().window()))
    }

    /// Bytes on the lanes of all held topics.
    pub fn held_bytes(&self) -> usize {
        self.held.values().map(|held| held.lane().window().bytes()).sum()
    }

    /// Whether all events that any lane has looked at are settled.
    pub fn are_idle(&self) -> bool {
        self.windows().all(Window::is_empty)
    }

    /// The oldest unsettled event of any lane, those included that were put back: all events before it have reached
    /// their place.
    pub fn low(&self) -> Position {
        let main = self.main.low();
        let held = self.held.values().filter(|held| !held.is_back(main));
        held.map(|held| held.lane().low()).fold(main, Position::min)
    }

    /// Whether no lane is behind the main one. A lane that went back owes events that its window has forgotten.
    pub fn are_level(&self) -> bool {
        self.held.values().all(|held| held.lane().next() >= self.main.next())
    }

    /// Leaves the unsettled slots of which `is_meant` holds.
    pub fn take_out(&mut self, is_meant: impl Fn(&Slot) -> bool) {
        self.main.window_mut().take_out(&is_meant);
        for held in self.held.values_mut() {
            held.lane_mut().window_mut().take_out(&is_meant);
        }
    }

    /// Whether lane `id` has nothing to do for this event of `topic`: it is another lane's, or acknowledged before.
    pub fn passes(&self, id: LaneId, topic: Option<TopicId>, position: Position) -> bool {
        let is_anothers = match id {
            MAIN_LANE => topic
                .and_then(|topic| self.held.get(&topic))
                .is_some_and(|held| held.covers(position)),
            other => topic.as_ref() != self.by_id.get(&other),
        };
        is_anothers || self.acked_ahead.contains(position)
    }

    /// Events that lanes which go back must not send again.
    pub fn acked_ahead(&self) -> &AckedAhead {
        &self.acked_ahead
    }

    pub fn acked_ahead_mut(&mut self) -> &mut AckedAhead {
        &mut self.acked_ahead
    }

    /// Remembers all settled slots, so that lanes which go back do not send them again.
    pub fn remember_settled(&mut self) {
        let lanes = self.held.values().map(|held| held.lane().window());
        let windows = std::iter::once(self.main.window()).chain(lanes);
        self.acked_ahead.insert_settled(windows.flat_map(Window::iter));
    }

    /// Remembers the settled slots behind a failed one, whose topic gets a lane that comes to them again.
    pub fn remember_settled_after(&mut self, failed: &Slot) {
        let lane = self.held.get(&failed.topic).map(|held| held.lane().window());
        let slots = self.main.window().iter().chain(lane.into_iter().flat_map(Window::iter));
        let is_same =
            |slot: &&Slot| slot.belongs_to == failed.belongs_to && slot.position > failed.position;
        self.acked_ahead.insert_settled(slots.filter(is_same));
    }

    /// Forgets settled events that no lane can come to any more.
    pub fn forget_behind(&mut self) {
        let low = self.main.low();
        let held = &self.held;
        self.acked_ahead.keep(|position, topic| {
            position >= low || held.get(&topic).is_some_and(|held| position >= held.lane().low())
        });
    }

    /// Whether an unsettled event of `topic`, other than the one at `but`, is on the main lane or on the topic's own
    /// lane: a new lane that begins behind it would lose it. Without a topic id: whether a `topic-limit` dead letter is
    /// not settled.
    pub fn owes(&self, topic: Option<TopicId>, but: Option<Position>) -> bool {
        let Some(topic) = topic else { return self.main.owed().any(Slot::is_over_limit) };
        let own = self.held.get(&topic).into_iter().flat_map(|held| held.lane().owed());
        let main = self.main.owed().filter(|slot| slot.may_belong_to(topic));
        main.chain(own).any(|slot| Some(slot.position) != but)
    }

    /// Whether the main lane owes none of the events that held topics' lanes cover: it passes those.
    pub fn are_disjoint(&self) -> bool {
        self.main.owed().all(|slot| {
            let held = slot.belongs_to.and_then(|topic| self.held.get(&topic));
            held.is_none_or(|held| !held.covers(slot.position))
        })
    }

    /// Opens a lane of its own for `topic`.
    pub fn open(&mut self, topic: TopicId, from: Position, phase: Phase) -> &mut HeldTopic {
        let mut id = self.last_id.wrapping_add(1);
        // Ids wrap around: those in use are skipped.
        while id == MAIN_LANE || self.by_id.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.last_id = id;
        // The topic may still have an earlier lane, which is draining.
        self.close(topic);
        self.by_id.insert(id, topic);
        self.acked_ahead.may_be_of(topic, from);
        let lane = Lane::new(id, self.spool.reader(from.sequence), from);
        self.held_topics.set(self.held.len() as i64 + 1);
        self.held.entry(topic).or_insert(HeldTopic::new(lane, phase))
    }

    pub fn close(&mut self, topic: TopicId) {
        self.held.remove(&topic);
        self.by_id.retain(|_, of| *of != topic);
        self.pauses.reset();
        self.held_topics.set(self.held.len() as i64);
    }

    /// Closes the lanes of all held topics, forgets the settled events, and returns the closed lanes.
    pub fn close_all(&mut self) -> BTreeMap<TopicId, HeldTopic> {
        self.by_id.clear();
        self.acked_ahead.clear();
        self.held_topics.set(0);
        std::mem::take(&mut self.held)
    }

    /// Whether one more topic may be held. If not, the main lane waits at `stands` for a held topic to
    /// come back; so lanes that have nothing to read before it do not count: they would wait for the
    /// main lane, and it for them.
    pub fn are_left(&self, stands: Position) -> bool {
        let is_behind =
            |held: &&HeldTopic| held.phase() != Phase::Draining && held.lane().next() < stands;
        self.held.values().filter(is_behind).count() < self.most_held
    }

    /// Whether the topic has a lane of its own, or may have one. If not, the main lane rests for a while; for a refused
    /// record of a batch it sends the topic's records singly instead, to find out which.
    pub fn may_hold(&mut self, hold: Hold<'_>, topics: &mut Topics, now: Now) -> bool {
        if self.held.contains_key(&hold.topic) || self.are_left(hold.from) {
            return true;
        }
        if let Some(end) = hold.alone_before {
            topics.send_singly(hold.topic, end);
            return false;
        }
        if self.pauses.back_off(now) {
            tracing::error!(
                source = %self.spool.source(),
                topic = topics.name(hold.topic),
                why = hold.why,
                held = self.held.len(),
                "one more topic cannot be written and forward.held_topics are held already: the \
                 source waits",
            );
        }
        false
    }

    /// Leaves the topic to a lane of its own.
    pub fn hold(&mut self, hold: Hold<'_>, topics: &mut Topics, now: Now) {
        let until = now.instant + topics.next_pause(hold.topic);
        topics.ask_before_next(hold.topic);
        let held = self.open(hold.topic, hold.from, Phase::Waiting { until });
        if let Some(end) = hold.alone_before {
            held.send_singly(end);
        }
        self.report(hold, topics);
    }

    /// Logs once that a held topic fails.
    pub fn report(&mut self, hold: Hold<'_>, topics: &Topics) {
        let Some(held) = self.held.get_mut(&hold.topic) else { return };
        self.settled.held(topics.name(hold.topic), hold.why);
        if held.report() {
            self.holds.inc();
            let source = self.spool.source();
            let name = topics.name(hold.topic);
            tracing::warn!(%source, topic = name, position = %hold.from, why = hold.why, "a topic is held");
        }
    }

    /// Lets the topic's lane wait after one more failure.
    pub fn wait(&mut self, topic: TopicId, topics: &mut Topics, now: Now) {
        let until = now.instant + topics.next_pause(topic);
        if let Some(held) = self.held.get_mut(&topic) {
            held.wait(until);
        }
    }

    /// Lets lane `id` rest until then.
    pub fn rest(&mut self, id: LaneId, until: Instant) {
        if id == MAIN_LANE {
            self.pauses.rest(until);
        } else if let Some(held) = self.by_id.get(&id).and_then(|it| self.held.get_mut(it)) {
            held.wait(until);
        }
    }

    /// Pauses of the main lane.
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    pub fn pauses_mut(&mut self) -> &mut Pauses {
        &mut self.pauses
    }

    /// The held topics, as a checkpoint names them, except those that are back.
    pub fn named(
        &self,
        topics: &Topics,
        is_back: impl Fn(&HeldTopic) -> bool,
        position: impl Fn(&Lane) -> Position,
    ) -> Vec<Held> {
        let held = self.held.iter().filter(|(_, held)| !is_back(held));
        let held = held.map(|(topic, held)| Held {
            topic: topics.name(*topic).to_owned(),
            position: position(held.lane()),
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests;
