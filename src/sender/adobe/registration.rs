//! The effect of failed deliveries on a registration.
//!
//! With enough tries in the window, and too many failures among them, a registration is
//! unstable: deliveries go on, and its owner gets an e-mail. If that still holds after the grace period,
//! it is disabled: nothing is sent until an operator enables it again, and the missed events are in the
//! journal only.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;

use super::Rules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Unstable,
    Disabled,
}

/// The state of one webhook, shared by all lanes that deliver to it.
#[derive(Debug)]
pub struct Registration {
    rules: Rules,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    worst: State,
    unstable_since: Duration,
    /// Tries and failures by slices of the window, the oldest first.
    slices: VecDeque<Slice>,
    tries: u64,
    failures: u64,
}

#[derive(Debug)]
struct Slice {
    number: u128,
    tries: u64,
    failures: u64,
}

/// Slices of a window; a try is counted for at most one slice too long.
const SLICES: u128 = 288;

impl Registration {
    pub fn new(rules: &Rules) -> Self {
        let inner = Inner {
            state: State::Active,
            worst: State::Active,
            unstable_since: Duration::ZERO,
            slices: VecDeque::new(),
            tries: 0,
            failures: 0,
        };
        Self { rules: rules.clone(), inner: Mutex::new(inner) }
    }

    pub fn state(&self) -> State {
        self.with(|inner| inner.state)
    }

    /// Returns the worst state so far.
    pub fn worst(&self) -> State {
        self.with(|inner| inner.worst)
    }

    /// Counts a try at `now`. Every answer but 2xx is a failure, final answers too.
    pub fn tried(&self, now: Duration, accepted: bool) {
        self.with(|inner| {
            inner.count(now, self.rules.window, accepted);
            inner.conclude(now, &self.rules);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock())
    }
}

impl Inner {
    fn count(&mut self, now: Duration, window: Duration, accepted: bool) {
        let slice = (window.as_nanos() / SLICES).max(1);
        let number = now.as_nanos() / slice;
        while let Some(oldest) = self.slices.front()
            && oldest.number + SLICES <= number
        {
            self.tries -= oldest.tries;
            self.failures -= oldest.failures;
            self.slices.pop_front();
        }
        // Lanes report in any order; a report that is slightly late counts in the latest slice.
        if self.slices.back().is_none_or(|latest| latest.number < number) {
            self.slices.push_back(Slice { number, tries: 0, failures: 0 });
        }
        if let Some(latest) = self.slices.back_mut() {
            latest.tries += 1;
            latest.failures += u64::from(!accepted);
        }
        self.tries += 1;
        self.failures += u64::from(!accepted);
    }

    fn conclude(&mut self, now: Duration, rules: &Rules) {
        let fails =
            self.tries >= rules.least_tries && self.failures * 100 >= rules.failures * self.tries;
        if self.state == State::Active && fails {
            self.state = State::Unstable;
            self.unstable_since = now;
            self.worst = State::Unstable;
        }
        if self.state == State::Unstable && now >= self.unstable_since + rules.grace {
            self.state = if fails { State::Disabled } else { State::Active };
            if fails {
                self.worst = State::Disabled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn ten_tries_of_which_eight_failed_make_it_unstable_and_nine_do_not() {
        let registration = Registration::new(&Rules::adobe());
        for n in 0..9 {
            registration.tried(HOUR, n < 1);
            assert_eq!(registration.state(), State::Active, "{n}");
        }
        // The tenth try: two are accepted and eight failed.
        let other = Registration::new(&Rules::adobe());
        for n in 0..10 {
            other.tried(HOUR, n < 2);
        }
        assert_eq!(other.state(), State::Unstable);
        let better = Registration::new(&Rules::adobe());
        for n in 0..100 {
            better.tried(HOUR, n % 4 == 0);
        }
        assert_eq!(better.worst(), State::Active, "three quarters are not enough");
    }

    #[test]
    fn it_is_disabled_when_failures_stay_for_another_day_and_active_when_they_do_not() {
        for (heals, expected) in [(false, State::Disabled), (true, State::Active)] {
            let registration = Registration::new(&Rules::adobe());
            for hour in 0..=24 {
                registration.tried(hour * HOUR, false);
            }
            assert_eq!(registration.state(), State::Unstable);
            for hour in 25..=48 {
                registration.tried(hour * HOUR, heals);
            }
            assert_eq!(registration.state(), expected);
            let worst = if heals { State::Unstable } else { State::Disabled };
            assert_eq!(registration.worst(), worst);
        }
    }

    #[test]
    fn what_is_older_than_a_day_does_not_count() {
        let registration = Registration::new(&Rules::adobe());
        for _ in 0..9 {
            registration.tried(HOUR, false);
        }
        registration.tried(26 * HOUR, false);
        assert_eq!(registration.state(), State::Active);
    }
}
