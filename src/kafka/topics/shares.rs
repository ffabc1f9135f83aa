//! Shares of `topics.limit`: each source keeps a part, so that one with invented types does not
//! take the last topic. Pure: time is an argument.
//!
//! Half of the limit is divided evenly. Only topics that this process has made for a source count against its part:
//! topics that exist already belong to no known source. Where those leave less than all parts together, a source
//! may not be further ahead of another one than the rest lets the other one catch up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The number of a source.
pub(super) type Source = usize;

#[derive(Debug)]
pub(super) struct Shares {
    /// Topics that are kept for each source.
    part: usize,
    sources: Vec<Share>,
}

#[derive(Debug, Default)]
struct Share {
    /// Topics that were made for the source.
    made: usize,
    /// Names that were one too many for the source, and until when; looked up again when it asks after that.
    over_limit: HashMap<String, Instant>,
}

/// Names over the limit that are remembered for each source; strangers choose them, so they are bounded.
pub(super) const OVER_LIMIT_NAMES: usize = 4096;
/// Time that a topic stays over the limit before it is looked up again.
pub(super) const OVER_LIMIT_FOR: Duration = Duration::from_secs(60);

impl Shares {
    /// Divides a limit among so many sources; a single one has all.
    pub fn new(limit: usize, sources: usize) -> Self {
        let part = if sources > 1 { limit / 2 / sources } else { 0 };
        Self { part, sources: (0..sources.max(1)).map(|_| Share::default()).collect() }
    }

    /// Number of topics that `source` has to leave for other sources to make. `being_made` are the sources
    /// of topics that are about to be made.
    pub fn kept_from(&self, source: Source, being_made: &[Source]) -> usize {
        let made = |source: Source| {
            self.sources[source].made + being_made.iter().filter(|of| **of == source).count()
        };
        let level = self.part.min(made(source));
        (0..self.sources.len()).map(|other| level.saturating_sub(made(other))).sum()
    }

    pub fn made(&mut self, source: Source) {
        self.sources[source].made += 1;
    }

    pub fn is_over_limit(&self, source: Source, topic: &str, now: Instant) -> bool {
        self.sources[source].over_limit.get(topic).is_some_and(|until| *until > now)
    }

    pub fn over_limit(&mut self, source: Source, topic: &str, now: Instant) {
        let names = &mut self.sources[source].over_limit;
        if names.len() >= OVER_LIMIT_NAMES {
            names.clear(); // they can be looked up again
        }
        names.insert(topic.into(), now + OVER_LIMIT_FOR);
    }

    #[cfg(test)]
    pub fn names_over_limit(&self, source: Source) -> usize {
        self.sources[source].over_limit.len()
    }
}
