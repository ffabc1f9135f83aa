//! Waiting between tries: growing, jittered, and without a limit of its own.
//!
//! The only module that names the `backoff` crate, which is unmaintained: replacing it changes
//! this file alone. The crate's default would stop after 15 minutes; here only the
//! caller ends the tries.

use std::{
    thread,
    time::{Duration, Instant},
};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};

/// Delays that double from `first` to `longest`, each between half and one and a half of its value.
#[derive(Debug)]
pub struct Retry {
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Retry {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self::with_jitter(first, longest, 0.5)
    }

    /// Delays without jitter, for waits of one process alone: the same at each replay.
    pub fn without_jitter(first: Duration, longest: Duration) -> Self {
        Self::with_jitter(first, longest, 0.0)
    }

    fn with_jitter(first: Duration, longest: Duration, jitter: f64) -> Self {
        let delays = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(longest)
            .with_multiplier(2.0)
            .with_randomization_factor(jitter)
            .with_max_elapsed_time(None)
            .build();
        Self { delays, longest }
    }

    /// Returns the time to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        // Without a limit on elapsed time there is always a next delay.
        self.delays.next_backoff().unwrap_or(self.longest)
    }

    /// Notes a success: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.delays.reset();
    }

    /// Blocks for the next delay, or until `give_up` returns true; returns whether it did.
    pub fn wait(&mut self, give_up: &dyn Fn() -> bool) -> bool {
        let end = Instant::now() + self.next_delay();
        loop {
            if give_up() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(GIVE_UP_INTERVAL));
        }
    }

    /// Tries until `attempt` succeeds, waiting in between, with no limit on number or time. Returns the
    /// last error when `give_up` returns true. `failed` gets each error and the number of tries so far.
    pub fn until<T, E>(
        &mut self,
        give_up: &dyn Fn() -> bool,
        mut attempt: impl FnMut() -> Result<T, E>,
        mut failed: impl FnMut(&E, u32),
    ) -> Result<T, E> {
        let mut tries = 0;
        loop {
            let error = match attempt() {
                Ok(value) => {
                    self.reset();
                    return Ok(value);
                }
                Err(error) => error,
            };
            tries += 1;
            failed(&error, tries);
            if self.wait(give_up) {
                return Err(error);
            }
        }
    }
}

/// Time after which a waiting thread asks again whether to give up.
const GIVE_UP_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn delays_grow_to_the_longest_and_never_end() {
        let mut retry = Retry::new(FIRST, LONGEST);
        assert!(retry.next_delay() <= FIRST * 3 / 2);
        for _ in 0..10_000 {
            assert!(retry.next_delay() <= LONGEST * 3 / 2);
        }
        assert!(retry.next_delay() >= LONGEST / 2);
    }

    #[test]
    fn after_a_reset_the_first_delay_comes_again() {
        let mut retry = Retry::new(FIRST, LONGEST);
        for _ in 0..20 {
            retry.next_delay();
        }
        retry.reset();
        assert!(retry.next_delay() <= FIRST * 3 / 2);
    }

    #[test]
    fn delays_are_jittered() {
        let mut retry = Retry::new(FIRST, FIRST);
        let delays: std::collections::HashSet<_> = (0..20).map(|_| retry.next_delay()).collect();
        assert!(delays.len() > 1);
    }

    #[test]
    fn it_tries_until_it_succeeds() {
        let mut retry = Retry::new(Duration::from_millis(1), Duration::from_millis(2));
        let mut left = 5;
        let mut heard = Vec::new();
        let result = retry.until(
            &|| false,
            || {
                left -= 1;
                if left == 0 { Ok("done") } else { Err(left) }
            },
            |error, tries| heard.push((*error, tries)),
        );
        assert_eq!(result, Ok("done"));
        assert_eq!(heard, [(4, 1), (3, 2), (2, 3), (1, 4)]);
    }

    #[test]
    fn giving_up_ends_a_long_wait_with_the_last_error() {
        let mut retry = Retry::new(Duration::from_secs(3600), Duration::from_secs(3600));
        let result: Result<(), _> = retry.until(&|| true, || Err("no"), |_, _| ());
        assert_eq!(result, Err("no"));
    }
}
