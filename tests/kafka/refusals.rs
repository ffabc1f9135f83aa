//! What is turned away at the door, and what is taken in but cannot become an event.

use std::{fs, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::{
    broker,
    consumers::{Record, read_topic},
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The dead letters of `prefix`, once there are `count`.
#[track_caller]
fn dead_letters(address: &str, prefix: &str, count: usize) -> Vec<Record> {
    let topic = format!("{prefix}.dead-letter");
    wait::until_some("the dead letters", PATIENCE, || {
        let records = read_topic(address, &topic);
        (records.len() >= count).then_some(records)
    })
}

#[test]
fn a_wrong_token_is_answered_401_and_nothing_is_stored() {
    let bridge = Bridge::start(Settings::new(&broker::shared(), &broker::own_prefix("token")));
    let sizes = || -> Vec<u64> {
        let segments = bridge.files(".segment");
        segments.iter().map(|path| fs::metadata(path).map_or(0, |data| data.len())).collect()
    };
    let before = sizes();
    let mut client = bridge.client();

    for headers in [
        vec!["authorization: Bearer wrong".to_owned()],
        vec![format!("authorization: Basic {TOKEN}")],
        vec![format!("authorization: Bearer {TOKEN}x")],
        vec!["authorization: Bearer ".to_owned()],
        vec![],
    ] {
        let body = br#"{"munchkinId":"999-XYZ-000","activities":[]}"#;
        let answer = client.request("POST", LEADS, &headers, body).unwrap();
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(answer.header("www-authenticate").is_some(), "{headers:?}");
    }

    assert_eq!(sizes(), before);
    assert_eq!(bridge.metric("millrace_spool_undelivered_deliveries", &[]), 0.0);
}

#[test]
fn a_body_that_is_no_delivery_is_answered_200_and_becomes_a_dead_letter_with_its_bytes() {
    let deep = "[".repeat(20_000);
    let bodies: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("blank", b" \n"),
        ("truncated", br#"{"munchkinId":"m","activities":[{"activityTypeId":3,"#),
        ("a trailing comma", br#"{"munchkinId":"m","activities":[{"activityTypeId":3},]}"#),
        ("a trailing comma in the object", br#"{"munchkinId":"m","activities":[],}"#),
        (
            "no comma between",
            br#"{"munchkinId":"m","activities":[{"activityTypeId":3} {"activityTypeId":3}]}"#,
        ),
        ("two values", br#"{"munchkinId":"m","activities":[]} {}"#),
        ("no JSON", b"[E E]"),
        ("not UTF-8", b"{\"munchkinId\":\"\xff\xfe\",\"activities\":[]}"),
        ("nested deeply", deep.as_bytes()),
        ("an array where an object was due", br#"[{"activityTypeId":3}]"#),
        ("an object where an array was due", br#"{"munchkinId":"m","activities":{}}"#),
    ];
    let address = broker::shared();
    let prefix = broker::own_prefix("malformed");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let mut client = bridge.client();

    for (name, body) in &bodies {
        assert_eq!(client.deliver(LEADS, TOKEN, body).unwrap().status, 200, "{name}");
    }

    let letters = dead_letters(&address, &prefix, bodies.len());
    assert_eq!(letters.len(), bodies.len());
    for (name, body) in bodies {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(body));
        let letter = letter.unwrap_or_else(|| panic!("{name}: no dead letter has its bytes"));
        assert!(!letter.header("millrace-reason").is_empty(), "{name}");
        assert!(!letter.header("millrace-error").is_empty(), "{name}");
        assert_eq!(letter.header("millrace-source"), "leads", "{name}");
        assert_eq!(letter.key, None, "{name}: no event, no key");
        assert!(letter.header("millrace-position").ends_with(".0"), "{name}: {letter:?}");
    }
    bridge.wait_until_drained(PATIENCE);
}

#[test]
fn an_element_that_is_no_activity_becomes_a_dead_letter_and_its_neighbours_arrive() {
    let address = broker::shared();
    let prefix = broker::own_prefix("element");
    let settings = Settings::new(&address, &prefix);
    let bridge = Bridge::start(settings.set("LOG__FILTER", "info,millrace::ingest::listen=debug"));
    let body = br#"{"munchkinId":"999-XYZ-000","activities":[{"marketoGUID":"e1","leadId":1,"activityTypeId":3}, 17, {"marketoGUID":"e2","leadId":2},{"marketoGUID":"e3","leadId":1,"activityTypeId":3}]}"#;

    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        format!("authorization: Bearer {TOKEN}"),
        format!("traceparent: {trace}"),
        "tracestate: congo=t61rcWkgMzE".to_owned(),
        "x-request-id: followed".to_owned(),
    ];
    let answer = bridge.client().request("POST", LEADS, &headers, body).unwrap();
    assert_eq!(answer.status, 200);

    let mut letters = dead_letters(&address, &prefix, 2);
    letters.sort_by(|a, b| a.header("millrace-position").cmp(b.header("millrace-position")));
    assert_eq!(letters[0].value_bytes(), b"17");
    assert_eq!(letters[1].value_bytes(), br#"{"marketoGUID":"e2","leadId":2}"#);
    assert_eq!(letters[1].key_text(), "999-XYZ-000:2", "a dead letter keeps the key of its event");
    bridge.wait_until_drained(PATIENCE);
    let records = read_topic(&address, &format!("{prefix}.lead-activity.clicklink"));
    let ids: Vec<_> = records.iter().map(|record| record.header("ce_id")).collect();
    assert_eq!(ids, ["e1", "e3"]);

    // All of it can be followed: by its trace through Kafka, by its position from the answer on.
    for record in records.iter().chain(&letters) {
        assert_eq!(record.header("traceparent"), trace);
        assert_eq!(record.header("tracestate"), "congo=t61rcWkgMzE");
    }
    let position = answer.header("millrace-position").expect("a stored delivery has a position");
    for letter in &letters {
        assert!(letter.header("millrace-position").starts_with(&format!("{position}.")));
    }
    let names = ["\"request_id\":\"followed\"".to_owned(), format!("\"position\":{position},")];
    let told = |line: &String| names.iter().all(|name| line.contains(name.as_str()));
    assert!(bridge.log().iter().any(told), "no line of the log has {names:?}");
}

#[test]
fn an_event_larger_than_a_record_may_be_is_quarantined_and_a_dead_letter_points_there() {
    let address = broker::shared();
    let prefix = broker::own_prefix("large");
    let bridge = Bridge::start(Settings::new(&address, &prefix));
    let large = format!(
        r#"{{"marketoGUID":"l1","leadId":7,"activityTypeId":3,"text":"{}"}}"#,
        "y".repeat(2 * 1024 * 1024)
    );
    let small = r#"{"marketoGUID":"l2","leadId":7,"activityTypeId":3}"#;
    let body = format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{large},{small}]}}"#);

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, body.as_bytes()).unwrap().status, 200);

    let letters = dead_letters(&address, &prefix, 1);
    let [letter] = letters.as_slice() else { panic!("one dead letter, not {letters:?}") };
    assert_eq!(letter.key_text(), "999-XYZ-000:7");
    assert_eq!(letter.header("millrace-reason"), "too-large");
    assert_eq!(letter.header("millrace-source"), "leads");
    let topic = format!("{prefix}.lead-activity.clicklink");
    assert_eq!(letter.header("millrace-original-topic"), topic);
    let pointer: Value = serde_json::from_slice(letter.value_bytes()).expect("a pointer in JSON");
    let path = pointer["quarantine_path"].as_str().expect("a path");
    assert!(path.starts_with(bridge.spool().to_str().unwrap()), "{path}");
    assert_eq!(fs::read(path).expect("the quarantined bytes"), large.as_bytes());
    assert_eq!(pointer["length"], large.len());
    assert_eq!(pointer["position"], letter.header("millrace-position"));
    let digest = digest(&SHA256, large.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(pointer["sha256"], digest);
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(read_topic(&address, &topic)[0].header("ce_id"), "l2", "its neighbour arrived");
}
