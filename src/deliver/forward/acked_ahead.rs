//! What is settled ahead of a lane: events that a lane may come to once more, because it went back
//! or because a topic changed lanes, and that must not be sent again.
//!
//! An entry stays until every lane that carries its topic has left it behind for good: a lane that
//! passed it once may go back a second time.

use std::collections::BTreeSet;

use super::topics::TopicId;
use crate::spool::position::Position;

/// Positions, each with the topics that its event may be of. Bounded by what windows and held lanes
/// hold.
#[derive(Debug, Default)]
pub(super) struct AckedAhead {
    settled: BTreeSet<(Position, TopicId)>,
}

impl AckedAhead {
    /// `topic` is the dead-letter topic for what belongs to none, or to one that is not known.
    pub fn insert(&mut self, position: Position, topic: TopicId) {
        self.settled.insert((position, topic));
    }

    pub fn len(&self) -> usize {
        self.settled.len()
    }

    pub fn contains(&self, position: Position) -> bool {
        let mut from_there = self.settled.range((position, TopicId::default())..);
        from_there.next().is_some_and(|(found, _)| *found == position)
    }

    /// `topic` has a lane that begins at `from`. What was refused as one topic too many has no known
    /// topic, and may be this one's, so that its lane comes to it: it stays for that lane too.
    pub fn may_be_of(&mut self, topic: TopicId, from: Position, unknown: TopicId) {
        let there = self.settled.range((from, TopicId::default())..);
        let there = there.filter(|(_, of)| *of == unknown);
        let may_be: Vec<_> = there.map(|(position, _)| (*position, topic)).collect();
        self.settled.extend(may_be);
    }

    /// Forgets what no lane can come to any more.
    pub fn keep(&mut self, mut is_ahead: impl FnMut(Position, TopicId) -> bool) {
        self.settled.retain(|(position, topic)| is_ahead(*position, *topic));
    }
}
