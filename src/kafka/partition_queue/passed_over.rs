//! Which partitions the library passes over for a while, so that its threads sleep while a broker says nothing.
//!
//! librdkafka (2.12.1) sends nothing of a partition while five of its records or more are in flight. But while a record
//! waits there for longer than `linger.ms`, its broker's thread comes round at once, and again, and finds each time that it
//! may not send: `rd_kafka_toppar_producer_serve` notes that it wants to be woken now before it looks at what is in
//! flight. That is a whole core for a round trip to a far broker, and for `socket.timeout.ms` where a broker hangs.
//!
//! The thread does not look into a partition that is paused (`rd_kafka_pause_partitions`). So one whose broker owes an answer
//! is paused, and goes on with the next answer. What is in flight stays in flight, and what waits keeps its place: no record
//! is given back, so there is nothing to go wrong with order or repeats. What was in flight on a connection that broke waits
//! again, and no answer comes for it; nor does one for what the library had not come to send. So from time to time a partition
//! goes on for a moment without an answer.

use std::time::{Duration, Instant};

/// With fewer under way nothing waits behind five in flight.
pub(super) const CROWDED: usize = 6;

/// How much longer than `linger.ms` the library may take until it has sent what it may send. A broker that is near answers
/// sooner, and nothing changes for it.
const SEND: Duration = Duration::from_millis(15);
/// The same of what has waited for longer than `linger.ms`.
const LOOK: Duration = Duration::from_millis(3);
/// How soon a partition goes on without an answer, at first and after a few times in vain: delivery comes back by so much
/// later than a connection does.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// How a partition is doing that has so many records under way that some may wait.
#[derive(Debug)]
pub(super) struct Crowd {
    state: State,
    /// For how long it is passed over the next time, at most.
    patience: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    GoesOn { until: Instant },
    PassedOver { since: Instant, is_answered: bool },
}

/// A change that the library is to make to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    PassOver,
    GoOn,
}

impl Crowd {
    pub fn new(linger: Duration, now: Instant) -> Self {
        Self { state: State::GoesOn { until: now + linger + SEND }, patience: FIRST_LOOK }
    }

    /// The broker has said something of a record of the partition.
    pub fn answered(&mut self, linger: Duration, now: Instant) {
        self.patience = FIRST_LOOK;
        match &mut self.state {
            State::GoesOn { until } => *until = now + linger + SEND,
            State::PassedOver { is_answered, .. } => *is_answered = true,
        }
    }

    /// Returns the change that is due now. `is_crowded`: there may still be records that wait.
    pub fn turn(&mut self, is_crowded: bool, linger: Duration, now: Instant) -> Option<Turn> {
        match self.state {
            State::GoesOn { until } if is_crowded && now >= until => {
                self.state = State::PassedOver { since: now, is_answered: false };
                Some(Turn::PassOver)
            }
            State::GoesOn { .. } => None,
            State::PassedOver { is_answered, .. } if is_answered || !is_crowded => {
                self.state = State::GoesOn { until: now + linger + SEND };
                Some(Turn::GoOn)
            }
            State::PassedOver { since, .. } if now >= since + self.patience => {
                self.patience = (self.patience * 2).min(LAST_LOOK);
                self.state = State::GoesOn { until: now + LOOK };
                Some(Turn::GoOn)
            }
            State::PassedOver { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(5);

    #[test]
    fn a_partition_is_passed_over_until_the_next_answer_or_a_look() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut crowd = Crowd::new(LINGER, start);
        assert_eq!(crowd.turn(true, LINGER, at(9)), None, "it may not have been sent yet");
        crowd.answered(LINGER, at(9));
        assert_eq!(crowd.turn(true, LINGER, at(28)), None, "the next ones are on their way");
        assert_eq!(crowd.turn(true, LINGER, at(29)), Some(Turn::PassOver));
        assert_eq!(crowd.turn(true, LINGER, at(90)), None);
        crowd.answered(LINGER, at(91));
        assert_eq!(crowd.turn(true, LINGER, at(91)), Some(Turn::GoOn));
        assert_eq!(crowd.turn(true, LINGER, at(200)), Some(Turn::PassOver));
        assert_eq!(crowd.turn(false, LINGER, at(201)), Some(Turn::GoOn), "nothing waits any more");
    }

    #[test]
    fn without_an_answer_it_goes_on_for_a_moment_twice_a_second_in_the_end() {
        let start = Instant::now();
        let mut crowd = Crowd::new(LINGER, start);
        let (mut open, mut looks, mut is_open) = (0, Vec::new(), true);
        for ms in 0..10_000 {
            match crowd.turn(true, LINGER, start + Duration::from_millis(ms)) {
                Some(Turn::GoOn) => {
                    looks.push(ms);
                    is_open = true;
                }
                Some(Turn::PassOver) => is_open = false,
                None => {}
            }
            open += u64::from(is_open);
        }
        assert_eq!(looks[..4], [120, 323, 726, 1229]);
        assert!(looks.windows(2).all(|pair| pair[1] - pair[0] <= 503), "{looks:?}");
        assert!(open < 100, "the library's thread comes round for {open} ms of ten seconds");
    }
}
