//! What an answer says that says `delivered`: its events are there for each consumer by then. And when none says so.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    broker::{self, Broker, Options},
    consumers::read_topic,
    ledger::Ledger,
    support::{
        batches::{Batch, Subscription},
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Below listen.request_timeout, and enough for a busy machine.
const WITHIN: &str = "7s";

fn settings(kafka: &str, prefix: &str, within: &str) -> Settings {
    Settings::new(kafka, prefix)
        .set("SOURCES__LEADS__ANSWER", "delivered")
        .set("SOURCES__LEADS__ANSWER_WITHIN", within)
}

/// What the answer says.
#[track_caller]
fn deliver_to(client: &mut Client, path: &str, batch: &Batch) -> String {
    let answer = client.deliver(path, TOKEN, &batch.body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("millrace-answer").expect("an answer that says how far it is").to_owned()
}

#[track_caller]
fn deliver(client: &mut Client, batch: &Batch) -> String {
    deliver_to(client, LEADS, batch)
}

/// Delivers until an answer says `delivered` (topics may have to be made, or Kafka to come back).
#[track_caller]
fn deliver_until_delivered(
    client: &mut Client,
    path: &str,
    ledger: &mut Ledger,
    subscription: &mut Subscription,
) {
    wait::until("an answer that says delivered", PATIENCE, || {
        let batch = subscription.batch_of(20);
        let said = deliver_to(client, path, &batch);
        ledger.acknowledged(batch);
        said == "delivered"
    });
}

/// In both modes.
fn what_is_answered_delivered_is_there(guarantee: &str) {
    let address = broker::shared();
    let prefix = broker::own_prefix(&format!("answers-{guarantee}"));
    let settings = settings(&address, &prefix, WITHIN)
        .set("KAFKA__DELIVERY", guarantee)
        .set("KAFKA__COMMIT_INTERVAL", "200ms")
        .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"));
    let bridge = Bridge::start(settings);
    let mut subscription = Subscription::new("999-ANS-001", 20);
    let mut ledger = Ledger::new(&prefix);
    let mut client = bridge.client();
    deliver_until_delivered(&mut client, LEADS, &mut ledger, &mut subscription);
    let mut delivered = 0;
    for _ in 0..10 {
        let batch = subscription.batch_of(20);
        let said = deliver(&mut client, &batch);
        if said == "delivered" {
            delivered += 1;
            // Read at once.
            let types: BTreeSet<_> = batch.events.iter().map(|sent| sent.event_type).collect();
            let there: Vec<String> = types
                .into_iter()
                .flat_map(|event_type| read_topic(&address, &ledger.topic(event_type)))
                .map(|record| record.header("ce_id").to_owned())
                .collect();
            for sent in &batch.events {
                assert!(there.contains(&sent.guid), "{} is not there", sent.guid);
            }
        }
        ledger.acknowledged(batch);
    }
    assert!(delivered > 0, "a test without such an answer proves nothing");
    println!("{guarantee}: {delivered} of 10 answers said delivered");
    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("answers that say delivered");
    let counted =
        |answer| bridge.metric("millrace_answers_total", &[&format!("answer=\"{answer}\"")]);
    assert!(counted("delivered") > f64::from(delivered));
}

#[test]
fn what_is_answered_delivered_can_be_read_at_once() {
    what_is_answered_delivered_is_there("at-least-once");
}

#[test]
fn what_is_answered_delivered_is_committed_in_exactly_once_delivery() {
    what_is_answered_delivered_is_there("exactly-once");
}

/// None of them waits: the first one may have.
#[track_caller]
fn assert_stored_at_once(
    client: &mut Client,
    ledger: &mut Ledger,
    subscription: &mut Subscription,
    within: Duration,
) {
    const DELIVERIES: u32 = 20;
    let began = Instant::now();
    for _ in 0..DELIVERIES {
        let batch = subscription.batch_of(20);
        assert_eq!(deliver(client, &batch), "stored");
        ledger.acknowledged(batch);
    }
    assert!(began.elapsed() < within * DELIVERIES / 2, "they took {:?}", began.elapsed());
}

#[test]
fn while_kafka_is_away_deliveries_are_answered_stored_at_once_and_delivered_once_it_is_back() {
    let mut broker = Broker::start();
    let address = broker.address();
    let bridge = Bridge::start(settings(&address, "away", "3s"));
    let mut subscription = Subscription::new("999-ANS-002", 20);
    let mut ledger = Ledger::new("away");
    let mut client = bridge.client();
    deliver_until_delivered(&mut client, LEADS, &mut ledger, &mut subscription);

    broker.kill();
    let batch = subscription.batch_of(20);
    assert_eq!(deliver(&mut client, &batch), "stored");
    ledger.acknowledged(batch);
    assert_stored_at_once(&mut client, &mut ledger, &mut subscription, Duration::from_secs(3));

    broker.relaunch();
    deliver_until_delivered(&mut client, LEADS, &mut ledger, &mut subscription);
    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("answers while Kafka is away");
}

/// The second source brings the same events: its own topics are well, and yet they rest on the first one's, which has
/// not brought them.
#[test]
fn while_a_topic_is_held_deliveries_are_answered_stored_and_so_are_repeats_of_its_events() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    let settings = settings(&address, "answer-held", "3s")
        .set("SOURCES__AGAIN__KIND", "marketo-lead-activity")
        .set("SOURCES__AGAIN__AUTH__TOKENS", TOKEN)
        .set("SOURCES__AGAIN__ANSWER", "delivered")
        .set("SOURCES__AGAIN__ANSWER_WITHIN", "3s");
    let bridge = Bridge::start(settings);
    let mut subscription = Subscription::new("999-ANS-003", 20);
    let mut ledger = Ledger::new("answer-held");
    let mut client = bridge.client();
    deliver_until_delivered(&mut client, LEADS, &mut ledger, &mut subscription);

    let held = ledger.topic("clicklink");
    broker.deny_writes(&held);
    let batch = subscription.batch_of(100);
    assert!(batch.events.iter().any(|sent| sent.event_type == "clicklink"));
    assert_eq!(deliver(&mut client, &batch), "stored");
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    assert_eq!(
        deliver_to(&mut client, "/v1/again", &batch),
        "stored",
        "its owners are not settled"
    );
    ledger.acknowledged(batch);
    assert_stored_at_once(&mut client, &mut ledger, &mut subscription, Duration::from_secs(3));

    broker.allow_writes(&held);
    deliver_until_delivered(&mut client, LEADS, &mut ledger, &mut subscription);
    // Now that the owners are settled, what repeats them is, too.
    wait::until("a repeat that is settled", PATIENCE, || {
        let batch = subscription.batch_of(20);
        let first = deliver(&mut client, &batch);
        let second = deliver_to(&mut client, "/v1/again", &batch);
        ledger.acknowledged(batch);
        first == "delivered" && second == "delivered"
    });
    bridge.wait_until_drained(PATIENCE);
    ledger.compare(&address).assert_whole("answers while a topic is held");
}
