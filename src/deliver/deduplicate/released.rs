//! Claims that were given up, since the disk has spoilt their events. A repeat that was passed over for
//! such an event must be looked at again.

use std::ops::Range;

use super::index::Owner;

/// Limit of separate ranges. Beyond it the last range of the source is widened: a few events more may then
/// be looked at again, which is safe.
const MAX_RANGES: usize = 256;

/// The owner for which a repeat was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestsOn {
    One(Owner),
    /// For a lead state, whose parts may be repeats of several events.
    Several,
}

/// Deliveries by source and sequence number, since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Released(Vec<(u32, Range<u64>)>);

impl Released {
    pub fn add(&mut self, source: u32, sequences: &Range<u64>) {
        if self.covers(source, sequences) {
            return; // each lane that comes to a damaged range says so
        }
        let is_full = self.0.len() >= MAX_RANGES;
        match self.0.iter_mut().rfind(|(of, _)| is_full && *of == source) {
            Some((_, last)) => {
                *last = last.start.min(sequences.start)..last.end.max(sequences.end);
            }
            None => self.0.push((source, sequences.clone())),
        }
    }

    fn covers(&self, source: u32, sequences: &Range<u64>) -> bool {
        let covers =
            |range: &Range<u64>| range.start <= sequences.start && sequences.end <= range.end;
        self.0.iter().any(|(of, range)| *of == source && covers(range))
    }

    /// Whether the owner of a repeat may be gone.
    pub fn may_have(&self, rests_on: RestsOn) -> bool {
        match rests_on {
            RestsOn::One(Owner { source, position }) => {
                self.0.iter().any(|(of, range)| *of == source && range.contains(&position.sequence))
            }
            RestsOn::Several => !self.0.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::position::Position;

    fn on(source: u32, sequence: u64) -> RestsOn {
        RestsOn::One(Owner { source, position: Position::start_of(sequence) })
    }

    #[test]
    fn what_rests_on_a_delivery_that_was_given_up_is_told_from_the_rest() {
        let mut released = Released::default();
        assert!(!released.may_have(RestsOn::Several));
        released.add(1, &(3..5));
        let known = [on(1, 2), on(1, 3), on(1, 4), on(1, 5), on(0, 3)];
        assert_eq!(known.map(|it| released.may_have(it)), [false, true, true, false, false]);
        assert!(released.may_have(RestsOn::Several));
    }

    #[test]
    fn however_much_is_given_up_memory_is_bounded_and_nothing_is_forgotten() {
        let mut released = Released::default();
        let ranges = (0..10 * MAX_RANGES as u64).map(|number| 10 * number..10 * number + 2);
        for range in ranges.clone() {
            released.add(0, &range);
            released.add(0, &range);
        }
        released.add(7, &(1..2));
        assert!(released.0.len() <= MAX_RANGES + 1, "a source has one range at least");
        assert!(ranges.clone().all(|range| released.may_have(on(0, range.start + 1))));
        assert!(released.may_have(on(7, 1)) && !released.may_have(on(0, 3)));
    }
}
