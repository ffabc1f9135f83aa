//! The ledger, shared by writer, readers and retention: which segments there are, how far they are
//! durable, and from where on they are undelivered.
//!
//! The files are the truth; this is their table of contents in memory, rebuilt at start from names
//! and sizes. It does no input or output and takes no locks, its owner does ([`super::shared`]).
//!
//! A segment holds the sequences from its generation to the next segment's, the last one to
//! `durable_end`. To find a place inside a segment there are *marks*, one every 64 KiB or so, noted by the
//! first reader that passes there. They are hints: without them a segment is read from its beginning.

use std::collections::BTreeMap;

use super::{position::Position, segment::HEADER_LENGTH, walk::End};
use crate::source::UnixMillis;

/// Bytes between two marks.
const MARK_EVERY_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
pub struct Ledger {
    segments: BTreeMap<u64, Segment>,
    /// The sequence behind the last synced delivery, which the next one will get.
    durable_end: u64,
    /// Below this, segments are gone because they were delivered, not because they are missing.
    removed_below: u64,
    low: Low,
    /// Cached sums, see [`Ledger::recount`].
    undelivered_bytes: u64,
    kept_bytes: u64,
}

#[derive(Debug)]
struct Segment {
    /// Durable bytes, header included.
    length: u64,
    /// When its last frame was written.
    written_at: UnixMillis,
    marks: Vec<Mark>,
}

/// A frame's place in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub sequence: u64,
    pub offset: u64,
}

/// The lowest undelivered position, and the place of its delivery's frame (or a place before it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Low {
    pub position: Position,
    pub generation: u64,
    pub offset: u64,
    /// When that delivery came; `None` when nothing is undelivered.
    pub received_at: Option<UnixMillis>,
}

/// The place of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Not written yet.
    NotYet,
    /// In this segment, at this mark or behind it.
    Segment { generation: u64, mark: Mark, end: End },
    /// In no segment, like all sequences up to `next`.
    Missing { next: u64 },
    /// Removed after delivery; `next` is the oldest that is kept.
    Removed { next: u64 },
}

/// Continuation of a spool at the end that a reader has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    More(End),
    NextSegment,
    Nothing,
}

/// A delivered segment that may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removable {
    pub generation: u64,
    pub length: u64,
    pub written_at: UnixMillis,
}

impl Ledger {
    pub fn new() -> Self {
        let position = Position::start_of(1);
        Self {
            segments: BTreeMap::new(),
            durable_end: 1,
            removed_below: 0,
            low: Low { position, generation: 0, offset: 0, received_at: None },
            undelivered_bytes: 0,
            kept_bytes: 0,
        }
    }

    pub fn add_segment(&mut self, generation: u64, length: u64, written_at: UnixMillis) {
        let first = Mark { sequence: generation, offset: HEADER_LENGTH };
        let length = length.max(HEADER_LENGTH);
        self.segments.insert(generation, Segment { length, written_at, marks: vec![first] });
    }

    /// Notes that the last segment has grown to `length`, and everything below `durable_end` is durable.
    pub fn grow(
        &mut self,
        length: u64,
        durable_end: u64,
        first_received_at: UnixMillis,
        now: UnixMillis,
    ) {
        if let Some(mut last) = self.segments.last_entry() {
            let last = last.get_mut();
            last.length = length;
            last.written_at = now;
        }
        if self.low.position.sequence >= self.durable_end {
            self.low.received_at = Some(first_received_at);
        }
        self.durable_end = durable_end;
    }

    /// Notes a frame's place; kept if it is far enough from the last mark.
    pub fn note(&mut self, generation: u64, mark: Mark) {
        let Some(segment) = self.segments.get_mut(&generation) else { return };
        let due =
            segment.marks.last().is_none_or(|last| mark.offset >= last.offset + MARK_EVERY_BYTES);
        if due {
            segment.marks.push(mark);
        }
    }

    pub fn durable_end(&self) -> u64 {
        self.durable_end
    }

    pub fn low(&self) -> Low {
        self.low
    }

    /// Returns the position before which everything is delivered.
    pub fn lowest(&self) -> Position {
        self.low.position
    }

    pub fn undelivered_bytes(&self) -> u64 {
        self.undelivered_bytes
    }

    /// Returns the bytes of delivered segments.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    pub fn undelivered_deliveries(&self) -> u64 {
        self.durable_end - self.low.position.sequence
    }

    pub fn first_generation(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    pub fn set_last_length(&mut self, length: u64) {
        if let Some(mut last) = self.segments.last_entry() {
            last.get_mut().length = length;
        }
    }

    pub fn set_durable_end(&mut self, sequence: u64) {
        self.durable_end = sequence;
    }

    /// Returns generation and durable length of the last segment.
    pub fn last_segment(&self) -> Option<(u64, u64)> {
        self.segments.last_key_value().map(|(generation, last)| (*generation, last.length))
    }

    /// Sets, at the start, the sequence below which missing ones were removed: the lowest undelivered one.
    pub fn set_removed_below(&mut self, sequence: u64) {
        self.removed_below = sequence;
    }

    pub fn set_low(&mut self, low: Low) {
        self.low = low;
    }

    pub fn place(&self, sequence: u64) -> Lookup {
        if sequence >= self.durable_end {
            return Lookup::NotYet;
        }
        if let Some((&generation, segment)) = self.segments.range(..=sequence).next_back() {
            let marks = &segment.marks;
            let mark = marks[marks.partition_point(|mark| mark.sequence <= sequence).max(1) - 1];
            return Lookup::Segment { generation, mark, end: self.end_of(generation, segment) };
        }
        let first = self.first_generation().unwrap_or(self.durable_end);
        let removed = self.removed_below.min(first);
        if sequence < removed {
            Lookup::Removed { next: removed }
        } else {
            Lookup::Missing { next: first }
        }
    }

    /// Returns what follows in `generation` behind `end`.
    pub fn beyond(&self, generation: u64, end: End) -> Beyond {
        let Some(segment) = self.segments.get(&generation) else {
            return Beyond::NextSegment; // removed meanwhile: delivered, so not the last
        };
        let now = self.end_of(generation, segment);
        if now != end {
            Beyond::More(now)
        } else if self.following(generation).is_some() {
            Beyond::NextSegment
        } else {
            Beyond::Nothing
        }
    }

    pub fn holds(&self, generation: u64) -> bool {
        self.segments.contains_key(&generation)
    }

    /// Returns the oldest segment, if all of it is delivered and it is not the last.
    pub fn removable(&self) -> Option<Removable> {
        let (&generation, segment) = self.segments.first_key_value()?;
        let next = self.following(generation)?;
        (next <= self.low.position.sequence).then_some(Removable {
            generation,
            length: segment.length,
            written_at: segment.written_at,
        })
    }

    /// Removes the oldest segment, before its name is removed from disk.
    pub fn remove_first(&mut self, generation: u64) {
        if let Some(next) = self.following(generation) {
            self.segments.remove(&generation);
            self.removed_below = self.removed_below.max(next);
        }
    }

    /// Computes the sums again after segments or the low position have changed.
    pub fn recount(&mut self) {
        let low = self.low;
        let last = self.segments.keys().next_back().copied();
        (self.undelivered_bytes, self.kept_bytes) = (0, 0);
        let mut segments = self.segments.iter().peekable();
        while let Some((&generation, segment)) = segments.next() {
            let next = segments.peek().map(|(next, _)| **next);
            if next.is_some_and(|next| next <= low.position.sequence) && Some(generation) != last {
                self.kept_bytes += segment.length;
            } else if generation == low.generation {
                self.undelivered_bytes += segment.length.saturating_sub(low.offset);
            } else {
                self.undelivered_bytes += segment.length - HEADER_LENGTH;
            }
        }
    }

    fn following(&self, generation: u64) -> Option<u64> {
        self.segments.range(generation + 1..).next().map(|(next, _)| *next)
    }

    fn end_of(&self, generation: u64, segment: &Segment) -> End {
        let sequence = self.following(generation).unwrap_or(self.durable_end);
        End { offset: segment.length, sequence }
    }
}
