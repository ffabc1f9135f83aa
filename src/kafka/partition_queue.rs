//! Queues of partitions: the first record of a partition goes alone.
//!
//! A broker that knows nothing of a producer takes any sequence number for its first: when the first
//! request fails in passing (the partition was made a moment ago, its leader has just changed) while a
//! second one is under way, the second is taken, and the library then calls the first delivered as well
//! (decision 17). So a partition acknowledges its first record before a second one is handed to the
//! library; later records wait here meanwhile, in order. Brokers forget a producer that they have not
//! heard of for long (`producer.id.expiration.ms`), so after a pause the next record goes alone again.
//!
//! The partition of a record is computed as the library does it. Delivery reports show when the count of
//! partitions has changed, and until it is known again each record goes alone.
//!
//! And the library pauses the partitions where records wait while no report comes (`silence`).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::message::OwnedHeaders;

use super::partition;
use silence::{CROWDED, OWN_PATIENCE, PATIENCE, Silence};

mod silence;

/// After such a pause the next record goes alone; brokers remember a producer for a day by default.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A partition of a topic, as [`PartitionQueues`] numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionKey {
    topic: usize,
    partition: u32,
}

/// A record that waits until it may go.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Where it stands in [`Pending`](super::pending::Pending).
    pub slot: usize,
    pub key: Option<Box<[u8]>>,
    /// `None` for a tombstone.
    pub value: Option<Box<[u8]>>,
    pub headers: OwnedHeaders,
    pub timestamp: Option<i64>,
}

/// The queues of one producer: another producer is new to every broker.
#[derive(Debug, Default)]
pub(super) struct PartitionQueues {
    numbers: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    /// Partitions whose next record may be able to go.
    ready: Vec<PartitionKey>,
    /// How many records the library has.
    under_way: usize,
    /// Partitions that have a [`Crowd`].
    crowded: Vec<PartitionKey>,
    /// `None` before the first record.
    silence: Option<Silence>,
    /// A connection has failed, and no record was acknowledged since: the records in flight there wait again, and have to
    /// be sent as soon as a connection is back.
    has_failed: bool,
    /// For how long the library waits for more records for a request (`linger.ms`).
    linger: Duration,
}

/// Partitions that the library is to pause, and those that it is to resume.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    pub paused: Vec<(Arc<str>, i32)>,
    pub resumed: Vec<(Arc<str>, i32)>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Whether the count of partitions is right, as far as is known. If not, the topic comes to rest
    /// before they are counted again, since records of one key must not be on their way to two partitions.
    counted: bool,
    /// How many records the library has.
    under_way: usize,
    partitions: Vec<Partition>,
    /// Counts records without a key: the partitions take turns.
    turn: u32,
}

#[derive(Debug, Default)]
struct Partition {
    /// When it last acknowledged a record of this producer.
    acknowledged: Option<Instant>,
    /// A connection has failed since, to its leader or to another broker.
    has_failed: bool,
    under_way: usize,
    queue: VecDeque<Waiting>,
    /// Present while the partition has many records under way.
    crowd: Option<Crowd>,
}

#[derive(Debug)]
struct Crowd {
    since: Instant,
    is_paused: bool,
    /// The silence of this partition alone.
    silence: Silence,
}

impl PartitionQueues {
    /// Queues of a producer whose requests wait `linger` for more records.
    pub fn new(linger: Duration) -> Self {
        Self { linger, ..Self::default() }
    }

    /// The partition for a record; `count` returns a topic's number of partitions, where that is known.
    pub fn target(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        count: impl FnOnce(&str) -> Option<u32>,
    ) -> PartitionKey {
        let number = match self.numbers.get(topic) {
            Some(number) => *number,
            None => self.add(topic),
        };
        self.recount(number, count);
        PartitionKey { topic: number, partition: self.topics[number].partition_of(key) }
    }

    /// The partition of a record without a key, which the library has to be given; it computes the others itself.
    pub fn chosen(&self, target: PartitionKey, key: Option<&[u8]>) -> Option<i32> {
        let is_chosen = key.is_none() && self.topics[target.topic].counted;
        is_chosen.then_some(target.partition).and_then(|partition| partition.try_into().ok())
    }

    fn add(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), self.topics.len());
        let partitions = vec![Partition::default()];
        self.topics.push(Topic { name, counted: false, under_way: 0, partitions, turn: 0 });
        self.topics.len() - 1
    }

    /// Counts the partitions of a topic that has to be counted and has come to rest.
    fn recount(&mut self, number: usize, count: impl FnOnce(&str) -> Option<u32>) {
        let topic = &mut self.topics[number];
        // The library hears first that it is to resume a partition.
        let has_crowd = || topic.partitions.iter().any(|partition| partition.crowd.is_some());
        if topic.counted || topic.under_way > 0 || has_crowd() {
            return;
        }
        let Some(count) = count(&topic.name).filter(|count| *count > 0) else { return };
        topic.counted = true;
        let before = std::mem::take(&mut topic.partitions);
        topic.partitions.resize_with(count as usize, Partition::default);
        self.ready.retain(|target| target.topic != number);
        // Records of one key were in one queue, so their order stays.
        for record in before.into_iter().flat_map(|partition| partition.queue) {
            let partition = topic.partition_of(record.key.as_deref());
            topic.partitions[partition as usize].queue.push_back(record);
            self.ready.push(PartitionKey { topic: number, partition });
        }
    }

    /// Whether a record may go now; it is then under way.
    pub fn may_send(&mut self, target: PartitionKey, now: Instant) -> bool {
        let (topic, partition) = self.at(target);
        let may_send = partition.queue.is_empty() && is_open(topic, partition, now);
        if may_send {
            self.goes(target, now);
        }
        may_send
    }

    /// Lets a record wait until those before it have gone and the partition takes another one.
    pub fn enqueue(&mut self, target: PartitionKey, record: Waiting) {
        self.topics[target.topic].partition(target.partition).queue.push_back(record);
    }

    /// Takes the next record that may go, with its topic; it is then under way. `count` as for
    /// [`PartitionQueues::target`].
    pub fn next(
        &mut self,
        now: Instant,
        count: impl Fn(&str) -> Option<u32>,
    ) -> Option<(PartitionKey, Arc<str>, Waiting)> {
        while let Some(target) = self.ready.last().copied() {
            self.recount(target.topic, &count);
            let target = *self.ready.last()?;
            let (topic, partition) = self.at(target);
            if is_open(topic, partition, now) && !partition.queue.is_empty() {
                self.goes(target, now);
                let topic = &mut self.topics[target.topic];
                let record = topic.partition(target.partition).queue.pop_front()?;
                return Some((target, Arc::clone(&topic.name), record));
            }
            self.ready.pop();
        }
        None
    }

    /// Puts a record back in front: the library had no room for it.
    pub fn requeue(&mut self, target: PartitionKey, record: Waiting) {
        self.settles(target);
        self.topics[target.topic].partition(target.partition).queue.push_front(record);
        self.ready.push(target);
    }

    /// Notes that a record is no longer under way; `by` is the partition that acknowledged it, if one did.
    /// Returns whether it is another one than was computed.
    pub fn settled(&mut self, target: PartitionKey, by: Option<u32>, now: Instant) -> bool {
        self.settles(target);
        self.has_failed &= by.is_none();
        self.silence = (!self.has_failed).then(|| Silence::after(now, self.linger + PATIENCE));
        let own_silence = Silence::after(now, self.linger + OWN_PATIENCE);
        let topic = &mut self.topics[target.topic];
        let partition = topic.partition(target.partition);
        partition.has_failed &= by.is_none();
        if let Some(crowd) = &mut partition.crowd {
            crowd.silence = own_silence;
        }
        let is_another = by.is_some_and(|by| by != target.partition);
        if is_another {
            topic.counted = false;
        } else if by.is_some() {
            topic.partition(target.partition).acknowledged = Some(now);
        }
        if topic.counted {
            if !topic.partition(target.partition).queue.is_empty() {
                self.ready.push(target);
            }
        } else if topic.under_way == 0 {
            let lines = (0..).zip(&topic.partitions).filter(|(_, it)| !it.queue.is_empty());
            let targets =
                lines.map(|(partition, _)| PartitionKey { topic: target.topic, partition });
            self.ready.extend(targets);
        }
        is_another
    }

    /// A connection to a broker has failed: nothing is paused before a record is acknowledged again.
    pub fn connection_failed(&mut self) {
        self.has_failed = true;
        self.silence = None;
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.has_failed = true;
        }
    }

    /// Returns the partitions that the library is to pause or to resume now.
    pub fn pauses(&mut self, now: Instant) -> Pauses {
        let mut pauses = Pauses::default();
        let is_silent = self.silence.as_mut().is_some_and(|it| it.is_on(now));
        let has_failed = self.has_failed;
        let (topics, patience) = (&mut self.topics, self.linger + PATIENCE);
        self.crowded.retain(|target| {
            let topic = &mut topics[target.topic];
            let (name, partition) = (&topic.name, &mut topic.partitions[target.partition as usize]);
            let is_crowded = partition.under_way >= CROWDED;
            if let Some(crowd) = &mut partition.crowd {
                let is_silent_alone =
                    crowd.silence.is_on(now) && !has_failed && !partition.has_failed;
                let is_one = is_silent && now >= crowd.since + patience;
                let is_paused = is_crowded && (is_one || is_silent_alone);
                if is_paused != std::mem::replace(&mut crowd.is_paused, is_paused)
                    && let Ok(number) = target.partition.try_into()
                {
                    let told = if is_paused { &mut pauses.paused } else { &mut pauses.resumed };
                    told.push((Arc::clone(name), number));
                }
            }
            if !is_crowded {
                partition.crowd = None;
            }
            is_crowded
        });
        pauses
    }

    fn goes(&mut self, target: PartitionKey, now: Instant) {
        if self.under_way == 0 && !self.has_failed {
            // There was nothing to report.
            self.silence = Some(Silence::after(now, self.linger + PATIENCE));
        }
        let own_patience = self.linger + OWN_PATIENCE;
        self.under_way += 1;
        let topic = &mut self.topics[target.topic];
        topic.under_way += 1;
        let partition = topic.partition(target.partition);
        partition.under_way += 1;
        if partition.under_way >= CROWDED && partition.crowd.is_none() {
            let silence = Silence::after(now, own_patience);
            partition.crowd = Some(Crowd { since: now, is_paused: false, silence });
            self.crowded.push(target);
        }
    }

    fn settles(&mut self, target: PartitionKey) {
        self.under_way -= 1;
        let topic = &mut self.topics[target.topic];
        topic.under_way -= 1;
        topic.partition(target.partition).under_way -= 1;
    }

    /// Empties the queues; returns the slots of their records in
    /// [`Pending`](super::pending::Pending).
    pub fn drain(&mut self) -> Vec<usize> {
        self.ready.clear();
        let partitions = self.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.flat_map(|partition| partition.queue.drain(..)).map(|it| it.slot).collect()
    }

    fn at(&self, target: PartitionKey) -> (&Topic, &Partition) {
        let topic = &self.topics[target.topic];
        (topic, &topic.partitions[target.partition as usize])
    }
}

impl Topic {
    fn partition_of(&mut self, key: Option<&[u8]>) -> u32 {
        let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let Some(key) = key else {
            self.turn = self.turn.wrapping_add(1);
            return self.turn % count;
        };
        partition::of_key(key, count)
    }

    fn partition(&mut self, partition: u32) -> &mut Partition {
        &mut self.partitions[partition as usize]
    }
}

fn is_open(topic: &Topic, partition: &Partition, now: Instant) -> bool {
    if !topic.counted {
        return topic.under_way == 0;
    }
    let known = |at: Instant| now.saturating_duration_since(at) < REMEMBERED_FOR;
    partition.under_way == 0 || partition.acknowledged.is_some_and(known)
}

#[cfg(test)]
mod tests;
