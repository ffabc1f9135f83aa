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
//! partitions have changed, delivery reports tell, and until it is known anew nothing goes but alone.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::message::OwnedHeaders;

use super::partition;

/// After such a pause the next record goes alone; brokers remember a producer for a day by default.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// A partition of a topic, as the gate numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Door {
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
pub(super) struct Gate {
    numbers: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    /// Doors at which somebody may be able to go.
    opened: Vec<Door>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Whether there are as many partitions as here, as far as is known. If not, the topic comes to rest
    /// before they are counted anew, since records of one key must not take two doors at once.
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
    line: VecDeque<Waiting>,
}

impl Gate {
    /// The door for a record; `count` says how many partitions a topic has, where that is known.
    pub fn door(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        count: impl FnOnce(&str) -> Option<u32>,
    ) -> Door {
        let number = match self.numbers.get(topic) {
            Some(number) => *number,
            None => self.add(topic),
        };
        self.count_anew(number, count);
        Door { topic: number, partition: self.topics[number].partition_of(key) }
    }

    /// The partition of a record without a key, as the library has to be told; of the others it knows.
    pub fn chosen(&self, door: Door, key: Option<&[u8]>) -> Option<i32> {
        let is_chosen = key.is_none() && self.topics[door.topic].counted;
        is_chosen.then_some(door.partition).and_then(|partition| partition.try_into().ok())
    }

    fn add(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), self.topics.len());
        let partitions = vec![Partition::default()];
        self.topics.push(Topic { name, counted: false, under_way: 0, partitions, turn: 0 });
        self.topics.len() - 1
    }

    /// Counts the partitions of a topic that has to be counted and has come to rest.
    fn count_anew(&mut self, number: usize, count: impl FnOnce(&str) -> Option<u32>) {
        let topic = &mut self.topics[number];
        if topic.counted || topic.under_way > 0 {
            return;
        }
        let Some(count) = count(&topic.name).filter(|count| *count > 0) else { return };
        topic.counted = true;
        let before = std::mem::take(&mut topic.partitions);
        topic.partitions.resize_with(count as usize, Partition::default);
        self.opened.retain(|door| door.topic != number);
        // Those with one key stood in one line.
        for record in before.into_iter().flat_map(|partition| partition.line) {
            let partition = topic.partition_of(record.key.as_deref());
            topic.partitions[partition as usize].line.push_back(record);
            self.opened.push(Door { topic: number, partition });
        }
    }

    /// Whether a record may go now; then it is under way.
    pub fn passes(&mut self, door: Door, now: Instant) -> bool {
        let (topic, partition) = self.at(door);
        let passes = partition.line.is_empty() && is_open(topic, partition, now);
        self.topics[door.topic].goes(door.partition, passes)
    }

    /// It goes once those before it have gone and the door is open.
    pub fn stand_in_line(&mut self, door: Door, record: Waiting) {
        self.topics[door.topic].partition(door.partition).line.push_back(record);
    }

    /// The next record that may go, with its topic; then it is under way. `count` as for [`Gate::door`].
    pub fn next(
        &mut self,
        now: Instant,
        count: impl Fn(&str) -> Option<u32>,
    ) -> Option<(Door, Arc<str>, Waiting)> {
        while let Some(door) = self.opened.last().copied() {
            self.count_anew(door.topic, &count);
            let door = *self.opened.last()?;
            let (topic, partition) = self.at(door);
            if is_open(topic, partition, now) && !partition.line.is_empty() {
                let topic = &mut self.topics[door.topic];
                topic.goes(door.partition, true);
                let record = topic.partition(door.partition).line.pop_front()?;
                return Some((door, Arc::clone(&topic.name), record));
            }
            self.opened.pop();
        }
        None
    }

    /// The library had no room for it: it is the first in line again.
    pub fn comes_back(&mut self, door: Door, record: Waiting) {
        let topic = &mut self.topics[door.topic];
        topic.settles(door.partition);
        topic.partition(door.partition).line.push_front(record);
        self.opened.push(door);
    }

    /// A record is not under way any more; `by` is the partition that acknowledged it, if one did.
    /// Returns whether it is another one than was thought.
    pub fn settled(&mut self, door: Door, by: Option<u32>, now: Instant) -> bool {
        let topic = &mut self.topics[door.topic];
        topic.settles(door.partition);
        let is_another = by.is_some_and(|by| by != door.partition);
        if is_another {
            topic.counted = false;
        } else if by.is_some() {
            topic.partition(door.partition).acknowledged = Some(now);
        }
        if topic.counted {
            if !topic.partition(door.partition).line.is_empty() {
                self.opened.push(door);
            }
        } else if topic.under_way == 0 {
            let lines = (0..).zip(&topic.partitions).filter(|(_, it)| !it.line.is_empty());
            let doors = lines.map(|(partition, _)| Door { topic: door.topic, partition });
            self.opened.extend(doors);
        }
        is_another
    }

    /// Nobody waits any more; returns where those who did stand in
    /// [`Pending`](super::pending::Pending).
    pub fn send_home(&mut self) -> Vec<usize> {
        self.opened.clear();
        let partitions = self.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.flat_map(|partition| partition.line.drain(..)).map(|it| it.slot).collect()
    }

    fn at(&self, door: Door) -> (&Topic, &Partition) {
        let topic = &self.topics[door.topic];
        (topic, &topic.partitions[door.partition as usize])
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

    /// A gate, how many partitions its topic has, and a clock.
    struct Case {
        gate: Gate,
        count: Option<u32>,
        now: Instant,
    }

    impl Case {
        fn new(count: u32) -> Self {
            Self { gate: Gate::default(), count: Some(count), now: Instant::now() }
        }

        /// Whether it goes at once.
        fn send(&mut self, slot: usize, key: &str) -> (Door, bool) {
            let door = self.gate.door(TOPIC, Some(key.as_bytes()), |_| self.count);
            let passes = self.gate.passes(door, self.now);
            if !passes {
                self.gate.stand_in_line(door, record(slot, key));
            }
            (door, passes)
        }

        /// The slots of those that may go now.
        fn go(&mut self) -> Vec<(Door, usize)> {
            let next = || self.gate.next(self.now, |_| self.count);
            std::iter::from_fn(next).map(|(door, _, record)| (door, record.slot)).collect()
        }

        fn acknowledge(&mut self, door: Door) {
            assert!(!self.gate.settled(door, Some(door.partition), self.now));
        }
    }

    #[test]
    fn what_comes_while_the_first_is_under_way_waits_for_it_in_order() {
        let mut case = Case::new(1);
        let (door, passes) = case.send(0, "a");
        assert!(passes);
        for slot in 1..4 {
            assert!(!case.send(slot, "a").1);
        }
        assert_eq!(case.go(), []);
        case.acknowledge(door);
        assert!(!case.send(4, "a").1, "not before those in line");
        assert_eq!(case.go(), [(door, 1), (door, 2), (door, 3), (door, 4)]);
        assert!(case.send(5, "a").1, "and then any number at a time");
    }

    #[test]
    fn one_partition_does_not_wait_for_another() {
        let mut case = Case::new(16);
        let doors: Vec<_> = (0..40).map(|n| case.send(n, &format!("key-{n}"))).collect();
        let mut seen = Vec::new();
        for (door, passes) in doors {
            assert_eq!(passes, !seen.contains(&door), "the first of each partition");
            seen.push(door);
        }
    }

    #[test]
    fn records_without_a_key_take_turns_at_the_partitions() {
        let mut case = Case::new(3);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let door = case.gate.door(TOPIC, None, |_| case.count);
            assert_eq!(case.gate.chosen(door, None), Some(door.partition.try_into().unwrap()));
            assert_eq!(case.gate.chosen(door, Some(b"a")), None);
            seen.push(door.partition);
        }
        assert_eq!(seen, [1, 2, 0, 1, 2, 0]);
        let mut unknown = Gate::default();
        let door = unknown.door(TOPIC, None, |_| None);
        assert_eq!(unknown.chosen(door, None), None, "the partitions are not known");
    }

    #[test]
    fn a_first_record_that_fails_opens_to_one_more() {
        let mut case = Case::new(1);
        let (door, _) = case.send(0, "a");
        case.send(1, "a");
        case.send(2, "a");
        case.gate.settled(door, None, case.now);
        assert_eq!(case.go(), [(door, 1)]);
        case.acknowledge(door);
        assert_eq!(case.go(), [(door, 2)]);
    }

    #[test]
    fn after_a_pause_a_record_goes_alone_again() {
        let mut case = Case::new(1);
        let (door, _) = case.send(0, "a");
        case.acknowledge(door);
        assert!(case.send(1, "a").1 && case.send(2, "a").1);
        case.now += KNOWN_FOR;
        assert!(!case.send(3, "a").1, "nobody knows whether the broker knows us");
        case.acknowledge(door);
        assert_eq!(case.go(), [(door, 3)]);
        case.acknowledge(door);
        case.acknowledge(door);
        case.now += KNOWN_FOR;
        assert!(case.send(4, "a").1);
        assert!(!case.send(5, "a").1);
    }

    #[test]
    fn another_count_of_partitions_shows_and_lets_a_topic_come_to_rest_first() {
        let mut case = Case::new(1);
        let (door, _) = case.send(0, "a");
        case.acknowledge(door);
        let keys: Vec<_> = (1..20).map(|slot| format!("key-{slot}")).collect();
        assert!(case.send(1, &keys[0]).1 && case.send(2, &keys[1]).1);
        case.count = None; // it is being looked up
        assert!(case.gate.settled(door, Some(2), case.now), "there are more than one");
        for slot in 3..20 {
            assert!(!case.send(slot, &keys[slot - 1]).1);
        }
        assert_eq!(case.go(), [], "the other one is still under way");
        case.acknowledge(door);
        assert_eq!(case.go(), [(door, 3)], "alone while nobody knows the count");
        case.count = Some(4);
        assert_eq!(case.go(), []);
        case.acknowledge(door);
        let gone = case.go();
        let mut doors: Vec<_> = gone.iter().map(|(door, _)| door.partition).collect();
        doors.sort_unstable();
        assert_eq!(doors, [0, 1, 2, 3], "the first of each");
        for (door, _) in gone {
            case.acknowledge(door);
        }
        let rest = case.go();
        assert_eq!(rest.len(), 12);
        let of = |partition| rest.iter().filter(move |(door, _)| door.partition == partition);
        for partition in 0..4 {
            assert!(of(partition).is_sorted_by_key(|(_, slot)| *slot));
        }
    }

    #[test]
    fn what_the_library_had_no_room_for_is_the_first_again() {
        let mut case = Case::new(1);
        let (door, _) = case.send(0, "a");
        (1..4).for_each(|slot| assert!(!case.send(slot, "a").1));
        case.acknowledge(door);
        let (door, _, first) = case.gate.next(case.now, |_| None).unwrap();
        case.gate.comes_back(door, first);
        assert_eq!(case.go(), [(door, 1), (door, 2), (door, 3)]);
    }

    #[test]
    fn who_is_sent_home_is_named_once() {
        let mut case = Case::new(3);
        for slot in 0..9 {
            case.send(slot, &format!("key-{}", slot % 3));
        }
        let mut home = case.gate.send_home();
        home.sort_unstable();
        assert!(!home.is_empty() && home.is_sorted_by(|a, b| a < b));
        assert!(case.gate.send_home().is_empty());
        assert_eq!(case.go(), []);
    }
}
