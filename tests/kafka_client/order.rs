use std::time::Duration;

use millrace::kafka::{
    Fault,
    produce::{Failure, Outcome},
};

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

/// Each record is a request of its own.
const SINGLY: [(&str, &str); 2] = [("linger.ms", "0"), ("batch.num.messages", "1")];

/// How long an answer takes, so that the next requests are under way before the first one's comes,
/// also where the machine has other things to do.
const ROUND_TRIP: Duration = Duration::from_millis(100);

#[test]
fn what_comes_behind_a_first_request_that_fails_in_passing_waits_for_it() {
    let mut rig = Rig::with_requests_under_way(&SINGLY);
    rig.ready(TOPICS[0]);
    rig.cluster.set_round_trip(ROUND_TRIP).unwrap();
    rig.cluster.fail_produces(&[Fault::NotLeader]).unwrap();
    for n in 0..50 {
        rig.send(TOPICS[0], "key", &n.to_string(), n);
    }
    rig.poll_until(50);
    rig.cluster.set_round_trip(Duration::ZERO).unwrap();
    assert_eq!(rig.delivered(), 50);
    assert_eq!(rig.of_one_key(), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_record_that_a_broker_never_confirmed_is_not_called_delivered() {
    let mut rig = Rig::with_requests_under_way(&SINGLY);
    rig.ready(TOPICS[0]);
    rig.send(TOPICS[0], "key", "0", 0);
    rig.poll_until(1);
    // As when a topic was deleted and made anew: the partition had been there, and forgot.
    rig.cluster.set_round_trip(ROUND_TRIP).unwrap();
    rig.cluster.fail_produces(&[Fault::NotLeader]).unwrap();
    for n in 1..50 {
        rig.send(TOPICS[0], "key", &n.to_string(), n);
    }
    rig.poll_until(50);
    rig.cluster.set_round_trip(Duration::ZERO).unwrap();
    let written = rig.of_one_key();
    assert!(written.len() < 50, "the cluster took what came behind: {written:?}");
    for (token, outcome) in &rig.outcomes {
        let is_written = written.contains(token);
        match outcome {
            Outcome::Delivered => assert!(is_written, "{token} is not on the topic"),
            Outcome::Failed(Failure::Passing(text)) => {
                assert!(!is_written && text.contains(TOPICS[0]), "{token}: {text}");
            }
            other => panic!("{token}: {other:?}"),
        }
    }
}
