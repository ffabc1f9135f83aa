//! What each page shows.

use crate::{
    broker::{self, Broker},
    browser::{Browser, PATIENCE},
    stage::{self, ADOBE, Stage, clicks, deliver, settings},
    support::{
        bridge::{Bridge, LEADS},
        wait,
    },
};

/// Every page of the console, those of one delivery and one replay aside.
pub const PAGES: [&str; 5] = ["/", "/path", "/deliveries", "/dead-letters", "/test"];

#[test]
fn the_overview_has_a_card_for_each_source_with_its_url_its_ways_in_and_why_it_refuses() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/");
    browser.wait_for("Refused, and why");
    browser.wait_for("bad-credentials");
    let shown = browser.content();
    for text in [
        "leads",
        "adobe",
        "/v1/leads",
        "/v1/adobe",
        "sources.leads.auth.tokens",
        "Marketo pauses",
        "Adobe I/O disables",
        "stored",
        "bad-credentials",
        "Refused, and why",
        "no source",
    ] {
        assert!(shown.contains(text), "{text:?} in:\n{shown}");
    }
    assert_eq!(browser.count("article.card"), 2);
    browser.click("article[data-key=leads] .lines a");
    assert!(browser.path().starts_with("/deliveries?source=leads&reason="), "{}", browser.path());
    browser.wait_for("sources.leads.auth");
}

#[test]
fn the_path_shows_each_stage_from_left_to_right_and_each_topic_with_its_plot() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/path");
    let stages = browser.run("return [...document.querySelectorAll('.lane:first-of-type .stage')].map(it => [it.querySelector('h3').textContent, it.getBoundingClientRect().left])", &[]);
    let stages: Vec<(String, f64)> = serde_json::from_value(stages).unwrap();
    let names: Vec<_> = stages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Received", "Checked", "Stored", "Backlog", "In Kafka", "Dead letters"]);
    assert!(stages.is_sorted_by(|(_, left), (_, right)| left < right), "{stages:?}");
    assert!(browser.content().contains(&stage.topic("clicklink")));
    assert!(browser.count(".lane .plot .bars") >= 4, "minutes with something in them are drawn");
}

#[test]
fn deliveries_are_listed_with_why_what_the_sender_does_then_and_the_key_to_change() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/deliveries?outcome=refused&source=leads");
    browser.wait_for("Marketo: again");
    let shown = browser.text("table.deliveries tbody");
    assert!(shown.contains("401") && shown.contains("sources.leads.auth"), "{shown}");
    assert!(!shown.contains("stored"), "{shown}");
    // A filter is a choice away.
    browser.run("const it = document.querySelector('select[name=source]'); it.value = 'unknown'; it.dispatchEvent(new Event('change', { bubbles: true }))", &[]);
    wait::until("the filtered page", PATIENCE, || browser.path().contains("source=unknown"));
    browser.wait_for("unknown-source");
}

#[test]
fn one_delivery_is_followed_from_its_request_to_topic_partition_and_offset() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/deliveries?source=leads&outcome=stored");
    browser.click("table.deliveries tbody tr:nth-child(2) td[data-label=Position] a");
    browser.wait_for("delivered");
    let shown = browser.content();
    for text in ["Kept headers", "Request", "settled", "activities", "Partition"] {
        assert!(shown.contains(text), "{text:?} in:\n{shown}");
    }
    assert_eq!(browser.count("table.events tbody tr"), 20);
}

#[test]
fn a_page_is_kept_up_to_date_and_a_pause_holds_it() {
    let stage = Stage::play("live");
    let browser = stage.browser();
    browser.open("/deliveries?source=leads");
    browser.wait_for("stored");
    wait::until("a stream", PATIENCE, || browser.text("#live") == "live");
    let newest = || browser.text("table.deliveries tbody tr td[data-label=Position]");
    let before = newest();
    deliver(&stage.bridge, LEADS, &clicks(100));
    wait::until("a new row", PATIENCE, || newest() != before);

    browser.click("#pause");
    assert_eq!(browser.text("#live"), "paused");
    let held = newest();
    deliver(&stage.bridge, LEADS, &clicks(101));
    stage.bridge.wait_until_drained(stage::PATIENCE);
    assert_eq!(newest(), held, "nothing moves while it is paused");
    browser.click("#pause");
    wait::until("what came meanwhile", PATIENCE, || newest() != held);
}

#[test]
fn a_page_that_is_left_gives_its_stream_back_at_once() {
    let stage = Stage::shared();
    let browser = stage.browser();
    // More than there may be at the same time.
    for _ in 0..20 {
        browser.open("/deliveries");
        wait::until("a stream", PATIENCE, || {
            let shown = browser.text("#live");
            assert!(!shown.contains("no connection"), "{shown}");
            shown == "live"
        });
    }
}

#[test]
fn an_outage_of_kafka_is_a_banner_with_its_runbook_heading_and_a_backlog_that_grows() {
    let mut kafka = Broker::start();
    let bridge = Bridge::start(settings(&kafka.address(), &broker::own_prefix("away")));
    deliver(&bridge, LEADS, &clicks(1));
    bridge.wait_until_drained(stage::PATIENCE);
    let browser = Browser::start(bridge.addresses().1);
    browser.open("/");
    browser.wait_for("1 of 1 broker");
    kafka.kill();
    deliver(&bridge, ADOBE, "{}");
    // Nothing is loaded again: the page itself comes to show it.
    browser.wait_for("away");
    let banner = browser.text(".banner");
    assert!(banner.contains("Runbook") && banner.contains("MillraceBehind"), "{banner}");
    browser.wait_for("1 delivery");
    browser.open("/deliveries");
    browser.click("td[data-label=Position] a");
    browser.wait_for("on its way");
    kafka.restart();
    browser.wait_for("settled");
}

#[test]
fn without_javascript_every_table_can_be_read() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.run_no_scripts();
    browser.open("/deliveries");
    let shown = browser.content();
    for text in ["stored", "bad-credentials", "401", "sources.leads.auth"] {
        assert!(shown.contains(text), "{text:?} in:\n{shown}");
    }
    assert!(!shown.contains("Pause"), "what needs a script is not there");
    browser.click("button[type=submit]");
    browser.click("td[data-label=Position] a");
    assert!(browser.content().contains("Events"));
    browser.open("/dead-letters");
    let shown = browser.content();
    assert!(shown.contains("topic-limit") && shown.contains("not-json"), "{shown}");
    browser.open("/path");
    assert!(browser.content().contains(&stage.topic("clicklink")));
    browser.open("/");
    assert!(browser.content().contains("/v1/leads"));
    // Signing in and out are forms.
    stage::sign_in(&browser);
    browser.click("[data-sign-out]");
    wait::until("a session that has ended", PATIENCE, || browser.count("a[href='/sign-in']") == 1);
}
