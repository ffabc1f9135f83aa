//! What real senders send that is not as the books have it, from the socket to the consumer.

use std::time::Duration;

use crate::{
    broker,
    consumers::{Record, read_topic},
    support::bridge::{Bridge, LEADS, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A source of Adobe I/O's, whose sender has a token.
const ADOBE: &str = "/v1/adobe";

fn settings(address: &str, prefix: &str) -> Settings {
    Settings::new(address, prefix)
        .set("SOURCES__ADOBE__KIND", "adobe-io")
        .set("SOURCES__ADOBE__AUTH__CLIENT_IDS", "us")
        .set("SOURCES__ADOBE__AUTH__TOKENS", TOKEN)
}

#[track_caller]
fn deliver(bridge: &Bridge, path: &str, more: &[&str], body: &[u8]) {
    let mut headers = vec![format!("authorization: Bearer {TOKEN}")];
    headers.extend(more.iter().map(|header| (*header).to_owned()));
    assert_eq!(bridge.client().request("POST", path, &headers, body).unwrap().status, 200);
}

fn ids(records: &[Record]) -> Vec<&str> {
    let mut ids: Vec<_> = records.iter().map(|record| record.header("ce_id")).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_byte_order_mark_and_a_coding_that_is_none_keep_no_event_from_its_topic() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("marks"));
    let bridge = Bridge::start(settings(&address, &prefix));
    let activity = |id: &str| {
        format!(
            r#"{{"munchkinId":"m","activities":[{{"marketoGUID":"{id}","leadId":4711.0,"activityTypeId":3}}]}}"#
        )
    };
    let event = |id: &str| {
        let ce_type = "com.adobe.platform.marketo.activity.standard.clicklink";
        let data = r#"{"munchkinId":"m","leadId":"4711","activityTypeId":3}"#;
        format!(
            r#"{{"specversion":"1.0","type":"{ce_type}","source":"urn:marketo_activity_stream","id":"{id}","data":{data},"recipientclientid":"us"}}"#
        )
    };
    for (n, coding) in ["utf-8", "NONE", "", "identity"].into_iter().enumerate() {
        let coding = format!("content-encoding: {coding}");
        let mark = if n % 2 == 0 { "\u{feff}" } else { "" };
        deliver(
            &bridge,
            LEADS,
            &[&coding],
            format!("{mark}{}", activity(&format!("p{n}"))).as_bytes(),
        );
        deliver(
            &bridge,
            ADOBE,
            &[&coding],
            format!("{mark}{}", event(&format!("a{n}"))).as_bytes(),
        );
    }
    bridge.wait_until_drained(PATIENCE);
    let topic = format!("{prefix}.lead-activity.clicklink");
    let records = read_topic(&address, &topic);
    assert_eq!(ids(&records), ["a0", "a1", "a2", "a3", "p0", "p1", "p2", "p3"]);
    for record in &records {
        assert_eq!(record.key_text(), "m:4711");
        assert!(record.value_bytes().starts_with(b"{"), "the mark is no part of an event");
    }
    let replayed = bridge.tool(&["replay", "segments", "leads", "--dry-run"]);
    assert!(replayed.stdout.starts_with(b"4 events would be sent\n"), "{replayed:?}");
}

#[test]
fn events_of_several_types_with_one_id_are_all_delivered_and_each_once() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("one-id"));
    let bridge = Bridge::start(settings(&address, &prefix));
    let event = |kind: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.observability.{kind}","source":"urn:data_ingestion_service","id":"one","data":{{"n":1}}}}"#
        )
    };
    let kinds = ["metrics", "results", "status"];
    let body = format!("[{}]", kinds.map(event).join(","));
    for _ in 0..2 {
        deliver(&bridge, ADOBE, &[], body.as_bytes());
    }
    bridge.wait_until_drained(PATIENCE);
    for kind in kinds {
        let records = read_topic(&address, &format!("{prefix}.observability.{kind}"));
        assert_eq!(ids(&records), ["one"], "{kind}");
        assert_eq!(records[0].key, None, "no munchkin id, no key");
    }
}

#[test]
fn a_compacted_topic_loses_no_event_that_has_no_key() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("compacted"));
    let bridge =
        Bridge::start(settings(&address, &prefix).set("TOPICS__CONFIG__CLEANUP_POLICY", "compact"));
    let event = |id: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"a.b","source":"urn:s","id":"{id}","data":{data}}}"#
        )
    };
    let (keyed, other) = (event("1", r#"{"munchkinId":"m"}"#), event("2", "{}"));
    deliver(&bridge, ADOBE, &[], format!("[{keyed},{other}]").as_bytes());
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(ids(&read_topic(&address, &format!("{prefix}.other.b"))), ["1"]);
    let kept: Vec<_> = std::fs::read_dir(bridge.spool().join("adobe/quarantine"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "bytes"))
        .collect();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(std::fs::read(kept).unwrap(), other.as_bytes());
}
