//! The records that librdkafka holds, so that every one of them gets exactly one outcome.
//!
//! librdkafka carries a slot's number through and gives it back with the delivery report. A slot is
//! emptied once, by its report or by [`Pending::take_all`], whichever comes first; a later report finds it
//! empty. The slots also know the weight of each record, which bounds the memory of the queue
//! better than librdkafka does: it counts only values.

use std::time::Instant;

use super::partition_queue::PartitionKey;
use crate::kafka::produce::Token;

#[derive(Debug, Default)]
pub(super) struct Pending {
    slots: Vec<PendingRecord>,
    free: Vec<usize>,
    bytes: u64,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct PendingRecord {
    token: Token,
    /// 0 for an empty slot; a record always weighs something.
    weight: u32,
    since: Instant,
    /// The partition to which it went; `None` before, and for a record that waits in no queue.
    target: Option<PartitionKey>,
}

impl Pending {
    /// Remembers `token` and returns its slot.
    pub(super) fn insert(&mut self, token: Token, weight: u32, since: Instant) -> usize {
        let slot = PendingRecord { token, weight: weight.max(1), since, target: None };
        self.bytes += u64::from(slot.weight);
        self.count += 1;
        match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    /// The time when a slot's record was handed over; `None` if the slot is empty.
    pub(super) fn since(&self, index: usize) -> Option<Instant> {
        self.slots.get(index).filter(|slot| slot.weight > 0).map(|slot| slot.since)
    }

    /// Notes that a record goes to the library.
    pub(super) fn sent_to(&mut self, index: usize, target: PartitionKey) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.target = Some(target);
        }
    }

    /// Notes that a record does not go yet.
    pub(super) fn requeue(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.target = None;
        }
    }

    /// Empties a slot; `None` if it was empty. Returns the partition to which its record went.
    pub(super) fn remove(&mut self, index: usize) -> Option<(Token, Option<PartitionKey>)> {
        let slot = self.slots.get_mut(index).filter(|slot| slot.weight > 0)?;
        self.bytes -= u64::from(slot.weight);
        self.count -= 1;
        slot.weight = 0;
        self.free.push(index);
        Some((slot.token, slot.target))
    }

    /// Empties every slot.
    pub(super) fn take_all(&mut self) -> Vec<Token> {
        let all = (0..self.slots.len()).filter_map(|index| Some(self.remove(index)?.0)).collect();
        *self = Self::default();
        all
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether `weight` more would stay within `limit`. An empty queue takes any record.
    pub(super) fn has_room(&self, weight: u32, limit: u64) -> bool {
        self.count == 0 || self.bytes + u64::from(weight) <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back_once() {
        let mut pending = Pending::default();
        let slots: Vec<_> =
            (100..110).map(|token| pending.insert(token, 5, Instant::now())).collect();
        assert_eq!(pending.remove(slots[3]), Some((103, None)));
        assert_eq!(pending.remove(slots[3]), None);
        let mut rest = pending.take_all();
        rest.sort_unstable();
        assert_eq!(rest, [100, 101, 102, 104, 105, 106, 107, 108, 109]);
        assert_eq!(pending.remove(slots[0]), None);
        assert_eq!(pending.count(), 0);
    }

    #[test]
    fn slots_are_used_again() {
        let mut pending = Pending::default();
        for token in 0..1000 {
            let slot = pending.insert(token, 1, Instant::now());
            assert_eq!(slot, 0);
            assert_eq!(pending.remove(slot), Some((token, None)));
        }
    }

    #[test]
    fn the_queue_is_bounded_by_weight_but_takes_one_of_any_size() {
        let mut pending = Pending::default();
        assert!(pending.has_room(1_000_000, 10));
        let slot = pending.insert(0, 8, Instant::now());
        assert!(pending.has_room(2, 10) && !pending.has_room(3, 10));
        pending.remove(slot);
        assert!(pending.has_room(11, 10));
    }
}
