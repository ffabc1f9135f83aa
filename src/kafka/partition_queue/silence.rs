//! Times in which no report comes, from any broker or of one partition: the library pauses the partitions where records
//! wait, and its threads sleep.
//!
//! librdkafka (2.12.1) sends nothing of a partition while five of its records or more are in flight. But while a record
//! waits there for longer than `linger.ms`, its broker's thread comes round at once, and again, and finds each time that it
//! may not send: `rd_kafka_toppar_producer_serve` notes that it wants to be woken now before it looks at what is in
//! flight. That is a whole core for `socket.timeout.ms` where a broker hangs. The thread does not look into a partition that
//! is paused (`rd_kafka_pause_partitions`).
//!
//! Records in flight stay in flight, and those that wait keep their place: no record is given back, so a pause changes
//! neither order nor repeats. One report of any partition ends the silence of all brokers: over a thin line a partition
//! waits while those of the others are sent, and it would wait for longer if it were paused as soon by itself. So where
//! one broker hangs and others answer, its partitions are paused for a silence of their own, after [`OWN_PATIENCE`]. From
//! time to time the library sends for a moment without a report.
//!
//! A connection that fails is no silence: its records wait again, nothing of them is in flight, and no report comes for
//! them. They are to be sent at once when a connection is back, so nothing is paused from then on until one is
//! acknowledged, and no partition for a silence of its own until it has acknowledged one.

use std::time::{Duration, Instant};

/// A partition with fewer records under way has none that waits behind five in flight.
pub(super) const CROWDED: usize = 6;

/// How much longer than `linger.ms` no report comes before it is a silence, and a partition has been crowded before it is
/// paused. A broker that works answers sooner, also a distant one. A pause between its answers would cost less of the
/// processor, and throughput: a thread that sleeps has to wake up before it sends.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a silence of one partition while others are reported.
pub(super) const OWN_PATIENCE: Duration = Duration::from_secs(3);
/// For how long the library sends without a report.
const LOOK: Duration = Duration::from_millis(15);
/// The time between two of these, at first and after a few in vain: delivery comes back by so much later than a connection
/// does.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Silence {
    /// Whether partitions are paused.
    is_on: bool,
    /// When that changes if no report comes.
    until: Instant,
    /// How long the next pause is.
    pause: Duration,
}

impl Silence {
    /// The silence that begins so long after the last report, if no other report comes.
    pub fn after(report: Instant, patience: Duration) -> Self {
        Self { is_on: false, until: report + patience, pause: FIRST_PAUSE }
    }

    /// Whether partitions are to be paused now.
    pub fn is_on(&mut self, now: Instant) -> bool {
        if now >= self.until {
            self.is_on = !self.is_on;
            if self.is_on {
                self.until = now + self.pause;
                self.pause = (self.pause * 2).min(LAST_PAUSE);
            } else {
                self.until = now + LOOK;
            }
        }
        self.is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Duration = Duration::from_millis(1005);

    #[test]
    fn without_a_report_the_library_sends_for_a_moment_twice_a_second_in_the_end() {
        let start = Instant::now();
        let mut silence = Silence::after(start, ALL);
        let at = |ms| start + Duration::from_millis(ms);
        let is_on: Vec<_> = (0..11_000).map(|ms| silence.is_on(at(ms))).collect();
        let changes = is_on.windows(2).zip(1..).filter(|(pair, _)| pair[0] != pair[1]);
        let changes: Vec<_> = changes.map(|(_, ms)| ms).collect();
        assert_eq!(changes[..8], [1005, 1105, 1120, 1320, 1335, 1735, 1750, 2250]);
        let sends = is_on[1005..].iter().filter(|is_on| !**is_on).count();
        assert!(sends < 400, "the library's thread comes round for {sends} ms of ten seconds");
    }

    #[test]
    fn the_moment_in_which_the_library_sends_is_never_missed_however_late_the_question_comes() {
        let start = Instant::now();
        let mut silence = Silence::after(start, ALL);
        let late = (1..7).map(|n| start + n * Duration::from_secs(2));
        let is_on: Vec<_> = late.map(|now| silence.is_on(now)).collect();
        assert_eq!(is_on, [true, false, true, false, true, false]);
    }
}
