//! Reads topics from their beginning: the demo and the drills count arrived events by it.
//!
//! No group and no commits: partitions are assigned by hand, and every reader sees everything. Memory is bounded, whatever
//! is on the topics (`unreadable.rs`): a record that no dead letter of this program can be is passed by, and named.

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

use super::{
    login::Given,
    properties,
    quiet::Quiet,
    unreadable::{self, Passed, Place},
};

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
    /// By topic and partition: the offset after the last record read, once one was read.
    next: HashMap<(String, i32), Option<i64>>,
    looked: Option<Instant>,
    begin: Begin,
    /// The largest batch and the largest record that are read, in bytes.
    limit: usize,
    passed: Vec<Passed>,
    /// How often in a row a batch could not be read and was not found.
    not_found: u32,
}

/// Where a partition is read from.
#[derive(Clone, Copy, Debug)]
enum Begin {
    First,
    /// So many records before the end.
    Newest(i64),
}

/// Interval of the search for new topics.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Least limit of a batch, in bytes. It is larger where this program may write larger records.
const LEAST_LIMIT: usize = 8 << 20;
/// Bytes of values that one call of [`Reader::read`] gives, the last record apart.
const READ_BYTES: usize = 16 << 20;
/// Places that are kept until they are taken; all are in the log.
const MAX_PASSED: usize = 100;
/// Batches in a row that cannot be read and are found nowhere until reading ends.
const MAX_NOT_FOUND: u32 = 3;

impl Reader {
    pub fn open(kafka: &config::Kafka, select: Select) -> Result<Self, ReadError> {
        let mut native = properties::reader(kafka);
        // A batch of this program has one record of the largest size at most. The limit may have been lowered since.
        let limit = LEAST_LIMIT.max(2 * properties::message_max_bytes(kafka));
        unreadable::bound(&mut native, limit);
        // A client that writes to the cluster reports its troubles already.
        native.set_log_level(RDKafkaLogLevel::Emerg);
        let consumer = native.create_with_context(Quiet);
        let consumer: BaseConsumer<Quiet> =
            consumer.map_err(|error| ReadError(properties::describe(&error)))?;
        let given = Given::to_client_of(kafka);
        // Without a token reading is retried, as with a cluster that is away.
        let _ = given.first(consumer.client());
        let (next, looked, passed) = (HashMap::new(), None, Vec::new());
        let begin = Begin::First;
        Ok(Self { consumer, given, select, next, looked, begin, limit, passed, not_found: 0 })
    }

    /// Lets it begin with the newest `most` records of each partition.
    pub fn of_newest(self, most: i64) -> Self {
        Self { begin: Begin::Newest(most), ..self }
    }

    /// Reads up to `most` records, waiting at most `timeout` for the first. While the cluster is
    /// away there are none. Those that were passed by are told by [`Reader::take_passed`].
    pub fn read(&mut self, most: usize, timeout: Duration) -> Result<Vec<ReadRecord>, ReadError> {
        let _ = self.given.renew(self.consumer.client());
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL) {
            // Away is not an error: the next look may find it.
            let _ = self.look();
            self.looked = Some(Instant::now());
        }
        let mut records = Vec::new();
        let end = Instant::now() + timeout;
        let mut bytes = 0;
        while records.len() < most && bytes < READ_BYTES {
            let wait = if records.is_empty() {
                end.saturating_duration_since(Instant::now()).min(LOOK_INTERVAL)
            } else {
                Duration::ZERO
            };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let place = place_of(&message);
                    let partition = (place.topic.clone(), place.partition);
                    self.next.insert(partition, Some(place.offset + 1));
                    self.not_found = 0;
                    let length = message.payload_len() + message.key_len();
                    if length > self.limit {
                        let next = place.offset + 1;
                        self.passed.extend(pass(place, next, self.limit, self.passed.len()));
                        continue;
                    }
                    bytes += length;
                    records.push(read(&message));
                }
                Some(Err(error)) if is_lasting(&error) => return Err(error.into()),
                // The library fetches the same batch again and again.
                Some(Err(error)) if unreadable::is_unreadable(&error) => {
                    self.pass_by()?;
                    break;
                }
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
            if position.max(next.unwrap_or_default()).max(low) < high {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns what was passed by since the last call; all of it is in the log as well.
    pub fn take_passed(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    /// Finds the batches that cannot be read, and goes on behind them.
    fn pass_by(&mut self) -> Result<(), ReadError> {
        let mut places = Vec::with_capacity(self.next.len());
        for ((topic, partition), next) in &self.next {
            let offset = match (next, self.begin) {
                (Some(next), _) => *next,
                (None, begin) => {
                    let (low, high) =
                        self.consumer.fetch_watermarks(topic, *partition, ANSWER_TIMEOUT)?;
                    match begin {
                        Begin::First => low,
                        Begin::Newest(most) => low.max(high - most),
                    }
                }
            };
            places.push(Place { topic: topic.clone(), partition: *partition, offset });
        }
        let found = unreadable::find(&self.consumer, places);
        for (place, next) in found.iter().flatten() {
            self.next.insert((place.topic.clone(), place.partition), Some(*next));
            self.not_found = 0;
            self.passed.extend(pass(place.clone(), *next, self.limit, self.passed.len()));
        }
        let mut all = TopicPartitionList::new();
        for ((topic, partition), next) in &self.next {
            let offset = next.map_or(self.begin.offset(), Offset::Offset);
            all.add_partition_offset(topic, *partition, offset)?;
        }
        self.consumer.assign(&all)?;
        if found.is_ok_and(|found| !found.is_empty()) {
            return Ok(());
        }
        self.not_found += 1;
        if self.not_found < MAX_NOT_FOUND {
            return Ok(());
        }
        let what = "a batch of records cannot be decompressed or is too large, and was not found: try again";
        Err(ReadError(what.to_owned()))
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
                    new.add_partition_offset(name, partition.id(), self.begin.offset())?;
                    entry.insert(None);
                }
            }
        }
        Ok(())
    }
}

impl Begin {
    fn offset(self) -> Offset {
        match self {
            Self::First => Offset::Beginning,
            Self::Newest(most) => Offset::OffsetTail(most),
        }
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

fn place_of(message: &BorrowedMessage<'_>) -> Place {
    Place {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
    }
}

/// Logs what is passed by; returns it for the caller if not too many are kept.
fn pass(place: Place, next: i64, limit: usize, kept: usize) -> Option<Passed> {
    let Place { topic, partition, offset } = place;
    let passed = Passed { topic, partition, offset, next, limit };
    tracing::warn!(
        topic = passed.topic,
        partition,
        offset,
        next,
        "records that cannot be read are passed by: they cannot be decompressed, or are larger than the limit of a \
         batch once they are"
    );
    (kept < MAX_PASSED).then_some(passed)
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
