//! Retention: how far the segments are delivered, and which may be removed.
//!
//! A segment that is wholly below the low position stays for `spool.keep_delivered` (an age since it
//! was last written, and a total size), so that it can be replayed; then it is removed, oldest
//! first, one at a time with the directory synced after each, so that a crash at any point leaves an
//! unbroken row of segments. The last segment stays whatever it holds (its name carries the
//! numbering), and nothing undelivered is ever removed.
//!
//! Delivered segments of any spool also give way early when the volume runs short.

use std::{io, sync::Arc};

use super::{
    disk::{self, DiskFile},
    folder::Folder,
    frame::{HEAD_LENGTH, Head},
    ledger::{Lookup, Low, Mark, Removable},
    position::Position,
    segment::HEADER_LENGTH,
    shared::Shared,
};

/// The file in which the low position was last looked up, guarded by the lock `delivering`.
#[derive(Default)]
pub struct Delivering {
    file: Option<(u64, Arc<dyn DiskFile>)>,
}

/// Notes that everything below `low` is delivered. A lower position than before changes nothing.
pub fn delivered(shared: &Shared, low: Position) {
    if low > shared.look(|ledger| ledger.low().position) {
        set_low(shared, low);
    }
    remove_expired(shared);
}

/// Looks up the place of `low`, and counts undelivered bytes from there. A position beyond the end means the end.
pub fn set_low(shared: &Shared, low: Position) {
    let mut delivering = shared.delivering.lock();
    loop {
        let durable_end = shared.look(|ledger| ledger.durable_end());
        let position = low.min(Position::start_of(durable_end));
        let found = locate(shared, &mut delivering, position);
        let settled = shared.change(|ledger| {
            // A delivery stored during the look-up may be the one at `low`: then look again.
            let settled = position.sequence < durable_end || ledger.durable_end() == durable_end;
            if settled && position >= ledger.low().position {
                ledger.set_low(found);
            }
            settled
        });
        if settled {
            return;
        }
    }
}

/// Removes one delivered segment, the oldest of all spools, to make room. `false` when there is none.
pub fn make_room(folder: &Folder) -> bool {
    let candidates = folder.spools().into_iter().filter_map(|shared| {
        let segment = shared.look(|ledger| ledger.removable())?;
        Some((segment, shared))
    });
    let Some((segment, shared)) = candidates.min_by_key(|(segment, _)| segment.written_at) else {
        return false;
    };
    let mut delivering = shared.delivering.lock();
    let unchanged = shared.look(|ledger| ledger.removable()) == Some(segment);
    // If another thread has just removed it, there is room too.
    !unchanged || remove(&shared, &mut delivering, segment).is_ok()
}

fn remove_expired(shared: &Shared) {
    let config = &shared.folder.config;
    let mut delivering = shared.delivering.lock();
    while let Some(segment) = shared.look(|ledger| ledger.removable()) {
        let age = shared.disk().now().saturating_sub(segment.written_at);
        let expired = u128::from(age) > config.keep_delivered_age.as_millis();
        let due = expired || shared.folder.kept.is_exceeded();
        if !due || remove(shared, &mut delivering, segment).is_err() {
            return;
        }
    }
}

/// Removes a segment: from the ledger first, so that no reader looks for a name that is about to go.
fn remove(shared: &Shared, delivering: &mut Delivering, segment: Removable) -> io::Result<()> {
    // An open file would keep its space.
    delivering.file.take_if(|(generation, _)| *generation == segment.generation);
    let path = shared.segment_path(segment.generation);
    shared.change(|ledger| ledger.remove_first(segment.generation));
    match shared.disk().remove(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            shared.change(|ledger| {
                ledger.add_segment(segment.generation, segment.length, segment.written_at);
            });
            tracing::warn!(path = %path.display(), %error, "cannot remove a delivered segment");
            return Err(error);
        }
    }
    shared.disk().sync_dir(&shared.segments).inspect_err(|error| {
        // The next sync of this folder, that of a new segment's name, could not be trusted either.
        shared.poison(&format!("syncing {} failed: {error}", shared.segments.display()));
    })
}

/// Finds the delivery at `position`, by following the heads from the nearest known place. Stops early at
/// unreadable bytes: then a little too much counts as undelivered.
fn locate(shared: &Shared, delivering: &mut Delivering, position: Position) -> Low {
    let nowhere = Low { position, generation: 0, offset: 0, received_at: None };
    let (generation, mark, end) = match shared.look(|ledger| ledger.place(position.sequence)) {
        Lookup::Segment { generation, mark, end } => (generation, mark, end),
        Lookup::NotYet => {
            // All is delivered, the last segment to its end.
            let last = shared.look(|ledger| ledger.last_segment());
            return last.map_or(nowhere, |(generation, offset)| Low {
                generation,
                offset,
                ..nowhere
            });
        }
        Lookup::Missing { .. } | Lookup::Removed { .. } => return nowhere,
    };
    let before = shared.look(|ledger| ledger.low());
    let mut offset = mark.offset;
    if before.generation == generation && before.position.sequence <= position.sequence {
        offset = offset.max(before.offset);
    }
    let mut low =
        Low { position, generation, offset: offset.max(HEADER_LENGTH), received_at: None };
    let Ok(file) = open(shared, delivering, generation) else { return low };
    let mut before = None;
    while let Some(head) = head_at(&*file, low.offset, end.offset) {
        low.received_at = Some(head.received_at);
        if head.sequence >= position.sequence {
            break;
        }
        // A head alone proves nothing, and readers begin where a mark says: so its number has to follow the last one.
        if before.is_some_and(|before| head.sequence == before + 1) {
            shared.note(generation, Mark { sequence: head.sequence, offset: low.offset });
        }
        before = Some(head.sequence);
        low.offset += head.frame_length();
    }
    low
}

/// Reads the head of the frame at `offset`, if the whole frame lies before `end`.
pub fn head_at(file: &dyn DiskFile, offset: u64, end: u64) -> Option<Head> {
    let mut bytes = [0; HEAD_LENGTH];
    if offset + HEAD_LENGTH as u64 > end {
        return None;
    }
    let read = disk::read_full(file, &mut bytes, offset).ok()?;
    let head = Head::parse(&bytes[..read])?;
    (offset + head.frame_length() <= end).then_some(head)
}

fn open(
    shared: &Shared,
    delivering: &mut Delivering,
    generation: u64,
) -> io::Result<Arc<dyn DiskFile>> {
    if let Some((open, file)) = &delivering.file
        && *open == generation
    {
        return Ok(file.clone());
    }
    let file = shared.disk().open_to_read(&shared.segment_path(generation))?;
    delivering.file = Some((generation, file.clone()));
    Ok(file)
}
