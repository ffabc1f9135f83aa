//! What is delivered with a schema is read back and validated by Confluent's own client.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    apicurio::Registry,
    broker,
    events::{self, Sent},
    python,
    support::bridge::{Bridge, LEADS, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// A source of Adobe I/O's, whose sender has a token, and the client that its events are for.
pub const ADOBE: &str = "/v1/adobe";
pub const CLIENT: &str = "us";

pub fn settings(broker: &str, registry: &str, prefix: &str, format: &str) -> Settings {
    Settings::new(broker, prefix)
        .set("TOPICS__VALUE", "flat")
        .set("TOPICS__PARTITIONS", "1")
        .set("KAFKA__SCHEMA_REGISTRY__URL", registry)
        .set("KAFKA__SCHEMA_REGISTRY__FORMAT", format)
        .set("SOURCES__ADOBE__KIND", "adobe-io")
        .set("SOURCES__ADOBE__AUTH__CLIENT_IDS", CLIENT)
        .set("SOURCES__ADOBE__AUTH__TOKENS", TOKEN)
}

/// Posts an event of each type.
#[track_caller]
pub fn post_all(bridge: &Bridge, round: usize) -> Vec<Sent> {
    let (body, mut sent) = events::activities(round);
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, &body).unwrap().status, 200);
    let (body, others) = events::others(round, CLIENT);
    assert_eq!(bridge.client().deliver(ADOBE, TOKEN, &body).unwrap().status, 200);
    sent.extend(others);
    sent
}

/// Posts an event of each type, and reads all of them back.
#[track_caller]
fn round_trip(
    registry: &Registry,
    address: &str,
    prefix: &str,
    format: &str,
    settings: Settings,
) -> Vec<Value> {
    let bridge = Bridge::start(settings);
    let sent = post_all(&bridge, 0);
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0);
    assert_eq!(bridge.metric("millrace_schemas_missing", &[]), 0.0);
    let read = python::read(address, &registry.url(), format, sent.len(), &topics(prefix, &sent));
    compare(&read, &sent);
    read
}

pub fn topics(prefix: &str, sent: &[Sent]) -> Vec<String> {
    let mut topics: Vec<_> = sent.iter().map(|it| format!("{prefix}.{}", it.topic)).collect();
    topics.sort();
    topics.dedup();
    topics
}

#[track_caller]
pub fn compare(read: &[Value], sent: &[Sent]) {
    let by_id: BTreeMap<_, _> =
        read.iter().map(|record| (record["value"]["id"].as_str().unwrap(), record)).collect();
    assert_eq!(by_id.len(), sent.len());
    for Sent { id, topic, members } in sent {
        let record = by_id.get(id.as_str()).unwrap_or_else(|| panic!("{id} is missing"));
        assert!(record["topic"].as_str().unwrap().ends_with(&format!(".{topic}")), "{record}");
        compare_values(&record["value"], id, members);
    }
}

#[track_caller]
pub fn compare_values(value: &Value, id: &str, members: &[(String, Value)]) {
    // What the schema does not list is JSON as text in a format that is bound to its schema.
    let others = value.get("others").and_then(Value::as_str).unwrap_or("{}");
    let others: Value = serde_json::from_str(others).expect("others are JSON");
    for (name, expected) in members {
        // An attribute gives way to a member of the same name.
        let found = value.get(format!("attribute_{name}"));
        let found = found.or_else(|| value.get(name)).or_else(|| others.get(name));
        let found = found.unwrap_or_else(|| panic!("{id} has no {name}: {value}"));
        assert!(is_same(found, expected), "{id} {name}: {found}, not {expected}");
    }
}

/// As values: a time in Avro is an instant, whose spelling is the reader's.
fn is_same(found: &Value, expected: &Value) -> bool {
    if found == expected {
        return true;
    }
    let instant = |value: &Value| value.as_str()?.parse::<jiff::Timestamp>().ok();
    match (instant(found), instant(expected)) {
        (Some(found), Some(expected)) => found == expected,
        _ => found.as_f64().is_some_and(|found| expected.as_f64() == Some(found)),
    }
}

#[test]
fn each_published_type_is_read_back_and_validated_in_both_formats_and_both_modes_of_delivery() {
    let (registry, address) = (Registry::start(), broker::shared());
    for format in ["avro", "json-schema"] {
        for delivery in ["at-least-once", "exactly-once"] {
            let prefix = broker::own_prefix(&format!("{format}-{delivery}"));
            let settings = settings(&address, &registry.url(), &prefix, format)
                .set("KAFKA__DELIVERY", delivery)
                .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"));
            let read = round_trip(&registry, &address, &prefix, format, settings);
            assert!(read.iter().all(|record| !record["headers"].to_string().contains("schema_id")));
        }
    }
}

#[test]
fn with_the_id_in_a_header_the_value_is_as_it_is_without_a_registry_and_is_read_all_the_same() {
    let (registry, address) = (Registry::start(), broker::shared());
    for format in ["avro", "json-schema"] {
        let prefix = broker::own_prefix(&format!("{format}-header"));
        let settings = settings(&address, &registry.url(), &prefix, format)
            .set("KAFKA__SCHEMA_REGISTRY__ID", "header")
            .set("KAFKA__SCHEMA_REGISTRY__SUBJECT", "record-name");
        let read = round_trip(&registry, &address, &prefix, format, settings);
        assert!(read.iter().all(|it| it["headers"].to_string().contains("__value_schema_id")));
        let (_, subjects) = registry.request("GET", "/subjects", "");
        assert!(subjects.contains(".lead_activity.clicklink\"") && !subjects.contains("-value"));
        if format == "json-schema" {
            let topic = format!("{prefix}.lead-activity.clicklink");
            let records = crate::consumers::read_topic(&address, &topic);
            assert!(records[0].value_bytes().starts_with(b"{\"id\":"));
        }
    }
}

#[test]
fn the_timestamp_of_a_record_is_the_one_that_its_setting_names() {
    let (registry, address) = (Registry::start(), broker::shared());
    let millis = || jiff::Timestamp::now().as_millisecond();
    let event = "2026-03-02T09:59:58Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for (mode, is_event) in [("event", true), ("received", false), ("produced", false)] {
        let prefix = broker::own_prefix(mode);
        let settings = settings(&address, &registry.url(), &prefix, "avro")
            .set("TOPICS__TIMESTAMP", mode)
            // What is that old is deleted at once otherwise.
            .set("TOPICS__CONFIG__RETENTION_MS", "-1");
        let before = millis();
        let read = round_trip(&registry, &address, &prefix, "avro", settings);
        let after = millis();
        let activities =
            read.iter().filter(|record| record["topic"].to_string().contains(".lead-activity."));
        for record in activities {
            let found = record["timestamp"].as_i64().unwrap();
            let is_right =
                if is_event { found == event } else { (before..=after).contains(&found) };
            assert!(is_right, "{mode}: {record}");
        }
    }
}
