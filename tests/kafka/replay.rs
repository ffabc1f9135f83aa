//! `millrace replay` beside a running service: what was delivered once is delivered again.

use std::{fs, process::Output, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use crate::{
    broker,
    consumers::{Record, produce_with_headers, read_topic, topics},
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

/// What is printed of one topic.
fn table(head: &str, topic: &str, events: u64) -> String {
    let width = topic.len();
    format!("{head}\n  {:<width$}  events\n  {topic}  {events:>6}\n", "topic")
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
    assert_eq!(out, table("2 events sent", &topic, 2));
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
    assert_eq!(out, table("1 event sent", &topic, 1));
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
    assert_eq!(out, table("1 event would be sent", &topic, 1));
    let (out, errors) = exits(&bridge.tool(&["replay", "quarantine", "leads"]), 1);
    assert!(out.starts_with("0 events sent\n"), "it is as large as before: {out}");
    assert!(errors.contains("leads 1.0") || errors.contains("not delivered"), "{errors}");

    // The letter on the topic has only a pointer, which is followed.
    let (out, _) = exits(&bridge.tool(&["replay", "dead-letters", "--dry-run"]), 0);
    assert_eq!(out, table("1 event would be sent", &topic, 1));
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

/// A source `io` of Adobe I/O's, whose client ids are `us` and `us-too`. What has its token is stored
/// whomever it is for.
fn adobe(address: &str, prefix: &str) -> Settings {
    Settings::new(address, prefix)
        .set("SOURCES__IO__KIND", "adobe-io")
        .set("SOURCES__IO__AUTH__CLIENT_IDS", "us,us-too")
        .set("SOURCES__IO__AUTH__TOKENS", TOKEN)
}

/// A click; `more` are members beside it.
fn click(id: &str, more: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.clicklink","source":"urn:marketo_activity_stream","id":"{id}"{more},"data":{{"munchkinId":"999-XYZ-000","leadId":"1"}}}}"#
    )
}

const FOR_US: &str = r#","recipientclientid":"us""#;
const FOREIGN: &str = r#","recipientclientid":"us","recipient_client_id":"somebody-else""#;

#[track_caller]
fn deliver_to_io(bridge: &Bridge, headers: &[&str], body: &str) {
    let token = format!("authorization: Bearer {TOKEN}");
    let headers: Vec<_> = headers.iter().map(|line| (*line).to_owned()).chain([token]).collect();
    let answer = bridge.client().request("POST", "/v1/io", &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    bridge.wait_until_drained(PATIENCE);
}

/// The ids on the topic of the clicks.
fn clicked(address: &str, prefix: &str) -> Vec<String> {
    let topic = format!("{prefix}.lead-activity.clicklink");
    if !topics(address).contains_key(&topic) {
        return Vec::new();
    }
    let mut ids: Vec<_> =
        read_topic(address, &topic).iter().map(|record| record.header("ce_id").into()).collect();
    ids.sort();
    ids
}

const UNLIMITED: [(&str, &str); 1] = [("TOPICS__LIMIT", "10")];

#[test]
fn a_foreign_recipient_comes_back_from_no_segment() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-foreign-segments"));
    let bridge = Bridge::start(adobe(&address, &prefix));
    deliver_to_io(&bridge, &[], &click("ours", FOR_US));
    deliver_to_io(&bridge, &[], &format!("[{},{}]", click("b1", FOR_US), click("b2", FOREIGN)));
    deliver_to_io(&bridge, &[], &click("unnamed", ""));
    deliver_to_io(&bridge, &["millrace-origin: journal"], &click("journal", ""));
    assert_eq!(clicked(&address, &prefix).len(), 5, "they have the token");

    let (out, errors) = exits(&bridge.tool(&["replay", "segments", "io"]), 1);

    assert!(out.starts_with("2 events sent\n"), "{out}");
    let mut ids = clicked(&address, &prefix);
    ids.dedup();
    assert_eq!(ids, ["b1", "b2", "journal", "ours", "unnamed"]);
    let twice = clicked(&address, &prefix).len() - ids.len();
    assert_eq!(twice, 2, "ours, and that of the journal: {:?}", clicked(&address, &prefix));
    assert!(errors.contains("io 2.0: event 1 is for `somebody-else`"), "{errors}");
    assert!(errors.contains("io 3.0: event 0 names no recipient"), "{errors}");
    assert!(errors.contains("sources.io.auth.client_ids"), "{errors}");
    assert!(errors.contains("2 bodies were refused (foreign-recipient)"), "{errors}");
}

#[test]
fn a_foreign_recipient_comes_back_from_no_dead_letter() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-foreign-letters"));
    let bridge = Bridge::start(adobe(&address, &prefix).set("TOPICS__LIMIT", "1"));
    // The only topic that there may be.
    deliver_to_io(&bridge, &[], &click("first", FOR_US).replace("clicklink", "openemail"));
    let batch = [click("ours", FOR_US), click("evil", FOREIGN), click("unnamed", "")];
    deliver_to_io(&bridge, &[], &format!("[{}]", batch.join(",")));
    deliver_to_io(&bridge, &["millrace-origin: journal"], &click("journal", ""));
    let letters = read_topic(&address, &format!("{prefix}.dead-letter"));
    assert_eq!(letters.len(), 4, "{letters:?}");

    let (out, errors) = exits(&bridge.tool_with(&UNLIMITED, &["replay", "dead-letters"]), 1);

    assert!(out.starts_with("2 events sent\n"), "{out}");
    assert_eq!(clicked(&address, &prefix), ["journal", "ours"]);
    assert!(errors.contains("io 2.1: event 0 is for `somebody-else`"), "{errors}");
    assert!(errors.contains("io 2.2: event 0 names no recipient"), "{errors}");
    assert!(errors.contains("2 bodies were refused (foreign-recipient)"), "{errors}");
    let after = read_topic(&address, &format!("{prefix}.dead-letter"));
    assert_eq!(after, letters, "what was refused stays");
}

#[test]
fn a_foreign_recipient_comes_back_from_no_quarantine() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-foreign-quarantine"));
    let bridge = Bridge::start(adobe(&address, &prefix));
    let large = format!(r#","large":"{}""#, "y".repeat(2 * 1024 * 1024));
    deliver_to_io(&bridge, &[], &click("ours", &format!("{FOR_US}{large}")));
    deliver_to_io(&bridge, &[], &click("evil", &format!("{FOREIGN}{large}")));
    deliver_to_io(&bridge, &["millrace-origin: journal"], &click("journal", &large));
    for from in [&["quarantine", "io"][..], &["dead-letters"]] {
        let arguments = [&["replay"], from, &["--dry-run"]].concat();
        let (out, errors) = exits(&bridge.tool(&arguments), 1);
        assert!(out.starts_with("2 events would be sent\n"), "{out}{errors}");
        assert!(errors.contains("io 2.0: event 0 is for `somebody-else`"), "{errors}");
        assert!(errors.contains("1 body was refused (foreign-recipient)"), "{errors}");
    }
}

#[test]
fn a_body_that_is_still_coded_is_not_read_as_text() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-coded"));
    let bridge = Bridge::start(adobe(&address, &prefix));
    deliver_to_io(&bridge, &["content-encoding: br"], &click("coded", FOR_US));
    assert_eq!(read_topic(&address, &format!("{prefix}.dead-letter")).len(), 1);
    for from in [&["segments", "io"][..], &["dead-letters"]] {
        let (out, errors) = exits(&bridge.tool(&[&["replay"], from].concat()), 1);
        assert!(out.starts_with("0 events sent\n"), "{out}");
        assert!(errors.contains("io 1.0: ") && errors.contains("(content-coding)"), "{errors}");
    }
    assert_eq!(clicked(&address, &prefix), [""; 0]);
}

#[test]
fn a_pointer_leads_to_an_item_of_its_sources_quarantine_and_to_nothing_else() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("replay-pointers"));
    let bridge = Bridge::start(adobe(&address, &prefix));
    // The topic is made with the first dead letter.
    deliver_to_io(&bridge, &[], "17");
    let event = click("from-a-file", FOR_US);
    let quarantine = bridge.spool().join("io/quarantine");
    fs::create_dir_all(&quarantine).unwrap();
    let beside = bridge.spool().join("outside.bytes");
    let (inside, link) = (quarantine.join("1.bytes"), quarantine.join("link.bytes"));
    for file in [&beside, &inside] {
        fs::write(file, &event).unwrap();
    }
    std::os::unix::fs::symlink(&beside, &link).unwrap();
    let sha256: String = digest(&SHA256, event.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let point = |position: &str, path: &str, length: usize, sha256: &str| {
        let headers = [
            ("millrace-source", "io"),
            ("millrace-position", position),
            ("millrace-reason", "too-large"),
            ("millrace-quarantined", "true"),
        ];
        let pointer = json!({"quarantine_path": path, "length": length, "sha256": sha256});
        let topic = format!("{prefix}.dead-letter");
        produce_with_headers(&address, &topic, &headers, pointer.to_string().as_bytes());
    };
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let out_of_it = format!("{}/../../outside.bytes", path(&quarantine));
    point("11.0", &path(&beside), event.len(), &sha256);
    point("12.0", &out_of_it, event.len(), &sha256);
    point("13.0", &path(&link), event.len(), &sha256);
    point("14.0", "/dev/zero", event.len(), &sha256);
    point("15.0", &path(&inside), event.len() + 1, &sha256);
    point("16.0", &path(&inside), event.len(), &sha256.replace(['0', '1'], "2"));
    let only = ["replay", "dead-letters", "--reason", "too-large"];

    let (out, errors) = exits(&bridge.tool(&only), 1);

    assert!(out.starts_with("0 events sent\n"), "{out}{errors}");
    for (position, what) in [
        ("11.0", "not a file in the quarantine folder of its source"),
        ("12.0", "not a file in the quarantine folder of its source"),
        ("13.0", "symbolic link"),
        ("14.0", "not a file in the quarantine folder of its source"),
        ("15.0", "bytes instead of"),
        ("16.0", "SHA-256"),
    ] {
        let line = errors.lines().find(|line| line.contains(&format!("io {position}: ")));
        assert!(line.is_some_and(|line| line.contains(what)), "{position}: {errors}");
    }
    point("17.0", &path(&inside), event.len(), &sha256);
    let (out, _) = exits(&bridge.tool(&only), 1);
    assert!(out.starts_with("1 event sent\n"), "{out}");
    assert_eq!(clicked(&address, &prefix), ["from-a-file"]);
}
