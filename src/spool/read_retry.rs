//! Retries of a reader (or of an opening) at unreadable bytes, and the limit of places that it passes.

use std::collections::BTreeSet;

use super::walk::BLOCK_BYTES;

/// Failures at one place after which its unreadable bytes count as damage: with the caller's pauses, half a minute,
/// in which a path to a disk comes back and a bad sector does not.
const FAILURES_UNTIL_DAMAGE: u32 = 10;

/// Places that one reader passes. A disk that has more of them needs an operator.
const MAX_PLACES: usize = 16;

/// The places that a reader could not read.
#[derive(Debug, Default)]
pub struct ReadRetry {
    /// The block at which reading failed last, and how often in a row.
    at: Option<Spot>,
    failures: u32,
    /// The generation and the byte of the last failure.
    failed_last: (u64, u64),
    passed: BTreeSet<Spot>,
}

/// A segment's generation, and the number of a block in it.
type Spot = (u64, u64);

impl ReadRetry {
    /// Notes that what begins at `offset` was read. A lane that goes back reads what stands before a bad place again and
    /// again; only what stands there or behind it says that the trouble is over.
    pub fn over(&mut self, generation: u64, offset: u64) {
        if (generation, offset) >= self.failed_last {
            self.at = None;
        }
    }

    /// Notes that reading failed there; returns whether that was often enough.
    pub fn failed(&mut self, generation: u64, offset: u64) -> bool {
        let place = (generation, offset / BLOCK_BYTES);
        if self.passed.contains(&place) {
            return true;
        }
        self.failed_last = (generation, offset);
        if self.at != Some(place) {
            (self.at, self.failures) = (Some(place), 0);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures >= FAILURES_UNTIL_DAMAGE && !self.is_too_much()
    }

    /// Returns whether so many places were passed that no more will be.
    pub fn is_too_much(&self) -> bool {
        self.passed.len() >= MAX_PLACES
    }

    /// Notes that the unreadable bytes there were passed; returns whether for the first time.
    pub fn passed(&mut self, generation: u64, offset: u64) -> bool {
        self.passed.insert((generation, offset / BLOCK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_until_given_up(trouble: &mut ReadRetry, offset: u64) -> bool {
        (1..FAILURES_UNTIL_DAMAGE).all(|_| !trouble.failed(1, offset)) && trouble.failed(1, offset)
    }

    #[test]
    fn only_one_place_that_fails_again_and_again_is_given_up() {
        let mut trouble = ReadRetry::default();
        assert!((0..100).all(|n| !trouble.failed(1, n % 2 * BLOCK_BYTES)));
        assert!(fails_until_given_up(&mut trouble, 7 * BLOCK_BYTES));
        assert!(trouble.failed(1, 7 * BLOCK_BYTES + 1), "and so is the rest of the block");
        trouble.over(1, 7 * BLOCK_BYTES + 1);
        assert!(!trouble.failed(1, 7 * BLOCK_BYTES), "it was read meanwhile");
    }

    #[test]
    fn what_stands_before_a_bad_place_may_be_read_again_between_two_tries() {
        let mut trouble = ReadRetry::default();
        for _ in 1..FAILURES_UNTIL_DAMAGE {
            assert!(!trouble.failed(2, 7 * BLOCK_BYTES + 100));
            trouble.over(1, 9 * BLOCK_BYTES);
            trouble.over(2, 7 * BLOCK_BYTES + 50);
        }
        assert!(trouble.failed(2, 7 * BLOCK_BYTES + 100));
        trouble.passed(2, 7 * BLOCK_BYTES + 100);
        for _ in 1..FAILURES_UNTIL_DAMAGE {
            assert!(!trouble.failed(3, 0));
            assert!(trouble.failed(2, 7 * BLOCK_BYTES + 100), "on the way to it once more");
            trouble.over(2, 9 * BLOCK_BYTES);
        }
        assert!(trouble.failed(3, 0));
    }

    #[test]
    fn a_reader_passes_by_so_many_places_and_no_more() {
        let mut trouble = ReadRetry::default();
        for n in 0..MAX_PLACES as u64 {
            assert!(fails_until_given_up(&mut trouble, n * BLOCK_BYTES));
            assert!(trouble.passed(1, n * BLOCK_BYTES));
        }
        assert!(!fails_until_given_up(&mut trouble, 100 * BLOCK_BYTES));
        assert!(trouble.failed(1, 0), "one that it has passed it passes again at once");
        assert!(!trouble.passed(1, 0));
    }
}
