//! Whole frames are written once more, where they are and as they are, before they count.
//!
//! After a failed sync the page cache may have frames that the disk has not, and takes them for written: a
//! second sync says yes without them. Whoever reads them takes them for durable, until power is lost. Only
//! another write makes a sync mean them. The bytes are the same, so that a crash in the middle of it leaves
//! what was there.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use bytes::Bytes;

use crate::spool::disk::{self, DiskFile};

/// So much is written at once.
const AT_ONCE: u64 = 1024 * 1024;

/// Frames that stand one behind the other and are still to be written.
pub(super) struct TailRewriter {
    file: Arc<dyn DiskFile>,
    from: u64,
    to: u64,
    frames: Vec<Bytes>,
    /// The volume has no room for what is there already, as file systems say that never write in place.
    pub no_space: bool,
}

impl TailRewriter {
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, from: 0, to: 0, frames: Vec::new(), no_space: false }
    }

    /// The whole frame at `offset`.
    pub fn write(&mut self, offset: u64, frame: Bytes) -> io::Result<()> {
        if offset != self.to || self.to - self.from >= AT_ONCE {
            self.finish()?;
            (self.from, self.to) = (offset, offset);
        }
        self.to += frame.len() as u64;
        self.frames.push(frame);
        Ok(())
    }

    /// Writes what is still to be written; not synced.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut pieces: Vec<_> = self.frames.iter().map(|frame| IoSlice::new(frame)).collect();
        match disk::write_all_at(&*self.file, &mut pieces, self.from) {
            Err(error) if disk::is_no_space(&error) => self.no_space = true,
            written => written?,
        }
        self.frames.clear();
        Ok(())
    }
}
