use std::time::{Duration, Instant};

use millrace::{
    kafka::{
        Fault, Producer,
        produce::{Failure, Outcome, SendError, Sink},
    },
    record::Record,
};

use crate::rig::{Rig, by_key};

const TOPIC: &str = "marketo.lead-activity.a";
const RECORD: Record<'_> =
    Record { topic: TOPIC, key: Some(b"k"), value: b"v", headers: &[], timestamp: None };

#[test]
fn purged_records_get_one_outcome_each_and_are_sent_again_in_order() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    for n in 0..200 {
        rig.send(TOPIC, &format!("key-{}", n % 3), &n.to_string(), n);
    }
    rig.poll_until(200);

    rig.cluster.take_away().unwrap();
    for n in 200..1200 {
        rig.send(TOPIC, &format!("key-{}", n % 3), &n.to_string(), n);
    }
    rig.producer.purge();
    assert_eq!(rig.producer.send(&RECORD, 9999), Err(SendError::Failed(Failure::Purged)));
    // Requests that were on their way come back to the queue: purging goes on until all are out.
    let end = Instant::now() + crate::rig::PATIENCE;
    while rig.outcomes.len() < 1200 {
        assert!(Instant::now() < end, "{} outcomes", rig.outcomes.len());
        rig.producer.purge();
        rig.poll();
    }
    let purged = rig.outcomes.values().filter(|o| **o == Outcome::Failed(Failure::Purged)).count();
    assert_eq!(purged, 1000);

    rig.cluster.bring_back().unwrap();
    rig.producer.renew(&|| false).unwrap();
    rig.outcomes.clear();
    for n in 200..1200 {
        rig.send(TOPIC, &format!("key-{}", n % 3), &n.to_string(), n);
    }
    rig.poll_until(1000);
    assert_eq!(rig.delivered(), 1000);
    for (key, values) in by_key(&rig.read_all()) {
        let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 400, "{key:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key:?}: {numbers:?}");
    }
}

#[test]
fn records_that_a_broker_will_not_take_for_now_are_taken_back() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    rig.cluster.fail_produces(&[Fault::NotEnoughReplicas; 10_000]).unwrap();
    for n in 0..1000 {
        rig.send(TOPIC, &format!("key-{}", n % 3), &n.to_string(), n);
    }
    // The library goes on trying: no outcome, and the cluster answers.
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        rig.poll();
    }
    assert_eq!(rig.outcomes.len(), 0);
    let silence = rig.producer.cluster_silence().unwrap();
    assert!(silence < Duration::from_millis(1500), "{silence:?}");

    let start = Instant::now();
    while rig.outcomes.len() < 1000 {
        assert!(start.elapsed() < crate::rig::PATIENCE, "{} outcomes", rig.outcomes.len());
        rig.producer.purge();
        rig.poll();
    }
    eprintln!("taken back in {:?}", start.elapsed());
    assert_eq!(rig.delivered(), 0);
    assert!(rig.read_all().is_empty(), "nothing that was taken back is on the topic");
    rig.cluster.clear_produce_faults().unwrap();
    rig.producer.renew(&|| false).unwrap();
    rig.send(TOPIC, "key", "value", 1000);
    rig.poll_until(1001);
    assert_eq!(rig.delivered(), 1);
}

#[test]
fn a_renewal_purges_whatever_is_outstanding_and_does_not_wait_for_the_cluster() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    rig.cluster.take_away().unwrap();
    for n in 0..1000 {
        rig.send(TOPIC, "key", &n.to_string(), n);
    }
    let start = Instant::now();
    rig.producer.renew(&|| false).unwrap();
    let took = start.elapsed();
    eprintln!("renewed in {took:?} with the cluster away");
    assert!(took < Duration::from_secs(2), "{took:?}");
    rig.poll();
    assert_eq!(rig.outcomes.len(), 1000);
    assert!(rig.outcomes.values().all(|outcome| *outcome == Outcome::Failed(Failure::Purged)));
    assert_eq!(rig.producer.outstanding(), 0);
}

#[test]
fn many_renewals_give_every_record_exactly_one_outcome() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    let mut token = 0;
    for round in 0..8 {
        for _ in 0..500 {
            rig.send(TOPIC, "key", "value", token);
            token += 1;
        }
        match round % 3 {
            0 => rig.poll(),
            1 => rig.producer.purge(),
            _ => {}
        }
        rig.producer.renew(&|| false).unwrap();
    }
    rig.poll_until(token);
    assert_eq!(rig.outcomes.len(), token);
    assert_eq!(rig.producer.outstanding(), 0);
}

#[test]
fn a_fatal_producer_says_so_for_every_record_and_is_renewed() {
    let mut rig = Rig::with(1, &[("linger.ms", "0")]);
    rig.ready(TOPIC);
    rig.send(TOPIC, "key", "before", 0);
    rig.poll_until(1);
    // An unexpected sequence number on the first request in flight: the broker and the library
    // disagree about what was written.
    rig.cluster.fail_produces(&[Fault::OutOfOrderSequence]).unwrap();
    rig.send(TOPIC, "key", "lost track", 1);
    rig.poll_until(2);
    assert!(
        matches!(rig.outcomes[&1], Outcome::Failed(Failure::Fatal(_))),
        "{:?}",
        rig.outcomes[&1]
    );
    let refused = rig.producer.send(&RECORD, 2);
    assert!(matches!(refused, Err(SendError::Failed(Failure::Fatal(_)))), "{refused:?}");

    rig.producer.renew(&|| false).unwrap();
    rig.send(TOPIC, "key", "after", 3);
    rig.poll_until(3);
    assert_eq!(rig.outcomes[&3], Outcome::Delivered);
}

#[test]
fn a_producer_that_was_never_renewed_accepts_nothing() {
    let rig = Rig::new();
    let mut producer = Producer::new(&rig.kafka, 1 << 20, rig.topics.clone());
    assert_eq!(producer.send(&RECORD, 0), Err(SendError::Failed(Failure::Purged)));
}

#[test]
fn a_producer_that_cannot_be_made_is_tried_again_until_told_to_give_up() {
    let rig = Rig::new();
    let kafka = crate::rig::kafka(
        "127.0.0.1:1",
        &[("ssl.ca.location", "/nowhere/ca.pem"), ("security.protocol", "ssl")],
    );
    let mut producer = Producer::new(&kafka, 1 << 20, rig.topics.clone());
    let asked = std::cell::Cell::new(0);
    let result = producer.renew(&|| {
        asked.set(asked.get() + 1);
        asked.get() > 20
    });
    let Err(Failure::Fatal(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("ssl.ca.location"), "{text}");
}
