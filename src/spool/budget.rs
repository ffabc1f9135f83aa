//! Bytes that several spools share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A limit and what is used of it. Only a number: nothing is ordered by it.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Takes `bytes` if they fit.
    pub fn try_take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        taken.is_ok()
    }

    /// Replaces `before` by `after`, whether that fits or not: it is there already.
    pub fn replace(&self, before: u64, after: u64) {
        if after >= before {
            self.used.fetch_add(after - before, Relaxed);
        } else {
            self.used.fetch_sub(before - after, Relaxed);
        }
    }

    pub fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_to_the_last_byte_and_no_further() {
        let budget = Budget::new(10);
        assert!(budget.try_take(10));
        assert!(!budget.try_take(1));
        budget.replace(4, 0);
        assert!(!budget.try_take(5));
        assert!(budget.try_take(4));
        assert!(!budget.try_take(u64::MAX));
    }
}
