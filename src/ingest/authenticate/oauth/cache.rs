//! Verdicts on tokens, kept for a while. Tokens themselves are not in it: only digests under a key of this process.
//!
//! Good and bad tokens have entries of their own, so that a flood of bad ones pushes out no good one. Where all
//! entries are taken the oldest is removed. A good verdict is remembered beyond its end ([`Verdicts::was_good`]):
//! when the provider has to be asked again about such a token, its client does not count as a stranger.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::flaw::Flaw;
use crate::ingest::authenticate::digest::{Digest, sha256};

/// Entries for good tokens, and as many for bad ones.
const MAX_VERDICTS: usize = 4096;

/// How long a good verdict is remembered beyond its end.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

pub(super) struct Verdicts {
    key: [u8; 16],
    good: Bounded<()>,
    bad: Bounded<Flaw>,
}

impl Verdicts {
    pub fn new() -> Self {
        let key = Uuid::new_v4().into_bytes();
        Self { key, good: Bounded::default(), bad: Bounded::default() }
    }

    pub fn digest(&self, token: &str) -> Digest {
        sha256(&[&self.key, token.as_bytes()])
    }

    pub fn of(&self, token: &Digest, now: Instant) -> Option<Result<(), Flaw>> {
        let bad = || self.bad.get(token, now).map(Err);
        self.good.get(token, now).map(Ok).or_else(bad)
    }

    /// Returns whether the last verdict was good and ended less than [`REMEMBERED_FOR`] ago.
    pub fn was_good(&self, token: &Digest, now: Instant) -> bool {
        let until = self.good.entries.get(token).map(|((), until)| *until);
        until.is_some_and(|until| now < until + REMEMBERED_FOR)
    }

    pub fn keep(&mut self, token: Digest, verdict: Result<(), Flaw>, until: Instant) {
        match verdict {
            Ok(()) => self.good.put(token, (), until),
            Err(flaw) => {
                self.good.remove(&token);
                self.bad.put(token, flaw, until);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.good.entries.len() + self.bad.entries.len()
    }
}

struct Bounded<V> {
    entries: HashMap<Digest, (V, Instant)>,
    /// The digest of each entry once, the oldest first.
    order: VecDeque<Digest>,
}

impl<V> Default for Bounded<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V: Copy> Bounded<V> {
    fn get(&self, token: &Digest, now: Instant) -> Option<V> {
        self.entries.get(token).filter(|(_, until)| now < *until).map(|(value, _)| *value)
    }

    fn remove(&mut self, token: &Digest) {
        if self.entries.remove(token).is_some() {
            self.order.retain(|other| other != token);
        }
    }

    fn put(&mut self, token: Digest, value: V, until: Instant) {
        if self.entries.insert(token, (value, until)).is_none() {
            self.order.push_back(token);
        }
        if self.order.len() > MAX_VERDICTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_verdict_holds_until_its_time_is_over() {
        let mut verdicts = Verdicts::new();
        let now = Instant::now();
        let good = verdicts.digest("good");
        let bad = verdicts.digest("bad");
        let until = now + Duration::from_secs(10);
        verdicts.keep(good, Ok(()), until);
        verdicts.keep(bad, Err(Flaw::Inactive), until);
        let almost = until - Duration::from_nanos(1);
        assert_eq!(verdicts.of(&good, almost), Some(Ok(())));
        assert_eq!(verdicts.of(&bad, almost), Some(Err(Flaw::Inactive)));
        assert_eq!((verdicts.of(&good, until), verdicts.of(&bad, until)), (None, None));
    }

    #[test]
    fn there_are_never_more_of_them_than_places_and_bad_ones_displace_no_good_one() {
        let mut verdicts = Verdicts::new();
        let now = Instant::now();
        let until = now + Duration::from_secs(10);
        let good = verdicts.digest("good");
        verdicts.keep(good, Ok(()), until);
        for number in 0..MAX_VERDICTS * 2 {
            let token = verdicts.digest(&number.to_string());
            verdicts.keep(token, Err(Flaw::Inactive), until);
            verdicts.keep(token, Err(Flaw::Inactive), until);
        }
        assert_eq!(verdicts.len(), MAX_VERDICTS + 1);
        assert_eq!(verdicts.bad.order.len(), MAX_VERDICTS);
        assert_eq!(verdicts.of(&good, now), Some(Ok(())));
        assert_eq!(verdicts.of(&verdicts.digest("0"), now), None, "the oldest gave way");
    }

    #[test]
    fn a_token_that_was_good_is_remembered_beyond_its_time_and_not_beyond_a_no() {
        let mut verdicts = Verdicts::new();
        let now = Instant::now();
        let token = verdicts.digest("token");
        let other = verdicts.digest("other");
        verdicts.keep(token, Ok(()), now);
        verdicts.keep(other, Ok(()), now);
        assert!(verdicts.of(&token, now).is_none() && verdicts.was_good(&token, now));
        verdicts.keep(token, Err(Flaw::Inactive), now);
        assert!(!verdicts.was_good(&token, now), "it was withdrawn");
        let almost = now + REMEMBERED_FOR - Duration::from_nanos(1);
        assert!(
            verdicts.was_good(&other, almost) && !verdicts.was_good(&other, now + REMEMBERED_FOR)
        );
        assert!(!verdicts.was_good(&verdicts.digest("never seen"), now));
    }

    #[test]
    fn digests_differ_from_process_to_process() {
        assert_ne!(Verdicts::new().digest("token"), Verdicts::new().digest("token"));
    }
}
