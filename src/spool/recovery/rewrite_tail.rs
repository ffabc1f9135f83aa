//! Writes the whole frames of a last segment once more, in place and unchanged, before they count.
//!
//! After a failed sync the page cache may have frames that the disk has not, and count them as written: a second
//! sync succeeds without them. A reader would take them for durable, until power is lost. Only another write
//! makes a sync include them. The bytes are the same, so a crash in the middle leaves the file as it was.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use bytes::Bytes;

use crate::spool::disk::{self, DiskFile};

/// Bytes that are written at once.
const MAX_WRITE_BYTES: u64 = 1024 * 1024;

/// Adjacent frames that are still to be written.
pub(super) struct TailRewriter {
    file: Arc<dyn DiskFile>,
    from: u64,
    to: u64,
    frames: Vec<Bytes>,
    /// Whether the volume had no room for these writes, as file systems that never write in place may report.
    pub no_space: bool,
}

impl TailRewriter {
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, from: 0, to: 0, frames: Vec::new(), no_space: false }
    }

    /// Adds the whole frame at `offset`.
    pub fn write(&mut self, offset: u64, frame: Bytes) -> io::Result<()> {
        if offset != self.to || self.to - self.from >= MAX_WRITE_BYTES {
            self.finish()?;
            (self.from, self.to) = (offset, offset);
        }
        self.to += frame.len() as u64;
        self.frames.push(frame);
        Ok(())
    }

    /// Writes the remaining frames; does not sync.
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
