//! Where the API says that an event is, and which topics it says are held, against a real broker.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::{
    broker::{Broker, Options},
    consumers::{Record, read_topic},
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

/// An answer of the API's.
#[track_caller]
fn api(bridge: &Bridge, path: &str) -> Value {
    let answer = bridge.admin().get(path).expect("the API answers");
    serde_json::from_str(&answer.text()).unwrap_or_else(|_| panic!("{path}: {}", answer.text()))
}

/// The events of a delivery, as the API shows them.
#[track_caller]
fn events(bridge: &Bridge, sequence: u64) -> Vec<Value> {
    let delivery = api(bridge, &format!("/api/v1/deliveries/leads/{sequence}"));
    delivery["events"].as_array().expect("events").clone()
}

/// Holds each delivered event against the record that is at its place.
#[track_caller]
fn are_where_they_are_said_to_be(address: &str, events: &[Value]) {
    let mut topics: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
    for event in events {
        let topic = event["topic"].as_str().expect("a topic");
        let records = topics.entry(topic).or_insert_with(|| read_topic(address, topic));
        let at_place = |record: &&Record| {
            event["partition"] == record.partition && event["offset"] == record.offset
        };
        let record = records.iter().find(at_place);
        let record = record.unwrap_or_else(|| panic!("no record is there: {event}"));
        assert_eq!(record.header("ce_id"), event["id"], "{event}");
    }
}

#[test]
fn a_consumer_finds_each_event_where_the_api_says_and_a_held_topic_is_shown_with_its_why() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    let bridge = Bridge::start(Settings::new(&address, "places"));
    let mut subscription = Subscription::new("777-GGG-007", 30);
    let mut deliver = || {
        let body = subscription.batch_of(20).body;
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, &body).unwrap().status, 200);
    };
    let state = |sequence, state: &str| {
        let events = events(&bridge, sequence);
        !events.is_empty() && events.iter().all(|event| event["state"] == state)
    };
    // Several of one topic, so that an offset is not a mere 0.
    deliver();
    deliver();
    for sequence in [1, 2] {
        wait::until("a delivered delivery", PATIENCE, || state(sequence, "delivered"));
        are_where_they_are_said_to_be(&address, &events(&bridge, sequence));
    }
    assert!(events(&bridge, 2).iter().any(|event| event["offset"].as_i64() > Some(0)));

    let topics = api(&bridge, "/api/v1/status")["topics"].clone();
    let held = topics[0]["topic"].as_str().expect("a topic").to_owned();
    broker.deny_writes(&held);
    wait::until("an event for the held topic", PATIENCE, || {
        deliver();
        bridge.metric("millrace_held_topics", &[]) == 1.0
    });
    let status = api(&bridge, "/api/v1/status");
    let [of_source] = &status["sources"][0]["held_topics"].as_array().expect("held topics")[..]
    else {
        panic!("{status}")
    };
    assert_eq!(of_source["topic"], held);
    assert_eq!(status["sources"][0]["state"], "held");
    let why = of_source["why"].as_str().expect("why it is held");
    assert!(why.to_lowercase().contains("authori"), "{why}");
    let of_topic = status["topics"].as_array().unwrap().iter().find(|it| it["topic"] == held);
    assert_eq!(of_topic.unwrap()["held"]["why"], why);
    let banner = status["banners"].as_array().unwrap().iter().find(|it| it["kind"] == "topic-held");
    let banner = banner.unwrap_or_else(|| panic!("{status}"));
    assert!(banner["text"].as_str().unwrap().contains(why), "{banner}");
    let last: u64 = bridge.metric("millrace_deliveries_total", &["outcome=\"stored\""]) as u64;
    let waiting = |event: &Value| event["topic"] == *held && event["state"] == "on-its-way";
    let found = (1..=last).flat_map(|it| events(&bridge, it)).any(|event| waiting(&event));
    assert!(found, "an event for the held topic is still on its way");

    broker.allow_writes(&held);
    wait::until("the end of the hold", PATIENCE, || {
        let source = api(&bridge, "/api/v1/status")["sources"][0].clone();
        source["held_topics"] == json!([]) && source["state"] == "ok" && state(last, "delivered")
    });
    let all: Vec<_> = (3..=last).flat_map(|sequence| events(&bridge, sequence)).collect();
    are_where_they_are_said_to_be(&address, &all);
}
