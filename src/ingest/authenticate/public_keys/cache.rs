//! Which keys are known, and when one may be fetched. It fetches nothing itself and is told the time.
//!
//! - A key is used for at most [`CACHED`], and fetched again from [`REFRESHED`] on: while it is used, and
//!   if it is [`Standing::Proven`] also while it is not ([`Cache::due`]).
//! - One fetch at a time for a path, and all others that need the key wait for its end ([`Refreshed`]).
//! - After a fetch that failed there is a pause, so that a host that is down is asked every few
//!   seconds and not for every delivery.
//! - Paths are the sender's text, so a path has a [`Standing`]. One that nothing speaks for is fetched
//!   only by a request that had its turn ([`Answer::Turn`], [`Cache::begin`]); a path whose key proved a
//!   delivery of ours, and one that came along in such a delivery, wait for no stranger. Each standing has
//!   entries of its own, and of too many the one goes that was not used for the longest time.

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

/// Adobe's rule.
pub const CACHED: Duration = Duration::from_secs(24 * 60 * 60);

/// A quarter of the time is left for a host that is down.
pub const REFRESHED: Duration = Duration::from_secs(18 * 60 * 60);

/// Until a fetch that failed is tried again, by whether that may help. Longer than a fetch takes, so
/// that nobody who waited for one begins another.
const PAUSE: Duration = Duration::from_secs(5);
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// While a known key can still be used there is no haste.
const REFRESH_PAUSE: Duration = Duration::from_secs(60);

/// A path whose key has proved nothing for so long is a stranger's again. Adobe's journal, and with it
/// the interest in a registration that went silent, ends after this time.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often it is worth a write that a key has proved one more delivery.
const NOTED: Duration = Duration::from_secs(60 * 60);

/// Paths that come along in deliveries of ours, beside the path that proved them: so many at once, then
/// one each. A header is not signed, so a copy of one delivery can carry any path.
const INTRODUCED_AT_ONCE: u32 = 8;
const INTRODUCED_EACH: Duration = Duration::from_secs(60);

/// A fetch that was begun, and must be ended by [`Cache::end`].
#[derive(Debug)]
pub(super) struct Fetch {
    pub path: KeyPath,
    /// Whether a delivery of ours speaks for the path.
    pub is_trusted: bool,
    begun: refresh::Fetch,
}

/// What is known about a path.
#[derive(Debug)]
pub(super) struct Asked {
    pub answer: Answer,
    /// To be fetched now, whether anybody waits for it or not.
    pub fetch: Option<Fetch>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Key(Arc<PublicKey>),
    Wait(InFlight),
    /// Nothing speaks for this path: [`Cache::begin`], after a turn.
    Turn,
    Unavailable(Unavailable),
}

/// What speaks for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Strange,
    /// It came along in a delivery that another key proved.
    Introduced,
    /// Its key proved a delivery that was meant for us.
    Proven {
        last: Instant,
        /// The last time that is written down.
        noted: Instant,
    },
}

/// A proven path, as it is kept for the next process.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub path: KeyPath,
    pub proved: Instant,
    /// The key, and when the fetch that brought it began.
    pub key: Option<(Arc<PublicKey>, Instant)>,
}

/// What follows from a delivery that was meant for us.
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

/// Places that have a bound of their own.
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

    /// The key of `path`, if it is at most `age` old, or how to come by it.
    pub fn ask(&mut self, path: &KeyPath, age: Duration, now: Instant) -> Asked {
        let Some(entry) = self.entries.get_mut(path) else {
            return Asked { answer: Answer::Turn, fetch: None };
        };
        entry.used = now;
        entry.ask(path, age.min(CACHED), now)
    }

    /// The key of `path` and a fetch that is due, if it can be had without waiting.
    pub fn at_hand(
        &mut self,
        path: &KeyPath,
        now: Instant,
    ) -> Option<(Arc<PublicKey>, Option<Fetch>)> {
        let is_known = |entry: &PathEntry| entry.key.known(CACHED, now).is_some();
        if !self.entries.get(path).is_some_and(is_known) {
            return None;
        }
        match self.ask(path, CACHED, now) {
            Asked { answer: Answer::Key(key), fetch } => Some((key, fetch)),
            _ => None,
        }
    }

    /// The fetch of a stranger's path, for a request that had its turn; none where it is not needed any
    /// more.
    pub fn begin(&mut self, path: &KeyPath, now: Instant) -> Option<Fetch> {
        let entry = self.entries.entry(path.clone()).or_insert_with(|| PathEntry::new(now));
        let fetch = matches!(entry.ask(path, CACHED, now).answer, Answer::Turn)
            .then(|| entry.begin(path, now));
        self.keep_bounds(now);
        fetch
    }

    /// The end of a fetch; whether there is something new to keep for the next process.
    pub fn end(&mut self, fetch: Fetch, result: Result<PublicKey, Unavailable>) -> bool {
        let mut is_news = false;
        // Its entry may have gone to another path meanwhile.
        if let Some(entry) = self.entries.get_mut(&fetch.path) {
            is_news = result.is_ok() && entry.kind() == Kind::Proven;
            entry.key.end(&fetch.begun, result);
        }
        self.keep_bounds(fetch.begun.began());
        is_news
    }

    /// The key of `path` has proved a delivery that was meant for us, in which `beside` came along.
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
        // It is kept ready for the day on which the other key is gone.
        entry.is_due(now).then(|| entry.begin(path, now))
    }

    /// The fetches of proven keys that are due, whether the keys are used at the moment or not.
    pub fn due(&mut self, now: Instant) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        for (path, entry) in &mut self.entries {
            let Standing::Proven { last, .. } = entry.standing else { continue };
            if now.saturating_duration_since(last) >= FORGOTTEN {
                entry.standing = Standing::Strange;
            } else if entry.is_due(now) {
                fetches.push(entry.begin(path, now));
            }
        }
        self.keep_bounds(now);
        fetches
    }

    /// What the next process should know.
    pub fn kept(&self) -> Vec<Kept> {
        let kept = self.entries.iter().filter_map(|(path, entry)| {
            let Standing::Proven { last: proved, .. } = entry.standing else { return None };
            let key = entry.key.last_known().map(|known| (known.value.clone(), known.since));
            Some(Kept { path: path.clone(), proved, key })
        });
        kept.collect()
    }

    /// Takes over what another process has kept. What is known already stays as it is.
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

    /// Takes away what has not been used for the longest time, of each kind that there is too much of.
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
                // What is being fetched stays until it is known of which kind it is.
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
            let pause = if why.is_worth_retrying() { PAUSE } else { LONG_PAUSE };
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

    /// Whether that is worth a write.
    fn has_proved(&mut self, now: Instant) -> bool {
        let noted = match self.standing {
            Standing::Proven { noted, .. } if now.saturating_duration_since(noted) < NOTED => noted,
            _ => now,
        };
        self.standing = Standing::Proven { last: now, noted };
        noted == now
    }

    /// Whether there is no key, or one that is to be fetched ahead of its end.
    fn is_due(&self, now: Instant) -> bool {
        let pause = if self.key.failure().is_some() { REFRESH_PAUSE } else { Duration::ZERO };
        self.key.known(REFRESHED, now).is_none() && self.key.may_begin(pause, now)
    }
}

#[cfg(test)]
mod tests;
