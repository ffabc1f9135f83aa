//! Latency: the time from the receipt of a delivery until Kafka has its events.
//!
//! Measured for each acknowledged record, dead letters included. Events in quarantine, and those refused before the
//! start, are not measured.

use prometheus::local::LocalHistogram;

use super::Now;
use crate::{
    observe::metrics::{Exemplars, Metrics},
    source::UnixMillis,
};

pub(super) struct Latency {
    /// Until the broker's acknowledgement.
    acknowledged: LocalHistogram,
    /// Until the event counts as delivered: the acknowledgement, or the commit of the transaction.
    delivered: LocalHistogram,
    /// Records acknowledged within the open transaction: time of receipt, and how many.
    uncommitted: Vec<(UnixMillis, u64)>,
    source: String,
    exemplars: Exemplars,
}

impl Latency {
    pub fn new(source: &str, metrics: &Metrics) -> Self {
        let exemplars = metrics.exemplars.clone();
        let metrics = metrics.source(source);
        Self {
            source: source.to_owned(),
            exemplars,
            acknowledged: metrics.acknowledged_seconds.0.local(),
            delivered: metrics.delivered_seconds.0.local(),
            uncommitted: Vec::new(),
        }
    }

    /// Observes a record that is acknowledged and counts at once.
    pub fn delivered(&mut self, received_at: UnixMillis, now: Now) {
        if let Some(seconds) = seconds(received_at, now) {
            self.acknowledged.observe(seconds);
            self.delivered.observe(seconds);
        }
    }

    /// Observes a record that is acknowledged within a transaction.
    pub fn acknowledged(&mut self, received_at: UnixMillis, now: Now) {
        let Some(seconds) = seconds(received_at, now) else { return };
        self.acknowledged.observe(seconds);
        // The events of a delivery are acknowledged one after another, so the last entry is the one to count into.
        match self.uncommitted.last_mut() {
            Some((last, events)) if *last == received_at => *events += 1,
            _ => self.uncommitted.push((received_at, 1)),
        }
    }

    pub fn committed(&mut self, now: Now) {
        for (received_at, events) in self.uncommitted.drain(..) {
            let seconds = seconds(received_at, now).unwrap_or_default();
            (0..events).for_each(|_| self.delivered.observe(seconds));
        }
    }

    pub fn taken_back(&mut self) {
        self.uncommitted.clear();
    }

    /// Notes the trace of a delivery whose events are all settled.
    pub fn exemplar(&self, received_at: UnixMillis, trace: String, now: Now) {
        if let Some(seconds) = seconds(received_at, now) {
            self.exemplars.note("millrace_delivered_seconds", &self.source, seconds, trace);
        }
    }

    /// Publishes the observations.
    pub fn flush(&mut self) {
        self.acknowledged.flush();
        self.delivered.flush();
    }
}

/// `None` where the time of receipt is not known. A clock that was set back makes no time negative.
fn seconds(received_at: UnixMillis, now: Now) -> Option<f64> {
    (received_at > 0).then(|| now.unix.saturating_sub(received_at) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::forward::tests::clock;

    fn counted(metrics: &Metrics, name: &str) -> u64 {
        let line = format!("{name}_count{{source=\"leads\"}} ");
        let text = metrics.render();
        text.lines().find_map(|it| it.strip_prefix(&line)).unwrap().parse().unwrap()
    }

    #[test]
    fn what_a_transaction_takes_back_is_not_delivered_and_its_commit_is_what_counts() {
        let metrics = Metrics::new();
        let mut latency = Latency::new("leads", &metrics);
        let now = clock();
        latency.acknowledged(1000, now(2));
        latency.acknowledged(1000, now(2));
        latency.taken_back();
        latency.acknowledged(1000, now(3));
        latency.committed(now(7));
        latency.flush();
        assert_eq!(counted(&metrics, "millrace_acknowledged_seconds"), 3);
        assert_eq!(counted(&metrics, "millrace_delivered_seconds"), 1);
        let in_ten = "millrace_delivered_seconds_bucket{source=\"leads\",le=\"10\"} 1";
        let in_five = "millrace_delivered_seconds_bucket{source=\"leads\",le=\"5\"} 0";
        assert!(metrics.render().contains(in_ten) && metrics.render().contains(in_five));
    }

    #[test]
    fn a_receipt_that_is_not_known_or_lies_ahead_is_no_negative_time() {
        let metrics = Metrics::new();
        let mut latency = Latency::new("leads", &metrics);
        let now = clock();
        latency.delivered(0, now(2));
        latency.delivered(9000, now(2));
        latency.flush();
        assert_eq!(counted(&metrics, "millrace_delivered_seconds"), 1);
        assert!(metrics.render().contains("millrace_delivered_seconds_sum{source=\"leads\"} 0"));
    }
}
