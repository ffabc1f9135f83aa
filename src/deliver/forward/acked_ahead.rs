//! Events settled ahead of a lane: the lane may come to them again, because it went back or because a topic changed
//! lanes, and must not send them again.
//!
//! An entry stays until every lane that carries its topic has left it behind for good: a lane that passed it once may
//! go back a second time.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    topics::TopicId,
    window::{MAX_SLOTS, Slot, State},
};
use crate::{deliver::deduplicate::RestsOn, spool::position::Position};

/// Positions of settled events, each with the topics that its event may be of. Bounded by the windows and the held
/// lanes.
#[derive(Debug)]
pub(super) struct AckedAhead {
    settled: BTreeSet<(Position, TopicId)>,
    /// The repeats among them that were passed over, each with the event that it rests on.
    passed_over: BTreeMap<Position, RestsOn>,
    /// Stands for the topic of an event that has none, or none that is known.
    unknown: TopicId,
}

impl AckedAhead {
    pub fn new(unknown: TopicId) -> Self {
        Self { settled: BTreeSet::new(), passed_over: BTreeMap::new(), unknown }
    }

    /// Adds the settled event of `topic`, to which a lane may come again.
    pub fn insert(&mut self, position: Position, topic: Option<TopicId>) {
        self.settled.insert((position, topic.unwrap_or(self.unknown)));
    }

    /// Adds the settled ones of these slots.
    pub fn insert_settled<'a>(&mut self, slots: impl Iterator<Item = &'a Slot>) {
        for slot in slots.filter(|slot| slot.state == State::Settled) {
            self.insert(slot.position, slot.belongs_to);
            if let Some(rests_on) = slot.rests_on {
                self.passed_over.insert(slot.position, rests_on);
            }
        }
    }

    /// Notes that the event at `position`, which was inserted, is a repeat that was passed over.
    pub fn passed_over(&mut self, position: Position, rests_on: RestsOn) {
        self.passed_over.insert(position, rests_on);
    }

    /// Returns the event that a passed-over repeat rests on.
    pub fn passed_over_for(&self, position: Position) -> Option<RestsOn> {
        self.passed_over.get(&position).copied()
    }

    /// Lets a lane handle the repeat as if it had never come to it.
    pub fn forget_passed_over(&mut self, position: Position) {
        if self.passed_over.remove(&position).is_some() {
            self.settled.retain(|(settled, _)| *settled != position);
        }
    }

    /// Whether there is room for one more event that the main lane passes over for the topic's own lane.
    pub fn has_room(&self) -> bool {
        self.settled.len() < MAX_SLOTS
    }

    pub fn contains(&self, position: Position) -> bool {
        let mut from_there = self.settled.range((position, TopicId::default())..);
        from_there.next().is_some_and(|(found, _)| *found == position)
    }

    /// Notes a lane of `topic` that begins at `from`. An event that was refused as one topic too many has no known
    /// topic, and may be this one's, so that its lane comes to it: it stays for that lane too.
    pub fn may_be_of(&mut self, topic: TopicId, from: Position) {
        let there = self.settled.range((from, TopicId::default())..);
        let there = there.filter(|(_, of)| *of == self.unknown);
        let may_be: Vec<_> = there.map(|(position, _)| (*position, topic)).collect();
        self.settled.extend(may_be);
    }

    /// Forgets entries that no lane can come to any more.
    pub fn keep(&mut self, mut is_ahead: impl FnMut(Position, TopicId) -> bool) {
        self.settled.retain(|(position, topic)| is_ahead(*position, *topic));
        let mut passed_over = std::mem::take(&mut self.passed_over);
        passed_over.retain(|position, _| self.contains(*position));
        self.passed_over = passed_over;
    }

    pub fn clear(&mut self) {
        self.settled.clear();
        self.passed_over.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock, place, slot, topics},
        *,
    };

    #[test]
    fn what_was_settled_without_a_known_topic_stays_for_each_lane_that_may_come_to_it() {
        let mut topics = topics(&place());
        let [unknown, a] = ["dead", "a"].map(|name| topics.enter(name));
        let mut ahead = AckedAhead::new(unknown);
        [at(2), at(4)].into_iter().for_each(|position| ahead.insert(position, None));
        ahead.may_be_of(a, at(3));
        ahead.keep(|_, topic| topic == a);
        assert!(ahead.contains(at(4)) && !ahead.contains(at(2)), "its lane begins behind that");
        ahead.clear();
        assert!(!ahead.contains(at(4)));
    }

    #[test]
    fn of_a_window_only_what_is_settled_is_remembered() {
        let mut topics = topics(&place());
        let now = clock();
        let [unknown, a] = ["dead", "a"].map(|name| topics.enter(name));
        let mut ahead = AckedAhead::new(unknown);
        let settled = Slot { state: State::Settled, ..slot(a, 3, now(0)) };
        let left = Slot { state: State::Left, ..slot(a, 4, now(0)) };
        ahead.insert_settled([&settled, &left, &slot(a, 5, now(0))].into_iter());
        assert_eq!([3, 4, 5].map(|sequence| ahead.contains(at(sequence))), [true, false, false]);
    }
}
