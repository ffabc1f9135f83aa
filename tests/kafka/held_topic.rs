//! One topic of many cannot be written for a while.

use std::time::Duration;

use crate::{
    admin,
    broker::{Broker, Options},
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
fn a_topic_that_may_not_be_written_stops_no_other_and_catches_up_in_order() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    let bridge = Bridge::start(Settings::new(&address, "held"));
    let mut subscription = Subscription::new("777-GGG-007", 30);
    let mut ledger = Ledger::new("held");
    let mut client = bridge.client();
    let mut deliver = |ledger: &mut Ledger| {
        let batch = subscription.batch();
        assert_eq!(client.deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
        ledger.acknowledged(batch);
    };
    let held = ledger.topic("clicklink");
    deliver(&mut ledger);
    bridge.wait_until_drained(PATIENCE);
    let before = read_topic(&address, &held).len();
    assert!(before > 0);

    broker.deny_writes(&held);
    for _ in 0..10 {
        deliver(&mut ledger);
    }

    let others = |ledger: &Ledger| ledger.count(|event_type| event_type != "clicklink");
    wait::until("the other topics to have everything", PATIENCE, || {
        Subscription::event_types()
            .filter(|event_type| *event_type != "clicklink")
            .map(|event_type| read_topic(&address, &ledger.topic(event_type)).len())
            .sum::<usize>()
            >= others(&ledger)
    });
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    assert_eq!(read_topic(&address, &held).len(), before, "the denied topic got nothing");
    assert_eq!(bridge.readiness(), Some(200));
    assert_eq!(
        bridge.metric("millrace_dead_letters_total", &[]),
        0.0,
        "what may pass is no refusal"
    );

    broker.allow_writes(&held);
    deliver(&mut ledger);

    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("a held topic");
    assert_eq!(bridge.metric("millrace_held_topics", &[]), 0.0);
}

#[test]
fn a_topic_that_was_deleted_is_held_until_it_is_back_when_the_service_may_not_make_topics() {
    let broker = Broker::start();
    let address = broker.address();
    let mut ledger = Ledger::new("deleted");
    for event_type in Subscription::event_types() {
        admin::create_topic(&address, &ledger.topic(event_type), 3);
    }
    admin::create_topic(&address, "deleted.dead-letter", 1);
    let missing = ledger.topic("newlead");
    admin::delete_topic(&address, &missing);
    let bridge = Bridge::start(Settings::new(&address, "deleted").set("TOPICS__CREATE", "false"));
    let mut subscription = Subscription::new("888-HHH-008", 30);
    for _ in 0..5 {
        let batch = subscription.batch();
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, &batch.body).unwrap().status, 200);
        ledger.acknowledged(batch);
    }
    let others = ledger.count(|event_type| event_type != "newlead");
    wait::until("the other topics to have everything", PATIENCE, || {
        Subscription::event_types()
            .map(|event_type| read_topic(&address, &ledger.topic(event_type)).len())
            .sum::<usize>()
            >= others
    });
    wait::until("a log line that says which topic is missing", PATIENCE, || {
        bridge.log().iter().any(|line| line.contains(&missing))
    });

    admin::create_topic(&address, &missing, 3);

    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("a missing topic");
}
