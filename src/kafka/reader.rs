//! Reads topics from their beginning: the demo and the drills count arrived events by it.
//!
//! No group and no commits: partitions are assigned by hand, and every reader sees everything.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{BorrowedMessage, Headers},
    metadata::Metadata,
};

use crate::config;

use super::{login::Given, properties, quiet::Quiet};

/// The topics to read. New topics and partitions are picked up as they appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    Topics(Vec<String>),
    /// All topics whose names begin with this text.
    Prefix(String),
}

/// One record, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970, if it has one.
    pub at: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None` is a null value, which is not an empty one.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl ReadRecord {
    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// The cluster could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read from Kafka: {0}")]
pub struct ReadError(String);

/// Reads everything there is, in order within a partition.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    given: Given,
    select: Select,
    /// By topic and partition: the offset after the last record read.
    next: HashMap<(String, i32), i64>,
    looked: Option<Instant>,
    begin: Offset,
}

/// Interval of the search for new topics.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Reader {
    pub fn open(kafka: &config::Kafka, select: Select) -> Result<Self, ReadError> {
        let mut native = properties::reader(kafka);
        // A client that writes to the cluster reports its troubles already.
        native.set_log_level(RDKafkaLogLevel::Emerg);
        let consumer = native.create_with_context(Quiet);
        let consumer: BaseConsumer<Quiet> =
            consumer.map_err(|error| ReadError(properties::describe(&error)))?;
        let given = Given::to_client_of(kafka);
        // Without a token reading is retried, as with a cluster that is away.
        let _ = given.first(consumer.client());
        let begin = Offset::Beginning;
        Ok(Self { consumer, given, select, next: HashMap::new(), looked: None, begin })
    }

    /// Lets it begin with the newest `most` records of each partition.
    pub fn of_newest(self, most: i64) -> Self {
        Self { begin: Offset::OffsetTail(most), ..self }
    }

    /// Reads up to `most` records, waiting at most `timeout` for the first. While the cluster is
    /// away there are none.
    pub fn read(&mut self, most: usize, timeout: Duration) -> Result<Vec<ReadRecord>, ReadError> {
        let _ = self.given.renew(self.consumer.client());
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL) {
            // Away is not an error: the next look may find it.
            let _ = self.look();
            self.looked = Some(Instant::now());
        }
        let mut records = Vec::new();
        let end = Instant::now() + timeout;
        while records.len() < most {
            let wait = if records.is_empty() {
                end.saturating_duration_since(Instant::now()).min(LOOK_INTERVAL)
            } else {
                Duration::ZERO
            };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = read(&message);
                    let partition = (record.topic.clone(), record.partition);
                    self.next.insert(partition, record.offset + 1);
                    records.push(record);
                }
                Some(Err(error)) if is_lasting(&error) => return Err(error.into()),
                Some(Err(_)) => {}
                None => break,
            }
        }
        Ok(records)
    }

    /// Whether everything that is on the selected topics at this moment has been read; also `true` when
    /// there is no such topic. An error if the cluster does not say.
    pub fn is_at_end(&mut self) -> Result<bool, ReadError> {
        self.look()?;
        let positions = self.consumer.position()?;
        for ((topic, partition), next) in &self.next {
            let (low, high) = self.consumer.fetch_watermarks(topic, *partition, ANSWER_TIMEOUT)?;
            // The marker that ends a transaction has an offset too, and is no record: the client passes it by itself.
            let position = positions.find_partition(topic, *partition).map(|it| it.offset());
            let position = position.and_then(|offset| offset.to_raw()).unwrap_or_default();
            if position.max(*next).max(low) < high {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds new partitions and reads them from their beginning.
    fn look(&mut self) -> Result<(), ReadError> {
        let questions: Vec<Option<String>> = match &self.select {
            // By name: a listing of a large cluster takes long.
            Select::Topics(topics) => topics.iter().cloned().map(Some).collect(),
            Select::Prefix(_) => vec![None],
        };
        let mut new = TopicPartitionList::new();
        for question in questions {
            let metadata = self.consumer.fetch_metadata(question.as_deref(), ANSWER_TIMEOUT)?;
            self.find_partitions(&metadata, &mut new)?;
        }
        if new.count() > 0 {
            self.consumer.incremental_assign(&new)?;
        }
        Ok(())
    }

    fn find_partitions(
        &mut self,
        metadata: &Metadata,
        new: &mut TopicPartitionList,
    ) -> Result<(), ReadError> {
        for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
            let name = topic.name();
            if !self.select.takes(name) {
                continue;
            }
            for partition in topic.partitions() {
                if let Entry::Vacant(entry) = self.next.entry((name.to_owned(), partition.id())) {
                    new.add_partition_offset(name, partition.id(), self.begin)?;
                    entry.insert(0);
                }
            }
        }
        Ok(())
    }
}

impl Select {
    fn takes(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.iter().any(|name| name == topic),
            Self::Prefix(prefix) => topic.starts_with(prefix),
        }
    }
}

fn read(message: &BorrowedMessage<'_>) -> ReadRecord {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    ReadRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        at: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect(),
    }
}

/// Whether an error lasts; the library recovers from all others by itself.
fn is_lasting(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::Fatal)
    )
}

impl From<KafkaError> for ReadError {
    fn from(error: KafkaError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("select", &self.select)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
