//! Refused events, remembered over the transactions that were taken back.

use std::collections::{BTreeMap, BTreeSet};

use crate::{deliver::forward::refusal::Stage, spool::position::Position};

/// The refusal of an event in a transaction that was taken back.
#[derive(Clone)]
pub(in super::super) struct Known {
    pub reason: &'static str,
    pub error: String,
    pub stage: Stage,
}

#[derive(Default)]
pub(in super::super) struct Refusals {
    /// Refused events that are not settled yet.
    known: BTreeMap<Position, Known>,
    /// Refused events that are settled in this transaction.
    dealt_with: Vec<Position>,
    /// Dead letters that could not be written: they wait, and are not used as probes.
    failed: BTreeSet<Position>,
    /// Dead letters in this transaction, by reason.
    counts: BTreeMap<&'static str, u64>,
}

impl Refusals {
    pub fn known(&self, position: Position) -> Option<&Known> {
        self.known.get(&position)
    }

    pub fn refused(&mut self, position: Position, known: Known) {
        self.known.insert(position, known);
    }

    /// Notes that the dead letter of the event could not be written in this transaction, which is taken back.
    pub fn dead_letter_failed(&mut self, position: Position) {
        self.failed.insert(position);
    }

    pub fn has_failed(&self, position: Position) -> bool {
        self.failed.contains(&position)
    }

    /// Notes that the event is settled, once this transaction is committed.
    pub fn dealt_with(&mut self, position: Position) {
        if self.known.contains_key(&position) {
            self.dealt_with.push(position);
        }
    }

    /// Counts a dead letter with this reason.
    pub fn count(&mut self, reason: &'static str) {
        *self.counts.entry(reason).or_default() += 1;
    }

    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(reason, n)| (*reason, *n))
    }

    /// Notes that the transaction is committed; everything before `lowest` is delivered.
    pub fn committed(&mut self, lowest: Position) {
        self.failed.retain(|position| *position >= lowest);
        for position in self.dealt_with.drain(..) {
            self.known.remove(&position);
        }
    }

    /// Begins the next transaction.
    pub fn begin(&mut self) {
        self.dealt_with.clear();
        self.counts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Position {
        Position::start_of(sequence)
    }

    #[test]
    fn a_refused_event_is_known_until_the_transaction_with_its_dead_letter_is_committed() {
        let mut refusals = Refusals::default();
        let known = Known { reason: "refused", error: "no".into(), stage: Stage::DeadLetter };
        refusals.refused(at(3), known);
        refusals.dealt_with(at(3));
        refusals.begin();
        refusals.committed(at(9));
        assert!(refusals.known(at(3)).is_some(), "its transaction was taken back");
        refusals.dealt_with(at(3));
        refusals.committed(at(9));
        assert!(refusals.known(at(3)).is_none());
    }

    #[test]
    fn a_dead_letter_that_failed_is_forgotten_once_it_lies_behind() {
        let mut refusals = Refusals::default();
        refusals.dead_letter_failed(at(3));
        refusals.committed(at(3));
        assert!(refusals.has_failed(at(3)));
        refusals.committed(at(4));
        assert!(!refusals.has_failed(at(3)));
    }
}
