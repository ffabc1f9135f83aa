//! Each reason for which there is no schema: its topic is held and named in log, metrics and API, the sender is answered as
//! ever, and all of it arrives once the reason is gone.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    apicurio::Registry,
    broker::{self, own_prefix},
    gate::{Gate, PASSWORD, USER},
    python,
    read_back::settings,
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        wait,
    },
    trouble::{activity, post},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the topic is held for a reason that has all of `words`, in the API and in the log.
#[track_caller]
fn until_held(bridge: &Bridge, topic: &str, words: &[&str]) {
    let has_all = |text: &str| text.contains(topic) && words.iter().all(|word| text.contains(word));
    wait::until("the reason in the API", PATIENCE, || {
        let status: Value =
            serde_json::from_slice(&bridge.admin().get("/api/v1/status").unwrap().body).unwrap();
        let sources = status["sources"].as_array().expect("there are sources").iter();
        let mut held =
            sources.flat_map(|source| source["held_topics"].as_array().into_iter().flatten());
        held.any(|held| has_all(&held.to_string()))
    });
    let status: Value =
        serde_json::from_slice(&bridge.admin().get("/api/v1/status").unwrap().body).unwrap();
    let banner = status["banners"].as_array().unwrap().iter().find(|it| it["kind"] == "topic-held");
    assert_eq!(banner.expect("a banner")["runbook"], "MillraceSchemasMissing", "{status}");
    wait::until("the reason in the log", PATIENCE, || {
        bridge.log().iter().any(|line| line.contains("WARN") && has_all(line))
    });
    assert_eq!(bridge.metric("millrace_schemas_missing", &[]), 1.0);
    assert_eq!(bridge.metric("millrace_held_topics", &[]), 1.0);
}

#[track_caller]
fn arrive_in_order(bridge: &Bridge, registry: &Registry, address: &str, topic: &str, count: usize) {
    bridge.wait_until_drained(PATIENCE);
    let read = python::read(address, &registry.url(), "avro", count, &[topic.to_owned()]);
    let ids: Vec<_> = read.iter().map(|it| it["value"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..count).map(|id| format!("g-{id}")).collect::<Vec<_>>());
    assert_eq!(bridge.metric("millrace_schemas_missing", &[]), 0.0);
    assert_eq!(bridge.metric("millrace_held_topics", &[]), 0.0);
    assert_eq!(bridge.metric("millrace_dead_letters_total", &[]), 0.0);
}

#[test]
fn a_schema_that_operators_register_is_waited_for_and_is_the_one_that_the_program_prints() {
    let (registry, address) = (Registry::start(), broker::shared());
    let prefix = own_prefix("never");
    let settings = settings(&address, &registry.url(), &prefix, "avro")
        .set("KAFKA__SCHEMA_REGISTRY__REGISTER", "never");
    let bridge = Bridge::start(settings);
    let topic = format!("{prefix}.lead-activity.clicklink");
    (0..5).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    until_held(&bridge, &topic, &["404", "register what `millrace topics` prints"]);

    let printed = bridge.tool(&["topics", "--format", "avro"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("it prints JSON");
    // Otherwise spelled than the service does, as a tool of an operator's may.
    let schema = serde_json::to_string_pretty(&printed[&topic]).expect("JSON");
    let body = serde_json::json!({"schema": schema, "schemaType": "AVRO"}).to_string();
    let versions = format!("/subjects/{topic}-value/versions");
    assert_eq!(registry.request("POST", &versions, &body).0, 200);
    arrive_in_order(&bridge, &registry, &address, &topic, 5);
    let (_, all) = registry.request("GET", &versions, "");
    assert_eq!(all, "[1]", "nothing was registered by the service");
}

#[test]
fn a_registry_that_is_away_from_the_start_costs_nothing_but_time() {
    let (mut registry, address) = (Registry::start(), broker::shared());
    registry.kill();
    let prefix = own_prefix("away");
    let mut bridge = Bridge::start(settings(&address, &registry.url(), &prefix, "avro"));
    let topic = format!("{prefix}.lead-activity.clicklink");
    (0..5).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    until_held(&bridge, &topic, &["-value` has no id yet", "does not answer"]);
    // Without any id on the disk a start is the same.
    bridge.restart();
    (5..10).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    until_held(&bridge, &topic, &["-value` has no id yet", "does not answer"]);
    registry.restart();
    arrive_in_order(&bridge, &registry, &address, &topic, 10);
}

#[test]
fn wrong_passwords_and_refusals_hold_a_topic_behind_tls_with_own_authority_and_certificate() {
    let (registry, address) = (Registry::start(), broker::shared());
    let gate = Gate::start(registry.port());
    let prefix = own_prefix("gate");
    fs::write(gate.file("password"), "hunter2").unwrap();
    let path = |name: &str| gate.file(name).display().to_string();
    let settings = settings(&address, &gate.url(), &prefix, "avro")
        .set("KAFKA__SCHEMA_REGISTRY__CA_FILE", path("ca.pem"))
        .set("KAFKA__SCHEMA_REGISTRY__CERTIFICATE_FILE", path("tls.crt"))
        .set("KAFKA__SCHEMA_REGISTRY__KEY_FILE", path("tls.key"))
        .set("KAFKA__SCHEMA_REGISTRY__USERNAME", USER)
        .set("KAFKA__SCHEMA_REGISTRY__PASSWORD_FILE", path("password"));
    let bridge = Bridge::start(settings);
    let topic = format!("{prefix}.lead-activity.clicklink");
    (0..5).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    until_held(
        &bridge,
        &topic,
        &["401, error 40101: unknown user", "check kafka.schema_registry.username"],
    );

    // The right password, and then the registry itself says no.
    gate.says(Some((422, r#"{"error_code":42201,"message":"no field may be called time"}"#)));
    fs::write(gate.file("password"), PASSWORD).unwrap();
    wait::until("a refusal as invalid", PATIENCE, || {
        bridge.metric("millrace_schema_registry_requests_total", &["invalid"]) >= 1.0
    });
    until_held(&bridge, &topic, &["422, error 42201: no field may be called time"]);
    gate.says(None);
    arrive_in_order(&bridge, &registry, &address, &topic, 5);
    let log = bridge.log().join("\n");
    assert!(!log.contains("hunter2") && !log.contains(PASSWORD), "{log}");
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, b"{}").unwrap().status, 200);
}
