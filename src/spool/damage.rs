//! Damage: a range of a spool that differs from what was written there.

use std::{fmt, io, ops, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{
    disk::{self, DiskFile},
    walk::{Range, Unreadable},
};

/// Bytes that hold no valid frame, or sequences that are missing.
#[derive(Clone)]
pub struct Damage {
    /// The segment with the damage, or the one that should have the missing sequences.
    pub segment: PathBuf,
    /// Bytes `from..to` of the segment; equal when there are no bytes to keep.
    pub from: u64,
    pub to: u64,
    /// The sequences lost are at most `first_sequence..next_sequence`, of those that the reader gives out.
    pub first_sequence: u64,
    pub next_sequence: u64,
    /// The first sequence of the whole range; a reader that began in the middle of the range gives out fewer.
    pub first_of_range: u64,
    /// Ranges of `from..to` that the disk cannot read.
    pub unreadable: Vec<ops::Range<u64>>,
    file: Option<Arc<dyn DiskFile>>,
}

impl Damage {
    const PIECE_BYTES: u64 = 1024 * 1024;

    pub(super) fn new(segment: PathBuf, range: Range, file: Arc<dyn DiskFile>) -> Self {
        Self {
            segment,
            from: range.from,
            to: range.to,
            first_sequence: range.first,
            next_sequence: range.next,
            first_of_range: range.first,
            unreadable: Vec::new(),
            file: Some(file),
        }
    }

    /// Returns this damage for a reader that was to give out nothing before `next`.
    pub(super) fn seen_from(self, next: u64) -> Self {
        Self { first_sequence: self.first_sequence.max(next), ..self }
    }

    /// Returns the damage of the whole range, whichever part of it a reader reports: what is kept of it has one name.
    pub fn whole(&self) -> Self {
        Self { first_sequence: self.first_of_range, ..self.clone() }
    }

    pub(super) fn unreadable(segment: PathBuf, found: Unreadable, file: Arc<dyn DiskFile>) -> Self {
        Self { unreadable: found.holes, ..Self::new(segment, found.range, file) }
    }

    /// Makes the damage of a missing segment.
    pub(super) fn missing(segment: PathBuf, first_sequence: u64, next_sequence: u64) -> Self {
        Self {
            segment,
            from: 0,
            to: 0,
            first_sequence,
            next_sequence,
            first_of_range: first_sequence,
            unreadable: Vec::new(),
            file: None,
        }
    }

    /// Reads the damaged bytes, in pieces of at most 1 MiB, with zeros for unreadable ones. They can be
    /// read as long as this value lives, even when the segment is removed meanwhile.
    pub fn pieces(&self) -> impl Iterator<Item = io::Result<Bytes>> + '_ {
        let starts = (self.from..self.to).step_by(Self::PIECE_BYTES as usize);
        self.file.iter().flat_map(move |file| {
            starts.clone().map(move |from| {
                let mut bytes = vec![0; (self.to - from).min(Self::PIECE_BYTES) as usize];
                let end = from + bytes.len() as u64;
                for part in self.readable(from..end) {
                    let at = part.start;
                    let length = part.end - part.start;
                    let buffer = &mut bytes[(at - from) as usize..][..length as usize];
                    let read = disk::read_full(&**file, buffer, at)? as u64;
                    if read < length {
                        bytes.truncate((at + read - from) as usize);
                        break;
                    }
                }
                Ok(bytes.into())
            })
        })
    }

    /// Returns the parts of `range` between the holes.
    fn readable(&self, range: ops::Range<u64>) -> Vec<ops::Range<u64>> {
        let mut parts = Vec::new();
        let mut at = range.start;
        for hole in &self.unreadable {
            let start = hole.start.min(range.end);
            let end = hole.end.min(range.end);
            if at < start {
                parts.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            parts.push(at..range.end);
        }
        parts
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, from, to, first_sequence, next_sequence, .. } = self;
        let segment = segment.display();
        write!(f, "{segment} bytes {from}..{to}, sequences {first_sequence}..{next_sequence}")?;
        for ops::Range { start, end } in &self.unreadable {
            write!(f, ", bytes {start}..{end} cannot be read")?;
        }
        Ok(())
    }
}
