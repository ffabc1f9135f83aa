//! The one that appends: a synchronous struct, driven by a thread in production and directly by a
//! simulation.
//!
//! A group of deliveries goes to the disk in one vectored write and one sync; only then it counts,
//! for readers as for whoever waits. The order inside, and what each failure means:
//!
//! 1. *Room*: the budgets and the reserve say whether the group may be written at all. If not, the
//!    spool is full; nothing was touched.
//! 2. *Roll*: a full segment is left for a new one, whose header and name are synced before any
//!    frame is written.
//! 3. *Write*. No space: the file is cut back to the last whole frame, delivered segments give way,
//!    one more try, then full. Any other failure poisons.
//! 4. *Sync*. A failure poisons for good (I7): the kernel may have dropped the bytes, and a second
//!    sync may say yes.
//! 5. *Publish*.
//!
//! Poisoned means that nothing is acknowledged any more until a new process has read the disk again.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Instant,
};

use super::{
    disk::{self, DiskFile},
    error::{AppendError, Limit},
    frame,
    queue::Queue,
    recovery, retention,
    segment::HEADER_LENGTH,
    shared::Shared,
};
use crate::delivery::Authenticated;

/// Appends to one spool. There is one per spool; dropping it means that nothing more will come.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    active: Option<Active>,
    /// Heads and headers of the group being written.
    heads: Vec<u8>,
}

/// The segment being written.
#[derive(Debug)]
pub struct Active {
    pub file: Arc<dyn DiskFile>,
    pub generation: u64,
    /// Where the next frame goes: all before it is durable.
    pub length: u64,
}

/// Why a group is not on disk.
enum Trouble {
    NoSpace,
    Broken(String),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: Queue, active: Option<Active>) -> Self {
        Self { shared, queue, active, heads: Vec::new() }
    }

    /// Makes the whole group durable, in one segment, and returns the deliveries' sequences; or
    /// stores none of it. The caller keeps groups within the segment size; one that is larger gets a
    /// segment alone.
    pub fn append_group(&mut self, group: &[Authenticated]) -> Result<Vec<u64>, AppendError> {
        let shared = self.shared.clone();
        shared.check_not_poisoned()?;
        // Before those who wait for this group learn that they get no answer.
        let _poison = PoisonOnPanic(&shared);
        let Some(first) = group.first() else { return Ok(Vec::new()) };
        let bytes = group
            .iter()
            .try_fold(0, |sum, delivery| Some(sum + frame::length(delivery.delivery())?))
            .ok_or_else(|| AppendError::TooLarge { spool: shared.source.clone() })?;
        let claim = shared.claim(bytes)?;
        self.keep_reserve(bytes)?;

        let started = Instant::now();
        let begin = shared.look(|ledger| ledger.durable_end());
        let mut outcome = self.store(group, begin, bytes);
        if matches!(outcome, Err(Trouble::NoSpace)) && retention::make_room(&shared.folder) {
            outcome = self.store(group, begin, bytes);
        }
        let length = outcome.map_err(|trouble| match trouble {
            Trouble::NoSpace => shared.full(Limit::Volume),
            Trouble::Broken(reason) => shared.poison(&reason),
        })?;
        let end = begin + group.len() as u64;
        shared.publish(claim, length, end, first.delivery().received_at)?;
        shared.gauges.sync_seconds.observe(started.elapsed().as_secs_f64());
        Ok((begin..end).collect())
    }

    /// Full if writing `bytes` would leave the volume below its reserve, even after delivered
    /// segments have given way.
    fn keep_reserve(&self, bytes: u64) -> Result<(), AppendError> {
        let folder = &self.shared.folder;
        let reserve = folder.config.reserve;
        if reserve == 0 {
            return Ok(()); // then the write itself tells whether there is space
        }
        loop {
            match folder.disk.available_space(&folder.config.directory) {
                Ok(available) if available < reserve.saturating_add(bytes) => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    // Not knowing is no reason to refuse: the write itself will tell.
                    tracing::debug!(%error, "the volume's free space can't be told");
                    return Ok(());
                }
            }
            if !retention::make_room(folder) {
                return Err(self.shared.full(Limit::Reserve { bytes: reserve }));
            }
        }
    }

    /// Writes and syncs; the segment's length with the group in it.
    fn store(&mut self, group: &[Authenticated], begin: u64, bytes: u64) -> Result<u64, Trouble> {
        let mut active = match self.active.take() {
            Some(active) if !self.is_due_to_roll(&active, bytes) => active,
            _ => self.roll(begin)?,
        };
        let stored = self.write(&active, group, begin);
        if stored.is_ok() {
            active.length += bytes;
        }
        let length = active.length;
        self.active = Some(active);
        stored.map(|()| length)
    }

    fn is_due_to_roll(&self, active: &Active, bytes: u64) -> bool {
        let holds_frames = active.length > HEADER_LENGTH;
        holds_frames && active.length + bytes > self.shared.folder.config.segment_size
    }

    fn write(
        &mut self,
        active: &Active,
        group: &[Authenticated],
        begin: u64,
    ) -> Result<(), Trouble> {
        self.heads.clear();
        let mut ends = Vec::with_capacity(group.len());
        for (sequence, delivery) in (begin..).zip(group) {
            frame::encode(active.generation, sequence, delivery.delivery(), &mut self.heads);
            ends.push(self.heads.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut pieces = Vec::with_capacity(group.len() * 2);
        for ((start, &end), delivery) in starts.zip(&ends).zip(group) {
            pieces.push(IoSlice::new(&self.heads[start..end]));
            pieces.push(IoSlice::new(&delivery.delivery().body));
        }
        if let Err(error) = disk::write_all_at(&*active.file, &mut pieces, active.length) {
            return Err(self.after_failed_write(active, &error));
        }
        active.file.sync_data().map_err(|error| self.broken("syncing", active.generation, &error))
    }

    fn after_failed_write(&self, active: &Active, error: &io::Error) -> Trouble {
        if !disk::is_no_space(error) {
            return self.broken("writing", active.generation, error);
        }
        match active.file.set_len(active.length) {
            Ok(()) => Trouble::NoSpace,
            Err(error) => self.broken("cutting back", active.generation, &error),
        }
    }

    /// A new segment for `generation`, durable with its name.
    fn roll(&self, generation: u64) -> Result<Active, Trouble> {
        let path = self.shared.segment_path(generation);
        let disk = self.shared.disk();
        let file = match disk.create_new(&path) {
            Ok(file) => file,
            Err(error) if disk::is_no_space(&error) => return Err(Trouble::NoSpace),
            Err(error) => return Err(self.broken("making", generation, &error)),
        };
        if let Err(error) = recovery::write_header(&*file, generation, self.shared.id, disk.now()) {
            if !disk::is_no_space(&error) {
                return Err(self.broken("writing", generation, &error));
            }
            return Err(match disk.remove(&path) {
                Ok(()) => Trouble::NoSpace,
                Err(error) => self.broken("removing", generation, &error),
            });
        }
        file.sync_data().map_err(|error| self.broken("syncing", generation, &error))?;
        disk.sync_dir(&self.shared.segments)
            .map_err(|error| self.broken("syncing the folder of", generation, &error))?;
        self.shared.change(|ledger| ledger.add_segment(generation, HEADER_LENGTH, disk.now()));
        tracing::debug!(source = %self.shared.source, generation, "a new segment is begun");
        Ok(Active { file, generation, length: HEADER_LENGTH })
    }

    fn broken(&self, doing: &str, generation: u64, error: &io::Error) -> Trouble {
        let path = self.shared.segment_path(generation);
        Trouble::Broken(format!("{doing} {} failed: {error}", path.display()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _poison = PoisonOnPanic(&self.shared);
        self.shared.writer_ended();
    }
}

/// A writer that panics may have left anything behind: the same as a failed write.
struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the writer panicked");
        }
    }
}
