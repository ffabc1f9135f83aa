//! The first record of a partition goes alone.
//!
//! A broker that knows nothing of a producer takes any sequence number for its first: when the first
//! request fails in passing (the partition was made a moment ago, its leader has just changed) while a
//! second one is under way, the second is taken, and the library then calls the first delivered as well
//! (decision 17). So a partition acknowledges its first record before a second one is handed to the
//! library; what comes meanwhile waits here, in order. Brokers forget a producer that they have not
//! heard of for long (`producer.id.expiration.ms`), so after a pause the next record goes alone again.
//!
//! Which partition a record will be in is worked out as the library does it. Should the count of
//! partitions have changed, delivery reports tell, and until it is known again each record goes alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::message::OwnedHeaders;

use super::partition;

/// After such a pause the next record goes alone; brokers remember a producer for a day by default.
const KNOWN_FOR: Duration = Duration::from_secs(60);

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
    pub value: Box<[u8]>,
    pub headers: OwnedHeaders,
}

/// Of one producer: another one is new to every broker.
#[derive(Debug, Default)]
pub(super) struct PartitionQueues {
    numbers: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    /// Doors at which somebody may be able to go.
    ready: Vec<PartitionKey>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Whether there are as many partitions as here, as far as is known. If not, the topic comes to rest
    /// before they are counted again, since records of one key must not be on their way to two partitions.
    counted: bool,
    /// How many records the library has.
    under_way: usize,
    partitions: Vec<Partition>,
    /// Where the next record without a key goes: they take turns.
    turn: u32,
}

#[derive(Debug, Default)]
struct Partition {
    /// When it last acknowledged a record of this producer.
    acknowledged: Option<Instant>,
    under_way: usize,
    queue: VecDeque<Waiting>,
}

impl PartitionQueues {
    /// The partition for a record; `count` says how many partitions a topic has, where that is known.
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

    /// The partition of a record without a key, as the library has to be told; of the others it knows.
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
        if topic.counted || topic.under_way > 0 {
            return;
        }
        let Some(count) = count(&topic.name).filter(|count| *count > 0) else { return };
        topic.counted = true;
        let before = std::mem::take(&mut topic.partitions);
        topic.partitions.resize_with(count as usize, Partition::default);
        self.ready.retain(|target| target.topic != number);
        // Those with one key stood in one queue.
        for record in before.into_iter().flat_map(|partition| partition.queue) {
            let partition = topic.partition_of(record.key.as_deref());
            topic.partitions[partition as usize].queue.push_back(record);
            self.ready.push(PartitionKey { topic: number, partition });
        }
    }

    /// Whether a record may go now; then it is under way.
    pub fn may_send(&mut self, target: PartitionKey, now: Instant) -> bool {
        let (topic, partition) = self.at(target);
        let may_send = partition.queue.is_empty() && is_open(topic, partition, now);
        self.topics[target.topic].goes(target.partition, may_send)
    }

    /// It goes once those before it have gone and the partition takes another one.
    pub fn enqueue(&mut self, target: PartitionKey, record: Waiting) {
        self.topics[target.topic].partition(target.partition).queue.push_back(record);
    }

    /// The next record that may go, with its topic; then it is under way. `count` as for [`PartitionQueues::target`].
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
                let topic = &mut self.topics[target.topic];
                topic.goes(target.partition, true);
                let record = topic.partition(target.partition).queue.pop_front()?;
                return Some((target, Arc::clone(&topic.name), record));
            }
            self.ready.pop();
        }
        None
    }

    /// The library had no room for it: it is the first in queue again.
    pub fn requeue(&mut self, target: PartitionKey, record: Waiting) {
        let topic = &mut self.topics[target.topic];
        topic.settles(target.partition);
        topic.partition(target.partition).queue.push_front(record);
        self.ready.push(target);
    }

    /// A record is not under way any more; `by` is the partition that acknowledged it, if one did.
    /// Returns whether it is another one than was thought.
    pub fn settled(&mut self, target: PartitionKey, by: Option<u32>, now: Instant) -> bool {
        let topic = &mut self.topics[target.topic];
        topic.settles(target.partition);
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

    /// Nobody waits any more; returns where those who did stand in
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

    fn goes(&mut self, partition: u32, goes: bool) -> bool {
        self.under_way += usize::from(goes);
        self.partition(partition).under_way += usize::from(goes);
        goes
    }

    fn settles(&mut self, partition: u32) {
        self.under_way -= 1;
        self.partition(partition).under_way -= 1;
    }
}

fn is_open(topic: &Topic, partition: &Partition, now: Instant) -> bool {
    if !topic.counted {
        return topic.under_way == 0;
    }
    let known = |at: Instant| now.saturating_duration_since(at) < KNOWN_FOR;
    partition.under_way == 0 || partition.acknowledged.is_some_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "marketo.lead-activity.a";

    fn record(slot: usize, key: &str) -> Waiting {
        let (key, value) = (Some(key.as_bytes().into()), [].into());
        Waiting { slot, key, value, headers: OwnedHeaders::new() }
    }

    /// The queues, how many partitions the topic has, and a clock.
    struct Case {
        queues: PartitionQueues,
        count: Option<u32>,
        now: Instant,
    }

    impl Case {
        fn new(count: u32) -> Self {
            Self { queues: PartitionQueues::default(), count: Some(count), now: Instant::now() }
        }

        /// Whether it goes at once.
        fn send(&mut self, slot: usize, key: &str) -> (PartitionKey, bool) {
            let target = self.queues.target(TOPIC, Some(key.as_bytes()), |_| self.count);
            let may_send = self.queues.may_send(target, self.now);
            if !may_send {
                self.queues.enqueue(target, record(slot, key));
            }
            (target, may_send)
        }

        /// The slots of those that may go now.
        fn go(&mut self) -> Vec<(PartitionKey, usize)> {
            let next = || self.queues.next(self.now, |_| self.count);
            std::iter::from_fn(next).map(|(target, _, record)| (target, record.slot)).collect()
        }

        fn acknowledge(&mut self, target: PartitionKey) {
            assert!(!self.queues.settled(target, Some(target.partition), self.now));
        }
    }

    #[test]
    fn what_comes_while_the_first_is_under_way_waits_for_it_in_order() {
        let mut case = Case::new(1);
        let (target, may_send) = case.send(0, "a");
        assert!(may_send);
        for slot in 1..4 {
            assert!(!case.send(slot, "a").1);
        }
        assert_eq!(case.go(), []);
        case.acknowledge(target);
        assert!(!case.send(4, "a").1, "not before those in queue");
        assert_eq!(case.go(), [(target, 1), (target, 2), (target, 3), (target, 4)]);
        assert!(case.send(5, "a").1, "and then any number at a time");
    }

    #[test]
    fn one_partition_does_not_wait_for_another() {
        let mut case = Case::new(16);
        let targets: Vec<_> = (0..40).map(|n| case.send(n, &format!("key-{n}"))).collect();
        let mut seen = Vec::new();
        for (target, may_send) in targets {
            assert_eq!(may_send, !seen.contains(&target), "the first of each partition");
            seen.push(target);
        }
    }

    #[test]
    fn records_without_a_key_take_turns_at_the_partitions() {
        let mut case = Case::new(3);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let target = case.queues.target(TOPIC, None, |_| case.count);
            assert_eq!(
                case.queues.chosen(target, None),
                Some(target.partition.try_into().unwrap())
            );
            assert_eq!(case.queues.chosen(target, Some(b"a")), None);
            seen.push(target.partition);
        }
        assert_eq!(seen, [1, 2, 0, 1, 2, 0]);
        let mut unknown = PartitionQueues::default();
        let target = unknown.target(TOPIC, None, |_| None);
        assert_eq!(unknown.chosen(target, None), None, "the partitions are not known");
    }

    #[test]
    fn a_first_record_that_fails_opens_to_one_more() {
        let mut case = Case::new(1);
        let (target, _) = case.send(0, "a");
        case.send(1, "a");
        case.send(2, "a");
        case.queues.settled(target, None, case.now);
        assert_eq!(case.go(), [(target, 1)]);
        case.acknowledge(target);
        assert_eq!(case.go(), [(target, 2)]);
    }

    #[test]
    fn after_a_pause_a_record_goes_alone_again() {
        let mut case = Case::new(1);
        let (target, _) = case.send(0, "a");
        case.acknowledge(target);
        assert!(case.send(1, "a").1 && case.send(2, "a").1);
        case.now += KNOWN_FOR;
        assert!(!case.send(3, "a").1, "nobody knows whether the broker knows us");
        case.acknowledge(target);
        assert_eq!(case.go(), [(target, 3)]);
        case.acknowledge(target);
        case.acknowledge(target);
        case.now += KNOWN_FOR;
        assert!(case.send(4, "a").1);
        assert!(!case.send(5, "a").1);
    }

    #[test]
    fn another_count_of_partitions_shows_and_lets_a_topic_come_to_rest_first() {
        let mut case = Case::new(1);
        let (target, _) = case.send(0, "a");
        case.acknowledge(target);
        let keys: Vec<_> = (1..20).map(|slot| format!("key-{slot}")).collect();
        assert!(case.send(1, &keys[0]).1 && case.send(2, &keys[1]).1);
        case.count = None; // it is being looked up
        assert!(case.queues.settled(target, Some(2), case.now), "there are more than one");
        for slot in 3..20 {
            assert!(!case.send(slot, &keys[slot - 1]).1);
        }
        assert_eq!(case.go(), [], "the other one is still under way");
        case.acknowledge(target);
        assert_eq!(case.go(), [(target, 3)], "alone while nobody knows the count");
        case.count = Some(4);
        assert_eq!(case.go(), []);
        case.acknowledge(target);
        let gone = case.go();
        let mut targets: Vec<_> = gone.iter().map(|(target, _)| target.partition).collect();
        targets.sort_unstable();
        assert_eq!(targets, [0, 1, 2, 3], "the first of each");
        for (target, _) in gone {
            case.acknowledge(target);
        }
        let rest = case.go();
        assert_eq!(rest.len(), 12);
        let of = |partition| rest.iter().filter(move |(target, _)| target.partition == partition);
        for partition in 0..4 {
            assert!(of(partition).is_sorted_by_key(|(_, slot)| *slot));
        }
    }

    #[test]
    fn what_the_library_had_no_room_for_is_the_first_again() {
        let mut case = Case::new(1);
        let (target, _) = case.send(0, "a");
        (1..4).for_each(|slot| assert!(!case.send(slot, "a").1));
        case.acknowledge(target);
        let (target, _, first) = case.queues.next(case.now, |_| None).unwrap();
        case.queues.requeue(target, first);
        assert_eq!(case.go(), [(target, 1), (target, 2), (target, 3)]);
    }

    #[test]
    fn who_is_sent_home_is_named_once() {
        let mut case = Case::new(3);
        for slot in 0..9 {
            case.send(slot, &format!("key-{}", slot % 3));
        }
        let mut home = case.queues.drain();
        home.sort_unstable();
        assert!(!home.is_empty() && home.is_sorted_by(|a, b| a < b));
        assert!(case.queues.drain().is_empty());
        assert_eq!(case.go(), []);
    }
}
