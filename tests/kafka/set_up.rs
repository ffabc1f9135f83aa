//! The test set-up itself: a broker that can be hurt, and clients that read every byte.

use crate::{
    admin,
    broker::{self, Broker, Cluster, Options},
    consumers::{console_consumer, produce, read_topic, topics, try_produce},
};

#[test]
fn a_broker_keeps_its_records_over_a_sigkill_and_comes_back_on_its_port() {
    let mut broker = Broker::start();
    let address = broker.address();
    admin::create_topic(&address, "kept", 3);
    produce(&address, "kept", &[("a", "1"), ("b", "2"), ("a", "3")]);
    let before = read_topic(&address, "kept");
    assert_eq!(before.len(), 3);
    assert_eq!(read_topic(&address, "unmade"), []);
    assert!(!topics(&address).contains_key("unmade"), "nothing makes a topic by asking for it");

    broker.kill();
    broker.restart();

    assert_eq!(broker.address(), address);
    assert_eq!(read_topic(&address, "kept"), before);
    broker.freeze();
    broker.thaw();
    produce(&address, "kept", &[("a", "4")]);
    assert_eq!(read_topic(&address, "kept").len(), 4);
}

#[test]
fn two_clients_that_are_not_ours_read_the_same_records() {
    let address = broker::shared();
    let topic = broker::own_prefix("read");
    admin::create_topic(&address, &topic, 1);
    produce(&address, &topic, &[("k", "{\"a\": 1}"), ("", "ümlaut")]);

    let records = read_topic(&address, &topic);

    let texts: Vec<_> = records
        .iter()
        .map(|record| (record.key_text(), str::from_utf8(record.value_bytes()).unwrap()))
        .collect();
    assert_eq!(texts, [("k", "{\"a\": 1}"), ("", "ümlaut")]);
    let console = console_consumer(&address, &topic, 2);
    assert!(console.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(texts));
}

#[test]
fn writes_to_one_topic_can_be_denied_and_allowed_again() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    admin::create_topic(&address, "open", 1);
    admin::create_topic(&address, "closed", 1);

    broker.deny_writes("closed");

    produce(&address, "open", &[("k", "1")]);
    let refused = try_produce(&address, "closed", &[("k", "1")]);
    assert!(refused.is_err(), "a denied write must fail");
    assert_eq!(read_topic(&address, "closed"), []);

    broker.allow_writes("closed");
    produce(&address, "closed", &[("k", "1")]);
    assert_eq!(read_topic(&address, "closed").len(), 1);
}

#[test]
fn a_cluster_of_three_goes_on_without_one() {
    let mut cluster = Cluster::start();
    let addresses = cluster.addresses();
    admin::create_topic(&addresses, "replicated", 3);
    produce(&addresses, "replicated", &[("a", "1"), ("b", "2")]);

    cluster.brokers[0].kill();

    produce(&addresses, "replicated", &[("a", "3"), ("b", "4")]);
    cluster.brokers[0].relaunch();
    cluster.brokers[0].wait_until_ready(3);
    assert_eq!(read_topic(&addresses, "replicated").len(), 4);
}
