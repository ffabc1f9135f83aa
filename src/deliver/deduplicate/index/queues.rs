//! The entries of an index, in memory of a fixed size: a queue for each source, the oldest first.
//!
//! The memory is divided into blocks of [`BLOCK`] entries. A block belongs to one queue, a queue is a chain
//! of blocks, and a block is free again once its last entry has left. So entries that come one after the
//! other lie side by side, and a queue may have all of the memory or next to none. Times are kept by
//! spans of claims, a thousandth of the window each.

use std::collections::VecDeque;

use super::{Entry, NOBODY};
use crate::source::UnixMillis;

/// Entries of a block: few enough that those of a source with one id do not matter.
const BLOCK: usize = 64;

/// Spans of time that a window is divided into.
pub const SPANS: u64 = 1000;

#[derive(Debug)]
struct Block {
    /// Which block of its queue it is, counted from the first that the queue ever had.
    number: u64,
    /// The one behind it, in its queue or among those that are free.
    next: Option<u32>,
}

/// Claims of one source that came one after the other.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: UnixMillis,
    last: UnixMillis,
    entries: usize,
}

/// One source's entries, each with a number in the order of the claims.
#[derive(Debug, Default)]
struct Queue {
    /// The numbers of the oldest entry and of the next to come.
    begin: u64,
    end: u64,
    first: Option<u32>,
    last: Option<u32>,
    /// How many of the oldest are expired; in no span any more.
    expired: usize,
    spans: VecDeque<Span>,
}

impl Queue {
    fn len(&self) -> usize {
        (self.end - self.begin) as usize
    }
}

#[derive(Debug)]
pub struct Queues {
    /// In milliseconds.
    window: u64,
    entries: Vec<Entry>,
    blocks: Vec<Block>,
    free: Option<u32>,
    queues: Vec<Queue>,
    /// Entries of all queues.
    len: usize,
    /// No span expires before this time has passed.
    due: UnixMillis,
}

/// Blocks for `limit` entries: each queue has one that is not full at either end.
const fn blocks(limit: usize, sources: usize) -> usize {
    limit / BLOCK + 1 + 2 * sources
}

/// Bytes that the entries of `limit` ids take.
pub const fn memory(limit: usize, sources: usize) -> usize {
    blocks(limit, sources) * (BLOCK * size_of::<Entry>() + size_of::<Block>())
}

impl Queues {
    pub fn new(limit: usize, window: u64, sources: usize) -> Self {
        let blocks = blocks(limit, sources);
        Self {
            window,
            entries: Vec::with_capacity(blocks * BLOCK),
            blocks: Vec::with_capacity(blocks),
            free: None,
            queues: (0..sources).map(|_| Queue::default()).collect(),
            len: 0,
            due: UnixMillis::MAX,
        }
    }

    /// Entries, expired ones too.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn expired(&self) -> usize {
        self.queues.iter().map(|queue| queue.expired).sum()
    }

    pub fn expired_of(&self, source: u32) -> usize {
        self.queues[source as usize].expired
    }

    /// When the oldest entry that is not expired was claimed, more or less: of the source with the most, since
    /// that is the one that forgets first.
    pub fn oldest(&self) -> Option<UnixMillis> {
        let oldest = |queue: &Queue| Some((queue.len(), queue.spans.front()?.first));
        self.queues.iter().filter_map(oldest).max().map(|(_, first)| first)
    }

    pub fn get(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    pub fn get_mut(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    /// Places that have been in use.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Whole spans expire at a time.
    pub fn expire(&mut self, now: UnixMillis) {
        if now <= self.due {
            return;
        }
        self.due = UnixMillis::MAX;
        for queue in &mut self.queues {
            while let Some(span) = queue.spans.front() {
                let until = span.last.saturating_add(self.window);
                if now <= until {
                    self.due = self.due.min(until);
                    break;
                }
                queue.expired += span.entries;
                queue.spans.pop_front();
            }
        }
    }

    /// Whether the entry there, which is somebody's, is expired.
    pub fn is_expired(&self, place: usize) -> bool {
        let queue = &self.queues[self.entries[place].source as usize];
        let number = self.blocks[place / BLOCK].number * BLOCK as u64 + (place % BLOCK) as u64;
        number - queue.begin < queue.expired as u64
    }

    /// The source whose oldest entry is to go when `claimant` has one more: one that has expired ones,
    /// or else the one with the most. Shares are equal, so that is the one furthest beyond its share; and
    /// nothing of a source within it ever goes for another one.
    pub fn furthest_beyond(&self, claimant: u32) -> u32 {
        let rank = |(source, queue): &(u32, &Queue)| {
            let is_claimant = *source == claimant;
            (queue.expired > 0, queue.len() + usize::from(is_claimant), is_claimant)
        };
        let held = (0..).zip(&self.queues).filter(|(_, queue)| queue.len() > 0);
        held.max_by_key(rank).map_or(claimant, |(source, _)| source)
    }

    /// Where the oldest entry of `source` is.
    pub fn front(&self, source: u32) -> Option<usize> {
        let queue = &self.queues[source as usize];
        let place = queue.first? as usize * BLOCK + queue.begin as usize % BLOCK;
        (queue.begin < queue.end).then_some(place)
    }

    /// Takes the oldest entry of `source` out, which belongs to no source any more.
    pub fn pop_front(&mut self, source: u32) {
        let queue = &mut self.queues[source as usize];
        queue.begin += 1;
        self.len -= 1;
        if queue.expired > 0 {
            queue.expired -= 1;
        } else if let Some(span) = queue.spans.front_mut() {
            span.entries -= 1;
            if span.entries == 0 {
                queue.spans.pop_front();
            }
        }
        if queue.begin.is_multiple_of(BLOCK as u64)
            && let Some(first) = queue.first
        {
            let block = &mut self.blocks[first as usize];
            queue.first = block.next;
            block.next = self.free;
            self.free = Some(first);
        }
    }

    /// Puts an entry behind the others of its source; returns its place. There is room for as many as the
    /// limit, in all.
    pub fn push_back(&mut self, entry: Entry, now: UnixMillis) -> usize {
        let source = entry.source as usize;
        if self.queues[source].end.is_multiple_of(BLOCK as u64) {
            self.add_block(source);
        }
        let queue = &mut self.queues[source];
        let last = queue.last.expect("a block was added");
        let place = last as usize * BLOCK + queue.end as usize % BLOCK;
        self.entries[place] = entry;
        queue.end += 1;
        self.len += 1;
        match queue.spans.back_mut() {
            Some(span) if now - span.first <= self.window / SPANS => {
                span.last = now;
                span.entries += 1;
            }
            _ => {
                queue.spans.push_back(Span { first: now, last: now, entries: 1 });
                self.due = self.due.min(now.saturating_add(self.window));
            }
        }
        place
    }

    fn add_block(&mut self, source: usize) {
        let queue = &mut self.queues[source];
        let number = queue.end / BLOCK as u64;
        let added = match self.free {
            Some(block) => {
                self.free = self.blocks[block as usize].next;
                self.blocks[block as usize] = Block { number, next: None };
                block
            }
            None => {
                debug_assert!(self.blocks.len() < self.blocks.capacity());
                self.blocks.push(Block { number, next: None });
                self.entries.resize(self.entries.len() + BLOCK, Entry::EMPTY);
                self.blocks.len() as u32 - 1 // there are fewer than entries
            }
        };
        match queue.first {
            None => queue.first = Some(added),
            Some(_) => {
                let last = queue.last.expect("it has a first one");
                self.blocks[last as usize].next = Some(added);
            }
        }
        queue.last = Some(added);
    }

    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.blocks.capacity() * size_of::<Block>()
    }
}

impl Entry {
    const EMPTY: Self = Self { id: super::Id([0; 2]), sequence: 0, index: 0, source: NOBODY };
}
