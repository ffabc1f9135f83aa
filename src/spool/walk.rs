//! A walk through the frames of one segment, damage included.
//!
//! Recovery and readers walk alike: read through a buffer, check every frame, and where one is broken
//! find the next whole one. A step never returns a frame whose checksum or sequence number is
//! wrong, and never skips a byte without reporting it: frames and damaged ranges together cover the
//! segment without a hole. Sequences within a walk only go up; a missing number is reported too.
//!
//! The length of a broken frame is tried first (most damage is in a body, which is most of the bytes). It is
//! believed only if it leads to the next delivery: a damaged length may lead to a later frame, past whole ones.
//! Otherwise every byte is tried. Memory stays within the buffer and one frame.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    disk::DiskFile,
    frame::{self, Checksum, HEAD_LENGTH, Head},
};

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
        if let Some(frame) = self.frame_at(from, end)? {
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

    /// Returns a number behind every frame that `from..end` can have held, of which none is whole. Heads tell, as far as
    /// they are there; where there is none, as many numbers are left out as frames have room.
    pub fn behind_all(&mut self, from: u64, end: End) -> Result<u64, WalkError> {
        if self.is_one_frame(from, end)? {
            return Ok(self.expected + 1);
        }
        let (mut at, mut next) = self.along_heads(from, self.expected, end)?;
        match self.highest_claim(from, end)? {
            // It stands where it belongs, and only its length is wrong.
            Some((hit, head)) if (hit, head.sequence) == (at, next) => return Ok(next + 1),
            Some((hit, head)) if head.sequence >= next => {
                let behind = hit.saturating_add(head.frame_length()).min(end.offset);
                (at, next) = self.along_heads(behind, head.sequence + 1, end)?;
            }
            _ => {}
        }
        let rest = end.offset.saturating_sub(at) / HEAD_LENGTH as u64;
        Ok((next + rest).max(self.expected + 1))
    }

    /// Returns whether `from..end` is the frame that is due there, and one of its lengths alone is wrong.
    fn is_one_frame(&mut self, from: u64, end: End) -> Result<bool, WalkError> {
        let Some(head) = self.head_at(from, end.offset)? else { return Ok(false) };
        let begin = from + HEAD_LENGTH as u64;
        let behind_head = end.offset - begin;
        let with_body = behind_head.checked_sub(u64::from(head.headers_length));
        let with_headers = behind_head.checked_sub(u64::from(head.body_length));
        let with_body = with_body.and_then(|length| u32::try_from(length).ok());
        let with_headers = with_headers.and_then(|length| u16::try_from(length).ok());
        let candidates = [
            with_body.map(|body_length| Head { body_length, ..head }),
            with_headers.map(|headers_length| Head { headers_length, ..head }),
        ];
        for candidate in candidates.into_iter().flatten() {
            let mut checksum = Checksum::new(self.generation);
            checksum.update(&candidate.to_bytes()[8..]);
            let mut at = begin;
            while at < end.offset {
                let piece = (end.offset - at).min(BUFFER_BYTES);
                checksum.update(&self.window.get(&*self.file, at, piece, end.offset)?);
                at += piece;
            }
            if checksum.value() == head.checksum && head.sequence == self.expected {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Follows heads that stand one behind the other, the first at `at` with the number `next`. One whose magic or number is
    /// wrong counts where its length leads to the end, or to the next one. Returns where and with which number the one
    /// belongs that is not there.
    fn along_heads(
        &mut self,
        mut at: u64,
        mut next: u64,
        end: End,
    ) -> Result<(u64, u64), WalkError> {
        while end.offset.saturating_sub(at) >= HEAD_LENGTH as u64 {
            let mut bytes =
                self.window.get(&*self.file, at, HEAD_LENGTH as u64, end.offset)?.to_vec();
            let has_magic = bytes.starts_with(&frame::MAGIC);
            bytes[..frame::MAGIC.len()].copy_from_slice(&frame::MAGIC);
            let Some(head) = Head::parse(&bytes) else { break };
            let behind = at.saturating_add(head.frame_length());
            let is_right = has_magic && head.sequence == next && behind <= end.offset;
            let leads_on = behind < end.offset
                && self.head_at(behind, end.offset)?.is_some_and(|it| it.sequence == next + 1);
            if !is_right && !leads_on && behind != end.offset {
                break;
            }
            (at, next) = (behind, next + 1);
        }
        Ok((at, next))
    }

    /// Returns the head in `from..end` with the highest sequence, of a whole frame or not, as far as so many frames fit
    /// there; and its place.
    fn highest_claim(&mut self, from: u64, end: End) -> Result<Option<(u64, Head)>, WalkError> {
        let mut highest: Option<(u64, Head)> = None;
        let mut at = from;
        while let Some(hit) = self.next_magic(at, end.offset)? {
            if let Some(head) = self.head_at(hit, end.offset)?
                && self.is_plausible(&head, from, hit)
                && highest.is_none_or(|(_, other)| other.sequence < head.sequence)
            {
                highest = Some((hit, head));
            }
            at = hit + 1;
        }
        Ok(highest)
    }

    fn skip_to(&mut self, at: u64, sequence: u64) -> Option<Range> {
        let first = self.expected;
        (first < sequence && sequence != u64::MAX).then(|| {
            self.expected = sequence;
            Range { from: at, to: at, first, next: sequence }
        })
    }

    fn frame_at(&mut self, offset: u64, end: End) -> Result<Option<Frame>, WalkError> {
        let Some(head) = self.head_at(offset, end.offset)? else { return Ok(None) };
        let length = head.frame_length();
        let fits = length <= end.offset - offset;
        if !fits || head.sequence < self.expected || head.sequence >= end.sequence {
            return Ok(None);
        }
        let bytes = self.window.get(&*self.file, offset, length, end.offset)?;
        if !frame::is_valid(self.generation, &head, &bytes) {
            return Ok(None);
        }
        if head.codec != frame::CODEC_NONE {
            return Err(WalkError::UnknownCodec { offset, codec: head.codec });
        }
        Ok(Some(Frame { offset, head, bytes }))
    }

    fn head_at(&mut self, offset: u64, end: u64) -> Result<Option<Head>, WalkError> {
        if end.saturating_sub(offset) < HEAD_LENGTH as u64 {
            return Ok(None);
        }
        let bytes = self.window.get(&*self.file, offset, HEAD_LENGTH as u64, end)?;
        Ok(Head::parse(&bytes))
    }

    /// Returns offset and sequence of the first valid frame from `search` on that can follow the broken one at `from`.
    /// `head` is the broken frame's, where it can be read: its length is believed if that leads to the next delivery.
    fn next_valid(
        &mut self,
        from: u64,
        head: Option<Head>,
        search: u64,
        end: End,
    ) -> Result<Option<(u64, u64)>, WalkError> {
        let behind = head.map(|head| from.saturating_add(head.frame_length()));
        if let Some(behind) = behind.filter(|behind| *behind >= search)
            && let Some(sequence) = self.valid_at(behind, from, end)?
            && sequence == self.expected + 1
        {
            return Ok(Some((behind, sequence)));
        }
        let mut at = search;
        while let Some(hit) = self.next_magic(at, end.offset)? {
            if let Some(sequence) = self.valid_at(hit, from, end)? {
                return Ok(Some((hit, sequence)));
            }
            at = hit + 1;
        }
        Ok(None)
    }

    /// Returns the sequence of the frame at `offset` if it is valid and can follow damage that began at
    /// `from`. Reads in pieces: the length may be nonsense.
    fn valid_at(&mut self, offset: u64, from: u64, end: End) -> Result<Option<u64>, WalkError> {
        let Some(head) = self.head_at(offset, end.offset)? else { return Ok(None) };
        let length = head.frame_length();
        let fits = length <= end.offset - offset;
        if !fits || !self.is_plausible(&head, from, offset) || head.sequence >= end.sequence {
            return Ok(None);
        }
        let mut checksum = Checksum::new(self.generation);
        let mut at = offset + 8;
        let stop = offset + length;
        while at < stop {
            let piece = (stop - at).min(BUFFER_BYTES);
            checksum.update(&self.window.get(&*self.file, at, piece, end.offset)?);
            at += piece;
        }
        Ok((checksum.value() == head.checksum).then_some(head.sequence))
    }

    /// Returns whether as many frames fit between `from` and `at` as the head's sequence implies.
    fn is_plausible(&self, head: &Head, from: u64, at: u64) -> bool {
        let between = (at - from) / HEAD_LENGTH as u64;
        head.sequence >= self.expected && head.sequence - self.expected <= between
    }

    fn next_magic(&mut self, from: u64, end: u64) -> Result<Option<u64>, WalkError> {
        let mut at = from;
        while end.saturating_sub(at) >= HEAD_LENGTH as u64 {
            // The bytes in the buffer first: many false hits must not cause many reads.
            let held = self.window.held_from(at);
            let piece = if held > 3 { held } else { BUFFER_BYTES }.min(end - at);
            let bytes = self.window.get(&*self.file, at, piece, end)?;
            if let Some(hit) = bytes.windows(4).position(|four| four == frame::MAGIC) {
                return Ok(Some(at + hit as u64));
            }
            at += piece - 3; // a magic may lie across the border
        }
        Ok(None)
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
            let read = read_ahead(file, offset, length, wanted)?;
            if wanted > BUFFER_BYTES {
                return Ok(read); // not kept: it is the caller's alone, and exactly what was asked for
            }
            *self = Self { start: offset, bytes: read };
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.slice(from..from + length as usize))
    }
}

/// Reads `wanted` bytes; or fewer, but at least `length`, where the bytes behind them cannot be read.
fn read_ahead(
    file: &dyn DiskFile,
    offset: u64,
    length: u64,
    wanted: u64,
) -> Result<Bytes, WalkError> {
    let mut bytes = vec![0; wanted as usize];
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
    Ok(bytes.into())
}
