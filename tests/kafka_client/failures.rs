use std::time::Duration;

use millrace::{
    kafka::{
        Fault,
        produce::{Failure, Outcome, SendError, Sink, TopicState},
    },
    record::Record,
};

use crate::rig::{Rig, until};

const TOPIC: &str = "marketo.lead-activity.a";

fn fails_with(fault: Fault) -> Failure {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    rig.cluster.fail_produces(&[fault]).unwrap();
    rig.send(TOPIC, "key", "value", 0);
    rig.poll_until(1);
    let Outcome::Failed(failure) = rig.outcomes.remove(&0).unwrap() else { panic!("delivered") };
    // One record's failure is not the next one's, once the library has asked about the topic again.
    let record =
        Record { topic: TOPIC, key: Some(b"key"), value: b"value", headers: &[], timestamp: None };
    let failed = std::time::Instant::now();
    until("the topic", || rig.producer.send(&record, 1).is_ok());
    eprintln!("{fault:?}: sent again after {:?}", failed.elapsed());
    rig.poll_until(1);
    assert_eq!(rig.delivered(), 1);
    failure
}

#[test]
fn what_a_broker_refuses_for_good_is_refused() {
    for fault in [Fault::MessageTooLarge, Fault::InvalidRecord, Fault::PolicyViolation] {
        let failure = fails_with(fault);
        assert!(matches!(&failure, Failure::Refused(text) if text.contains(TOPIC)), "{failure:?}");
    }
}

#[test]
fn a_missing_permission_may_pass_and_says_what_to_run() {
    let Failure::Passing(text) = fails_with(Fault::TopicAuthorizationFailed) else { panic!() };
    assert!(text.contains("kafka-acls.sh"), "{text}");
    assert!(text.contains(&format!("--topic '{TOPIC}'")), "{text}");
}

#[test]
fn a_record_too_large_for_the_library_is_refused_before_it_is_queued() {
    let mut rig = Rig::new();
    rig.ready(TOPIC);
    let limit = rig.producer.record_limit();
    let value = vec![7; limit];
    let headers = [("ce_id", &b"1"[..]), ("content-type", b"application/json")];
    let mut record = Record {
        topic: TOPIC,
        key: Some(b"key"),
        value: &value,
        headers: &headers,
        timestamp: None,
    };
    record.value = &value[..limit - (record.size() - value.len())];
    assert_eq!(record.size(), limit);
    rig.producer.send(&record, 0).unwrap();

    let value = vec![7; 1_000_000];
    record.value = &value;
    let refused = rig.producer.send(&record, 1);
    assert!(matches!(refused, Err(SendError::Failed(Failure::Refused(_)))), "{refused:?}");
    rig.poll_until(1);
    assert_eq!(rig.delivered(), 1);
    assert_eq!(rig.producer.outstanding(), 0);
}

#[test]
fn a_topic_that_may_not_be_written_stops_no_other() {
    let mut rig = Rig::new();
    let other = "marketo.lead-activity.b";
    rig.ready(TOPIC);
    rig.ready(other);
    rig.cluster.fail_topic(TOPIC, Some(Fault::TopicAuthorizationFailed)).unwrap();
    rig.send(TOPIC, "key", "value", 0);
    rig.send(other, "key", "value", 1);
    rig.poll_until(2);
    assert!(matches!(rig.outcomes[&0], Outcome::Failed(Failure::Passing(_))));
    assert_eq!(rig.outcomes[&1], Outcome::Delivered);
    assert_eq!(rig.producer.topic(other), TopicState::Ready);
}

#[test]
fn nothing_to_report_is_waited_for_no_longer_than_asked() {
    let mut rig = Rig::new();
    let mut outcomes = Vec::new();
    let start = std::time::Instant::now();
    rig.producer.poll(Duration::from_millis(30), &mut outcomes);
    let took = start.elapsed();
    assert!(outcomes.is_empty());
    assert!(took >= Duration::from_millis(30) && took < Duration::from_secs(2), "{took:?}");
}
