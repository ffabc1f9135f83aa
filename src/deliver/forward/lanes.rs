//! Which lanes there are: the main one, and one for each held topic.

use super::{
    Forwarder, MAIN,
    held::{HeldTopic, Phase},
    lane::Lane,
    topics::TopicId,
    window::{LaneId, Slot, Window},
};
use crate::{
    kafka::produce::{Sink, Token},
    spool::position::Position,
};

impl<S: Sink> Forwarder<S> {
    pub(super) fn lane(&self, id: LaneId) -> Option<&Lane> {
        match id {
            MAIN => Some(&self.main),
            other => self.held.get(self.lanes.get(&other)?).map(|held| &held.lane),
        }
    }

    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        match id {
            MAIN => Some(&mut self.main),
            other => self.held.get_mut(self.lanes.get(&other)?).map(|held| &mut held.lane),
        }
    }

    /// Everything that any lane has looked at is settled.
    pub(super) fn nothing_is_on_its_way(&self) -> bool {
        self.main.window.is_empty() && self.held.values().all(|held| held.lane.window.is_empty())
    }

    pub(super) fn window_of(&mut self, token: Token) -> Option<&mut Window> {
        self.lane_mut(Window::lane_of(token)).map(|lane| &mut lane.window)
    }

    /// What `token` stands for; nothing if a lane went back since.
    pub(super) fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        self.window_of(token)?.slot(token)
    }

    pub(super) fn open_lane(&mut self, topic: TopicId, from: Position, phase: Phase, why: &str) {
        let mut id = self.last_lane;
        loop {
            id = id.wrapping_add(1);
            if id != MAIN && !self.lanes.contains_key(&id) {
                break;
            }
        }
        self.last_lane = id;
        self.close_lane(topic);
        self.lanes.insert(id, topic);
        self.settled_ahead.may_be_of(topic, from, self.dead_letters);
        let lane = Lane::new(id, self.spool.reader(from.sequence), from);
        let held = HeldTopic::new(lane, phase, why);
        self.held.insert(topic, held);
        self.show_held();
    }

    /// Whether one more topic may be held. If not, the main lane waits at `stands` for a held topic to
    /// come back; so lanes that have nothing to read before it don't count: they would wait for the
    /// main lane, and it for them.
    pub(super) fn lanes_are_left(&self, stands: Position) -> bool {
        let behind = |held: &&HeldTopic| held.phase != Phase::Draining && held.lane.next() < stands;
        self.held.values().filter(behind).count() < self.settings.held_topics
    }

    pub(super) fn close_lane(&mut self, topic: TopicId) {
        self.held.remove(&topic);
        self.lanes.retain(|_, lane_topic| *lane_topic != topic);
        self.pauses.reset();
        self.show_held();
    }

    pub(super) fn show_held(&self) {
        let source = self.spool.source().as_str();
        self.metrics.held_topics.with_label_values(&[source]).set(self.held.len() as i64);
    }
}
