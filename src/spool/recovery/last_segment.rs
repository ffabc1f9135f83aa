//! The last segment, the only one that a start reads: its whole frames, an unfinished write to cut, and the next
//! number.

use std::{io, path::PathBuf, sync::Arc};

use uuid::Uuid;

use super::{failed, read_header, rewrite_tail::TailRewriter, write_header};
use crate::{
    source::UnixMillis,
    spool::{
        anchor,
        disk::{self, Disk, DiskFile},
        error::OpenError,
        frame::HEAD_LENGTH,
        ledger::{Ledger, Mark},
        read_retry::ReadRetry,
        segment::{self, HEADER_LENGTH, NoHeader},
        tail,
        walk::{End, Range, Step, Walk, WalkError},
        writer::Active,
    },
};

pub(super) struct LastSegment {
    path: PathBuf,
    generation: u64,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// When it was opened.
    now: UnixMillis,
    /// Deliveries before it were durable once: their bytes are no unfinished write.
    pub durable_to: u64,
}

impl LastSegment {
    /// Opens it and checks that its header is of this spool; an incomplete header is written again.
    pub fn open(
        disk: &dyn Disk,
        path: PathBuf,
        generation: u64,
        id: Uuid,
        trouble: &mut ReadRetry,
    ) -> Result<Self, OpenError> {
        let file = disk.open_to_write(&path).map_err(failed("opening", &path))?;
        let length = file.len().map_err(failed("looking at", &path))?;
        let mut segment =
            Self { path, generation, file, length, now: disk.now(), durable_to: generation };
        let header = match read_header(&*segment.file) {
            Ok(header) => header,
            // The frames need only the name.
            Err(error) if segment.is_given_up(0, &error, trouble) => Err(NoHeader::Damaged),
            Err(error) => return Err(segment.unread(0, error, trouble)),
        };
        match header {
            Ok(header) if header.spool != id => {
                return Err(OpenError::Foreign {
                    segment: segment.path,
                    found: header.spool,
                    expected: id,
                });
            }
            Ok(_) => {}
            Err(NoHeader::Newer { version }) => {
                let found = segment::describe_version(version);
                return Err(OpenError::NewerFormat { path: segment.path, found });
            }
            Err(NoHeader::Damaged) if length > HEADER_LENGTH => {
                let segment = segment.path.display();
                tracing::warn!(%segment, "damaged segment header; keeping its frames");
            }
            Err(NoHeader::Damaged) => {
                let segment_path = segment.path.display();
                tracing::warn!(
                    segment = %segment_path, bytes = length, last_known_good = generation - 1,
                    "the last segment holds less than a header, and is begun again: it is what a crash leaves \
                                          of one that was just begun, or was cut by another program"
                );
                // Emptied first: a write of a part of a bad sector would fail, since the kernel has to read the rest.
                segment.file.set_len(0).map_err(failed("cutting", &segment.path))?;
                write_header(&*segment.file, generation, id, disk.now())
                    .map_err(failed("writing", &segment.path))?;
                segment.length = HEADER_LENGTH;
            }
        }
        Ok(segment)
    }

    /// Enters it into the ledger; returns the segment to go on with, and the sequence behind its last frame.
    pub fn recover(
        self,
        disk: &dyn Disk,
        ledger: &mut Ledger,
        trouble: &mut ReadRetry,
    ) -> Result<(Option<Active>, u64), OpenError> {
        let mut walk =
            Walk::new(self.file.clone(), self.generation, HEADER_LENGTH, self.generation);
        let info = disk.info(&self.path).map_err(failed("looking at", &self.path))?;
        ledger.add_segment(self.generation, self.length, info.written_at);
        let end = End { offset: self.length, sequence: u64::MAX };
        let mut is_readable = true;
        let mut rewriter = TailRewriter::new(self.file.clone());
        let tail = loop {
            let expected = walk.expected();
            let step = match walk.step(end) {
                Ok(step) => step,
                Err(error) => {
                    is_readable = false;
                    Step::Broken(self.pass(&mut walk, end, error, trouble)?)
                }
            };
            match step {
                Step::Frame(frame) => {
                    let mark = Mark { sequence: frame.head.sequence, offset: frame.offset };
                    ledger.note(self.generation, mark);
                    rewriter
                        .write(frame.offset, frame.bytes)
                        .map_err(failed("writing", &self.path))?;
                }
                Step::Broken(range) if range.next == u64::MAX => break Some((range, expected)),
                Step::Broken(range) => tracing::warn!(
                    segment = %self.path.display(), from = range.from, to = range.to,
                    "damage in the last segment; the reader will report it"
                ),
                Step::End => break None,
            }
        };
        let (length, sequence, goes_on) = match tail {
            None => (self.length, walk.expected(), is_readable),
            Some((range, expected)) if is_readable => self.end_before(range, expected, trouble)?,
            Some((range, expected)) => (self.length, behind_all_of(range, expected), false),
        };
        rewriter.finish().map_err(failed("writing", &self.path))?;
        if rewriter.no_space {
            tracing::warn!(
                segment = %self.path.display(),
                "there is no space to write the last segment again: if a sync has failed before, what it \
                 left in memory alone may be lost with the power"
            );
        }
        self.file.sync_data().map_err(failed("syncing", &self.path))?;
        ledger.set_last_length(length);
        let id = anchor::id_to_watch(disk, &*self.file, &self.path);
        let active = Active { file: self.file, generation: self.generation, length, id };
        Ok((goes_on.then_some(active), sequence))
    }

    /// Cuts `tail` if it is an unfinished write. Returns the segment's length, the next sequence, and whether the
    /// segment can go on there.
    fn end_before(
        &self,
        tail: Range,
        expected: u64,
        trouble: &mut ReadRetry,
    ) -> Result<(u64, u64, bool), OpenError> {
        let is_unfinished = match tail::is_unfinished(&*self.file, self.generation, tail) {
            Ok(is_unfinished) => is_unfinished,
            Err(error) if self.is_given_up(tail.from, &error, trouble) => false,
            Err(error) => return Err(self.unread(tail.from, error, trouble)),
        };
        if is_unfinished && expected >= self.durable_to {
            tracing::warn!(
                segment = %self.path.display(), from = tail.from, to = tail.to,
                bytes = tail.to - tail.from, last_known_good = expected - 1,
                "removed an incomplete write at the end; as far as can be determined it was never acknowledged"
            );
            self.file.set_len(tail.from).map_err(failed("cutting", &self.path))?;
            return Ok((tail.from, expected, true));
        }
        let mut walk = Walk::new(self.file.clone(), self.generation, tail.from, expected);
        let end = End { offset: self.length, sequence: u64::MAX };
        let next = match walk.behind_all(tail.from, end) {
            Ok(next) => next,
            Err(WalkError::Io { error, .. }) if self.is_given_up(tail.from, &error, trouble) => {
                behind_all_of(tail, expected)
            }
            Err(error) => return Err(self.failed(error, trouble)),
        };
        Ok((self.length, next, false))
    }

    /// Passes unreadable bytes, once reading has failed often enough.
    fn pass(
        &self,
        walk: &mut Walk,
        end: End,
        error: WalkError,
        trouble: &mut ReadRetry,
    ) -> Result<Range, OpenError> {
        let offset = walk.offset();
        match &error {
            WalkError::Io { error, .. } if self.is_given_up(offset, error, trouble) => {}
            _ => return Err(self.failed(error, trouble)),
        }
        match walk.pass_unreadable(end) {
            Ok(Some(found)) => {
                trouble.passed(self.generation, offset);
                tracing::error!(
                    segment = %self.path.display(),
                    from = found.range.from, to = found.range.to, holes = ?found.holes,
                    "the disk cannot read a part of the last segment, and it is passed by: look after \
                     the disk (its kernel log and SMART values), and move the volume"
                );
                Ok(found.range)
            }
            // It can be read by now: the next try will show.
            Ok(None) => Err(self.failed(error, trouble)),
            Err(worse) => Err(self.failed(worse, trouble)),
        }
    }

    /// Notes that reading failed there; returns whether that was often enough.
    fn is_given_up(&self, offset: u64, error: &io::Error, trouble: &mut ReadRetry) -> bool {
        disk::is_unreadable(error) && trouble.failed(self.generation, offset, self.now)
    }

    fn failed(&self, error: WalkError, trouble: &ReadRetry) -> OpenError {
        let path = self.path.clone();
        match error {
            WalkError::Io { offset, error } => self.unread(offset, error, trouble),
            WalkError::NotConfined { offset } => OpenError::BadDisk { path, offset },
            WalkError::UnknownCodec { offset, codec } => OpenError::NewerFormat {
                path,
                found: format!("unknown codec {codec} at byte {offset}"),
            },
        }
    }

    fn unread(&self, offset: u64, error: io::Error, trouble: &ReadRetry) -> OpenError {
        let path = self.path.clone();
        match disk::is_unreadable(&error) {
            true if trouble.is_too_much() => OpenError::BadDisk { path, offset },
            true => OpenError::Unreadable { path, offset, error },
            false => failed("reading", &path)(error),
        }
    }
}

/// Returns the number behind as many frames as `range` has room for, the first of them `expected`.
fn behind_all_of(range: Range, expected: u64) -> u64 {
    expected + ((range.to - range.from) / HEAD_LENGTH as u64).max(1)
}
