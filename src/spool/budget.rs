//! Limits of bytes that several spools share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A limit and its used part. The number orders no other memory access.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Returns the unused part.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Takes `bytes` if they fit.
    pub fn try_take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        taken.is_ok()
    }

    /// Replaces `before` by `after`, whether that fits or not: the bytes are there already.
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

/// `spool.size_limit` among several sources: half of it is divided evenly, so that each source has a part
/// that no other one ever takes, and the rest is first come, first served. A source alone has all.
///
/// Only the bytes that sources hold beyond their parts are counted here: each source knows its own sum, and they
/// share this one number.
#[derive(Debug)]
pub struct Total {
    limit: u64,
    /// Bytes guaranteed to a source without a lower limit of its own.
    part: u64,
    common: Budget,
}

impl Total {
    /// `source_limits` are the own limits of all sources, also of those whose spools are not open.
    pub fn new(limit: u64, source_limits: &[Option<u64>]) -> Self {
        let part = match source_limits.len() as u64 {
            0 | 1 => 0,
            sources => limit / 2 / sources,
        };
        let guaranteed = source_limits.iter().map(|own| own.map_or(part, |own| own.min(part)));
        let common = Budget::new(limit - guaranteed.sum::<u64>());
        Self { limit, part, common }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the part of a source with this limit of its own.
    pub fn guaranteed(&self, source_limit: Option<u64>) -> u64 {
        source_limit.map_or(self.part, |own| own.min(self.part))
    }

    /// Returns how much a source with this part may hold at most.
    pub fn most(&self, guaranteed: u64) -> u64 {
        self.common.limit + guaranteed
    }

    /// Returns how much is left for sources that have used up their parts.
    pub fn left(&self) -> u64 {
        self.common.left()
    }

    /// Takes `bytes` for a source that holds `held`, if they fit.
    pub fn try_take(&self, guaranteed: u64, held: u64, bytes: u64) -> bool {
        let after = held.saturating_add(bytes).saturating_sub(guaranteed);
        self.common.try_take(after - held.saturating_sub(guaranteed))
    }

    /// Notes that a source held `before` and now holds `after`, whether that fits or not.
    pub fn replace(&self, guaranteed: u64, before: u64, after: u64) {
        let beyond = |held: u64| held.saturating_sub(guaranteed);
        self.common.replace(beyond(before), beyond(after));
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

    #[test]
    fn a_source_alone_has_all_and_of_several_each_leaves_the_others_their_part() {
        let alone = Total::new(100, &[None]);
        assert_eq!(alone.most(alone.guaranteed(None)), 100);
        let total = Total::new(100, &[None, None]);
        let part = total.guaranteed(None);
        assert_eq!((part, total.most(part)), (25, 75));
        assert!(total.try_take(part, 0, 75) && !total.try_take(part, 75, 1));
        assert!(total.try_take(part, 0, 25), "the other one");
        assert!(!total.try_take(part, 25, 1));
        total.replace(part, 75, 20);
        assert!(total.try_take(part, 25, 50));
    }

    #[test]
    fn no_more_is_kept_for_a_source_than_its_own_limit() {
        let total = Total::new(100, &[None, Some(5)]);
        assert_eq!((total.guaranteed(Some(5)), total.most(total.guaranteed(None))), (5, 95));
    }
}
