//! Events whose topic was one more than `topics.limit` allows, and their order when that topic is made by hand.
//!
//! Such an event becomes a dead letter. Until a checkpoint has passed it, a lane that goes back or a crash makes the
//! forwarder read it once more; by then its topic may be there, and it would come behind later events of its
//! key (I4). So a topic is not written before all earlier events of this kind are out of the way: events that wait to
//! become dead letters are read again and go to the topic first, and dead letters are waited for until a checkpoint has
//! passed them. Only with that checkpoint their ids are saved: a process that knew such an id would pass the event over
//! after a crash, write its topic, and could find the id forgotten after the next one.
//!
//! Exactly-once delivery needs none of this: a dead letter is committed together with the events behind it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::Lanes;
use crate::{
    deliver::{checkpoint::Checkpoint, deduplicate::Identity},
    spool::position::Position,
};

/// Events over the limit that no checkpoint has passed.
#[derive(Debug, Default)]
pub(in super::super) struct OverLimit {
    events: BTreeMap<Position, OneTooMany>,
}

#[derive(Clone, Copy, Debug)]
struct OneTooMany {
    /// A hash of the topic's name: names over the limit are as many as senders like, and kept nowhere.
    name: u64,
    /// The id to be saved, once the event is settled.
    settled: Option<Identity>,
}

/// Earlier events of a topic that must be out of the way before its next event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Earlier {
    Nothing,
    /// An event waits to become a dead letter, or its dead letter is on its way.
    Unsettled,
    /// A dead letter is written, and no checkpoint has passed it.
    NotPassed,
}

impl OverLimit {
    fn before(&self, name: &str, end: Position) -> impl Iterator<Item = Position> {
        let name = hash(name);
        let events = self.events.range(..end).filter(move |(_, of)| of.name == name);
        events.map(|(position, _)| *position)
    }

    /// Notes that the topic of the event at `position` is one too many.
    pub fn note(&mut self, position: Position, name: &str) {
        self.events.insert(position, OneTooMany { name: hash(name), settled: None });
    }

    /// Notes that the event at `position` is sent to its topic after all. `true` when none of the topic is left.
    pub fn remove(&mut self, position: Position, name: &str) -> bool {
        self.events.remove(&position);
        let name = hash(name);
        self.events.values().all(|of| of.name != name)
    }

    /// Notes that the event at `position` is settled: `true` when its id is saved with the checkpoint that passes it.
    pub fn settle(&mut self, position: Position, identity: Option<Identity>) -> bool {
        let event = self.events.get_mut(&position);
        event.map(|event| event.settled = identity).is_some()
    }

    /// Returns the earlier events that must be out of the way before the event of this topic at `position` is sent.
    pub fn earlier(&self, name: &str, position: Position, lanes: &Lanes) -> Earlier {
        let mut earlier = Earlier::Nothing;
        for position in self.before(name, position) {
            if lanes.slots().any(|slot| slot.position == position && !slot.state.is_done()) {
                return Earlier::Unsettled;
            }
            earlier = Earlier::NotPassed;
        }
        earlier
    }

    /// Takes the ids of events that `checkpoint` passes, to be saved before it.
    pub fn ids_passed_by(&mut self, checkpoint: &Checkpoint) -> Vec<Identity> {
        let is_ahead = is_ahead_of(checkpoint);
        let passed = self.events.iter_mut().filter(|(position, of)| !is_ahead(**position, of.name));
        passed.filter_map(|(_, of)| of.settled.take()).collect()
    }

    /// Forgets events that `saved` has passed: no lane reads them again.
    pub fn keep_ahead_of(&mut self, saved: &Checkpoint) {
        if self.events.is_empty() {
            return;
        }
        let is_ahead = is_ahead_of(saved);
        self.events.retain(|position, of| is_ahead(*position, of.name));
    }
}

/// Returns whether a position, of the topic with this hash of its name, is not yet passed by `checkpoint`.
fn is_ahead_of(checkpoint: &Checkpoint) -> impl Fn(Position, u64) -> bool {
    let low = checkpoint.low;
    let held = checkpoint.held.iter();
    let held: BTreeMap<_, _> = held.map(|held| (hash(&held.topic), held.position)).collect();
    move |position, name| position >= *held.get(&name).unwrap_or(&low)
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::deliver::checkpoint::Held;

    fn at(sequence: u64) -> Position {
        Position::start_of(sequence)
    }

    #[test]
    fn what_a_checkpoint_has_passed_is_forgotten_unless_its_topic_is_held_further_back() {
        let mut over_limit = OverLimit::default();
        for (sequence, name) in [(1, "a"), (2, "b"), (3, "b"), (5, "a")] {
            over_limit.note(at(sequence), name);
        }
        let held = vec![Held { topic: "b".into(), position: at(3) }];
        let saved = Checkpoint { low: at(4), held, ..Checkpoint::beginning(Uuid::from_u128(5)) };
        over_limit.keep_ahead_of(&saved);
        let left = |name| over_limit.before(name, at(9)).collect::<Vec<_>>();
        assert_eq!((left("a"), left("b")), (vec![at(5)], vec![at(3)]));
        assert!(over_limit.before("a", at(5)).next().is_none(), "only what comes earlier");
    }
}
