//! Throttling: the time in which a broker has this client wait, because of a quota.
//!
//! The broker answers at once and then reads nothing from the connection for as long as it said, which may be
//! longer than `hold_after`. No topic is to blame for that time, so it is excused; but only up to a limit, since a
//! topic may hang while the client is throttled.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Limit of remembered stretches.
const MAX_STRETCHES: usize = 64;
/// Limit of the excused time, in multiples of `hold_after`.
const MAX_EXCUSED_FACTOR: u32 = 4;

#[derive(Debug)]
pub(super) struct Throttled {
    most: Duration,
    /// Begin and end of each, the oldest first.
    stretches: VecDeque<(Instant, Instant)>,
    is_now: bool,
}

impl Throttled {
    pub fn new(hold_after: Duration) -> Self {
        let most = hold_after * MAX_EXCUSED_FACTOR;
        Self { most, stretches: VecDeque::new(), is_now: false }
    }

    /// Notes the sink's state. If it was throttled at the last note, the time in between counts as well.
    pub fn note(&mut self, is_now: bool, now: Instant) {
        match self.stretches.back_mut().filter(|_| self.is_now) {
            Some((_, end)) => *end = now.max(*end),
            None if is_now => self.stretches.push_back((now, now)),
            None => {}
        }
        self.is_now = is_now;
        if self.stretches.len() > MAX_STRETCHES {
            self.stretches.pop_front();
        }
    }

    pub fn is_now(&self) -> bool {
        self.is_now
    }

    /// The excused part of the time from `since` to `now`.
    pub fn excused(&self, since: Instant, now: Instant) -> Duration {
        let open = self.stretches.len().checked_sub(1).filter(|_| self.is_now);
        let of_each = self.stretches.iter().enumerate().map(|(index, (begin, end))| {
            let end = if Some(index) == open { now.max(*end) } else { *end };
            end.min(now).saturating_duration_since(since.max(*begin))
        });
        of_each.sum::<Duration>().min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_the_stretches_within_the_time_are_excused() {
        let mut throttled = Throttled::new(seconds(30));
        let start = Instant::now();
        for (is_now, at) in [(true, 0), (true, 5), (false, 10), (false, 20), (true, 30)] {
            throttled.note(is_now, start + seconds(at));
        }
        let excused = |since, now| throttled.excused(start + seconds(since), start + seconds(now));
        assert_eq!(excused(0, 20), seconds(10));
        assert_eq!(excused(4, 35), seconds(6 + 5), "it goes on");
        assert_eq!(excused(12, 29), seconds(0));
        assert_eq!(excused(0, 1_000), seconds(120), "not without end");
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut throttled = Throttled::new(seconds(30));
        let start = Instant::now();
        (0..1_000).for_each(|n| throttled.note(n % 2 == 0, start + seconds(n)));
        assert!(throttled.stretches.len() <= MAX_STRETCHES);
    }
}
