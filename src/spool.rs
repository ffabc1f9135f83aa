//! The spool: a durable, ordered log of a source's deliveries, between receiving and forwarding.
//!
//! ```text
//! <spool.directory>/lock                 one process at a time
//!                  /<source>.extent      which segment was begun last, and how far the spool went
//!                  /reserve.<number>     room for checkpoint and quarantine
//!                  /<source>/identity    the spool's UUID
//!                           /segments/00000000000000000001.segment
//!                                     00000000000000004711.segment   ← the last one grows
//! ```
//! [`Folder`] is all of it; [`Folder::spool`] opens one source's spool and returns its two ends:
//! [`Writer`], which runs on a thread of its own, and [`Spool`], the shared handle for everything else.
//!
//! Promises:
//! - **Durable, then answered.** [`Spool::append`] returns `Ok` after the bytes and the name of their
//!   file are synced, and readers see a delivery only from then on.
//! - **Nothing is lost in silence.** Acknowledged deliveries are read back byte for byte and in order
//!   after any crash; bytes that the disk has damaged are reported as [`Damage`], with the exact range.
//! - **A failed sync is final.** The spool is poisoned and acknowledges nothing more until the
//!   process restarts. No space is not a failure: the spool is full until there is some.
//! - **Undelivered bytes are never removed**, and bounded by `spool.size_limit`; delivered segments
//!   stay for `spool.keep_delivered` and give way when room is needed.
//! - **One source of truth**: the files. The state in memory ([`ledger`]) is rebuilt from their names
//!   and sizes and from reading the last one.
//!
//! Bottom up, in layers that know only earlier ones: [`disk`] (bytes), [`frame`] and [`segment`] (the
//! format), [`walk`] (frames and damage of one file), [`ledger`] (the segments of one spool). Above them
//! [`recovery`], [`shared`] (the state of one open spool), [`retention`], [`writer`], [`queue`] and
//! [`reader`] work on that state, and [`folder`] opens it.
//! [`viewer`] stands aside: it reads a folder that another process may hold, and writes nothing.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::{position::Position, queue::Waiting, settled::Asked, shared::Shared};
use crate::{
    delivery::{Authenticated, Delivery},
    source::{SourceName, UnixMillis},
};

mod anchor;
mod budget;
pub mod cache;
pub mod checksummed;
mod damage;
pub mod disk;
mod error;
mod extent;
mod folder;
mod frame;
mod identity;
mod ledger;
mod noted;
pub mod position;
mod queue;
mod read_retry;
mod reader;
mod recovery;
mod reserve;
mod retention;
mod segment;
mod settled;
mod shared;
mod tail;
pub mod viewer;
mod walk;
mod writer;

pub use self::{
    damage::Damage,
    error::{AppendError, Limit, OpenError, ReadError},
    folder::Folder,
    queue::{GROUP_BYTES, GROUP_DELIVERIES, QUEUE_DELIVERIES},
    reader::{Next, Reader},
    settled::MAX_DELIVERIES_BEHIND,
    writer::Writer,
};

/// The settings of a spool folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `spool.directory`
    pub directory: PathBuf,
    /// `spool.size_limit`: undelivered bytes of all sources together.
    pub size_limit: u64,
    /// `sources.*.size_limit`, of all sources: each of them has a part that the others never take.
    pub source_limits: Vec<Option<u64>>,
    /// `spool.reserve`: bytes that deliveries leave free on the volume, for checkpoint and quarantine.
    pub reserve: u64,
    /// How many bytes of the reserve are held by files, so that no other process takes them either.
    pub reserve_held: u64,
    /// `spool.keep_delivered.age`: how long a delivered segment stays, counted from its last write.
    pub keep_delivered_age: Duration,
    /// `spool.keep_delivered.size`: bytes of delivered segments of all sources together.
    pub keep_delivered_size: u64,
    /// Bytes at which a segment ends; a larger delivery gets a segment alone.
    pub segment_size: u64,
}

impl Default for Config {
    /// Defaults for one source without a limit of its own; the reserve fits the largest body by default.
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            directory: "/var/lib/millrace".into(),
            size_limit: 10 * GIB,
            source_limits: vec![None],
            reserve: GIB / 4,
            reserve_held: 66 * GIB / 1024,
            keep_delivered_age: Duration::from_secs(24 * 60 * 60),
            keep_delivered_size: GIB,
            segment_size: SEGMENT_SIZE,
        }
    }
}

/// 64 MiB: large enough that making and removing segments is rare, small enough that the last one is
/// read in well under a second at start.
pub const SEGMENT_SIZE: u64 = 64 * 1024 * 1024;

/// The shared handle of one source's spool; clones are the same spool.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    /// `None` once closed: when the last clone inside a waiting append is gone, the writer ends.
    queue: Arc<Mutex<Option<mpsc::Sender<Waiting>>>>,
}

/// A delivery with its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    pub sequence: u64,
    pub delivery: Delivery,
}

/// How far a spool is delivered, according to the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The lowest position that is still to be read.
    pub lowest: Position,
    /// The highest position that the checkpoint names. Deliveries before it were durable once, so
    /// their numbers are never given to others, even if the disk has lost them since.
    pub highest: Position,
    /// Every delivery before it was durable when the checkpoint was written; 0 where that is not known.
    pub stored: u64,
}

impl From<Position> for Delivered {
    /// Everything before `low` is delivered, and nothing behind it.
    fn from(low: Position) -> Self {
        Self { lowest: low, highest: low, stored: 0 }
    }
}

/// Deliveries that are stored and not delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes on disk; exact, except where the disk cannot be read.
    pub bytes: u64,
    /// Number of deliveries; one that is delivered in part counts whole.
    pub deliveries: u64,
    /// When the oldest one came; `None` when there are none.
    pub oldest: Option<UnixMillis>,
}

/// Bytes that a source may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes until it is at its own limit; `u64::MAX` without one.
    pub own: u64,
    /// Bytes of `spool.size_limit` that are kept for it.
    pub guaranteed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolState {
    /// The spool takes deliveries.
    Open,
    /// The last append found no room. The spool takes deliveries again when there is some.
    Full,
    /// A write or sync failed: the process must exit with an error and restart.
    Poisoned,
    /// The spool takes no more; queued deliveries are being stored, or are stored.
    Closed,
}

impl Spool {
    fn new(shared: Arc<Shared>, queue: mpsc::Sender<Waiting>) -> Self {
        Self { shared, queue: Arc::new(Mutex::new(Some(queue))) }
    }

    /// Stores `delivery`, and returns its sequence number once it is durable. Waits while the queue is full. Once
    /// the delivery is in the queue, dropping the future cancels nothing: it is stored all the same.
    pub async fn append(&self, delivery: Authenticated) -> Result<u64, AppendError> {
        if frame::length(delivery.delivery()).is_none() {
            return Err(AppendError::TooLarge { spool: self.shared.source.clone() });
        }
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.lock().clone();
        let queue = queue.ok_or_else(|| self.shared.no_writer())?;
        let waiting = Waiting { delivery, answer };
        queue.send(waiting).await.map_err(|_| self.shared.no_writer())?;
        drop(queue);
        answered.await.unwrap_or_else(|_| Err(self.shared.no_writer()))
    }

    /// Returns a reader that begins with `from_sequence`.
    pub fn reader(&self, from_sequence: u64) -> Reader {
        Reader::new(self.shared.clone(), from_sequence)
    }

    pub fn id(&self) -> Uuid {
        self.shared.id
    }

    pub fn source(&self) -> &SourceName {
        &self.shared.source
    }

    /// Returns the sequence number that the next delivery will get: everything below is durable.
    pub fn durable_end(&self) -> u64 {
        self.shared.look(|ledger| ledger.durable_end())
    }

    /// Whether the delivery at `sequence` was removed by retention, after it was delivered.
    pub fn is_removed(&self, sequence: u64) -> bool {
        let found = self.shared.look(|ledger| ledger.place(sequence));
        matches!(found, ledger::Lookup::Removed { .. })
    }

    /// Blocks the thread until `durable_end() > than` (true), or until `timeout` has passed or no more
    /// deliveries can come because the writer has ended or the spool is poisoned (false).
    pub fn wait_for_more(&self, than: u64, timeout: Duration) -> bool {
        self.shared.wait_for_more(than, timeout)
    }

    /// Notes on the disk how far the spool goes, so that a start can tell when the last segment was cut while no
    /// process ran: at most once a second, and only if that is news, so it is worth calling often. Writes a file: not
    /// for the async runtime's threads, and not for the writer's, for which answers wait.
    pub fn note_end(&self, now: Instant) {
        self.shared.note_end(now);
    }

    /// Notes that every event below `low` is delivered, those of held topics included, and that the checkpoint
    /// with this position is durable: deliveries below may be gone when this returns. Frees their part of the
    /// limits and removes segments whose time has come; worth calling now and then even when `low` has not
    /// moved. Never goes back. Reads and removes files: not for the async runtime's threads.
    pub fn delivered(&self, low: Position) {
        retention::delivered(&self.shared, low);
    }

    /// Notes that every event of the deliveries before `end` is settled: in its final place, even if this volume is
    /// lost, or the source that owns an event which it repeats is removed. Called before [`Spool::delivered`], and
    /// writes nothing.
    pub fn settled(&self, end: u64) {
        if end > self.settled_end() {
            self.shared.settled.passed(end, self.shared.disk().now());
        }
    }

    /// Returns the sequence number before which every delivery is settled.
    pub fn settled_end(&self) -> u64 {
        self.shared.settled.end()
    }

    /// Returns whether the durable delivery `sequence` is settled. Waits for that at most `within`, and not at all
    /// where it cannot be expected in that time. Dropping the future ends the wait.
    pub async fn is_settled(&self, sequence: u64, within: Duration) -> bool {
        match self.shared.settled.ask(sequence, self.shared.disk().now()) {
            Asked::Settled => true,
            Asked::NotSoon => false,
            Asked::Soon(wait) => wait.within(within).await,
        }
    }

    /// Returns the lowest position that is not delivered, according to the checkpoint.
    pub fn lowest(&self) -> Position {
        self.shared.look(|ledger| ledger.lowest())
    }

    pub fn undelivered(&self) -> Backlog {
        self.shared.backlog()
    }

    pub fn room(&self) -> Room {
        self.shared.room()
    }

    pub fn state(&self) -> SpoolState {
        self.shared.state()
    }

    /// Ends appends because this source cannot go on; the process and the other sources do.
    pub fn set_aside(&self) {
        self.shared.set_aside();
        self.close();
    }

    /// Ends appends; the writer stores queued deliveries and ends.
    pub fn close(&self) {
        self.shared.close();
        self.queue.lock().take();
    }
}
