//! How long a reader (or an opening) waits for what it cannot read, and when it has passed by enough.

use std::collections::BTreeSet;

use super::walk::BLOCK;

/// Failures at one place until what cannot be read there counts as damage: with the pauses of whoever
/// asks, half a minute, in which a path to a disk comes back and a bad sector does not.
const PATIENCE: u32 = 10;

/// Places that one reader passes by. A disk that has more of them needs a person.
const MOST_PLACES: usize = 16;

/// What a reader could not read.
#[derive(Debug, Default)]
pub struct ReadRetry {
    /// The block at which reading failed last, and how often in a row.
    at: Option<Spot>,
    failures: u32,
    passed: BTreeSet<Spot>,
}

/// A segment's generation, and the number of a block in it.
type Spot = (u64, u64);

impl ReadRetry {
    /// Notes that reading went on.
    pub fn over(&mut self) {
        self.at = None;
    }

    /// Notes that reading failed there; whether that was often enough.
    pub fn failed(&mut self, generation: u64, offset: u64) -> bool {
        let place = (generation, offset / BLOCK);
        if self.passed.contains(&place) {
            return true;
        }
        if self.at != Some(place) {
            (self.at, self.failures) = (Some(place), 0);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures >= PATIENCE && !self.is_too_much()
    }

    /// Whether so much was passed by that no more will be.
    pub fn is_too_much(&self) -> bool {
        self.passed.len() >= MOST_PLACES
    }

    /// Notes that what could not be read there is left behind; whether for the first time.
    pub fn passed(&mut self, generation: u64, offset: u64) -> bool {
        self.passed.insert((generation, offset / BLOCK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_until_given_up(trouble: &mut ReadRetry, offset: u64) -> bool {
        (1..PATIENCE).all(|_| !trouble.failed(1, offset)) && trouble.failed(1, offset)
    }

    #[test]
    fn only_one_place_that_fails_again_and_again_is_given_up() {
        let mut trouble = ReadRetry::default();
        assert!((0..100).all(|n| !trouble.failed(1, n % 2 * BLOCK)));
        assert!(fails_until_given_up(&mut trouble, 7 * BLOCK));
        assert!(trouble.failed(1, 7 * BLOCK + 1), "and so is the rest of the block");
        trouble.over();
        assert!(!trouble.failed(1, 7 * BLOCK), "it was read meanwhile");
    }

    #[test]
    fn a_reader_passes_by_so_many_places_and_no_more() {
        let mut trouble = ReadRetry::default();
        for n in 0..MOST_PLACES as u64 {
            assert!(fails_until_given_up(&mut trouble, n * BLOCK));
            assert!(trouble.passed(1, n * BLOCK));
        }
        assert!(!fails_until_given_up(&mut trouble, 100 * BLOCK));
        assert!(trouble.failed(1, 0), "one that it has passed it passes again at once");
        assert!(!trouble.passed(1, 0));
    }
}
