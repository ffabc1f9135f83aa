use millrace::kafka::Fault;

use crate::rig::{Rig, by_key};

const TOPICS: [&str; 2] = ["marketo.lead-activity.a", "marketo.lead-activity.b"];
const KEYS: usize = 7;

#[test]
fn transient_errors_neither_lose_nor_repeat_nor_reorder() {
    let mut rig = Rig::with(3, &[("linger.ms", "1")]);
    for topic in TOPICS {
        rig.ready(topic);
    }
    let faults = [
        Fault::NotEnoughReplicas,
        Fault::NotLeader,
        Fault::RequestTimedOut,
        Fault::Disconnect,
        Fault::StorageError,
        Fault::NotEnoughReplicasAfterAppend,
        Fault::LeaderNotAvailable,
    ];
    let count = 6000;
    for n in 0..count {
        if n % 500 == 0 {
            rig.cluster.fail_produces(&faults[..(n / 500) % faults.len()]).unwrap();
        }
        rig.send(TOPICS[n % 2], &format!("key-{}", n / 2 % KEYS), &n.to_string(), n);
        if n % 100 == 0 {
            rig.poll();
        }
    }
    rig.poll_until(count);
    assert_eq!(rig.delivered(), count);

    let values = by_key(&rig.read_all());
    assert_eq!(values.len(), TOPICS.len() * KEYS);
    let mut all = 0;
    for ((topic, key), values) in values {
        let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{topic} {key}: {numbers:?}");
        all += numbers.len();
    }
    assert_eq!(all, count);
}

#[test]
fn what_comes_behind_a_request_that_fails_in_passing_waits_for_it() {
    let mut rig = Rig::with(1, &[("linger.ms", "0"), ("batch.num.messages", "1")]);
    rig.ready(TOPICS[0]);
    // The cluster in memory takes any sequence number, as a broker does of a producer that is new to it.
    rig.cluster.fail_produces(&[Fault::NotLeader]).unwrap();
    for n in 0..50 {
        rig.send(TOPICS[0], "key", &n.to_string(), n);
    }
    rig.poll_until(50);
    assert_eq!(rig.delivered(), 50);
    let [(_, values)] = &by_key(&rig.read_all()).into_iter().collect::<Vec<_>>()[..] else {
        panic!("one key")
    };
    let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}
