//! Events whose topic was one more than `topics.limit` allows, and what happens when that topic is made by hand.
//!
//! Such an event becomes a dead letter. Until a checkpoint has passed it, a lane that goes back or a crash makes the
//! forwarder read it once more; by then its topic may be there, and it would come behind later events of its
//! key (I4). So a topic is not written before all earlier events of this kind are out of the way: those that
//! wait to become dead letters are read again and go to the topic first, and those that are dead letters are waited
//! for until a checkpoint has passed them.
//!
//! In exactly-once delivery both go by themselves: a dead letter is committed together with what comes behind it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{Forwarder, Now, take::Taken, window::LaneId};
use crate::{deliver::checkpoint::Checkpoint, kafka::produce::Sink, spool::position::Position};

/// Positions that no checkpoint has passed, each with a hash of the topic's name: names over the limit are as many
/// as senders like, and kept nowhere.
#[derive(Debug, Default)]
pub(super) struct OverLimit {
    events: BTreeMap<Position, u64>,
}

/// What of a topic must be out of the way before its next event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    Nothing,
    /// An event waits to become a dead letter, or its dead letter is on its way.
    Unsettled,
    /// A dead letter is written, and no checkpoint has passed it.
    NotPassed,
}

impl OverLimit {
    fn before(&self, name: &str, end: Position) -> impl Iterator<Item = Position> {
        let name = hash(name);
        let events = self.events.range(..end).filter(move |(_, of)| **of == name);
        events.map(|(position, _)| *position)
    }

    pub fn is_empty_of(&self, name: &str) -> bool {
        let name = hash(name);
        self.events.values().all(|of| *of != name)
    }

    /// Forgets what `saved` has passed: nothing reads it again.
    pub fn keep_ahead_of(&mut self, saved: &Checkpoint) {
        if self.events.is_empty() {
            return;
        }
        let held: BTreeMap<_, _> =
            saved.held.iter().map(|held| (hash(&held.topic), held.position)).collect();
        self.events.retain(|position, name| position >= held.get(name).unwrap_or(&saved.low));
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl<S: Sink> Forwarder<S> {
    /// The event at `position` is one whose topic is one too many.
    pub(super) fn note_over_limit(&mut self, position: Position, name: &str) {
        if self.transaction.is_none() {
            self.over_limit.events.insert(position, hash(name));
        }
    }

    /// It is sent to its topic after all.
    pub(super) fn is_under_limit(&mut self, position: Position) {
        self.over_limit.events.remove(&position);
    }

    /// What has to be out of the way before the event of this topic at `position` is sent.
    pub(super) fn earlier_over_limit(&self, name: &str, position: Position) -> Earlier {
        let mut earlier = Earlier::Nothing;
        for position in self.over_limit.before(name, position) {
            if self.is_unsettled(position) {
                return Earlier::Unsettled;
            }
            earlier = Earlier::NotPassed;
        }
        earlier
    }

    fn is_unsettled(&self, position: Position) -> bool {
        let lanes = self.held.values().map(|held| &held.lane.window);
        let mut slots = std::iter::once(&self.main.window).chain(lanes).flat_map(|it| it.iter());
        slots.any(|slot| slot.position == position && !slot.state.is_done())
    }

    /// The topic is there by now, and earlier events of its kind are unsettled: they go to it first.
    pub(super) fn go_back_to_over_limit(&mut self, id: LaneId, now: Now) -> Taken {
        if !self.letters.are_in_trouble() {
            return self.rest(id, now); // their dead letters are on their way
        }
        self.needs_reset = true;
        Taken::Wait
    }
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
            over_limit.events.insert(at(sequence), hash(name));
        }
        let held = vec![Held { topic: "b".into(), position: at(3) }];
        let saved = Checkpoint { low: at(4), held, ..Checkpoint::beginning(Uuid::from_u128(5)) };
        over_limit.keep_ahead_of(&saved);
        let left = |name| over_limit.before(name, at(9)).collect::<Vec<_>>();
        assert_eq!((left("a"), left("b")), (vec![at(5)], vec![at(3)]));
        assert!(over_limit.before("a", at(5)).next().is_none(), "only what comes earlier");
    }
}
