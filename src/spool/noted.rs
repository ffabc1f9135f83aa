//! The note of an open spool's extent, and who writes it when.
//!
//! The writer writes it at the beginning of each segment, and when it ends. In between the forwarder's thread
//! does, at most once a second: a checkpoint says the same, but none is written while Kafka is away, and answers
//! must not wait for one more sync. Both know the same last note, behind one lock: a segment is never replaced by
//! an earlier one, and the end never goes back.

use std::{
    io,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    disk::{self, Disk},
    extent::{Extent, ExtentFile},
    shared::Shared,
};

/// Time between two notes of the end: deliveries of so long are at risk if the last segment is cut after a kill.
const INTERVAL: Duration = Duration::from_secs(1);

pub struct Noted {
    file: ExtentFile,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// The note that is on the disk, or that could not be written; `None` before the first segment.
    extent: Option<Extent>,
    /// Ends up to here are not noted: they are numbers that may have been given, and not those of deliveries.
    guessed_to: u64,
    tried_at: Option<Instant>,
    is_failing: bool,
}

impl Noted {
    /// `extent` is the note that is there. `guessed_to` is the end of the spool where no delivery is right before it.
    pub fn new(file: ExtentFile, extent: Option<Extent>, guessed_to: u64) -> Self {
        let last = Last { extent, guessed_to, ..Last::default() };
        Self { file, last: Mutex::new(last) }
    }

    /// Notes that `begun` is the last segment, unless a later one is noted; durable when it returns. Fails only for a
    /// shortage: then the segment counts as not begun. Any other failure is logged, and holds up nothing.
    pub fn begun(&self, disk: &dyn Disk, begun: Extent) -> io::Result<()> {
        let last = &mut *self.last.lock();
        if last.extent.is_some_and(|noted| noted.segment > begun.segment) {
            return Ok(());
        }
        let end = last.extent.and_then(|noted| noted.end).filter(|end| *end > begun.segment);
        let begun = Extent { end, ..begun };
        match self.file.note(disk, begun) {
            Err(error) if disk::is_shortage(&error) => return Err(error),
            outcome => last.tried(&self.file, outcome),
        }
        last.extent = Some(begun);
        Ok(())
    }

    /// Notes that every delivery before `end` is durable, if that is news, it is time, and `may_write` says so. A
    /// failure holds up nothing; neither does the writer, which may be writing a note now.
    pub fn end_when_due(
        &self,
        disk: &dyn Disk,
        now: Instant,
        end: u64,
        may_write: impl FnOnce() -> bool,
    ) {
        let Some(mut last) = self.last.try_lock() else { return };
        let is_due = last.tried_at.is_none_or(|at| now >= at + INTERVAL);
        if is_due && last.is_news(end) && may_write() {
            last.tried_at = Some(now);
            last.note_end(&self.file, disk, end);
        }
    }

    /// Notes the same when no more deliveries will come.
    pub fn end(&self, disk: &dyn Disk, end: u64, may_write: impl FnOnce() -> bool) {
        let mut last = self.last.lock();
        if last.is_news(end) && may_write() {
            last.note_end(&self.file, disk, end);
        }
    }
}

impl Shared {
    /// Returns the extent of this spool when its last segment is `segment`.
    pub fn extent_at(&self, segment: u64) -> Extent {
        let segment_size = self.folder.config.segment_size;
        Extent { spool: self.id, segment, segment_size, end: None }
    }

    /// Notes how far the spool goes, if it is time.
    pub fn note_end(&self, now: Instant) {
        let end = self.look(|ledger| ledger.durable_end());
        let disk = &**self.folder.disk();
        // Without the lock another process may have noted more.
        self.noted.end_when_due(disk, now, end, || !self.folder.has_lost_its_lock());
    }

    /// Notes how far the spool goes, since no more deliveries will come.
    pub fn note_last_end(&self) {
        let end = self.look(|ledger| ledger.durable_end());
        self.noted.end(&**self.folder.disk(), end, || !self.folder.has_lost_its_lock());
    }
}

impl Last {
    fn is_news(&self, end: u64) -> bool {
        let known = |noted: Extent| noted.durable_to().max(self.guessed_to);
        self.extent.is_some_and(|noted| end > known(noted))
    }

    fn note_end(&mut self, file: &ExtentFile, disk: &dyn Disk, end: u64) {
        let Some(noted) = self.extent else { return };
        let extent = Extent { end: Some(end), ..noted };
        let outcome = file.note(disk, extent);
        if outcome.is_ok() {
            self.extent = Some(extent);
        }
        self.tried(file, outcome);
    }

    /// Logs the first of several failures.
    fn tried(&mut self, file: &ExtentFile, outcome: io::Result<()>) {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        if let Err(error) = outcome
            && !was_failing
        {
            file.not_noted(&error);
        }
    }
}
