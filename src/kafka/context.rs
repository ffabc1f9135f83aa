//! Callbacks of librdkafka: delivery reports, errors, log lines.
//!
//! All of it happens inside `poll`, on the thread that polls: a client that is not polled neither
//! logs nor reports.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, DeliveryResult, Producer, ProducerContext},
};
use tracing::{debug, error, warn};

use crate::{
    config,
    kafka::produce::{Failure, Outcome, Token},
};

use super::{
    cluster::Cluster,
    errors::{self, is_brokers_word, is_missing_topic},
    inspect,
    login::Given,
    partition_queue::PartitionQueues,
    pending::Pending,
    properties,
    topics::Topics,
    watch::Watch,
};

/// The context of a client: callbacks are counted, complaints change the view of the cluster, and `R` takes the
/// delivery reports.
///
/// Counted, because `BaseProducer::poll` handles one event and does not say whether there was one.
pub(super) struct Context<R> {
    cluster: Arc<Cluster>,
    events: AtomicU64,
    /// The tokens that the client logs in with.
    given: Given,
    reports: R,
}

/// Context of a client that only asks.
pub(super) type Asking = Context<()>;

/// Context of one librdkafka producer, never used again with another.
pub(super) type Producing = Context<Reports>;

/// Collects the outcomes of a producer's records.
pub(super) struct Reports {
    topics: Arc<Topics>,
    watch: Option<Arc<Watch>>,
    state: Mutex<ProducerState>,
}

#[derive(Default)]
pub(super) struct ProducerState {
    pub(super) pending: Pending,
    pub(super) queues: PartitionQueues,
    pub(super) outcomes: Vec<(Token, Outcome)>,
    /// Partition and offset of delivered records; taken with the outcomes.
    pub(super) places: Vec<(Token, i32, i64)>,
    /// Whether a record failed since the last look.
    pub(super) failed: bool,
    /// Whether a broker answered since the last look.
    pub(super) answered: bool,
    /// Whether a record timed out before its acknowledgement: then it is unknown whether a broker has it.
    pub(super) timed_out: bool,
    /// Topics that could not join the transaction, with the reason: all of it is purged then, and only the library's
    /// log names the topic.
    pub(super) kept_out: Vec<(String, String)>,
}

impl Asking {
    /// The context of a client of `kafka`.
    pub(super) fn new(kafka: &config::Kafka, cluster: Arc<Cluster>) -> Self {
        let given = Given::to_client_of(kafka);
        Self { cluster, events: AtomicU64::new(0), given, reports: () }
    }
}

impl Producing {
    pub(super) fn new(
        kafka: &config::Kafka,
        topics: Arc<Topics>,
        watch: Option<Arc<Watch>>,
    ) -> Self {
        let cluster = Arc::clone(topics.cluster());
        if let Some(watch) = &watch {
            watch.reset_counts();
        }
        let queues = PartitionQueues::new(properties::linger(kafka));
        let state = Mutex::new(ProducerState { queues, ..ProducerState::default() });
        let reports = Reports { topics, watch, state };
        let given = Given::to_client_of(kafka);
        Self { cluster, events: AtomicU64::new(0), given, reports }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, ProducerState> {
        self.reports.state()
    }
}

impl<R> Context<R> {
    fn count(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

/// Interval of statistics, in milliseconds: so soon a client reports the brokers that the cluster names.
const STATISTICS_INTERVAL_MS: &str = "500";

/// A client for short questions that also learns which brokers the cluster names although none of
/// them answers: the library drops the configured addresses once it knows others.
pub(super) fn asking(
    kafka: &config::Kafka,
    mut native: ClientConfig,
    cluster: &Arc<Cluster>,
) -> Result<BaseProducer<Asking>, KafkaError> {
    native.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    ready(kafka, &native, cluster)
}

/// A client for immediate questions: where brokers ask for a token, it has one, or its cluster knows why not.
pub(super) fn ready(
    kafka: &config::Kafka,
    native: &ClientConfig,
    cluster: &Arc<Cluster>,
) -> Result<BaseProducer<Asking>, KafkaError> {
    let client: BaseProducer<Asking> =
        native.create_with_context(Asking::new(kafka, Arc::clone(cluster)))?;
    if let Err(problem) = client.context().given.first(client.client()) {
        cluster.complained(Code::Authentication, &problem);
    }
    Ok(client)
}

/// Handles every event that waits, without blocking.
pub(super) fn drain<R: TakeReport>(client: &BaseProducer<Context<R>>) {
    let Context { events, given, cluster, .. } = &**client.context();
    if let Err(problem) = given.renew(client.client()) {
        cluster.complained(Code::Authentication, &problem);
    }
    // The library's request for a token is an event as well, which comes first and is not counted.
    let mut uncounted = u32::from(given.has_tokens());
    loop {
        let before = events.load(Ordering::Relaxed);
        client.poll(Duration::ZERO);
        if events.load(Ordering::Relaxed) == before {
            let Some(left) = uncounted.checked_sub(1) else { return };
            uncounted = left;
        }
    }
}

impl<R: TakeReport> ClientContext for Context<R> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.count();
        self.reports.hear(&self.cluster, facility, line);
        log(level, facility, line);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.count();
        self.reports.statistics(&self.cluster, json);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count();
        self.reports.connection_failed();
        self.cluster.complained(errors::code(&error), reason);
    }
}

impl<R: TakeReport> ProducerContext for Context<R> {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        self.count();
        self.reports.take(result, slot);
    }
}

pub(super) trait TakeReport: Send + Sync {
    /// Takes the delivery report of the record that was sent with `slot`.
    fn take(&self, result: &DeliveryResult<'_>, slot: usize);

    /// Takes the client's periodic statistics.
    fn statistics(&self, cluster: &Cluster, json: &[u8]);

    /// A connection to a broker has failed.
    fn connection_failed(&self) {}

    /// Takes a line of the library's log.
    fn hear(&self, cluster: &Cluster, facility: &str, line: &str);
}

/// A client that only asks sends no records.
impl TakeReport for () {
    fn take(&self, _: &DeliveryResult<'_>, _: usize) {}

    fn statistics(&self, cluster: &Cluster, json: &[u8]) {
        cluster.names(inspect::named_brokers(json));
    }

    fn hear(&self, cluster: &Cluster, facility: &str, line: &str) {
        // A connection that a broker closes is no error callback of the library; only its log mentions it.
        if facility == "FAIL" {
            cluster.failed(line.split_once("]: ").map_or(line, |(_thread, line)| line));
        }
    }
}

impl TakeReport for Reports {
    fn connection_failed(&self) {
        self.state.lock().queues.connection_failed();
    }

    fn hear(&self, _: &Cluster, facility: &str, line: &str) {
        let Some((topic, why)) = kept_out(facility, line) else { return };
        self.state().kept_out.push((topic.into(), why.into()));
    }

    fn take(&self, result: &DeliveryResult<'_>, slot: usize) {
        let failure = match result {
            Ok(message) if message.offset() >= 0 => None,
            // A broker took later records: librdkafka concludes that it has this one as well, and
            // may be wrong (decision 17).
            Ok(message) => {
                let text =
                    format!("the broker did not acknowledge a record for {}", message.topic());
                Some((Code::NoError, Failure::Passing(text)))
            }
            Err((error, message)) => {
                let code = errors::code(error);
                if is_missing_topic(code) {
                    self.topics.mark_missing(message.topic());
                }
                let topic = message.topic();
                let failure = errors::failure(code, topic, self.topics.advice());
                let state = self.state();
                let kept_out = state.kept_out.iter().find(|(kept_out, _)| kept_out == topic);
                let failure = match (failure, kept_out) {
                    (Failure::Purged, Some((_, why))) => {
                        errors::kept_out(topic, why, self.topics.advice())
                    }
                    (failure, _) => failure,
                };
                Some((code, failure))
            }
        };
        let mut state = self.state();
        if failure.is_none()
            && let Some(watch) = &self.watch
            && let Some(since) = state.pending.since(slot)
        {
            watch.acknowledged(since);
        }
        state.answered |= failure.as_ref().is_none_or(|(code, _)| is_brokers_word(*code));
        state.failed |= failure.is_some();
        state.timed_out |=
            matches!(result, Err((error, _)) if errors::code(error) == Code::MessageTimedOut);
        let by = result.as_ref().ok().and_then(|message| u32::try_from(message.partition()).ok());
        let by = by.filter(|_| failure.is_none());
        // The slot is empty when the record was reported as purged by a renewal.
        if let Some((token, is_elsewhere)) = state.settle(slot, by) {
            if let (true, Ok(message)) = (is_elsewhere, result) {
                // The topic's number of partitions has changed.
                self.topics.mark_missing(message.topic());
            }
            if let (None, Ok(message)) = (&failure, result) {
                state.places.push((token, message.partition(), message.offset()));
            }
            let outcome = match failure {
                None => Outcome::Delivered,
                Some((_, failure)) => Outcome::Failed(failure),
            };
            state.outcomes.push((token, outcome));
        }
    }

    fn statistics(&self, _: &Cluster, json: &[u8]) {
        if let Some(watch) = &self.watch {
            watch.statistics(json);
        }
    }
}

/// Returns the topic that could not join the transaction, and the reason, from a line of the library's log.
fn kept_out<'a>(facility: &str, line: &'a str) -> Option<(&'a str, &'a str)> {
    if facility != "ADDPARTS" {
        return None;
    }
    let (_, rest) = line.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    let (_, why) = rest.split_once("to transaction: ")?;
    // Such a partition is fine: it was asked for beside one that is not.
    (!why.contains("not attempted")).then_some((topic, why))
}

impl Reports {
    fn state(&self) -> MutexGuard<'_, ProducerState> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing half done.
        self.state.lock()
    }
}

impl ProducerState {
    /// Settles a record that the library had; `by` is the partition that acknowledged it, if one
    /// did. Returns its token, and whether that is another partition than the expected one.
    pub(super) fn settle(&mut self, slot: usize, by: Option<u32>) -> Option<(Token, bool)> {
        let (token, target) = self.pending.remove(slot)?;
        let settled = target.map(|target| self.queues.settled(target, by, Instant::now()));
        Some((token, settled.unwrap_or_default()))
    }

    /// Takes back the records that wait for their turn.
    pub(super) fn drain_queues(&mut self) {
        for slot in self.queues.drain() {
            let purged = self.pending.remove(slot).map(|(token, _)| token);
            let outcome = |token| (token, Outcome::Failed(Failure::Purged));
            self.outcomes.extend(purged.map(outcome));
        }
    }

    /// Returns all outcomes, and a purge for every record without one. Later reports find no record.
    pub(super) fn close(&mut self) -> Vec<(Token, Outcome)> {
        self.drain_queues();
        let mut outcomes = std::mem::take(&mut self.outcomes);
        let purged = self.pending.take_all().into_iter();
        outcomes.extend(purged.map(|token| (token, Outcome::Failed(Failure::Purged))));
        outcomes
    }

    /// Replaces purges by the fatal error: a producer that turned fatal empties its queue as if it were purged.
    pub(super) fn all_failures_are(&mut self, fatal: &Failure) {
        for (_, outcome) in &mut self.outcomes {
            if matches!(outcome, Outcome::Failed(Failure::Purged | Failure::Passing(_))) {
                *outcome = Outcome::Failed(fatal.clone());
            }
        }
    }
}

impl fmt::Debug for Producing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producing").field("pending", &self.state().pending.count()).finish()
    }
}

/// Logs a line of the library, at a level for operators. librdkafka's levels are for developers: its warnings come ten
/// times a second while a partition changes its leader, and failed connections are errors, once a second and broker.
/// [`Cluster`] reports an outage once.
fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        // A fatal producer is replaced.
        _ if facility == "FATAL" => warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error if !matches!(facility, "FAIL" | "ERROR") => {
            warn!(target: "librdkafka", facility, "{line}");
        }
        _ => debug!(target: "librdkafka", facility, "{line}"),
    }
}

#[cfg(test)]
mod tests;
