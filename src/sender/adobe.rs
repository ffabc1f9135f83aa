//! The behaviour of Adobe I/O Events towards one webhook, as far as it is published.
//!
//! Every delivery has [`Rules::timeout`], and is independent of the others: a 2xx delivers it; 429, 5xx other than
//! 505 and no answer bring it again after [`Rules::backoff`], until [`Rules::retry_for`] is over;
//! any other status is final, and its events are lost to the webhook. A failed delivery does not
//! hold up others. The effect of all failures on the webhook is in [`registration`].
//!
//! - [`challenge`] is how a registration begins.
//! - [`events`] makes the bodies, [`envelope`] writes each event, [`requests`] adds the headers.
//! - [`signature`] has the two pairs of keys, [`keys`] shows their public halves.

pub mod challenge;
pub mod envelope;
pub mod events;
pub mod keys;
pub mod registration;
pub mod requests;
pub mod signature;

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use http::StatusCode;

pub use self::{
    envelope::Spelling,
    events::{EventGenerator, Shapes},
    keys::KeyServer,
    registration::{Registration, State},
    requests::Requests,
    signature::Keys,
};
use super::{
    delivery::{Delivery, Fate},
    http::Answer,
    player::{Manner, Step},
};

/// The numbers of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Longest wait for an answer, the connection's set-up included.
    pub timeout: Duration,
    /// Times from a failure to the next try; the last one repeats.
    pub backoff: Vec<Duration>,
    /// Time from the first failure of a delivery to its last try.
    pub retry_for: Duration,
    /// The time over which failures are counted.
    pub window: Duration,
    /// Fewest tries in the window from which a conclusion is drawn.
    pub least_tries: u64,
    /// Failures among a hundred tries that make a registration unstable and then disabled.
    pub failures: u64,
    /// Time from unstable to disabled, if the failures go on.
    pub grace: Duration,
    /// Bytes of bodies that a lane keeps in order to send them again. Adobe has no such limit; this
    /// program's memory has. Bodies beyond it are lost.
    pub keep: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Rules {
    pub fn adobe() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            backoff: [1, 2, 4, 8, 15].map(|minutes| minutes * MINUTE).into(),
            retry_for: DAY,
            window: DAY,
            least_tries: 10,
            failures: 80,
            grace: DAY,
            keep: 256 * 1024 * 1024,
        }
    }

    /// Divides all minutes and hours by `scale`. The time-out stays as it is, since the
    /// receiver is not faster.
    pub fn scaled(self, scale: f64) -> Self {
        Self {
            backoff: self.backoff.iter().map(|wait| wait.div_f64(scale)).collect(),
            retry_for: self.retry_for.div_f64(scale),
            window: self.window.div_f64(scale),
            grace: self.grace.div_f64(scale),
            ..self
        }
    }

    /// Returns the time to wait after the failure of the `tries`th try.
    fn wait(&self, tries: u32) -> Duration {
        let index = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(1);
        self.backoff.get(index).or(self.backoff.last()).copied().unwrap_or(MINUTE)
    }
}

/// Whether the delivery is sent again after this answer.
fn is_retried(answer: &Answer) -> bool {
    match answer {
        Answer::None(_) => true,
        Answer::Status(StatusCode::TOO_MANY_REQUESTS) => true,
        Answer::Status(StatusCode::HTTP_VERSION_NOT_SUPPORTED) => false,
        Answer::Status(status) => status.is_server_error(),
    }
}

/// The schedule of one lane of a registration.
pub struct Lane {
    rules: Rules,
    registration: Arc<Registration>,
    /// Time from one new delivery of this lane to the next.
    interval: Duration,
    next_due: Duration,
    /// Failed deliveries, the one with the soonest next try first.
    waiting: BinaryHeap<Reverse<Waiting>>,
    waiting_bytes: usize,
    /// The time of the first failure of the delivery that is being sent again.
    in_hand: Option<Duration>,
    settling: bool,
}

struct Waiting {
    at: Duration,
    number: u64,
    delivery: Delivery,
    first_failed: Duration,
}

impl Lane {
    /// Makes a lane whose first delivery is due at `first`.
    pub fn new(
        rules: Rules,
        registration: Arc<Registration>,
        interval: Duration,
        first: Duration,
    ) -> Self {
        Self {
            rules,
            registration,
            interval: interval.max(Duration::from_nanos(1)),
            next_due: first,
            waiting: BinaryHeap::new(),
            in_hand: None,
            waiting_bytes: 0,
            settling: false,
        }
    }
}

impl Manner for Lane {
    fn step(&mut self, now: Duration) -> Step {
        if self.registration.state() == State::Disabled {
            return Step::Over;
        }
        let new = (!self.settling).then_some(self.next_due);
        let again = self.waiting.peek().map(|Reverse(waiting)| waiting.at);
        match (new, again) {
            (None, None) => Step::Over,
            (Some(new), again) if again.is_none_or(|again| new < again) => {
                if new > now {
                    return Step::Wait(new);
                }
                self.next_due += self.interval;
                Step::New { due: new }
            }
            (_, Some(again)) if again > now => Step::Wait(again),
            _ => match self.waiting.pop() {
                None => Step::Over,
                Some(Reverse(waiting)) => {
                    self.waiting_bytes -= waiting.delivery.body.len();
                    self.in_hand = Some(waiting.first_failed);
                    Step::Again { delivery: waiting.delivery, due: waiting.at }
                }
            },
        }
    }

    fn answered(&mut self, now: Duration, delivery: Delivery, answer: &Answer) -> Fate {
        let first_failed = self.in_hand.take().unwrap_or(now);
        self.registration.tried(now, answer.is_accepted());
        if answer.is_accepted() {
            return Fate::Delivered;
        }
        let at = now + self.rules.wait(delivery.tries);
        let bytes = self.waiting_bytes + delivery.body.len();
        let in_time = at.saturating_sub(first_failed) <= self.rules.retry_for;
        if !is_retried(answer) || !in_time || bytes > self.rules.keep {
            return Fate::Lost;
        }
        self.waiting_bytes = bytes;
        self.waiting.push(Reverse(Waiting { at, number: delivery.number, delivery, first_failed }));
        Fate::Again
    }

    fn timeout(&self) -> Duration {
        self.rules.timeout
    }

    fn is_paused(&self) -> bool {
        self.registration.state() == State::Disabled
    }

    fn settle(&mut self) {
        self.settling = true;
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const OK: Answer = Answer::Status(StatusCode::OK);
    const BUSY: Answer = Answer::Status(StatusCode::SERVICE_UNAVAILABLE);

    fn lane(rules: Rules) -> Lane {
        let registration = Arc::new(Registration::new(&rules));
        Lane::new(rules, registration, 1000 * DAY, Duration::ZERO)
    }

    fn delivery(number: u64) -> Delivery {
        let headers = HeaderMap::new();
        let body = "[]".into();
        Delivery { number, events: 1, headers, body, tries: 0 }
    }

    /// Sends the lane's one delivery until it needs no more tries, each answered at once by the next
    /// of `answers` and then by the last; returns the minutes of the tries, and its fate.
    fn tries(answers: &[Answer]) -> (Vec<u64>, Fate) {
        // So many tries that the registration does not become unstable.
        let mut lane = lane(Rules { least_tries: u64::MAX, ..Rules::adobe() });
        let mut now = Duration::ZERO;
        let mut minutes = Vec::new();
        let mut answers = answers.iter().peekable();
        loop {
            let mut delivery = match lane.step(now) {
                Step::New { .. } => delivery(0),
                Step::Again { delivery, due } => {
                    assert_eq!(due, now);
                    delivery
                }
                Step::Wait(until) => {
                    assert!(until > now, "a wait of nothing would spin");
                    now = until;
                    continue;
                }
                Step::Over => panic!("the lane ended by itself"),
            };
            minutes.push(now.as_secs() / 60);
            delivery.tries += 1;
            let answer = answers.next().unwrap();
            if answers.peek().is_none() {
                answers = std::slice::from_ref(answer).iter().peekable();
            }
            match lane.answered(now, delivery, answer) {
                Fate::Again => {}
                fate => return (minutes, fate),
            }
        }
    }

    #[test]
    fn a_delivery_comes_again_after_1_2_4_8_15_and_15_minutes() {
        let answers = [BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, OK];
        assert_eq!(tries(&answers), (vec![0, 1, 3, 7, 15, 30, 45], Fate::Delivered));
    }

    #[test]
    fn after_24_hours_of_failures_it_is_lost() {
        let (minutes, fate) = tries(&[Answer::None("refused".into())]);
        assert_eq!(fate, Fate::Lost);
        assert_eq!(minutes.last(), Some(&(24 * 60)));
        assert_eq!(minutes.len(), 5 + (24 * 60 - 15) / 15);
    }

    #[test]
    fn of_all_statuses_only_429_and_5xx_without_505_come_again() {
        for status in (200..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let expected = match status.as_u16() {
                200..=299 => Fate::Delivered,
                429 | 500..=504 | 506..=599 => Fate::Again,
                _ => Fate::Lost,
            };
            let fate = lane(Rules::adobe()).answered(DAY, delivery(0), &Answer::Status(status));
            assert_eq!(fate, expected, "{status}");
        }
    }

    #[test]
    fn a_delivery_that_waits_keeps_no_other_from_being_sent() {
        let mut lane = lane(Rules::adobe());
        lane.interval = 2 * MINUTE;
        assert!(matches!(lane.step(Duration::ZERO), Step::New { .. }));
        lane.answered(Duration::ZERO, Delivery { tries: 3, ..delivery(0) }, &BUSY);
        assert!(matches!(lane.step(Duration::ZERO), Step::Wait(until) if until == 2 * MINUTE));
        assert!(matches!(lane.step(2 * MINUTE), Step::New { due } if due == 2 * MINUTE));
        assert!(matches!(lane.step(5 * MINUTE), Step::Again { due, .. } if due == 4 * MINUTE));
        assert!(matches!(lane.step(5 * MINUTE), Step::New { due } if due == 4 * MINUTE));
        lane.settle();
        assert!(matches!(lane.step(9 * MINUTE), Step::Over));
    }

    #[test]
    fn a_disabled_registration_gets_nothing_more() {
        let rules = Rules { grace: Duration::ZERO, ..Rules::adobe() };
        let mut lane = lane(rules);
        for number in 0..10 {
            assert!(!lane.is_paused(), "after {number} failures");
            lane.answered(DAY, delivery(number), &BUSY);
        }
        assert!(lane.is_paused());
        assert!(matches!(lane.step(2 * DAY), Step::Over));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let mut lane = lane(Rules { keep: 4, ..Rules::adobe() });
        let fates = [0, 1, 2].map(|number| lane.answered(DAY, delivery(number), &BUSY));
        assert_eq!(fates, [Fate::Again, Fate::Again, Fate::Lost]);
    }

    #[test]
    fn hours_can_be_played_in_minutes() {
        let rules = Rules::adobe().scaled(60.0);
        assert_eq!(rules.backoff, [1, 2, 4, 8, 15].map(Duration::from_secs));
        assert_eq!((rules.retry_for, rules.window, rules.grace), (DAY / 60, DAY / 60, DAY / 60));
        assert_eq!(rules.timeout, Duration::from_secs(10));
    }
}
