//! Unreadable bytes in the middle of readable ones.
//!
//! A bad sector must not stop a source for ever, and a disk that is gone as a whole must not be taken for one
//! whose every byte is damaged. So only confined trouble counts as damage: a few small holes, with whole frames
//! (or the segment's end) behind them. Everything else stays an error, and the caller tries again later.

use std::ops;

use super::{End, Range, Walk, WalkError};
use crate::spool::disk;

/// Bytes that are read at once to find the edges of a hole: the least that the kernel itself reads.
pub const BLOCK_BYTES: u64 = 4096;

/// Failed reads in a row after which a block counts as unreadable.
const TRIES_PER_BLOCK: u32 = 3;

/// Holes that one damage may have.
const MAX_HOLES: usize = 8;
/// Bytes of all holes of one damage.
const MAX_HOLE_BYTES: u64 = 64 * BLOCK_BYTES;

/// A broken range, and its holes, which cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub range: Range,
    pub holes: Vec<ops::Range<u64>>,
}

impl Walk {
    /// Passes unreadable bytes, after a step has failed because of them. `None` when everything can be read by now:
    /// then the step is worth another try. An error when the trouble is not confined; the walk has not moved then.
    pub fn pass_unreadable(&mut self, end: End) -> Result<Option<Unreadable>, WalkError> {
        let from = self.offset;
        let mut holes = Vec::new();
        let mut search = from;
        let (to, next) = loop {
            let hole = self.next_hole(search, end.offset)?;
            let readable = hole.as_ref().map_or(end.offset, |hole| hole.start);
            if holes.is_empty() && hole.is_none() {
                return Ok(None);
            }
            if !holes.is_empty() || self.ends_before(readable, end) {
                let end = End { offset: readable, ..end };
                // The frame here can be read by now, and is valid.
                if holes.is_empty() && self.frame_at(from, end)?.is_some() {
                    return Ok(None);
                }
                // The head may lie in the hole.
                let head = self.head_at(from, end.offset).unwrap_or_default();
                if let Some(found) = self.next_valid(from, head, search.max(from + 1), end)? {
                    break found;
                }
            }
            let Some(hole) = hole else {
                break (end.offset, end.sequence.max(self.expected));
            };
            search = hole.end;
            holes.push(hole);
            self.check_confined(&holes)?;
        };
        let range = Range { from, to, first: self.expected, next };
        (self.offset, self.expected) = (to, next);
        Ok(Some(Unreadable { range, holes }))
    }

    /// Returns whether the broken frame here lies wholly before `readable`: then the hole is not what breaks it, and
    /// frames may stand between the two.
    fn ends_before(&mut self, readable: u64, end: End) -> bool {
        match self.head_at(self.offset, readable.min(end.offset)) {
            Ok(Some(head)) => self.offset.saturating_add(head.frame_length()) <= readable,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Returns the first unreadable range from `from` on, in whole blocks; at most one block longer than may count as
    /// damage.
    fn next_hole(&mut self, from: u64, end: u64) -> Result<Option<ops::Range<u64>>, WalkError> {
        let mut hole: Option<ops::Range<u64>> = None;
        let mut at = from;
        while at < end {
            let block_end = (at / BLOCK_BYTES + 1).saturating_mul(BLOCK_BYTES).min(end);
            match (self.can_read(at, block_end)?, &mut hole) {
                (true, None) => {}
                (true, Some(_)) => return Ok(hole),
                (false, None) => hole = Some(at..block_end),
                (false, Some(hole)) => hole.end = block_end,
            }
            if hole.as_ref().is_some_and(|hole| hole.end - hole.start > MAX_HOLE_BYTES) {
                return Ok(hole);
            }
            at = block_end;
        }
        Ok(hole)
    }

    fn can_read(&self, from: u64, to: u64) -> Result<bool, WalkError> {
        let mut block = vec![0; (to - from) as usize];
        for _ in 0..TRIES_PER_BLOCK {
            match disk::read_full(&*self.file, &mut block, from) {
                Ok(_) => return Ok(true),
                Err(error) if disk::is_unreadable(&error) => {}
                Err(error) => return Err(WalkError::Io { offset: from, error }),
            }
        }
        Ok(false)
    }

    fn check_confined(&self, holes: &[ops::Range<u64>]) -> Result<(), WalkError> {
        let bytes: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
        if bytes <= MAX_HOLE_BYTES && holes.len() <= MAX_HOLES {
            return Ok(());
        }
        Err(WalkError::NotConfined { offset: self.offset })
    }
}
