//! How Marketo's lead activity push behaves towards one endpoint, as far as it is published.
//!
//! Every [`Rules::interval`] a batch is due. It waits [`Rules::timeout`] for an answer; a batch that
//! was not answered with a 2xx is sent again as a whole [`Rules::retry_after`] later, and nothing
//! else meanwhile. After [`Rules::tries`] failures in a row the subscription is paused: it goes on
//! trying at the same distance, and the first success enables it again. What is due meanwhile waits
//! in Marketo's queue for [`Rules::retention`].
//!
//! Not published, and decided here: a retry is the same bytes (the `messageId` included); every
//! status outside 2xx counts as a failure; after a pause the waiting batches are sent one right
//! after the other.
//!
//! [`Pace`] is a pure machine: time is an argument, as the distance from any fixed beginning.

use std::{ops::RangeInclusive, time::Duration};

/// The numbers of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// From one batch to the next.
    pub interval: Duration,
    /// Activities in a batch.
    pub batch: RangeInclusive<u32>,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Failures in a row that pause the subscription, at least 1.
    pub tries: u32,
    /// From a failure to the next try.
    pub retry_after: Duration,
    /// How long a batch waits in the queue before it is dropped.
    pub retention: Duration,
}

impl Rules {
    /// As published. "3 retries every 3 minutes" may mean one try more than is made here.
    pub const MARKETO: Self = Self {
        interval: Duration::from_secs(2),
        batch: 100..=500,
        timeout: Duration::from_secs(20),
        tries: 3,
        retry_after: Duration::from_secs(3 * 60),
        retention: Duration::from_secs(7 * 24 * 60 * 60),
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::MARKETO
    }
}

/// What a subscription does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send a new batch, then say [`Pace::answered`].
    New,
    /// Send the batch that failed once more, then say [`Pace::answered`].
    Again,
    /// Nothing before this time.
    Wait(Duration),
}

/// The pace of one subscription: says what to do when, and learns what became of it.
#[derive(Clone, Debug)]
pub struct Pace {
    rules: Rules,
    /// When the next batch joins the queue.
    next_due: Duration,
    /// Batches that are due and were not sent yet. They are made when they are sent, so that a
    /// queue of a week costs one number.
    queued: u64,
    dropped: u64,
    /// The batch in hand failed; it is sent again at this time.
    again_at: Option<Duration>,
    failures: u32,
}

impl Pace {
    /// The first batch is due at `first`.
    pub fn new(rules: Rules, first: Duration) -> Self {
        Self { rules, next_due: first, queued: 0, dropped: 0, again_at: None, failures: 0 }
    }

    /// What to do at `now`. [`Step::New`] takes a batch from the queue.
    pub fn step(&mut self, now: Duration) -> Step {
        self.take_in(now);
        match self.again_at {
            Some(at) if now < at => Step::Wait(at),
            Some(_) => Step::Again,
            None if self.queued > 0 => {
                self.queued -= 1;
                Step::New
            }
            None => Step::Wait(self.next_due),
        }
    }

    /// The batch of the last step was answered with a 2xx, or was not, at `now`.
    pub fn answered(&mut self, now: Duration, accepted: bool) {
        if accepted {
            self.failures = 0;
            self.again_at = None;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.again_at = Some(now + self.rules.retry_after);
        }
    }

    pub fn is_paused(&self) -> bool {
        self.failures >= self.rules.tries
    }

    /// Batches that wait in Marketo's queue, without the one in hand.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Batches that waited too long: the sender's loss, not the receiver's.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn take_in(&mut self, now: Duration) {
        let interval = self.rules.interval.max(Duration::from_nanos(1));
        if let Some(late) = now.checked_sub(self.next_due) {
            let due = late.as_nanos() / interval.as_nanos() + 1;
            // Beyond u64 nanoseconds (584 years) nobody plays.
            let due = u64::try_from(due).unwrap_or(u64::MAX);
            let step = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
            self.next_due += Duration::from_nanos(step.saturating_mul(due));
            let capacity = self.rules.retention.as_nanos() / interval.as_nanos();
            let capacity = u64::try_from(capacity).unwrap_or(u64::MAX).max(1);
            let waiting = self.queued.saturating_add(due);
            self.queued = waiting.min(capacity);
            self.dropped += waiting - self.queued;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Plays `script` (one word an attempt: accepted or not, answered at once) and returns what was
    /// sent when.
    fn attempts(script: &[bool]) -> (Vec<(u64, Step)>, Pace) {
        let mut pace = Pace::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        let mut sent = Vec::new();
        let mut script = script.iter();
        loop {
            match pace.step(now) {
                Step::Wait(until) => {
                    assert!(until > now, "a wait of nothing would spin");
                    now = until;
                }
                step => {
                    let Some(accepted) = script.next() else { return (sent, pace) };
                    sent.push((now.as_secs(), step));
                    pace.answered(now, *accepted);
                }
            }
        }
    }

    #[test]
    fn an_accepted_batch_is_followed_by_the_next_two_seconds_later() {
        let (sent, pace) = attempts(&[true, true, true]);
        assert_eq!(sent, [(0, Step::New), (2, Step::New), (4, Step::New)]);
        assert!(!pace.is_paused());
    }

    #[test]
    fn a_failed_batch_comes_again_every_three_minutes_and_nothing_else_meanwhile() {
        let (sent, _) = attempts(&[true, false, false, true, true]);
        assert_eq!(
            sent,
            [
                (0, Step::New),
                (2, Step::New),
                (182, Step::Again),
                (362, Step::Again),
                // What became due meanwhile follows at once.
                (362, Step::New),
            ]
        );
    }

    #[test]
    fn three_failures_pause_and_the_first_success_enables_again() {
        let mut pace = Pace::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        for failure in 1..=5 {
            while let Step::Wait(until) = pace.step(now) {
                now = until;
            }
            pace.answered(now, false);
            assert_eq!(pace.is_paused(), failure >= 3, "after {failure} failures");
        }
        // While paused it tries at the same distance.
        assert_eq!(now, at(4 * 180));
        while let Step::Wait(until) = pace.step(now) {
            now = until;
        }
        assert_eq!(now, at(5 * 180));
        pace.answered(now, true);
        assert!(!pace.is_paused());
        assert_eq!(pace.step(now), Step::New);
    }

    #[test]
    fn a_slow_answer_makes_the_next_batch_late_and_none_is_skipped() {
        let mut pace = Pace::new(Rules::MARKETO, at(0));
        assert_eq!(pace.step(at(0)), Step::New);
        pace.answered(at(7), true);
        for _ in 0..3 {
            assert_eq!(pace.step(at(7)), Step::New);
            pace.answered(at(7), true);
        }
        assert_eq!(pace.step(at(7)), Step::Wait(at(8)));
    }

    #[test]
    fn the_queue_keeps_seven_days() {
        let mut pace = Pace::new(Rules::MARKETO, at(0));
        assert_eq!(pace.step(at(0)), Step::New);
        pace.answered(at(0), false);
        let week = Rules::MARKETO.retention;
        assert_eq!(pace.step(week + at(200)), Step::Again);
        assert_eq!(pace.queued(), 7 * 24 * 60 * 60 / 2);
        assert_eq!(pace.dropped(), 100);
    }
}
