//! `millrace replay` beside a running service: what was delivered once is delivered again.

use std::{process::Output, time::Duration};

use crate::{
    broker,
    consumers::{Record, read_topic},
    support::bridge::{Bridge, LEADS, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(60);

const CLICKS: &str = r#"{"munchkinId":"999-XYZ-000","activities":[
    {"marketoGUID":"c1","leadId":1,"activityTypeId":3},
    {"leadId":1,"activityTypeId":3},
    {"marketoGUID":"o1","leadId":1,"activityTypeId":10}]}"#;

#[track_caller]
fn exits(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{errors}");
    (out, errors)
}

#[track_caller]
fn deliver(bridge: &Bridge, body: &str) {
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body.as_bytes()).unwrap().status, 200);
    bridge.wait_until_drained(PATIENCE);
}

fn told(records: &[Record]) -> Vec<(String, String, Vec<u8>)> {
    let told = |record: &Record| {
        let (key, id) = (record.key_text().to_owned(), record.header("ce_id").to_owned());
        (key, id, record.value_bytes().to_vec())
    };
    records.iter().map(told).collect()
}

#[test]
fn kept_segments_are_replayed_with_the_same_keys_ids_and_values() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-segments"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    deliver(&bridge, CLICKS);
    let topic = format!("{prefix}.lead-activity.clicklink");
    let once = told(&read_topic(&address, &topic));
    assert_eq!(once.len(), 2);

    let (out, _) = exits(&bridge.tool(&["replay", "segments", "leads", "--dry-run"]), 0);
    assert!(out.starts_with("3 events would be sent\n"), "{out}");
    assert_eq!(told(&read_topic(&address, &topic)), once, "a dry run sends nothing");

    let arguments = ["replay", "segments", "leads", "--type", "clicklink"];
    let (out, _) = exits(&bridge.tool(&arguments), 0);
    assert_eq!(out, format!("2 events sent\n  {topic}  2\n"));
    assert_eq!(told(&read_topic(&address, &topic)), [once.clone(), once].concat());
    let others = read_topic(&address, &format!("{prefix}.lead-activity.openemail"));
    assert_eq!(others.len(), 1, "what was not chosen is not sent");
}

#[test]
fn a_range_of_positions_ends_before_its_end_and_may_cut_a_delivery() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-range"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    deliver(&bridge, CLICKS);
    deliver(&bridge, CLICKS);
    let dry = |from: &str, to: &str| {
        let range = ["--from", from, "--to", to, "--dry-run"];
        let arguments = [&["replay", "segments", "leads"], &range[..]].concat();
        exits(&bridge.tool(&arguments), 0).0.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(dry("1", "2"), "3 events would be sent");
    assert_eq!(dry("1.1", "2.2"), "4 events would be sent");
    assert_eq!(dry("3", "9"), "0 events would be sent");
}

#[test]
fn dead_letters_reach_their_topic_once_the_configuration_lets_them() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-letters"));
    let settings = Settings::new(&address, &prefix);
    let bridge = Bridge::start(settings.clone().set("TOPICS__LIMIT", "1"));
    deliver(
        &bridge,
        r#"{"munchkinId":"999-XYZ-000","activities":[
        {"marketoGUID":"c1","leadId":1,"activityTypeId":3},
        {"marketoGUID":"o1","leadId":7,"activityTypeId":10}, 17]}"#,
    );
    let letters = read_topic(&address, &format!("{prefix}.dead-letter"));
    assert_eq!(letters.len(), 2, "one topic too many, and one that is no activity: {letters:?}");

    let wider = bridge.tool_with(&[("TOPICS__LIMIT", "10")], &["replay", "dead-letters"]);
    let (out, errors) = exits(&wider, 1);

    let topic = format!("{prefix}.lead-activity.openemail");
    assert_eq!(out, format!("1 event sent\n  {topic}  1\n"));
    assert!(errors.contains("leads 1.2: ") && errors.contains("(not-an-object)"), "{errors}");
    let [record] = &read_topic(&address, &topic)[..] else { panic!("one record on {topic}") };
    assert_eq!((record.key_text(), record.header("ce_id")), ("999-XYZ-000:7", "o1"));
    let expected = br#"{"munchkinId":"999-XYZ-000","leadId":"7","activityTypeId":10}"#;
    assert_eq!(record.value_bytes(), expected, "as if it had never been refused");

    let only = ["replay", "dead-letters", "--reason", "topic-limit", "--dry-run"];
    let (out, _) = exits(&bridge.tool_with(&[("TOPICS__LIMIT", "10")], &only), 0);
    assert!(out.starts_with("1 event would be sent\n"), "{out}");
}

#[test]
fn quarantined_events_are_replayed_from_their_files() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-quarantine"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let large = "y".repeat(2 * 1024 * 1024);
    deliver(
        &bridge,
        &format!(
            r#"{{"munchkinId":"999-XYZ-000","activities":[
        {{"marketoGUID":"l1","leadId":7,"activityTypeId":3,"text":"{large}"}}]}}"#
        ),
    );

    let (out, _) = exits(&bridge.tool(&["replay", "quarantine", "leads", "--dry-run"]), 0);
    let topic = format!("{prefix}.lead-activity.clicklink");
    assert_eq!(out, format!("1 event would be sent\n  {topic}  1\n"));
    let (out, errors) = exits(&bridge.tool(&["replay", "quarantine", "leads"]), 1);
    assert!(out.starts_with("0 events sent\n"), "it is as large as before: {out}");
    assert!(errors.contains("leads 1.0") || errors.contains("not delivered"), "{errors}");

    // The letter on the topic has only a pointer, which is followed.
    let (out, _) = exits(&bridge.tool(&["replay", "dead-letters", "--dry-run"]), 0);
    assert_eq!(out, format!("1 event would be sent\n  {topic}  1\n"));
}

#[test]
fn a_source_or_an_option_that_does_not_exist_is_named() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-mistakes"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let (_, errors) = exits(&bridge.tool(&["replay", "segments", "leeds", "--dry-run"]), 1);
    assert!(errors.contains("leeds"), "{errors}");
    let (_, errors) = exits(&bridge.tool(&["replay", "segments", "leads", "--since", "noon"]), 2);
    assert!(errors.contains("2026-03-02T10:00:00Z"), "{errors}");
}
