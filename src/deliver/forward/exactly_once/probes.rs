//! Probes: one record finds out whether a topic that failed works again.
//! Its failure would take back the work of all topics, so it has a transaction of its own: the open one is committed
//! first, and the other lanes make way until there is an answer, for a second at most. A probe that often finds no
//! answer is sent less often, so that the others have most of the time.

use std::time::{Duration, Instant};

use crate::deliver::forward::{Now, link::Link};

/// Longest wait for a probe's answer while the other lanes make way.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// After a failed probe the other lanes have so many times its duration.
const PAUSE_FACTOR: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Since when the transaction holds nothing but probes.
    sent_at: Option<Instant>,
    /// A dead letter is the probe, and waits for its turn.
    pub(super) dead_letter_waits: bool,
    again_at: Option<Instant>,
}

/// The time at which a probe may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayProbe {
    Now,
    /// As soon as the transaction has ended.
    Soon,
    /// The other lanes have their time first.
    TooSoon {
        until: Instant,
    },
}

impl Probes {
    /// `is_alone`: the probe would share the transaction with other probes only.
    pub fn may_send(&self, is_alone: bool, now: Now) -> MayProbe {
        match self.again_at.filter(|at| now.instant < *at) {
            Some(until) => MayProbe::TooSoon { until },
            None if is_alone => MayProbe::Now,
            None => MayProbe::Soon,
        }
    }

    /// Notes that a probe is on its way.
    pub fn sent(&mut self, now: Now) {
        self.sent_at.get_or_insert(now.instant);
    }

    pub fn is_sent(&self) -> bool {
        self.sent_at.is_some()
    }

    /// Notes that the transaction is taken back: after one of probes, the other lanes have their time.
    pub fn failed(&mut self, now: Now) {
        if let Some(since) = self.sent_at {
            self.again_at = Some(now.instant + PAUSE_FACTOR * (now.instant - since));
        }
    }

    /// Notes that the transaction has ended.
    pub fn end(&mut self) {
        self.sent_at = None;
    }
}

/// How long an answer may take: longer on a slow path.
pub(super) fn patience(link: &Link) -> Duration {
    PROBE_TIMEOUT.max(2 * link.latency()).min(link.hold_after())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_probe_that_failed_the_others_have_most_of_the_time() {
        let start = Instant::now();
        let at = |seconds| Now { instant: start + Duration::from_secs(seconds), unix: 0 };
        let mut probes = Probes::default();
        assert_eq!(probes.may_send(false, at(0)), MayProbe::Soon, "others are in the transaction");
        assert_eq!(probes.may_send(true, at(0)), MayProbe::Now);
        probes.sent(at(0));
        probes.failed(at(1));
        probes.end();
        let until = start + Duration::from_secs(6);
        assert_eq!(probes.may_send(true, at(5)), MayProbe::TooSoon { until });
        assert_eq!(probes.may_send(true, at(6)), MayProbe::Now);
    }
}
