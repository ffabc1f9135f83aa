//! What one source takes leaves the others theirs (`src/SHARES.md`): bytes of the spool, and topics.

use std::time::Duration;

use crate::{
    broker,
    consumers::{read_topic, topics},
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

/// The source that does nothing meanwhile.
const OTHER: &str = "/v1/other";

fn two_sources(kafka: &str, prefix: &str) -> Settings {
    Settings::new(kafka, prefix)
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__TOKENS", TOKEN)
}

/// A delivery with an activity of each of these types, which has a topic of its own.
fn of_types(name: &str, types: std::ops::Range<u64>) -> String {
    let activity = |kind| format!(r#"{{"marketoGUID":"{name}{kind}","activityTypeId":{kind}}}"#);
    let activities: Vec<_> = types.map(activity).collect();
    format!(r#"{{"munchkinId":"999-SHR-000","activities":[{}]}}"#, activities.join(","))
}

#[test]
fn a_source_with_invented_types_leaves_another_one_topics_under_the_limit() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("invented"));
    let bridge = Bridge::start(two_sources(&address, &prefix).set("TOPICS__LIMIT", "8"));
    let deliver = |path, body: String| {
        assert_eq!(bridge.client().deliver(path, TOKEN, body.as_bytes()).unwrap().status, 200);
        bridge.wait_until_drained(PATIENCE);
    };
    deliver(LEADS, of_types("a", 100_000..100_010));
    deliver(OTHER, of_types("b", 100_010..100_013));

    let made = topics(&address);
    let made = |types: std::ops::Range<u64>| {
        let name = |kind| format!("{prefix}.lead-activity.custom-{kind}");
        types.filter(|kind| made.contains_key(&name(*kind))).count()
    };
    assert_eq!((made(100_000..100_010), made(100_010..100_013)), (6, 2));
    assert_eq!(read_topic(&address, &format!("{prefix}.dead-letter")).len(), 4 + 1);
}

#[test]
fn a_source_that_fills_the_spool_leaves_another_one_its_part() {
    let settings = two_sources("127.0.0.1:1", "filled")
        .set("SPOOL__SIZE_LIMIT", "4MiB")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB");
    let bridge = Bridge::start(settings);
    let mut client = bridge.client();
    let body = format!("{{{}}}", " ".repeat(256 * 1024));
    let mut until_full = |path| {
        let mut stored = 0;
        wait::until("a full spool", PATIENCE, || {
            let status = client.deliver(path, TOKEN, body.as_bytes()).expect("an answer").status;
            stored += usize::from(status == 200);
            status == 503
        });
        stored
    };
    assert_eq!((until_full(LEADS), until_full(OTHER)), (11, 4));
    let limit = bridge.metric("millrace_spool_limit_bytes", &["source=\"leads\""]);
    assert_eq!(limit, f64::from(3 << 20));
}
