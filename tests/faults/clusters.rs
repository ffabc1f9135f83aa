//! Clusters that tests lend each other: three brokers take ten seconds and more of both cores to start.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::broker::Cluster;

/// Tests that borrow. No more clusters are kept than of these are to come.
const BORROWERS: usize = 4;

static BORROWED: AtomicUsize = AtomicUsize::new(0);
static IDLE: Mutex<Vec<Cluster>> = Mutex::new(Vec::new());

/// A test's own cluster until it is dropped. The test may hurt it, and must mend it.
pub struct Lent(Option<Cluster>);

/// A whole cluster that nobody else uses. Others have made topics on it.
#[track_caller]
pub fn borrow() -> Lent {
    BORROWED.fetch_add(1, Ordering::Relaxed);
    let idle = IDLE.lock().expect("nobody panics with it").pop();
    let mut cluster = idle.unwrap_or_else(Cluster::start);
    cluster.brokers.iter_mut().for_each(|broker| broker.wait_until_ready(3));
    Lent(Some(cluster))
}

impl Drop for Lent {
    fn drop(&mut self) {
        let to_come = BORROWERS.saturating_sub(BORROWED.load(Ordering::Relaxed));
        // One that a test has left in pieces ends here.
        if thread::panicking() {
            return;
        }
        let mut idle = IDLE.lock().expect("nobody panics with it");
        if idle.len() < to_come {
            idle.extend(self.0.take());
        }
    }
}

impl Deref for Lent {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.0.as_mut().expect("there until it is dropped")
    }
}
