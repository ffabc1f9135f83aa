//! Budget for the bytes of requests that are in memory at once, over all connections (`listen.body_budget`).
//!
//! A [`Reservation`] is made before the memory is taken and given back when it is dropped: the receiver
//! keeps it until the spool has the bytes. `budget/pool.rs` decides how much each body gets:
//!
//! - Each source has a guaranteed share, strangers have one of their own, and the rest is common.
//! - Waiting bodies are served in a fixed order, and the oldest of them has a reserve that only one
//!   body uses at a time. Where that is too small as well, and all others of its class wait, the oldest
//!   goes on without: so one of the waiting bodies can always go on.
//! - A body that needs more than its party can ever have (its wire form and its inflated form together)
//!   pays for all of that, so a limit that is not above the budget can always be reached.
//! - So memory exceeds the budget by the missing part of one body of a sender and one of a stranger at most,
//!   and only while they are the only ones that go on.
//! - Slow bodies give way while another one waits: strangers' the slowest first, and bodies of the source that
//!   is furthest beyond its guarantee if they bring less than `SLOW` (`budget/pool/eviction.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use prometheus::IntGauge;

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use self::{
    pool::{Asked, Pool},
    progress::Progress,
};
use super::{reply::Outcome, shares::Party};

mod pool;
mod progress;

/// Time between two looks of a waiting body for another one that can give way.
const LOOK: Duration = Duration::from_millis(25);

/// Bytes of requests that may be in memory at once. Clones share them.
#[derive(Clone)]
pub(super) struct Budget(Arc<Inner>);

struct Inner {
    pool: Mutex<Pool>,
    /// The number of the next body: the order in which bodies began.
    next: AtomicU64,
    /// Metric of the bytes in use.
    used: IntGauge,
}

impl Budget {
    /// `used` shows how many bytes are in memory.
    pub(super) fn new(bytes: u64, sources: usize, used: &IntGauge) -> Self {
        let pool = Mutex::new(Pool::new(bytes, sources));
        Self(Arc::new(Inner { pool, next: AtomicU64::new(0), used: used.clone() }))
    }

    pub(super) fn used(&self) -> &IntGauge {
        &self.0.used
    }

    /// Makes an empty reservation for a body that `party` sends.
    pub(super) fn reserve(&self, party: Party) -> Reservation {
        let id = self.0.next.fetch_add(1, Relaxed);
        let progress = Arc::new(Progress::new(Instant::now()));
        Reservation { budget: self.clone(), id, party, held: 0, progress }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock()
    }
}

/// There is no room now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoomNow;

/// A part of the budget, given back when dropped.
pub struct Reservation {
    budget: Budget,
    id: u64,
    party: Party,
    held: u64,
    progress: Arc<Progress>,
}

impl Reservation {
    pub(super) fn bytes(&self) -> u64 {
        self.held
    }

    /// Notes that this many bytes of the body came.
    pub(super) fn came(&self, bytes: u64) {
        self.progress.came(bytes);
    }

    /// Waits until the body has to give way to another one.
    pub async fn evicted(&self) {
        self.progress.evicted().await;
    }

    /// Notes that the body is whole: it cannot be slow any more. A stranger's still gives way until it is known.
    pub(super) fn set_complete(&self) {
        if self.party != Party::STRANGERS {
            self.progress.set_complete();
        }
    }

    /// Notes that the delivery has passed every check: its memory counts as that of `party`, as far as that has room,
    /// and it does not give way any more.
    pub fn belongs_to(&mut self, party: Party) {
        self.progress.set_complete();
        if self.party == Party::STRANGERS && self.budget.pool().transfer(self.id, party) {
            self.party = party;
        }
    }

    /// Waits for room until `deadline`.
    pub(super) async fn grow_to(&mut self, bytes: u64, deadline: Instant) -> Result<(), Outcome> {
        let asked = {
            let mut pool = self.budget.pool();
            let more = bytes.min(pool.most(self.party)).saturating_sub(self.held);
            if more == 0 {
                return Ok(());
            }
            (more, pool.ask(self.id, self.party, more, &self.progress))
        };
        match asked {
            (more, Asked::Granted) => self.holds(more),
            (_, Asked::Refused) => return Err(Outcome::OverBudget),
            (more, Asked::Waits(granted)) => {
                self.wait(granted, deadline).await?;
                self.holds(more);
            }
        }
        Ok(())
    }

    /// Grows if there is room now.
    pub(super) fn try_to_grow_to(&mut self, bytes: u64) -> Result<(), NoRoomNow> {
        let mut pool = self.budget.pool();
        let more = bytes.min(pool.most(self.party)).saturating_sub(self.held);
        if more > 0 && !pool.take_now(self.id, self.party, more, &self.progress) {
            return Err(NoRoomNow);
        }
        drop(pool);
        self.holds(more);
        Ok(())
    }

    fn holds(&mut self, more: u64) {
        self.held += more;
        self.budget.0.used.add(more as i64);
    }

    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let less = self.held.saturating_sub(bytes);
        if less > 0 {
            self.held -= less;
            self.budget.0.used.sub(less as i64);
            self.budget.pool().give_back(self.id, less);
        }
    }

    async fn wait(
        &self,
        mut granted: oneshot::Receiver<()>,
        deadline: Instant,
    ) -> Result<(), Outcome> {
        let _waiting = Waiting { budget: &self.budget, id: self.id };
        loop {
            let now = Instant::now();
            self.budget.pool().make_room(self.party, now);
            let result = tokio::select! {
                biased;
                // The sending end is dropped when this body itself has to give way.
                granted = &mut granted => Some(granted.map_err(|_| Outcome::OverBudget)),
                () = sleep_until(deadline) => Some(Err(Outcome::OverBudget)),
                () = sleep(LOOK) => None,
            };
            self.progress.waited(now.elapsed());
            if let Some(result) = result {
                return result;
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.sub(self.held as i64);
        // Also returns bytes that were granted to a wait that ended before it noticed.
        self.budget.pool().leave(self.id);
    }
}

/// Takes a body out of the line, also when its future is dropped.
struct Waiting<'a> {
    budget: &'a Budget,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.budget.pool().stop_waiting(self.id);
    }
}

#[cfg(test)]
mod tests;
