//! Opening a spool after whatever happened to it.
//!
//! Only the last segment is read: a segment is begun only when everything in the one before is
//! durable, so the names tell the rest, and a large backlog costs a start nothing. What may be wrong
//! with the last one:
//!
//! - *It ends in the middle of a frame*: a write was cut short, so it was not acknowledged. Cut at
//!   the last whole frame.
//! - *It ends in a frame of full length with a wrong checksum* (or in bytes that are no frame at
//!   all): power was lost before the sync, or acknowledged bytes went bad; nobody can tell. So
//!   nothing is cut: the damage stays where it is, the reader reports it like any other, and the
//!   next delivery begins a new segment, with a number behind every one that the damaged bytes may
//!   have carried. **Recovery never removes a byte that can have been acknowledged.**
//! - *Damage in the middle*, with valid frames behind: left to the reader as well.
//! - *Its header is incomplete*: the crash came while it was begun, and nothing in it was
//!   acknowledged. It is begun again under the same name.
//!
//! After a killed process (not a lost machine) whole frames may be in the page cache only; they are
//! synced before anybody reads them. Numbers never go back behind the highest position of the checkpoint: after a
//! failed sync the page cache may hold a frame that the disk does not, long enough to be delivered.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    Delivered,
    disk::{self, Disk, DiskFile},
    error::OpenError,
    ledger::{Ledger, Mark},
    position::Position,
    segment::{self, HEADER_LENGTH, Header, NoHeader},
    tail,
    walk::{End, Range, Step, Walk, WalkError},
    writer::Active,
};
use crate::delivery::UnixMillis;

pub struct Recovered {
    pub ledger: Ledger,
    /// The segment to go on writing; without one, the next delivery begins a new one.
    pub active: Option<Active>,
}

/// The generations of the segments that are there, in order.
pub fn generations(disk: &dyn Disk, segments: &Path) -> Result<Vec<u64>, OpenError> {
    let names = disk.list(segments).map_err(failed("listing", segments))?;
    let mut generations: Vec<u64> =
        names.iter().filter_map(|name| segment::generation(name)).collect();
    generations.sort_unstable();
    Ok(generations)
}

pub fn recover(
    disk: &dyn Disk,
    segments: &Path,
    generations: &[u64],
    id: Uuid,
    delivered: Option<Delivered>,
) -> Result<Recovered, OpenError> {
    let mut ledger = Ledger::new();
    let mut active = None;
    let mut end = 1;
    if let Some((&last, sealed)) = generations.split_last() {
        for &generation in sealed {
            let path = segment::path(segments, generation);
            let info = disk.info(&path).map_err(failed("looking at", &path))?;
            ledger.add_segment(generation, info.length, info.written_at);
        }
        let path = segment::path(segments, last);
        let recovered = LastSegment::open(disk, path, last, id)?.recover(disk, &mut ledger)?;
        (active, end) = (recovered.0, recovered.1);
    }
    // The names too: the crash may have come before the directory was synced.
    disk.sync_dir(segments).map_err(failed("syncing", segments))?;

    // A checkpoint ahead of the files: what it has seen delivered is gone from here. New deliveries
    // must not take numbers that it would take for delivered.
    let delivered_to =
        delivered.map_or(1, |at| at.highest.sequence + u64::from(at.highest.index > 0));
    if delivered_to > end {
        if !generations.is_empty() {
            tracing::warn!(
                segments = %segments.display(), end, checkpoint = %Position::start_of(delivered_to),
                "the checkpoint is ahead of the spool; numbering goes on behind it"
            );
        }
        active = None;
        end = delivered_to;
    }
    ledger.set_durable_end(end);
    let first = ledger.first_generation().unwrap_or(end);
    ledger.set_removed_below(delivered.map_or(1, |at| at.lowest.sequence).min(first));
    Ok(Recovered { ledger, active })
}

struct LastSegment {
    path: PathBuf,
    generation: u64,
    file: Arc<dyn DiskFile>,
    length: u64,
}

impl LastSegment {
    /// Opens it and makes sure that it has a header of ours, if it can have had one.
    fn open(disk: &dyn Disk, path: PathBuf, generation: u64, id: Uuid) -> Result<Self, OpenError> {
        let file = disk.open_to_write(&path).map_err(failed("opening", &path))?;
        let mut length = file.len().map_err(failed("looking at", &path))?;
        match read_header(&*file).map_err(failed("reading", &path))? {
            Ok(header) if header.spool != id => {
                return Err(OpenError::Foreign {
                    segment: path,
                    found: header.spool,
                    expected: id,
                });
            }
            Ok(_) => {}
            Err(NoHeader::Newer { version }) => {
                let found = segment::told(version);
                return Err(OpenError::NewerFormat { path, found });
            }
            Err(NoHeader::Damaged) if length > HEADER_LENGTH => {
                tracing::warn!(segment = %path.display(), "damaged segment header; frames are kept");
            }
            Err(NoHeader::Damaged) => {
                write_header(&*file, generation, id, disk.now())
                    .map_err(failed("writing", &path))?;
                length = HEADER_LENGTH;
            }
        }
        Ok(Self { path, generation, file, length })
    }

    /// Enters it into the ledger; what to go on with, and the sequence behind its last frame.
    fn recover(
        self,
        disk: &dyn Disk,
        ledger: &mut Ledger,
    ) -> Result<(Option<Active>, u64), OpenError> {
        let mut walk =
            Walk::new(self.file.clone(), self.generation, HEADER_LENGTH, self.generation);
        let info = disk.info(&self.path).map_err(failed("looking at", &self.path))?;
        ledger.add_segment(self.generation, self.length, info.written_at);
        let end = End { offset: self.length, sequence: u64::MAX };
        let tail = loop {
            let expected = walk.expected();
            match walk.step(end).map_err(|error| self.failed(error))? {
                Step::Frame(frame) => {
                    let mark = Mark { sequence: frame.head.sequence, offset: frame.offset };
                    ledger.note(self.generation, mark);
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
            None => (self.length, walk.expected(), true),
            Some((range, expected)) if self.cannot_be_acknowledged(range)? => {
                tracing::info!(
                    segment = %self.path.display(), from = range.from, to = range.to,
                    "an incomplete write at the end is cut"
                );
                self.file.set_len(range.from).map_err(failed("cutting", &self.path))?;
                (range.from, expected, true)
            }
            Some((range, expected)) => {
                let mut walk = Walk::new(self.file.clone(), self.generation, range.from, expected);
                let highest =
                    walk.highest_claim(range.from, end).map_err(|error| self.failed(error))?;
                (self.length, highest.unwrap_or(expected) + 1, false)
            }
        };
        self.file.sync_data().map_err(failed("syncing", &self.path))?;
        ledger.set_last_length(length);
        let active = Active { file: self.file, generation: self.generation, length };
        Ok((goes_on.then_some(active), sequence))
    }

    fn cannot_be_acknowledged(&self, tail: Range) -> Result<bool, OpenError> {
        tail::is_unfinished(&*self.file, self.generation, tail)
            .map_err(failed("reading", &self.path))
    }

    fn failed(&self, error: WalkError) -> OpenError {
        match error {
            WalkError::Io { error, .. } => failed("reading", &self.path)(error),
            WalkError::UnknownCodec { offset, codec } => OpenError::NewerFormat {
                path: self.path.clone(),
                found: format!("codec {codec} at byte {offset}"),
            },
        }
    }
}

/// Writes the header of a segment that holds nothing yet; not synced.
pub fn write_header(
    file: &dyn DiskFile,
    generation: u64,
    spool: Uuid,
    created_at: UnixMillis,
) -> io::Result<()> {
    let header = Header { spool, first_sequence: generation, created_at };
    disk::write_all_at(file, &mut [IoSlice::new(&header.to_bytes())], 0)
}

/// The header at the beginning of `file`.
pub fn read_header(file: &dyn DiskFile) -> io::Result<Result<Header, NoHeader>> {
    let mut bytes = [0; segment::LONGEST_HEADER];
    let read = disk::read_full(file, &mut bytes, 0)?;
    Ok(Header::parse(&bytes[..read]))
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { doing, path: path.clone(), error }
}
