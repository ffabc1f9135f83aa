//! The production sink: one idempotent librdkafka producer, replaced by [`Sink::renew`].
//!
//! librdkafka retries every record for as long as the cluster is in trouble. A failure that it reports
//! is final for *that* producer: after a purge its message ids have a gap, and going on would
//! break the order it promises. So a purged or fatal producer accepts nothing, and a renewed one
//! starts with a new producer id.
//!
//! With an [`Identity`] it is transactional (`transactions.rs`), and a renewal takes the transaction back.

mod renewal;

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig},
    topic_partition_list::TopicPartitionList,
};

use crate::{
    config,
    kafka::produce::{Commit, Failure, Outcome, SendError, Sink, Token, TopicState},
    record::Record,
    runtime::retry::Retry,
};

use super::{
    context::{Producing, drain},
    errors,
    partition_queue::{Pauses, Waiting},
    pause, properties,
    topics::Topics,
    transactions::{self, CHECKPOINT_TOKEN, Identity, Transactions},
    watch::Watch,
};

type Client = BaseProducer<Producing>;

/// The [`Sink`] on a real cluster (or on [`MockCluster`](super::MockCluster)).
pub struct Producer {
    config: Arc<config::Kafka>,
    /// Generation of the access that `config` belongs to.
    generation: u64,
    queue_size: u64,
    record_limit: usize,
    topics: Arc<Topics>,
    /// The source whose share of `topics.limit` it takes from.
    source: usize,
    watch: Option<Arc<Watch>>,
    /// `None` until the first renewal, and while one fails.
    client: Option<Client>,
    /// For exactly-once delivery.
    transactions: Option<Transactions>,
    purged: bool,
    fatal: bool,
    /// The client's view of the cluster may be outdated: another one has to take its place.
    stale: bool,
    /// Outcomes of a client that was dropped.
    left_over: Vec<(Token, Outcome)>,
    /// Partitions and offsets of the records of the last poll.
    places: HashMap<Token, (i32, i64)>,
    /// Pauses after clients that cannot be made, or turn fatal one after the other.
    retry: Retry,
}

/// Bytes that librdkafka adds to a record on the wire, at most.
const RECORD_OVERHEAD: usize = 36;
/// Bytes that it adds to a header: two lengths of at most five bytes.
const HEADER_OVERHEAD: usize = 10;
/// Headers for which [`Sink::record_limit`] makes room.
const RESERVED_HEADERS: usize = 32;
/// Bytes that [`Sink::record_limit`] leaves for all of that.
const RECORD_RESERVE: usize = RECORD_OVERHEAD + RESERVED_HEADERS * HEADER_OVERHEAD;
/// Memory of a record beside its bytes: librdkafka's structs and allocations.
const RECORD_WEIGHT: usize = 320;
const HEADER_WEIGHT: usize = 96;

/// Sleep of a poll while records are outstanding, and while none are.
const BUSY_POLL_SLEEP: Duration = Duration::from_millis(1);
const IDLE_POLL_SLEEP: Duration = Duration::from_millis(10);
/// Time that dropping the producer waits for librdkafka's threads to end.
const THREADS_TIMEOUT: Duration = Duration::from_secs(1);

impl Producer {
    /// A producer whose queue holds about `queue_size` bytes of memory (its share of
    /// `kafka.queue_size`). It connects to nothing and accepts nothing until it is renewed once.
    pub fn new(config: &config::Kafka, queue_size: u64, topics: Arc<Topics>) -> Self {
        Self {
            config: Arc::new(config.clone()),
            generation: topics.access().generation(),
            queue_size,
            record_limit: properties::message_max_bytes(config).saturating_sub(RECORD_RESERVE),
            topics,
            source: 0,
            watch: None,
            client: None,
            transactions: None,
            purged: false,
            fatal: false,
            stale: false,
            left_over: Vec::new(),
            places: HashMap::new(),
            retry: Retry::new(Duration::from_millis(100), Duration::from_secs(10)),
        }
    }

    /// Lets it send everything in transactions; its first renewal takes over from the process that has
    /// this identity.
    pub fn transactional(mut self, identity: Identity) -> Self {
        self.transactions = Some(Transactions::new(identity));
        self
    }

    /// Lets it serve the source with this number ([`Topics::divide_among`]).
    pub fn of_source(mut self, number: usize) -> Self {
        self.source = number;
        self
    }

    /// Lets it show itself in metrics.
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(Arc::new(watch));
        self
    }

    /// Counts the records that were handed to the library and have no outcome yet.
    pub fn outstanding(&self) -> usize {
        let client = self.client.as_ref();
        client.map_or(0, |client| client.context().state().pending.count()) + self.left_over.len()
    }

    /// Handles the events that wait inside librdkafka and takes the outcomes.
    fn collect(&mut self, outcomes: &mut Vec<(Token, Outcome)>) {
        outcomes.append(&mut self.left_over);
        self.let_pass();
        let Some(client) = &self.client else { return };
        drain(client);
        pause_while_silent(client);
        let mut state = client.context().state();
        self.places.extend(state.places.drain(..).map(|(token, at, offset)| (token, (at, offset))));
        if std::mem::take(&mut state.failed)
            && !self.purged
            && let Some((code, reason)) = client.client().fatal_error()
        {
            self.fatal = true;
            let failure = errors::fatal(code, &reason, self.topics.advice());
            state.all_failures_are(&failure);
        }
        if std::mem::take(&mut state.answered) {
            self.topics.cluster().heard_from();
        }
        if state.pending.count() > 0 {
            self.topics.cluster().busy();
        }
        let reported = std::mem::take(&mut state.outcomes);
        outcomes.extend(reported.into_iter().filter(|(token, _)| *token != CHECKPOINT_TOKEN));
    }

    /// Hands over records that waited until their partition had acknowledged its first one.
    fn let_pass(&mut self) {
        loop {
            let Some(client) = &self.client else { return };
            let count = |topic: &str| self.topics.partitions(topic);
            let next = {
                let state = &mut *client.context().state();
                state.queues.next(Instant::now(), count).map(|(target, topic, record)| {
                    state.pending.sent_to(record.slot, target);
                    let partition = state.queues.chosen(target, record.key.as_deref());
                    (target, topic, partition, record)
                })
            };
            let Some((target, topic, partition, mut record)) = next else { return };
            let mut message =
                BaseRecord::with_opaque_to(&topic, record.slot).headers(record.headers);
            message.payload = record.value.as_deref();
            message.key = record.key.as_deref();
            message.partition = partition;
            message.timestamp = record.timestamp;
            let Err((error, message)) = client.send(message) else { continue };

            let mut state = client.context().state();
            if matches!(error, KafkaError::MessageProduction(Code::QueueFull)) {
                record.headers = message.headers.unwrap_or_default();
                state.pending.requeue(record.slot);
                state.queues.requeue(target, record);
                return;
            }
            let settled = state.settle(record.slot, None);
            drop(state);
            let failure = self.not_queued(&topic, &error);
            let outcome = settled.map(|(token, _)| (token, Outcome::Failed(failure)));
            if let Some(client) = &self.client {
                client.context().state().outcomes.extend(outcome);
            }
        }
    }

    /// The failure of a record that the library did not even queue.
    fn not_queued(&mut self, topic: &str, error: &KafkaError) -> Failure {
        // The name of the topic has a zero byte.
        if let KafkaError::Nul(error) = error {
            return Failure::Refused(error.to_string());
        }
        let code = errors::code(error);
        if errors::is_missing_topic(code) {
            self.topics.mark_missing(topic);
        }
        let advice = self.topics.advice();
        match self.client.as_ref().and_then(|client| client.client().fatal_error()) {
            Some((code, reason)) => {
                self.fatal = true;
                errors::fatal(code, &reason, advice)
            }
            None => errors::failure(code, topic, advice),
        }
    }
}

/// Has the library pause the partitions where records wait while no report comes, and resume them with the next one.
fn pause_while_silent(client: &Client) {
    let Pauses { paused, resumed } = client.context().state().queues.pauses(Instant::now());
    let list = |partitions: &[(Arc<str>, i32)]| {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition);
        }
        list
    };
    if !paused.is_empty() {
        pause::pause(client.client(), &list(&paused));
    }
    if !resumed.is_empty() {
        pause::resume(client.client(), &list(&resumed));
        // It wakes the threads that send, which may sleep for a second otherwise, and waits for nothing.
        let _ = client.flush(Duration::ZERO);
    }
}

fn headers(record: &Record<'_>) -> OwnedHeaders {
    let none = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(none, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }))
}

fn waiting(record: &Record<'_>, slot: usize) -> Waiting {
    let key = record.key.map(Into::into);
    let value = record.value.map(Into::into);
    Waiting { slot, key, value, headers: headers(record), timestamp: record.timestamp }
}

impl Sink for Producer {
    fn send(&mut self, record: &Record<'_>, token: Token) -> Result<(), SendError> {
        let Some(client) = self.client.as_ref().filter(|_| !self.purged) else {
            return Err(SendError::Failed(Failure::Purged));
        };
        if let Some(transactions) = &mut self.transactions {
            transactions.open(client).map_err(SendError::Failed)?;
        }
        let weight = record.size() + RECORD_WEIGHT + HEADER_WEIGHT * record.headers.len();
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let now = Instant::now();
        let (slot, partition) = {
            let state = &mut *client.context().state();
            if !state.pending.has_room(weight, self.queue_size) {
                return Err(SendError::QueueFull);
            }
            let slot = state.pending.insert(token, weight, now);
            let count = |topic: &str| self.topics.partitions(topic);
            let target = state.queues.target(record.topic, record.key, count);
            if !state.queues.may_send(target, now) {
                if record.size() > self.record_limit + RECORD_RESERVE {
                    // The library would refuse it at once, too.
                    state.pending.remove(slot);
                    let code = Code::MessageSizeTooLarge;
                    let advice = self.topics.advice();
                    return Err(SendError::Failed(errors::failure(code, record.topic, advice)));
                }
                state.queues.enqueue(target, waiting(record, slot));
                return Ok(());
            }
            state.pending.sent_to(slot, target);
            (slot, state.queues.chosen(target, record.key))
        };
        let mut message = BaseRecord::with_opaque_to(record.topic, slot).headers(headers(record));
        // An empty value is not null: an empty slice still has an address, so librdkafka sees an empty value.
        message.payload = record.value;
        message.key = record.key;
        message.partition = partition;
        message.timestamp = record.timestamp;
        let Err((error, _)) = client.send(message) else { return Ok(()) };

        client.context().state().settle(slot, None);
        Err(match error {
            KafkaError::MessageProduction(Code::QueueFull) => SendError::QueueFull,
            error => SendError::Failed(self.not_queued(record.topic, &error)),
        })
    }

    fn poll(&mut self, timeout: Duration, outcomes: &mut Vec<(Token, Outcome)>) {
        let end = Instant::now() + timeout;
        let before = outcomes.len();
        self.places.clear();
        loop {
            self.collect(outcomes);
            let left = end.saturating_duration_since(Instant::now());
            if outcomes.len() > before || left.is_zero() {
                break;
            }
            // Sleeping beats the library's own wait, which spins for the last millisecond of it.
            let slice = if self.outstanding() > 0 { BUSY_POLL_SLEEP } else { IDLE_POLL_SLEEP };
            thread::sleep(left.min(slice));
        }
        let delivered = |(_, outcome): &(Token, Outcome)| *outcome == Outcome::Delivered;
        if outcomes[before..].iter().any(delivered) {
            self.retry.reset();
        }
    }

    fn place(&self, token: Token) -> Option<(i32, i64)> {
        self.places.get(&token).copied()
    }

    fn purge(&mut self) {
        self.purged = true;
        if let Some(client) = &self.client {
            client.context().state().drain_queues();
            // Without waiting: a broker's thread may sit in a name lookup for as long as that takes.
            client.purge(PurgeConfig::default().queue().non_blocking());
        }
    }

    fn renew(&mut self, give_up: &dyn Fn() -> bool) -> Result<(), Failure> {
        match self.transactions.take() {
            None => self.replace(None, give_up),
            Some(mut transactions) => {
                let renewed = self.take_back(&mut transactions, give_up);
                self.transactions = Some(transactions);
                renewed
            }
        }
    }

    fn commit(&mut self, checkpoint: &Record<'_>, patience: Duration) -> Commit {
        let Some((client, transactions)) = self.client.as_ref().zip(self.transactions.as_mut())
        else {
            return Commit::Failed(Failure::Purged);
        };
        let commit = transactions.commit(client, checkpoint, patience);
        if commit == Commit::Done {
            self.retry.reset();
        }
        commit
    }

    fn committed(&mut self) -> Option<Vec<u8>> {
        self.transactions.as_mut()?.found.take()
    }

    // A partition's leader is believed only with an epoch that is not older than the last one that was
    // seen, and a topic that is deleted and made again begins at zero
    // (https://github.com/confluentinc/librdkafka/issues/4898, open as of 2.12.1).
    fn refresh(&mut self) {
        self.stale = true;
    }

    fn wants_renewal(&self) -> bool {
        self.generation != self.topics.access().generation()
    }

    fn topic(&mut self, topic: &str) -> TopicState {
        self.topics.state_for(self.source, topic)
    }

    fn cluster_silence(&self) -> Option<Duration> {
        self.topics.cluster().silence()
    }

    fn is_throttled(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_throttled())
    }

    fn record_limit(&self) -> usize {
        self.record_limit
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some((client, transactions)) = self.client.as_ref().zip(self.transactions.as_ref()) {
            transactions::end_with(client, transactions.stage);
        }
        if let Some(ended) = self.retire() {
            // Threads of the library that outlive the process' exit handlers may crash in OpenSSL.
            let _ = ended.recv_timeout(THREADS_TIMEOUT);
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("brokers", &self.config.bootstrap_servers)
            .field("outstanding", &self.outstanding())
            .field("purged", &self.purged)
            .finish_non_exhaustive()
    }
}
