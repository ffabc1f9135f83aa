//! Records whose timestamps are the events', and topics that do not take such old ones.

use std::time::Duration;

use crate::{
    admin,
    broker::Broker,
    consumers::read_topic,
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_topic_that_refuses_old_timestamps_is_held_and_the_log_says_which_setting_and_which_key() {
    let broker = Broker::start();
    let address = broker.address();
    let mut ledger = Ledger::new("old");
    let strict = ledger.topic("clicklink");
    let settings = [("message.timestamp.before.max.ms", "3600000")];
    admin::create_topic_with(&address, &strict, 1, &settings);
    let mut bridge =
        Bridge::start(Settings::new(&address, "old").set("TOPICS__TIMESTAMP", "event"));
    let mut subscription = Subscription::new("777-OLD-007", 30);
    let mut client = bridge.client();
    for _ in 0..5 {
        let batch = subscription.batch();
        assert_eq!(client.deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
        ledger.acknowledged(batch);
    }

    wait::until("the other topics to have everything", PATIENCE, || {
        Subscription::event_types()
            .filter(|event_type| *event_type != "clicklink")
            .map(|event_type| read_topic(&address, &ledger.topic(event_type)).len())
            .sum::<usize>()
            >= ledger.count(|event_type| event_type != "clicklink")
    });
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    let says = |line: &String| {
        [&*strict, "message.timestamp.before.max.ms", "topics.timestamp", "`produced`"]
            .iter()
            .all(|word| line.contains(word))
    };
    wait::until("the log to say what to change", PATIENCE, || bridge.log().iter().any(says));
    assert_eq!(read_topic(&address, &strict).len(), 0);
    assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0, "it may pass");

    bridge.set("TOPICS__TIMESTAMP", "produced");
    bridge.restart();
    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("a topic that refused old timestamps");
}
