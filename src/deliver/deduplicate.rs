//! Deduplication: an event is forwarded once, however often and through however many sources it comes.
//!
//! Senders repeat: Marketo after a time-out, Adobe after a lost answer, both products side by side
//! during a migration. An event is known by its munchkin id, its CloudEvents source, type and id; an event
//! without an id of its own is never taken for a repeat, and neither is an undecodable element.
//!
//! A process has one [`Deduplicator`], shared by all forwarders, each with its own [`Claims`]. Before a
//! forwarder sends an event it claims the event's id; the first claimant owns the id, and every
//! other event with that id is passed over as if it were settled. The promises:
//!
//! - **No event is lost by it.** An id is compared whole (128 bits, keyed), and passing an event over
//!   rests on the owner alone: either it is settled, or it lies undelivered in its own spool, whose
//!   checkpoint has not passed it. So after a restart only ids of settled events count, and a claim
//!   whose event the disk has spoilt is given up ([`Claims::release`]): events that were passed over for it are
//!   looked at again where a lane comes to them once more ([`Claims::is_released`]).
//! - **Nothing is a repeat of itself.** A claim names its owner's source and position: a lane that
//!   goes back comes to its own claims and sends them again.
//! - **A stop or a crash forgets nothing that a checkpoint has passed.** The ids of settled events are
//!   on disk before the checkpoint that covers them ([`sidecar`]), as long as the disk takes them; a failing
//!   disk is counted and stops no forwarder.
//! - **Its memory is bounded** by `deduplicate.ids` and allocated at once ([`memory`]); beyond the
//!   bound the oldest ids of the source that has the most are forgotten, beyond `deduplicate.window` all,
//!   and a repeat that comes later than that is delivered a second time.
//!
//! Bottom up: [`identity`] (ids of events), [`index`] (the owner of each id), [`format`]
//! (ids as bytes), [`sidecar`] (a source's files), [`recall`] (all files into the index, at start),
//! [`released`] (claims that were given up), [`rests`] (owners that repeats wait for), [`claims`] (a forwarder's
//! claims), [`prepared`] (a transaction's ids, until it is committed), [`key`] (the secret of the hashes),
//! [`versions`] (files of a later program), [`sharing`] (what replicas tell each other of settled events).

mod claims;
mod format;
mod identity;
mod index;
mod key;
mod prepared;
mod recall;
mod released;
mod rests;
mod sharing;
mod sidecar;
mod versions;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use self::{index::Index, released::Released, rests::Ends};
use crate::{
    observe::metrics::Metrics,
    source::{SourceName, UnixMillis},
    spool::disk::Disk,
};

pub use self::{
    claims::{Claim, Claims},
    identity::{Id, Identity, Key},
    prepared::Attempt,
    released::RestsOn,
    sharing::{Notice, Scope, Sharing},
    versions::{NewerIds, check_versions},
};

/// The owner of an id that another replica has told; no source has a name with a blank.
const ANOTHER_REPLICA: &str = "another replica";

/// Settings of `deduplicate`: how far back repeats are recognised; not at all if either is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time for which an id is known.
    pub window: Duration,
    /// Limit of known ids, of all sources together; fits into 32 bits.
    pub ids: usize,
}

impl Default for Settings {
    fn default() -> Self {
        // Adobe sends again for 24 hours.
        Self { window: Duration::from_secs(26 * 60 * 60), ids: 1_000_000 }
    }
}

impl Settings {
    pub const OFF: Self = Self { window: Duration::ZERO, ids: 0 };

    pub fn is_off(&self) -> bool {
        self.window.is_zero() || self.ids == 0
    }

    /// Bytes of memory that the index takes at most, without 4 KiB for each source.
    pub fn memory(&self) -> u64 {
        if self.is_off() { 0 } else { index::memory(self.ids, 0) }
    }
}

/// State that all forwarders of a process share.
pub struct Deduplicator {
    settings: Settings,
    disk: Arc<dyn Disk>,
    key: Key,
    /// Configured sources and former ones, whose events are known too.
    sources: Vec<recall::Source>,
    /// Made, and filled from the files, by the first source that claims: the other forwarders wait for it, and
    /// receiving never does.
    index: OnceLock<Mutex<Index>>,
    /// Claims of all sources that were given up since the start.
    released: Mutex<Released>,
    /// By source, how far its own events are settled.
    ends: Ends,
    metrics: Metrics,
}

impl Deduplicator {
    /// Opens the deduplicator for the configured `sources`; `directory` is `spool.directory`. Reads the key and no
    /// ids; a problem with the key costs only the memory of earlier deliveries.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        settings: Settings,
        sources: &[SourceName],
        metrics: &Metrics,
    ) -> Arc<Self> {
        let key = if settings.is_off() { Key::NONE } else { key::load(&*disk, directory) };
        let sources = recall::sources(&*disk, directory, sources);
        metrics.deduplicate_ids_limit.set(if settings.is_off() { 0 } else { settings.ids as i64 });
        let index = OnceLock::new();
        let metrics = metrics.clone();
        let released = Mutex::default();
        let ends = Ends::new(sources.len() + 1);
        Arc::new(Self { settings, disk, key, sources, index, released, ends, metrics })
    }

    /// The claims of one of the configured sources.
    pub fn claims(self: &Arc<Self>, source: &SourceName) -> Claims {
        let number = self.sources.iter().position(|known| known.name == *source);
        Claims::new(self.clone(), number.expect("every configured source was named at the opening"))
    }

    /// The number of what stands for the sources of other replicas. It has its share of the memory as each source has.
    fn others(&self) -> u32 {
        u32::try_from(self.sources.len()).expect("there are less than 2^32 sources")
    }

    /// As metrics call the source of this number.
    fn name_of(&self, source: u32) -> &str {
        self.sources.get(source as usize).map_or(ANOTHER_REPLICA, |source| source.name.as_str())
    }

    fn index(&self, now: UnixMillis) -> MutexGuard<'_, Index> {
        let index = self.index.get_or_init(|| {
            let sources = self.sources.len() + 1;
            let mut index = Index::new(self.settings.ids, self.settings.window, sources);
            recall::fill(&mut index, self, now);
            Mutex::new(index)
        });
        index.lock()
    }
}
