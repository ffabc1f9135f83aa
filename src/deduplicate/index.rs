//! Who owns which id: an exact set of at most `limit` ids, the oldest of which are forgotten first.
//!
//! Two pieces of memory, both of their full size from the start, so that nothing is ever copied to
//! grow and what it takes is known beforehand ([`memory`]): a ring of entries in the order in which
//! they were claimed, and an open-addressing table (linear probing, filled to three quarters at most)
//! of places in the ring, each with the first quarter of its id: a search looks into the ring for what
//! it finds and for nothing else. The operating system gives pages as they are first used. Times are kept by
//! spans of claims, a thousandth of the window each: an id is known for at least the window, and for
//! a thousandth longer at most. Every claim is constant time: it takes away a few expired entries at
//! most, and those that are left do not count.

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::identity::Id;
use crate::{delivery::UnixMillis, spool::position::Position};

/// Expired entries that one claim takes out of the table.
const EXPIRED_A_CLAIM: usize = 8;

/// Spans of time that a window is divided into.
const SPANS: u64 = 1000;

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
    /// Another event has it, of the source with this number.
    Taken { by: u32 },
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

/// A place in the ring, counted from 1, or 0 if it is empty; and which ids may be there.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    place: u32,
    tag: u32,
}

impl Slot {
    const EMPTY: Self = Self { place: 0, tag: 0 };

    fn is_empty(self) -> bool {
        self.place == 0
    }
}

/// Claims that came one after the other.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: UnixMillis,
    last: UnixMillis,
    entries: usize,
}

pub struct Index {
    limit: usize,
    /// In milliseconds.
    window: u64,
    ring: Vec<Entry>,
    /// Where the oldest entry is, and how many there are.
    head: usize,
    len: usize,
    /// How many of the oldest are expired; in no span any more.
    expired: usize,
    table: Vec<Slot>,
    spans: VecDeque<Span>,
    /// Time does not go back here.
    latest: UnixMillis,
    /// Until when ids are known that were made without the type of their event.
    without_type_until: UnixMillis,
}

/// Slots of the table for `limit` ids.
const fn slots(limit: usize) -> usize {
    limit + limit / 3 + 1
}

/// Bytes that an index of `limit` ids takes.
pub const fn memory(limit: usize) -> u64 {
    (limit * size_of::<Entry>() + slots(limit) * size_of::<Slot>()) as u64
}

impl Index {
    /// `limit` is at least 1 and fits into 32 bits.
    pub fn new(limit: usize, window: Duration) -> Self {
        debug_assert!(limit > 0 && u32::try_from(limit).is_ok());
        Self {
            limit,
            window: window.as_millis().try_into().unwrap_or(u64::MAX),
            ring: Vec::with_capacity(limit),
            head: 0,
            len: 0,
            expired: 0,
            table: vec![Slot::EMPTY; slots(limit)],
            spans: VecDeque::new(),
            latest: 0,
            without_type_until: 0,
        }
    }

    /// Ids that are known.
    pub fn len(&self) -> usize {
        self.len - self.expired
    }

    /// When the oldest known id was claimed, more or less.
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.spans.front().map(|span| span.first)
    }

    /// `owner` wants `id`.
    pub fn claim(&mut self, id: Id, owner: Owner, at: UnixMillis) -> Claimed {
        self.latest = self.latest.max(at);
        self.expire();
        if let Some(place) = self.find(id) {
            if !self.is_expired(place) {
                let held = self.ring[place].owner();
                return if held == owner {
                    Claimed::Own
                } else {
                    Claimed::Taken { by: held.source }
                };
            }
            self.forget(place);
        }
        if self.len == self.limit {
            self.drop_oldest();
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

    /// The source that has `id`.
    pub fn source_of(&mut self, id: Id, at: UnixMillis) -> Option<u32> {
        self.latest = self.latest.max(at);
        self.expire();
        let place = self.find(id).filter(|place| !self.is_expired(*place))?;
        Some(self.ring[place].source)
    }

    /// The events of `source` in these deliveries can't be had any more: their ids are free again.
    /// Looks at every entry.
    pub fn release(&mut self, source: u32, sequences: &Range<u64>) {
        for place in 0..self.ring.len() {
            let entry = &self.ring[place];
            if entry.source == source && sequences.contains(&entry.sequence) {
                self.forget(place);
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        let place = self.place(self.len);
        match self.ring.get_mut(place) {
            Some(old) => *old = entry,
            None => self.ring.push(entry),
        }
        self.len += 1;
        let tag = tag(entry.id);
        let mut slot = self.home(tag);
        while !self.table[slot].is_empty() {
            slot = self.after(slot);
        }
        self.table[slot] = Slot { place: place as u32 + 1, tag }; // the limit fits into 32 bits
        let now = self.latest;
        match self.spans.back_mut() {
            Some(span) if now - span.first <= self.window / SPANS => {
                span.last = now;
                span.entries += 1;
            }
            _ => self.spans.push_back(Span { first: now, last: now, entries: 1 }),
        }
    }

    /// Whole spans expire; their entries leave the table a few at a time.
    fn expire(&mut self) {
        while let Some(span) = self.spans.front()
            && self.latest - span.last > self.window
        {
            self.expired += span.entries;
            self.spans.pop_front();
        }
        for _ in 0..EXPIRED_A_CLAIM.min(self.expired) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.forget(self.head);
        self.head = self.place(1);
        self.len -= 1;
        if self.expired > 0 {
            self.expired -= 1;
        } else if let Some(span) = self.spans.front_mut() {
            span.entries -= 1;
            if span.entries == 0 {
                self.spans.pop_front();
            }
        }
    }

    /// The entry at `place` counts for nothing any more; it leaves the ring when its turn comes.
    fn forget(&mut self, place: usize) {
        if self.ring[place].source == NOBODY {
            return;
        }
        self.ring[place].source = NOBODY;
        let mut hole = self.home(tag(self.ring[place].id));
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
        self.table[hole] = Slot::EMPTY;
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
            if found.tag == tag && self.ring[place].id == id {
                return Some(place);
            }
            slot = self.after(slot);
        }
    }

    /// The place of the `nth` entry, from the oldest on.
    fn place(&self, nth: usize) -> usize {
        (self.head + nth) % self.limit
    }

    fn is_expired(&self, place: usize) -> bool {
        (place + self.limit - self.head) % self.limit < self.expired
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
