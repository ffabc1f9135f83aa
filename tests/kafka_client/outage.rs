use std::time::{Duration, Instant};

use millrace::kafka::{
    Producer, Topics,
    produce::{Sink, TopicState},
};

use crate::rig::{Rig, by_key, kafka, until};

const TOPIC: &str = "marketo.lead-activity.a";

/// Waits, polling, until the cluster has been silent for `silence`.
fn wait_for_silence(rig: &mut Rig, silence: Duration) {
    let end = Instant::now() + crate::rig::PATIENCE;
    while rig.producer.cluster_silence().unwrap() < silence {
        assert!(Instant::now() < end, "the cluster goes on answering");
        rig.poll();
    }
}

#[test]
fn an_outage_loses_nothing_and_delivery_comes_back_within_seconds() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    for n in 0..500 {
        rig.send(TOPIC, &format!("key-{}", n % 5), &n.to_string(), n);
    }
    rig.poll_until(500);

    rig.cluster.take_away().unwrap();
    for n in 500..1500 {
        rig.send(TOPIC, &format!("key-{}", n % 5), &n.to_string(), n);
    }
    // Long enough for the reconnects to have backed off as far as they do.
    wait_for_silence(&mut rig, Duration::from_secs(4));
    assert_eq!(rig.outcomes.len(), 500, "an outage is no outcome");

    rig.cluster.bring_back().unwrap();
    let back = Instant::now();
    rig.poll_until(1500);
    let took = back.elapsed();
    eprintln!("delivery came back {took:?} after the cluster");
    assert!(took < Duration::from_secs(4), "delivery came back only after {took:?}");
    assert_eq!(rig.delivered(), 1500);
    for (key, values) in by_key(&rig.read_all()) {
        let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 300, "{key:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key:?}");
    }
}

#[test]
fn outages_in_the_middle_of_a_stream_lose_and_repeat_nothing() {
    let mut rig = Rig::with(1, &[("linger.ms", "0"), ("batch.num.messages", "20")]);
    rig.ready(TOPIC);
    let mut n = 0;
    for _ in 0..5 {
        for _ in 0..400 {
            rig.send(TOPIC, &format!("key-{}", n % 5), &n.to_string(), n);
            n += 1;
        }
        let some = rig.outcomes.len() + 50;
        rig.poll_until(some);
        rig.cluster.take_away().unwrap();
        for _ in 0..100 {
            rig.send(TOPIC, &format!("key-{}", n % 5), &n.to_string(), n);
            n += 1;
        }
        rig.poll();
        rig.cluster.bring_back().unwrap();
    }
    rig.poll_until(n);
    assert_eq!(rig.delivered(), n);
    for (key, values) in by_key(&rig.read_all()) {
        let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(numbers.len(), n / 5, "{key:?}: {numbers:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key:?}: {numbers:?}");
    }
}

#[test]
fn a_cluster_that_answers_is_never_silent_for_long_while_something_waits() {
    let mut rig = Rig::with(2, &[]);
    rig.ready(TOPIC);
    // One of two brokers is gone, and the leader of every partition with it: the records wait,
    // and the cluster goes on answering.
    for partition in 0..4 {
        rig.cluster.set_leader(TOPIC, partition, Some(1)).unwrap();
    }
    rig.cluster.take_away_broker(1).unwrap();
    rig.send(TOPIC, "key", "value", 0);
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        rig.poll();
        let silence = rig.producer.cluster_silence().unwrap();
        assert!(silence < Duration::from_millis(4500), "silent for {silence:?}");
    }
    assert!(rig.outcomes.is_empty());
    rig.cluster.bring_back_broker(1).unwrap();
    rig.poll_until(1);
}

#[test]
fn without_a_cluster_everything_is_pending_and_nothing_blocks() {
    let kafka = kafka("127.0.0.1:1", &[]);
    let topics = Topics::start(&kafka, &Default::default(), "marketo.").unwrap();
    let start = Instant::now();
    let mut producer = Producer::new(&kafka, 1 << 20, topics);
    producer.renew(&|| false).unwrap();
    assert_eq!(producer.topic(TOPIC), TopicState::Pending);
    let record = millrace::record::Record {
        topic: TOPIC,
        key: Some(b"k"),
        value: b"v",
        headers: &[],
        timestamp: None,
    };
    producer.send(&record, 0).unwrap();
    let mut outcomes = Vec::new();
    producer.poll(Duration::ZERO, &mut outcomes);
    assert!(outcomes.is_empty());
    assert_eq!(producer.cluster_silence(), None);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let start = Instant::now();
    drop(producer);
    eprintln!("dropped after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn the_queue_is_bounded_while_the_cluster_is_away() {
    let kafka = kafka("127.0.0.1:1", &[]);
    let topics = Topics::start(&kafka, &Default::default(), "marketo.").unwrap();
    let mut producer = Producer::new(&kafka, 1 << 20, topics);
    producer.renew(&|| false).unwrap();
    let record = millrace::record::Record {
        topic: TOPIC,
        key: Some(b"k"),
        value: &[7; 1000],
        headers: &[],
        timestamp: None,
    };
    let mut sent = 0;
    until("a full queue", || {
        let full =
            producer.send(&record, sent) == Err(millrace::kafka::produce::SendError::QueueFull);
        sent += usize::from(!full);
        full
    });
    assert!((700..1000).contains(&sent), "{sent} records of 1000 bytes in 1 MiB");
}

#[test]
fn the_full_queue_of_one_source_takes_nothing_from_the_queue_of_another() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    let mut stuck = Producer::new(&kafka("127.0.0.1:1", &[]), 1 << 20, rig.topics.clone());
    stuck.renew(&|| false).unwrap();
    let record = millrace::record::Record {
        topic: TOPIC,
        key: Some(b"k"),
        value: &[7; 1000],
        headers: &[],
        timestamp: None,
    };
    let mut sent = 0;
    until("a full queue", || {
        let full = stuck.send(&record, sent) == Err(millrace::kafka::produce::SendError::QueueFull);
        sent += usize::from(!full);
        full
    });
    for token in 0..100 {
        rig.producer.send(&record, token).expect("room in a queue of its own");
    }
    rig.poll_until(100);
    assert_eq!(rig.delivered(), 100);
    assert_eq!(stuck.outstanding(), sent);
}
