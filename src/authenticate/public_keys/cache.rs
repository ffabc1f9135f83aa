//! Which keys are known, and when one may be fetched. It fetches nothing itself and is told the time.
//!
//! - A key is used for at most [`CACHED`], and fetched again from [`REFRESHED`] on, while it is used.
//! - One fetch at a time for a path ([`Landing`]); whoever else needs the key waits for its end
//!   ([`Flight`]).
//! - After a fetch that failed there is a pause, so that a host that is down is asked every few
//!   seconds and not for every delivery.
//! - Paths are the sender's text, so there is a place for so many without a key and for so many with
//!   one, and fetches of paths without a key draw on a [`Bucket`] that all of them share. Keys that
//!   are known are beyond a stranger's reach.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{PublicKey, Unavailable, path::KeyPath};
use crate::authenticate::bucket::Bucket;

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

/// Paths with a key, and as many without.
const PLACES: usize = 64;

/// Fetches of paths without a key: so many at once, and then one each.
const UNKNOWN_AT_ONCE: u32 = 16;
const UNKNOWN_EACH: Duration = Duration::from_secs(5);

/// The other end of a fetch: changes, or is gone, when it has ended.
pub(super) type Flight = watch::Receiver<bool>;

/// A fetch that was begun, and must be ended by [`Cache::landed`].
#[derive(Debug)]
pub(super) struct Landing {
    pub path: KeyPath,
    began: Instant,
    ended: watch::Sender<bool>,
}

/// What is known about a path.
#[derive(Debug)]
pub(super) struct Asked {
    pub answer: Answer,
    /// To be fetched now, whether anybody waits for it or not.
    pub fetch: Option<Landing>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Key(Arc<PublicKey>),
    Wait(Flight),
    Unavailable(Unavailable),
}

pub(super) struct Cache {
    places: HashMap<KeyPath, Place>,
    unknown: Bucket,
}

struct Place {
    known: Option<Known>,
    failed: Option<Failed>,
    flight: Option<Flight>,
    used: Instant,
}

struct Known {
    key: Arc<PublicKey>,
    fetched: Instant,
}

struct Failed {
    why: Unavailable,
    at: Instant,
}

impl Cache {
    pub fn new() -> Self {
        Self { places: HashMap::new(), unknown: Bucket::new(UNKNOWN_AT_ONCE, UNKNOWN_EACH) }
    }

    /// The key of `path`, if it is at most `age` old, or how to come by it.
    pub fn ask(&mut self, path: &KeyPath, age: Duration, now: Instant) -> Asked {
        if self.places.get(path).is_none_or(|place| place.known.is_none() && place.may_fetch(now))
            && !self.unknown.take(now)
        {
            return Asked { answer: Answer::Unavailable(Unavailable::TooManyUnknown), fetch: None };
        }
        self.make_room(path, now);
        let place = self.places.entry(path.clone()).or_insert_with(|| Place::new(now));
        place.used = now;
        place.ask(path, age.min(CACHED), now)
    }

    /// The end of a fetch.
    pub fn landed(&mut self, landing: Landing, result: Result<PublicKey, Unavailable>) {
        let Landing { path, began, ended } = landing;
        // Its place may have gone to another path meanwhile.
        if let Some(place) = self.places.get_mut(&path) {
            place.flight = None;
            match result {
                Ok(key) => {
                    // From the beginning of the fetch: no key is older than it is taken for.
                    place.known = Some(Known { key: Arc::new(key), fetched: began });
                    place.failed = None;
                }
                Err(why) => place.failed = Some(Failed { why, at: began }),
            }
        }
        ended.send_replace(true);
    }

    /// Takes away what has not been used for the longest time, of the kind that there is too much of.
    fn make_room(&mut self, path: &KeyPath, now: Instant) {
        if self.places.contains_key(path) {
            return;
        }
        for with_key in [false, true] {
            let is_kind = |place: &Place| place.known.is_some() == with_key;
            if self.places.values().filter(|place| is_kind(place)).count() >= PLACES {
                let oldest = self
                    .places
                    .iter()
                    .filter(|(_, place)| is_kind(place) && !place.is_flying())
                    .max_by_key(|(_, place)| now.saturating_duration_since(place.used))
                    .map(|(path, _)| path.clone());
                oldest.map(|path| self.places.remove(&path));
            }
        }
    }
}

impl Place {
    fn new(now: Instant) -> Self {
        Self { known: None, failed: None, flight: None, used: now }
    }

    fn ask(&mut self, path: &KeyPath, age: Duration, now: Instant) -> Asked {
        let since = |then| now.saturating_duration_since(then);
        if let Some(known) = self.known.as_ref().filter(|known| since(known.fetched) < age) {
            let answer = Answer::Key(known.key.clone());
            let rested = self.failed.as_ref().is_none_or(|f| since(f.at) >= REFRESH_PAUSE);
            let due = since(known.fetched) >= REFRESHED && rested && !self.is_flying();
            return Asked { answer, fetch: due.then(|| self.begin(path, now)) };
        }
        if let Some(flight) = self.flight.clone().filter(|_| self.is_flying()) {
            return Asked { answer: Answer::Wait(flight), fetch: None };
        }
        if let Some(failed) = self.failed.as_ref().filter(|_| !self.may_fetch(now)) {
            return Asked { answer: Answer::Unavailable(failed.why.clone()), fetch: None };
        }
        let landing = self.begin(path, now);
        Asked { answer: Answer::Wait(landing.ended.subscribe()), fetch: Some(landing) }
    }

    fn begin(&mut self, path: &KeyPath, now: Instant) -> Landing {
        let (ended, flight) = watch::channel(false);
        self.flight = Some(flight);
        Landing { path: path.clone(), began: now, ended }
    }

    /// A fetch whose task is gone without having ended it flies no longer.
    fn is_flying(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.has_changed().is_ok())
    }

    fn may_fetch(&self, now: Instant) -> bool {
        !self.is_flying()
            && self.failed.as_ref().is_none_or(|failed| {
                let pause = if failed.why.is_worth_retrying() { PAUSE } else { LONG_PAUSE };
                now.saturating_duration_since(failed.at) >= pause
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::key::tests::{key_pair, pem},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn path(name: &str) -> KeyPath {
        KeyPath::new(&format!("/prod/keys/{name}.pem")).unwrap()
    }

    fn key() -> PublicKey {
        PublicKey::from_pem(pem(&key_pair()).as_bytes()).unwrap()
    }

    /// A cache, a path that it knows the key of, and when that was fetched.
    fn knowing() -> (Cache, KeyPath, Instant) {
        let (now, path) = (Instant::now(), path("known"));
        let mut cache = Cache::new();
        let fetch = cache.ask(&path, CACHED, now).fetch.unwrap();
        cache.landed(fetch, Ok(key()));
        (cache, path, now)
    }

    fn has_key(asked: &Asked) -> bool {
        matches!(asked.answer, Answer::Key(_))
    }

    #[test]
    fn whoever_asks_while_a_key_is_fetched_waits_for_that_fetch() {
        let now = Instant::now();
        let mut cache = Cache::new();
        let fetch = cache.ask(&path("k"), CACHED, now).fetch.unwrap();
        let Asked { answer: Answer::Wait(flight), fetch: None } =
            cache.ask(&path("k"), CACHED, now + SECOND)
        else {
            panic!("a second fetch, or no wait")
        };
        assert!(!*flight.borrow());
        cache.landed(fetch, Ok(key()));
        assert!(*flight.borrow());
        assert!(has_key(&cache.ask(&path("k"), CACHED, now + SECOND)));
    }

    #[test]
    fn a_key_is_refreshed_ahead_of_its_end_once_and_used_meanwhile_and_never_beyond_it() {
        let (mut cache, path, began) = knowing();
        let asked = cache.ask(&path, CACHED, began + REFRESHED - SECOND);
        assert!(has_key(&asked) && asked.fetch.is_none());
        let mut asked = cache.ask(&path, CACHED, began + REFRESHED);
        assert!(has_key(&asked));
        let again = cache.ask(&path, CACHED, began + REFRESHED + SECOND);
        assert!(has_key(&again) && again.fetch.is_none(), "one at a time");
        let fetch = asked.fetch.take().unwrap();
        cache.landed(fetch, Err(Unavailable::NotThere));
        let soon = cache.ask(&path, CACHED, began + REFRESHED + REFRESH_PAUSE - SECOND);
        assert!(has_key(&soon) && soon.fetch.is_none(), "a pause after a failure");
        let later = cache.ask(&path, CACHED, began + REFRESHED + REFRESH_PAUSE);
        assert!(has_key(&later));
        cache.landed(later.fetch.unwrap(), Err(Unavailable::NotThere));
        assert!(has_key(&cache.ask(&path, CACHED, began + CACHED - SECOND)));
        let expired = cache.ask(&path, CACHED, began + CACHED);
        assert!(matches!(expired.answer, Answer::Wait(_)), "{expired:?}");
        let expired = cache.ask(&path, 2 * CACHED, began + CACHED);
        assert!(!has_key(&expired), "nobody may ask for an older one");
    }

    #[test]
    fn a_fresh_key_is_fetched_again_only_when_it_is_older_than_asked_for() {
        let (mut cache, path, began) = knowing();
        assert!(has_key(&cache.ask(&path, 60 * SECOND, began + 59 * SECOND)));
        let asked = cache.ask(&path, 60 * SECOND, began + 60 * SECOND);
        assert!(!has_key(&asked));
        cache.landed(asked.fetch.unwrap(), Ok(key()));
        let asked = cache.ask(&path, 60 * SECOND, began + 119 * SECOND);
        assert!(has_key(&asked) && asked.fetch.is_none());
    }

    #[test]
    fn after_a_failure_there_is_a_pause_that_says_why() {
        let now = Instant::now();
        let mut cache = Cache::new();
        let fetch = cache.ask(&path("k"), CACHED, now).fetch.unwrap();
        cache.landed(fetch, Err(Unavailable::NotThere));
        let asked = cache.ask(&path("k"), CACHED, now + LONG_PAUSE - SECOND);
        assert!(matches!(asked.answer, Answer::Unavailable(Unavailable::NotThere)));
        assert!(cache.ask(&path("k"), CACHED, now + LONG_PAUSE).fetch.is_some());
    }

    #[test]
    fn a_fetch_whose_task_is_gone_holds_up_nobody() {
        let now = Instant::now();
        let mut cache = Cache::new();
        drop(cache.ask(&path("k"), CACHED, now).fetch);
        assert!(cache.ask(&path("k"), CACHED, now).fetch.is_some());
    }

    #[test]
    fn a_flood_of_unknown_paths_is_few_fetches_and_few_places_and_known_keys_stay() {
        let (mut cache, known, began) = knowing();
        let mut fetches = 0;
        for n in 0..10_000 {
            let asked = cache.ask(&path(&n.to_string()), CACHED, began + SECOND);
            if let Some(landing) = asked.fetch {
                fetches += 1;
                cache.landed(landing, Err(Unavailable::NotThere));
            } else {
                let refused = Answer::Unavailable(Unavailable::TooManyUnknown);
                assert_eq!(format!("{:?}", asked.answer), format!("{refused:?}"));
            }
        }
        assert_eq!(fetches, UNKNOWN_AT_ONCE - 1, "one of them was the known one's");
        assert!(has_key(&cache.ask(&known, CACHED, began + SECOND)));
        let later = began + SECOND + UNKNOWN_EACH;
        assert!(cache.ask(&path("new"), CACHED, later).fetch.is_some(), "one more by then");
        for n in 1..=1000u32 {
            let asked = cache.ask(&path(&format!("x{n}")), CACHED, later + n * UNKNOWN_EACH);
            cache.landed(asked.fetch.unwrap(), Err(Unavailable::NotThere));
        }
        assert!(cache.places.len() <= 2 * PLACES, "{}", cache.places.len());
        assert!(cache.places.contains_key(&known));
    }

    #[test]
    fn of_too_many_known_keys_the_one_that_was_used_last_stays() {
        let (mut cache, known, began) = knowing();
        for n in 1..200 {
            let now = began + n * UNKNOWN_EACH;
            let fetch = cache.ask(&path(&n.to_string()), CACHED, now).fetch.unwrap();
            cache.landed(fetch, Ok(key_of_everybody()));
            assert!(has_key(&cache.ask(&known, CACHED, now)));
        }
        assert!(cache.places.len() <= PLACES + 1, "{}", cache.places.len());
    }

    /// Making a key takes long.
    fn key_of_everybody() -> PublicKey {
        static PEM: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| pem(&key_pair()));
        PublicKey::from_pem(PEM.as_bytes()).unwrap()
    }
}
