//! Recovery: opens a spool after a crash, a power cut or damage.
//!
//! Only the last segment is read: a segment is begun only when everything in the one before is
//! durable, so the names show the rest, and a large backlog costs a start nothing. Possible faults of the
//! last one:
//!
//! - *It ends in the middle of a frame*: a write was cut short, so it was not acknowledged. Cut at
//!   the last whole frame.
//! - *It ends in a frame of full length with a wrong checksum* (or in bytes that are no frame at
//!   all): power was lost before the sync, or acknowledged bytes went bad; the two look the same. So
//!   nothing is cut: the damage stays where it is, the reader reports it like any other, and the
//!   next delivery begins a new segment, with a number behind every one that the damaged bytes may
//!   have carried. **Recovery never removes a byte that can have been acknowledged.**
//! - *Damage in the middle*, with valid frames behind: left to the reader as well.
//! - *Its header is incomplete*: the crash came while it was begun, and nothing in it was
//!   acknowledged. It is begun again under the same name.
//! - *The disk cannot read a part of it*: that may pass, so opening fails, and the caller tries again
//!   ([`OpenError::is_worth_retrying`]). Bytes that stay unreadable are treated as a reader treats them
//!   (`read_retry.rs`, `walk/unreadable.rs`): confined, they are damage like any other. Then nothing
//!   is cut, and where no whole frame stands behind them the next number is behind as many as their bytes
//!   have room for.
//!
//! After a killed process (not a lost machine) whole frames may be in the page cache only, and after a failed sync
//! the kernel may even count them as written; so they are written again (`recovery/rewrite_tail.rs`) and synced
//! before a reader sees them. Numbers never go back behind the highest position of the checkpoint: after a failed
//! sync the page cache may hold a frame that the disk does not, long enough to be delivered.
//!
//! The segments alone do not show that the last of them is missing, or was cut at the end of a frame. Two other
//! files help ([`Known`]): the checkpoint and the extent, each with how far the spool was durable when it was
//! written, and the extent with the segment that was begun last. Where the segments end earlier, numbering goes on
//! behind it, nothing is cut, and the reader reports the numbers between as damage.

use std::{
    io::{self, IoSlice},
    path::Path,
};

use uuid::Uuid;

use super::{
    Delivered,
    disk::{self, Disk, DiskFile},
    error::OpenError,
    extent::Extent,
    ledger::Ledger,
    position::Position,
    read_retry::ReadRetry,
    segment::{self, Header, NoHeader},
    writer::Active,
};
use crate::source::UnixMillis;

mod last_segment;
mod rewrite_tail;

use last_segment::LastSegment;

pub struct Recovered {
    pub ledger: Ledger,
    /// The segment to go on writing; `None`: the next delivery begins a new one.
    pub active: Option<Active>,
}

/// Lists the generations of the segments, in order.
pub fn generations(disk: &dyn Disk, segments: &Path) -> Result<Vec<u64>, OpenError> {
    let names = disk.list(segments).map_err(failed("listing", segments))?;
    let mut generations: Vec<u64> =
        names.iter().filter_map(|name| segment::generation(name)).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// Facts about a spool from files beside its segments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// `None` when there is no checkpoint.
    pub delivered: Option<Delivered>,
    pub extent: Option<Extent>,
}

impl Known {
    /// Returns the sequence behind the highest position of the checkpoint.
    fn delivered_to(&self) -> u64 {
        self.delivered.map_or(1, |at| at.highest.sequence + u64::from(at.highest.index > 0))
    }

    /// Returns the sequence before which every delivery was certainly durable once.
    fn durable_to(&self, last: u64) -> u64 {
        let stored = self.delivered.map_or(1, |at| at.stored);
        let noted = self.extent.map_or(1, |extent| extent.durable_to());
        self.delivered_to().max(stored).max(noted.max(last))
    }

    /// Returns a number that no delivery has had, if the last segment that is there begins with `last`.
    fn free_from(&self, last: Option<u64>) -> u64 {
        let missing = self.extent.filter(|extent| last.is_none_or(|last| last < extent.segment));
        let behind = missing.map_or(1, |extent| extent.behind());
        self.durable_to(1).max(behind)
    }
}

pub fn recover(
    disk: &dyn Disk,
    segments: &Path,
    generations: &[u64],
    id: Uuid,
    known: Known,
    trouble: &mut ReadRetry,
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
        let mut segment = LastSegment::open(disk, path, last, id, trouble)?;
        segment.durable_to = known.durable_to(last);
        (active, end) = segment.recover(disk, &mut ledger, trouble)?;
    }
    // Makes the names durable too: the crash may have come before the directory was synced.
    disk.sync_dir(segments).map_err(failed("syncing", segments))?;

    // New deliveries must not take numbers that lost ones had.
    let free_from = known.free_from(generations.last().copied());
    if free_from > end {
        report_missing(segments, end, &known, free_from);
        active = None;
        end = free_from;
    }
    ledger.set_durable_end(end);
    let first = ledger.first_generation().unwrap_or(end);
    ledger.set_removed_below(known.delivered.map_or(1, |at| at.lowest.sequence).min(first));
    Ok(Recovered { ledger, active })
}

/// Logs that the files end at `end` and once went on. If the missing deliveries were delivered, nothing is lost.
fn report_missing(segments: &Path, end: u64, known: &Known, free_from: u64) {
    let segments = segments.display();
    let delivered_to = known.delivered_to();
    let checkpoint = Position::start_of(delivered_to);
    if known.delivered.is_some_and(|at| at.lowest.sequence >= free_from)
        || delivered_to >= free_from
    {
        tracing::warn!(
            %segments, end, %checkpoint,
            "checkpoint is ahead of the spool; numbering continues after the checkpoint"
        );
        return;
    }
    tracing::error!(
        %segments, last_known_good = end - 1, durable_to = known.durable_to(end) - 1, %checkpoint,
        last_segment = known.extent.map(|extent| extent.segment),
        "the end of the spool is missing: deliveries behind the last known good one were acknowledged, and \
         are not in the files any more. Look for what removed or cut them, and bring them back from a copy \
         or by `millrace backfill`; numbering goes on behind them, and the gap is reported as damage"
    );
}

/// Writes the header of an empty segment; does not sync it.
pub fn write_header(
    file: &dyn DiskFile,
    generation: u64,
    spool: Uuid,
    created_at: UnixMillis,
) -> io::Result<()> {
    let header = Header { spool, first_sequence: generation, created_at };
    disk::write_all_at(file, &mut [IoSlice::new(&header.to_bytes())], 0)
}

/// Reads the header at the beginning of `file`.
pub fn read_header(file: &dyn DiskFile) -> io::Result<Result<Header, NoHeader>> {
    let mut bytes = [0; segment::MAX_HEADER_BYTES];
    let read = disk::read_full(file, &mut bytes, 0)?;
    Ok(Header::parse(&bytes[..read]))
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { doing, path: path.clone(), error }
}
