//! The part of one source: it tells the other replicas what it has settled.

use std::sync::Arc;

use uuid::Uuid;

use super::{super::identity::Digest, Sharing};
use crate::source::UnixMillis;

pub struct Telling {
    sharing: Arc<Sharing>,
    /// UUID of the source's spool.
    spool: Uuid,
    /// Digests that were settled since the last notice: as many as are settled between two checkpoints.
    settled: Vec<Digest>,
}

impl Telling {
    pub fn of(sharing: &Arc<Sharing>, spool: Uuid) -> Self {
        sharing.is_own(spool);
        Self { sharing: sharing.clone(), spool, settled: Vec::new() }
    }

    /// The event with this digest is where it stays, for any replica.
    pub fn is_settled(&mut self, digest: Option<Digest>) {
        self.settled.extend(digest);
    }

    /// The transaction with what was settled was taken back.
    pub fn forget(&mut self) {
        self.settled.clear();
    }

    /// Tells what was settled. Never waits.
    pub fn tell(&mut self, now: UnixMillis) {
        if !self.settled.is_empty() {
            self.sharing.tell(self.spool, &self.settled, now);
            self.settled.clear();
        }
    }
}
