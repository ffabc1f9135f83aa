//! A registry that is away, hangs or says no: nothing is lost, order stays, and other topics go on.

use std::time::Duration;

use crate::{
    apicurio::Registry,
    broker::{self, own_prefix},
    consumers, events, python,
    read_back::{compare, settings, topics},
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

pub fn activity(id: usize, activity_type_id: u32, name: &str) -> Vec<u8> {
    format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{{"marketoGUID":"g-{id}","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":{activity_type_id},"activityType":"{name}","attributes":[]}}]}}"#
    )
    .into_bytes()
}

#[track_caller]
pub fn post(bridge: &Bridge, body: &[u8]) {
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body).unwrap().status, 200);
}

fn count(address: &str, topic: &str) -> usize {
    consumers::read_topic(address, topic).len()
}

#[test]
fn while_the_registry_is_away_or_hangs_known_schemas_go_on_and_new_ones_come_through_in_order() {
    let (mut registry, address) = (Registry::start(), broker::shared());
    let prefix = own_prefix("outage");
    let mut bridge = Bridge::start(settings(&address, &registry.url(), &prefix, "avro"));
    let topic = |name: &str| format!("{prefix}.lead-activity.{name}");
    post(&bridge, &activity(0, 3, "Click Link"));
    bridge.wait_until_drained(PATIENCE);

    registry.kill();
    (1..20).for_each(|id| post(&bridge, &activity(id, 12, "New Lead")));
    (20..40).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    wait::until("the known topic going on", PATIENCE, || {
        count(&address, &topic("clicklink")) == 21
    });
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    assert_eq!(bridge.metric("millrace_schemas_missing", &[]), 1.0);
    let log = bridge.log().join("\n");
    assert!(log.contains("a topic is held") && log.contains("-value` has no id yet"), "{log}");

    // A start with the registry away: ids from the disk.
    bridge.restart();
    post(&bridge, &activity(40, 3, "Click Link"));
    wait::until("the known topic going on", PATIENCE, || {
        count(&address, &topic("clicklink")) >= 22
    });
    assert_eq!(count(&address, &topic("newlead")), 0);

    registry.restart();
    bridge.wait_until_drained(PATIENCE);
    wait::until("no held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 0.0);

    registry.freeze();
    post(&bridge, &activity(41, 10, "Open Email"));
    (42..50).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    wait::until("the known topic going on", PATIENCE, || {
        count(&address, &topic("clicklink")) >= 30
    });
    wait::until("a held topic", PATIENCE, || bridge.metric("millrace_held_topics", &[]) == 1.0);
    registry.thaw();
    bridge.wait_until_drained(PATIENCE);

    let read = python::read(&address, &registry.url(), "avro", 19, &[topic("newlead")]);
    let ids: Vec<_> = read.iter().map(|it| it["value"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, (1..20).map(|id| format!("g-{id}")).collect::<Vec<_>>());
    python::read(&address, &registry.url(), "avro", 1, &[topic("openemail")]);
    assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0);
}

#[test]
fn a_schema_that_the_registry_refuses_holds_its_topic_alone_until_it_is_allowed() {
    let (registry, address) = (Registry::start(), broker::shared());
    let prefix = own_prefix("refused");
    let subject = format!("{prefix}.lead-activity.clicklink-value");
    let taken = r#"{"schema":"{\"type\":\"record\",\"name\":\"taken\",\"fields\":[]}"}"#;
    assert_eq!(registry.request("POST", &format!("/subjects/{subject}/versions"), taken).0, 200);
    let rule = |level: &str| {
        let level = format!(r#"{{"compatibility":"{level}"}}"#);
        assert_eq!(registry.request("PUT", &format!("/config/{subject}"), &level).0, 200);
    };
    rule("BACKWARD");
    let bridge = Bridge::start(settings(&address, &registry.url(), &prefix, "avro"));
    let (body, sent) = events::activities(0);
    post(&bridge, &body);
    let delivered = || bridge.metric("millrace_events_delivered_total", &[]) as usize;
    wait::until("all others", PATIENCE, || delivered() == sent.len() - 1);
    let log = bridge.log().join("\n");
    let line = log.lines().find(|line| line.contains("schema registry refuses a schema"));
    let line = line.expect("the refusal is in the log");
    assert!(
        line.contains(&subject) && line.contains("incompatible") && line.contains("409"),
        "{line}"
    );
    let refusals =
        |labels: &[&str]| bridge.metric("millrace_schema_registry_requests_total", labels);
    assert!(refusals(&["incompatible"]) >= 1.0);

    rule("NONE");
    bridge.wait_until_drained(PATIENCE);
    let read = python::read(&address, &registry.url(), "avro", sent.len(), &topics(&prefix, &sent));
    compare(&read, &sent);
}
