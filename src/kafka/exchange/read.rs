//! Reads what all replicas have written: from as far back as it is of use, and then on.
//!
//! Committed records alone, by no group: each replica reads everything. What it cannot read it does without. A client that
//! stands still although there is more (a topic that was deleted and made again, and what the library believes of its
//! leaders) makes way for another one.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use super::{Shared, Trouble};
use crate::kafka::{errors, login::Given, properties, quiet::Quiet, unreadable};

const TICK: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether there is more than the client gives.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Limit of a batch of records once it is decompressed, in bytes. A letter has 128 KiB at most.
const INFLATED_BYTES: usize = 8 << 20;

struct Client {
    consumer: BaseConsumer<Quiet>,
    given: Given,
    generation: u64,
    partitions: usize,
    looked: Instant,
    /// Where it stood at the last look, behind the end of what can be read; by partition.
    behind: BTreeMap<i32, i64>,
}

pub(super) struct Reading {
    shared: Arc<Shared>,
    client: Option<Client>,
    /// By partition: the offset behind the last record that was read.
    next: BTreeMap<i32, i64>,
    trouble: Trouble,
}

impl Reading {
    pub fn new(shared: Arc<Shared>) -> Self {
        let trouble = Trouble::new("read");
        Self { shared, client: None, next: BTreeMap::new(), trouble }
    }

    pub fn run(mut self) {
        self.shared.mailbox.set_readable(false);
        while !self.shared.is_closing() {
            let generation = self.shared.topics.access().generation();
            self.client.take_if(|client| client.generation != generation);
            match (&self.client, self.trouble.may_try()) {
                (Some(_), _) => self.read(),
                (None, true) => self.open(),
                (None, false) => thread::sleep(TICK),
            }
        }
    }

    fn open(&mut self) {
        match self.shared.is_there() {
            Some(Ok(())) => match self.client() {
                Ok(client) => self.client = Some(client),
                Err(error) => self.failed(&error),
            },
            Some(Err(why)) => {
                self.shared.mailbox.set_readable(false);
                self.trouble.happened(&self.shared.terms.topic, why);
            }
            None => thread::sleep(TICK),
        }
    }

    fn client(&self) -> Result<Client, KafkaError> {
        let (generation, kafka) = self.shared.topics.access().get();
        let mut native = properties::reader(&kafka);
        // A writer to the topic may be no replica.
        unreadable::bound(&mut native, INFLATED_BYTES);
        native
            .set("isolation.level", "read_committed")
            // A broker answers at once when there is something.
            .set("fetch.wait.max.ms", "500")
            .set_log_level(RDKafkaLogLevel::Emerg);
        let consumer: BaseConsumer<Quiet> = native.create_with_context(Quiet)?;
        let given = Given::to_client_of(&kafka);
        // The clients that send say what is wrong.
        let _ = given.first(consumer.client());
        let topic = &self.shared.terms.topic;
        let partitions = partitions(&consumer, topic)?;
        let begins = self.begins(&consumer, &partitions)?;
        consumer.assign(&begins)?;
        let (looked, behind) = (Instant::now(), BTreeMap::new());
        Ok(Client { consumer, given, generation, partitions: partitions.len(), looked, behind })
    }

    /// Where each partition is read from: on from where it was read to, or from where it begins to be of use.
    fn begins(
        &self,
        consumer: &BaseConsumer<Quiet>,
        partitions: &[i32],
    ) -> Result<TopicPartitionList, KafkaError> {
        let terms = &self.shared.terms;
        let since = unix_now().saturating_sub(terms.window);
        let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let mut ends = BTreeMap::new();
        let mut times = TopicPartitionList::new();
        for partition in partitions {
            let ends_at = consumer.fetch_watermarks(&terms.topic, *partition, ANSWER_WITHIN)?;
            ends.insert(*partition, ends_at);
            times.add_partition_offset(&terms.topic, *partition, Offset::Offset(since))?;
        }
        let times = consumer.offsets_for_times(times, ANSWER_WITHIN)?;
        let mut begins = TopicPartitionList::new();
        for (partition, (first, end)) in ends {
            let by_time = times.find_partition(&terms.topic, partition).map(|it| it.offset());
            let by_time = match by_time {
                Some(Offset::Offset(offset)) => offset,
                _ => end, // none is so young
            };
            let most = i64::try_from(terms.records).unwrap_or(i64::MAX);
            let begin = by_time.max(end.saturating_sub(most)).max(first);
            // All records of a topic that was made again are new.
            let read = self.next.get(&partition).filter(|next| (first..=end).contains(*next));
            let begin = read.copied().unwrap_or(begin);
            begins.add_partition_offset(&terms.topic, partition, Offset::Offset(begin))?;
        }
        Ok(begins)
    }

    fn read(&mut self) {
        let Some(client) = &mut self.client else { return };
        let _ = client.given.renew(client.consumer.client());
        let mut wait = TICK;
        for _ in 0..1000 {
            match client.consumer.poll(wait) {
                Some(Ok(record)) => {
                    self.next.insert(record.partition(), record.offset() + 1);
                    // The mailbox passes an empty record by.
                    self.shared.mailbox.receive(record.payload().unwrap_or_default());
                    wait = Duration::ZERO;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.trouble.is_over(&self.shared.terms.topic);
                    self.shared.mailbox.set_readable(true);
                }
                Some(Err(error)) if is_lasting(&error) => return self.failed(&error),
                // The library fetches the same batch again and again.
                Some(Err(error)) if unreadable::is_unreadable(&error) => {
                    return self.pass_to_the_end();
                }
                Some(Err(_)) => {} // the library's to put right
                None => break,
            }
        }
        if client.looked.elapsed() > LOOK_EVERY {
            client.looked = Instant::now();
            // A cluster that does not answer is no reason for another client.
            if client.stands_still(&self.shared.terms.topic).unwrap_or(false) {
                tracing::debug!("reading the topic of ids goes on with another client");
                self.client = None;
            }
        }
    }

    /// Goes on behind all records that are there now: one of them cannot be read, and nothing says which ones follow it in
    /// its batch. The notices among them are lost to this replica, and repeats of their events may be delivered again.
    fn pass_to_the_end(&mut self) {
        let Some(client) = self.client.take() else { return };
        let topic = &self.shared.terms.topic;
        self.shared.mailbox.set_readable(false);
        let ends = client.ends(topic);
        match &ends {
            Ok(ends) => self.next.extend(ends),
            Err(error) => tracing::debug!(%error, "the end of the topic of ids is not known yet"),
        }
        let why = "a batch of records cannot be decompressed, or is larger than 8 MiB once it is; the records before the \
                   end of the topic are passed by, and repeats of their events may be delivered again. Only replicas \
                   may write to this topic";
        self.trouble.happened(topic, why.to_owned());
    }

    fn failed(&mut self, error: &KafkaError) {
        let (topics, topic) = (&self.shared.topics, &self.shared.terms.topic);
        self.client = None;
        self.shared.mailbox.set_readable(false);
        let code = error.rdkafka_error_code();
        if code.is_some_and(errors::is_missing_topic) {
            topics.mark_missing(topic);
        }
        let mut why = properties::describe(error);
        if code == Some(Code::TopicAuthorizationFailed) {
            why = format!("{why}; run: {}", topics.advice().allow_write(topic));
        }
        self.trouble.happened(topic, why);
    }
}

impl Client {
    /// Returns the end of each partition that stands behind it.
    fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let positions = self.consumer.position()?;
        let mut ends = BTreeMap::new();
        for partition in partitions(&self.consumer, topic)? {
            let (_, end) = self.consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?;
            let position = positions.find_partition(topic, partition).map(|it| it.offset());
            if !matches!(position, Some(Offset::Offset(position)) if position >= end) {
                ends.insert(partition, end);
            }
        }
        Ok(ends)
    }

    /// Whether there is more than this client gives, as at the last look; or other partitions.
    fn stands_still(&mut self, topic: &str) -> Result<bool, KafkaError> {
        let partitions = partitions(&self.consumer, topic)?;
        let positions = self.consumer.position()?;
        let mut behind = BTreeMap::new();
        let mut is_another = partitions.len() != self.partitions;
        for partition in partitions {
            let (_, end) = self.consumer.fetch_watermarks(topic, partition, ANSWER_WITHIN)?;
            let position = positions.find_partition(topic, partition).map(|it| it.offset());
            let Some(Offset::Offset(position)) = position else { continue };
            is_another |= position > end;
            if position < end {
                behind.insert(partition, position);
            }
        }
        let is_stuck = |(partition, position)| self.behind.get(partition) == Some(position);
        let stands_still = is_another || behind.iter().any(is_stuck);
        self.behind = behind;
        Ok(stands_still)
    }
}

fn partitions(consumer: &BaseConsumer<Quiet>, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.map_or(&[][..], |found| found.partitions());
    if partitions.is_empty() {
        let code = found.and_then(|found| found.error()).map(Code::from);
        return Err(KafkaError::MetadataFetch(code.unwrap_or(Code::UnknownTopicOrPartition)));
    }
    Ok(partitions.iter().map(|partition| partition.id()).collect())
}

fn is_lasting(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        errors::is_missing_topic(code)
            || matches!(code, Code::TopicAuthorizationFailed | Code::Fatal)
    })
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
