//! What metrics show of a producer.

use millrace::{kafka::Fault, produce::Sink};

use crate::rig::{Rig, until};

const TOPIC: &str = "marketo.lead-activity.a";

#[test]
fn a_producer_shows_its_brokers_its_queue_and_how_long_records_take() {
    let mut rig = Rig::with(2, &[("statistics.interval.ms", "50"), ("retry.backoff.ms", "10")]);
    rig.ready(TOPIC);
    rig.cluster.fail_produces(&[Fault::RequestTimedOut]).unwrap();
    for n in 0..100 {
        rig.send(TOPIC, &format!("key-{n}"), "value", n);
    }
    rig.poll_until(100);
    let kafka = rig.metrics.kafka.clone();
    let taken = kafka.produce_seconds.with_label_values(&["rig"]);
    assert_eq!(taken.get_sample_count(), 100, "each acknowledgement once");
    assert!(taken.get_sample_sum() > 0.0);

    let connected = |broker: &str| kafka.broker_connected.with_label_values(&["rig", broker]).get();
    until("statistics", || {
        rig.poll();
        connected("1") + connected("2") > 0
    });
    until("what was sent once more", || {
        rig.poll();
        let retries = |broker| kafka.request_retries.with_label_values(&["rig", broker]).get();
        retries("1") + retries("2") > 0
    });
    assert!(kafka.queue_limit_bytes.with_label_values(&["rig"]).get() > 0);

    // A new producer goes on with the counters of the one before.
    let retries = || {
        let of = |broker| kafka.request_retries.with_label_values(&["rig", broker]).get();
        of("1") + of("2")
    };
    let before = retries();
    rig.producer.purge();
    rig.producer.renew(&|| false).unwrap();
    rig.ready(TOPIC);
    rig.send(TOPIC, "key", "value", 100);
    rig.poll_until(101);
    assert!(retries() >= before);
    assert_eq!(taken.get_sample_count(), 101);
}
