//! The tools in exactly-once delivery: what they say of a spool whose service has a transaction open, and
//! a drain after it was killed within it.

use std::{process::Output, time::Duration};

use serde_json::Value;

use crate::{
    broker,
    consumers::{read_topic, read_topic_uncommitted},
    exactly_once::settings,
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    out + &errors
}

/// How many deliveries of `leads` the folder's tool takes for undelivered, and what troubles it.
#[track_caller]
fn inspect(bridge: &Bridge, code: i32) -> (u64, Vec<String>) {
    let shown = bridge.tool(&["spool", "inspect", "--json"]);
    assert_eq!(shown.status.code(), Some(code), "{}", String::from_utf8_lossy(&shown.stdout));
    let all: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let leads = &all["sources"][0];
    let problems = leads["problems"].as_array().expect("a list").iter();
    let problems = problems.map(|problem| problem.as_str().unwrap_or_default().to_owned());
    (leads["undelivered"]["deliveries"].as_u64().expect("a number"), problems.collect())
}

/// Everything goes to one topic.
struct Topic {
    address: String,
    name: String,
}

impl Topic {
    /// The ids of the records that readers of committed ones see, in order.
    fn committed(&self) -> Vec<String> {
        let records = read_topic(&self.address, &self.name);
        records.iter().map(|record| record.header("ce_id").to_owned()).collect()
    }

    /// How many records there are in all.
    fn sent(&self) -> usize {
        read_topic_uncommitted(&self.address, &self.name).len()
    }
}

const EVENTS: usize = 50;

/// The ids of the events in so many deliveries.
fn ids(deliveries: usize) -> Vec<String> {
    (0..EVENTS * deliveries).map(|id| format!("c{id}")).collect()
}

/// The `number`th delivery, from 0 on.
#[track_caller]
fn deliver(bridge: &Bridge, number: usize) {
    let activity = |id: &String| {
        format!(r#"{{"marketoGUID":"{id}","leadId":7,"activityTypeId":3,"text":"{number}"}}"#)
    };
    let activities: Vec<_> = ids(number + 1)[EVENTS * number..].iter().map(activity).collect();
    let body = format!(r#"{{"munchkinId":"9-X-0","activities":[{}]}}"#, activities.join(","));
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body.as_bytes()).unwrap().status, 200);
}

/// A service with one delivery committed, and another in a transaction that is not.
#[track_caller]
fn with_an_open_transaction(test: &str) -> (Bridge, Topic) {
    let (address, prefix) = (broker::shared(), broker::own_prefix(test));
    let name = format!("{prefix}.lead-activity.clicklink");
    let patient = settings(&address, &prefix).set("FORWARD__HOLD_AFTER", "5m");
    let mut bridge = Bridge::start(patient.set("KAFKA__COMMIT_INTERVAL", "2m"));
    let topic = Topic { address, name };
    deliver(&bridge, 0); // what comes first is committed at once
    bridge.wait_until_drained(PATIENCE);
    deliver(&bridge, 1);
    wait::until("records in an open transaction", PATIENCE, || topic.sent() >= 2 * EVENTS);
    assert_eq!(topic.committed(), ids(1));
    bridge.set("KAFKA__COMMIT_INTERVAL", "200ms"); // of those that come after it
    (bridge, topic)
}

#[test]
fn the_tools_tell_what_is_committed_and_a_drain_brings_the_rest_once() {
    let (mut bridge, topic) = with_an_open_transaction("once-drained");
    assert_eq!(inspect(&bridge, 0), (1, vec![]), "what is not committed is not delivered");
    exits(&bridge.tool(&["spool", "verify"]), 0);
    let dry = exits(&bridge.tool(&["replay", "segments", "leads", "--dry-run"]), 0);
    assert!(dry.starts_with("100 events would be sent"), "{dry}");
    let refused = exits(&bridge.tool(&["drain"]), 3);
    assert!(refused.contains("another process"), "{refused}");
    assert_eq!(topic.committed(), ids(1), "none of them touches the service's transaction");

    bridge.kill();
    let drained = exits(&bridge.tool(&["drain", "--deadline", "100s"]), 0);
    assert!(drained.contains("drained: nothing is left"), "{drained}");
    assert_eq!(inspect(&bridge, 0), (0, vec![]));
    exits(&bridge.tool(&["spool", "verify"]), 0);
    assert_eq!(topic.committed(), ids(2), "in order, each once");

    // Nor does it matter to a drain what the file says: the topic tells.
    let sent = topic.sent();
    assert!(sent > 2 * EVENTS, "what was in the transaction was taken back");
    for checkpoint in bridge.files("leads/checkpoint") {
        std::fs::remove_file(checkpoint).expect("it is there");
    }
    assert_eq!(inspect(&bridge, 0), (2, vec![]));
    exits(&bridge.tool(&["drain", "--deadline", "100s"]), 0);
    assert_eq!(topic.sent(), sent);
}

#[test]
fn a_spool_whose_copy_another_instance_has_delivered_is_not_drained_and_the_tools_say_so() {
    let (mut first, topic) = with_an_open_transaction("once-not-drained");
    first.kill();
    let mut second = first.start_on_a_copy();
    second.wait_until_drained(PATIENCE);

    let refused = exits(&first.tool(&["drain", "--deadline", "100s"]), 4);
    assert!(refused.contains("another instance goes on with a copy of spool"), "{refused}");
    let (undelivered, problems) = inspect(&first, 1);
    assert_eq!(undelivered, 1, "as far as this one knows");
    let told = "stop the other one and remove this file";
    assert!(problems.iter().any(|problem| problem.contains(told)), "{problems:?}");
    let refused = exits(&first.tool(&["drain"]), 4);
    assert!(refused.contains(told), "{refused}");

    deliver(&second, 2);
    second.wait_until_drained(PATIENCE);
    assert!(second.ended().is_none(), "it goes on");
    assert_eq!(topic.committed(), ids(3), "in order, each once");
}
