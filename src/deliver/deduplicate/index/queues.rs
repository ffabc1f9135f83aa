//! The entries of an index, in memory of a fixed size: a queue for each source, the oldest first.
//!
//! The memory is divided into blocks of [`BLOCK_ENTRIES`] entries. A block belongs to one queue, a queue is a chain
//! of blocks, and a block is free again once its last entry has left. So consecutive entries
//! lie side by side, and a queue may have all of the memory or next to none. Times are kept by
//! spans of claims, a thousandth of the window each.

use std::collections::VecDeque;

use super::{Entry, NO_SOURCE};
use crate::source::UnixMillis;

/// Entries of a block: few enough that the block of a source with one id does not matter.
const BLOCK_ENTRIES: usize = 64;

/// Number of spans in a window.
pub const SPANS_PER_WINDOW: u64 = 1000;

#[derive(Debug)]
struct Block {
    /// Its number within its queue, counted from the first that the queue ever had.
    number: u64,
    /// The next block, in its queue or among the free ones.
    next: Option<u32>,
}

/// Consecutive claims of one source.
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
    /// Number of the oldest entries that are expired, and in no span any more.
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
    limit / BLOCK_ENTRIES + 1 + 2 * sources
}

/// Bytes that the entries of `limit` ids take.
pub const fn memory(limit: usize, sources: usize) -> usize {
    blocks(limit, sources) * (BLOCK_ENTRIES * size_of::<Entry>() + size_of::<Block>())
}

impl Queues {
    pub fn new(limit: usize, window: u64, sources: usize) -> Self {
        let blocks = blocks(limit, sources);
        Self {
            window,
            entries: Vec::with_capacity(blocks * BLOCK_ENTRIES),
            blocks: Vec::with_capacity(blocks),
            free: None,
            queues: (0..sources).map(|_| Queue::default()).collect(),
            len: 0,
            due: UnixMillis::MAX,
        }
    }

    /// Number of entries, expired ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn expired(&self) -> usize {
        self.queues.iter().map(|queue| queue.expired).sum()
    }

    pub fn expired_of(&self, source: u32) -> usize {
        self.queues[source as usize].expired
    }

    /// Approximate time of claim of the oldest entry that is not expired, of the source with the most: that
    /// source forgets first.
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

    /// Number of places that have been in use.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Expires the spans whose time is over at `now`, each as a whole.
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

    /// Whether the entry at `place`, which has an owner, is expired.
    pub fn is_expired(&self, place: usize) -> bool {
        let queue = &self.queues[self.entries[place].source as usize];
        let number = self.blocks[place / BLOCK_ENTRIES].number * BLOCK_ENTRIES as u64
            + (place % BLOCK_ENTRIES) as u64;
        number - queue.begin < queue.expired as u64
    }

    /// The source whose oldest entry has to go when `claimant` gets one more: one with expired entries,
    /// or else the one with the most. Shares are equal, so that is the one furthest beyond its share; a
    /// source within its share never loses an entry to another one.
    pub fn furthest_beyond(&self, claimant: u32) -> u32 {
        let rank = |(source, queue): &(u32, &Queue)| {
            let is_claimant = *source == claimant;
            (queue.expired > 0, queue.len() + usize::from(is_claimant), is_claimant)
        };
        let held = (0..).zip(&self.queues).filter(|(_, queue)| queue.len() > 0);
        held.max_by_key(rank).map_or(claimant, |(source, _)| source)
    }

    /// The place of the oldest entry of `source`.
    pub fn front(&self, source: u32) -> Option<usize> {
        let queue = &self.queues[source as usize];
        let place = queue.first? as usize * BLOCK_ENTRIES + queue.begin as usize % BLOCK_ENTRIES;
        (queue.begin < queue.end).then_some(place)
    }

    /// Removes the oldest entry of `source`, which was forgotten before.
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
        if queue.begin.is_multiple_of(BLOCK_ENTRIES as u64)
            && let Some(first) = queue.first
        {
            let block = &mut self.blocks[first as usize];
            queue.first = block.next;
            block.next = self.free;
            self.free = Some(first);
        }
    }

    /// Appends an entry to the queue of its source; returns its place. There is room for as many as the
    /// limit, in all.
    pub fn push_back(&mut self, entry: Entry, now: UnixMillis) -> usize {
        let source = entry.source as usize;
        if self.queues[source].end.is_multiple_of(BLOCK_ENTRIES as u64) {
            self.add_block(source);
        }
        let queue = &mut self.queues[source];
        let last = queue.last.expect("a block was added");
        let place = last as usize * BLOCK_ENTRIES + queue.end as usize % BLOCK_ENTRIES;
        self.entries[place] = entry;
        queue.end += 1;
        self.len += 1;
        match queue.spans.back_mut() {
            Some(span) if now - span.first <= self.window / SPANS_PER_WINDOW => {
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
        let number = queue.end / BLOCK_ENTRIES as u64;
        let added = match self.free {
            Some(block) => {
                self.free = self.blocks[block as usize].next;
                self.blocks[block as usize] = Block { number, next: None };
                block
            }
            None => {
                debug_assert!(self.blocks.len() < self.blocks.capacity());
                self.blocks.push(Block { number, next: None });
                self.entries.resize(self.entries.len() + BLOCK_ENTRIES, Entry::EMPTY);
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
    const EMPTY: Self = Self { id: super::Id([0; 2]), sequence: 0, index: 0, source: NO_SOURCE };
}
