//! `topics.limit` among the sources: a part of it is kept for each, so that one with invented types does not
//! take the last topic. Pure: time is an argument.
//!
//! Half of the limit is divided evenly. What a source takes of its part is what this process has made for
//! it; topics that exist already say nothing of whose they are, and count against none. Where those leave
//! less than all parts together, a source may not be further ahead of another one than what is left lets the
//! other one catch up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The number of a source.
pub(super) type Source = usize;

#[derive(Debug)]
pub(super) struct Shares {
    /// Topics that are kept for each.
    part: usize,
    sources: Vec<Share>,
}

#[derive(Debug, Default)]
struct Share {
    /// Topics that were made for it.
    made: usize,
    /// Names that were one too many for it, and until when; looked up again when it asks after that.
    over_limit: HashMap<String, Instant>,
}

/// Names over the limit that are remembered for each source; strangers choose them, so they are bounded.
pub(super) const OVER_LIMIT_NAMES: usize = 4096;
/// How long a topic stays over the limit before a source that asks makes us look again.
pub(super) const OVER_LIMIT_FOR: Duration = Duration::from_secs(60);

impl Shares {
    /// Of a limit among so many sources; one alone has all.
    pub fn new(limit: usize, sources: usize) -> Self {
        let part = if sources > 1 { limit / 2 / sources } else { 0 };
        Self { part, sources: (0..sources.max(1)).map(|_| Share::default()).collect() }
    }

    /// How many topics others may still make that `source` leaves to them. `being_made` are the sources
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
