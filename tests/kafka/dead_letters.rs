//! `millrace dead-letters` and `send` beside a running service, with a real broker: listed, shown, tried, sent.

use std::{process::Output, time::Duration};

use serde_json::Value;

use crate::{
    admin::create_topic,
    broker,
    consumers::{produce_inflatable, produce_with_headers, read_topic},
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);
const NO_JSON: &str = "this is no JSON";
const WORDS: &str = "not JSON: unexpected text at byte 2";

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

#[test]
fn a_letter_is_listed_shown_and_tried_in_its_own_words_and_sent_when_it_can_be() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-one"));
    let bridge = Bridge::start(Settings::new(&address, &prefix).set("TOPICS__LIMIT", "1"));
    deliver(&bridge, NO_JSON);
    deliver(
        &bridge,
        r#"{"munchkinId":"999-XYZ-000","activities":[
        {"marketoGUID":"c1","leadId":1,"activityTypeId":3},
        {"marketoGUID":"o1","leadId":7,"activityTypeId":10}, 17]}"#,
    );
    let (out, errors) = exits(&bridge.tool(&["dead-letters", "list"]), 0);
    assert!(out.contains(&format!("leads   1.0       not-json       {WORDS}\n")), "{out}");
    assert!(out.contains("\n3 dead letters on ") && errors.is_empty(), "{out}{errors}");
    let (out, _) =
        exits(&bridge.tool(&["dead-letters", "list", "--reason", "not-json", "--json"]), 0);
    let letter: Value = serde_json::from_str(&out).expect("one line of JSON");
    assert_eq!((&letter["position"], &letter["error"]), (&"1.0".into(), &WORDS.into()));
    let (out, _) = exits(&bridge.tool(&["dead-letters", "list", "--since", "0s"]), 0);
    assert!(out.starts_with("no dead letter on "), "{out}");
    let (_, errors) = exits(&bridge.tool(&["dead-letters", "list", "--reason", "no-json"]), 2);
    assert!(errors.contains("not-json") && errors.contains("topic-limit"), "{errors}");

    let (out, _) = exits(&bridge.tool(&["dead-letters", "show", "1.0"]), 0);
    assert!(out.contains(WORDS) && out.contains(NO_JSON), "{out}");
    let (out, _) = exits(&bridge.tool(&["dead-letters", "show", "leads/1.0", "--raw"]), 0);
    assert_eq!(out, NO_JSON);
    let (_, errors) = exits(&bridge.tool(&["dead-letters", "show", "2"]), 1);
    assert!(errors.contains("leads/2.1 leads/2.2"), "{errors}");
    let (_, errors) = exits(&bridge.tool(&["dead-letters", "show", "77"]), 1);
    assert!(errors.contains("no dead letter at 77"), "{errors}");

    let (_, errors) = exits(&bridge.tool(&["dead-letters", "replay"]), 2);
    assert!(errors.contains("--all"), "{errors}");
    let (out, errors) = exits(&bridge.tool(&["dead-letters", "replay", "1.0", "--dry-run"]), 1);
    assert!(
        out.starts_with("0 events") && errors.contains(&format!("{WORDS} (not-json)")),
        "{errors}"
    );
    let wider = [("TOPICS__LIMIT", "10")];
    let (_, errors) = exits(&bridge.tool_with(&wider, &["dead-letters", "replay", "2.1", "9"]), 1);
    assert!(errors.contains("9: no dead letter at this position fits"), "{errors}");
    let records = read_topic(&address, &format!("{prefix}.lead-activity.openemail"));
    assert_eq!(records.len(), 1, "the one that was named is sent, and no other");
}

/// The last offset of a topic that is written in transactions is a marker, which no reader is given.
#[test]
fn letters_that_were_written_in_transactions_are_read_to_their_end_by_every_command_and_the_api() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-committed"));
    let settings = Settings::new(&address, &prefix)
        .set("KAFKA__DELIVERY", "exactly-once")
        .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"));
    let bridge = Bridge::start(settings);
    (0..3).for_each(|_| deliver(&bridge, NO_JSON));
    for (arguments, said) in [
        (&["dead-letters", "list"][..], "\n3 dead letters on "),
        (&["dead-letters", "show", "2.0"], WORDS),
        (&["dead-letters", "replay", "--all", "--dry-run"], "0 events"),
        (&["replay", "dead-letters", "--dry-run"], "0 events"),
    ] {
        let output = bridge.tool(arguments);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains(said), "{arguments:?}: {output:?}");
    }
    let answer = bridge.admin().get("/api/v1/dead-letters").unwrap().text();
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["complete"], &answer["matching"]), (&true.into(), &3.into()), "{answer}");
}

#[test]
fn ten_thousand_letters_are_counted_and_the_newest_are_listed() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-many"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let elements = vec!["17"; 10_000].join(",");
    deliver(&bridge, &format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{elements}]}}"#));
    let (out, _) = exits(&bridge.tool(&["dead-letters", "list", "--limit", "20"]), 0);
    assert!(
        out.contains("\n10,000 dead letters on ") && out.contains("10,000 not-an-object"),
        "{out}"
    );
    assert_eq!(out.matches(" leads ").count(), 20, "{out}");
    let (out, _) = exits(&bridge.tool(&["dead-letters", "show", "1.9999"]), 0);
    assert!(out.contains("original  2 B\n\n17\n"), "{out}");
}

/// As a spool that began again after its volume was lost writes them: other events, at the same position.
fn put_letter(address: &str, topic: &str, guid: &str) {
    let headers = [
        ("millrace-source", "leads"),
        ("millrace-position", "5.0"),
        ("millrace-reason", "topic-limit"),
        ("millrace-error", "no room"),
    ];
    let body = format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{{"marketoGUID":"{guid}","leadId":1,"activityTypeId":3}}]}}"#
    );
    produce_with_headers(address, topic, &headers, body.as_bytes());
}

fn ids(address: &str, topic: &str) -> Vec<String> {
    read_topic(address, topic).iter().map(|it| it.header("ce_id").to_owned()).collect()
}

#[test]
fn of_several_letters_at_one_position_the_newest_is_shown_and_sent_by_the_terminal_and_by_the_api()
{
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-newest"));
    let topic = format!("{prefix}.dead-letter");
    // On several partitions the order of reading is none of time.
    create_topic(&address, &topic, 3);
    for guid in ["oldest", "older", "old", "newest"] {
        put_letter(&address, &topic, guid);
    }
    let bridge = Bridge::start(Settings::new(&address, &prefix).set("ADMIN__TOKENS", TOKEN));
    let (out, _) = exits(&bridge.tool(&["dead-letters", "show", "5.0", "--raw"]), 0);
    assert!(out.contains("newest"), "{out}");
    let sent = format!("{prefix}.lead-activity.clicklink");
    exits(&bridge.tool(&["dead-letters", "replay", "5.0"]), 0);
    assert_eq!(ids(&address, &sent), ["newest"], "by the terminal");

    let replay = |request: &str| {
        let headers =
            [format!("authorization: Bearer {TOKEN}"), "content-type: application/json".to_owned()];
        let mut admin = bridge.admin();
        let begun = admin.request("POST", "/api/v1/replays", &headers, request.as_bytes()).unwrap();
        assert_eq!(begun.status, 202, "{}", begun.text());
        let begun: Value = serde_json::from_str(&begun.text()).expect("JSON");
        let path = format!("/api/v1/replays/{}", begun["id"].as_str().expect("an id"));
        wait::until_some("the end of a replay", PATIENCE, || {
            let replay = bridge.admin().get(&path).ok()?.text();
            let replay: Value = serde_json::from_str(&replay).expect("JSON");
            (replay["state"] != "running").then_some(replay)
        })
    };
    let of_one = r#"{"positions":[{"source":"leads","position":"5.0"}],"dry_run":false}"#;
    let replayed = replay(of_one);
    assert_eq!((&replayed["sent"], &replayed["failed"]), (&1.into(), &0.into()), "{replayed}");
    assert_eq!(ids(&address, &sent), ["newest"; 2], "by the API");
    let of_delivery = r#"{"positions":[{"source":"leads","position":"5"}],"dry_run":false}"#;
    assert_eq!(replay(of_delivery)["sent"], 1);
    assert_eq!(ids(&address, &sent), ["newest"; 3], "a whole delivery");
    // They may be other events: none is left out of a filter.
    assert_eq!(replay(r#"{"filter":{"reason":"topic-limit"}}"#)["sent"], 4);
    // Positions that cannot be are told so, and hold up no later replay.
    let odd = r#"{"from":"spool","positions":[{"source":"leads","position":"18446744073709551615"},
        {"source":"leads","position":"1.4294967295"}]}"#;
    assert_eq!(replay(odd)["failed"], 2);
    assert_eq!(replay(odd)["failed"], 2);
}

#[test]
fn a_record_that_is_huge_once_it_is_decompressed_hides_no_letter_and_costs_no_memory() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-huge"));
    let topic = format!("{prefix}.dead-letter");
    create_topic(&address, &topic, 1);
    let bridge = Bridge::start(Settings::new(&address, &prefix).set("ADMIN__TOKENS", TOKEN));
    let huge = |codec, bytes| produce_inflatable(&address, &topic, codec, bytes);
    // The first two lie side by side, and the last one is the end of the topic.
    put_letter(&address, &topic, "first");
    huge("zstd", 60_000_000);
    huge("zstd", 200_000_000);
    put_letter(&address, &topic, "second");
    huge("gzip", 20_000_000);
    let largest = "x".repeat(990_000);
    put_letter(&address, &topic, &largest);
    huge("zstd", 200_000_000);
    let places = ["offset 1 to 2", "offset 4", "offset 6"];

    let list = bridge.tool(&["dead-letters", "list"]);
    let (out, errors) = exits(&list, 0);
    assert!(out.contains("\n3 dead letters on "), "{out}{errors}");
    let named =
        |text: &str| places.map(|place| text.contains(&format!("{topic} partition 0 {place}: ")));
    assert_eq!(named(&errors), [true; 3], "{errors}");
    let (out, errors) = exits(&bridge.tool(&["dead-letters", "show", "5.0", "--raw"]), 0);
    assert!(out.contains(&largest) && named(&errors) == [true; 3], "{errors}");
    let replay = bridge.tool(&["dead-letters", "replay", "--all", "--dry-run"]);
    let (out, errors) = exits(&replay, 1);
    assert!(out.contains("3 events") && named(&errors) == [true; 3], "{out}{errors}");

    let before = bridge.memory_peak();
    let page = wait::until_some("all letters of the API", PATIENCE, || {
        let answer = bridge.admin().get("/api/v1/dead-letters").ok()?.text();
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        (answer["complete"] == true).then_some(answer)
    });
    assert_eq!(page["matching"], 3, "{page}");
    let passed = page["unreadable"].as_array().expect("a list");
    let passed: Vec<_> = passed.iter().map(|it| (&it["offset"], &it["next"])).collect();
    assert_eq!(passed, [(&1.into(), &3.into()), (&4.into(), &5.into()), (&6.into(), &7.into())]);
    // What came by gzip is taken apart before its size is known, also what was fetched ahead and is fetched again.
    let grown = bridge.memory_peak().saturating_sub(before);
    assert!(grown < 150 << 20, "{grown} bytes more than before");
}

#[test]
fn a_letter_of_strangers_is_counted_and_moves_no_cursor() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("letters-strange"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    deliver(&bridge, NO_JSON);
    let headers = [
        ("millrace-source", "leads"),
        ("millrace-position", "5.0"),
        ("millrace-reason", "\u{1b}[2J"),
        ("millrace-error", "\u{1b}]0;title\u{7}"),
    ];
    let topic = format!("{prefix}.dead-letter");
    produce_with_headers(&address, &topic, &headers, b"\x1b[31mvalue");
    produce_with_headers(&address, &topic, &[], b"no letter");
    let (out, errors) = exits(&bridge.tool(&["dead-letters", "list"]), 0);
    assert!(!out.contains('\u{1b}') && out.contains("2 dead letters"), "{out:?}");
    assert!(
        errors.contains("1 record is on ") && errors.contains("no dead letter of millrace"),
        "{errors}"
    );
    let (out, _) = exits(&bridge.tool(&["dead-letters", "show", "5.0"]), 0);
    assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out:?}");
}

#[test]
fn an_event_that_is_sent_by_hand_is_on_its_topic() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("send"));
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let to = format!("http://{}{LEADS}", bridge.deliveries());
    let send =
        ["send", "--to", &to, "--as", "marketo", "--type", "openemail", "--admin", "127.0.0.1:1"];
    let token = bridge.spool().join("token-of-the-test");
    std::fs::write(&token, TOKEN).unwrap();
    let with_token = [&send[..], &["--token-file", token.to_str().unwrap()]].concat();
    let (out, _) = exits(&bridge.tool(&with_token), 0);
    std::fs::remove_file(&token).unwrap();
    assert!(out.contains("HTTP 200") && out.contains("accepted at position 1 of `leads`"), "{out}");
    bridge.wait_until_drained(PATIENCE);
    let records = read_topic(&address, &format!("{prefix}.lead-activity.openemail"));
    let [record] = &records[..] else { panic!("one record: {records:?}") };
    assert!(out.contains(record.header("ce_id")), "{out}");
}
