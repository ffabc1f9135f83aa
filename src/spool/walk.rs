//! A walk through the frames of one segment, damage included.
//!
//! Recovery and readers walk alike: read through a buffer, check every frame, and where one is broken
//! find the next whole one. A step never returns a frame whose checksum or sequence number is
//! wrong, and never skips a byte without reporting it: frames and damaged ranges together cover the
//! segment without a hole. Sequences within a walk only go up; a missing number is reported too.
//!
//! Memory stays within the buffer and one frame.

use std::{io, mem, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    disk::DiskFile,
    frame::{self, HEAD_LENGTH, Head},
};

mod claims;
mod search;
mod unreadable;

pub use unreadable::{BLOCK_BYTES, Unreadable};

/// Bytes that are read at once; a larger frame is read in one piece of its own.
const BUFFER_BYTES: u64 = 1024 * 1024;

/// End of a walk: bytes of the segment, and the sequence that follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub offset: u64,
    pub sequence: u64,
}

#[derive(Debug)]
pub struct Walk {
    file: Arc<dyn DiskFile>,
    generation: u64,
    /// The next byte to read.
    offset: u64,
    /// The sequence that is expected there.
    expected: u64,
    window: Window,
}

#[derive(Debug)]
pub enum Step {
    Frame(Frame),
    Broken(Range),
    End,
}

/// A valid frame.
#[derive(Debug)]
pub struct Frame {
    pub offset: u64,
    pub head: Head,
    pub bytes: Bytes,
}

/// Bytes `from..to` that hold no valid frame, where the sequences `first..next` should be. No bytes
/// when only numbers are missing; no numbers when the bytes are surplus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    pub to: u64,
    pub first: u64,
    pub next: u64,
}

#[derive(Debug)]
pub enum WalkError {
    Io {
        offset: u64,
        error: io::Error,
    },
    /// The unreadable part is larger than a few bad sectors.
    NotConfined {
        offset: u64,
    },
    /// A valid frame, compressed by a codec that this version does not know.
    UnknownCodec {
        offset: u64,
        codec: u8,
    },
}

impl Walk {
    /// Begins at `offset`, where the frame `expected` should be.
    pub fn new(file: Arc<dyn DiskFile>, generation: u64, offset: u64, expected: u64) -> Self {
        Self { file, generation, offset, expected, window: Window::default() }
    }

    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the next byte to read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Returns the next frame or broken range before `end`. After an error the walk has not moved.
    pub fn step(&mut self, end: End) -> Result<Step, WalkError> {
        let from = self.offset;
        if from >= end.offset {
            return Ok(match self.skip_to(from, end.sequence) {
                Some(missing) => Step::Broken(missing),
                None => Step::End,
            });
        }
        if let Some(frame) = self.frame_at(from, end)?
            && self.is_in_order(from, frame.head.sequence, end)?
        {
            // Where numbers are missing the frame is read again on the next step.
            if let Some(missing) = self.skip_to(from, frame.head.sequence) {
                return Ok(Step::Broken(missing));
            }
            self.offset = from + frame.bytes.len() as u64;
            self.expected = frame.head.sequence + 1;
            return Ok(Step::Frame(frame));
        }
        let head = self.head_at(from, end.offset)?;
        let found = self.next_valid(from, head, from + 1, end)?;
        let (to, next) = found.unwrap_or((end.offset, end.sequence.max(self.expected)));
        let broken = Range { from, to, first: self.expected, next };
        (self.offset, self.expected) = (to, next);
        Ok(Step::Broken(broken))
    }

    fn skip_to(&mut self, at: u64, sequence: u64) -> Option<Range> {
        let first = self.expected;
        (first < sequence && sequence != u64::MAX).then(|| {
            self.expected = sequence;
            Range { from: at, to: at, first, next: sequence }
        })
    }

    fn frame_at(&mut self, offset: u64, end: End) -> Result<Option<Frame>, WalkError> {
        let Some(head) = self.possible_at(offset, end)? else { return Ok(None) };
        let bytes = self.window.get(&*self.file, offset, head.frame_length(), end.offset)?;
        if !frame::is_valid(self.generation, &head, &bytes) {
            return Ok(None);
        }
        if head.codec != frame::CODEC_NONE {
            return Err(WalkError::UnknownCodec { offset, codec: head.codec });
        }
        Ok(Some(Frame { offset, head, bytes }))
    }

    /// Returns the head of the frame at `offset` if one with its length and its number can be there.
    fn possible_at(&mut self, offset: u64, end: End) -> Result<Option<Head>, WalkError> {
        let head = self.head_at(offset, end.offset)?;
        Ok(head.filter(|head| {
            let fits = head.frame_length() <= end.offset - offset;
            fits && (self.expected..end.sequence).contains(&head.sequence)
        }))
    }

    fn head_at(&mut self, offset: u64, end: u64) -> Result<Option<Head>, WalkError> {
        if end.saturating_sub(offset) < HEAD_LENGTH as u64 {
            return Ok(None);
        }
        let bytes = self.window.get(&*self.file, offset, HEAD_LENGTH as u64, end)?;
        Ok(Head::parse(&bytes))
    }
}

/// The bytes read last.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Returns how many bytes from `offset` on are in memory.
    fn held_from(&self, offset: u64) -> u64 {
        if offset < self.start {
            0
        } else {
            (self.start + self.bytes.len() as u64).saturating_sub(offset)
        }
    }

    /// Returns `length` bytes from `offset` on, sharing the buffer's memory where they are in it. Reading ahead stops
    /// at `end`.
    fn get(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        length: u64,
        end: u64,
    ) -> Result<Bytes, WalkError> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if !(held.contains(&offset) && offset + length <= held.end) {
            let wanted = length.max(BUFFER_BYTES.min(end - offset));
            if wanted > BUFFER_BYTES {
                // Not kept: it is the caller's alone, and exactly what was asked for.
                return read_ahead(file, offset, length, wanted, BytesMut::new());
            }
            // The same memory again, once no frame shares it: new memory costs as much as the read itself.
            let memory = mem::take(self).bytes.try_into_mut().unwrap_or_default();
            let bytes = read_ahead(file, offset, length, wanted, memory)?;
            *self = Self { start: offset, bytes };
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.slice(from..from + length as usize))
    }
}

/// Reads `wanted` bytes into `memory`; or fewer, but at least `length`, where the bytes behind them cannot be read.
fn read_ahead(
    file: &dyn DiskFile,
    offset: u64,
    length: u64,
    wanted: u64,
    memory: BytesMut,
) -> Result<Bytes, WalkError> {
    let mut bytes = if memory.is_empty() { BytesMut::zeroed(wanted as usize) } else { memory };
    bytes.resize(wanted as usize, 0);
    let mut filled = 0;
    while filled < bytes.len() {
        let at = offset + filled as u64;
        match file.read_at(&mut bytes[filled..], at) {
            Ok(0) => {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Err(WalkError::Io { offset, error });
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if filled as u64 >= length => break,
            Err(error) => return Err(WalkError::Io { offset: at, error }),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.freeze())
}
