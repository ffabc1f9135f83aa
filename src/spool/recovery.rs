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
//! - *The disk can't read a part of it*: that may pass, so opening fails, and whoever opens comes
//!   again ([`OpenError::is_worth_retrying`]). What stays unreadable is treated as a reader treats it
//!   (`trouble.rs`, `walk/unreadable.rs`): small and alone it is damage like any other. Then nothing
//!   is cut, and where no whole frame stands behind it the next number is behind as many as its bytes
//!   have room for.
//!
//! After a killed process (not a lost machine) whole frames may be in the page cache only, and after a failed
//! sync even be taken for written there; they are written anew (`recovery/anew.rs`) and synced before anybody reads them. Numbers never go back behind the highest position of the checkpoint: after a
//! failed sync the page cache may hold a frame that the disk does not, long enough to be delivered.

use std::{
    io::{self, IoSlice},
    path::Path,
};

use uuid::Uuid;

use super::{
    Delivered,
    disk::{self, Disk, DiskFile},
    error::OpenError,
    ledger::Ledger,
    position::Position,
    segment::{self, Header, NoHeader},
    trouble::Trouble,
    writer::Active,
};
use crate::delivery::UnixMillis;

mod anew;
mod last_segment;

use last_segment::LastSegment;

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
    trouble: &mut Trouble,
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
        let segment = LastSegment::open(disk, path, last, id, trouble)?;
        (active, end) = segment.recover(disk, &mut ledger, trouble)?;
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
