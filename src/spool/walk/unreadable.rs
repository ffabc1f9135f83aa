//! What the disk cannot read any more, in the middle of what it can.
//!
//! A sector that went bad must not stop a source for ever, and a disk that is gone as a whole must not
//! be taken for one whose every byte is damaged. So only so much counts as damage as is confined: a few
//! holes, small ones, with whole frames (or the segment's end) behind them. Everything else stays an
//! error, which is waited out.

use std::ops;

use super::{End, Range, Walk, WalkError};
use crate::spool::disk;

/// What is read at once to find the edges of a hole: what the kernel itself reads at least.
pub const BLOCK: u64 = 4096;

/// A block that fails so often in a row cannot be read.
const TRIES: u32 = 3;

/// The most that one damage may have of holes.
const MOST_HOLES: usize = 8;
const MOST_BYTES: u64 = 64 * BLOCK;

/// A broken range, and what of it cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub range: Range,
    pub holes: Vec<ops::Range<u64>>,
}

impl Walk {
    /// Goes on behind what cannot be read, after a step has failed for that. `None` when everything can
    /// be read by now: then the step is worth another try. An error when the trouble is not confined;
    /// the walk stands where it stood.
    pub fn pass_unreadable(&mut self, end: End) -> Result<Option<Unreadable>, WalkError> {
        let from = self.offset;
        let (mut holes, mut search) = (Vec::new(), from);
        let (to, next) = loop {
            let hole = self.next_hole(search, end.offset)?;
            let readable = hole.as_ref().map_or(end.offset, |hole| hole.start);
            if holes.is_empty() && hole.is_none() {
                return Ok(None);
            }
            if !holes.is_empty() || self.ends_before(readable, end) {
                let end = End { offset: readable, ..end };
                // Nothing is wrong with what can be read by now.
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

    /// Whether the frame that stands here, such as it is, lies wholly before `readable`: then what is
    /// wrong with it is not the hole, and frames may stand between the two.
    fn ends_before(&mut self, readable: u64, end: End) -> bool {
        match self.head_at(self.offset, readable.min(end.offset)) {
            Ok(Some(head)) => self.offset.saturating_add(head.frame_length()) <= readable,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// The first range from `from` on that cannot be read, in whole blocks; no longer than what may
    /// count as damage, and a block.
    fn next_hole(&mut self, from: u64, end: u64) -> Result<Option<ops::Range<u64>>, WalkError> {
        let mut hole: Option<ops::Range<u64>> = None;
        let mut at = from;
        while at < end {
            let block_end = (at / BLOCK + 1).saturating_mul(BLOCK).min(end);
            match (self.can_read(at, block_end)?, &mut hole) {
                (true, None) => {}
                (true, Some(_)) => return Ok(hole),
                (false, None) => hole = Some(at..block_end),
                (false, Some(hole)) => hole.end = block_end,
            }
            if hole.as_ref().is_some_and(|hole| hole.end - hole.start > MOST_BYTES) {
                return Ok(hole);
            }
            at = block_end;
        }
        Ok(hole)
    }

    fn can_read(&self, from: u64, to: u64) -> Result<bool, WalkError> {
        let mut block = vec![0; (to - from) as usize];
        for _ in 0..TRIES {
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
        if bytes <= MOST_BYTES && holes.len() <= MOST_HOLES {
            return Ok(());
        }
        Err(WalkError::NotConfined { offset: self.offset })
    }
}
