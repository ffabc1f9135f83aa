//! The lines of bodies that wait for room, and the order in which they are served.

use super::{Class, Parts, Pool, class, is_small};
use crate::ingest::listen::shares::Party;

/// How many younger bodies of other sources may be served before the oldest.
const PASSES: u32 = 32;

impl Pool {
    pub fn stop_waiting(&mut self, id: u64) {
        for party in self.ledger.parties() {
            if let Some(waiter) = self.lines[party.index()].remove(&id) {
                self.turns.remove(&waiter.turn);
                self.waiting[class(party) as usize] -= 1;
                if self.bodies.contains_key(&id) {
                    self.active[class(party) as usize] += 1;
                }
                drop(waiter);
                self.serve();
                return;
            }
        }
    }

    /// Gives free memory to waiting bodies.
    pub(super) fn serve(&mut self) {
        while self.waiting != [0, 0]
            && (self.serve_one(Class::Senders) || self.serve_one(Class::Strangers))
        {}
    }

    fn serve_one(&mut self, class: Class) -> bool {
        let heads = || self.parties(class).filter_map(|party| Some((party, self.first(party)?)));
        let is_guaranteed =
            |&(party, (_, more)): &(Party, (u64, u64))| more <= self.ledger.guaranteed(party);
        if let Some((party, (id, more))) = heads().find(is_guaranteed) {
            self.grant(id, party, Parts { ordinary: more, ..Parts::default() });
            return true;
        }
        if class == Class::Strangers && self.serve_from_slice() {
            return true;
        }
        // Known senders are first.
        let may_take_common = class == Class::Senders || self.waiting[Class::Senders as usize] == 0;
        if may_take_common
            && let Some((party, (id, more))) = self.next(class)
            && more <= self.ledger.free(party)
        {
            self.count_passed(class, id);
            self.grant(id, party, Parts { ordinary: more, ..Parts::default() });
            return true;
        }
        self.serve_from_reserve(class, may_take_common)
    }

    /// Serves the stranger that is next from the slice, if it is small.
    fn serve_from_slice(&mut self) -> bool {
        let Some(&turn) = self.turns.first().filter(|turn| is_small(**turn)) else { return false };
        let (_, _, id) = turn;
        let line = &self.lines[Party::STRANGERS.index()];
        let more = line.get(&id).map_or(0, |waiter| waiter.of_slice);
        let has_room = self.slice.has_room(more);
        if has_room {
            self.grant(id, Party::STRANGERS, Parts { slice: more, ..Parts::default() });
        }
        has_room
    }

    /// Returns the body that is next to take from the common part: of the party that has least of it, unless too many
    /// younger bodies have passed the oldest already.
    fn next(&self, class: Class) -> Option<(Party, (u64, u64))> {
        let heads = || self.parties(class).filter_map(|party| Some((party, self.first(party)?)));
        let (party, oldest) = heads().min_by_key(|(_, (id, _))| *id)?;
        let passed = self.lines[party.index()].get(&oldest.0).map_or(0, |waiter| waiter.passed);
        if passed >= PASSES {
            return Some((party, oldest));
        }
        heads().min_by_key(|(party, (id, _))| (self.ledger.beyond(*party), *id))
    }

    fn count_passed(&mut self, class: Class, by: u64) {
        for party in self.parties(class) {
            if let Some(mut first) = self.lines[party.index()].first_entry()
                && *first.key() < by
            {
                first.get_mut().passed += 1;
            }
        }
    }

    /// Serves the body that has the reserve already, or else the oldest.
    fn serve_from_reserve(&mut self, class: Class, may_take_common: bool) -> bool {
        let reserve = &self.reserves[class as usize];
        let first = |party: Party| Some((*self.lines[party.index()].keys().next()?, party));
        let oldest = || self.parties(class).filter_map(first).min_by_key(|(id, _)| *id);
        let has_it = reserve.by.and_then(|id| Some((id, self.bodies.get(&id)?.party)));
        let Some((id, party)) = has_it.or_else(oldest) else { return false };
        let Some(waiter) = self.lines[party.index()].get(&id) else { return false };
        let ordinary = match may_take_common {
            true => self.ledger.free(party),
            false => self.ledger.guaranteed(party),
        };
        let ordinary = ordinary.min(waiter.more);
        let of_reserve = (waiter.more - ordinary).min(reserve.size - reserve.used);
        let overdraft = waiter.more - ordinary - of_reserve;
        // If all others hold their memory while they wait, they would wait for each other. Memory of strangers beyond
        // their guarantee comes back by eviction.
        let others_end = self.active[class as usize] > 0
            || (class == Class::Senders && self.ledger.beyond(Party::STRANGERS) > 0);
        if overdraft > 0 && others_end {
            return false;
        }
        self.grant(id, party, Parts { ordinary, reserve: of_reserve, slice: 0, overdraft });
        true
    }

    pub(super) fn parties(&self, class: Class) -> impl Iterator<Item = Party> + use<> {
        self.ledger.parties().filter(move |party| super::class(*party) == class)
    }

    /// Returns the first of a line and the bytes that it waits for: the oldest, and of strangers the one whose turn it
    /// is.
    fn first(&self, party: Party) -> Option<(u64, u64)> {
        let line = &self.lines[party.index()];
        if party == Party::STRANGERS {
            let (_, _, id) = self.turns.first()?;
            return line.get(id).map(|waiter| (*id, waiter.more));
        }
        line.first_key_value().map(|(id, waiter)| (*id, waiter.more))
    }

    fn grant(&mut self, id: u64, party: Party, taken: Parts) {
        let Some(waiter) = self.lines[party.index()].remove(&id) else { return };
        self.turns.remove(&waiter.turn);
        self.waiting[class(party) as usize] -= 1;
        self.ledger.take(party, taken.ordinary);
        if taken.reserve > 0 {
            let reserve = &mut self.reserves[class(party) as usize];
            reserve.used += taken.reserve;
            reserve.by = Some(id);
        }
        if self.bodies.contains_key(&id) {
            self.active[class(party) as usize] += 1;
        }
        self.add(id, party, taken, &waiter.progress);
        // If nothing receives this, the body is about to leave, and gives back its memory.
        let _ = waiter.granted.send(());
    }
}
