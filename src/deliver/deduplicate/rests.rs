//! Owners of repeats: for an answer that says more than *stored*, a repeat counts as settled only once the event that
//! it repeats does. That event may be another source's, which is slower, or waits for a topic.
//!
//! A checkpoint may pass such a repeat all the same: the owner's own spool has the event. But both spools lie on one
//! volume.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use super::index::Owner;
use crate::spool::position::Position;

/// Limit of repeats that are known one by one. Further ones are settled together, when all of them are.
const MAX_REPEATS: usize = 4096;

/// By source number, the first delivery whose own events are not all settled.
#[derive(Debug)]
pub(super) struct Ends(Vec<AtomicU64>);

impl Ends {
    /// For so many sources, none of which has reported yet.
    pub fn new(sources: usize) -> Self {
        // Events settled before this process began have the number 0.
        Self((0..sources).map(|_| AtomicU64::new(1)).collect())
    }

    pub fn set(&self, source: u32, end: u64) {
        if let Some(known) = self.0.get(source as usize) {
            known.store(end, SeqCst);
        }
    }

    fn have_passed(&self, source: u32, sequence: u64) -> bool {
        self.0.get(source as usize).is_some_and(|end| sequence < end.load(SeqCst))
    }
}

/// Repeats of one source whose owners may be unsettled. By delivery and the owner's source: the last of
/// the owner's deliveries that the delivery rests on.
#[derive(Debug, Default)]
pub(super) struct Rests {
    open: BTreeMap<(u64, u32), u64>,
    /// Repeats beyond [`MAX_REPEATS`]: their first delivery, and by source the last delivery that they rest on.
    beyond: Option<(u64, BTreeMap<u32, u64>)>,
}

impl Rests {
    /// Notes that the event at `position` was passed over for the one of `owner`.
    pub fn add(&mut self, position: Position, owner: Owner, ends: &Ends) {
        let sequence = position.sequence;
        let rests_on = owner.position.sequence;
        if ends.have_passed(owner.source, rests_on) {
            return;
        }
        let key = (sequence, owner.source);
        if self.open.len() < MAX_REPEATS || self.open.contains_key(&key) {
            let last = self.open.entry(key).or_insert(rests_on);
            *last = rests_on.max(*last);
        } else {
            let (first, owners) = self.beyond.get_or_insert_with(|| (sequence, BTreeMap::new()));
            *first = sequence.min(*first);
            let last = owners.entry(owner.source).or_insert(rests_on);
            *last = rests_on.max(*last);
        }
    }

    /// The first delivery with a repeat whose owner is not settled. Forgets those before it.
    pub fn first(&mut self, ends: &Ends) -> Option<u64> {
        while let Some(entry) = self.open.first_entry() {
            let (_, source) = *entry.key();
            if !ends.have_passed(source, *entry.get()) {
                break;
            }
            entry.remove();
        }
        if let Some((_, owners)) = &mut self.beyond {
            owners.retain(|source, last| !ends.have_passed(*source, *last));
            if owners.is_empty() {
                self.beyond = None;
            }
        }
        let first = self.open.keys().next().map(|(sequence, _)| *sequence);
        let beyond = self.beyond.as_ref().map(|(first, _)| *first);
        first.into_iter().chain(beyond).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(source: u32, sequence: u64) -> Owner {
        Owner { source, position: Position::start_of(sequence) }
    }

    fn rests(on: &[(u64, Owner)], ends: &Ends) -> Rests {
        let mut rests = Rests::default();
        on.iter().for_each(|(at, owner)| rests.add(Position::start_of(*at), *owner, ends));
        rests
    }

    #[test]
    fn a_delivery_is_held_up_until_the_last_event_that_it_rests_on_is_settled() {
        let ends = Ends::new(2);
        let mut rests =
            rests(&[(3, owner(1, 7)), (3, owner(1, 9)), (3, owner(1, 8)), (5, owner(1, 2))], &ends);
        ends.set(1, 9);
        assert_eq!(rests.first(&ends), Some(3));
        ends.set(1, 10);
        assert_eq!(rests.first(&ends), None);
    }

    #[test]
    fn each_source_settles_its_own_and_what_was_settled_before_the_start_holds_up_none() {
        let ends = Ends::new(3);
        let mut rests =
            rests(&[(3, owner(1, 7)), (3, owner(2, 4)), (4, Owner::settled_before(1))], &ends);
        ends.set(1, 100);
        assert_eq!(rests.first(&ends), Some(3), "the other one is behind");
        ends.set(2, 5);
        assert_eq!(rests.first(&ends), None);
    }

    #[test]
    fn a_lane_that_comes_later_to_an_earlier_delivery_holds_up_that_one() {
        let ends = Ends::new(2);
        let mut rests = rests(&[(9, owner(1, 7)), (4, owner(1, 8))], &ends);
        assert_eq!(rests.first(&ends), Some(4));
        ends.set(1, 8);
        assert_eq!(rests.first(&ends), Some(4), "what is behind it can wait");
    }

    #[test]
    fn however_many_there_are_memory_is_bounded_and_none_is_taken_for_settled() {
        let ends = Ends::new(2);
        let all: Vec<_> = (1..=3 * MAX_REPEATS as u64).map(|at| (at, owner(1, at + 10))).collect();
        let mut rests = rests(&all, &ends);
        assert_eq!(rests.open.len(), MAX_REPEATS);
        for end in 1..=3 * MAX_REPEATS as u64 + 11 {
            ends.set(1, end);
            let first = rests.first(&ends);
            let held_up = all.iter().find(|(_, owner)| owner.position.sequence >= end);
            let held_up = held_up.map(|(at, _)| *at);
            assert!(first <= held_up.or(first) && first.is_some() == held_up.is_some());
        }
    }
}
