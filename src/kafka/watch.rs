//! Metrics of the producers of one source: latencies, and librdkafka's statistics of
//! its queue and its brokers.
//!
//! librdkafka counts for the life of a client, metrics for the life of the process, so the difference to the same
//! client's last counts is added. The statistics also have all topics and partitions in them; these are
//! skipped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::IntCounterVec;
use serde::Deserialize;

use crate::{
    observe::metrics::{Metrics, SourceMetrics},
    runtime::readable,
};

/// Limit of brokers with metrics: a source's producer talks to those that lead its partitions.
const MAX_BROKERS: usize = 256;

/// Limit of the time for which a broker is believed to have the client wait.
const MAX_THROTTLE: Duration = Duration::from_secs(120);

/// Shared by the producers of a source, which come one after the other.
pub struct Watch {
    source: String,
    metrics: Metrics,
    of_source: SourceMetrics,
    /// The client's last counts, by the number of the broker.
    said: Mutex<BTreeMap<i32, Counts>>,
    /// Whether a broker was connected at the last statistics.
    was_up: AtomicBool,
    /// Until when a broker may read nothing from the client.
    throttled_until: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    timeouts: u64,
    retries: u64,
    errors: u64,
    disconnects: u64,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    msg_cnt: i64,
    #[serde(default)]
    msg_size: i64,
    #[serde(default)]
    msg_size_max: i64,
    #[serde(default)]
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    #[serde(default = "no_broker")]
    nodeid: i32,
    #[serde(default)]
    state: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    connects: u64,
    #[serde(default)]
    disconnects: u64,
    #[serde(default)]
    txerrs: u64,
    #[serde(default)]
    rxerrs: u64,
    #[serde(default)]
    txretries: u64,
    #[serde(default)]
    req_timeouts: u64,
    #[serde(default)]
    rtt: Times,
    #[serde(default)]
    throttle: Throttle,
}

/// In microseconds.
#[derive(Default, Deserialize)]
struct Times {
    #[serde(default)]
    p99: i64,
}

/// Longest wait that the broker has announced since the last statistics; in milliseconds.
#[derive(Default, Deserialize)]
struct Throttle {
    #[serde(default)]
    max: i64,
}

/// librdkafka's number of brokers that it knows by their address only.
fn no_broker() -> i32 {
    -1
}

impl Watch {
    pub fn new(source: &str, metrics: &Metrics) -> Self {
        Self {
            source: source.into(),
            metrics: metrics.clone(),
            of_source: metrics.source(source),
            said: Mutex::default(),
            was_up: AtomicBool::default(),
            throttled_until: Mutex::default(),
        }
    }

    /// Forgets the last counts: a new client counts from zero.
    pub(super) fn reset_counts(&self) {
        self.said.lock().clear();
    }

    /// Observes a record that was handed over at `since` and is acknowledged now.
    pub(super) fn acknowledged(&self, since: Instant) {
        self.of_source.produce_seconds.observe(since.elapsed().as_secs_f64());
    }

    /// Takes in librdkafka's statistics.
    pub(super) fn statistics(&self, json: &[u8]) {
        match serde_json::from_slice(json) {
            Ok(statistics) => {
                self.note_throttle(&statistics);
                self.show(statistics);
            }
            Err(error) => tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }

    /// Whether a broker has the client wait. That is known when the next statistics come, and holds from
    /// then on for the announced time: rather too long than too short.
    pub(super) fn is_throttled(&self) -> bool {
        self.throttled_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn note_throttle(&self, statistics: &Statistics) {
        let longest = statistics.brokers.values().map(|broker| broker.throttle.max).max();
        let longest = longest.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
        let Some(longest) = longest.map(Duration::from_millis) else { return };
        let length = readable::length(longest);
        tracing::debug!(
            source = self.source,
            "a broker throttles the client, for {length} at a time"
        );
        let until = Instant::now() + longest.min(MAX_THROTTLE);
        let mut throttled_until = self.throttled_until.lock();
        *throttled_until = (*throttled_until).max(Some(until));
    }

    fn show(&self, statistics: Statistics) {
        self.of_source.kafka_queue_records.set(statistics.msg_cnt);
        self.of_source.kafka_queue_bytes.set(statistics.msg_size);
        self.of_source.kafka_queue_limit_bytes.set(statistics.msg_size_max);

        let metrics = &self.metrics;
        let is_there = contact(&statistics.brokers, self.was_up.load(Ordering::Relaxed));
        self.was_up.store(is_there == Some(true), Ordering::Relaxed);
        if let Some(is_there) = is_there {
            metrics.contact.note(&self.source, is_there);
        }
        let mut said = self.said.lock();
        for broker in statistics.brokers.values() {
            let is_known = said.contains_key(&broker.nodeid);
            let was_there = broker.nodeid >= 0 && broker.connects > 0;
            if !was_there || (!is_known && said.len() >= MAX_BROKERS) {
                continue;
            }
            let now = Counts {
                timeouts: broker.req_timeouts,
                retries: broker.txretries,
                errors: broker.txerrs + broker.rxerrs,
                disconnects: broker.disconnects,
            };
            let before = said.insert(broker.nodeid, now).unwrap_or_default();
            let number = broker.nodeid.to_string();
            let labels = [self.source.as_str(), number.as_str()];
            metrics
                .kafka_broker_connected
                .with_label_values(&labels)
                .set(i64::from(broker.is_up()));
            let seconds = broker.rtt.p99 as f64 / 1e6;
            metrics.kafka_round_trip_seconds.with_label_values(&labels).set(seconds);
            let add = |counter: &IntCounterVec, before: u64, now: u64| {
                counter.with_label_values(&labels).inc_by(now.saturating_sub(before));
            };
            add(&metrics.kafka_request_timeouts, before.timeouts, now.timeouts);
            add(&metrics.kafka_request_retries, before.retries, now.retries);
            add(&metrics.kafka_request_errors, before.errors, now.errors);
            add(&metrics.kafka_disconnects, before.disconnects, now.disconnects);
        }
    }
}

impl Broker {
    fn is_up(&self) -> bool {
        matches!(self.state.as_str(), "UP" | "UPDATE")
    }

    /// Whether an attempt to connect has ended without success. `connects` counts attempts, the one under way included.
    fn has_failed(&self, was_up: bool) -> bool {
        match self.state.as_str() {
            // No connection is needed. With no broker at all one is tried each second, so it was tried since the last
            // statistics.
            "" | "INIT" => !was_up && self.connects > 0,
            "DOWN" | "TRY_CONNECT" => self.connects > 0,
            _ => !self.is_up() && self.connects > 1,
        }
    }
}

/// Whether any broker with an address answers; `None` where no attempt has ended yet. `was_up` is whether one did at
/// the last statistics.
fn contact(brokers: &HashMap<String, Broker>, was_up: bool) -> Option<bool> {
    let with_address = || brokers.values().filter(|broker| broker.source != "internal");
    match with_address().any(Broker::is_up) {
        true => Some(true),
        false => with_address().any(|broker| broker.has_failed(was_up)).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(timeouts: u64, state: &str) -> String {
        format!(
            r#"{{"msg_cnt":3,"msg_size":70,"msg_size_max":1000,"topics":{{"t":{{"partitions":{{}}}}}},"brokers":{{
                "b:9092/1":{{"nodeid":1,"state":"{state}","connects":1,"req_timeouts":{timeouts},
                    "txerrs":1,"rxerrs":2,"txretries":4,"disconnects":5,"rtt":{{"p99":2500}}}},
                "b:9093/2":{{"nodeid":2,"state":"INIT","connects":0}},
                "b:9092/bootstrap":{{"nodeid":-1,"state":"UP","connects":1}}}}}}"#
        )
    }

    #[test]
    fn what_a_client_counts_is_added_up_over_all_clients_of_a_source() {
        let metrics = Metrics::new();
        let watch = Watch::new("leads", &metrics);
        let timeouts = || metrics.kafka_request_timeouts.with_label_values(&["leads", "1"]).get();
        watch.statistics(said(2, "UP").as_bytes());
        assert_eq!(timeouts(), 2);
        watch.statistics(said(3, "UP").as_bytes());
        assert_eq!(timeouts(), 3, "a client says what it has counted in all");
        watch.reset_counts();
        watch.statistics(said(1, "DOWN").as_bytes());
        assert_eq!(timeouts(), 4);
        assert_eq!(metrics.kafka_request_errors.with_label_values(&["leads", "1"]).get(), 6);
        assert_eq!(metrics.kafka_broker_connected.with_label_values(&["leads", "1"]).get(), 0);
        assert_eq!(
            metrics.kafka_round_trip_seconds.with_label_values(&["leads", "1"]).get(),
            0.0025
        );
        assert_eq!(metrics.kafka_queue_bytes.with_label_values(&["leads"]).get(), 70);
    }

    #[test]
    fn a_broker_that_throttles_does_so_for_as_long_as_it_said() {
        let watch = Watch::new("leads", &Metrics::new());
        let say = |ms: i64| {
            let json =
                format!(r#"{{"brokers":{{"b/1":{{"nodeid":1,"throttle":{{"max":{ms}}}}}}}}}"#);
            watch.statistics(json.as_bytes());
        };
        say(0);
        say(-1);
        assert!(!watch.is_throttled());
        say(60_000);
        assert!(watch.is_throttled());
        say(0);
        assert!(watch.is_throttled(), "the time that it said is not over");
        say(i64::MAX);
        let until = watch.throttled_until.lock().expect("it is throttled");
        assert!(until <= Instant::now() + MAX_THROTTLE, "it is bounded");
    }

    #[test]
    fn only_brokers_that_it_was_connected_to_are_named() {
        let metrics = Metrics::new();
        Watch::new("leads", &metrics).statistics(said(0, "UP").as_bytes());
        let text = metrics.render();
        let of_brokers = text.lines().filter(|line| line.starts_with("millrace_kafka_broker_c"));
        let lines: Vec<_> = of_brokers.collect();
        assert_eq!(lines, [r#"millrace_kafka_broker_connected{broker="1",source="leads"} 1"#]);
    }

    #[test]
    fn contact_is_lost_once_an_attempt_has_failed_and_none_is_up() {
        let seen = |was_up: bool, brokers: &[(&str, u64, &str)]| {
            let all = brokers.iter().enumerate().map(|(n, (state, connects, source))| {
                let broker =
                    format!(r#"{{"state":"{state}","connects":{connects},"source":"{source}"}}"#);
                (n.to_string(), serde_json::from_str(&broker).unwrap())
            });
            contact(&all.collect(), was_up)
        };
        let internal = ("UP", 0, "internal");
        for untried in
            [("INIT", 0), ("TRY_CONNECT", 0), ("CONNECT", 1), ("APIVERSION_QUERY", 1), ("INIT", 3)]
        {
            assert_eq!(
                seen(true, &[internal, (untried.0, untried.1, "configured")]),
                None,
                "{untried:?}"
            );
        }
        for failed in [("DOWN", 1), ("TRY_CONNECT", 1), ("CONNECT", 2), ("SSL_HANDSHAKE", 7)] {
            let failed = (failed.0, failed.1, "configured");
            assert_eq!(seen(false, &[internal, failed]), Some(false), "{failed:?}");
            assert_eq!(seen(true, &[internal, failed]), Some(false), "{failed:?}");
            assert_eq!(seen(true, &[failed, ("UP", 1, "learned")]), Some(true), "{failed:?}");
        }
    }

    #[test]
    fn a_source_without_traffic_finds_out_too_that_its_brokers_are_away() {
        let metrics = Metrics::new();
        let watch = Watch::new("leads", &metrics);
        let say = |state: &str, connects: u64| {
            let broker = format!(r#"{{"state":"{state}","connects":{connects}}}"#);
            watch.statistics(format!(r#"{{"brokers":{{"b":{broker}}}}}"#).as_bytes());
            metrics.contact.is_lost()
        };
        assert!(!say("INIT", 0) && !say("UP", 1));
        assert!(!say("INIT", 1), "an idle connection was closed");
        assert!(say("INIT", 6));
        assert!(!say("UP", 7));
    }

    #[test]
    fn what_can_not_be_read_changes_nothing() {
        let metrics = Metrics::new();
        let watch = Watch::new("leads", &metrics);
        let before = metrics.render();
        watch.statistics(b"{\"brokers\":1}");
        watch.statistics(b"");
        assert_eq!(metrics.render(), before);
    }
}
