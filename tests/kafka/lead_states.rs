//! The states of leads on a topic of their own, which is made compacted; and event topics that never have a null value.

use std::time::Duration;

use serde_json::Value;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};

use crate::{
    broker::{self, own_prefix},
    consumers::{Record, read_topic, topics},
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

fn activity(id: &str, type_id: u32, lead: u32, rest: &str) -> String {
    format!(
        r#"{{"marketoGUID":"{id}","leadId":{lead},"activityDate":"2026-03-02T09:59:58Z","activityTypeId":{type_id}{rest}}}"#
    )
}

fn change(id: &str, lead: u32, name: &str, value: &str) -> String {
    let attributes = format!(
        r#"[{{"name":"New Value","value":{value}}},{{"name":"Old Value","value":"secret"}}]"#
    );
    activity(
        id,
        13,
        lead,
        &format!(r#","primaryAttributeValue":"{name}","attributes":{attributes}"#),
    )
}

fn push(activities: &[String]) -> Vec<u8> {
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{}]}}"#, activities.join(","))
        .into_bytes()
}

/// `key state [value]` of each record of one key.
fn of_lead(records: &[Record], lead: u32) -> Vec<String> {
    let key = format!("999-XYZ-000:{lead}");
    let own = records.iter().filter(|record| record.key_text() == key);
    own.map(|record| {
        let word = record.header("ce_type").trim_start_matches("millrace.lead-state.").to_owned();
        let Some(value) = &record.value else { return format!("{word} null") };
        let value: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(value["lead_id"], lead.to_string());
        assert_eq!(value["state"], word);
        assert_eq!(value["activity_time"], "2026-03-02T09:59:58Z");
        format!("{word} {} {}", value["activity_id"].as_str().unwrap(), value["changed"])
    })
    .collect()
}

fn cleanup_policy(address: &str, topic: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    let client: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", address).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let of = [ResourceSpecifier::Topic(topic)];
    let answers = runtime.block_on(client.describe_configs(&of, &AdminOptions::new())).unwrap();
    let settings = answers.into_iter().next()?.unwrap();
    settings.get("cleanup.policy")?.value.clone()
}

#[test]
fn what_a_lead_lives_through_is_on_its_own_topic_and_no_event_has_a_null_value() {
    let address = broker::shared();
    let prefix = own_prefix("lives");
    let states = format!("{prefix}.lead-state");
    let bridge = Bridge::start(
        Settings::new(&address, &prefix)
            .set("TOPICS__LEAD_STATE", &states)
            .set("TOPICS__PARTITIONS", "3"),
    );
    let mut client = bridge.client();
    let first = push(&[
        activity("c1", 12, 1, ""),
        activity("c2", 12, 2, ""),
        change("a1", 1, "Country", "\"DE\""),
        activity("k1", 3, 1, ""),
        change("a2", 1, "Lead Status", "\"Known\""),
        change("a3", 1, "Lead Status", "\"MQL\""),
    ]);
    let merge = r#","attributes":[{"name":"Merge IDs","value":"[2]"}]"#;
    let second = push(&[change("b1", 2, "Country", "null"), activity("m1", 32, 1, merge)]);
    let third =
        push(&[activity("d1", 37, 1, ""), activity("d2", 37, 1, "").replace("\"leadId\":1,", "")]);
    // The second one comes once more: no state is sent again.
    for body in [&first, &second, &second, &third] {
        assert_eq!(client.deliver(LEADS, TOKEN, body).unwrap().status, 200);
    }

    bridge.wait_until_drained(PATIENCE);
    wait::until("all states", PATIENCE, || read_topic(&address, &states).len() >= 7);
    let records = read_topic(&address, &states);
    assert_eq!(
        of_lead(&records, 1),
        [
            "created c1 null",
            r#"changed a3 {"Country":"DE","Lead Status":"MQL"}"#,
            "merged m1 null",
            "deleted null",
        ]
    );
    assert_eq!(
        of_lead(&records, 2),
        ["created c2 null", r#"changed b1 {"Country":null}"#, "merged-into null"]
    );
    assert_eq!(records.len(), 7);
    let pointers = records.iter().filter(|it| it.value.is_none() && it.key_text().ends_with(":2"));
    let pointers: Vec<_> = pointers.map(|it| it.header("millrace-merged-into")).collect();
    assert_eq!(pointers, ["1"]);
    let labels = ["reason=\"no-lead\""];
    assert_eq!(bridge.metric("millrace_lead_states_missing_total", &labels), 1.0);

    assert_eq!(cleanup_policy(&address, &states).as_deref(), Some("compact"));
    let mut events = 0;
    for topic in topics(&address).keys().filter(|it| it.starts_with(&prefix) && **it != states) {
        for record in read_topic(&address, topic) {
            assert!(record.value.is_some(), "a null value on {topic}");
            events += 1;
        }
    }
    assert_eq!(events, 6 + 2 + 2, "each event is on its topic once");
}
