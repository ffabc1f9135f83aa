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
/// Records on their way at most; after a failure it is tried with one.
const ON_THE_WAY: usize = 16;
/// Limit of a batch, in bytes; a letter has 128 KiB at most.
const BATCH_BYTES: &str = "262144";
/// How often the thread looks for letters: how much later than it could be a letter is sent.
const TICK: Duration = Duration::from_millis(10);

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
    /// Generation of the access that it was made with.
    generation: u64,
}

pub(super) struct Writing {
    shared: Arc<Shared>,
    client: Option<Client>,
    on_the_way: usize,
    /// The last record was acknowledged.
    is_well: bool,
    trouble: Trouble,
}

impl Writing {
    pub fn new(shared: Arc<Shared>) -> Self {
        let trouble = Trouble::new("written");
        Self { shared, client: None, on_the_way: 0, is_well: false, trouble }
    }

    pub fn run(mut self) {
        self.shared.mailbox.set_writable(false);
        while !self.shared.is_closing() {
            self.step();
            thread::sleep(TICK);
        }
        // The ids that were settled last.
        let end = Instant::now() + LAST_LETTERS;
        while self.trouble.logged.is_none() && Instant::now() < end {
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
        if !self.trouble.may_try() {
            return;
        }
        match self.shared.is_there() {
            Some(Ok(())) => {}
            Some(Err(why)) => return self.failed(why),
            None => return,
        }
        if !self.is_well && self.on_the_way == 0 && self.trouble.logged.is_none() {
            self.shared.mailbox.set_writable(true); // as far as is known
        }
        while self.client.is_some()
            && self.on_the_way < if self.is_well { ON_THE_WAY } else { 1 }
            && let Some(letter) = self.shared.mailbox.next()
        {
            self.send(&letter);
        }
    }

    /// Another client where the secrets were replaced.
    fn renew(&mut self) {
        let access = self.shared.topics.access();
        let is_of_now = |client: &&Client| client.generation == access.generation();
        if let Some(client) = self.client.as_ref().filter(is_of_now) {
            // The other clients say if a token has a problem.
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
            .set("linger.ms", "0")
            // The topic keeps batches as they are read, and takes none that is larger than `max.message.bytes` then.
            .set("compression.codec", "none")
            .set("batch.size", BATCH_BYTES)
            .set("statistics.interval.ms", "0")
            .set_log_level(RDKafkaLogLevel::Emerg);
        match native.create_with_context(Reports::default()) {
            Ok(producer) => {
                let given = Given::to_client_of(&kafka);
                self.client = Some(Client { producer, given, generation });
                self.on_the_way = 0;
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
        self.shared.mailbox.was_written(says, failed.is_none());
        match failed {
            None if self.is_well => {}
            None => {
                self.is_well = true;
                self.trouble.is_over(topic);
                self.shared.mailbox.set_writable(true);
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

    fn send(&mut self, letter: &Letter) {
        let Some(Client { producer, .. }) = &self.client else { return };
        let record = BaseRecord::with_opaque_to(&self.shared.terms.topic, letter.says);
        match producer.send(record.key(&letter.key).payload(&letter.value)) {
            Ok(()) => self.on_the_way += 1,
            Err((error, _)) => self.reported(letter.says, Some(errors::code(&error))),
        }
    }

    fn failed(&mut self, why: String) {
        self.is_well = false;
        self.shared.mailbox.set_writable(false);
        self.trouble.happened(&self.shared.terms.topic, why);
    }
}
