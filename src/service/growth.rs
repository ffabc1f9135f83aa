//! How fast a backlog grows, and so how long there is room for it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Over how long the rate is taken: a burst is no trend.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Looks that come sooner than this after the last one are not kept.
const APART: Duration = Duration::from_secs(10);
/// Before there is this much to go by, nothing is said.
const LEAST: Duration = Duration::from_secs(60);

/// What a backlog was at each look of the last minutes; bounded by [`WINDOW`] and [`APART`].
#[derive(Default)]
pub(super) struct Growth(VecDeque<(Instant, u64)>);

impl Growth {
    /// Seconds until a backlog of `bytes` now has used up `room` more at the rate of the window;
    /// infinite while it does not grow, and 0 when there is no room left.
    pub fn seconds_until_full(&mut self, now: Instant, bytes: u64, room: u64) -> f64 {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        let before = self.0.front().copied();
        if self.0.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= APART) {
            self.0.push_back((now, bytes));
        }
        if room == 0 {
            return 0.0;
        }
        let Some((at, before)) = before else { return f64::INFINITY };
        let passed = now.saturating_duration_since(at);
        match bytes.checked_sub(before) {
            None | Some(0) => f64::INFINITY,
            Some(_) if passed < LEAST => f64::INFINITY,
            Some(grown) => room as f64 / (grown as f64 / passed.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn room_for_ten_times_the_growth_of_ten_minutes_lasts_a_hundred() {
        let (mut growth, began) = (Growth::default(), Instant::now());
        assert_eq!(growth.seconds_until_full(began, 1000, 10_000), f64::INFINITY);
        assert_eq!(growth.seconds_until_full(began + 10 * MINUTE, 2000, 10_000), 6000.0);
        assert_eq!(growth.seconds_until_full(began + 10 * MINUTE, 2000, 0), 0.0);
    }

    #[test]
    fn what_shrinks_or_stays_or_has_just_begun_is_never_full() {
        let (mut growth, began) = (Growth::default(), Instant::now());
        for (seconds, bytes) in [(0, 1000), (30, 9000), (120, 1000), (180, 500)] {
            let now = began + Duration::from_secs(seconds);
            assert_eq!(growth.seconds_until_full(now, bytes, 10), f64::INFINITY, "{seconds}");
        }
    }

    #[test]
    fn only_the_last_minutes_count_however_often_one_looks() {
        let (mut growth, began) = (Growth::default(), Instant::now());
        for second in 0..4000 {
            // It has grown by a byte a second in the first 2000, and not since.
            let now = began + Duration::from_secs(second);
            growth.seconds_until_full(now, second.min(2000), 1);
        }
        let now = began + Duration::from_secs(4000);
        assert_eq!(growth.seconds_until_full(now, 2000, 1), f64::INFINITY);
        assert!(growth.0.len() <= 91, "{}", growth.0.len());
    }
}
