//! Who owns which id: an exact set of at most `limit` ids. Where it is full, the oldest id of the source that has
//! the most is forgotten: each source has its equal share for itself, and what others do not use besides.
//!
//! Two pieces of memory, both of their full size from the start, so that nothing is ever copied to
//! grow and what it takes is known beforehand ([`memory`]): the entries, in the order in which each source
//! claimed them ([`queues`]), and an open-addressing table (linear probing, filled to three quarters at most)
//! of their places, each with the first quarter of its id: a search looks at the entry that
//! it finds and at no other. The operating system gives pages as they are first used. An id is known for at
//! least the window, and for a thousandth longer at most. Every claim is constant time for a given number of
//! sources: it takes away a few expired entries at most, and those that are left do not count.

mod queues;

use std::{ops::Range, time::Duration};

use self::queues::{Queues, SPANS};
use super::identity::Id;
use crate::{source::UnixMillis, spool::position::Position};

/// Expired entries that one claim takes out of the table.
const EXPIRED_A_CLAIM: usize = 8;

/// The source of an entry that counts for nothing any more.
const NOBODY: u32 = u32::MAX;

/// Whose an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of its source.
    pub source: u32,
    /// Its place in that source's spool.
    pub position: Position,
}

impl Owner {
    /// An event that was settled before this process began. No position is it: they begin at 1.
    pub fn settled_before(source: u32) -> Self {
        Self { source, position: Position::start_of(0) }
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody had it.
    First,
    /// The claimant has had it before.
    Own,
    /// Another event has it.
    Taken { by: Owner },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Id,
    sequence: u64,
    index: u32,
    source: u32,
}

impl Entry {
    fn new(id: Id, owner: Owner) -> Self {
        let Owner { source, position: Position { sequence, index } } = owner;
        Self { id, sequence, index, source }
    }

    fn owner(&self) -> Owner {
        let position = Position { sequence: self.sequence, index: self.index };
        Owner { source: self.source, position }
    }
}

/// The place of an entry, counted from 1, or 0 if it is empty; and which ids may be there.
#[derive(Clone, Copy, Debug, Default)]
struct IndexEntry {
    place: u32,
    tag: u32,
}

impl IndexEntry {
    const EMPTY: Self = Self { place: 0, tag: 0 };

    fn is_empty(self) -> bool {
        self.place == 0
    }
}

pub struct Index {
    limit: usize,
    /// In milliseconds.
    window: u64,
    queues: Queues,
    table: Vec<IndexEntry>,
    /// Time does not go back here.
    latest: UnixMillis,
    /// Until when ids are known that were made without the type of their event.
    without_type_until: UnixMillis,
}

/// Slots of the table for `limit` ids.
const fn slots(limit: usize) -> usize {
    limit + limit / 3 + 1
}

/// Bytes that an index of `limit` ids takes, of so many sources.
pub const fn memory(limit: usize, sources: usize) -> u64 {
    (queues::memory(limit, sources) + slots(limit) * size_of::<IndexEntry>()) as u64
}

impl Index {
    /// `limit` is at least 1 and fits into 32 bits; sources are numbered from 0.
    pub fn new(limit: usize, window: Duration, sources: usize) -> Self {
        debug_assert!(limit > 0 && u32::try_from(limit).is_ok());
        let window = window.as_millis().try_into().unwrap_or(u64::MAX);
        Self {
            limit,
            window,
            queues: Queues::new(limit, window, sources),
            table: vec![IndexEntry::EMPTY; slots(limit)],
            latest: 0,
            without_type_until: 0,
        }
    }

    /// Ids that are known.
    pub fn len(&self) -> usize {
        self.queues.len() - self.queues.expired()
    }

    /// When the oldest known id of the source that has the most was claimed, more or less.
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.queues.oldest()
    }

    /// `owner` wants `id`.
    pub fn claim(&mut self, id: Id, owner: Owner, at: UnixMillis) -> Claimed {
        self.pass_to(at);
        for _ in 0..EXPIRED_A_CLAIM.min(self.queues.expired_of(owner.source)) {
            self.drop_oldest(owner.source);
        }
        if let Some(place) = self.find(id) {
            if !self.queues.is_expired(place) {
                let held = self.queues.get(place).owner();
                return if held == owner { Claimed::Own } else { Claimed::Taken { by: held } };
            }
            self.forget(place);
        }
        if self.queues.len() == self.limit {
            self.drop_oldest(self.queues.furthest_beyond(owner.source));
        }
        self.insert(Entry::new(id, owner));
        Claimed::First
    }

    /// An id that was saved then was made without the type of its event.
    pub fn expect_without_type(&mut self, at: UnixMillis) {
        let known_for = self.window.saturating_add(self.window / SPANS);
        self.without_type_until = self.without_type_until.max(at.saturating_add(known_for));
    }

    /// Whether such ids may still be known.
    pub fn may_know_without_type(&self, at: UnixMillis) -> bool {
        at <= self.without_type_until
    }

    /// Whose `id` is.
    pub fn owner_of(&mut self, id: Id, at: UnixMillis) -> Option<Owner> {
        self.pass_to(at);
        let place = self.find(id).filter(|place| !self.queues.is_expired(*place))?;
        Some(self.queues.get(place).owner())
    }

    /// The events of `source` in these deliveries cannot be had any more: their ids are free again.
    /// Looks at every entry.
    pub fn release(&mut self, source: u32, sequences: &Range<u64>) {
        for place in 0..self.queues.places() {
            let entry = self.queues.get(place);
            if entry.source == source && sequences.contains(&entry.sequence) {
                self.forget(place);
            }
        }
    }

    fn pass_to(&mut self, at: UnixMillis) {
        self.latest = self.latest.max(at);
        self.queues.expire(self.latest);
    }

    fn insert(&mut self, entry: Entry) {
        let place = self.queues.push_back(entry, self.latest);
        let tag = tag(entry.id);
        let mut slot = self.home(tag);
        while !self.table[slot].is_empty() {
            slot = self.after(slot);
        }
        self.table[slot] = IndexEntry { place: place as u32 + 1, tag }; // the limit fits into 32 bits
    }

    fn drop_oldest(&mut self, source: u32) {
        if let Some(place) = self.queues.front(source) {
            self.forget(place);
            self.queues.pop_front(source);
        }
    }

    /// The entry at `place` counts for nothing any more; it leaves its queue when its turn comes.
    fn forget(&mut self, place: usize) {
        let entry = self.queues.get_mut(place);
        if entry.source == NOBODY {
            return;
        }
        entry.source = NOBODY;
        let tag = tag(entry.id);
        let mut hole = self.home(tag);
        while self.table[hole].place as usize != place + 1 {
            hole = self.after(hole);
        }
        // Whatever is behind it and would rather be there moves up, so that no search ends early.
        let mut next = self.after(hole);
        while !self.table[next].is_empty() {
            let home = self.home(self.table[next].tag);
            if self.distance(home, next) >= self.distance(hole, next) {
                self.table[hole] = self.table[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.table[hole] = IndexEntry::EMPTY;
    }

    /// The place of the entry of `id`.
    fn find(&self, id: Id) -> Option<usize> {
        let tag = tag(id);
        let mut slot = self.home(tag);
        loop {
            let found = self.table[slot];
            if found.is_empty() {
                return None;
            }
            let place = found.place as usize - 1;
            if found.tag == tag && self.queues.get(place).id == id {
                return Some(place);
            }
            slot = self.after(slot);
        }
    }

    /// The slot where the search begins: the tag, scaled to the size of the table.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.table.len() as u64) >> 32) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.table.len() { 0 } else { slot + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.table.len() - from }
    }
}

/// The first quarter of an id.
fn tag(id: Id) -> u32 {
    (id.0[0] >> 32) as u32
}

#[cfg(test)]
mod tests;
