//! The time in which a broker has this client wait, for the sake of a quota.
//!
//! The broker answers at once and then reads nothing from the connection for as long as it said, which may be
//! longer than `hold_after`. No topic is to blame for that time, so it counts against none; but only so
//! much of it, since a topic may hang while the client is throttled.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Stretches that are remembered.
const STRETCHES: usize = 64;
/// So many times `hold_after` is excused at most.
const EXCUSED_AT_MOST: u32 = 4;

#[derive(Debug)]
pub(super) struct Throttled {
    most: Duration,
    /// From when to when, the oldest first.
    stretches: VecDeque<(Instant, Instant)>,
    is_now: bool,
}

impl Throttled {
    pub fn new(hold_after: Duration) -> Self {
        let most = hold_after * EXCUSED_AT_MOST;
        Self { most, stretches: VecDeque::new(), is_now: false }
    }

    /// What the sink says now. The time since it said so last counts as well.
    pub fn note(&mut self, is_now: bool, now: Instant) {
        match self.stretches.back_mut().filter(|_| self.is_now) {
            Some((_, end)) => *end = now.max(*end),
            None if is_now => self.stretches.push_back((now, now)),
            None => {}
        }
        self.is_now = is_now;
        if self.stretches.len() > STRETCHES {
            self.stretches.pop_front();
        }
    }

    pub fn is_now(&self) -> bool {
        self.is_now
    }

    /// How much of the time from `since` to `now` is excused.
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
        let (mut throttled, start) = (Throttled::new(seconds(30)), Instant::now());
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
        let (mut throttled, start) = (Throttled::new(seconds(30)), Instant::now());
        (0..1_000).for_each(|n| throttled.note(n % 2 == 0, start + seconds(n)));
        assert!(throttled.stretches.len() <= STRETCHES);
    }
}
