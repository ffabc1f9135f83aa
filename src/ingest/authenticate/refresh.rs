//! A value that is fetched from another host, kept for a while and fetched again, by one fetch at a time.
//!
//! It fetches nothing itself and gets the time as an argument: [`Refreshed::begin`] gives a [`Fetch`], whose holder
//! ends it by [`Refreshed::end`], or by dropping it. All others that need the value wait for its end ([`InFlight`]).
//! The caller decides how long a value is used and how long the pause after a failure lasts, since that differs
//! from value to value.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

pub struct Refreshed<T, E> {
    known: Option<Known<T>>,
    /// Error of the last fetch, if it failed.
    failure: Option<E>,
    /// Beginning of the last fetch that ended.
    last: Option<Instant>,
    in_flight: Option<watch::Receiver<()>>,
}

pub struct Known<T> {
    pub value: Arc<T>,
    /// Beginning of its fetch: so the value is never older than it seems.
    pub since: Instant,
}

/// A fetch that has begun.
#[derive(Debug)]
pub struct Fetch {
    began: Instant,
    ended: watch::Sender<()>,
}

/// Waits for the end of a fetch.
#[derive(Debug)]
pub struct InFlight(watch::Receiver<()>);

impl<T, E> Refreshed<T, E> {
    pub fn new(known: Option<Known<T>>) -> Self {
        Self { known, failure: None, last: None, in_flight: None }
    }

    /// Returns the value, at any age.
    pub fn last_known(&self) -> Option<&Known<T>> {
        self.known.as_ref()
    }

    /// Returns the value, if it is younger than `age`.
    pub fn known(&self, age: Duration, now: Instant) -> Option<&Known<T>> {
        self.known.as_ref().filter(|known| now.saturating_duration_since(known.since) < age)
    }

    pub fn failure(&self) -> Option<&E> {
        self.failure.as_ref()
    }

    pub fn in_flight(&self) -> Option<InFlight> {
        // A fetch whose task was dropped without an end is over.
        let in_flight = self.in_flight.clone().filter(|ended| ended.has_changed().is_ok());
        in_flight.map(InFlight)
    }

    /// Returns whether no fetch is under way, and the last one began `pause` ago or earlier.
    pub fn may_begin(&self, pause: Duration, now: Instant) -> bool {
        let has_rested = |began| now.saturating_duration_since(began) >= pause;
        self.in_flight().is_none() && self.last.is_none_or(has_rested)
    }

    pub fn begin(&mut self, now: Instant) -> Fetch {
        let (ended, in_flight) = watch::channel(());
        self.in_flight = Some(in_flight);
        Fetch { began: now, ended }
    }

    /// Ends a fetch. A failed one leaves the known value in place.
    pub fn end(&mut self, fetch: &Fetch, result: Result<T, E>) {
        match result {
            Ok(value) => {
                self.known = Some(Known { value: Arc::new(value), since: fetch.began });
                self.failure = None;
            }
            Err(why) => self.failure = Some(why),
        }
        self.last = Some(fetch.began);
        self.in_flight = None;
    }
}

impl Fetch {
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Lets the caller that began the fetch wait for its end.
    pub fn in_flight(&self) -> InFlight {
        InFlight(self.ended.subscribe())
    }
}

impl InFlight {
    pub async fn ended(mut self) {
        // Nothing is ever sent: the sender is dropped with the fetch, which wakes this.
        let _ = self.0.changed().await;
    }

    #[cfg(test)]
    pub fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}
