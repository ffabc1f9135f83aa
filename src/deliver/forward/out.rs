//! The way out: the sink, the encoder of its records, the topics and the path to them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use prometheus::{IntCounter, IntGauge};
use uuid::Uuid;

use super::{
    CLUSTER_SILENCE, Now, Settings,
    link::Link,
    refusal::{REFUSED, Refusal, TOO_LARGE},
    schemas::{Need, Schemas},
    topics::{TopicId, Topics},
    window::{Slot, State},
};
use crate::{
    deliver::{
        dead_letter::{Convention, Quarantined},
        encode::Encoder,
    },
    event::Event,
    kafka::produce::{Commit, Failure, Outcome, SendError, Sink, Token, TopicState},
    observe::metrics::Metrics,
    record::Record,
    source::{Origin, SourceName},
    spool::{Spool, StoredDelivery, position::Position},
};

/// Pause before a topic that is being created is asked for again; and while the cluster is away.
pub(super) const CREATION_PAUSE: Duration = Duration::from_millis(20);
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// Time that a step waits for a new producer before the next step tries again: a stop that comes meanwhile is late by
/// this much at most.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The reason to hold a topic.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub why: String,
    /// One record of a batch was refused for good: send them singly to find out which.
    pub one_at_a_time: bool,
}

impl Trouble {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), one_at_a_time: false }
    }
}

/// The reason that a record is not on its way.
pub(super) enum NotSent {
    /// It never will be: the dead letter's reason and error.
    Refused(&'static str, String),
    /// Come back to it later.
    Wait,
}

/// By topic with records on their way: how many it had acknowledged, and how long the oldest had waited.
pub(super) type Ages = BTreeMap<TopicId, (u64, Duration)>;

pub(super) struct Out<S> {
    source: SourceName,
    spool: Uuid,
    sink: S,
    encoder: Encoder,
    /// Present where values have schemas.
    schemas: Option<Schemas>,
    topics: Topics,
    link: Link,
    dead_letter_topic: String,
    /// Other programs whose header names dead letters have beside ours.
    conventions: Vec<Convention>,
    /// Reused memory for the next answers.
    outcomes: Vec<(Token, Outcome)>,
    /// Topics that failed with other records of theirs still on the way: the lanes must go back.
    failed: BTreeMap<TopicId, Trouble>,
    /// Whether the sink has to be renewed, and the lanes go back.
    must_renew: bool,
    in_flight: IntGauge,
    unanswered: IntCounter,
    renewals: IntCounter,
}

impl<S: Sink> Out<S> {
    pub fn new(sink: S, settings: &Settings, spool: &Spool, metrics: &Metrics) -> Self {
        let labels = [spool.source().as_str()];
        Self {
            source: spool.source().clone(),
            spool: spool.id(),
            sink,
            encoder: Encoder::of(settings.mode, settings.choices.clone()),
            schemas: None,
            topics: Topics::new(spool.source().clone(), metrics.clone()),
            link: Link::new(settings.hold_after, settings.window_bytes),
            dead_letter_topic: settings.dead_letter_topic.clone(),
            conventions: settings.dead_letter_headers.clone(),
            outcomes: Vec::new(),
            failed: BTreeMap::new(),
            must_renew: false,
            in_flight: metrics.in_flight.with_label_values(&labels),
            unanswered: metrics.unanswered_records.with_label_values(&labels),
            renewals: metrics.producer_renewals.with_label_values(&labels),
        }
    }

    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    pub fn topics_mut(&mut self) -> &mut Topics {
        &mut self.topics
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn record_limit(&self) -> usize {
        self.sink.record_limit()
    }

    /// Whether the cluster has been silent for so long that waiting for it is pointless.
    pub fn cluster_is_away(&self) -> bool {
        self.sink.cluster_silence().is_none_or(|silence| silence > CLUSTER_SILENCE)
    }

    /// Pause between two look-ups of a topic: each decodes a delivery, so there are few while the cluster cannot
    /// answer.
    pub fn look_up_pause(&self) -> Duration {
        if self.cluster_is_away() { AWAY_PAUSE } else { CREATION_PAUSE }
    }

    /// Whether a topic can be written; starts to look it up.
    pub fn topic_state(&mut self, name: &str) -> TopicState {
        self.sink.topic(name)
    }

    /// Whether a topic can be written with an event: not before its schema has an id.
    pub fn topic_state_for(&mut self, name: &str, event: &Event<'_>) -> TopicState {
        match (self.sink.topic(name), &mut self.schemas) {
            (TopicState::Ready, Some(schemas)) => schemas.state(name, event),
            (state, _) => state,
        }
    }

    /// Whether the schema is known that a record of the topic needs, if it needs one.
    pub fn has_schema(&self, topic: TopicId) -> bool {
        let is_open =
            |schemas: &Schemas| matches!(schemas.need(self.topics.name(topic)), Need::Open);
        !self.schemas.as_ref().is_some_and(is_open)
    }

    /// Lets values have schemas from now on.
    pub fn with_schemas(self, schemas: Schemas) -> Self {
        Self { schemas: Some(schemas), ..self }
    }

    /// Takes over the headers and the time of the delivery whose records come next.
    pub fn come_with(&mut self, stored: &StoredDelivery) {
        self.encoder.come_with(&stored.delivery.headers);
        self.encoder.received_at(stored.delivery.received_at);
    }

    /// Hands the record of `event` to the sink, and returns its size in bytes.
    pub fn send(
        &mut self,
        topic: TopicId,
        position: Position,
        event: &Event<'_>,
        token: Token,
    ) -> Result<usize, NotSent> {
        let name = self.topics.name(topic);
        let with = match self.schemas.as_ref().map_or(Need::None, |schemas| schemas.need(name)) {
            Need::None => None,
            Need::Met(with) => Some(with),
            Need::Open => return Err(NotSent::Wait), // unexpected: the topic was found ready a moment ago
        };
        let encoded = self.encoder.encode_with(with.as_ref(), name, self.spool, position, event);
        let record = encoded.record();
        let size = record.size();
        let limit = self.sink.record_limit();
        if size > limit {
            let error = format!(
                "the record has {size} bytes, but kafka.properties.message.max.bytes allows {limit}"
            );
            return Err(NotSent::Refused(TOO_LARGE, error));
        }
        match self.sink.send(&record, token) {
            Ok(()) => Ok(size),
            Err(SendError::QueueFull) => Err(NotSent::Wait),
            Err(SendError::Failed(Failure::Refused(error))) => {
                Err(NotSent::Refused(REFUSED, error))
            }
            Err(SendError::Failed(Failure::Passing(why))) => {
                self.topic_failed(topic, Trouble::passing(why));
                Err(NotSent::Wait)
            }
            Err(SendError::Failed(Failure::Fatal(_) | Failure::Purged)) => {
                self.must_renew = true;
                Err(NotSent::Wait)
            }
        }
    }

    /// Hands a dead letter to the sink, and returns the size of its record in bytes.
    pub fn send_dead_letter(
        &mut self,
        refusal: &Refusal<'_>,
        origin: Origin,
        pointer: Option<&Quarantined>,
        token: Token,
    ) -> Result<usize, SendError> {
        let letter = refusal.letter(&self.source, origin);
        let sink = &mut self.sink;
        let topic = &self.dead_letter_topic;
        let alike = letter.by_convention(&self.conventions);
        let more: Vec<_> = self.encoder.of_the_delivery().chain(alike).collect();
        letter.with_record(topic, &more, pointer, |record| {
            sink.send(record, token).map(|()| record.size())
        })
    }

    /// Notes that the sink has a record of `size` bytes, and returns its turn.
    pub fn sent(&mut self, topic: TopicId, size: usize) -> u64 {
        self.topics.sent(topic, size, self.link.mark());
        self.link.hand_over(size)
    }

    /// Whether a failure would be of this record alone. The last record of a failed batch only looks alone: the others
    /// failed before it.
    pub fn fails_alone(&self, slot: &Slot) -> bool {
        let is_only_one = self.topics.outstanding_of(slot.topic) == 1;
        is_only_one && !self.failed.contains_key(&slot.topic) && !self.must_renew
    }

    /// Takes in the sink's outcome of a record. `true` when it came from a broker.
    pub fn answered(&mut self, slot: &Slot, outcome: &Outcome, now: Now) -> bool {
        let latency = self.link.answering_time(slot.since, now);
        self.topics.comes_back(slot.topic, slot.size);
        let is_answer = self.link.answered(slot, outcome, latency, now);
        if *outcome == Outcome::Delivered {
            self.topics.acknowledged(slot.topic, latency, self.link.mark());
        }
        is_answer
    }

    /// Returns the sink's new outcomes, to be given back with [`Out::recycle`].
    pub fn poll(&mut self, patience: Duration) -> Vec<(Token, Outcome)> {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.sink.poll(patience, &mut outcomes);
        outcomes
    }

    /// Partition and offset of a record of the last poll.
    pub fn place(&self, token: Token) -> Option<(i32, i64)> {
        self.sink.place(token)
    }

    pub fn recycle(&mut self, outcomes: Vec<(Token, Outcome)>) {
        self.outcomes = outcomes;
    }

    /// Notes since when the cluster has answered without a long silence, so that no topic is blamed for an outage that
    /// is just over.
    pub fn watch_cluster(&mut self, now: Now) {
        let is_away = self.cluster_is_away();
        if self.link.watch(self.sink.is_throttled(), is_away, now) {
            self.topics.forgive_waiting();
        }
    }

    /// Recomputes how much may be on its way.
    pub fn measure(&mut self, now: Now) {
        self.link.measure(&self.topics, now);
    }

    pub fn show_in_flight(&self) {
        self.in_flight.set(self.topics.outstanding() as i64);
    }

    /// Whether a slot has been on its way for longer than `hold_after` of a cluster that answers.
    pub fn is_overdue(&self, slot: &Slot, now: Now) -> bool {
        slot.state == State::Outstanding && self.has_expired(slot, now)
    }

    /// Whether a slot, also one that the sink gave back, has been on its way for longer than `hold_after`.
    pub fn was_overdue(&self, slot: &Slot, now: Now) -> bool {
        matches!(slot.state, State::Outstanding | State::Failed) && self.has_expired(slot, now)
    }

    fn has_expired(&self, slot: &Slot, now: Now) -> bool {
        let waited = self.topics.waited(slot.topic) + self.link.age(slot, now);
        waited > self.link.hold_after()
    }

    /// By topic with records on their way: how many it has acknowledged, and how long the oldest has waited.
    pub fn ages<'a>(&self, slots: impl Iterator<Item = &'a Slot>, now: Now) -> Ages {
        let mut ages = Ages::new();
        for slot in slots.filter(|slot| slot.state == State::Outstanding) {
            let acknowledged = self.topics.acknowledgements(slot.topic);
            let (_, age) = ages.entry(slot.topic).or_insert((acknowledged, Duration::ZERO));
            *age = self.link.age(slot, now).max(*age);
        }
        ages
    }

    /// Keeps the ages of topics whose records are taken back: sent again they look new, but a topic without an
    /// acknowledgement meanwhile is as old as before, until it is found to hang.
    pub fn remember_ages(&mut self, ages: &Ages) {
        for (topic, (acknowledged, age)) in ages {
            let waited = self.topics.waited(*topic) + *age;
            let hangs = waited > self.link.hold_after();
            let is_same = self.topics.acknowledgements(*topic) == *acknowledged && !hangs;
            self.topics.set_waited(*topic, if is_same { waited } else { Duration::ZERO });
        }
    }

    /// Notes that the topic is to be held, for which the lanes go back.
    pub fn topic_failed(&mut self, topic: TopicId, trouble: Trouble) {
        self.failed.entry(topic).or_insert(trouble);
    }

    /// Notes that the topic of a failed record is to be held.
    pub fn record_failed(&mut self, slot: &Slot, trouble: Trouble) {
        if !trouble.one_at_a_time {
            self.topics.ask_before_next(slot.topic);
        }
        self.topic_failed(slot.topic, trouble);
    }

    pub fn take_failed(&mut self) -> BTreeMap<TopicId, Trouble> {
        std::mem::take(&mut self.failed)
    }

    pub fn put_back_failed(&mut self, failed: BTreeMap<TopicId, Trouble>) {
        self.failed = failed;
    }

    /// Whether the lanes have to go back.
    pub fn has_failed(&self) -> bool {
        self.must_renew || !self.failed.is_empty()
    }

    /// Lets the sink be renewed, for which the lanes go back.
    pub fn renew_later(&mut self) {
        self.must_renew = true;
    }

    pub fn must_renew(&self) -> bool {
        self.must_renew
    }

    /// Whether the credentials were replaced: then the sink is renewed as if it had failed.
    pub fn is_outdated(&mut self) -> bool {
        let is_outdated = self.sink.wants_renewal();
        self.must_renew |= is_outdated;
        is_outdated
    }

    /// Lets the client ask the cluster again: its picture of it may be outdated.
    pub fn refresh(&mut self) {
        self.sink.refresh();
    }

    /// Takes back the records that the sink has not sent yet.
    pub fn purge(&mut self) {
        self.sink.purge();
    }

    /// Replaces the producer; after a failure the next step tries again.
    pub fn renew(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + RENEWAL_TIMEOUT;
        let renewed = self.sink.renew(&|| Instant::now() >= end);
        self.must_renew = renewed.is_err();
        renewed
    }

    /// Replaces the producer after the wait for its records.
    pub fn replace_producer(&mut self) {
        let source = &self.source;
        let unanswered = self.topics.outstanding();
        if unanswered > 0 {
            self.unanswered.inc_by(unanswered as u64);
            tracing::warn!(
                %source, unanswered,
                "unacknowledged records are sent again; the topic may contain them twice",
            );
        }
        self.renewals.inc();
        if let Err(error) = self.renew() {
            tracing::error!(source = %self.source, %error, "cannot replace the Kafka producer yet");
        }
    }

    /// Notes that the renewed sink has no records.
    pub fn nothing_outstanding(&mut self) {
        self.topics.nothing_outstanding();
        self.link.nothing_outstanding();
    }

    pub fn commit(&mut self, checkpoint: &Record<'_>, patience: Duration) -> Commit {
        self.sink.commit(checkpoint, patience)
    }

    /// The last checkpoint that was committed, if the sink had to look it up.
    pub fn committed(&mut self) -> Option<Vec<u8>> {
        self.sink.committed()
    }
}

#[cfg(test)]
mod tests;
