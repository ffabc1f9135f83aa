//! The cache of keys, and the rules of when one is fetched. It fetches nothing itself and gets the time as an
//! argument.
//!
//! - A key is used for at most [`MAX_KEY_AGE`], and fetched again from [`REFRESH_AGE`] on: while it is used, and
//!   if it is [`Standing::Proven`] also while it is not ([`Cache::due`]).
//! - One fetch at a time for a path; all other requests that need the key wait for its end ([`Refreshed`]).
//! - After a failed fetch there is a pause, so that a host that is down is asked every few seconds and not for
//!   every delivery.
//! - Paths are the sender's text, so a path has a [`Standing`]. An unproven one is fetched only by a request that
//!   had its turn ([`Answer::Turn`], [`Cache::begin`]); a path whose key proved a delivery of ours, and one that
//!   such a delivery named too, wait for no stranger. Each standing has entries of its own; beyond their number the
//!   least recently used one is removed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{PublicKey, Unavailable, path::KeyPath};
use crate::ingest::authenticate::{
    bucket::Bucket,
    refresh::{self, InFlight, Known, Refreshed},
};

/// How long a key is used: Adobe's rule.
pub const MAX_KEY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Age from which a key is fetched again. A quarter of its time is left in case the host is down.
pub const REFRESH_AGE: Duration = Duration::from_secs(18 * 60 * 60);

/// Pause after a failed fetch that is worth retrying. Longer than a fetch takes, so that a request that waited for
/// one does not begin another.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Pause after any other failed fetch.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// Pause after a failed fetch while the known key can still be used.
const REFRESH_PAUSE: Duration = Duration::from_secs(60);

/// Time after which a path whose key has proved nothing counts as a stranger's again. Adobe's journal, and with it
/// the interest in a registration that went silent, ends after this time.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Shortest time between two writes that note a further proof by the same key.
const NOTE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Paths at once that are introduced: deliveries of ours name them beside the path that proved them. A header is
/// not signed, so a copy of one delivery can carry any path.
const INTRODUCED_AT_ONCE: u32 = 8;
/// Time after which one more path can be introduced.
const INTRODUCED_EACH: Duration = Duration::from_secs(60);

/// A fetch that was begun, and must be ended by [`Cache::end`].
#[derive(Debug)]
pub(super) struct Fetch {
    pub path: KeyPath,
    /// Whether a delivery of ours has proved or introduced the path.
    pub is_trusted: bool,
    begun: refresh::Fetch,
}

/// Answer of the cache about a path, and a fetch that it begins.
#[derive(Debug)]
pub(super) struct Asked {
    pub answer: Answer,
    /// A fetch to be run now, whether a request waits for it or not.
    pub fetch: Option<Fetch>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Key(Arc<PublicKey>),
    Wait(InFlight),
    /// The path is unproven: call [`Cache::begin`] after a turn.
    Turn,
    Unavailable(Unavailable),
}

/// Trust in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Strange,
    /// A delivery that another key proved named it too.
    Introduced,
    /// Its key proved a delivery that was meant for us.
    Proven {
        last: Instant,
        /// The last proof that is written to the file.
        noted: Instant,
    },
}

/// A proven path, as it is kept for the next process.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub path: KeyPath,
    pub proved: Instant,
    /// The key, and the beginning of its fetch.
    pub key: Option<(Arc<PublicKey>, Instant)>,
}

/// Consequences of a delivery that was meant for us.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    /// Whether there is something new to keep for the next process.
    pub is_news: bool,
    pub fetch: Option<Fetch>,
}

pub(super) struct Cache {
    entries: HashMap<KeyPath, PathEntry>,
    introductions: Bucket,
}

struct PathEntry {
    standing: Standing,
    key: Refreshed<PublicKey, Unavailable>,
    used: Instant,
}

/// Kind of an entry; each has a limit of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Proven,
    Introduced,
    StrangeWithKey,
    StrangeWithout,
}

impl Kind {
    const ALL: [Self; 4] =
        [Self::Proven, Self::Introduced, Self::StrangeWithKey, Self::StrangeWithout];

    const fn entries(self) -> usize {
        match self {
            Self::Proven => 32,
            Self::Introduced => 16,
            Self::StrangeWithKey => 64,
            Self::StrangeWithout => 256,
        }
    }
}

impl Cache {
    pub fn new() -> Self {
        let introductions = Bucket::new(INTRODUCED_AT_ONCE, INTRODUCED_EACH);
        Self { entries: HashMap::new(), introductions }
    }

    /// Returns the key of `path`, if it is younger than `age`, or how to get it.
    pub fn ask(&mut self, path: &KeyPath, age: Duration, now: Instant) -> Asked {
        let Some(entry) = self.entries.get_mut(path) else {
            return Asked { answer: Answer::Turn, fetch: None };
        };
        entry.used = now;
        entry.ask(path, age.min(MAX_KEY_AGE), now)
    }

    /// Returns the key of `path`, if it is cached, and a fetch that is due.
    pub fn cached(
        &mut self,
        path: &KeyPath,
        now: Instant,
    ) -> Option<(Arc<PublicKey>, Option<Fetch>)> {
        let is_known = |entry: &PathEntry| entry.key.known(MAX_KEY_AGE, now).is_some();
        if !self.entries.get(path).is_some_and(is_known) {
            return None;
        }
        match self.ask(path, MAX_KEY_AGE, now) {
            Asked { answer: Answer::Key(key), fetch } => Some((key, fetch)),
            _ => None,
        }
    }

    /// Begins the fetch of a stranger's path, for a request that had its turn; `None` where it is not needed any more.
    pub fn begin(&mut self, path: &KeyPath, now: Instant) -> Option<Fetch> {
        let entry = self.entries.entry(path.clone()).or_insert_with(|| PathEntry::new(now));
        let fetch = matches!(entry.ask(path, MAX_KEY_AGE, now).answer, Answer::Turn)
            .then(|| entry.begin(path, now));
        self.keep_bounds(now);
        fetch
    }

    /// Ends a fetch; returns whether there is something new to keep for the next process.
    pub fn end(&mut self, fetch: Fetch, result: Result<PublicKey, Unavailable>) -> bool {
        let mut is_news = false;
        // The entry may have been removed meanwhile.
        if let Some(entry) = self.entries.get_mut(&fetch.path) {
            is_news = result.is_ok() && entry.kind() == Kind::Proven;
            entry.key.end(&fetch.begun, result);
        }
        self.keep_bounds(fetch.begun.began());
        is_news
    }

    /// Notes that the key of `path` has proved a delivery that was meant for us, and introduces `beside`, which that
    /// delivery names too.
    pub fn vouch(&mut self, path: &KeyPath, beside: Option<&KeyPath>, now: Instant) -> Vouched {
        let mut vouched = Vouched::default();
        if let Some(entry) = self.entries.get_mut(path) {
            vouched.is_news = entry.has_proved(now);
        }
        if let Some(beside) = beside {
            vouched.fetch = self.introduce(beside, now);
        }
        self.keep_bounds(now);
        vouched
    }

    fn introduce(&mut self, path: &KeyPath, now: Instant) -> Option<Fetch> {
        let standing = self.entries.get(path).map(|entry| entry.standing);
        match standing {
            Some(Standing::Proven { .. }) => return None,
            Some(Standing::Introduced) => {}
            Some(Standing::Strange) | None if !self.introductions.take(now) => return None,
            Some(Standing::Strange) | None => {}
        }
        let entry = self.entries.entry(path.clone()).or_insert_with(|| PathEntry::new(now));
        entry.standing = Standing::Introduced;
        entry.used = now;
        // Fetched ahead, for the day on which the other key is withdrawn.
        entry.is_due(now).then(|| entry.begin(path, now))
    }

    /// Begins the fetches of proven keys that are due, whether the keys are used at the moment or not.
    pub fn due(&mut self, now: Instant) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        for (path, entry) in &mut self.entries {
            let Standing::Proven { last, .. } = entry.standing else { continue };
            if now.saturating_duration_since(last) >= FORGET_AFTER {
                entry.standing = Standing::Strange;
            } else if entry.is_due(now) {
                fetches.push(entry.begin(path, now));
            }
        }
        self.keep_bounds(now);
        fetches
    }

    /// Returns the proven paths and keys for the next process.
    pub fn kept(&self) -> Vec<Kept> {
        let kept = self.entries.iter().filter_map(|(path, entry)| {
            let Standing::Proven { last: proved, .. } = entry.standing else { return None };
            let key = entry.key.last_known().map(|known| (known.value.clone(), known.since));
            Some(Kept { path: path.clone(), proved, key })
        });
        kept.collect()
    }

    /// Takes over the paths and keys of an earlier process. Known entries stay as they are.
    pub fn remember(&mut self, kept: Vec<Kept>, now: Instant) {
        for Kept { path, proved, key } in kept {
            self.entries.entry(path).or_insert_with(|| PathEntry {
                standing: Standing::Proven { last: proved, noted: proved },
                key: Refreshed::new(key.map(|(value, since)| Known { value, since })),
                ..PathEntry::new(proved)
            });
        }
        self.keep_bounds(now);
    }

    /// Removes the least recently used entries of each kind that has too many.
    fn keep_bounds(&mut self, now: Instant) {
        for kind in Kind::ALL {
            while self.entries.values().filter(|entry| entry.kind() == kind).count()
                > kind.entries()
            {
                let oldest = self
                    .entries
                    .iter()
                    .filter(|(_, entry)| entry.kind() == kind && entry.key.in_flight().is_none())
                    .max_by_key(|(_, entry)| now.saturating_duration_since(entry.used))
                    .map(|(path, _)| path.clone());
                // Entries that are being fetched stay until the result shows their kind.
                let Some(oldest) = oldest else { break };
                self.entries.remove(&oldest);
            }
        }
    }
}

impl PathEntry {
    fn new(now: Instant) -> Self {
        Self { standing: Standing::Strange, key: Refreshed::new(None), used: now }
    }

    fn kind(&self) -> Kind {
        match self.standing {
            Standing::Proven { .. } => Kind::Proven,
            Standing::Introduced => Kind::Introduced,
            Standing::Strange if self.key.last_known().is_some() => Kind::StrangeWithKey,
            Standing::Strange => Kind::StrangeWithout,
        }
    }

    fn ask(&mut self, path: &KeyPath, age: Duration, now: Instant) -> Asked {
        if let Some(known) = self.key.known(age, now) {
            let answer = Answer::Key(known.value.clone());
            let fetch = self.is_due(now).then(|| self.begin(path, now));
            return Asked { answer, fetch };
        }
        if let Some(in_flight) = self.key.in_flight() {
            return Asked { answer: Answer::Wait(in_flight), fetch: None };
        }
        if let Some(why) = self.key.failure() {
            let pause = if why.is_worth_retrying() { RETRY_PAUSE } else { LONG_PAUSE };
            if !self.key.may_begin(pause, now) {
                return Asked { answer: Answer::Unavailable(why.clone()), fetch: None };
            }
        }
        if self.kind() == Kind::StrangeWithout {
            return Asked { answer: Answer::Turn, fetch: None };
        }
        let fetch = self.begin(path, now);
        Asked { answer: Answer::Wait(fetch.begun.in_flight()), fetch: Some(fetch) }
    }

    fn begin(&mut self, path: &KeyPath, now: Instant) -> Fetch {
        let is_trusted = self.standing != Standing::Strange;
        Fetch { path: path.clone(), is_trusted, begun: self.key.begin(now) }
    }

    /// Notes a proof; returns whether it is worth a write.
    fn has_proved(&mut self, now: Instant) -> bool {
        let noted = match self.standing {
            Standing::Proven { noted, .. }
                if now.saturating_duration_since(noted) < NOTE_INTERVAL =>
            {
                noted
            }
            _ => now,
        };
        self.standing = Standing::Proven { last: now, noted };
        noted == now
    }

    /// Returns whether a fetch is due: there is no key, or one that is to be fetched ahead of its end.
    fn is_due(&self, now: Instant) -> bool {
        let pause = if self.key.failure().is_some() { REFRESH_PAUSE } else { Duration::ZERO };
        self.key.known(REFRESH_AGE, now).is_none() && self.key.may_begin(pause, now)
    }
}

#[cfg(test)]
mod tests;
