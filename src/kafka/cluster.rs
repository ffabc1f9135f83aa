//! Whether the cluster answers: one view of it, shared by every client of the process.
//!
//! Producers and the topics thread report the answers that they get. From these come the silence that the
//! forwarder asks for, and one log line when the cluster goes away and one when it is back, however
//! many clients notice.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::{error, info, warn};

use super::{errors, inspect::NamedBrokers};
use crate::runtime::readable;

#[derive(Debug)]
pub(super) struct Cluster {
    /// The user's name for it: `kafka.bootstrap_servers`.
    name: String,
    started: Instant,
    /// Milliseconds from `started` to the last answer, plus one; 0 is never.
    answered: AtomicU64,
    /// Milliseconds, likewise, to the last time that a producer had something outstanding.
    busy: AtomicU64,
    /// A client lost all its brokers, and no client has looked since.
    suspected: AtomicBool,
    trouble: Mutex<Outage>,
    /// The brokers that the cluster named first.
    named: OnceLock<NamedBrokers>,
}

#[derive(Debug, Default)]
struct Outage {
    /// The last complaint of a client.
    reason: String,
    needs_operator: bool,
    /// The reason of the last failed connection, where no client complained.
    failed: String,
    away_since: Option<Instant>,
}

/// A producer that polled with records outstanding counts as busy for this long.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// While a producer waits for it, the cluster is asked again after this long a silence.
const ASK_AFTER: Duration = Duration::from_secs(1);

impl Cluster {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            started: Instant::now(),
            answered: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            suspected: AtomicBool::new(false),
            trouble: Mutex::default(),
            named: OnceLock::new(),
        }
    }

    /// Notes an answer of a broker, which ends an outage.
    pub(super) fn heard_from(&self) {
        match self.is_away() {
            true => self.is_there(),
            false => self.answered(),
        }
    }

    fn answered(&self) {
        self.answered.store(self.now(), Ordering::Relaxed);
    }

    /// Notes that a producer waits for acknowledgements.
    pub(super) fn busy(&self) {
        self.busy.store(self.now(), Ordering::Relaxed);
    }

    /// Time since the last answer; `None` before the first.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.since(&self.answered)
    }

    /// Whether it is time to ask: it has been silent while a client waits for it or suspects an outage.
    pub(super) fn is_in_doubt(&self) -> bool {
        let silent = self.silence().is_none_or(|silence| silence >= ASK_AFTER);
        let waited_for = self.since(&self.busy).is_some_and(|ago| ago < BUSY_FOR);
        silent && (waited_for || self.suspected.load(Ordering::Relaxed) || self.is_away())
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_for().is_some()
    }

    /// Duration of the outage; `None` while the cluster answers, as far as is known.
    pub(super) fn away_for(&self) -> Option<Duration> {
        self.trouble.lock().away_since.map(|since| since.elapsed())
    }

    /// Notes a client's complaint (librdkafka's error callback).
    pub(super) fn complained(&self, code: Code, reason: &str) {
        if code == Code::AllBrokersDown {
            self.suspected.store(true, Ordering::Relaxed);
            return;
        }
        let mut trouble = self.trouble.lock();
        // A refused login says more than the closed connections that follow it.
        if errors::needs_operator(code) || !trouble.needs_operator {
            trouble.reason = reason.into();
            trouble.needs_operator = errors::needs_operator(code);
        }
    }

    /// Notes the brokers that the cluster named to a client.
    pub(super) fn names(&self, named: Option<NamedBrokers>) {
        if let Some(named) = named {
            // Only the first ones count.
            let _ = self.named.set(named);
        }
    }

    pub(super) fn named(&self) -> Option<&NamedBrokers> {
        self.named.get()
    }

    /// Notes the reason of a client's failed connection.
    pub(super) fn failed(&self, reason: &str) {
        self.trouble.lock().failed = reason.into();
    }

    /// The last complaint, or else the reason of the last failed connection, for an operator.
    pub(super) fn last_complaint(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        let known = [&trouble.reason, &trouble.failed].into_iter().find(|known| !known.is_empty());
        known.cloned()
    }

    /// Notes that the cluster was asked and answered.
    pub(super) fn is_there(&self) {
        self.answered();
        self.suspected.store(false, Ordering::Relaxed);
        let mut trouble = self.trouble.lock();
        let away_since = trouble.away_since.take();
        trouble.needs_operator = false;
        trouble.reason.clear();
        drop(trouble);
        if let Some(since) = away_since {
            let away = since.elapsed();
            let brokers = &self.name;
            let away_seconds = away.as_secs();
            info!(brokers, away_seconds, "Kafka answers again, after {}", readable::length(away));
        }
    }

    /// Notes that the cluster was asked so long ago and did not answer. Whether that is news.
    pub(super) fn is_not_there(&self, asked_ago: Duration, error: &str) -> bool {
        if self.silence().is_some_and(|silence| silence < asked_ago.max(ASK_AFTER)) {
            return false; // Another client got an answer meanwhile, from another broker.
        }
        let mut trouble = self.trouble.lock();
        if trouble.away_since.is_some() {
            return false;
        }
        trouble.away_since = Some(Instant::now());
        let reason = if trouble.reason.is_empty() { error } else { &trouble.reason };
        let text = "Kafka does not answer; deliveries stay in the spool until it does";
        if trouble.needs_operator {
            error!(brokers = self.name, reason, "{text}");
        } else {
            warn!(brokers = self.name, reason, "{text}");
        }
        true
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }

    fn since(&self, time: &AtomicU64) -> Option<Duration> {
        let time = time.load(Ordering::Relaxed);
        (time > 0).then(|| Duration::from_millis(self.now().saturating_sub(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_none_until_the_first_answer() {
        let cluster = Cluster::new("b:9092");
        assert_eq!(cluster.silence(), None);
        cluster.answered();
        assert!(cluster.silence().unwrap() < ASK_AFTER);
    }

    #[test]
    fn a_cluster_is_not_asked_while_no_client_waits_for_it() {
        let cluster = Cluster::new("b:9092");
        assert!(!cluster.is_in_doubt());
        cluster.busy();
        assert!(cluster.is_in_doubt());
        cluster.answered();
        assert!(!cluster.is_in_doubt());
    }

    #[test]
    fn a_suspicion_is_looked_into_before_it_is_believed() {
        let cluster = Cluster::new("b:9092");
        cluster.complained(Code::AllBrokersDown, "1/1 brokers are down");
        assert!(cluster.is_in_doubt() && !cluster.is_away());
        cluster.is_not_there(ASK_AFTER, "timed out");
        assert!(cluster.is_away());
        cluster.is_there();
        assert!(!cluster.is_away() && !cluster.is_in_doubt());
    }

    #[test]
    fn a_cluster_whose_brokers_answer_others_is_not_away_although_the_one_that_was_asked_says_nothing()
     {
        let started = Instant::now() - 2 * ASK_AFTER;
        let cluster = Cluster { started, ..Cluster::new("b:9092") };
        cluster.answered.store(1, Ordering::Relaxed); // at the start
        assert!(!cluster.is_not_there(Duration::from_secs(60), "timed out"), "an answer meanwhile");
        assert!(cluster.is_not_there(Duration::ZERO, "timed out") && cluster.is_away());
        cluster.heard_from();
        assert!(!cluster.is_away(), "an acknowledgement is an answer");
    }

    #[test]
    fn a_refused_login_outlives_the_noise_after_it() {
        let cluster = Cluster::new("b:9092");
        cluster.complained(Code::Authentication, "SASL authentication failed");
        cluster.complained(Code::BrokerTransportFailure, "disconnected");
        cluster.failed("disconnected");
        assert_eq!(cluster.last_complaint().as_deref(), Some("SASL authentication failed"));
    }
}
