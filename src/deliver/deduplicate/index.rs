//! The index: the owner of each id, in an exact set of at most `limit` ids. When it is full, the oldest id of the
//! source that has the most is forgotten: each source has an equal share for itself, and may use more while others do
//! not.
//!
//! Two pieces of memory, both of their full size from the start, so that nothing is ever copied to
//! grow and the size is known beforehand ([`memory`]): the entries, in the order in which each source
//! claimed them ([`queues`]), and an open-addressing table (linear probing, filled to three quarters at most)
//! of their places, each with the first quarter of its id: a search looks at the entry that
//! it finds and at no other. The operating system gives pages as they are first used. An id is known for at
//! least the window, and for a thousandth longer at most. Every claim is constant time for a given number of
//! sources: it removes a few expired entries at most, and those that are left do not count.

mod queues;

use std::{ops::Range, time::Duration};

use self::queues::{Queues, SPANS_PER_WINDOW};
use super::identity::Id;
use crate::{source::UnixMillis, spool::position::Position};

/// Limit of expired entries that one claim removes from the table.
const EXPIRED_PER_CLAIM: usize = 8;

/// The source of an entry that was forgotten.
const NO_SOURCE: u32 = u32::MAX;

/// Owner of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of its source.
    pub source: u32,
    /// The event's place in that source's spool.
    pub position: Position,
}

impl Owner {
    /// An event that was settled before this process began. No event has this position: they begin at 1.
    pub fn settled_before(source: u32) -> Self {
        Self { source, position: Position::start_of(0) }
    }
}

/// Result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The id was free.
    First,
    /// The claimant already owns it.
    Own,
    /// Another event owns it.
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

/// The place of an entry, counted from 1, or 0 for an empty slot; and the tag of its id.
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
    /// The latest time seen: time does not go back here.
    latest: UnixMillis,
    /// Until when ids may be known that were made without the type of their event.
    without_type_until: UnixMillis,
}

/// Slots of the table for `limit` ids.
const fn slots(limit: usize) -> usize {
    limit + limit / 3 + 1
}

/// Bytes that an index of `limit` ids takes, for so many sources.
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

    /// Approximate time of claim of the oldest known id of the source that has the most.
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.queues.oldest()
    }

    /// Claims `id` for `owner`.
    pub fn claim(&mut self, id: Id, owner: Owner, at: UnixMillis) -> Claimed {
        self.pass_to(at);
        for _ in 0..EXPIRED_PER_CLAIM.min(self.queues.expired_of(owner.source)) {
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

    /// Notes that an id saved at `at` was made without the type of its event.
    pub fn expect_without_type(&mut self, at: UnixMillis) {
        let known_for = self.window.saturating_add(self.window / SPANS_PER_WINDOW);
        self.without_type_until = self.without_type_until.max(at.saturating_add(known_for));
    }

    /// Whether ids without a type may still be known.
    pub fn may_know_without_type(&self, at: UnixMillis) -> bool {
        at <= self.without_type_until
    }

    /// The owner of `id`.
    pub fn owner_of(&mut self, id: Id, at: UnixMillis) -> Option<Owner> {
        self.pass_to(at);
        let place = self.find(id).filter(|place| !self.queues.is_expired(*place))?;
        Some(self.queues.get(place).owner())
    }

    /// Frees the ids of the events of `source` in these deliveries, which cannot be read any more.
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

    /// Forgets the entry at `place`; it leaves its queue when its turn comes.
    fn forget(&mut self, place: usize) {
        let entry = self.queues.get_mut(place);
        if entry.source == NO_SOURCE {
            return;
        }
        entry.source = NO_SOURCE;
        let tag = tag(entry.id);
        let mut hole = self.home(tag);
        while self.table[hole].place as usize != place + 1 {
            hole = self.after(hole);
        }
        // Entries behind the hole that belong at or before it move up, so that no search ends early.
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
