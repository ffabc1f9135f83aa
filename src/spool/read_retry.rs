//! Tries at places of a spool that the disk cannot read, and the limit of places that are passed by.
//!
//! All readers of a spool share them: a lane that is opened again goes on where the one before it gave up, and a place
//! that was tried in vain often enough is passed by at once, whichever reader comes to it. The tries at a place end with
//! a read that succeeds there, and with the process.

use std::{collections::BTreeMap, ops::Range};

use super::walk::BLOCK_BYTES;
use crate::source::UnixMillis;

/// Failures at one place after which its unreadable bytes count as damage: with the callers' pauses, half a minute,
/// in which a path to a disk comes back and a bad sector does not.
const FAILURES_UNTIL_DAMAGE: u32 = 10;
/// Milliseconds between the first and the last of them at least: many lanes may come to one place at once.
const LEAST_WAIT: UnixMillis = 15_000;
/// Milliseconds without a try after which a place is tried from the beginning: that the disk was away then says nothing
/// about it now. No pause of a lane is that long.
const FORGOTTEN_AFTER: UnixMillis = 60 * 60 * 1000;

/// Places of a spool that are passed by. A disk that has more of them needs an operator.
const MAX_PASSED: usize = 16;
/// Places that are tried at one time; the one that was not tried for longest makes way.
const MAX_TRIED: usize = 16;

/// The places of a spool that could not be read.
#[derive(Debug, Default)]
pub struct ReadRetry {
    places: BTreeMap<Spot, Place>,
}

/// A segment's generation, and the number of a block in it.
type Spot = (u64, u64);

#[derive(Debug)]
struct Place {
    /// The byte in the block from which on reading failed last.
    offset: u64,
    failures: u32,
    first: UnixMillis,
    last: UnixMillis,
    is_passed: bool,
}

impl Place {
    fn begin(offset: u64, now: UnixMillis) -> Self {
        Self { offset, failures: 0, first: now, last: now, is_passed: false }
    }

    fn failed(&mut self, offset: u64, now: UnixMillis) {
        let is_forgotten = now.saturating_sub(self.last) > FORGOTTEN_AFTER;
        // A clock that was set back would make the wait as long as it was.
        if is_forgotten || now < self.first {
            *self = Self::begin(offset, now);
        }
        (self.offset, self.last) = (offset, now.max(self.first));
        self.failures = self.failures.saturating_add(1);
    }

    fn was_tried_enough(&self) -> bool {
        self.failures >= FAILURES_UNTIL_DAMAGE && self.last - self.first >= LEAST_WAIT
    }
}

impl ReadRetry {
    /// Notes that these bytes were read: what failed there is over. A lane that reads before or behind a bad place says
    /// nothing about it.
    pub fn over(&mut self, generation: u64, bytes: Range<u64>) {
        if self.places.is_empty() {
            return;
        }
        self.places.retain(|(of, _), place| *of != generation || !bytes.contains(&place.offset));
    }

    /// Notes that reading failed there; returns whether that was often enough.
    pub fn failed(&mut self, generation: u64, offset: u64, now: UnixMillis) -> bool {
        let spot = (generation, offset / BLOCK_BYTES);
        let is_too_much = self.is_too_much();
        if !self.places.contains_key(&spot) {
            self.make_way();
        }
        let place = self.places.entry(spot).or_insert_with(|| Place::begin(offset, now));
        if place.is_passed {
            return true;
        }
        place.failed(offset, now);
        place.was_tried_enough() && !is_too_much
    }

    /// Returns whether so many places were passed that no more will be.
    pub fn is_too_much(&self) -> bool {
        self.places.values().filter(|place| place.is_passed).count() >= MAX_PASSED
    }

    /// Notes that the unreadable bytes there were passed; returns whether for the first time.
    pub fn passed(&mut self, generation: u64, offset: u64) -> bool {
        let place = self.places.get_mut(&(generation, offset / BLOCK_BYTES));
        place.is_some_and(|place| !std::mem::replace(&mut place.is_passed, true))
    }

    fn make_way(&mut self) {
        let tried = || self.places.iter().filter(|(_, place)| !place.is_passed);
        if tried().count() < MAX_TRIED {
            return;
        }
        let oldest = tried().min_by_key(|(_, place)| place.last).map(|(spot, _)| *spot);
        oldest.map(|spot| self.places.remove(&spot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as two tries of a lane lie apart.
    const PAUSE: UnixMillis = 2000;

    /// Tries a place until it is given up; how often that was.
    fn tries_until_given_up(trouble: &mut ReadRetry, offset: u64, now: &mut UnixMillis) -> u32 {
        for tries in 1..100 {
            *now += PAUSE;
            if trouble.failed(1, offset, *now) {
                return tries;
            }
        }
        u32::MAX
    }

    #[test]
    fn a_place_that_fails_again_and_again_is_given_up_until_it_is_read() {
        let (mut trouble, mut now) = (ReadRetry::default(), 0);
        let offset = 7 * BLOCK_BYTES + 100;
        assert_eq!(tries_until_given_up(&mut trouble, offset, &mut now), FAILURES_UNTIL_DAMAGE);
        assert!(trouble.failed(1, offset + 1, now), "and so is the rest of the block");
        assert!(!trouble.failed(2, offset, now), "another segment's is not");
        trouble.over(1, offset..offset + 900);
        assert!(!trouble.failed(1, offset, now), "it was read meanwhile");
    }

    #[test]
    fn what_is_read_before_and_behind_a_bad_place_does_not_end_the_tries() {
        let (mut trouble, offset) = (ReadRetry::default(), 7 * BLOCK_BYTES + 100);
        for try_number in 1..FAILURES_UNTIL_DAMAGE {
            assert!(!trouble.failed(2, offset, PAUSE * u64::from(try_number)));
            trouble.over(1, 0..u64::MAX);
            trouble.over(2, 0..offset);
            trouble.over(2, offset + 1..u64::MAX);
        }
        assert!(trouble.failed(2, offset, PAUSE * u64::from(FAILURES_UNTIL_DAMAGE)));
    }

    #[test]
    fn places_are_tried_side_by_side() {
        let mut trouble = ReadRetry::default();
        let places = (0..MAX_TRIED as u64).map(|n| 2 * n * BLOCK_BYTES);
        for try_number in 1..FAILURES_UNTIL_DAMAGE {
            let now = PAUSE * u64::from(try_number);
            assert!(places.clone().all(|place| !trouble.failed(1, place, now)));
        }
        let now = PAUSE * u64::from(FAILURES_UNTIL_DAMAGE);
        assert!(places.clone().all(|place| trouble.failed(1, place, now)));
    }

    #[test]
    fn many_readers_that_come_to_a_place_at_once_do_not_use_its_time_up() {
        let mut trouble = ReadRetry::default();
        assert!((0..1000).all(|n| !trouble.failed(1, 0, n * LEAST_WAIT / 1000)));
        assert!(trouble.failed(1, 0, LEAST_WAIT));
    }

    #[test]
    fn tries_of_long_ago_do_not_count() {
        let mut trouble = ReadRetry::default();
        assert!((0..9).all(|n| !trouble.failed(1, 0, n * PAUSE)));
        let now = 8 * PAUSE + FORGOTTEN_AFTER + 1;
        assert!((0..9).all(|n| !trouble.failed(1, 0, now + n * PAUSE)));
        assert!(trouble.failed(1, 0, now + 9 * PAUSE));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_the_wait_no_longer_than_once_more() {
        let (mut trouble, mut now) = (ReadRetry::default(), 1 << 40);
        assert!((0..9).all(|n| !trouble.failed(1, 0, now + n)));
        now = 0;
        assert_eq!(tries_until_given_up(&mut trouble, 0, &mut now), FAILURES_UNTIL_DAMAGE);
    }

    #[test]
    fn so_many_places_are_passed_by_and_no_more() {
        let (mut trouble, mut now) = (ReadRetry::default(), 0);
        for n in 0..MAX_PASSED as u64 {
            assert!(tries_until_given_up(&mut trouble, n * BLOCK_BYTES, &mut now) < 100);
            assert!(trouble.passed(1, n * BLOCK_BYTES));
        }
        assert_eq!(tries_until_given_up(&mut trouble, 100 * BLOCK_BYTES, &mut now), u32::MAX);
        assert!(trouble.failed(1, 0, now), "one that was passed is passed again at once");
        assert!(!trouble.passed(1, 0));
        trouble.over(1, 0..1);
        assert!(trouble.failed(1, 100 * BLOCK_BYTES, now), "one of them can be read again");
    }

    #[test]
    fn the_memory_of_places_is_bounded() {
        let mut trouble = ReadRetry::default();
        assert!((0..10_000).all(|n| !trouble.failed(n, 0, n)));
        assert_eq!(trouble.places.len(), MAX_TRIED);
    }
}
