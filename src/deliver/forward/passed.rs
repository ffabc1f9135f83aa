//! Repeats that a lane has passed over, and that it or another lane may come to once more.
//!
//! Such an event is known by its id, and ids are forgotten. A lane that goes back by then would take it for a new event
//! and send it behind later ones of its key (I4); what it repeats may be a dead letter. So it is remembered as
//! what this forwarder has settled itself is, for as long as a lane can come back to it.
//!
//! In exactly-once delivery a lane that goes back takes back what lies behind as well.

use super::{
    Forwarder, MAIN, Now,
    take::{Sent, Taken},
    topics::TopicId,
    window::{Carries, LaneId, SLOTS, State},
};
use crate::{event::Event, kafka::produce::Sink, spool::position::Position};

impl<S: Sink> Forwarder<S> {
    /// Lane `id` has nothing to do for this event: another one with its id is delivered, or will be.
    pub(super) fn pass_over(
        &mut self,
        id: LaneId,
        topic: Option<TopicId>,
        position: Position,
        event: &Event<'_>,
        now: Now,
    ) -> Taken {
        if self.transaction.is_some() {
            return Taken::Passed;
        }
        if let Some(topic) = self.still_held(id, topic) {
            self.settled_ahead.insert(position, topic);
        }
        // A lane goes back as far as its oldest event that is not done.
        if self.lane(id).is_some_and(|lane| !lane.window.is_empty()) {
            let carries = Carries::Event(event.stream);
            let passed = Sent { position, topic, identity: None, size: 0, carries, error: None };
            self.push(id, passed, State::Settled, now);
        }
        Taken::Passed
    }

    /// Whether lane `id` may take events of the topic over from the topic's own lane: there is room to remember those
    /// that it passes over.
    pub(super) fn may_take_over(&self, id: LaneId, topic: Option<TopicId>) -> bool {
        self.still_held(id, topic).is_none() || self.settled_ahead.len() < SLOTS
    }

    /// The topic, where the main lane carries it again and its own lane may yet go back.
    fn still_held(&self, id: LaneId, topic: Option<TopicId>) -> Option<TopicId> {
        let at_least_once = self.transaction.is_none();
        topic.filter(|topic| id == MAIN && at_least_once && self.held.contains_key(topic))
    }
}
