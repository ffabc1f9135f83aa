//! Committed records of one key on the topic of checkpoints.
//!
//! A reader of committed records sees nothing behind the oldest open transaction, of any producer. So it first
//! waits until everything that was there at the beginning can be read, and then reads it; the last record of the key
//! counts. No consumer group is involved.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use super::{login::Given, properties, quiet::Quiet};
use crate::config;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Committed {
    topic: String,
    key: String,
    committed: BaseConsumer<Quiet>,
    /// Also sees records of open transactions: how far there is anything to wait for.
    all: BaseConsumer<Quiet>,
    /// Tokens of the two clients.
    given: [Given; 2],
    /// Partitions, each with the offset up to which it must be read.
    ends: Option<Vec<(i32, i64)>>,
    /// Partitions that are not read to their end yet, once reading has begun.
    reading: Option<BTreeSet<i32>>,
    /// The values of the key's records so far.
    found: Vec<Vec<u8>>,
}

impl Committed {
    pub fn open(kafka: &config::Kafka, topic: &str, key: &str) -> Result<Self, KafkaError> {
        let consumer = |isolation: &str| {
            let mut native = properties::reader(kafka);
            native.set("isolation.level", isolation).set("enable.partition.eof", "true");
            // A client that writes to the cluster reports its troubles already.
            native.set_log_level(RDKafkaLogLevel::Emerg).create_with_context(Quiet)
        };
        Ok(Self {
            topic: topic.into(),
            key: key.into(),
            committed: consumer("read_committed")?,
            all: consumer("read_uncommitted")?,
            given: [Given::to_client_of(kafka), Given::to_client_of(kafka)],
            ends: None,
            reading: None,
            found: Vec::new(),
        })
    }

    /// Continues to read, for about `patience`. Returns every record of the key (compaction leaves some), once
    /// all is read.
    pub fn read(&mut self, patience: Duration) -> Result<Option<Vec<Vec<u8>>>, KafkaError> {
        for (given, consumer) in self.given.iter().zip([&self.committed, &self.all]) {
            // The producer beside them reports a missing token.
            let _ = given.renew(consumer.client());
        }
        if self.ends.is_none() {
            self.ends = Some(self.ends_of(&self.all)?);
        }
        if self.reading.is_none() && !self.begins()? {
            std::thread::sleep(patience.min(Duration::from_millis(20)));
            return Ok(None);
        }
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let end = std::time::Instant::now() + patience;
        while !reading.is_empty() {
            match self.committed.poll(end.saturating_duration_since(std::time::Instant::now())) {
                Some(Ok(message)) => {
                    if message.key() == Some(self.key.as_bytes()) {
                        self.found.extend(message.payload().map(<[u8]>::to_vec));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    reading.remove(&partition);
                }
                Some(Err(error)) if is_lasting(&error) => return Err(error),
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
        Ok(Some(std::mem::take(&mut self.found)))
    }

    /// Whether reading has begun: everything that was there is readable.
    #[cfg(test)]
    pub fn reads(&self) -> bool {
        self.reading.is_some()
    }

    /// Begins to read if everything that was there is readable.
    fn begins(&mut self) -> Result<bool, KafkaError> {
        let Some(ends) = &self.ends else { return Ok(false) };
        let readable = self.ends_of(&self.committed)?;
        let all = ends.iter().all(|(partition, end)| {
            readable.iter().any(|(other, readable)| other == partition && readable >= end)
        });
        if all {
            let mut assignment = TopicPartitionList::new();
            for (partition, _) in ends {
                assignment.add_partition_offset(&self.topic, *partition, Offset::Beginning)?;
            }
            self.committed.assign(&assignment)?;
            self.reading = Some(ends.iter().map(|(partition, _)| *partition).collect());
        }
        Ok(all)
    }

    fn ends_of(&self, consumer: &BaseConsumer<Quiet>) -> Result<Vec<(i32, i64)>, KafkaError> {
        let metadata = consumer.fetch_metadata(Some(&self.topic), ANSWER_TIMEOUT)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let partitions = topic.map_or(&[][..], |topic| topic.partitions());
        if partitions.is_empty() {
            let code = topic.and_then(|topic| topic.error()).map(Code::from);
            return Err(KafkaError::MetadataFetch(code.unwrap_or(Code::UnknownTopicOrPartition)));
        }
        let end = |partition: i32| {
            let (_, end) = consumer.fetch_watermarks(&self.topic, partition, ANSWER_TIMEOUT)?;
            Ok((partition, end))
        };
        partitions.iter().map(|partition| end(partition.id())).collect()
    }
}

/// Whether an error lasts; the library recovers from all others.
fn is_lasting(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::TopicAuthorizationFailed | Code::Fatal))
}
