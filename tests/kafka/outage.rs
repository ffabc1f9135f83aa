//! Kafka goes away in the middle of a stream of batches, and nobody but an operator notices.

use std::time::Duration;

use crate::{
    broker::Broker,
    ledger::Ledger,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Sends batches until `count` events were answered 200; any other answer fails the test.
#[track_caller]
fn stream(client: &mut Client, from: &mut Subscription, ledger: &mut Ledger, count: usize) {
    let mut sent = 0;
    while sent < count {
        let batch = from.batch();
        let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        sent += batch.events.len();
        ledger.acknowledged(batch);
    }
}

#[test]
fn with_the_broker_killed_every_answer_is_200_and_all_events_arrive_after_its_return() {
    let mut broker = Broker::start();
    let bridge = Bridge::start(Settings::new(&broker.address(), "outage"));
    let mut subscription = Subscription::new("444-DDD-004", 40);
    let mut ledger = Ledger::new("outage");
    let mut client = bridge.client();
    stream(&mut client, &mut subscription, &mut ledger, 2_000);

    // No waiting for what is on its way: some of it is in flight.
    broker.kill();
    stream(&mut client, &mut subscription, &mut ledger, 8_000);
    assert_eq!(bridge.readiness(), Some(200), "Kafka being away is no reason to refuse deliveries");
    assert!(bridge.metric("millrace_spool_undelivered_deliveries", &[]) > 0.0);
    let says = |text: &str| bridge.log().iter().any(|line| line.contains(text));
    wait::until("an outage in the log", PATIENCE, || {
        says("Kafka does not answer; deliveries stay")
    });
    broker.restart();
    stream(&mut client, &mut subscription, &mut ledger, 1_000);

    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&broker.address()).assert_whole("a killed broker");
    wait::until("the end of the backlog in the log", PATIENCE, || {
        says("the backlog of the outage is delivered: ")
    });
}

#[test]
fn a_broker_that_hangs_delays_no_answer_and_loses_nothing() {
    let mut broker = Broker::start();
    let bridge = Bridge::start(Settings::new(&broker.address(), "frozen"));
    let mut subscription = Subscription::new("555-EEE-005", 40);
    let mut ledger = Ledger::new("frozen");
    let mut client = bridge.client();
    stream(&mut client, &mut subscription, &mut ledger, 1_000);

    broker.freeze();
    stream(&mut client, &mut subscription, &mut ledger, 4_000);
    broker.thaw();

    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&broker.address()).assert_whole("a frozen broker");
}

#[test]
fn a_service_that_starts_without_kafka_takes_deliveries_and_delivers_them_later() {
    let mut broker = Broker::start();
    broker.kill();
    let mut bridge = Bridge::start(Settings::new(&broker.address(), "later"));
    let mut subscription = Subscription::new("666-FFF-006", 40);
    let mut ledger = Ledger::new("later");
    stream(&mut bridge.client(), &mut subscription, &mut ledger, 1_000);
    // What was answered outlives the process too.
    bridge.kill();
    bridge.restart();
    stream(&mut bridge.client(), &mut subscription, &mut ledger, 1_000);

    broker.restart();

    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&broker.address()).assert_whole("started without Kafka");
}
