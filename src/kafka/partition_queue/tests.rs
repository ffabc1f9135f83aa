use super::*;

const TOPIC: &str = "marketo.lead-activity.a";

fn record(slot: usize, key: &str) -> Waiting {
    let key = Some(key.as_bytes().into());
    let value = Some([].into());
    Waiting { slot, key, value, headers: OwnedHeaders::new(), timestamp: None }
}

/// The queues, the topic's number of partitions, and a clock.
struct Case {
    queues: PartitionQueues,
    count: Option<u32>,
    now: Instant,
}

impl Case {
    fn new(count: u32) -> Self {
        Self { queues: PartitionQueues::default(), count: Some(count), now: Instant::now() }
    }

    /// Sends a record; whether it goes at once.
    fn send(&mut self, slot: usize, key: &str) -> (PartitionKey, bool) {
        let target = self.queues.target(TOPIC, Some(key.as_bytes()), |_| self.count);
        let may_send = self.queues.may_send(target, self.now);
        if !may_send {
            self.queues.enqueue(target, record(slot, key));
        }
        (target, may_send)
    }

    /// The records that may go now, with their slots.
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
        assert_eq!(case.queues.chosen(target, None), Some(target.partition.try_into().unwrap()));
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
    case.now += REMEMBERED_FOR;
    assert!(!case.send(3, "a").1, "whether the broker knows us is unknown");
    case.acknowledge(target);
    assert_eq!(case.go(), [(target, 3)]);
    case.acknowledge(target);
    case.acknowledge(target);
    case.now += REMEMBERED_FOR;
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
    assert_eq!(case.go(), [(target, 3)], "alone while the count is unknown");
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

impl Case {
    /// A partition that acknowledged its first record and has so many others under way.
    fn with_under_way(&mut self, key: &str, records: usize) -> PartitionKey {
        let (target, may_send) = self.send(0, key);
        assert!(may_send);
        self.acknowledge(target);
        assert!((0..records).all(|slot| self.send(slot, key).1));
        target
    }

    /// The partitions that are paused now, and those that are resumed.
    fn pauses(&mut self, later: Duration) -> (Vec<u32>, Vec<u32>) {
        self.now += later;
        let Pauses { paused, resumed } = self.queues.pauses(self.now);
        let numbers = |list: Vec<(Arc<str>, i32)>| {
            list.into_iter().map(|(_, number)| number.try_into().unwrap()).collect()
        };
        (numbers(paused), numbers(resumed))
    }
}

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn crowded_partitions_are_paused_while_no_report_comes_and_one_report_resumes_all_of_them() {
    let mut case = Case::new(16);
    let [a, b, few] =
        [("a", CROWDED), ("b", CROWDED), ("c", 5)].map(|(key, n)| case.with_under_way(key, n));
    assert!(a != b && a != few && b != few);
    assert_eq!(case.pauses(PATIENCE - MOMENT), (vec![], vec![]));
    assert_eq!(case.pauses(MOMENT), (vec![a.partition, b.partition], vec![]));
    assert_eq!(case.pauses(MOMENT), (vec![], vec![]), "they are paused once");
    case.acknowledge(few);
    assert_eq!(case.pauses(MOMENT), (vec![], vec![a.partition, b.partition]));
    assert_eq!(case.pauses(PATIENCE).0, [a.partition, b.partition]);
    case.acknowledge(a);
    assert_eq!(case.pauses(MOMENT).1, [a.partition, b.partition]);
    assert_eq!(case.pauses(PATIENCE).0, [b.partition], "nothing waits in the other one any more");
}

#[test]
fn a_partition_without_reports_of_its_own_is_paused_later_than_in_a_silence_of_all_until_it_has_one()
 {
    let mut case = Case::new(16);
    let busy = case.with_under_way("a", 100);
    let waits = case.with_under_way("b", 100);
    let step = Duration::from_millis(500);
    for _ in 0..5 {
        assert_eq!(case.pauses(step), (vec![], vec![]));
        case.acknowledge(busy);
    }
    assert_eq!(case.pauses(step), (vec![waits.partition], vec![]));
    case.acknowledge(busy);
    assert!(!case.pauses(MOMENT).1.contains(&busy.partition));
    case.acknowledge(waits);
    assert_eq!(case.pauses(MOMENT), (vec![], vec![waits.partition]));
}

#[test]
fn a_partition_whose_connection_may_have_failed_is_not_paused_by_itself_until_it_acknowledges_a_record()
 {
    let mut case = Case::new(16);
    let busy = case.with_under_way("a", 100);
    let failed = case.with_under_way("b", 100);
    case.queues.connection_failed();
    for _ in 0..40 {
        case.acknowledge(busy);
        assert_eq!(case.pauses(PATIENCE / 2), (vec![], vec![]));
    }
    case.acknowledge(failed);
    for _ in 0..5 {
        case.acknowledge(busy);
        assert_eq!(case.pauses(PATIENCE / 2), (vec![], vec![]));
    }
    case.acknowledge(busy);
    assert_eq!(case.pauses(PATIENCE / 2).0, [failed.partition]);
}

#[test]
fn a_partition_that_becomes_crowded_in_a_silence_has_time_to_send_first() {
    let mut case = Case::new(16);
    let b = case.with_under_way("b", 0);
    let a = case.with_under_way("a", CROWDED);
    assert_eq!(case.pauses(PATIENCE).0, [a.partition]);
    assert!((0..CROWDED).all(|slot| case.send(slot, "b").1));
    assert!(!case.pauses(MOMENT).0.contains(&b.partition));
    assert!(!case.pauses(PATIENCE - 2 * MOMENT).0.contains(&b.partition));
    let mut paused = Vec::new();
    for _ in 0..200 {
        paused.extend(case.pauses(MOMENT).0);
    }
    assert!(paused.contains(&b.partition));
}

#[test]
fn a_silence_does_not_begin_before_there_is_something_to_report() {
    let mut case = Case::new(16);
    let _ = case.with_under_way("a", 0);
    assert_eq!(case.pauses(10 * PATIENCE), (vec![], vec![]));
    let a = case.with_under_way("a", CROWDED);
    assert_eq!(case.pauses(PATIENCE - MOMENT), (vec![], vec![]));
    assert_eq!(case.pauses(MOMENT).0, [a.partition]);
}

#[test]
fn nothing_is_paused_after_a_connection_has_failed_until_a_record_is_acknowledged() {
    let mut case = Case::new(16);
    let a = case.with_under_way("a", 100);
    assert_eq!(case.pauses(PATIENCE).0, [a.partition]);
    case.queues.connection_failed();
    assert_eq!(case.pauses(MOMENT).1, [a.partition]);
    // That a record was given up is no sign of a connection.
    case.queues.settled(a, None, case.now);
    for _ in 0..90 {
        assert_eq!(case.pauses(PATIENCE), (vec![], vec![]));
    }
    case.acknowledge(a);
    assert_eq!(case.pauses(PATIENCE).0, [a.partition]);
}
