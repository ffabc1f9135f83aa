//! A cluster with many topics, behind a line on which their listing takes long.

use std::time::{Duration, Instant};

use crate::{
    admin,
    broker::{Broker, Options},
    consumers::{read_topic, topics},
    slow_line::SlowLine,
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        ports, wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(240);
/// As of a line that is shared with others.
const BYTES_A_SECOND: u32 = 40_000;

/// A broker that has `count` topics with long names and two of ours, its address, and the line to it.
fn broker_with(count: usize) -> (Broker, String, SlowLine) {
    let port = ports::free();
    let settings = vec![
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        // A question must not make a topic, not even where brokers make what they are asked for.
        ("auto.create.topics.enable", "true".to_owned()),
    ];
    let mut broker = Broker::launch(&Options { settings, ..Options::default() });
    let line = SlowLine::start(port, broker.port());
    broker.wait_until_ready(1);
    let address = format!("127.0.0.1:{port}");
    let others = (0..count).map(|n| format!("{}{n}", "a-name-as-long-as-some-are.".repeat(8)));
    let ours = ["clicklink", "openemail"].map(|name| format!("large.lead-activity.{name}"));
    let names: Vec<_> = others.chain(ours).collect();
    admin::create_topics(&address, &names);
    // A broker shows a topic some time after the controller has made it.
    wait::until("a broker that shows its topics", PATIENCE, || {
        let shown = topics(&address);
        names.iter().all(|name| shown.contains_key(name))
    });
    line.slow_down(BYTES_A_SECOND);
    (broker, address, line)
}

fn event(id: &str, kind: i64, name: &str) -> Vec<u8> {
    let activity = serde_json::json!({
        "marketoGUID": id, "leadId": 4711, "activityDate": "2026-03-02T09:59:58Z",
        "activityTypeId": kind, "activityType": name,
    });
    serde_json::json!({"munchkinId": "999-LRG-000", "activities": [activity]}).to_string().into()
}

fn events_reach_their_topics_on_a_slow_line_to(count: usize) {
    let (_broker, address, line) = broker_with(count);
    let bridge = Bridge::start(Settings::new(&address, "large").set("TOPICS__LIMIT", "3"));
    let deliver = |id, kind, name| {
        let body = event(id, kind, name);
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, &body).unwrap().status, 200);
    };
    let arrives = |topic: &str| {
        let start = Instant::now();
        bridge.wait_until_drained(PATIENCE);
        println!("{count} topics: {topic} after {:.1} s", start.elapsed().as_secs_f32());
    };

    deliver("a-1", 3, "Click Link");
    arrives("large.lead-activity.clicklink");
    deliver("a-2", 1, "Visit Webpage");
    arrives("large.lead-activity.visitwebpage");
    // The listing has come, so the limit is kept: three topics, and one too many.
    deliver("a-3", 12, "New Lead");
    arrives("large.dead-letter");
    line.slow_down(u32::MAX);
    for topic in ["clicklink", "visitwebpage"].map(|name| format!("large.lead-activity.{name}")) {
        assert_eq!(read_topic(&address, &topic).len(), 1, "{topic}");
    }
    assert_eq!(read_topic(&address, "large.dead-letter").len(), 1);
}

#[test]
fn events_reach_their_topics_though_listing_all_topics_takes_longer_than_an_answer_may() {
    events_reach_their_topics_on_a_slow_line_to(800);
}

#[test]
fn events_reach_their_topics_in_a_cluster_of_five_thousand() {
    if std::env::var_os("TEST_LONG").is_some() {
        events_reach_their_topics_on_a_slow_line_to(5_000);
    }
}
