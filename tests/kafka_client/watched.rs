//! What metrics show of a producer.

use millrace::kafka::{Fault, produce::Sink};

use crate::rig::{Rig, until};

const TOPIC: &str = "marketo.lead-activity.a";

#[test]
fn a_producer_shows_its_brokers_its_queue_and_how_long_records_take() {
    let mut rig = Rig::with(2, &[("statistics.interval.ms", "50")]);
    rig.ready(TOPIC);
    rig.cluster.fail_produces(&[Fault::Disconnect]).unwrap();
    for n in 0..100 {
        rig.send(TOPIC, &format!("key-{n}"), "value", n);
    }
    rig.poll_until(100);
    let metrics = rig.metrics.clone();
    let taken = metrics.produce_seconds.with_label_values(&["rig"]);
    assert_eq!(taken.get_sample_count(), 100, "each acknowledgement once");
    assert!(taken.get_sample_sum() > 0.0);

    let connected =
        |broker: &str| metrics.kafka_broker_connected.with_label_values(&["rig", broker]).get();
    until("statistics", || {
        rig.poll();
        connected("1") + connected("2") > 0
    });
    let disconnects = || {
        let of = |broker| metrics.kafka_disconnects.with_label_values(&["rig", broker]).get();
        of("1") + of("2")
    };
    until("the connection that ended", || {
        rig.poll();
        disconnects() > 0
    });
    assert!(metrics.kafka_queue_limit_bytes.with_label_values(&["rig"]).get() > 0);

    // A new producer goes on with the counters of the one before.
    let before = disconnects();
    rig.producer.purge();
    rig.producer.renew(&|| false).unwrap();
    rig.ready(TOPIC);
    rig.send(TOPIC, "key", "value", 100);
    rig.poll_until(101);
    assert!(disconnects() >= before);
    assert_eq!(taken.get_sample_count(), 101);
}
