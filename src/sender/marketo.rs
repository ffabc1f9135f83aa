//! The behaviour of Marketo's lead activity push towards one endpoint, as far as it is published.
//!
//! Every [`Rules::interval`] a batch is due. It waits [`Rules::timeout`] for an answer; a batch without
//! a 2xx is sent again as a whole [`Rules::retry_after`] later, and no other batch
//! meanwhile. After [`Rules::tries`] failures in a row the subscription is paused: it goes on
//! trying at the same interval, and the first success enables it again. Batches that are due meanwhile wait
//! in Marketo's queue for [`Rules::retention`].
//!
//! Not published, and decided here: a retry is the same bytes (the `messageId` included); every
//! status outside 2xx counts as a failure; after a pause the waiting batches are sent one right
//! after the other.
//!
//! [`Subscription`] is a pure state machine: time is an argument, as the distance from any fixed beginning.
//! [`batches`] makes the requests.

pub mod batches;

use std::{ops::RangeInclusive, time::Duration};

pub use self::batches::Batches;
use super::{
    delivery::{Delivery, Fate},
    http::Answer,
    player::{Manner, Step},
};

/// The numbers of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Time from one batch to the next.
    pub interval: Duration,
    /// Number of activities in a batch.
    pub batch: RangeInclusive<u32>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Failures in a row that pause the subscription, at least 1.
    pub tries: u32,
    /// Time from a failure to the next try.
    pub retry_after: Duration,
    /// Longest time of a batch in the queue before it is dropped.
    pub retention: Duration,
}

impl Rules {
    /// The published numbers. "3 retries every 3 minutes" may mean one try more than is made here.
    pub const MARKETO: Self = Self {
        interval: Duration::from_secs(2),
        batch: 100..=500,
        timeout: Duration::from_secs(20),
        tries: 3,
        retry_after: Duration::from_secs(3 * 60),
        retention: Duration::from_secs(7 * 24 * 60 * 60),
    };
    /// Divides minutes and days by `scale`. The pace and the time-out stay as they
    /// are, since the receiver is not faster.
    pub fn scaled(self, scale: f64) -> Self {
        Self {
            retry_after: self.retry_after.div_f64(scale),
            retention: self.retention.div_f64(scale),
            ..self
        }
    }
}

/// The schedule of one subscription.
#[derive(Debug)]
pub struct Subscription {
    rules: Rules,
    /// The time at which the next batch joins the queue.
    next_due: Duration,
    /// Batches that are due and not sent yet. They are made when they are sent, so that a
    /// queue of a week costs one number.
    queued: u64,
    dropped: u64,
    /// The batch that failed, with the time of its next try.
    again: Option<(Duration, Delivery)>,
    failures: u32,
    /// The time at which the last failed batch was accepted: the batches behind it are due from then on.
    released: Duration,
    settling: bool,
}

impl Subscription {
    /// Makes a subscription whose first batch is due at `first`.
    pub fn new(rules: Rules, first: Duration) -> Self {
        Self {
            rules,
            next_due: first,
            queued: 0,
            dropped: 0,
            again: None,
            failures: 0,
            released: Duration::ZERO,
            settling: false,
        }
    }

    /// Returns the number of batches in Marketo's queue, without the one in hand.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    fn interval(&self) -> Duration {
        self.rules.interval.max(Duration::from_nanos(1))
    }

    fn take_in(&mut self, now: Duration) {
        let interval = self.interval();
        if let Some(late) = now.checked_sub(self.next_due) {
            let due = late.as_nanos() / interval.as_nanos() + 1;
            // u64 nanoseconds are 584 years, longer than any play.
            let due = u64::try_from(due).unwrap_or(u64::MAX);
            self.next_due += times(interval, due);
            let capacity = self.rules.retention.as_nanos() / interval.as_nanos();
            let capacity = u64::try_from(capacity).unwrap_or(u64::MAX).max(1);
            let waiting = self.queued.saturating_add(due);
            self.queued = waiting.min(capacity);
            self.dropped += waiting - self.queued;
        }
    }
}

fn times(interval: Duration, n: u64) -> Duration {
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(interval.saturating_mul(n))
}

impl Manner for Subscription {
    fn step(&mut self, now: Duration) -> Step {
        if !self.settling {
            self.take_in(now);
        }
        match self.again.take() {
            Some((at, delivery)) if now >= at => Step::Again { delivery, due: at },
            Some((at, delivery)) => {
                self.again = Some((at, delivery));
                Step::Wait(at)
            }
            None if self.queued > 0 => {
                // The queue has one batch per interval, the last of them one interval before the next due time.
                let oldest = self.next_due.saturating_sub(times(self.interval(), self.queued));
                self.queued -= 1;
                Step::New { due: oldest.max(self.released) }
            }
            None if self.settling => Step::Over,
            None => Step::Wait(self.next_due),
        }
    }

    fn answered(&mut self, now: Duration, delivery: Delivery, answer: &Answer) -> Fate {
        if answer.is_accepted() {
            if self.failures > 0 {
                self.released = now;
            }
            self.failures = 0;
            return Fate::Delivered;
        }
        self.failures = self.failures.saturating_add(1);
        self.again = Some((now + self.rules.retry_after, delivery));
        Fate::Again
    }

    fn timeout(&self) -> Duration {
        self.rules.timeout
    }

    fn is_paused(&self) -> bool {
        self.failures >= self.rules.tries
    }

    /// Returns the number of batches that waited too long.
    fn dropped(&self) -> u64 {
        self.dropped
    }

    fn settle(&mut self) {
        self.settling = true;
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    const OK: Answer = Answer::Status(StatusCode::OK);
    const BUSY: Answer = Answer::Status(StatusCode::SERVICE_UNAVAILABLE);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn delivery() -> Delivery {
        Delivery { number: 0, events: 1, headers: HeaderMap::new(), body: "{}".into(), tries: 1 }
    }

    /// Goes on to the next request; returns whether it is a new one, when it is sent, since when it
    /// was due, and the delivery.
    fn next(subscription: &mut Subscription, now: &mut Duration) -> (bool, u64, u64, Delivery) {
        loop {
            match subscription.step(*now) {
                Step::Wait(until) => {
                    assert!(until > *now, "a wait of nothing would spin");
                    *now = until;
                }
                Step::New { due } => return (true, now.as_secs(), due.as_secs(), delivery()),
                Step::Again { delivery, due } => {
                    return (false, now.as_secs(), due.as_secs(), delivery);
                }
                Step::Over => panic!("the subscription ended by itself"),
            }
        }
    }

    /// Plays `script` (one answer for each attempt, at once); returns the attempts, with the times sent and due.
    fn attempts(script: &[Answer]) -> (Vec<(bool, u64, u64)>, Subscription) {
        let mut subscription = Subscription::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        let mut sent = Vec::new();
        for answer in script {
            let (new, when, due, delivery) = next(&mut subscription, &mut now);
            sent.push((new, when, due));
            subscription.answered(now, delivery, answer);
        }
        (sent, subscription)
    }

    #[test]
    fn an_accepted_batch_is_followed_by_the_next_two_seconds_later() {
        let (sent, subscription) = attempts(&[OK, OK, OK]);
        assert_eq!(sent, [(true, 0, 0), (true, 2, 2), (true, 4, 4)]);
        assert!(!subscription.is_paused());
    }

    #[test]
    fn a_failed_batch_comes_again_every_three_minutes_and_nothing_else_meanwhile() {
        let (sent, _) = attempts(&[OK, BUSY, BUSY, OK, OK]);
        assert_eq!(
            sent,
            [
                (true, 0, 0),
                (true, 2, 2),
                (false, 182, 182),
                (false, 362, 362),
                // Batches that became due meanwhile follow at once, and do not count as late.
                (true, 362, 362),
            ]
        );
    }

    #[test]
    fn three_failures_pause_and_the_first_success_enables_again() {
        let mut subscription = Subscription::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        for failure in 1..=5 {
            let (_, _, _, delivery) = next(&mut subscription, &mut now);
            assert_eq!(subscription.answered(now, delivery, &BUSY), Fate::Again);
            assert_eq!(subscription.is_paused(), failure >= 3, "after {failure} failures");
        }
        // While paused it tries at the same interval.
        assert_eq!(now, at(4 * 180));
        let (new, when, _, delivery) = next(&mut subscription, &mut now);
        assert_eq!((new, when), (false, 5 * 180));
        assert_eq!(subscription.answered(now, delivery, &OK), Fate::Delivered);
        assert!(!subscription.is_paused());
        assert!(next(&mut subscription, &mut now).0);
    }

    #[test]
    fn a_slow_answer_makes_the_next_batch_late_and_none_is_skipped() {
        let mut subscription = Subscription::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        next(&mut subscription, &mut now);
        now = at(7);
        subscription.answered(now, delivery(), &OK);
        for due in [2, 4, 6] {
            let (new, when, since, delivery) = next(&mut subscription, &mut now);
            assert_eq!((new, when, since), (true, 7, due));
            subscription.answered(now, delivery, &OK);
        }
        assert!(matches!(subscription.step(now), Step::Wait(until) if until == at(8)));
    }

    #[test]
    fn the_queue_keeps_seven_days() {
        let mut subscription = Subscription::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        next(&mut subscription, &mut now);
        subscription.answered(at(0), delivery(), &BUSY);
        let week = Rules::MARKETO.retention;
        assert!(matches!(subscription.step(week + at(200)), Step::Again { .. }));
        assert_eq!(subscription.queued(), 7 * 24 * 60 * 60 / 2);
        assert_eq!(subscription.dropped(), 100);
    }

    #[test]
    fn once_it_settles_it_sends_what_is_due_and_what_failed_and_is_over() {
        let mut subscription = Subscription::new(Rules::MARKETO, at(0));
        let mut now = at(0);
        let (.., delivery) = next(&mut subscription, &mut now);
        subscription.answered(now, delivery, &BUSY);
        subscription.settle();
        let (new, when, _, delivery) = next(&mut subscription, &mut now);
        assert_eq!((new, when), (false, 180));
        subscription.answered(now, delivery, &OK);
        assert!(matches!(subscription.step(now), Step::Over));
    }

    #[test]
    fn minutes_can_be_played_in_seconds() {
        let rules = Rules::MARKETO.scaled(60.0);
        assert_eq!((rules.retry_after, rules.retention), (at(3), at(7 * 24 * 60)));
        assert_eq!((rules.interval, rules.timeout), (at(2), at(20)));
    }
}
