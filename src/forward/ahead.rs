//! What is settled ahead of a lane: events that a lane may come to once more, because it went back
//! or because a topic changed lanes, and that must not be sent again.
//!
//! An entry stays until every lane that carries its topic has left it behind for good: a lane that
//! passed it once may go back a second time.

use std::collections::BTreeMap;

use super::topics::TopicId;
use crate::spool::position::Position;

/// Positions, each with the topic of its event. Bounded by what windows and held lanes hold.
#[derive(Debug, Default)]
pub(super) struct SettledAhead {
    topics: BTreeMap<Position, TopicId>,
}

impl SettledAhead {
    /// `topic` is the dead-letter topic for what belongs to none.
    pub fn insert(&mut self, position: Position, topic: TopicId) {
        self.topics.insert(position, topic);
    }

    pub fn contains(&self, position: Position) -> bool {
        self.topics.contains_key(&position)
    }

    /// Forgets what no lane can come to any more.
    pub fn keep(&mut self, mut is_ahead: impl FnMut(Position, TopicId) -> bool) {
        self.topics.retain(|position, topic| is_ahead(*position, *topic));
    }
}
