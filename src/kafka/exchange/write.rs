//! Writes letters: with a producer of its own, that gives a record up after some seconds.

use std::{
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::{LAST_LETTERS, Letter, Shared, Trouble};
use crate::kafka::{errors, login::Given, properties};

/// How long a record is tried: what is said later than that helps little.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Records on their way at most.
const ON_THE_WAY: usize = 16;
/// How often the thread looks for letters.
const TICK: Duration = Duration::from_millis(20);
/// A topic that took records for this long is tried at once after a failure.
const WELL_AGAIN: Duration = Duration::from_secs(300);

/// What the record of a probe says.
const PROBE: usize = usize::MAX;

/// Takes delivery reports: what each record said, and what went wrong.
#[derive(Default)]
struct Reports(Mutex<Vec<(usize, Option<Code>)>>);

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, says: usize) {
        let failed = result.as_ref().err().map(|(error, _)| errors::code(error));
        self.0.lock().push((says, failed));
    }
}

struct Client {
    producer: BaseProducer<Reports>,
    given: Given,
    /// Of the access that it was made with.
    generation: u64,
}

pub(super) struct Writing {
    shared: Arc<Shared>,
    client: Option<Client>,
    on_the_way: usize,
    is_probing: bool,
    /// Since when the topic has taken records.
    well_since: Option<Instant>,
    trouble: Trouble,
}

impl Writing {
    pub fn new(shared: Arc<Shared>) -> Self {
        let trouble = Trouble::new("written");
        Self {
            shared,
            client: None,
            on_the_way: 0,
            is_probing: false,
            well_since: None,
            trouble,
        }
    }

    pub fn run(mut self) {
        self.shared.mailbox.set_writable(false);
        while !self.shared.is_closing() {
            self.step();
            thread::sleep(TICK);
        }
        // What was settled last.
        let end = Instant::now() + LAST_LETTERS;
        while self.shared.mailbox.is_writable() && Instant::now() < end {
            self.step();
            if self.on_the_way == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn step(&mut self) {
        self.renew();
        self.take_reports();
        if self.shared.mailbox.is_writable() {
            while self.on_the_way < ON_THE_WAY
                && let Some(letter) = self.shared.mailbox.next()
            {
                let says = letter.says;
                self.send(&letter, says);
            }
        } else if self.well_since.take_if(|since| since.elapsed() < WELL_AGAIN).is_some() {
            self.trouble.pause(); // who doubts it may be right each time
        } else if !self.is_probing && self.trouble.may_try() {
            self.well_since = None;
            self.try_it();
        }
    }

    /// Another client where the secrets were replaced.
    fn renew(&mut self) {
        let access = self.shared.topics.access();
        let is_of_now = |client: &Client| client.generation == access.generation();
        if let Some(client) = self.client.as_ref().filter(|client| is_of_now(client)) {
            // What is wrong with a token, the other clients say.
            let _ = client.given.renew(client.producer.client());
            return;
        }
        if !self.trouble.may_try() {
            return;
        }
        let (generation, kafka) = access.get();
        let mut native = properties::producer(&kafka, 0);
        // A record that is there twice says nothing new: no promise is needed.
        native
            .set("enable.idempotence", "false")
            .set("message.timeout.ms", GIVE_UP.as_millis().to_string())
            .set("statistics.interval.ms", "0")
            .set_log_level(RDKafkaLogLevel::Emerg);
        match native.create_with_context(Reports::default()) {
            Ok(producer) => {
                let given = Given::to_client_of(&kafka);
                self.client = Some(Client { producer, given, generation });
                (self.on_the_way, self.is_probing) = (0, false);
            }
            Err(error) => self.failed(properties::describe(&error)),
        }
    }

    fn take_reports(&mut self) {
        let Some(Client { producer, .. }) = &self.client else { return };
        // A call handles one event.
        for _ in 0..=self.on_the_way {
            producer.poll(Duration::ZERO);
        }
        let reports = mem::take(&mut *producer.context().0.lock());
        for (says, failed) in reports {
            self.on_the_way = self.on_the_way.saturating_sub(1);
            self.reported(says, failed);
        }
    }

    fn reported(&mut self, says: usize, failed: Option<Code>) {
        let (topics, topic) = (&self.shared.topics, &self.shared.terms.topic);
        let is_probe = says == PROBE;
        if is_probe {
            self.is_probing = false;
        } else {
            self.shared.mailbox.was_written(says, failed.is_none());
        }
        match failed {
            None if is_probe => {
                self.trouble.is_over(topic);
                self.trouble.not_before = Instant::now();
                self.well_since = Some(Instant::now());
                self.shared.mailbox.set_writable(true);
            }
            None => {
                if self.well_since.is_some_and(|since| since.elapsed() > WELL_AGAIN) {
                    self.trouble.retry.reset();
                }
            }
            Some(code) => {
                if errors::is_missing_topic(code) {
                    topics.mark_missing(topic);
                }
                let failure = errors::failure(code, topic, topics.advice());
                self.failed(failure.to_string());
            }
        }
    }

    /// Whether the topic takes a record that says nothing.
    fn try_it(&mut self) {
        match self.shared.is_there() {
            Some(Ok(())) if self.client.is_some() => {
                self.is_probing = self.send(&self.shared.mailbox.probe(), PROBE);
            }
            Some(Err(why)) => self.failed(why),
            Some(Ok(())) | None => {}
        }
    }

    /// `true` when it is on its way.
    fn send(&mut self, letter: &Letter, says: usize) -> bool {
        let Some(Client { producer, .. }) = &self.client else { return false };
        let record = BaseRecord::with_opaque_to(&self.shared.terms.topic, says);
        let sent = producer.send(record.key(&letter.key).payload(&letter.value));
        match sent {
            Ok(()) => self.on_the_way += 1,
            Err((error, _)) => self.reported(says, Some(errors::code(&error))),
        }
        self.on_the_way > 0
    }

    fn failed(&mut self, why: String) {
        self.well_since = None;
        self.shared.mailbox.set_writable(false);
        self.trouble.happened(&self.shared.terms.topic, why);
    }
}
