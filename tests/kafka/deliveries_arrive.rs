//! What is posted is on its topic, byte for byte, as clients that are not ours read it.

use std::time::Duration;

use crate::{
    broker,
    consumers::{console_consumer, read_topic, topics},
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_activity_of_a_batch_is_on_the_topic_of_its_type_with_its_key_and_bytes() {
    let address = broker::shared();
    let prefix = broker::own_prefix("arrive");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let mut subscription = Subscription::new("111-AAA-001", 20);
    let mut ledger = Ledger::new(&prefix);
    let mut client = bridge.client();

    for _ in 0..5 {
        let batch = subscription.batch();
        assert_eq!(client.deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
        ledger.acknowledged(batch);
    }

    bridge.wait_until_drained(PATIENCE);
    let comparison = ledger.compare(&address);
    comparison.assert_whole("deliveries");
    assert_eq!(comparison.repeated, 0, "without a crash nothing repeats");
}

#[test]
fn a_record_has_the_attributes_of_a_cloud_event_as_headers() {
    let address = broker::shared();
    let prefix = broker::own_prefix("headers");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let body = br#"{"munchkinId":"999-XYZ-000","activities":[{"marketoGUID":"g,=1","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link","attributes":[ ]}]}"#;

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body).unwrap().status, 200);

    bridge.wait_until_drained(PATIENCE);
    let records = read_topic(&address, &format!("{prefix}.lead-activity.clicklink"));
    let [record] = records.as_slice() else { panic!("one record, not {records:?}") };
    assert_eq!(record.key_text(), "999-XYZ-000:4711");
    assert_eq!(
        String::from_utf8_lossy(record.value_bytes()),
        r#"{"munchkinId":"999-XYZ-000","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link","attributes":[ ]}"#
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", "g,=1"),
        ("ce_source", "urn:marketo_activity_stream"),
        ("ce_type", "com.adobe.platform.marketo.activity.standard.clicklink"),
        ("ce_time", "2026-03-02T09:59:58Z"),
    ] {
        assert_eq!(record.header(name), value, "{name}");
    }
}

#[test]
fn kafkas_own_console_consumer_reads_the_same_bytes() {
    let address = broker::shared();
    let prefix = broker::own_prefix("console");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let mut subscription = Subscription::new("222-BBB-002", 1);
    let batch = subscription.batch_of(60);

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);

    bridge.wait_until_drained(PATIENCE);
    let of_type = || batch.events.iter().filter(|sent| sent.event_type == "openemail");
    let expected: Vec<_> = of_type().map(|sent| (sent.key.clone(), sent.value.clone())).collect();
    let topic = format!("{prefix}.lead-activity.openemail");
    // One lead is one key is one partition, so that the order is the sender's.
    assert_eq!(console_consumer(&address, &topic, expected.len()), expected);
}

#[test]
fn topics_are_made_with_the_partitions_that_were_asked_for() {
    let address = broker::shared();
    let prefix = broker::own_prefix("partitions");
    let settings = Settings::new(&address, &prefix).set("TOPICS__PARTITIONS", "5");
    let bridge = Bridge::start(settings);
    let batch = Subscription::new("333-CCC-003", 5).batch();

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);

    bridge.wait_until_drained(PATIENCE);
    let topics = topics(&address);
    for event_type in Subscription::event_types() {
        let topic = format!("{prefix}.lead-activity.{event_type}");
        assert_eq!(topics.get(&topic), Some(&5), "{topic} in {topics:?}");
    }
}

#[test]
fn an_activity_type_that_nobody_knows_gets_a_topic() {
    let address = broker::shared();
    let prefix = broker::own_prefix("unknown");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let body = br#"{"munchkinId":"999-XYZ-000","activities":[{"marketoGUID":"n1","leadId":1,"activityTypeId":60123,"activityType":"Brand New Thing"},{"marketoGUID":"n2","leadId":1,"activityTypeId":60124},{"marketoGUID":"n3","leadId":1,"activityTypeId":123456,"activityType":"Ours"}]}"#;

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body).unwrap().status, 200);

    bridge.wait_until_drained(PATIENCE);
    for (event_type, id) in
        [("brandnewthing", "n1"), ("activity-60124", "n2"), ("custom-123456", "n3")]
    {
        let topic = format!("{prefix}.lead-activity.{event_type}");
        wait::until(&topic, PATIENCE, || !read_topic(&address, &topic).is_empty());
        assert_eq!(read_topic(&address, &topic)[0].header("ce_id"), id);
    }
}
