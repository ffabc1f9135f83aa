//! Sources that do not take everything: what is left out is on no topic, is counted and told of, and is free for another
//! source; what is written today counts for what comes, and for a replay.

use std::{process::Output, time::Duration};

use serde_json::Value;

use crate::{
    broker,
    consumers::{Record, read_topic, topics},
    support::bridge::{Bridge, LEADS, Settings, TOKEN},
};

const PATIENCE: Duration = Duration::from_secs(60);
const LEFT_OUT: &str = "millrace_events_left_out_total";

/// A click and an open of Marketo's own push, and one element that is no activity.
const PUSH: &str = r#"{"munchkinId":"999-XYZ-000","activities":[
    {"marketoGUID":"c1","leadId":1,"activityTypeId":3},
    {"marketoGUID":"o1","leadId":1,"activityTypeId":10}, 17]}"#;

/// `leads` leaves out opens, and `io` what is not of one instance.
fn settings(address: &str, prefix: &str) -> Settings {
    Settings::new(address, prefix)
        .set("SOURCES__LEADS__EXCLUDE__TYPES", "open*")
        .set("SOURCES__IO__KIND", "adobe-io")
        .set("SOURCES__IO__AUTH__CLIENT_IDS", "us")
        .set("SOURCES__IO__AUTH__TOKENS", TOKEN)
        .set("SOURCES__IO__MUNCHKIN_IDS", "999-xyz-000")
        .set("TOPICS__DEAD_LETTER_HEADERS", "spring,connect")
}

#[track_caller]
fn out(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn deliver(bridge: &Bridge, path: &str, body: &str) {
    assert_eq!(bridge.client().deliver(path, TOKEN, body.as_bytes()).unwrap().status, 200);
    bridge.wait_until_drained(PATIENCE);
}

/// Adobe's form of an activity.
fn event(id: &str, name: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.{name}",
        "source":"urn:marketo_activity_stream","id":"{id}","recipientclientid":"us","data":{{{data}}}}}"#
    )
}

struct Topics {
    address: String,
    prefix: String,
}

impl Topics {
    fn name(&self, event_type: &str) -> String {
        format!("{}.lead-activity.{event_type}", self.prefix)
    }

    /// The ids on the topic of a type; `None` where the topic is not there.
    fn ids(&self, event_type: &str) -> Option<Vec<String>> {
        let name = self.name(event_type);
        topics(&self.address).contains_key(&name).then(|| {
            let records = read_topic(&self.address, &name);
            records.iter().map(|record| record.header("ce_id").to_owned()).collect()
        })
    }
}

#[test]
fn what_a_source_leaves_out_is_counted_and_told_of_and_another_source_may_bring_it() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("left-out"));
    let on = Topics { address: address.clone(), prefix: prefix.clone() };
    let mut bridge = Bridge::start(settings(&address, &prefix));
    for why in ["instance", "not-included", "stream", "type", "id"] {
        let shown = bridge.admin().get("/metrics").expect("the metrics").text();
        let zero = format!("{LEFT_OUT}{{source=\"leads\",why=\"{why}\"}} 0");
        assert!(shown.contains(&zero), "{why} is shown before anything is left out");
    }

    deliver(&bridge, LEADS, PUSH);
    assert_eq!(on.ids("clicklink"), Some(vec!["c1".to_owned()]));
    assert_eq!(on.ids("openemail"), None, "not even a topic is made");
    let counted = |source: &str, why: &str| {
        let labels = [format!("source=\"{source}\""), format!("why=\"{why}\"")];
        bridge.metric(LEFT_OUT, &[&labels[0], &labels[1]])
    };
    assert_eq!(counted("leads", "type"), 1.0);
    let told = bridge.log().iter().filter(|line| line.contains("events are left out")).count();
    let key = bridge.log().iter().any(|line| line.contains("sources.leads.exclude.types"));
    assert!(told == 1 && key, "one line says which key");

    let letters = read_topic(&address, &format!("{prefix}.dead-letter"));
    let [letter] = &letters[..] else { panic!("what is no activity, and nothing else") };
    for name in ["kafka_dlt-exception-message", "__connect.errors.exception.message"] {
        assert_eq!(letter.header(name), letter.header("millrace-error"), "{name}");
    }

    let others = [
        event("o1", "openemail", r#""munchkinId":"999-XYZ-000","leadId":"1","activityTypeId":10"#),
        event("x1", "openemail", r#""munchkinId":"111-AAA-222","leadId":"1","activityTypeId":10"#),
        event("n1", "openemail", r#""leadId":"1","activityTypeId":10"#),
    ];
    deliver(&bridge, "/v1/io", &format!("[{}]", others.join(",")));
    assert_eq!(on.ids("openemail"), Some(vec!["o1".to_owned(), "n1".to_owned()]));
    assert_eq!(counted("io", "instance"), 1.0);

    // Of which instance these are cannot be read.
    let text = event("t1", "openemail", "").replace("{}", r#""{\"munchkinId\":\"111-AAA-222\"}""#);
    let array = event("t2", "openemail", "").replace("{}", r#"[{"munchkinId":"111-AAA-222"}]"#);
    deliver(&bridge, "/v1/io", &format!("[{text},{array}]"));
    let letters = read_topic(&address, &format!("{prefix}.dead-letter"));
    let has = |letter: &&Record| letter.header("millrace-reason") == "unreadable-munchkin-id";
    assert_eq!((letters.iter().filter(has).count(), letters.len()), (2, 3));
    assert_eq!(on.ids("openemail").map(|ids| ids.len()), Some(2), "neither is let through");
    assert_eq!(bridge.metric("millrace_duplicates_total", &[]), 0.0);

    let answer = bridge.admin().get("/api/v1/deliveries/leads/1").expect("an answer");
    let found: Value = serde_json::from_str(&answer.text()).expect("JSON");
    let of_open = &found["events"][1];
    assert_eq!(
        (&of_open["state"], &of_open["reason"]),
        (&"left-out".into(), &"exclude.types".into())
    );

    bridge.kill();
    bridge.restart();
    bridge.wait_until_drained(PATIENCE);
    assert_eq!(on.ids("openemail").map(|ids| ids.len()), Some(2), "nothing comes back by a kill");
}

#[test]
fn a_replay_and_the_lists_of_topics_go_by_the_configuration_of_today() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("left-out-replay"));
    let on = Topics { address: address.clone(), prefix: prefix.clone() };
    let bridge = Bridge::start(settings(&address, &prefix));
    deliver(&bridge, LEADS, &PUSH.replace(", 17", ""));
    let arguments = ["replay", "segments", "leads", "--type", "openemail", "--dry-run"];
    let text = out(&bridge.tool(&arguments));
    assert_eq!(text, "0 events would be sent\n1 event left out by sources.leads.exclude.types\n");
    let takes_it = [("SOURCES__LEADS__EXCLUDE__TYPES", "visit*")];
    let text = out(&bridge.tool_with(&takes_it, &arguments));
    assert!(text.starts_with("1 event would be sent\n") && !text.contains("left out"), "{text}");
    out(&bridge.tool_with(&takes_it, &arguments[..5]));
    assert_eq!(on.ids("openemail"), Some(vec!["o1".to_owned()]));

    let text = out(&bridge.tool(&["topics", "--format", "json"]));
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let listed = document.to_string().contains(&on.name("openemail"));
    assert!(listed, "the other source takes it: {text}");
    let nobody = [("SOURCES__IO__EXCLUDE__TYPES", "open*")];
    let text = out(&bridge.tool_with(&nobody, &["topics", "--format", "json"]));
    assert!(
        !text.contains(&on.name("openemail")) && text.contains(&on.name("clicklink")),
        "{text}"
    );
    let text = out(&bridge.tool(&["check"]));
    let selects = text.contains("# sources.leads takes ") && text.contains("left out: openemail");
    assert!(selects && text.contains("[\"999-XYZ-000\"]"), "{text}");
}
