//! Progress of a body: how fast it comes.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Progress of a body while it comes.
pub(super) struct Progress {
    pub(super) began: Instant,
    came: AtomicU64,
    /// Milliseconds in which the body waited for us.
    waited: AtomicU64,
    complete: AtomicBool,
    evicted: Notify,
}

impl Progress {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            came: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            evicted: Notify::new(),
        }
    }

    pub fn came(&self, bytes: u64) {
        self.came.fetch_add(bytes, SeqCst);
    }

    pub fn waited(&self, time: Duration) {
        self.waited.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), SeqCst);
    }

    pub fn set_complete(&self) {
        self.complete.store(true, SeqCst);
    }

    pub fn is_complete(&self) -> bool {
        self.complete.load(SeqCst)
    }

    pub fn evict(&self) {
        self.evicted.notify_one();
    }

    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Returns for how long its sender could have sent: the body's age without the time in which it waited for us.
    pub fn time(&self, now: Instant) -> Duration {
        let waited = Duration::from_millis(self.waited.load(SeqCst));
        self.age(now).saturating_sub(waited)
    }

    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    pub fn bytes_a_second(&self, now: Instant) -> u64 {
        let rate = u128::from(self.came.load(SeqCst)) * 1000 / self.time(now).as_millis().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}
