//! The time, as a value that is passed in, so that tests can choose it.

use std::time::{Duration, Instant, SystemTime};

/// One moment on two clocks: the calendar, for the times in tokens, and the monotonic one, for the age of keys.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: u64,
    pub instant: Instant,
}

impl Moment {
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { unix_seconds: since.as_secs(), instant: Instant::now() }
    }

    pub fn later(self, by: Duration) -> Self {
        Self { unix_seconds: self.unix_seconds + by.as_secs(), instant: self.instant + by }
    }
}
