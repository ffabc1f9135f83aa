//! The writer: a synchronous struct that appends, run by a thread in production and directly by a simulation.
//!
//! A group of deliveries goes to the disk in one vectored write and one sync; only then it counts,
//! for readers and for waiting appends. The steps in order, and the meaning of each failure:
//!
//! | step | failure | meaning |
//! | --- | --- | --- |
//! | *Room*: the budgets, and the reserve | not enough | full; nothing was touched |
//! | *Begin*: a full segment is left for a new one, in the folder of the start and under its lock (another one: poison), whose header and name are synced before any frame is written (`begin.rs`) | any, but for a sync's | full; the new name is taken away again |
//! | | a sync's own | poison |
//! | *Write* | a shortage (space, files, memory) | the file is cut back to the last whole frame, delivered segments give way, one more try, then full |
//! | | any other | poison |
//! | *Sync* | any | poison for good (I7): the kernel may have dropped the bytes, and a second sync may say yes |
//! | *In place*: the name still leads to the file (`in_place.rs`) | it does not | what is acknowledged is put back from the open file, and the group goes to a new segment; where the folder is gone too: poison |
//! | | the file is shorter than it was | poison: the next start says what is missing |
//! | *Publish* | | |
//!
//! Full means 503 until there is enough again. Poisoned means that nothing is acknowledged any more until a new process
//! has read the disk again.

mod begin;
mod in_place;

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Instant,
};

use super::{
    disk::{self, DiskFile, FileId},
    error::{AppendError, Limit},
    frame,
    position::Position,
    queue::Queue,
    retention,
    segment::HEADER_LENGTH,
    shared::Shared,
};
use crate::{delivery::Authenticated, source::UnixMillis};

/// Appends to one spool. There is one per spool; dropping it means that nothing more will come.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    active: Option<Active>,
    /// Heads and headers of the group being written.
    heads: Vec<u8>,
    lock_looked_at: UnixMillis,
}

/// The segment being written.
#[derive(Debug)]
pub struct Active {
    pub file: Arc<dyn DiskFile>,
    pub generation: u64,
    /// Where the next frame goes: all before it is durable.
    pub length: u64,
    /// Identity of the file, which its name must lead to; `None` where the file system does not say.
    pub id: Option<FileId>,
}

/// Reason why a group is not on disk.
enum NotWritten {
    /// It may fit later. With the disk's error text.
    Short(Limit, String),
    /// The segment's name leads to another file, or to none.
    Displaced,
    /// Another program has cut the segment, down to so many bytes.
    Shortened {
        length: u64,
    },
    Broken(String),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: Queue, active: Option<Active>) -> Self {
        Self { shared, queue, active, heads: Vec::new(), lock_looked_at: 0 }
    }

    /// Makes the whole group durable, in one segment, and returns the deliveries' sequences; or
    /// stores none of it. The caller keeps groups within the segment size; one that is larger gets a
    /// segment alone.
    pub fn append_group(&mut self, group: &[Authenticated]) -> Result<Vec<u64>, AppendError> {
        let shared = self.shared.clone();
        shared.check_not_poisoned()?;
        // Dropped, in a panic, before the answers: an append without an answer must find the spool poisoned.
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
        match outcome {
            Err(NotWritten::Short(Limit::Volume, _)) if self.make_room() => {
                outcome = self.store(group, begin, bytes);
            }
            Err(NotWritten::Displaced) => {
                outcome = self.put_back().and_then(|()| self.store(group, begin, bytes));
            }
            _ => {}
        }
        let length = outcome.map_err(|trouble| self.refuse(trouble, begin))?;
        let end = begin + group.len() as u64;
        shared.publish(claim, length, end, first.delivery().received_at)?;
        shared.metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
        Ok((begin..end).collect())
    }

    /// Fails as full if writing `bytes` would leave the volume below its reserve, even after delivered
    /// segments have given way.
    fn keep_reserve(&mut self, bytes: u64) -> Result<(), AppendError> {
        let shared = self.shared.clone();
        let folder = &shared.folder;
        let reserve = folder.config.reserve;
        while !folder.reserve.take() {
            if !self.make_room() {
                return Err(shared.full(Limit::Reserve { bytes: reserve }));
            }
        }
        if reserve == 0 {
            return Ok(()); // then the write itself shows whether there is space
        }
        loop {
            match folder.available_space() {
                Ok(available) if available < reserve.saturating_add(bytes) => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    // Not a reason to refuse: the write itself will show whether there is space.
                    tracing::debug!(%error, "cannot determine the free space of the volume");
                    return Ok(());
                }
            }
            if !self.make_room() {
                return Err(shared.full(Limit::Reserve { bytes: reserve }));
            }
        }
    }

    /// Removes one delivered segment, if there is one. The last segment of this spool counts too, once all of it is
    /// delivered: on a small volume it may be what fills the volume.
    fn make_room(&mut self) -> bool {
        let folder = self.shared.folder.clone();
        retention::make_room(&folder) || (self.leave_delivered() && retention::make_room(&folder))
    }

    /// Begins a new segment if all of the last one is delivered, so that the last one can be removed.
    fn leave_delivered(&mut self) -> bool {
        let Some(active) = &self.active else { return false };
        let end = self.shared.look(|ledger| ledger.durable_end());
        let low = self.shared.look(|ledger| ledger.low().position);
        let is_delivered = active.length > HEADER_LENGTH && low >= Position::start_of(end);
        if !is_delivered || self.check_in_place(active).is_err() {
            return false;
        }
        match self.begin_segment(end) {
            Ok(begun) => self.active = Some(begun),
            Err(NotWritten::Broken(reason)) => {
                self.shared.poison(&reason);
                return false;
            }
            Err(_) => return false,
        }
        true
    }

    /// Turns the reason why a group is not on disk into the error, and poisons the spool where that is due.
    fn refuse(&self, trouble: NotWritten, begin: u64) -> AppendError {
        match trouble {
            NotWritten::Short(limit, why) => self.shared.full_because(limit, &why),
            // Displaced a second time at once: another program is at work in the folder.
            NotWritten::Displaced => self.shared.full(Limit::Folder),
            NotWritten::Shortened { length } => self.shortened(length, begin),
            NotWritten::Broken(reason) => self.shared.poison(&reason),
        }
    }

    /// Writes and syncs a group; returns the segment's length with the group in it.
    fn store(
        &mut self,
        group: &[Authenticated],
        begin: u64,
        bytes: u64,
    ) -> Result<u64, NotWritten> {
        let mut active = match self.active.take() {
            Some(active) if !self.is_due_to_roll(&active, bytes) => active,
            Some(full) => {
                if let Err(trouble) = self.check_in_place(&full) {
                    self.active = Some(full);
                    return Err(trouble);
                }
                self.begin_segment(begin)?
            }
            None => self.begin_segment(begin)?,
        };
        let stored = self.write(&active, group, begin);
        let stored = stored.and_then(|()| self.check_in_place(&active));
        let stored = stored.and_then(|()| self.check_lock_now_and_then());
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
    ) -> Result<(), NotWritten> {
        self.check_length(active)?;
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

    fn after_failed_write(&self, active: &Active, error: &io::Error) -> NotWritten {
        let Some(limit) = Limit::of_shortage(error) else {
            return self.broken("writing", active.generation, error);
        };
        match self.cut_back(active) {
            Ok(()) => NotWritten::Short(limit, error.to_string()),
            Err(trouble) => trouble,
        }
    }

    /// Cuts bytes that were written behind the last whole frame.
    fn cut_back(&self, active: &Active) -> Result<(), NotWritten> {
        active.file.set_len(active.length).map_err(|error| match Limit::of_shortage(&error) {
            // `check_length` cuts it before the next write.
            Some(limit) => NotWritten::Short(limit, error.to_string()),
            None => self.broken("cutting back", active.generation, &error),
        })
    }

    fn broken(&self, doing: &str, generation: u64, error: &io::Error) -> NotWritten {
        let path = self.shared.segment_path(generation);
        NotWritten::Broken(format!("{doing} {} failed: {error}", path.display()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _poison = PoisonOnPanic(&self.shared);
        self.shared.writer_ended();
    }
}

/// Poisons the spool in a panic: the writer may have left anything behind, as after a failed write.
struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the writer panicked");
        }
    }
}
