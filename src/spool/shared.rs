//! The shared state of one spool's handles, behind one mutex that is never held across input or output.
//!
//! Two locks, taken in this order: `delivering` (one thread at a time moves the low position or
//! removes segments, with input and output) and `book` (short). The writer owns its file alone and
//! needs neither while it writes and syncs. A third one, `read_retry`, is short and taken alone; so is that of the
//! note of the extent (`noted.rs`), which is held while it is written.

use std::{io, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use uuid::Uuid;

use super::{
    Backlog, Room, SpoolState,
    anchor::{Anchor, Stands},
    disk::Disk,
    error::{AppendError, Limit},
    folder::Folder,
    ledger::{Ledger, Mark},
    noted::Noted,
    read_retry::ReadRetry,
    retention::Delivering,
    segment,
    settled::Settled,
};
use crate::{
    observe::metrics::{Metrics, SourceMetrics},
    source::{SourceName, UnixMillis},
};

pub struct Shared {
    pub source: SourceName,
    pub id: Uuid,
    /// The folder of the segments.
    pub segments: PathBuf,
    /// The source's folder and that of the segments, as they were when the spool was opened.
    folders: [Anchor; 2],
    pub noted: Noted,
    pub folder: Arc<Folder>,
    pub source_limit: Option<u64>,
    /// Bytes of `spool.size_limit` for this source alone.
    guaranteed: u64,
    pub metrics: SourceMetrics,
    pub delivering: Mutex<Delivering>,
    pub settled: Settled,
    /// Places that a reader could not read.
    read_retry: Mutex<ReadRetry>,
    book: Mutex<Book>,
    changed: Condvar,
}

/// Milliseconds without a refused append before the log says that there is room again.
const ROOM_AGAIN_AFTER: UnixMillis = 5000;

/// The state behind the mutex.
struct Book {
    ledger: Ledger,
    /// Bytes being written: taken from the budget, not in the ledger yet.
    claimed: u64,
    full: bool,
    /// When an append was refused last, while the log's last word is that the spool is full.
    refused_at: Option<UnixMillis>,
    poisoned: bool,
    closed: bool,
    /// Closed because this source cannot go on; the process does.
    set_aside: bool,
    /// The writer has ended: no more deliveries will come.
    ended: bool,
}

impl Book {
    /// Returns the bytes that count against the budgets.
    fn held(&self) -> u64 {
        self.ledger.undelivered_bytes() + self.claimed
    }
}

/// Room in the budgets for a group that is being written; given back when dropped.
pub struct Claim<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl Shared {
    pub fn new(
        source: SourceName,
        id: Uuid,
        folders: [Anchor; 2],
        folder: Arc<Folder>,
        source_limit: Option<u64>,
        recovered: (Ledger, ReadRetry, Noted),
        metrics: &Metrics,
    ) -> Self {
        let (ledger, read_retry, noted) = recovered;
        let metrics = metrics.source(source.as_str());
        metrics.spool_poisoned.set(0);
        let guaranteed = folder.total.guaranteed(source_limit);
        let limit = source_limit.unwrap_or(u64::MAX).min(folder.total.most(guaranteed));
        metrics.spool_limit_bytes.set(gauge_value(limit));
        let book = Book {
            ledger,
            claimed: 0,
            full: false,
            refused_at: None,
            poisoned: false,
            closed: false,
            set_aside: false,
            ended: false,
        };
        let settled = Settled::new(book.ledger.lowest().sequence);
        Self {
            source,
            id,
            segments: folders[1].path().to_owned(),
            folders,
            noted,
            folder,
            source_limit,
            guaranteed,
            metrics,
            delivering: Mutex::default(),
            settled,
            read_retry: Mutex::new(read_retry),
            book: Mutex::new(book),
            changed: Condvar::new(),
        }
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.folder.disk
    }

    /// Returns whether the folders are still the ones in which the spool was opened: files that are missing in other
    /// folders are no loss. An error if that cannot be determined.
    pub fn folders_stand(&self) -> io::Result<Stands> {
        for folder in &self.folders {
            match folder.look(self.disk())? {
                Stands::Same => {}
                stands => return Ok(stands),
            }
        }
        Ok(Stands::Same)
    }

    /// Fails for a reader unless the folders are the ones of the start. A folder that is gone may come back; where
    /// another one has its name the spool is poisoned, since only a restart can read what is there.
    pub fn check_folders(&self) -> io::Result<()> {
        let what = match self.folders_stand()? {
            Stands::Same => return Ok(()),
            Stands::Gone => "is gone since the start: is the volume there?",
            Stands::Another => "is another folder than at the start",
        };
        let reason = format!("{} {what}", self.segments.display());
        if let Ok(Stands::Another) = self.folders_stand() {
            self.poison(&reason);
        }
        Err(io::Error::other(reason))
    }

    pub fn segment_path(&self, generation: u64) -> PathBuf {
        segment::path(&self.segments, generation)
    }

    /// Reads from the ledger.
    pub fn look<T>(&self, question: impl FnOnce(&Ledger) -> T) -> T {
        question(&self.book().ledger)
    }

    /// Changes segments or the low position, and updates sums, budgets and metrics.
    pub fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut book = self.book();
        let answer = change(&mut book.ledger);
        self.recount(&mut book, 0);
        answer
    }

    pub fn note(&self, generation: u64, mark: Mark) {
        self.book().ledger.note(generation, mark);
    }

    /// Notes that a reader has read these bytes.
    pub fn was_read(&self, generation: u64, bytes: Range<u64>) {
        self.read_retry.lock().over(generation, bytes);
    }

    /// Notes that a reader could not read what is there; returns whether it is to be passed by.
    pub fn is_given_up(&self, generation: u64, offset: u64) -> bool {
        let now = self.disk().now();
        self.read_retry.lock().failed(generation, offset, now)
    }

    /// Notes that a reader has passed by what is there; returns whether it is the first one.
    pub fn is_passed_first(&self, generation: u64, offset: u64) -> bool {
        self.read_retry.lock().passed(generation, offset)
    }

    /// Makes a durable group visible: the last segment is now `length` bytes and ends before `durable_end`. Fails if
    /// the spool was poisoned meanwhile, by the forwarder's thread removing a segment.
    pub fn publish(
        &self,
        claim: Claim<'_>,
        length: u64,
        durable_end: u64,
        first_received_at: UnixMillis,
    ) -> Result<(), AppendError> {
        let now = self.disk().now();
        let mut book = self.book();
        if book.poisoned {
            drop(book); // dropping the claim locks it
            return Err(AppendError::Poisoned { spool: self.source.clone() });
        }
        self.settled.stored(book.ledger.durable_end(), now);
        book.ledger.grow(length, durable_end, first_received_at, now);
        book.claimed -= claim.bytes;
        book.full = false;
        // Small deliveries may fit in between larger ones that do not: that still counts as one period of being full.
        let has_room = book.refused_at.is_some_and(|at| now.saturating_sub(at) >= ROOM_AGAIN_AFTER);
        if has_room {
            book.refused_at = None;
        }
        // The claim's bytes move to the ledger; the total has counted them since the claim.
        self.recount(&mut book, claim.bytes);
        std::mem::forget(claim);
        drop(book);
        if has_room {
            tracing::info!(source = %self.source, "spool has room again; deliveries are accepted");
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Takes room for `bytes`, or fails with the limit that is reached.
    pub fn claim(&self, bytes: u64) -> Result<Claim<'_>, AppendError> {
        let mut book = self.book();
        let mine = book.held();
        let limit = match self.source_limit {
            Some(limit) if mine.saturating_add(bytes) > limit => Limit::Source { bytes: limit },
            _ if !self.folder.total.try_take(self.guaranteed, mine, bytes) => {
                Limit::Total { bytes: self.folder.total.limit() }
            }
            _ => {
                book.claimed += bytes;
                return Ok(Claim { shared: self, bytes });
            }
        };
        drop(book);
        Err(self.full(limit))
    }

    /// Notes that an append was refused. If making room for it met a failed sync, the error is that the spool is
    /// poisoned.
    pub fn full(&self, limit: Limit) -> AppendError {
        self.full_because(limit, "")
    }

    /// Notes that an append was refused, with the disk's error text for the log.
    pub fn full_because(&self, limit: Limit, why: &str) -> AppendError {
        let now = self.disk().now();
        let mut book = self.book();
        if book.poisoned {
            return AppendError::Poisoned { spool: self.source.clone() };
        }
        book.full = true;
        let is_logged = book.refused_at.replace(now).is_some();
        drop(book);
        if !is_logged {
            let key = limit.key(&self.source);
            let why = (!why.is_empty()).then_some(why);
            tracing::warn!(source = %self.source, key, why, "spool is full: {limit}");
        }
        AppendError::Full { spool: self.source.clone(), limit }
    }

    /// Poisons the spool: after this nothing is acknowledged any more.
    pub fn poison(&self, reason: &str) -> AppendError {
        let was_poisoned = std::mem::replace(&mut self.book().poisoned, true);
        self.metrics.spool_poisoned.set(1);
        if !was_poisoned {
            tracing::error!(
                source = %self.source,
                "spool is poisoned; deliveries are refused until the process restarts: {reason}"
            );
        }
        self.changed.notify_all();
        AppendError::Poisoned { spool: self.source.clone() }
    }

    pub fn close(&self) {
        self.book().closed = true;
    }

    pub fn set_aside(&self) {
        self.book().set_aside = true;
    }

    pub fn writer_ended(&self) {
        self.book().ended = true;
        self.changed.notify_all();
    }

    pub fn check_not_poisoned(&self) -> Result<(), AppendError> {
        if self.book().poisoned {
            return Err(AppendError::Poisoned { spool: self.source.clone() });
        }
        Ok(())
    }

    /// Returns the reason why an append got no answer.
    pub fn no_writer(&self) -> AppendError {
        let spool = self.source.clone();
        let book = self.book();
        match () {
            () if book.poisoned => AppendError::Poisoned { spool },
            () if book.set_aside => AppendError::SetAside { spool },
            () => AppendError::Closed { spool },
        }
    }

    pub fn state(&self) -> SpoolState {
        let book = self.book();
        match () {
            () if book.poisoned => SpoolState::Poisoned,
            () if book.closed || book.ended => SpoolState::Closed,
            () if book.full => SpoolState::Full,
            () => SpoolState::Open,
        }
    }

    pub fn wait_for_more(&self, than: u64, timeout: Duration) -> bool {
        let waiting =
            |book: &mut Book| book.ledger.durable_end() <= than && !book.ended && !book.poisoned;
        let mut book = self.book();
        self.changed.wait_while_for(&mut book, waiting, timeout);
        book.ledger.durable_end() > than
    }

    pub fn backlog(&self) -> Backlog {
        let book = self.book();
        Backlog {
            bytes: book.ledger.undelivered_bytes(),
            deliveries: book.ledger.undelivered_deliveries(),
            oldest: book.ledger.low().received_at,
        }
    }

    /// Returns how much this source may still take, up to its own limit and of its guarantee.
    pub fn room(&self) -> Room {
        let held = self.book().held();
        let own = self.source_limit.map_or(u64::MAX, |limit| limit.saturating_sub(held));
        Room { own, guaranteed: self.guaranteed.saturating_sub(held) }
    }

    /// Updates sums, budgets and metrics. `claimed` are bytes of a claim that have just moved to the ledger, and that
    /// the total has counted already.
    fn recount(&self, book: &mut Book, claimed: u64) {
        let bytes = book.ledger.undelivered_bytes();
        let kept = book.ledger.kept_bytes();
        let held = book.held() + claimed;
        book.ledger.recount();
        let bytes_now = book.ledger.undelivered_bytes();
        let kept_now = book.ledger.kept_bytes();
        self.folder.total.replace(self.guaranteed, held, book.held());
        self.folder.kept.replace(kept, kept_now);
        if bytes_now < bytes {
            book.full = false;
        }
        self.metrics.spool_bytes.set(gauge_value(bytes_now));
        self.metrics.spool_deliveries.set(gauge_value(book.ledger.undelivered_deliveries()));
        let oldest = book.ledger.low().received_at.unwrap_or(0);
        self.metrics.spool_oldest_seconds.set(gauge_value(oldest / 1000));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere leaves plain numbers behind; the writer's own panic poisons the spool.
        self.book.lock()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let book = self.book();
        self.folder.total.replace(self.guaranteed, book.held(), 0);
        self.folder.kept.replace(book.ledger.kept_bytes(), 0);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let shared = self.shared;
        let mut book = shared.book();
        let held = book.held();
        book.claimed -= self.bytes;
        shared.folder.total.replace(shared.guaranteed, held, book.held());
    }
}

fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
