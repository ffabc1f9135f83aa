//! A range of a spool that is not what was written there.

use std::{fmt, io, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{
    disk::{self, DiskFile},
    walk::Range,
};

/// Bytes that hold no valid frame, or sequences that are nowhere.
#[derive(Clone)]
pub struct Damage {
    /// The segment in which it is, or should be.
    pub segment: PathBuf,
    /// Bytes `from..to` of the segment; equal when nothing is there that could be kept.
    pub from: u64,
    pub to: u64,
    /// The sequences lost are at most `first_sequence..next_sequence`.
    pub first_sequence: u64,
    pub next_sequence: u64,
    file: Option<Arc<dyn DiskFile>>,
}

impl Damage {
    const PIECE: u64 = 1024 * 1024;

    pub(super) fn new(segment: PathBuf, range: Range, file: Arc<dyn DiskFile>) -> Self {
        Self {
            segment,
            from: range.from,
            to: range.to,
            first_sequence: range.first,
            next_sequence: range.next,
            file: Some(file),
        }
    }

    /// A segment that is not there.
    pub(super) fn missing(segment: PathBuf, first_sequence: u64, next_sequence: u64) -> Self {
        Self { segment, from: 0, to: 0, first_sequence, next_sequence, file: None }
    }

    /// The damaged bytes, in pieces of at most 1 MiB. They can be read as long as this value lives,
    /// even when the segment is removed meanwhile.
    pub fn pieces(&self) -> impl Iterator<Item = io::Result<Bytes>> + '_ {
        let starts = (self.from..self.to).step_by(Self::PIECE as usize);
        self.file.iter().flat_map(move |file| {
            starts.clone().map(move |from| {
                let mut bytes = vec![0; (self.to - from).min(Self::PIECE) as usize];
                let read = disk::read_full(&**file, &mut bytes, from)?;
                bytes.truncate(read);
                Ok(bytes.into())
            })
        })
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
        write!(f, "{segment} bytes {from}..{to}, sequences {first_sequence}..{next_sequence}")
    }
}
